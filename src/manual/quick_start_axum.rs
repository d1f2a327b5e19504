//! From `cargo new` to a protected axum service.
//!
//! The crate is not published yet: get a clone of its repository and name its folder as a path dependency. You need Rust
//! 1.88 or later and a C compiler (for the cryptography; the front page says how to do without).
//!
//! # The service
//!
//! ```sh
//! cargo new orders    # beside the folder `tower-bearer`
//! cd orders
//! ```
//!
//! ```toml
//! # Cargo.toml
//! [package]
//! name = "orders"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [dependencies]
//! axum = "0.8"
//! tokio = { version = "1", features = ["macros", "net", "rt-multi-thread"] }
//! tower-bearer = { path = "../tower-bearer" }
//!
//! [dev-dependencies] # for the stand-in issuer, and for tests
//! tower-bearer = { path = "../tower-bearer", features = ["testing"] }
//! ```
//!
//! ```no_run
//! // src/main.rs
//! use axum::Router;
//! use axum::routing::{get, post};
//! use tower_bearer::{BearerAuthLayer, Issuer, ResourceServer, Token};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let issuer = std::env::var("ISSUER")?;
//!     let api = ResourceServer::builder("https://api.example.com") // what the issuer writes into `aud` for us
//!         // `dangerous_allow_http` is for the stand-in on this machine; leave it out for a real issuer.
//!         .issuer(Issuer::new(issuer).dangerous_allow_http())
//!         .build()?;
//!     let metadata = api.metadata();
//!     let auth = BearerAuthLayer::new(api);
//!
//!     let app = Router::new()
//!         .route("/orders", get(list).layer(auth.scopes(["orders:read"])))
//!         .route("/orders", post(create).layer(auth.scopes(["orders:write"])))
//!         .layer(auth) // everything above needs a token
//!         .route("/healthz", get(|| async { "ok\n" })); // this does not
//!     // Where clients learn who issues tokens for us (RFC 9728).
//!     let app = match metadata {
//!         Some(metadata) => app.route_service(metadata.path(), metadata.clone()),
//!         None => app,
//!     };
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     println!("listening on {}", listener.local_addr()?);
//!     axum::serve(listener, app).await?;
//!     Ok(())
//! }
//!
//! async fn list(token: Token) -> String {
//!     format!("orders of {}\n", token.client_id().unwrap_or("-"))
//! }
//!
//! async fn create(token: Token) -> String {
//!     format!("created by {}\n", token.client_id().unwrap_or("-"))
//! }
//! ```
//!
//! # An issuer to try it with
//!
//! If you have an identity provider, set `ISSUER` to its `iss`, and write what it puts into `aud` instead of
//! `https://api.example.com`. [`providers`](super::providers) says how to find out. Otherwise this stands in for one:
//!
//! ```no_run
//! // examples/issuer.rs
//! use tower_bearer::testing::{AuthorizationServer, Idp, Loopback};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let loopback = Loopback::bind().await?;
//!     let idp = Idp::new(loopback.url());
//!     let server = AuthorizationServer::new(idp, "https://api.example.com")
//!         .client("robot", "its-secret", ["orders:read", "orders:write"]);
//!     let serving = loopback.serve(server);
//!     println!("export ISSUER={}", serving.url());
//!     std::future::pending().await // until Ctrl-C
//! }
//! ```
//!
//! # Call it
//!
//! ```sh
//! cargo run --example issuer    # first terminal: prints `export ISSUER=…`
//! ```
//! ```sh
//! export ISSUER=…               # second terminal: that line
//! cargo run
//! ```
//! ```sh
//! export ISSUER=…               # third terminal: the same line
//! TOKEN=$(curl -s -u robot:its-secret -d grant_type=client_credentials -d scope=orders:read "$ISSUER/token" \
//!   | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/orders
//! curl -i http://127.0.0.1:8080/orders
//! curl -i -X POST -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/orders
//! ```
//!
//! The three answers (other headers left out). The token is good and has the scope:
//!
//! ```text
//! HTTP/1.1 200 OK
//!
//! orders of robot
//! ```
//!
//! No token:
//!
//! ```text
//! HTTP/1.1 401 Unauthorized
//! www-authenticate: Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
//! ```
//!
//! A good token without `orders:write`:
//!
//! ```text
//! HTTP/1.1 403 Forbidden
//! www-authenticate: Bearer error="insufficient_scope", error_description="the access token lacks a required scope", scope="orders:write", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
//! ```
//!
//! # Next steps
//!
//! - Something is refused and you do not see why: [`refusals`](super::refusals), and the [`faq`](super::faq).
//! - Your identity provider writes other claims: [`providers`](super::providers).
//! - CORS, tracing, public and optional routes: [`layers`](super::layers).
//! - Tests of your service: "Test a service" on the [front page](crate).
//! - gRPC: [`quick_start_tonic`](super::quick_start_tonic). Plain hyper: [`quick_start_hyper`](super::quick_start_hyper).
