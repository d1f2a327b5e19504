//! tower's contract: readiness, back-pressure, futures, and who is cloned.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{BearerAuth, BearerAuthLayer, Rejection, ResponseFuture, Token};

use crate::support::{World, bearer, request};

type Body = Full<Bytes>;

/// Any body will do; this one is not axum's.
fn plain(token: Option<&str>) -> Request<()> {
    token.map_or_else(|| request(&[]), bearer).map(|_| ())
}

async fn inner(request: Request<()>) -> Result<Response<Body>, Infallible> {
    let token = request.extensions().get::<Token>().expect("a token");
    Ok(Response::new(Full::from(token.client_id().unwrap_or("-").to_owned())))
}

#[tokio::test]
async fn any_service_over_http_types_will_do() {
    let world = World::new();
    let service = world.auth().layer(tower::service_fn(inner));
    let good = service.clone().oneshot(plain(Some(&world.token().sign()))).await.unwrap();
    assert_eq!(good.status(), StatusCode::OK);
    let refused = service.oneshot(plain(None)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

/// Two peers panic here: they call a clone that was never ready.
#[tokio::test]
async fn behind_a_concurrency_limit_nothing_panics_and_every_permit_comes_back() {
    for warm in [false, true] {
        let world = World::new();
        let token = world.token().sign();
        if warm {
            world.api.warm_up().await.unwrap();
        }
        let mut service = world.auth().layer(ConcurrencyLimit::new(tower::service_fn(inner), 1));
        for round in 0..5 {
            for (name, token, status) in [
                ("good", Some(&*token), StatusCode::OK),
                ("none", None, StatusCode::UNAUTHORIZED),
                ("bad", Some("x.y.z"), StatusCode::UNAUTHORIZED),
            ] {
                let ready = tokio::time::timeout(Duration::from_secs(5), service.ready()).await;
                let response = ready.expect("a permit").unwrap().call(plain(token)).await.unwrap();
                assert_eq!(response.status(), status, "{name}, round {round}, warm {warm}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_request_gives_its_permit_back_at_once() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let token = world.token().sign();
    let limited = ConcurrencyLimit::new(tower::service_fn(inner), 1);
    let mut one = world.auth().layer(limited.clone());
    let mut two = world.auth().layer(limited);
    // The first connection is refused and stays open, without another request.
    assert_eq!(
        one.ready().await.unwrap().call(plain(None)).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let ready = tokio::time::timeout(Duration::from_secs(5), two.ready()).await.expect("the permit is free");
    assert_eq!(ready.unwrap().call(plain(Some(&token))).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn behind_a_buffer() {
    let world = World::new();
    let token = world.token().sign();
    let mut service = world.auth().layer(Buffer::new(tower::service_fn(inner), 1));
    for _ in 0..5 {
        let refused = service.ready().await.unwrap().call(plain(None)).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let good = service.ready().await.unwrap().call(plain(Some(&token))).await.unwrap();
        assert_eq!(good.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn the_mock_sees_readiness_and_only_good_requests() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let token = world.token().sign();
    let (mut mock, mut handle) = tower_test::mock::spawn_with(|mock| {
        world.auth().layer(mock.map_err(|_| "the inner service's own error"))
    });
    handle.allow(0);
    assert!(mock.poll_ready().is_pending(), "back-pressure goes through");
    handle.allow(1);
    assert!(mock.poll_ready().is_ready());
    let response = mock.call(plain(Some(&token)));
    let (request, send) = handle.next_request().await.unwrap();
    assert_eq!(Request::<()>::extensions(&request).get::<Token>().unwrap().client_id(), Some("client"));
    send.send_response(Response::new(Body::default()));
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);

    handle.allow(1);
    assert!(mock.poll_ready().is_ready());
    let response = mock.call(plain(Some(&token)));
    let (_, send) = handle.next_request().await.unwrap();
    send.send_error("broken");
    assert_eq!(response.await.unwrap_err(), "the inner service's own error", "errors pass untouched");

    handle.allow(1);
    assert!(mock.poll_ready().is_ready());
    assert_eq!(mock.call(plain(None)).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let nothing = tokio::time::timeout(Duration::from_millis(20), handle.next_request()).await;
    assert!(nothing.is_err(), "a refused request never reaches the inner service");
}

/// Counts its clones.
struct Counting(Arc<AtomicUsize>);

impl Clone for Counting {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Service<Request<()>> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Body::default())))
    }
}

#[tokio::test]
async fn a_request_that_passes_clones_no_service() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let token = world.token().sign();
    let clones = Arc::new(AtomicUsize::new(0));
    let mut service = world.auth().layer(Counting(clones.clone()));
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(plain(Some(&token))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(clones.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_request_that_waits_for_keys_is_answered_by_the_service_that_was_ready() {
    let world = World::new();
    world.idp.hang(Duration::from_millis(20));
    let token = world.token().sign();
    let mut service = world.auth().layer(ConcurrencyLimit::new(tower::service_fn(inner), 2));
    // Two requests at once on one service, both waiting for the first keys.
    let one = service.ready().await.unwrap().call(plain(Some(&token)));
    let two = service.ready().await.unwrap().call(plain(Some(&token)));
    let (one, two) = tokio::join!(one, two);
    assert_eq!((one.unwrap().status(), two.unwrap().status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(world.idp.fetched().len(), 2);
}

#[test]
fn types_are_send_sync_and_small() {
    fn send_sync<T: Send + Sync>() {}
    fn send<T: Send>(_: &T) {}
    send_sync::<BearerAuthLayer>();
    send_sync::<BearerAuth<Counting>>();
    send_sync::<Token>();
    send_sync::<Rejection>();
    send_sync::<tower_bearer::ResourceServer>();
    assert_eq!(size_of::<Token>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Token>>(), size_of::<usize>());
    let world = World::new();
    send(&world.auth().layer(Counting(Arc::default())).call(plain(None)));
    // One response or the inner future, and a tag: waiting for keys is boxed.
    let inner = size_of::<Response<Body>>().max(size_of::<Ready<Result<Response<Body>, Infallible>>>());
    assert!(size_of::<ResponseFuture<Counting, tower_bearer::EmptyBody, ()>>() <= inner + 16);
}
