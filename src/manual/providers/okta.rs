//! Okta.
//!
//! The profile is [`Profile::okta`], for a custom authorization server (API Access Management). One is called `default`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://shop.okta.com/oauth2/default")
//!     .audience("https://orders.example.com")   // the audience of the authorization server
//!     .profile(Profile::okta());
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://shop.okta.com/oauth2/default");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").without_header("typ").without_claim("client_id");
//! # let token = token.claim("cid", "robot").claim("scp", vec!["orders:read"]);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert!(token.client_id() == Some("robot") && token.has_scope("orders:read"));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://shop.okta.com/oauth2/default"
//! profile = "okta"
//! ```
//!
//! A token of a user:
//!
//! ```json
//! { "alg": "RS256", "kid": "ZkvelLN" }
//! ```
//! ```json
//! {
//!   "ver": 1,
//!   "jti": "AT.MNAoEQ",
//!   "iss": "https://shop.okta.com/oauth2/default",
//!   "aud": "https://orders.example.com",
//!   "sub": "ann@example.com",
//!   "iat": 1800000000,
//!   "exp": 1800003600,
//!   "cid": "0oa7robot",
//!   "uid": "00u9ann",
//!   "scp": ["openid", "orders:read"]
//! }
//! ```
//!
//! # What to watch for
//!
//! - Tokens of the *org* authorization server, whose `iss` is `https://shop.okta.com` without a path, are for Okta itself. Okta
//!   says to treat them as opaque: what they look like and how they are signed may change. Do not trust that issuer here.
//! - A custom authorization server is an issuer, and its audience is one for all: two APIs behind one authorization server
//!   accept each other's tokens. Tell them apart by scopes, or give each a server.
//! - ID tokens have the same issuer. They have no `cid`.
//!
//! [`Profile::okta`]: crate::Profile::okta
