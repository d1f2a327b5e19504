//! league/oauth2-server, in PHP, and what is built on it, such as Laravel Passport.
//!
//! The profile is [`Profile::league`]. It writes no `iss` and no `kid`, and puts the client into `aud`. Nothing in a token says
//! for whom it is, so the clients must be listed.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Keys, Profile};
//!
//! # let public_key = "";
//! let issuer = Issuer::unnamed("shop")
//!     .keys(Keys::pem(public_key))   // oauth-public.key
//!     .clients(["robot", "printer"])
//!     .profile(Profile::league());
//! # use tower_bearer::{ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("-");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = |aud: &str| idp.token(aud).header("typ", "JWT").without_header("kid").without_claim("iss");
//! # let robot = api.verify(&token("robot").claim("scopes", vec!["orders:read"]).sign()).await.unwrap();
//! # assert!(robot.client_id() == Some("robot") && robot.has_scope("orders:read"));
//! # let refused = api.verify(&token("another").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::Audience));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! name     = "shop"
//! pem_file = "oauth-public.key"
//! profile  = "league"
//! clients  = ["robot", "printer"]
//! ```
//!
//! A token of the client credentials grant:
//!
//! ```json
//! { "typ": "JWT", "alg": "RS256" }
//! ```
//! ```json
//! {
//!   "aud": "robot",
//!   "jti": "5f0e8a0c41",
//!   "iat": 1800000000.090978,
//!   "nbf": 1800000000.090979,
//!   "exp": 1800003600.08965,
//!   "sub": "",
//!   "scopes": ["orders:read"]
//! }
//! ```
//!
//! # What to watch for
//!
//! - There is one key, in a file, and no rotation: replace the file and restart.
//! - `sub` is the user. In the client credentials grant it is empty, from version 9 on it is the client.
//! - Dates have microseconds since version 8.2.
//! - Which scopes a client gets is for the application's `ScopeRepository`. If that grants whatever is asked for:
//!   [`Profile::untrusted_scopes`].
//! - Revoked tokens are in the server's database, and accepted here until `exp`.
//! - With two such systems a token is tried with the keys of both; narrow a layer to one with
//!   [`BearerAuthLayer::issuers`](crate::BearerAuthLayer::issuers).
//!
//! [`Profile::league`]: crate::Profile::league
//! [`Profile::untrusted_scopes`]: crate::Profile::untrusted_scopes
