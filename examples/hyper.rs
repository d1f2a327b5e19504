//! Plain hyper, without a framework: a tower service under the layer, by `TowerToHyperService`.
//!
//! `cargo run --example hyper` serves on loopback, calls itself, and ends.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, Token};

const API: &str = "https://api.example.com";

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // The layer put it there; without one nobody gets here.
    let client = request.extensions().get::<Token>().and_then(Token::client_id).unwrap_or("-").to_owned();
    Ok(Response::new(Full::from(format!("hello {client}"))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An issuer in memory; yours is `ResourceServer::builder(API).issuer(Issuer::new("https://…"))`.
    let idp = Idp::new("https://id.example.com");
    let auth = BearerAuthLayer::new(idp.resource_server(API)).scopes(["hello"]);
    let service = auth.layer(service_fn(hello));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
            });
        }
    });

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    for (what, token) in
        [("no token", None), ("a token", Some(idp.token(API).client("robot").scopes(["hello"]).sign()))]
    {
        let request = Request::get(&url);
        let request = token
            .into_iter()
            .fold(request, |request, token| request.header("authorization", format!("Bearer {token}")));
        let response = client.request(request.body(Full::default())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        println!("{what}: {status} {}", String::from_utf8_lossy(&body));
    }
    Ok(())
}
