//! Scopes by tool of the Model Context Protocol.

use std::convert::Infallible;
use std::panic::catch_unwind;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::any;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::mcp::{MAX_TOOL_CALL, ToolAccess, ToolAccessLayer};
use tower_bearer::{ProblemJson, Rejection, RejectionKind, Rule, any_of};

use crate::support::{World, bearer, challenge, rejection, send, status};

/// `add` asks for `math:read`, `reset` for `math:write`, `ping` for nothing; there are no others.
fn tools() -> ToolAccess {
    ToolAccess::deny()
        .tool("add", ["math:read"])
        .tool("reset", ["math:write"])
        .tool_rule("ping", Rule::authenticated())
}

/// What an MCP server gets to see, it says.
async fn echo(request: Request<Body>) -> Vec<u8> {
    to_bytes(request.into_body(), usize::MAX).await.unwrap().to_vec()
}

fn app(world: &World, layer: ToolAccessLayer) -> Router {
    Router::new().route("/", any(echo)).layer(layer).layer(world.auth())
}

/// A world, an app with these tools, and a token with `math:read`.
fn setting() -> (World, Router, String) {
    let world = World::new();
    let app = app(&world, ToolAccessLayer::new(tools()));
    let token = world.token().scopes(["math:read"]).sign();
    (world, app, token)
}

fn post(token: &str, body: impl Into<Body>) -> Request<Body> {
    let (mut head, _) = bearer(token).into_parts();
    head.method = Method::POST;
    head.headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
    Request::from_parts(head, body.into())
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

fn call(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"x": [1]}}})
        .to_string()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

/// The status, and the code of the JSON-RPC error if it was refused as malformed.
async fn verdict(app: &Router, request: Request<Body>) -> (u16, Option<i64>) {
    let response = send(app, request).await;
    let status = response.status();
    let rejected = response.extensions().get::<Rejection>().is_some();
    if status == StatusCode::OK || rejected {
        return (status.as_u16(), None);
    }
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let error: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&error["jsonrpc"], &error["id"]), (&json!("2.0"), &Value::Null));
    assert!(error["error"]["message"].is_string());
    (status.as_u16(), Some(error["error"]["code"].as_i64().unwrap()))
}

const PASSES: (u16, Option<i64>) = (200, None);
const FORBIDDEN: (u16, Option<i64>) = (403, None);
const NOT_JSON: (u16, Option<i64>) = (400, Some(-32700));
const NO_MESSAGE: (u16, Option<i64>) = (400, Some(-32600));
const NO_TOOL: (u16, Option<i64>) = (400, Some(-32602));
const MISMATCH: (u16, Option<i64>) = (400, Some(-32020));
const TOO_LONG: (u16, Option<i64>) = (413, Some(-32600));
const ENCODED: (u16, Option<i64>) = (415, Some(-32600));

#[tokio::test]
async fn each_tool_asks_for_its_own_scopes() {
    let (world, app, reads) = setting();
    let writes = world.token().scopes(["math:write"]).sign();
    let both = world.token().scopes(["math:read", "math:write"]).sign();
    let neither = world.token().sign();
    for (tool, reads_may, writes_may, neither_may) in [
        ("add", PASSES, FORBIDDEN, FORBIDDEN),
        ("reset", FORBIDDEN, PASSES, FORBIDDEN),
        ("ping", PASSES, PASSES, PASSES),
    ] {
        assert_eq!(verdict(&app, post(&reads, call(tool))).await, reads_may, "{tool}");
        assert_eq!(verdict(&app, post(&writes, call(tool))).await, writes_may, "{tool}");
        assert_eq!(verdict(&app, post(&neither, call(tool))).await, neither_may, "{tool}");
        assert_eq!(verdict(&app, post(&both, call(tool))).await, PASSES, "{tool}");
        assert_eq!(status(&app, post("x", call(tool))).await, StatusCode::UNAUTHORIZED, "{tool}");
    }
    // Exactly what came is handed on.
    let body = format!(" {}\n", call("add"));
    assert_eq!(text(send(&app, post(&reads, body.clone())).await).await, body);
}

#[tokio::test]
async fn a_client_can_step_up_by_the_challenge() {
    let (world, app, reads) = setting();
    assert_eq!(verdict(&app, post(&reads, call("add"))).await, PASSES);
    let response = send(&app, post(&reads, call("reset"))).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(rejection(&response).kind(), RejectionKind::InsufficientScope);
    // `challenge` also sees to it that `resource_metadata` is there.
    let challenge = challenge(&response).unwrap();
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.ends_with("scope=\"math:write\""), "{challenge}");
    assert_eq!(text(response).await, "", "the body is the responder's, and this one writes none");
    let better = world.token().scopes(["math:read", "math:write"]).sign();
    assert_eq!(verdict(&app, post(&better, call("reset"))).await, PASSES);
}

#[tokio::test]
async fn an_unlisted_tool_is_denied_or_open_as_the_rules_begin() {
    let (world, app, reads) = setting();
    assert_eq!(verdict(&app, post(&reads, call("ping"))).await, PASSES);
    for tool in ["drop", "Ping", " ping", "ping ", ""] {
        let response = send(&app, post(&reads, call(tool))).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{tool:?}");
        assert!(!challenge(&response).unwrap().contains("scope=\""), "no scope would help");
    }
    let rules = ToolAccess::authenticated()
        .tool_rule("reset", any_of(["math:write", "admin"]))
        .tool("kill", ["math:write"]);
    let open = self::app(&world, ToolAccessLayer::new(rules));
    assert_eq!(verdict(&open, post(&reads, call("drop"))).await, PASSES);
    for reset in ["reset", "Reset", " reset", "reset\n", "re\u{17f}et"] {
        assert_eq!(verdict(&open, post(&reads, call(reset))).await, FORBIDDEN, "{reset:?}");
    }
    for odd in [r"\u001freset", r"\ufeffreset", "\u{212a}ill", r"re\u0007set"] {
        let body = call("?").replace('?', odd);
        assert_eq!(verdict(&open, post(&reads, body)).await, FORBIDDEN, "{odd:?}");
    }
    for foreign in ["größe", "削除", "удалить"] {
        assert_eq!(verdict(&open, post(&reads, call(foreign))).await, PASSES, "{foreign}");
    }
    let admin = world.token().scopes(["admin"]).sign();
    assert_eq!(verdict(&open, post(&admin, call("reset"))).await, PASSES);
}

#[test]
fn a_tool_is_listed_once_and_asks_for_scopes() {
    drop(ToolAccess::deny().tool("a", ["x"]).tool("b", ["x"]));
    assert!(catch_unwind(|| ToolAccess::deny().tool("a", ["x"]).tool("a", ["y"])).is_err());
    assert!(catch_unwind(|| ToolAccess::deny().tool("a", ["x y"])).is_err());
}

#[tokio::test]
async fn other_messages_pass_with_any_token() {
    let (_, app, token) = setting();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"reset"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["reset"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","params":{"name":"reset"}}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
    ] {
        assert_eq!(verdict(&app, post(&token, body)).await, PASSES, "{body}");
    }
}

/// What the server behind might understand as another tool than this layer does.
#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let (_, app, token) = setting();
    let good = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
    assert_eq!(verdict(&app, post(&token, good)).await, PASSES);
    for (name, body, expected) in [
        ("method twice", good.replace(r#""id":1"#, r#""method":"ping""#), NO_MESSAGE),
        ("method twice, escaped", good.replace(r#""id":1"#, r#""\u006dethod":"ping""#), NO_MESSAGE),
        ("params twice", good.replace(r#""id":1"#, r#""params":{"name":"reset"}"#), NO_MESSAGE),
        ("id twice", good.replace(r#""id":1"#, r#""id":1,"id":2"#), NO_MESSAGE),
        ("name twice", good.replace(r#""name""#, r#""name":"reset","name""#), NO_TOOL),
        ("name twice, escaped", good.replace(r#""name""#, r#""n\u0061me":"reset","name""#), NO_TOOL),
        ("another case, outside", good.replace(r#""id":1"#, r#""Method":"ping""#), NO_MESSAGE),
        ("another case, alone", good.replace(r#""method""#, r#""METHOD""#), NO_MESSAGE),
        ("a long s", good.replace(r#""id":1"#, r#""paramſ":{"name":"reset"}"#), NO_MESSAGE),
        ("another case, inside", good.replace(r#""name""#, r#""Name":"reset","name""#), NO_TOOL),
        ("an end inside a member", good.replace(r#""name""#, r#""name\u0000x":"reset","name""#), NO_TOOL),
        ("an end inside the name", good.replace(r#""add""#, r#""add\u0000x""#), NO_TOOL),
        ("an end inside the method", good.replace("tools/call", r"tools/call\u0000"), NO_MESSAGE),
        ("another case of the method", good.replace("tools/call", "Tools/Call"), NO_MESSAGE),
        ("space around the method", good.replace("tools/call", r"tools/call\n"), NO_MESSAGE),
        ("a control around the method", good.replace("tools/call", r"\u001ftools/call"), NO_MESSAGE),
        ("a mark around the method", good.replace("tools/call", r"\ufefftools/call"), NO_MESSAGE),
        (
            "an argument list twice",
            good.replace(r#""name""#, r#""arguments":{},"arguments":{"x":1},"name""#),
            NO_TOOL,
        ),
        (
            "arguments twice, escaped",
            good.replace(r#""name""#, r#""arguments":{},"\u0061rguments":{},"name""#),
            NO_TOOL,
        ),
        ("space around a member", good.replace(r#""name""#, r#"" name":"reset","name""#), NO_TOOL),
        ("a member of nobody's", good.replace(r#""id":1"#, r#""__proto__":{"method":"x"}"#), NO_MESSAGE),
        ("a call that is a response", good.replace(r#""id":1"#, r#""result":{}"#), NO_MESSAGE),
        ("a call that is an error", good.replace(r#""id":1"#, r#""error":null"#), NO_MESSAGE),
        ("no method", good.replace(r#""method":"tools/call","#, ""), NO_MESSAGE),
        ("method null", good.replace(r#""tools/call""#, "null"), NO_MESSAGE),
        ("method a list", good.replace(r#""tools/call""#, r#"["tools/call"]"#), NO_MESSAGE),
        ("no version", good.replace(r#""jsonrpc":"2.0","#, ""), NO_MESSAGE),
        ("version 1", good.replace("2.0", "1.0"), NO_MESSAGE),
        ("version a number", good.replace(r#""2.0""#, "2.0"), NO_MESSAGE),
        ("no params", good.replace(r#","params":{"name":"add"}"#, ""), NO_TOOL),
        ("params null", good.replace(r#"{"name":"add"}"#, "null"), NO_TOOL),
        ("params by position", good.replace(r#"{"name":"add"}"#, r#"["add"]"#), NO_TOOL),
        ("params a text", good.replace(r#"{"name":"add"}"#, r#""{\"name\":\"add\"}""#), NO_TOOL),
        ("no name", good.replace(r#""name":"add""#, ""), NO_TOOL),
        ("name deeper", good.replace(r#""name":"add""#, r#""x":{"name":"add"}"#), NO_TOOL),
        ("name null", good.replace(r#""add""#, "null"), NO_TOOL),
        ("name a number", good.replace(r#""add""#, "1"), NO_TOOL),
        ("name a list", good.replace(r#""add""#, r#"["add"]"#), NO_TOOL),
        ("half a character", good.replace(r#""add""#, r#""add\ud800""#), NO_TOOL),
        ("members by position", r#"["2.0",1,"tools/call",{"name":"add"}]"#.into(), NO_MESSAGE),
        ("members by position, in a batch", r#"[["2.0","ping",{}]]"#.into(), NO_MESSAGE),
        ("a message in a text", json!(good).to_string(), NO_MESSAGE),
        ("a number", "1".into(), NO_MESSAGE),
        ("an empty object", "{}".into(), NO_MESSAGE),
        ("nothing", String::new(), NOT_JSON),
        ("a second message", format!("{good}{good}"), NOT_JSON),
        ("a second line", format!("{good}\n{good}"), NOT_JSON),
        ("a byte behind", format!("{good}\0"), NOT_JSON),
        ("a byte order mark", format!("\u{feff}{good}"), NOT_JSON),
        ("a comment", format!("/**/{good}"), NOT_JSON),
        ("a form feed", format!("\u{c}{good}"), NOT_JSON),
        ("a trailing comma", good.replace("}}", "},}"), NOT_JSON),
        ("single quotes", good.replace('"', "'"), NOT_JSON),
        ("cut short", good.trim_end_matches('}').into(), NOT_JSON),
    ] {
        assert_eq!(verdict(&app, post(&token, body)).await, expected, "{name}");
    }
    for (name, bytes) in [
        ("not UTF-8", good.replace("add", "a?d").bytes().map(|b| if b == b'?' { 0xff } else { b }).collect()),
        ("not UTF-8 elsewhere", [good.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}}"].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
    ] {
        assert_eq!(verdict(&app, post(&token, bytes)).await, NOT_JSON, "{name}");
    }
}

/// A forbidden call with something put in, taken out or written over, at every place: whatever still passes is no call
/// of the forbidden tool, however loosely the server behind reads.
#[tokio::test]
async fn no_change_to_a_forbidden_call_gets_it_through() {
    let world = World::new();
    let token = world.api.verify(&world.token().scopes(["math:read"]).sign()).await.unwrap();
    let app: Router = Router::new().route("/", any(echo)).layer(ToolAccessLayer::new(tools()));
    let request = |body: Vec<u8>| {
        let mut request = post("", body);
        request.extensions_mut().insert(token.clone());
        request
    };
    let forbidden = call("reset");
    assert_eq!(verdict(&app, request(forbidden.clone().into())).await, FORBIDDEN);
    let allowed: &[u8] = br#""name":"add","#;
    let pieces: [&[u8]; 16] = [
        b"",
        b"\"",
        b"\\",
        b"\\u0000",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\0",
        b"\xff",
        b"1",
        allowed,
        br#""method":"ping","#,
    ];
    let mut passed = 0;
    for place in 0..=forbidden.len() {
        for piece in pieces {
            for over in [0, 1, piece.len()] {
                let (before, rest) = forbidden.as_bytes().split_at(place);
                let body = [before, piece, rest.get(over..).unwrap_or_default()].concat();
                let (status, _) = verdict(&app, request(body.clone())).await;
                if status != 200 {
                    continue;
                }
                passed += 1;
                let said = String::from_utf8(body).unwrap();
                assert!(!calls_reset(&serde_json::from_str(&said).unwrap()), "{said}");
            }
        }
    }
    assert!(passed > 0, "some changes leave a message that asks for nothing");
}

/// JSON with each member of an object, however often it comes.
enum Loose {
    Text(String),
    Object(Vec<(String, Self)>),
    Other,
}

impl<'de> serde::Deserialize<'de> for Loose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> serde::de::Visitor<'de> for Any {
            type Value = Loose;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Loose::Object(members))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                while list.next_element::<Loose>()?.is_some() {}
                Ok(Loose::Other)
            }

            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// As a parser might that minds neither case nor what is behind a NUL, and takes any of several members.
fn calls_reset(message: &Loose) -> bool {
    let loose = |text: &str| text.split('\0').next().unwrap().trim().to_lowercase();
    fn members<'a>(value: &'a Loose, name: &str, loose: impl Fn(&str) -> String) -> Vec<&'a Loose> {
        let Loose::Object(members) = value else { return Vec::new() };
        members.iter().filter(|(member, _)| loose(member) == name).map(|(_, value)| value).collect()
    }
    let says = |values: &[&Loose], text: &str| {
        values.iter().any(|value| matches!(value, Loose::Text(said) if loose(said) == text))
    };
    says(&members(message, "method", loose), "tools/call")
        && members(message, "params", loose)
            .iter()
            .any(|params| says(&members(params, "name", loose), "reset"))
}

#[test]
fn the_loose_reader_would_see_a_call() {
    for call in [
        r#"{"Method":"tools/call","params":{"name":"reset"}}"#,
        r#"{"method":"tools/call","method":"ping","params":{"name":"add"},"params":{"name":"RESET","name":"add"}}"#,
    ] {
        assert!(calls_reset(&serde_json::from_str(call).unwrap()), "{call}");
    }
    assert!(!calls_reset(&serde_json::from_str(&call("add")).unwrap()));
}

/// What is refused for its form is told once, as the others are.
#[tokio::test]
async fn every_refusal_is_told_once() {
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = told.clone();
    let idp = tower_bearer::testing::Idp::new(crate::support::ISSUER);
    let api = tower_bearer::ResourceServer::builder(crate::support::API)
        .issuer(idp.issuer())
        .observer(move |event: &tower_bearer::Event<'_>| {
            if let tower_bearer::Event::Refused { kind, .. } = event {
                seen.lock().unwrap().push(kind.name());
            }
        })
        .build()
        .unwrap();
    let auth = tower_bearer::BearerAuthLayer::new(api);
    let app: Router = Router::new().route("/", any(echo)).layer(ToolAccessLayer::new(tools())).layer(auth);
    let token = idp.token(crate::support::API).scopes(["math:read"]).sign();
    assert_eq!(verdict(&app, post(&token, call("add"))).await, PASSES);
    assert!(told.lock().unwrap().is_empty());
    for (body, expected, kind) in [
        (call("reset"), FORBIDDEN, "insufficient_scope"),
        ("junk".to_owned(), NOT_JSON, "malformed_request"),
        ("{}".to_owned(), NO_MESSAGE, "malformed_request"),
        (" ".repeat(MAX_TOOL_CALL + 1), TOO_LONG, "malformed_request"),
    ] {
        assert_eq!(verdict(&app, post(&token, body)).await, expected);
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), [kind]);
    }
}

/// However it is written, it is the tool that the server behind will find.
#[tokio::test]
async fn escapes_and_order_change_nothing() {
    let (_, app, token) = setting();
    for (name, body) in [
        ("escaped member", r#"{"jsonrpc":"2.0","id":1,"met\u0068od":"tools/call","params":{"name":"?"}}"#),
        ("escaped method", r#"{"jsonrpc":"2.0","id":1,"method":"tools\/c\u0061ll","params":{"name":"?"}}"#),
        (
            "escaped params",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","p\u0061rams":{"n\u0061me":"?"}}"#,
        ),
        ("another order", r#"{"params":{"arguments":{},"name":"?"},"method":"tools/call","jsonrpc":"2.0"}"#),
        ("a notification", r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"?"}}"#),
        ("id null", r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"?"}}"#),
        (
            "names elsewhere",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"name":"ping"},"name":"?","arguments":{"name":"ping","name":1,"method":"ping"}}}"#,
        ),
        (
            "white space",
            "\r\n\t [ {\"jsonrpc\":\"2.0\" , \"method\":\"tools/call\",\"params\" : {\"name\":\"?\"} } ] ",
        ),
    ] {
        assert_eq!(verdict(&app, post(&token, body.replace('?', "add"))).await, PASSES, "{name}");
        assert_eq!(verdict(&app, post(&token, body.replace('?', r"a\u0064d"))).await, PASSES, "{name}");
        assert_eq!(verdict(&app, post(&token, body.replace('?', "reset"))).await, FORBIDDEN, "{name}");
        assert_eq!(verdict(&app, post(&token, body.replace('?', r"\u0072eset"))).await, FORBIDDEN, "{name}");
    }
    // Arguments may be deep, and cost no stack.
    let deep =
        |tool: &str| call(tool).replace("[1]", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    assert_eq!(verdict(&app, post(&token, deep("add"))).await, PASSES);
    assert_eq!(verdict(&app, post(&token, deep("reset"))).await, FORBIDDEN);
}

/// Protocol version 2025-03-26 has batches.
#[tokio::test]
async fn in_a_batch_every_call_is_looked_at() {
    let (world, app, reads) = setting();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let batch = |messages: &[&str]| format!("[{}]", messages.join(","));
    let (add, reset) = (call("add"), call("reset"));
    for (name, body, expected) in [
        ("all allowed", batch(&[&add, list, &add]), PASSES),
        ("the first is not", batch(&[&reset, &add]), FORBIDDEN),
        ("the last is not", batch(&[&add, list, &reset]), FORBIDDEN),
        ("empty", batch(&[]), NO_MESSAGE),
        ("a batch in a batch", batch(&[&batch(&[&add])]), NO_MESSAGE),
        ("no message", batch(&[&add, "1"]), NO_MESSAGE),
        ("a call without a tool", batch(&[&add, &call("x").replace("\"name\"", "\"n\"")]), NO_TOOL),
    ] {
        assert_eq!(verdict(&app, post(&reads, body)).await, expected, "{name}");
    }
    let both = world.token().scopes(["math:read", "math:write"]).sign();
    assert_eq!(verdict(&app, post(&both, batch(&[&add, &reset]))).await, PASSES);
}

#[tokio::test]
async fn the_body_is_bounded() {
    let world = World::new();
    let token = world.token().scopes(["math:read"]).sign();
    let padded = |length: usize| {
        let body = call("add");
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    let default = app(&world, ToolAccessLayer::new(tools()));
    let small = app(&world, ToolAccessLayer::new(tools()).limit(200));
    for (app, limit) in [(default, MAX_TOOL_CALL), (small, 200)] {
        assert_eq!(verdict(&app, post(&token, padded(limit))).await, PASSES);
        assert_eq!(verdict(&app, post(&token, padded(limit + 1))).await, TOO_LONG);
        assert_eq!(verdict(&app, post(&token, streamed(&padded(limit), 97))).await, PASSES);
        assert_eq!(verdict(&app, post(&token, streamed(&padded(limit + 1), 97))).await, TOO_LONG);
    }
}

/// A body in frames of so many bytes, of unknown length, with trailers.
fn streamed(text: &str, size: usize) -> Body {
    let chunks: Vec<Bytes> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    let frames = chunks.into_iter().map(Frame::data).chain([Frame::trailers(http::HeaderMap::new())]);
    Body::new(StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Infallible>))))
}

#[tokio::test]
async fn a_body_in_many_frames_is_one_message() {
    let (_, app, token) = setting();
    for size in [1, 7, 1000] {
        let response = send(&app, post(&token, streamed(&call("add"), size))).await;
        assert_eq!((response.status(), text(response).await), (StatusCode::OK, call("add")));
        assert_eq!(verdict(&app, post(&token, streamed(&call("reset"), size))).await, FORBIDDEN);
    }
    // A body that breaks off is not one that ends.
    let broken = [Ok(Frame::data(Bytes::from(call("add")))), Err(std::io::Error::other("gone"))];
    let broken = Body::new(StreamBody::new(tokio_stream::iter(broken)));
    assert_eq!(verdict(&app, post(&token, broken)).await, NOT_JSON);
}

#[tokio::test]
async fn what_is_encoded_is_not_looked_through() {
    let (_, app, token) = setting();
    let add = || post(&token, call("add"));
    for coding in ["identity", "Identity", ""] {
        let request = with(add(), "content-encoding", coding);
        assert_eq!(verdict(&app, request).await, PASSES, "{coding:?}");
    }
    for coding in ["gzip", "br", "identity, gzip", "GZIP"] {
        assert_eq!(verdict(&app, with(add(), "content-encoding", coding)).await, ENCODED, "{coding}");
        let second = with(with(add(), "content-encoding", "identity"), "content-encoding", coding);
        assert_eq!(verdict(&app, second).await, ENCODED, "{coding} on a second line");
    }
    for (charset, expected) in [
        ("application/json; charset=utf-8", PASSES),
        ("application/json; Charset=\"UTF-8\"", PASSES),
        ("application/json; x=y", PASSES),
        ("application/json; charset=utf-7", ENCODED),
        ("application/json; charset=utf-8; charset=utf-16", ENCODED),
        ("application/json; CHARSET = ibm037", ENCODED),
    ] {
        assert_eq!(verdict(&app, with(add(), "content-type", charset)).await, expected, "{charset}");
    }
}

/// Protocol version 2026-07-28 repeats the tool in headers, and somebody may go by them.
#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let (_, app, token) = setting();
    let headed = |body: &str, method: &str, name: &str| {
        with(with(post(&token, body.to_owned()), "mcp-method", method), "mcp-name", name)
    };
    let add = call("add");
    assert_eq!(verdict(&app, headed(&add, "tools/call", "add")).await, PASSES);
    assert_eq!(verdict(&app, headed(&add, "tools/call", "=?base64?YWRk?=")).await, PASSES);
    assert_eq!(verdict(&app, headed(&add, "tools/call", "reset")).await, MISMATCH);
    assert_eq!(verdict(&app, headed(&add, "tools/call", "=?base64?cmVzZXQ=?=")).await, MISMATCH);
    assert_eq!(verdict(&app, headed(&add, "ping", "add")).await, MISMATCH);
    // What looks encoded is what it says when it is decoded.
    let sentinel = call("=?base64?cmVzZXQ=?=");
    assert_eq!(verdict(&app, headed(&sentinel, "tools/call", "=?base64?cmVzZXQ=?=")).await, MISMATCH);
    let twice = with(headed(&add, "tools/call", "add"), "mcp-name", "reset");
    assert_eq!(verdict(&app, twice).await, MISMATCH);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(verdict(&app, with(post(&token, ping), "mcp-method", "ping")).await, PASSES);
    assert_eq!(verdict(&app, headed(ping, "tools/call", "reset")).await, MISMATCH);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(verdict(&app, post(&token, response)).await, PASSES);
    assert_eq!(verdict(&app, headed(response, "tools/call", "reset")).await, MISMATCH);
}

#[tokio::test]
async fn other_methods_of_http_are_not_touched() {
    let (_, app, token) = setting();
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        let request = |body: Body| {
            let mut request = post(&token, body);
            *request.method_mut() = method.clone();
            request
        };
        assert_eq!(verdict(&app, request(Body::empty())).await, PASSES, "{method}");
        // One with a body is read: whoever is behind may read it too.
        assert_eq!(verdict(&app, request(call("add").into())).await, PASSES, "{method}");
        assert_eq!(verdict(&app, request(call("reset").into())).await, FORBIDDEN, "{method}");
    }
    // No transport sends these; a server might take them for a POST.
    for method in [Method::PUT, Method::PATCH, Method::from_bytes(b"post").unwrap()] {
        let request = |body: String| {
            let mut request = post(&token, body);
            *request.method_mut() = method.clone();
            request
        };
        assert_eq!(verdict(&app, request(call("add"))).await, PASSES, "{method}");
        assert_eq!(verdict(&app, request(call("reset"))).await, FORBIDDEN, "{method}");
    }
}

#[tokio::test]
async fn without_a_layer_outside_nothing_passes() {
    let (world, app, token) = setting();
    assert_eq!(verdict(&app, post(&token, call("ping"))).await, PASSES);
    let bare: Router = Router::new().route("/", any(echo)).layer(ToolAccessLayer::new(tools()));
    for request in [post(&token, call("ping")), bearer(&token)] {
        let response = send(&bare, request).await;
        assert_eq!(rejection(&response).kind(), RejectionKind::Wiring);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    // The wrong way round.
    let outside: Router =
        Router::new().route("/", any(echo)).layer(world.auth()).layer(ToolAccessLayer::new(tools()));
    assert_eq!(status(&outside, post(&token, call("ping"))).await, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn under_an_optional_layer_a_call_needs_a_token_all_the_same() {
    let world = World::new();
    let app: Router = Router::new()
        .route("/", any(echo))
        .layer(ToolAccessLayer::new(tools()))
        .layer(world.auth().optional());
    let anonymous = |body: String| {
        let mut request = post("x", body);
        request.headers_mut().remove("authorization");
        request
    };
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(verdict(&app, anonymous(list.into())).await, PASSES);
    for (tool, expected) in [("add", "Bearer scope=\"math:read\""), ("ping", "Bearer")] {
        let response = send(&app, anonymous(call(tool))).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{tool}");
        assert_eq!(challenge(&response).as_deref(), Some(expected), "{tool}");
    }
    let token = world.token().scopes(["math:read"]).sign();
    assert_eq!(verdict(&app, post(&token, call("add"))).await, PASSES);
    assert_eq!(verdict(&app, post(&token, call("reset"))).await, FORBIDDEN);
}

#[tokio::test]
async fn refusals_look_as_they_are_told_to() {
    let world = World::new();
    let layer = ToolAccessLayer::new(tools()).respond_with(ProblemJson::default());
    let app: Router = Router::new().route("/", any(echo)).layer(layer).layer(world.auth());
    let response = send(&app, post(&world.token().sign(), call("add"))).await;
    assert_eq!(challenge(&response).unwrap().matches("math:read").count(), 1);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["status"], 403);
}

/// Without axum: any body that is made of bytes will do, and readiness is neither lost nor used twice.
#[tokio::test]
async fn towers_contract_holds() {
    let world = World::new();
    let echo =
        |request: Request<Full<Bytes>>| async { Ok::<_, Infallible>(Response::new(request.into_body())) };
    let limited = ConcurrencyLimit::new(tower::service_fn(echo), 1);
    let mut service = world.auth().layer(ToolAccessLayer::new(tools()).layer(limited));
    let token = world.token().scopes(["math:read"]).sign();
    let request = |body: String| post(&token, "").map(|_| Full::from(body));
    for round in 0..3 {
        for (body, status) in [(call("add"), 200), (call("reset"), 403), ("x".to_owned(), 400)] {
            let ready = tokio::time::timeout(crate::support::seconds(5), service.ready()).await;
            let response = ready.expect("a permit").unwrap().call(request(body)).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "round {round}");
        }
    }
}
