//! Google.
//!
//! Google's access tokens are for Google's own APIs; to anybody else they are opaque. What a service on Google Cloud (Scheduler,
//! Tasks, Pub/Sub) or a service account sends to an API of yours is an *ID token* made for your audience. The profile for it
//! is [`Profile::google`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://accounts.google.com")
//!     .also("accounts.google.com")             // the other spelling
//!     .audience("https://orders.example.com")  // what the sender was told
//!     .clients(["107145139691231222712"])      // who may send; without this it is an error
//!     .grant("107145139691231222712", ["orders:write"])
//!     .profile(Profile::google());
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("accounts.google.com");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").header("typ", "JWT").without_claim("client_id");
//! # let ours = api.verify(&token.clone().claim("azp", "107145139691231222712").sign()).await.unwrap();
//! # assert!(ours.issuer() == "https://accounts.google.com" && ours.has_scope("orders:write"));
//! # let refused = api.verify(&token.claim("azp", "anybody").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::Client));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://accounts.google.com"
//! also    = ["accounts.google.com"]
//! profile = "google"
//! clients = ["107145139691231222712"]
//!
//! [issuer.grants]
//! "107145139691231222712" = ["orders:write"]
//! ```
//!
//! A token of a service account:
//!
//! ```json
//! { "alg": "RS256", "kid": "5d887f26ce32", "typ": "JWT" }
//! ```
//! ```json
//! {
//!   "aud": "https://orders.example.com",
//!   "azp": "107145139691231222712",
//!   "email": "robot@shop.iam.gserviceaccount.com",
//!   "email_verified": true,
//!   "exp": 1800003600,
//!   "iat": 1800000000,
//!   "iss": "https://accounts.google.com",
//!   "sub": "107145139691231222712"
//! }
//! ```
//!
//! # What to watch for
//!
//! - **The audience proves nothing.** Whoever has a service account, anywhere, gets a token for any audience that they name. List the
//!   accounts: [`Issuer::clients`].
//! - `azp` of a service account is its unique id, a number, if the token came from the metadata server, and its e-mail
//!   address if it was made with a key file. `sub` is the number in both, so where senders differ:
//!   `Profile::google().client_claims(["sub"])`. Prefer the number: an address can be given to a new account once its own
//!   is deleted.
//! - In a token of a person who has logged in to an application, `aud` and `azp` are OAuth clients, and `sub` is the person. It
//!   says who somebody is, and is no permission for an API.
//! - There are no scopes. [`Issuer::grant`] gives some.
//!
//! [`Profile::google`]: crate::Profile::google
//! [`Issuer::clients`]: crate::Issuer::clients
//! [`Issuer::grant`]: crate::Issuer::grant
