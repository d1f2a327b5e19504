//! Answers that last end with the token that they were begun with: a gRPC stream and server-sent events.
//!
//! `cargo run --example long` serves on loopback, calls itself with a token of two seconds, and ends.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio_stream::wrappers::IntervalStream;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower_bearer::testing::{Idp, Loopback};
use tower_bearer::{BearerAuthLayer, ResourceServer, Token};

const API: &str = "https://api.example.com";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An issuer in memory, and no leeway, so that two seconds are two seconds.
    let idp = Idp::new("https://id.example.com");
    let api = ResourceServer::builder(API).issuer(idp.issuer().leeway(Duration::ZERO)).build()?;
    let auth = BearerAuthLayer::new(api);
    // tonic inside an axum router: one layer and one port for both.
    let grpc = tonic::service::Routes::new(HealthServer::new(Service)).into_axum_router();
    let app = Router::new().route("/feed", get(feed)).merge(grpc).layer(auth);
    let serving = Loopback::bind().await?.serve(app);

    let token = format!("Bearer {}", idp.token(API).expires_in(Duration::from_secs(2)).sign());
    let (sse, grpc) = tokio::join!(read_feed(serving.url(), &token), watch(serving.url(), &token));
    println!("server-sent events: some ticks, then {:?}", sse?);
    println!("gRPC: some messages, then {}", grpc?);
    Ok(())
}

/// Ticks, until the token expires; then a last event that says so.
async fn feed(token: Token) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = ticks().map(|()| Event::default().data("tick"));
    let last = stream::once(async { Event::default().event("expired").data("get a new token") });
    let ticks = ticks.take_until(async move { token.expired().await });
    Sse::new(ticks.chain(last).map(Ok))
}

struct Service;

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Messages, until the token expires; then the status that a new call would get.
    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let token = Token::from_extensions(request.extensions())?.clone();
        let messages = ticks().map(|()| HealthCheckResponse { status: ServingStatus::Serving.into() });
        Ok(Response::new(Box::pin(until_expired(token, messages))))
    }
}

/// The messages; if the token expires before they end, its status comes last.
fn until_expired<T: Send + 'static>(
    token: Token,
    messages: impl Stream<Item = T> + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let expired = Box::pin(async move { token.expired().await });
    stream::unfold((Box::pin(messages), Some(expired)), async |(mut messages, expired)| {
        let mut expired = expired?; // it has been said
        tokio::select! {
            message = messages.next() => Some((Ok(message?), (messages, Some(expired)))),
            why = &mut expired => Some((Err(why.into()), (messages, None))),
        }
    })
}

fn ticks() -> impl Stream<Item = ()> + Send {
    IntervalStream::new(tokio::time::interval(Duration::from_millis(100))).map(|_| ())
}

type Error = Box<dyn std::error::Error>;

/// The last line of the feed that says anything.
async fn read_feed(url: &str, token: &str) -> Result<String, Error> {
    let request = Request::get(format!("{url}/feed")).header("authorization", token);
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let body = client.request(request.body(Empty::new())?).await?.into_body().collect().await?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    let ticks = text.matches("data: tick").count();
    if ticks == 0 {
        return Err("no tick came".into());
    }
    Ok(text.lines().rev().find(|line| line.starts_with("event:")).unwrap_or("nothing").to_owned())
}

/// The status with which the stream ended.
async fn watch(url: &str, token: &str) -> Result<String, Error> {
    let mut client = HealthClient::new(Channel::from_shared(url.to_owned())?.connect().await?);
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("authorization", token.parse()?);
    let mut messages = client.watch(request).await?.into_inner();
    let mut count = 0_u32;
    loop {
        match messages.message().await {
            Ok(Some(_)) => count = count.saturating_add(1),
            Ok(None) => return Ok(format!("the end, after {count} messages")),
            Err(_) if count == 0 => return Err("no message came".into()),
            Err(status) => return Ok(format!("{:?}, {}", status.code(), status.message())),
        }
    }
}
