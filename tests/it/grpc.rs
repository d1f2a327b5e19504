//! With tonic: a real server and a real client, the table of refusals beside the token unharmed.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Layer;
use tower_bearer::{
    BearerAuthLayer, Clock, ConfigErrorKind, MethodAccess, ProblemJson, RejectionKind, Token, TokenError,
    all_of,
};

use crate::support::{World, challenge, seconds, send};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Answers if the token, where there is one, may `call` what it asks for by the service's name.
#[derive(Clone)]
struct Probe;

type Watched = Pin<Box<dyn tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let token = request.extensions().get::<Token>().cloned();
        if request.get_ref().service == "needs a token" {
            Token::from_extensions(request.extensions())?;
        }
        if request.get_ref().service == "strict" {
            token.as_ref().expect("a token").require(&all_of(["strict"]))?;
        }
        let status = if token.is_some() { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    type WatchStream = Watched;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Watched>, Status> {
        let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(serving)]))))
    }
}

async fn listen() -> (TcpListenerStream, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (TcpListenerStream::new(listener), url)
}

/// A server with the layer around all of it.
async fn serve(world: &World, rules: MethodAccess) -> HealthClient<Channel> {
    serve_with(world.auth().methods(rules)).await
}

/// A server with this layer around all of it.
pub(crate) async fn serve_with(layer: BearerAuthLayer) -> HealthClient<Channel> {
    let (incoming, url) = listen().await;
    let server = Server::builder()
        // The default is hyper's 16 KiB for all headers: a token that is too long would not reach us.
        .http2_max_header_list_size(64 * 1024)
        .layer(layer)
        .add_service(HealthServer::new(Probe));
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    client(url).await
}

/// What a call with this token comes to.
pub(crate) async fn check_with(
    client: &mut HealthClient<Channel>,
    token: &str,
) -> Result<(), (Code, String)> {
    let answer = client.check(check(&[&bearer(token)])).await;
    answer.map(|_| ()).map_err(|status| (status.code(), status.message().to_owned()))
}

async fn client(url: String) -> HealthClient<Channel> {
    HealthClient::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

fn call<T>(message: T, lines: &[&str]) -> Request<T> {
    let mut request = Request::new(message);
    for line in lines {
        request.metadata_mut().append("authorization", MetadataValue::try_from(*line).unwrap());
    }
    request
}

fn check(lines: &[&str]) -> Request<HealthCheckRequest> {
    call(HealthCheckRequest::default(), lines)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn every_refusal_of_the_table_beside_the_token_unharmed() {
    let world = World::new();
    let mut client = serve(&world, MethodAccess::deny().method(CHECK, ["a"])).await;
    let good = bearer(&world.token().scopes(["a"]).sign());
    let answer = client.check(check(&[&good])).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "the method sees the token");

    let lesser = bearer(&world.token().sign());
    let expired = bearer(&world.token().scopes(["a"]).claim("exp", 1).sign());
    for (name, lines, code, message, error) in [
        ("none", &[][..], Code::Unauthenticated, "an access token is required", None),
        ("Basic", &["Basic dTpw"], Code::Unauthenticated, "an access token is required", None),
        ("two", &[&*good, &good], Code::Unauthenticated, "exactly one bearer token", Some("invalid_request")),
        ("expired", &[&*expired], Code::Unauthenticated, "the access token expired", Some("invalid_token")),
        ("lesser", &[&*lesser], Code::PermissionDenied, "lacks a required scope", Some("insufficient_scope")),
    ] {
        let status = client.check(check(lines)).await.unwrap_err();
        assert_eq!(status.code(), code, "{name}: {status:?}");
        assert!(status.message().contains(message), "{name}: {status:?}");
        let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
        assert!(
            challenge.contains("scope=\"a\"") && challenge.contains("resource_metadata="),
            "{name}: {challenge}"
        );
        let named = error.map(|error| format!("error=\"{error}\""));
        assert_eq!(challenge.contains("error="), named.is_some(), "{name}: {challenge}");
        assert!(named.is_none_or(|named| challenge.contains(&named)), "{name}: {challenge}");
    }
}

/// Every fault of a token, in the words of the table.
#[tokio::test]
async fn every_fault_of_a_token_is_unauthenticated_with_its_reason() {
    let world = World::with(|issuer| issuer.profile(tower_bearer::Profile::default().require(["tenant"])));
    let mut client = serve(&world, MethodAccess::authenticated()).await;
    let good = world.token().claim("tenant", "blue");
    let forger = tower_bearer::testing::Idp::new(crate::support::ISSUER).clock(world.clock.clone());
    let now = world.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut seen = Vec::new();
    for (expected, token) in [
        (TokenError::TooLong, "a".repeat(16 * 1024 - 1) + ".."),
        (TokenError::Structure, "junk".to_owned()),
        (TokenError::Algorithm, good.clone().header("alg", "none").sign()),
        (TokenError::Issuer, good.clone().claim("iss", "https://other.example").sign()),
        (TokenError::Type, good.clone().header("typ", "logout+jwt").sign()),
        (TokenError::Critical, good.clone().header("crit", vec!["exp"]).sign()),
        (TokenError::Audience, good.clone().claim("aud", "https://other.example").sign()),
        (TokenError::Time, good.clone().without_claim("exp").sign()),
        (TokenError::Expired, good.clone().claim("exp", 1).sign()),
        (TokenError::NotYetValid, good.clone().claim("nbf", now + 3600).sign()),
        (TokenError::UnknownKey, good.clone().header("kid", "unknown").sign()),
        (TokenError::Signature, {
            let (kid, token) = (good.header_json(), forger.token(crate::support::API));
            let header: serde_json::Value = serde_json::from_str(&kid).unwrap();
            token.claim("tenant", "blue").header("kid", header["kid"].clone()).sign()
        }),
        (TokenError::MissingClaim, good.clone().without_claim("tenant").sign()),
        (TokenError::ClaimType, good.clone().claim("client_id", 7).sign()),
        (TokenError::Confirmation, good.clone().claim("cnf", serde_json::json!({"jkt": "x"})).sign()),
    ] {
        client.check(check(&[&bearer(&good.sign())])).await.expect("the same token, unharmed");
        let status = client.check(check(&[&bearer(&token)])).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unauthenticated, expected.description()),
            "{expected:?}"
        );
        let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{expected:?}: {challenge}");
        seen.push(expected);
    }
    assert!(seen.is_sorted(), "in the order in which they are looked for");
}

/// A method that takes a token where no layer ran: a fault of ours, in gRPC's own code, and no challenge.
#[tokio::test]
async fn a_method_without_its_layer_is_internal() {
    let world = World::new();
    let needs = || HealthCheckRequest { service: "needs a token".to_owned() };
    let good = bearer(&world.token().sign());
    let mut protected = serve(&world, MethodAccess::authenticated()).await;
    protected.check(call(needs(), &[&good])).await.expect("the same call, under the layer");
    let (incoming, url) = listen().await;
    let server = Server::builder().add_service(HealthServer::new(Probe));
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    let status = client(url).await.check(call(needs(), &[&good])).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "no BearerAuthLayer around this handler");
    assert!(status.metadata().get("www-authenticate").is_none());
}

/// Names in rules are checked against the services' descriptors.
#[test]
fn names_that_no_service_has_are_found_by_reflection() {
    let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
    let rules = || MethodAccess::deny().method(CHECK, ["a"]);
    assert!(rules().known_in([health]).is_ok());
    assert!(rules().service_rule("grpc.health.v1.Health", all_of(["b"])).known_in([health]).is_ok());
    let watch = MethodAccess::deny().method_of::<HealthServer<Probe>>("Watch", ["a"]);
    assert!(watch.known_in([health]).is_ok());
    for (rules, expected) in [
        (
            MethodAccess::deny().method("/grpc.health.v1.Health/Chekc", ["a"]),
            "there is no method \"/grpc.health.v1.Health/Chekc\"; write one of Check, ",
        ),
        (MethodAccess::deny().public("/grpc.health.v1.Health/check"), "there is no method"),
        (
            rules().method("/grpc.health.v2.Health/Check", ["a"]),
            "there is no service \"grpc.health.v2.Health\"; write one of grpc.health.v1.Health",
        ),
        (rules().service_rule("Health", all_of(["a"])), "there is no service \"Health\""),
        (MethodAccess::deny().method_of::<HealthServer<Probe>>("Chek", ["a"]), "there is no method"),
    ] {
        let error = rules.known_in([health]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Method, "methods"));
    }
    assert!(rules().known_in([]).is_err(), "nothing is known");
    assert!(rules().known_in([&b"\xff\xff"[..]]).is_err(), "not a descriptor");
}

#[tokio::test]
async fn no_keys_are_unavailable_with_a_pause() {
    let world = World::new();
    let mut client = serve(&world, MethodAccess::authenticated()).await;
    let good = bearer(&world.token().sign());
    world.idp.go_down();
    let status = client.check(check(&[&good])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let pause: u64 =
        status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert!((500..=1000).contains(&pause), "a second, or up to half of it less: {pause}");
    assert!(status.metadata().get("www-authenticate").is_none());
    world.idp.come_back();
    world.clock.advance(seconds(1));
    assert!(client.check(check(&[&good])).await.is_ok());
}

#[tokio::test]
async fn rules_are_by_exact_method_then_service_then_the_rest() {
    let world = World::new();
    let plain = bearer(&world.token().sign());
    let scoped = bearer(&world.token().scopes(["a"]).sign());
    let watch = |lines: &[&str]| call(HealthCheckRequest::default(), lines);

    let mut denied = serve(&world, MethodAccess::deny().public(CHECK)).await;
    let public = denied.check(check(&["Bearer rubbish"])).await.unwrap().into_inner();
    assert_eq!(public.status(), ServingStatus::NotServing, "no token is looked at");
    assert_eq!(denied.watch(watch(&[])).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(denied.watch(watch(&[&scoped])).await.unwrap_err().code(), Code::PermissionDenied);

    let mut open = serve(&world, MethodAccess::authenticated().method(CHECK, ["a"])).await;
    assert!(open.watch(watch(&[&plain])).await.is_ok());
    assert_eq!(open.check(check(&[&plain])).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(open.check(check(&[&scoped])).await.is_ok());
    assert_eq!(open.watch(watch(&[])).await.unwrap_err().code(), Code::Unauthenticated);

    let by_service = MethodAccess::deny().service::<HealthServer<Probe>>(["a"]).public(CHECK);
    let mut by_service = serve(&world, by_service).await;
    assert!(by_service.check(check(&[])).await.is_ok());
    assert_eq!(by_service.watch(watch(&[&plain])).await.unwrap_err().code(), Code::PermissionDenied);
    assert!(by_service.watch(watch(&[&scoped])).await.is_ok());

    // A name is exact: another case is another method.
    let mut exact = serve(&world, MethodAccess::deny().public("/grpc.health.v1.Health/check")).await;
    assert_eq!(exact.check(check(&[])).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn one_service_keeps_its_name_under_a_layer() {
    let world = World::new();
    let service = world.auth().scopes(["a"]).layer(HealthServer::new(Probe));
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    assert_eq!(name(&service), "grpc.health.v1.Health");
    let (incoming, url) = listen().await;
    let server = Server::builder().add_service(service);
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    let mut client = client(url).await;
    let good = bearer(&world.token().scopes(["a", "strict"]).sign());
    assert!(client.check(check(&[&good])).await.is_ok());
    assert_eq!(client.check(check(&[])).await.unwrap_err().code(), Code::Unauthenticated);

    // What a method asks for itself is answered like what the layer asks for.
    let strict = |line: &str| call(HealthCheckRequest { service: "strict".into() }, &[line]);
    assert!(client.check(strict(&good)).await.is_ok());
    let status = client.check(strict(&bearer(&world.token().scopes(["a"]).sign()))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let challenge = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
    assert!(
        challenge.contains("scope=\"strict\"") && challenge.contains("resource_metadata="),
        "{challenge}"
    );
}

#[tokio::test]
async fn inside_an_axum_router_each_call_is_answered_in_its_own_tongue() {
    let world = World::new();
    let app: axum::Router = axum::Router::new()
        .route_service("/grpc.health.v1.Health/{method}", HealthServer::new(Probe))
        .route("/rest", axum::routing::get(crate::support::who))
        .layer(world.auth().respond_with(ProblemJson::default()));
    let request = |content_type: &str, token: Option<&str>| {
        let request = http::Request::post(CHECK).header(CONTENT_TYPE, content_type);
        let request =
            token.into_iter().fold(request, |request, token| request.header(AUTHORIZATION, bearer(token)));
        // An empty message in a frame.
        request.body(Body::from(vec![0; 5])).unwrap()
    };
    let token = world.token().sign();
    let good = send(&app, request("application/grpc", Some(&token))).await;
    assert_eq!(good.status(), StatusCode::OK);
    assert!(good.headers().get("grpc-status").is_none(), "the status comes behind the message");
    for (content_type, answered) in [
        ("application/grpc", Some("application/grpc")),
        ("application/grpc+proto", Some("application/grpc")),
        ("application/grpc-web+proto", Some("application/grpc-web+proto")),
        ("application/grpc-web-text", Some("application/grpc-web-text+proto")),
        ("application/json", None),
        ("application/grpcx", None),
    ] {
        let response = send(&app, request(content_type, None)).await;
        assert_eq!(crate::support::rejection(&response).kind(), RejectionKind::NoCredentials);
        assert_eq!(challenge(&response).as_deref(), Some("Bearer"));
        match answered {
            Some(answered) => {
                assert_eq!(
                    (response.status(), &response.headers()[CONTENT_TYPE]),
                    (StatusCode::OK, &answered.parse().unwrap())
                );
                assert_eq!(response.headers()["grpc-status"], "16");
                assert_eq!(response.headers()["grpc-message"], "an access token is required");
                assert!(to_bytes(response.into_body(), 10).await.unwrap().is_empty(), "trailers only");
            }
            None => {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{content_type}");
                assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            }
        }
    }
    assert!(
        send(&app, request("application/grpc", Some("x"))).await.headers().contains_key(WWW_AUTHENTICATE)
    );
}

#[tokio::test]
async fn a_stream_begins_only_with_a_token() {
    use tokio_stream::StreamExt;
    let world = World::new();
    let mut client = serve(&world, MethodAccess::authenticated()).await;
    let good = bearer(&world.token().sign());
    let mut stream = client.watch(check(&[&good])).await.unwrap().into_inner();
    let first = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap();
    assert_eq!(first.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(client.watch(check(&[])).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_path_that_is_no_methods_is_refused_whatever_the_rest_may_do() {
    let world = World::new();
    let rules = MethodAccess::authenticated().method(CHECK, ["a"]);
    let grpc =
        || axum::Router::new().route_service("/grpc.health.v1.Health/{method}", HealthServer::new(Probe));
    let around: axum::Router =
        axum::Router::new().nest("/v1", grpc()).layer(world.auth().methods(rules.clone()));
    let inside: axum::Router = axum::Router::new().nest("/v1", grpc().layer(world.auth().methods(rules)));
    let call = |scopes: &[&str]| {
        let request = http::Request::post(format!("/v1{CHECK}")).header(CONTENT_TYPE, "application/grpc");
        let request = request.header(AUTHORIZATION, bearer(&world.token().scopes(scopes).sign()));
        request.body(Body::from(vec![0; 5])).unwrap()
    };
    let code = |response: &http::Response<Body>| response.headers().get("grpc-status").cloned();
    assert_eq!(code(&send(&inside, call(&["a"])).await), None, "answered");
    assert_eq!(code(&send(&inside, call(&[])).await).unwrap(), "7");
    for scopes in [&["a"][..], &[]] {
        assert_eq!(
            code(&send(&around, call(scopes)).await).unwrap(),
            "7",
            "the path is not that of the call"
        );
    }
}

#[tokio::test]
async fn a_get_is_no_call_whatever_its_content_type() {
    let world = World::new();
    let app = crate::support::app(&world.auth());
    let request =
        http::Request::get("/").header(CONTENT_TYPE, "application/grpc").body(Body::empty()).unwrap();
    assert_eq!(send(&app, request).await.status(), StatusCode::UNAUTHORIZED);
}

#[test]
#[should_panic(expected = "is listed twice")]
fn a_method_that_is_listed_twice_panics_when_the_rules_are_made() {
    drop(MethodAccess::deny().method(CHECK, ["admin"]).public(CHECK));
}

#[test]
#[should_panic(expected = "write /package.Service/Method")]
fn a_method_with_a_space_panics_when_the_rules_are_made() {
    drop(MethodAccess::deny().method("/orders.v1.Orders/Create ", ["a"]));
}

#[test]
#[should_panic(expected = "write /package.Service/Method")]
fn a_mistyped_method_panics_when_the_rules_are_made() {
    drop(MethodAccess::deny().public("grpc.health.v1.Health/Check"));
}

#[test]
#[should_panic(expected = "write package.Service")]
fn a_mistyped_service_panics_when_the_rules_are_made() {
    drop(MethodAccess::deny().service_rule("/grpc.health.v1.Health", all_of(["a"])));
}
