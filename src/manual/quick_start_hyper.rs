//! Plain hyper, without a framework, and what does not compose by itself.
//!
//! hyper serves its own `Service`; the layer makes a tower service. `TowerToHyperService` of `hyper-util` (feature
//! `service`) is between the two. `cargo run --example hyper`, in a clone of the repository, serves and calls itself.
//!
//! ```toml
//! [dependencies]
//! bytes = "1"
//! http = "1"
//! http-body-util = "0.1"
//! hyper = { version = "1", features = ["http1", "http2", "server"] }
//! hyper-util = { version = "0.1", features = ["http1", "http2", "server-auto", "service", "tokio"] }
//! tokio = { version = "1", features = ["macros", "net", "rt-multi-thread"] }
//! tower = { version = "0.5", features = ["util"] }
//! tower-bearer = { path = "../tower-bearer", default-features = false, features = ["aws-lc-rs", "rustls"] }
//! ```
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::rt::{TokioExecutor, TokioIo};
//! use hyper_util::server::conn::auto::Builder;
//! use hyper_util::service::TowerToHyperService;
//! use tokio::net::TcpListener;
//! use tower::{Layer, service_fn};
//! use tower_bearer::{BearerAuthLayer, Issuer, ResourceServer, Token};
//!
//! async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     // The layer put it there; without one nobody gets here.
//!     let client = request.extensions().get::<Token>().and_then(Token::client_id).unwrap_or("-");
//!     Ok(Response::new(Full::from(format!("hello {client}\n"))))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let api = ResourceServer::builder("https://api.example.com")
//!         .issuer(Issuer::new("https://id.example.com"))
//!         .build()?;
//!     let service = BearerAuthLayer::new(api).scopes(["hello"]).layer(service_fn(hello));
//!
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         let service = TowerToHyperService::new(service.clone());
//!         tokio::spawn(async move {
//!             Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
//!         });
//!     }
//! }
//! ```
//!
//! There is no router, so there are no routes to put rules on: match the path in the service and call
//! [`Token::require`], whose error is answered with [`Rejection::response`](crate::Rejection::response), or make one layered
//! service for each path. What is public goes to a service without the layer, and so does the metadata that challenges point to:
//! [`ResourceServer::metadata`](crate::ResourceServer::metadata).
//!
//! # A body without `Default`
//!
//! The layer answers with the response type of the service inside. A refusal needs a value of its body type, and
//! [`EmptyBody`] takes `B::default()`. `Full`, `Empty`, `BoxBody` and `UnsyncBoxBody` of `http-body-util` have one. hyper's
//! `Incoming` has none, and nobody can make one: a proxy that passes on the answer of another server does not compile.
//!
//! ```compile_fail,E0277
//! # use std::convert::Infallible;
//! # use http::{Request, Response};
//! # use hyper::body::Incoming;
//! # use tower::{Layer, Service, service_fn};
//! # use tower_bearer::BearerAuthLayer;
//! async fn forward(request: Request<Incoming>) -> Result<Response<Incoming>, Infallible> {
//! #   let _ = request; unreachable!()
//!     // …
//! }
//!
//! fn proxy(auth: BearerAuthLayer) -> impl Service<Request<Incoming>, Response = Response<Incoming>> {
//!     auth.layer(service_fn(forward)) // the trait bound `EmptyBody: Respond<Incoming>` is not satisfied
//! }
//! ```
//!
//! Turn the body into one that can be empty, between the layer and the service:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, combinators::BoxBody};
//! use hyper::body::Incoming;
//! use tower::{Layer, Service, ServiceExt, service_fn};
//! use tower_bearer::BearerAuthLayer;
//!
//! # use std::convert::Infallible;
//! # async fn forward(_: Request<Incoming>) -> Result<Response<Incoming>, Infallible> { unreachable!() }
//! type Answer = Response<BoxBody<Bytes, hyper::Error>>;
//!
//! fn proxy(auth: BearerAuthLayer) -> impl Service<Request<Incoming>, Response = Answer> {
//!     auth.layer(service_fn(forward).map_response(|response| response.map(BodyExt::boxed)))
//! }
//! # let _ = proxy;
//! ```
//!
//! A body that can be made, but has no `Default`, needs no wrapper: give [`respond_with`] a closure that makes it. This is
//! the way for an enum of bodies of your own.
//!
//! ```
//! use http::Response;
//! use http_body_util::{Either, Empty, Full};
//! use tower_bearer::{BearerAuthLayer, Rejection, RequestHead, Respond};
//!
//! type Body = Either<Full<bytes::Bytes>, Empty<bytes::Bytes>>;
//!
//! fn either(auth: &BearerAuthLayer) -> BearerAuthLayer<impl Respond<Body> + Clone> {
//!     auth.respond_with(|why: &Rejection, request: &RequestHead<'_>| {
//!         why.answer(request, Body::Right(Empty::new()))
//!     })
//! }
//! # let _ = either;
//! ```
//!
//! [`ProblemJson`] asks for `From<Bytes>` and `Default`: `Full<Bytes>` and axum's `Body` have both, `BoxBody` has only the
//! latter. Use a closure there too: `why.answer(request, …)` and a boxed body.
//!
//! # The order that works
//!
//! What is outside of the layer sees its refusals; what is inside does not. A layer that changes the body type of
//! responses (compression, a body limit, tracing of bodies) is easier outside: then the layer only has to make the body of
//! the service itself. If it must be inside, the two ways above apply.
//!
//! ```
//! # use std::convert::Infallible;
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # use tower::{Service, ServiceBuilder, service_fn};
//! # use tower_bearer::BearerAuthLayer;
//! # async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> { Ok(Response::default()) }
//! # fn compose(auth: BearerAuthLayer) -> impl Service<Request<()>> {
//! ServiceBuilder::new()
//!     .map_response(|response: Response<Full<Bytes>>| response.map(BodyExt::boxed)) // outside: changes the body
//!     .layer(auth) // inside of that: makes refusals with `Full<Bytes>`
//!     .service(service_fn(hello))
//! # }
//! # let _ = compose;
//! ```
//!
//! The service must be `Clone`: a request that waits for keys takes the ready one along. A service that is not goes into
//! `tower::buffer::Buffer` first. Its error type is untouched, since the layer adds none: every refusal is a response.
//!
//! More on the order of layers: [`layers`](super::layers).
//!
//! [`EmptyBody`]: crate::EmptyBody
//! [`ProblemJson`]: crate::ProblemJson
//! [`respond_with`]: crate::BearerAuthLayer::respond_with
//! [`Token::require`]: crate::Token::require
