//! ClickView smart embeds.
//!
//! The profile is [`Profile::clickview`]. ClickView's documents show a JWT and its token endpoint, `/connect/token`, and not much
//! more. That it is an [IdentityServer](super::identity_server) is inferred, and the profile is the same. Look at a token.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://login.clickview.example").audience("embeds").profile(Profile::clickview());
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://login.clickview.example");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("embeds").without_claim("sub").claim("scope", vec!["read"]);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert_eq!((token.client_id(), token.subject()), (Some("client"), None));
//! # assert!(token.scopes().contains("read"));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss      = "https://login.clickview.example"
//! audience = ["embeds"]
//! profile  = "clickview"
//! ```
//!
//! A token, as an IdentityServer would write it:
//!
//! ```json
//! { "alg": "RS256", "kid": "1F2E3D4C5B6A7988", "typ": "at+jwt" }
//! ```
//! ```json
//! {
//!   "iss": "https://login.clickview.example",
//!   "nbf": 1800000000,
//!   "iat": 1800000000,
//!   "exp": 1800086400,
//!   "aud": "embeds",
//!   "scope": ["read"],
//!   "client_id": "robot",
//!   "jti": "A1B2C3D4E5"
//! }
//! ```
//!
//! # What to watch for
//!
//! - The real `iss` and `aud` are not known here.
//! - `aud` may be absent, as with an IdentityServer that has no resource defined. Then accept that, and let the clients and a
//!   scope on every route say what the audience does not:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://login.clickview.example")
//!     .clients(["robot"])
//!     .profile(Profile::clickview().optional_audience());
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("https://login.clickview.example");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("-").without_claim("aud");
//! # assert!(api.verify(&token.clone().client("robot").sign()).await.is_ok());
//! # let refused = api.verify(&token.client("another").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::Client));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://login.clickview.example"
//! profile = "clickview"
//! clients = ["robot"]
//! optional_audience = true
//! ```
//!
//! [`Profile::clickview`]: crate::Profile::clickview
