//! Duende IdentityServer.
//!
//! The profile is [`Profile::identity_server`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://id.example.com")
//!     .audience("orders")   // the name of the ApiResource
//!     .profile(Profile::identity_server());
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://id.example.com");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("orders").without_claim("sub").claim("scope", vec!["orders:read"]);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert_eq!((token.client_id(), token.subject()), (Some("client"), None));
//! # assert!(token.has_scope("orders:read"));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss      = "https://id.example.com"
//! audience = ["orders"]
//! profile  = "identity_server"
//! ```
//!
//! A token of the client credentials grant:
//!
//! ```json
//! { "alg": "RS256", "kid": "9E4C0F6D2B8A7153", "typ": "at+jwt" }
//! ```
//! ```json
//! {
//!   "iss": "https://id.example.com",
//!   "nbf": 1800000000,
//!   "iat": 1800000000,
//!   "exp": 1800003600,
//!   "aud": "orders",
//!   "scope": ["orders:read"],
//!   "client_id": "robot",
//!   "jti": "7B1F0C3A9D"
//! }
//! ```
//!
//! # Reference tokens
//!
//! A client whose access tokens are references sends 64 hexadecimal digits and `-1`. They are looked up with the name and the
//! secret of the `ApiResource`. With keys beside it, both kinds are accepted:
//!
//! ```
//! use tower_bearer::{Introspection, Issuer, Keys, Profile};
//!
//! # fn secret() -> String { "a secret of ours".to_owned() }
//! let issuer = Issuer::new("https://id.example.com")
//!     .audience("orders")
//!     .keys(Keys::discovery())
//!     .introspection(Introspection::discovered().basic("orders", secret()))
//!     .profile(Profile::identity_server());
//! # let _ = issuer;
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss       = "https://id.example.com"
//! audience  = ["orders"]
//! profile   = "identity_server"
//! discovery = true
//! introspection = { client_id = "orders", client_secret_file = "orders-secret" }
//! ```
//!
//! The answer names those scopes only that belong to the `ApiResource`, and a token with none of them is not active for it:
//!
//! ```json
//! {
//!   "active": true,
//!   "iss": "https://id.example.com",
//!   "nbf": 1800000000,
//!   "iat": 1800000000,
//!   "exp": 1800003600,
//!   "aud": "orders",
//!   "client_id": "robot",
//!   "scope": "orders:read"
//! }
//! ```
//!
//! # What to watch for
//!
//! - Without an `ApiResource` tokens have no `aud`. Define one. With `EmitStaticAudienceClaim` there is an audience that ends in
//!   `/resources`, the same for every API: it tells yours from none.
//! - `sub` is absent in the client credentials grant, so [`Profile::rfc9068`] refuses such tokens. With
//!   `EmitScopesAsSpaceDelimitedStringInJwt` the scopes are a string; the profile takes both.
//! - An older IdentityServer4 may have been set to write `JWT`: `.types(["at+jwt", "JWT"])`. Its ID tokens have that type too.
//! - A new key is published 14 days before it signs.
//!
//! [`Profile::identity_server`]: crate::Profile::identity_server
//! [`Profile::rfc9068`]: crate::Profile::rfc9068
