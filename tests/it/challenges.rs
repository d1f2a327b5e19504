//! A challenge is written once for each route and reason, and never given for another.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::thread;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::json;
use tower::util::ServiceFn;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    BearerAuth, BearerAuthLayer, MethodAccess, Rejection, ResourceServer, Rule, Scope, all_of,
};

use crate::support::{API, ISSUER, World, block_on, seconds};

const OTHER: &str = "https://other.example.com";

type Inner = ServiceFn<fn(Request<()>) -> Ready<Result<Response<()>, Infallible>>>;

/// A request that is refused, and what the challenge says of it.
struct Refused {
    lines: Vec<String>,
    status: StatusCode,
    error: Option<(&'static str, &'static str)>,
}

/// A way into a server, and what its challenges say.
struct Route {
    service: BearerAuth<Inner>,
    path: &'static str,
    scope: Option<&'static str>,
    metadata: Option<String>,
}

fn guard(layer: &BearerAuthLayer) -> BearerAuth<Inner> {
    layer.layer(service_fn(|_| ready(Ok(Response::new(())))))
}

impl Route {
    fn send(&self, lines: &[String]) -> Response<()> {
        let request =
            lines.iter().fold(Request::get(self.path), |request, line| request.header(AUTHORIZATION, line));
        block_on(self.service.clone().oneshot(request.body(()).unwrap())).unwrap()
    }

    fn challenge(&self, error: Option<(&str, &str)>) -> String {
        let (code, phrase) = error.unzip();
        let parameters = [
            ("error", code),
            ("error_description", phrase),
            ("scope", self.scope),
            ("resource_metadata", self.metadata.as_deref()),
        ];
        let said: Vec<String> =
            parameters.iter().filter_map(|(name, value)| Some(format!("{name}=\"{}\"", (*value)?))).collect();
        format!("Bearer {}", said.join(", ")).trim_end().to_owned()
    }
}

fn sent(response: &Response<()>) -> &HeaderValue {
    &response.headers()[WWW_AUTHENTICATE]
}

/// The ways into one server.
fn routes(api: &ResourceServer, rules: &MethodAccess) -> Vec<Route> {
    let auth = BearerAuthLayer::new(api.clone());
    let by_method = guard(&auth.methods(rules.clone()));
    let rows = [
        (guard(&auth), "/", None),
        (guard(&auth.scopes(["a"])), "/", Some("a")),
        (guard(&auth.scopes(["b"])), "/", Some("b")),
        (guard(&auth.scopes(["a", "b"]).issuers([ISSUER]).max_age(seconds(60))), "/", Some("a b")),
        (by_method.clone(), "/s.S/A", Some("a")),
        (by_method.clone(), "/s.S/B", Some("b")),
        (by_method.clone(), "/t.T/Any", Some("b a")),
        (by_method, "/u.U/Any", None),
    ];
    let metadata = api.metadata().map(|metadata| format!("{}{}", api.identifier(), metadata.path()));
    let route = |(service, path, scope)| Route { service, path, scope, metadata: metadata.clone() };
    rows.into_iter().map(route).collect()
}

fn servers(world: &World) -> Vec<ResourceServer> {
    let server = |identifier: &str| {
        ResourceServer::builder(identifier).issuer(world.idp.issuer()).clock(world.clock.clone())
    };
    let quiet = server(API).without_metadata();
    let servers = [server(API), server(OTHER), quiet].map(|builder| builder.build().unwrap());
    servers.iter().for_each(|api| block_on(api.warm_up()).unwrap());
    servers.into()
}

#[test]
fn each_reason_each_route_and_each_server_has_a_challenge_of_its_own() {
    let world = World::new();
    let servers = servers(&world);
    let token = || world.token().claim("aud", json!([API, OTHER]));
    let expired = token().expires_in(seconds(0)).sign();
    world.clock.advance(seconds(600));
    let line = |token: &str| vec![format!("Bearer {token}")];
    let good = line(&token().scopes(["a", "b"]).sign());
    let lacking = line(&token().scopes(["c"]).sign());
    let row = |lines, status, error| Refused { lines, status, error };
    let invalid =
        |token: &str, phrase| row(line(token), StatusCode::UNAUTHORIZED, Some(("invalid_token", phrase)));
    let lacks = ("insufficient_scope", "the access token lacks a required scope");
    let two = ("invalid_request", "the request must carry exactly one bearer token");
    let refused = [
        row(vec![], StatusCode::UNAUTHORIZED, None),
        row(vec!["Bearer".into()], StatusCode::BAD_REQUEST, Some(two)),
        invalid("junk", "the access token is not well formed"),
        invalid(&expired, "the access token expired"),
        invalid(&token().claim("aud", "nobody").sign(), "the access token is for another audience"),
        invalid(&token().claim("iss", "nobody").sign(), "the issuer of the access token is not trusted"),
        row(lacking, StatusCode::FORBIDDEN, Some(lacks)),
    ];
    // One set of rules at several servers.
    let rules = MethodAccess::deny()
        .method("/s.S/A", ["a"])
        .method("/s.S/B", ["b"])
        .service_rule("t.T", all_of(["b", "a"]));
    let routes: Vec<_> = servers.iter().flat_map(|api| routes(api, &rules)).collect();
    let (mut accepted, mut cases) = (0, Vec::new());
    for (place, route) in routes.iter().enumerate() {
        let status = route.send(&good).status();
        let denied = route.path == "/u.U/Any";
        assert_eq!(status, if denied { StatusCode::FORBIDDEN } else { StatusCode::OK }, "route {place}");
        accepted += usize::from(!denied);
        for case in &refused {
            // Where nothing is asked for, no scope is lacking.
            if denied || route.scope.is_some() || case.status != StatusCode::FORBIDDEN {
                cases.push((place, route, case));
            }
        }
    }
    assert_eq!((accepted, cases.len()), (21, 8 * 3 * 7 - 3));
    // In several orders and at the same time: whatever is kept was kept by another.
    thread::scope(|scope| {
        for thread in 0..4 {
            let mut cases = cases.clone();
            scope.spawn(move || {
                for round in 0..3 {
                    cases.rotate_left((thread * 31 + round * 17) % 60);
                    if (thread + round) % 2 == 1 {
                        cases.reverse();
                    }
                    for (place, route, case) in &cases {
                        let response = route.send(&case.lines);
                        assert_eq!(response.status(), case.status, "route {place}, {:?}", case.error);
                        let challenge = sent(&response).to_str().unwrap();
                        assert_eq!(challenge, route.challenge(case.error), "route {place} at {}", route.path);
                    }
                }
            });
        }
    });
}

/// What is asked of a token later, in the handler, is not what the route asked.
#[test]
fn what_a_handler_asks_is_not_what_the_route_asks() {
    let world = World::new();
    let token = world.accepts("a good one", &world.token().scopes(["a"]).sign());
    assert!(token.require(&all_of(["a"])).is_ok());
    let challenge = |why: &Rejection| why.challenge().unwrap().to_str().unwrap().to_owned();
    let lacking = |rest: &str| {
        let lacks = "insufficient_scope\", error_description=\"the access token lacks a required scope";
        format!(
            "Bearer error=\"{lacks}\", {rest}resource_metadata=\"{API}/.well-known/oauth-protected-resource\""
        )
    };
    for _ in 0..2 {
        for scope in ["b", "c"] {
            let why = token.require(&all_of([scope.parse::<Scope>().unwrap()])).unwrap_err();
            assert_eq!(challenge(&why), lacking(&format!("scope=\"{scope}\", ")));
            assert_eq!(why.scope(), Some(scope));
        }
        let why = token.require(&Rule::clients(["nobody"])).unwrap_err();
        assert_eq!(challenge(&why), lacking(""));
    }
}

/// A flood of refusals writes one text.
#[test]
fn a_challenge_is_written_once() {
    let world = World::new();
    let routes = routes(&world.api, &MethodAccess::deny());
    let bearer = |token: &str| [format!("Bearer {token}")];
    assert_eq!(routes[0].send(&bearer(&world.token().sign())).status(), StatusCode::OK);
    for route in &routes {
        let _ = route.send(&bearer("junk"));
        let responses = [route.send(&bearer("junk")), route.send(&bearer("junk"))];
        let [one, other] = responses.each_ref().map(|response| sent(response).as_bytes());
        assert!(std::ptr::eq(one, other), "{one:?}");
    }
}
