//! Everything in one process: an authorization server, a protected API, and what to try.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::routing::{get, post};
use tower_bearer::testing::{AuthorizationServer, Idp, Loopback, random_hex};
use tower_bearer::{Algorithm, BearerAuthLayer, Issuer, ProblemJson, ResourceServer, Token, any_of};

use crate::{Error, bind, serve};

const API: &str = "https://api.example.com";

pub(crate) async fn run() -> Result<(), Error> {
    let loopback = Loopback::bind().await?;
    let secret = random_hex(16);
    let idp = Idp::with_algorithms(loopback.url(), [Algorithm::ES256]);
    let server = AuthorizationServer::new(idp, API).client("demo", &secret, ["orders:read", "orders:write"]);
    let serving = loopback.serve(server);
    let issuer = serving.url();

    // The demonstration's issuer has no TLS; it cannot be reached from another machine.
    let api = ResourceServer::builder(API).issuer(Issuer::new(issuer).dangerous_allow_http()).build()?;
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let instructions = what_to_try(issuer, &format!("http://{}", listener.local_addr()?), &secret);
    serve(listener, orders(api), &instructions).await
}

/// The API: every route needs a token, some need a scope, and one is public.
fn orders(api: ResourceServer) -> Router {
    let metadata = api.metadata();
    let auth = BearerAuthLayer::new(api).respond_with(ProblemJson::default());
    let app = Router::new()
        .route("/orders", get(list).layer(auth.scopes(["orders:read"])))
        .route("/orders", post(create).layer(auth.scopes(["orders:write"])))
        .route("/reports", get(report).layer(auth.require(any_of(["reports", "admin"]))))
        .layer(auth)
        .route("/healthz", get(|| async { "ok\n" }));
    // Where clients learn how to get a token (RFC 9728): every 401 names it.
    match metadata {
        Some(metadata) => app.route_service(metadata.path(), metadata.clone()),
        None => app,
    }
}

async fn list(token: Token) -> String {
    format!("orders for {}\n", token.client_id().unwrap_or("-"))
}

async fn create(token: Token) -> String {
    format!("created by {}\n", token.client_id().unwrap_or("-"))
}

async fn report(token: Token) -> String {
    format!("report for {}, who has: {}\n", token.client_id().unwrap_or("-"), token.scopes())
}

fn what_to_try(issuer: &str, api: &str, secret: &str) -> String {
    format!(
        r#"
The API is at {api}, its authorization server at {issuer}. In another terminal:

# A token with one scope, by the client credentials grant.
TOKEN=$(curl -s -u demo:{secret} -d grant_type=client_credentials -d scope=orders:read {issuer}/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# 200: the token has the scope.
curl -i -H "Authorization: Bearer $TOKEN" {api}/orders

# 401: no token.
curl -i {api}/orders

# 403: the token lacks orders:write.
curl -i -X POST -H "Authorization: Bearer $TOKEN" {api}/orders

# 200: public.
curl -i {api}/healthz

Ctrl-C stops both.
"#
    )
}
