//! Microsoft Entra ID, formerly Azure Active Directory.
//!
//! An API gets tokens of version 1.0 or 2.0: its registration says which (`requestedAccessTokenVersion`), not the endpoint
//! at which a client asks. The profiles are [`Profile::entra_v1`] and [`Profile::entra_v2`]; take 2.0 if you can choose.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://login.microsoftonline.com/5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b/v2.0")
//!     .audience("8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f")   // the application id of the API
//!     .profile(Profile::entra_v2());
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://login.microsoftonline.com/5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b/v2.0");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f").header("typ", "JWT").without_claim("client_id");
//! # let token = token.claim("azp", "robot").claim("ver", "2.0").claim("roles", vec!["Orders.Read.All"]);
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert!(token.client_id() == Some("robot") && token.has_scope("Orders.Read.All"));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss      = "https://login.microsoftonline.com/5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b/v2.0"
//! audience = ["8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f"]
//! profile  = "entra_v2"
//! ```
//!
//! A token of version 2.0 of an application that acts on its own:
//!
//! ```json
//! { "alg": "RS256", "typ": "JWT", "kid": "nOo3ZDrO" }
//! ```
//! ```json
//! {
//!   "aud": "8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f",
//!   "iss": "https://login.microsoftonline.com/5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b/v2.0",
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "exp": 1800003900,
//!   "azp": "1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c",
//!   "azpacr": "1",
//!   "oid": "77aa88bb-dddd-4c99-8d00-1e2f3a4b5c6d",
//!   "sub": "77aa88bb-dddd-4c99-8d00-1e2f3a4b5c6d",
//!   "tid": "5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b",
//!   "roles": ["Orders.Read.All"],
//!   "ver": "2.0"
//! }
//! ```
//!
//! One of version 1.0 for a user. The issuer is another, with a slash at the end, and the audience may be a URI:
//!
//! ```json
//! { "alg": "RS256", "typ": "JWT", "kid": "nOo3ZDrO", "x5t": "nOo3ZDrO" }
//! ```
//! ```json
//! {
//!   "aud": "api://8d7c6b5a-bbbb-4c3d-8e2f-0a1b2c3d4e5f",
//!   "iss": "https://sts.windows.net/5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b/",
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "exp": 1800003900,
//!   "appid": "1b2c3d4e-cccc-4f5a-8b7c-9d0e1f2a3b4c",
//!   "appidacr": "1",
//!   "oid": "99cc00dd-eeee-4aaa-8bbb-2f3a4b5c6d7e",
//!   "sub": "pairwise-for-ann",
//!   "tid": "5f1a0e3c-aaaa-4b6e-9d52-1c2d3e4f5a6b",
//!   "scp": "Orders.Read",
//!   "ver": "1.0"
//! }
//! ```
//!
//! # What to watch for
//!
//! - For a user there is `scp`: what the user has let the application do. For an application on its own there is `roles`
//!   instead. The profiles take the first of them that is there, so a route for both asks for one of two:
//!   `any_of(["Orders.Read", "Orders.Read.All"])`. A user's own roles, which are in `roles` beside `scp`, are no scopes; a
//!   [`Rule::claim`](crate::Rule::claim) asks for them.
//! - An application without any role can still get a token for the API, unless the registration asks for an assignment.
//!   Have every route ask for a scope.
//! - Several tenants: one [`Issuer`](crate::Issuer) for each that you list. There is no issuer for all of them: the `iss` of the
//!   `common` endpoint is a template, and whoever opens a tenant would be trusted.
//! - Version 1.0: the documents name discovery under `https://login.microsoftonline.com/{tenant}/`, and the tokens say
//!   `https://sts.windows.net/{tenant}/`. If it is not found under the latter, give the keys: [`Keys::jwks_url`] with
//!   `https://login.microsoftonline.com/{tenant}/discovery/keys`.
//! - A token for Microsoft Graph has a `nonce` in its header, and its signature does not hold for anybody else. It is refused
//!   for its audience before that. The client asked for the wrong scope: it wants one of the API's own,
//!   such as `api://…/.default`.
//! - `sub` of a user is another for each application; `oid` with `tid` is the same everywhere. `idtyp`, if asked for as an
//!   optional claim, is `app` for an application on its own.
//!
//! [`Profile::entra_v1`]: crate::Profile::entra_v1
//! [`Profile::entra_v2`]: crate::Profile::entra_v2
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
