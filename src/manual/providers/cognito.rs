//! Amazon Cognito, user pools.
//!
//! The profile is [`Profile::cognito`]. Access tokens of a user pool have no `aud`, unless the client has asked for a token for a
//! resource. So the clients must be listed: they are what tells our tokens from others of the pool.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3")
//!     .clients(["1example23456789"])
//!     .profile(Profile::cognito());
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("-").without_claim("aud").without_header("typ").claim("token_use", "access");
//! # let ours = api.verify(&token.clone().client("1example23456789").sign()).await.unwrap();
//! # assert_eq!(ours.client_id(), Some("1example23456789"));
//! # let refused = api.verify(&token.client("another").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::Client));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss     = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3"
//! profile = "cognito"
//! clients = ["1example23456789"]
//! ```
//!
//! A token of a client on its own:
//!
//! ```json
//! { "alg": "RS256", "kid": "1234example=" }
//! ```
//! ```json
//! {
//!   "sub": "1example23456789",
//!   "token_use": "access",
//!   "scope": "https://orders.example.com/read",
//!   "auth_time": 1800000000,
//!   "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab1Cd2Ef3",
//!   "iat": 1800000000,
//!   "exp": 1800003600,
//!   "version": 2,
//!   "jti": "9a8b7c6d",
//!   "client_id": "1example23456789"
//! }
//! ```
//!
//! # What to watch for
//!
//! - ID tokens come from the same issuer. They have `token_use` `id` and the client in `aud`, and are refused for both.
//! - Scopes are named after a resource server and its scope, such as `https://orders.example.com/read`. A user who has
//!   signed in through the API and not through the hosted page has `aws.cognito.signin.user.admin` only: that is Cognito's
//!   own, and says nothing of your API.
//! - Groups are in `cognito:groups`, as an array: [`Rule::claim`](crate::Rule::claim), or [`Profile::scope_claims`].
//! - If there is an `aud`, it must be ours all the same.
//! - A client of the list that also calls another API can be told from nobody: that API can use its tokens here. With two
//!   APIs, ask for a scope that only this one has.
//!
//! [`Profile::cognito`]: crate::Profile::cognito
//! [`Profile::scope_claims`]: crate::Profile::scope_claims
