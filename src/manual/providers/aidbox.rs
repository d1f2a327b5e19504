//! Aidbox.
//!
//! The profile is [`Profile::aidbox`], for the client credentials grant with `token_format: jwt`. By default tokens are
//! [opaque](#sessions).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://shop.aidbox.app")
//!     .audience("https://orders.example.com")
//!     .clients(["robot"])                // who may call; without this it is an error
//!     .grant("robot", ["orders:read"])   // its tokens hold no scopes
//!     .profile(Profile::aidbox());
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("https://shop.aidbox.app");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").header("typ", "JWT").without_header("kid");
//! # let token = token.without_claim("client_id").claim("sub", "robot");
//! # let robot = api.verify(&token.sign()).await.unwrap();
//! # assert!(robot.client_id() == Some("robot") && robot.has_scope("orders:read"));
//! # let id_token = token.clone().claim("aud", "robot").sign();
//! # assert_eq!(api.verify(&id_token).await.unwrap_err().token_error(), Some(TokenError::Audience));
//! # let refresh_token = token.without_claim("exp").sign();
//! # assert_eq!(api.verify(&refresh_token).await.unwrap_err().token_error(), Some(TokenError::Time));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://shop.aidbox.app"
//! profile = "aidbox"
//! clients = ["robot"]
//!
//! [issuer.grants]
//! robot = ["orders:read"]
//! ```
//!
//! A token of a client that has asked for our audience:
//!
//! ```json
//! { "alg": "RS256", "typ": "JWT" }
//! ```
//! ```json
//! {
//!   "iss": "https://shop.aidbox.app",
//!   "sub": "robot",
//!   "aud": "https://orders.example.com",
//!   "iat": 1800000000,
//!   "exp": 1800000300,
//!   "jti": "0d1e2f3a4b"
//! }
//! ```
//!
//! # Sessions
//!
//! An opaque token is a UUID, or one in base64, which stands for a session. It is looked up at `/auth/introspect`, which discovery
//! finds, with the credentials of a client of ours:
//!
//! ```
//! use tower_bearer::{Introspection, Issuer, Profile};
//!
//! # fn secret() -> String { "a secret of ours".to_owned() }
//! let issuer = Issuer::new("https://shop.aidbox.app")
//!     .introspection(Introspection::discovered().basic("orders-api", secret()))
//!     .clients(["web-app"])
//!     .grant("web-app", ["orders:read"])
//!     .profile(Profile::aidbox().optional_audience());   // the answer has no aud
//! # let _ = issuer;
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://shop.aidbox.app"
//! profile = "aidbox"
//! clients = ["web-app"]
//! optional_audience = true
//! introspection = { client_id = "orders-api", client_secret_file = "aidbox-secret" }
//!
//! [issuer.grants]
//! web-app = ["orders:read"]
//! ```
//!
//! The answer, whose members no document lists; these are the least that it must have:
//!
//! ```json
//! { "active": true, "client_id": "web-app", "sub": "web-app" }
//! ```
//!
//! A session without an end is asked about again after [`ENDLESS_ACTIVE_FOR`](crate::manual::defaults::ENDLESS_ACTIVE_FOR).
//! For both kinds of token at one server, write `discovery = true` too; JWTs without `aud` are then accepted of these clients.
//!
//! # What to watch for
//!
//! - A client chooses the audience itself: `aud` alone keeps none of this Aidbox out. List the clients.
//! - There is an `aud` only if the client asks with `audience`. Have it ask.
//! - The same key signs ID tokens, whose `aud` is the client, and refresh tokens, which have no `exp` and no `aud`. Both are
//!   refused for that.
//! - `sub` is the client in the client credentials grant only. Where users log in, it is the user; do not use this there.
//! - The key has no `kid`. It is a new one at each start of Aidbox unless its `BOX_AUTH_KEYS_…` settings are set. A token with a
//!   new key is then a reason to fetch the set again, as with a `kid` that is unknown.
//!
//! [`Profile::aidbox`]: crate::Profile::aidbox
