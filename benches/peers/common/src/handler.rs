//! The handler behind every peer, and what a peer needs to be one.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use tower_service::Service;

use crate::SCOPE;

/// The body of an answer, where a peer does not want another.
pub type Body = http_body_util::Empty<bytes::Bytes>;

/// A peer, ready to be called: what axum or tonic would serve.
pub trait Peer<B>: Service<Request<()>, Response = Response<B>, Error = Infallible> {}

impl<B, S: Service<Request<()>, Response = Response<B>, Error = Infallible>> Peer<B> for S {}

/// The claims that a handler looks at, where a peer wants a type for them.
#[derive(Debug, Clone, Deserialize)]
pub struct AppClaims {
    pub client_id: String,
    pub scope: String,
}

impl AppClaims {
    /// Looks who calls, and whether it may.
    #[must_use]
    pub fn allows(&self) -> bool {
        black_box(self.client_id.as_str());
        has_scope(&self.scope)
    }
}

/// Whether the one scope is there.
#[must_use]
pub fn has_scope(scopes: &str) -> bool {
    scopes.split(' ').any(|scope| scope == SCOPE)
}

/// An empty 200 if it `allows`, else an empty 403.
#[derive(Debug)]
pub struct Handler<F, B = Body>(F, PhantomData<fn() -> B>);

impl<F, B> Handler<F, B> {
    pub fn new(allows: F) -> Self {
        Self(allows, PhantomData)
    }
}

impl<F: Clone, B> Clone for Handler<F, B> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<F, B, R> Service<Request<R>> for Handler<F, B>
where
    F: Fn(&Request<R>) -> bool,
    B: Default,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let status = if self.0(&request) { StatusCode::OK } else { StatusCode::FORBIDDEN };
        drop(request);
        ready(Ok(answer(status)))
    }
}

/// An empty one.
#[must_use]
pub fn answer<B: Default>(status: StatusCode) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    response
}

/// The token of a request, where a peer does not look for it.
#[must_use]
pub fn bearer<R>(request: &Request<R>) -> Option<&str> {
    request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The keys are there, so nothing ever waits.
///
/// # Panics
/// If it does.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
