//! Auth0.
//!
//! The profile is [`Profile::auth0`], for Auth0's own token profile, the one that an API has unless it is set otherwise.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://shop.eu.auth0.com/")   // with the slash
//!     .audience("https://orders.example.com")              // the identifier of the API at Auth0
//!     .profile(Profile::auth0());
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://shop.eu.auth0.com/");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").header("typ", "JWT").without_claim("client_id");
//! # let token = api.verify(&token.claim("azp", "robot").sign()).await.unwrap();
//! # assert_eq!(token.client_id(), Some("robot"));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://shop.eu.auth0.com/"
//! profile = "auth0"
//! ```
//!
//! A token of a user who is logged in to an application:
//!
//! ```json
//! { "alg": "RS256", "typ": "JWT", "kid": "Zk3b1x" }
//! ```
//! ```json
//! {
//!   "iss": "https://shop.eu.auth0.com/",
//!   "sub": "auth0|6553da60a54a",
//!   "aud": ["https://orders.example.com", "https://shop.eu.auth0.com/userinfo"],
//!   "azp": "K1AUPhZq8mRi",
//!   "iat": 1800000000,
//!   "exp": 1800086400,
//!   "scope": "openid profile orders:read"
//! }
//! ```
//!
//! # What to watch for
//!
//! - A request for a token needs `audience`. Without it Auth0 answers with an opaque token.
//! - `aud` is an array when the client also asks for `openid`: one entry is ours, the other the userinfo endpoint.
//! - With role-based access control *off*, an application gets every scope of the API that it asks for on behalf of a user.
//!   Turn it on, or take the scopes for no permission: [`Profile::untrusted_scopes`].
//! - With *Add Permissions in the Access Token* there also is `permissions`: all that the user may do, whatever the
//!   application has asked for. `Profile::auth0().scope_claims(["permissions"])` goes by it. That is for an API whose
//!   applications are all yours: to another's application a user may have granted less.
//! - In the client credentials grant `sub` is the client with `@clients` behind it, and `azp` is the plain client.
//! - An API that is set to the RFC 9068 token profile writes `at+jwt` and `client_id`: [`Profile::rfc9068`].
//!
//! [`Profile::auth0`]: crate::Profile::auth0
//! [`Profile::rfc9068`]: crate::Profile::rfc9068
//! [`Profile::untrusted_scopes`]: crate::Profile::untrusted_scopes
