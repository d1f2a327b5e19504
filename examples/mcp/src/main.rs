//! An MCP server whose tools ask for scopes, and a client that gets a token, is refused, and steps up.
//!
//! `cargo run --manifest-path examples/mcp/Cargo.toml` starts three parties on loopback, lets them talk, says one line
//! for each step, and ends: with exit code 0 if every step went as it should.
//!
//! - The authorization server is the one of tower-bearer's test kit.
//! - The MCP server is rmcp's, behind a `BearerAuthLayer` and a `ToolAccessLayer`.
//! - The client is rmcp's too. All it knows is the URL of the MCP server, and its own name and secret.

mod client;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tower_bearer::testing::{AuthorizationServer, Idp, random_hex};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let done = tokio::time::timeout(Duration::from_secs(60), run()).await;
    match done.unwrap_or_else(|_| Err("not done within a minute".into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let (issuer_listener, issuer) = listen().await?;
    let (server_listener, server) = listen().await?;
    // The URL of an MCP server is its identifier as a resource (RFC 8707), and so the audience of tokens for it.
    let resource = format!("{server}/mcp");

    let idp = Idp::new(&*issuer);
    let secret = random_hex(16);
    let authorization_server = AuthorizationServer::new(idp.clone(), &resource).client(
        "agent",
        &secret,
        ["math:read", "math:write"],
    );
    let authorization_server = axum::Router::new().fallback_service(authorization_server);
    tokio::spawn(async move { axum::serve(issuer_listener, authorization_server).await });
    println!("authorization server  {issuer}");

    let app = server::app(&resource, &idp)?;
    tokio::spawn(async move { axum::serve(server_listener, app).await });
    println!("MCP server            {resource}");

    client::run(&resource, &issuer, &secret).await
}

async fn listen() -> Result<(TcpListener, String), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}
