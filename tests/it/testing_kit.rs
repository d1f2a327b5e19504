//! The testing kit does what it says: nothing in it weakens a check.

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_bearer::testing::{AuthorizationServer, Idp, Loopback};
use tower_bearer::{BearerAuthLayer, Token};

use crate::support::{API, ISSUER, World, who};

fn empty() -> Request<axum::body::Body> {
    Request::get("/").body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn authorize_serves_a_handler_without_a_layer_and_one_with_a_layer() {
    let world = World::new();
    let token = world.token().client("robot");
    for app in [Router::new().route("/", get(who)), crate::support::app(&world.auth())] {
        let mut request = empty();
        let verified = world.idp.authorize(&mut request, &token);
        assert_eq!(verified.client_id(), Some("robot"));
        assert_eq!(request.extensions().get::<Token>().unwrap().client_id(), Some("robot"));
        assert!(!format!("{request:?}").contains(&token.sign()[..40]));
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.unwrap(), "robot");
    }
}

/// The verdict of the kit's own server is worth nothing to another one.
#[tokio::test]
async fn authorize_opens_no_layer_that_does_not_trust_the_issuer() {
    let world = World::new();
    let app = crate::support::app(&world.auth());
    let forger = Idp::new(ISSUER).clock(world.clock.clone());
    let mut request = empty();
    world.idp.authorize(&mut request, &world.token());
    assert_eq!(app.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
    let mut request = empty();
    forger.authorize(&mut request, &forger.token(API));
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[test]
#[should_panic(expected = "the token would be refused: the access token expired")]
fn authorize_really_verifies() {
    let idp = Idp::new(ISSUER);
    idp.authorize(&mut empty(), &idp.token(API)); // the same, unharmed
    idp.authorize(&mut empty(), &idp.token(API).claim("exp", 1));
}

/// A protected router over a real socket, on HTTP/1.1 and HTTP/2, until it is dropped.
#[tokio::test]
async fn loopback_serves_until_it_is_dropped() {
    use http_body_util::Empty;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    let world = World::new();
    let loopback = Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let serving = loopback.serve(crate::support::app(&BearerAuthLayer::new(world.api.clone())));
    assert_eq!(serving.url(), url);
    let authorization = format!("Bearer {}", world.token().sign());
    let ask = async |only_http2: bool, authorization: Option<&str>| {
        let mut client = Client::builder(TokioExecutor::new());
        // A pooled connection would outlive the test of its end.
        client.http2_only(only_http2).pool_max_idle_per_host(0);
        let client = client.build_http::<Empty<bytes::Bytes>>();
        let request = Request::get(&url);
        let request = authorization.into_iter().fold(request, |r, value| r.header("authorization", value));
        client
            .request(request.body(Empty::new()).unwrap())
            .await
            .map(|response| (response.status(), response.version()))
    };
    for (only_http2, version) in [(false, http::Version::HTTP_11), (true, http::Version::HTTP_2)] {
        assert_eq!(ask(only_http2, Some(&authorization)).await.unwrap(), (StatusCode::OK, version));
        assert_eq!(ask(only_http2, None).await.unwrap(), (StatusCode::UNAUTHORIZED, version));
    }
    drop(serving);
    // The task ends at its next step.
    tokio::task::yield_now().await;
    assert!(ask(false, None).await.is_err());
}

/// The authorization server fails over a socket as it does in memory.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn outages_are_seen_through_the_socket() {
    use tower_bearer::{Issuer, RejectionKind, ResourceServer};
    let clock = tower_bearer::testing::ManualClock::new();
    let loopback = Loopback::bind().await.unwrap();
    let idp = Idp::new(loopback.url()).clock(clock.clone());
    let api = ResourceServer::builder(API)
        .issuer(Issuer::new(loopback.url()).dangerous_allow_http())
        .clock(clock.clone())
        .build()
        .unwrap();
    let _serving = loopback.serve(AuthorizationServer::new(idp.clone(), API));
    let token = idp.token(API).sign();
    for outage in [Idp::go_down, |idp: &Idp| idp.answer_with(StatusCode::BAD_GATEWAY)] {
        outage(&idp);
        clock.advance(crate::support::seconds(60));
        assert_eq!(api.verify(&token).await.unwrap_err().kind(), RejectionKind::Unavailable);
    }
    idp.come_back();
    clock.advance(crate::support::seconds(60));
    assert!(api.verify(&token).await.is_ok());
    assert_eq!(idp.jwks_fetches(), 1);
}
