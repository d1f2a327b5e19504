//! Requests with tokens, the server that trusts their issuer, and the service behind the layer.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use tower::{Layer, Service};
use tower_bearer::{
    BearerAuth, BearerAuthLayer, HmacAlgorithm, Issuer, Keys, ResourceServer, ResourceServerBuilder, Token,
};

use super::tokens::{API, ISSUER, SCOPE, Sample, Signer};

/// A server that trusts this issuer. Its keys are fixed, so nothing ever waits.
pub(crate) fn server(signer: &Signer) -> ResourceServerBuilder {
    let keys = match signer.jwk()["k"].as_str() {
        Some(secret) => {
            Keys::hmac(URL_SAFE_NO_PAD.decode(secret).expect("base64url"), [HmacAlgorithm::HS256])
        }
        None => Keys::jwks(signer.jwks()),
    };
    ResourceServer::builder(API).issuer(Issuer::new(ISSUER).keys(keys))
}

/// One that remembers twice so many tokens.
pub(crate) fn remembering(signer: &Signer, count: usize) -> ResourceServer {
    server(signer).cache_capacity(2 * count.max(10_000), 1 << 30).build().expect("a server")
}

pub(crate) fn protected(api: &ResourceServer) -> BearerAuth<Inner> {
    BearerAuthLayer::new(api.clone()).scopes([SCOPE]).layer(Inner)
}

pub(crate) fn request(sample: &Sample) -> Request<()> {
    let mut request = bare();
    let value = format!("Bearer {}", sample.token).parse().expect("a header");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// With as many headers as a client sends, and no token.
pub(crate) fn bare() -> Request<()> {
    Request::post("/orders?page=2")
        .header("host", "api.example.com")
        .header("user-agent", "client/1.0")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("content-length", "0")
        .header("accept-encoding", "gzip")
        .body(())
        .expect("a request")
}

/// The keys are fixed, so nothing ever waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("fixed keys are there"),
    }
}

/// The protected service. It looks at who calls, as a handler would. Alone it is the layer that does nothing.
#[derive(Clone)]
pub(crate) struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request.extensions().get::<Token>().and_then(Token::client_id));
        ready(Ok(Response::new(())))
    }
}

/// In front of the protected service, a layer that inserts one `Arc` into the request's extensions and does nothing else: no
/// layer that says who calls can do less.
pub(crate) struct Control(Arc<()>);

impl Control {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }
}

impl Service<Request<()>> for Control {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<()>) -> Self::Future {
        request.extensions_mut().insert(Inserted(self.0.clone()));
        Inner.call(request)
    }
}

#[derive(Clone)]
struct Inserted(#[expect(dead_code, reason = "it is only carried")] Arc<()>);
