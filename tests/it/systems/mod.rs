//! The five documented systems of the testing kit: each one's token is asked for as its document says, byte by byte.

mod aidbox;
mod clickview;
mod oro;
mod tarkov_database;
mod wicked;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_bearer::testing::ManualClock;
use tower_bearer::{Issuer, ResourceServer, Token, TokenError};

use crate::support::server;

pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const JSON: &str = "Content-Type: application/json";

/// An answer as it came over the wire.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Success, and what must not be stored (RFC 6749 §5.1).
    #[track_caller]
    pub(crate) fn granted(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.header("cache-control"), Some("no-store"));
        self.json()
    }

    /// Status and body of an error.
    #[track_caller]
    fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }
}

/// POST with these header lines and this body.
pub(crate) async fn post(base: &str, path: &str, headers: &[&str], body: &str) -> Reply {
    request("POST", base, path, headers, body).await
}

async fn fetch(base: &str, path: &str) -> Reply {
    request("GET", base, path, &[], "").await
}

pub(crate) async fn request(method: &str, base: &str, path: &str, headers: &[&str], body: &str) -> Reply {
    let host = base.strip_prefix("http://").unwrap();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, lines) = head.split_once("\r\n").unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Reply {
        status: status.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: lines.lines().map(header).collect(),
        body: body.to_owned(),
    }
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[track_caller]
pub(crate) fn access_token(answer: &Value) -> &str {
    answer["access_token"].as_str().unwrap()
}

/// Header and claims, as texts.
fn decode(token: &str) -> (String, String) {
    let segments: Vec<&str> = token.split('.').collect();
    assert_eq!(segments.len(), 3, "{token}");
    let text = |segment: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap();
    (text(segments[0]), text(segments[1]))
}

/// Header and claims of a JWT.
fn parsed(token: &str) -> (Value, Value) {
    let (header, claims) = decode(token);
    (serde_json::from_str(&header).unwrap(), serde_json::from_str(&claims).unwrap())
}

/// The names of an object's members, in order of the alphabet.
#[track_caller]
fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(|name| &**name).collect();
    names.sort_unstable();
    names
}

fn is_upper_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A resource server at the time of this clock that trusts this issuer alone.
fn trusting(clock: &ManualClock, issuer: Issuer) -> ResourceServer {
    server(clock, [issuer])
}

async fn accepts(api: &ResourceServer, token: &str) -> Token {
    api.verify(token).await.unwrap_or_else(|why| panic!("refused: {why:?}"))
}

async fn refuses(api: &ResourceServer, token: &str) -> TokenError {
    api.verify(token).await.expect_err("accepted").token_error().unwrap()
}

/// What every one of them does: it ends when it is dropped, fails when it is asked to, and says what it was asked.
#[tokio::test]
async fn a_system_can_be_down_and_counts_its_requests() {
    use tower_bearer::testing::systems::OroCommerce;
    let oro = OroCommerce::new().client("robot", "secret").serve().await.unwrap();
    let url = oro.url().to_owned();
    let ask = || {
        post(
            &url,
            "/oauth2-token",
            &[FORM],
            "grant_type=client_credentials&client_id=robot&client_secret=secret",
        )
    };
    assert_eq!(ask().await.status, 200);
    oro.go_down();
    assert_eq!(ask().await.status, 503);
    oro.come_back();
    assert_eq!(ask().await.status, 200);
    let long = "x".repeat(16 * 1024 + 1);
    assert_eq!(post(&url, "/oauth2-token", &[FORM], &long).await.status, 413);
    assert_eq!(oro.requests(), ["POST /oauth2-token"; 4]);
    let shown = format!("{oro:?} {:?}", OroCommerce::new().client("robot", "hunter2"));
    assert!(shown.contains(&url) && !shown.contains("secret") && !shown.contains("hunter2"), "{shown}");
    drop(oro);
    assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).await.is_err());
}

/// What no client of theirs would send is answered, and the next request too.
#[tokio::test]
async fn nothing_falls_over_at_odd_requests() {
    use tower_bearer::testing::systems::{Aidbox, ClickView, OroCommerce, TarkovDatabase, Wicked};
    let clickview = ClickView::new().api_resource("api", "secret", ["x"]).serve().await.unwrap();
    let wicked = Wicked::new().api("petstore", ["x"]).serve().await.unwrap();
    let tarkov = TarkovDatabase::new(["api"]).serve().await.unwrap();
    let oro = OroCommerce::new().serve().await.unwrap();
    let aidbox = Aidbox::new().serve().await.unwrap();
    let endpoints = [
        (clickview.url(), "/connect/token"),
        (clickview.url(), "/connect/introspect"),
        (wicked.url(), "/auth/default/api/petstore/token"),
        (wicked.url(), "/auth/default/api//token"),
        (wicked.admin_url(), "/oauth2_tokens?access_token=%ff&access_token"),
        (wicked.admin_url(), "/consumers/"),
        (tarkov.url(), "/v1/oauth/token"),
        (oro.url(), "/oauth2-token"),
        (aidbox.url(), "/auth/token"),
        (aidbox.url(), "/auth/introspect"),
    ];
    let deep = "[".repeat(10_000);
    let bodies =
        ["", "{", "{}", "[]", "null", "=", "&&&", "%", "%ff=%ff", "grant_type=a&grant_type=b", &deep];
    let headers: [&[&str]; 7] = [
        &[FORM],
        &[JSON],
        &["Content-Type: \u{e9}"],
        &[FORM, "Authorization: Basic"],
        &[FORM, "Authorization: Basic ####"],
        &[FORM, "Authorization: Basic /////w=="],
        &[JSON, "Authorization: Basic Og==", "Authorization: Basic Og=="],
    ];
    for (url, path) in endpoints {
        for headers in headers {
            for body in bodies {
                let status = post(url, path, headers, body).await.status;
                let listing = url == wicked.admin_url();
                assert!((400..500).contains(&status) || listing, "{path} {headers:?} {body:.20}: {status}");
            }
        }
    }
}
