//! From `cargo new` to a protected tonic service, with a client that calls it.
//!
//! You need Rust 1.88 or later and a C compiler (for the cryptography; the front page says how to do without), but no
//! `protoc`: the crate `protox` compiles the `.proto` file. `.ci/try-newcomer` in the repository makes, builds and runs
//! exactly what is on this page. The first build takes a few minutes.
//!
//! # The service
//!
//! The crate is not published yet: get a clone of its repository and name its folder as a path dependency.
//!
//! ```sh
//! cargo new greeter    # beside the folder `tower-bearer`
//! cd greeter
//! mkdir proto examples
//! ```
//!
//! ```toml
//! # Cargo.toml
//! [package]
//! name = "greeter"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [dependencies]
//! prost = "0.14"
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//! tonic = "0.14"
//! tonic-prost = "0.14"
//! tower-bearer = { path = "../tower-bearer", features = ["reflection"] }
//!
//! [dev-dependencies] # for the two programs that try it out
//! tower-bearer = { path = "../tower-bearer", features = ["testing"] }
//!
//! [build-dependencies]
//! protox = "0.10"
//! tonic-prost-build = "0.14"
//! ```
//!
//! ```proto
//! // proto/greeter.proto
//! syntax = "proto3";
//! package greeter.v1;
//!
//! service Greeter {
//!   rpc Hello(HelloRequest) returns (HelloReply);
//!   rpc Shout(HelloRequest) returns (HelloReply);
//! }
//!
//! message HelloRequest { string name = 1; }
//! message HelloReply { string text = 1; }
//! ```
//!
//! ```rust,ignore (compiled by .ci/try-newcomer)
//! // build.rs
//! use std::path::PathBuf;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     println!("cargo:rerun-if-changed=proto");
//!     let descriptors = PathBuf::from(std::env::var("OUT_DIR")?).join("greeter.bin");
//!     // protox is a protobuf compiler in Rust: nothing to install.
//!     let mut compiler = protox::Compiler::new(["proto"])?;
//!     compiler.include_imports(true).open_file("greeter.proto")?;
//!     std::fs::write(&descriptors, compiler.encode_file_descriptor_set())?;
//!     tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
//!     Ok(())
//! }
//! ```
//!
//! ```rust,ignore (compiled by .ci/try-newcomer)
//! // src/main.rs
//! use tonic::transport::{Server, server::TcpIncoming};
//! use tonic::{Request, Response, Status};
//! use tower_bearer::{BearerAuthLayer, Issuer, MethodAccess, ResourceServer, Token};
//!
//! use pb::greeter_server::{Greeter, GreeterServer};
//! use pb::{HelloReply, HelloRequest};
//!
//! mod pb {
//!     tonic::include_proto!("greeter.v1");
//!     pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("greeter");
//! }
//!
//! struct Service;
//!
//! #[tonic::async_trait]
//! impl Greeter for Service {
//!     async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
//!         let token = Token::from_extensions(request.extensions())?;
//!         let client = token.client_id().unwrap_or("-");
//!         let text = format!("hello {}, says {client}", request.get_ref().name);
//!         Ok(Response::new(HelloReply { text }))
//!     }
//!
//!     async fn shout(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
//!         Ok(Response::new(HelloReply { text: "HELLO".to_owned() }))
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let issuer = std::env::var("ISSUER")?;
//!     let api = ResourceServer::builder("https://greeter.example.com") // what the issuer writes into `aud`
//!         .issuer(Issuer::new(issuer).dangerous_allow_http()) // for the stand-in on this machine; leave it out for yours
//!         .build()?;
//!     let rules = MethodAccess::deny() // Shout is not listed: nobody may call it
//!         .method("/greeter.v1.Greeter/Hello", ["greeter:hello"])
//!         .known_in([pb::FILE_DESCRIPTOR_SET])?; // a mistyped name is an error here
//!     let auth = BearerAuthLayer::new(api).methods(rules);
//!
//!     let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
//!     let incoming = TcpIncoming::bind(address.parse()?)?;
//!     println!("listening on {}", incoming.local_addr()?);
//!     Server::builder().layer(auth).add_service(GreeterServer::new(Service)).serve_with_incoming(incoming).await?;
//!     Ok(())
//! }
//! ```
//!
//! # An issuer and a client to try it with
//!
//! If you have an identity provider, set `ISSUER` to its `iss` and leave `dangerous_allow_http` out; [`providers`](super::providers)
//! says what else may differ. Otherwise this stands in for one:
//!
//! ```no_run
//! // examples/issuer.rs
//! //! Stands in for your identity provider: it publishes a key and signs two tokens with it.
//! use tower_bearer::testing::{AuthorizationServer, Idp, Loopback};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let api = "https://greeter.example.com";
//!     let loopback = Loopback::bind().await?;
//!     let idp = Idp::new(loopback.url());
//!     let serving = loopback.serve(AuthorizationServer::new(idp.clone(), api));
//!     println!("export ISSUER={}", serving.url());
//!     println!("export TOKEN={}", idp.token(api).client("robot").scopes(["greeter:hello"]).sign());
//!     println!("export POOR_TOKEN={}", idp.token(api).client("robot").sign());
//!     std::future::pending().await
//! }
//! ```
//!
//! ```rust,ignore (compiled by .ci/try-newcomer)
//! // examples/client.rs
//! use pb::HelloRequest;
//! use pb::greeter_client::GreeterClient;
//! use tonic::Request;
//!
//! mod pb {
//!     tonic::include_proto!("greeter.v1");
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".to_owned());
//!     let mut client = GreeterClient::connect(format!("http://{address}")).await?;
//!     let (token, poor_token) = (std::env::var("TOKEN")?, std::env::var("POOR_TOKEN")?);
//!     for (what, token) in [("no token", ""), ("a token", &token), ("a token without the scope", &poor_token)] {
//!         let mut request = Request::new(HelloRequest { name: "Ada".to_owned() });
//!         if !token.is_empty() {
//!             request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
//!         }
//!         match client.hello(request).await {
//!             Ok(reply) => println!("{what}: {}", reply.into_inner().text),
//!             Err(status) => println!("{what}: {:?}, {}", status.code(), status.message()),
//!         }
//!     }
//!     let mut request = Request::new(HelloRequest::default());
//!     request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
//!     let status = client.shout(request).await.unwrap_err();
//!     println!("a method that is not listed: {:?}, {}", status.code(), status.message());
//!     Ok(())
//! }
//! ```
//!
//! # Call it
//!
//! ```sh
//! cargo run --example issuer    # first terminal: prints three lines, and goes on
//! ```
//! ```sh
//! export ISSUER=…               # second terminal: the first of them
//! cargo run                     # prints `listening on 127.0.0.1:50051`
//! ```
//! ```sh
//! export TOKEN=… POOR_TOKEN=…   # third terminal: the other two
//! cargo run --example client
//! ```
//!
//! The client prints:
//!
//! ```text
//! # output of the client
//! no token: Unauthenticated, an access token is required
//! a token: hello Ada, says robot
//! a token without the scope: PermissionDenied, the access token lacks a required scope
//! a method that is not listed: PermissionDenied, the access token lacks a required scope
//! ```
//!
//! # Next steps
//!
//! - Rules on services and messages, public methods: [`MethodAccess`], and "Protect gRPC with tonic" on the [front page](crate).
//! - gRPC beside other routes in an axum router: [`layers`](super::layers).
//! - What the client is told, and when to try again: [`refusals`](super::refusals).
//! - Streams that should not outlive their token: [`Token::expired`].
//! - Tests without a second process: "Test a service" on the [front page](crate).
//!
//! [`MethodAccess`]: crate::MethodAccess
//! [`Token::expired`]: crate::Token::expired
