//! gRPC with tonic: rules by method, the token in a method, and what a client is told.
//!
//! `cargo run --example grpc` serves on loopback, calls itself, and ends.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use std::pin::Pin;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, MethodAccess, Token, all_of};

const API: &str = "https://api.example.com";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An issuer in memory; yours is `ResourceServer::builder(API).issuer(Issuer::new("https://…"))`.
    let idp = Idp::new("https://id.example.com");
    let rules = MethodAccess::deny().method("/grpc.health.v1.Health/Check", ["health"]);
    let auth = BearerAuthLayer::new(idp.resource_server(API)).methods(rules);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Server::builder().layer(auth).add_service(HealthServer::new(Service));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let mut client = HealthClient::new(Channel::from_shared(url)?.connect().await?);
    let token = idp.token(API).client("robot").scopes(["health"]);
    let answers = [
        ("no token", client.check(call("", None)?).await),
        ("a token", client.check(call("", Some(&token.sign()))?).await),
        ("a token without the scope", client.check(call("", Some(&idp.token(API).sign()))?).await),
        ("a message that asks for more", client.check(call("secret", Some(&token.sign()))?).await),
    ];
    for (what, answer) in answers {
        match answer {
            Ok(answer) => println!("{what}: {:?}", answer.into_inner().status()),
            Err(status) => println!("{what}: {:?}, {}", status.code(), status.message()),
        }
    }
    let unlisted = client.watch(call("", Some(&token.sign()))?).await.err().map(|status| status.code());
    println!("a method that is not listed: {unlisted:?}");
    Ok(())
}

fn call(
    service: &str,
    token: Option<&str>,
) -> Result<Request<HealthCheckRequest>, Box<dyn std::error::Error>> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    }
    Ok(request)
}

struct Service;

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let token = Token::from_extensions(request.extensions())?;
        if request.get_ref().service == "secret" {
            // What only the message tells. The answer is the same as from the layer.
            token.require(&all_of(["health:secret"]))?;
        }
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    type WatchStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}
