//! Tarkov Database.
//!
//! The profile is [`Profile::tarkov_database`]. Its tokens have no `iss` and no `kid`. They bring a chain of certificates along, in
//! `x5c`, which leads up to a root that is known in advance.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Algorithm, Issuer, Keys, Profile};
//!
//! # let public_key = "";
//! let issuer = Issuer::unnamed("tarkov")
//!     .keys(Keys::pem(public_key))   // of the present certificate, until that is replaced
//!     .algorithms([Algorithm::Ed25519])
//!     .audience("rest-api")
//!     .profile(Profile::tarkov_database());
//! # use tower_bearer::{ResourceServer, any_of, testing::Idp};
//! # let idp = Idp::with_algorithms("-", [Algorithm::Ed25519]);
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("rest-api").header("typ", "access").header("x5c", vec!["not read"]).without_header("kid");
//! # let token = token.without_claim("iss").without_claim("client_id").claim("scope", vec!["read:all"]);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert_eq!(token.client_id(), Some("client"));
//! # assert!(token.require(&any_of(["read:item", "read:all"])).is_ok());
//! # }
//! ```
//!
//! ```text
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! name          = "tarkov"
//! x5c_root_file = "root.pem"
//! algorithms    = ["Ed25519"]
//! audience      = ["rest-api"]
//! profile       = "tarkov_database"
//!
//! [implies]
//! "read:all" = ["read:item"]
//! ```
//!
//! A token. The certificates are cut short:
//!
//! ```json
//! { "alg": "EdDSA", "typ": "access", "x5c": ["MIIBfTCC", "MIIBjDCC"], "x5t#S256": "jv3aK1hw" }
//! ```
//! ```json
//! {
//!   "aud": ["rest-api"],
//!   "exp": 1800001800,
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "scope": ["read:item"],
//!   "sub": "5f1a0e3c9d521c2d3e4f5a6b"
//! }
//! ```
//!
//! # What to watch for
//!
//! - `sub` is the record of the client, 24 hexadecimal digits, and not the client id that it sends for a token.
//! - Its own API takes `read:all` where it asks for `read:item`. [`ResourceServerBuilder::implies`] says that once for all
//!   routes; `any_of(["read:item", "read:all"])` says it for one.
//! - `x5t#S256` is not what RFC 7515 says. It is not looked at.
//! - A token lives for half an hour.
//!
//! [`Profile::tarkov_database`]: crate::Profile::tarkov_database
//! [`ResourceServerBuilder::implies`]: crate::ResourceServerBuilder::implies
