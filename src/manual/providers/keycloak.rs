//! Keycloak.
//!
//! The profile is [`Profile::keycloak`]. Each realm is an issuer.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://id.example.com/realms/shop")
//!     .audience("orders")   // what the audience mapper writes
//!     .profile(Profile::keycloak());
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("https://id.example.com/realms/shop");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("orders").header("typ", "JWT").without_claim("client_id").claim("azp", "robot");
//! # let access = api.verify(&token.clone().claim("typ", "Bearer").sign()).await.unwrap();
//! # assert_eq!(access.client_id(), Some("robot"));
//! # let refused = api.verify(&token.claim("typ", "ID").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::ClaimValue));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss      = "https://id.example.com/realms/shop"
//! audience = ["orders"]
//! profile  = "keycloak"
//! ```
//!
//! A token of a client on its own (service account):
//!
//! ```json
//! { "alg": "RS256", "typ": "JWT", "kid": "FJ86GcF3" }
//! ```
//! ```json
//! {
//!   "exp": 1800000300,
//!   "iat": 1800000000,
//!   "jti": "trrtcc:0d1e2f3a",
//!   "iss": "https://id.example.com/realms/shop",
//!   "aud": ["orders", "account"],
//!   "sub": "f1c4f64e-2c0c-4cda-8c9f-9f3f8f3a2b0e",
//!   "typ": "Bearer",
//!   "azp": "robot",
//!   "realm_access": { "roles": ["clerk", "offline_access"] },
//!   "resource_access": { "orders": { "roles": ["reader"] } },
//!   "scope": "email orders:read"
//! }
//! ```
//!
//! In tests such a token is `idp.token("orders").header("typ", "JWT").claim("typ", "Bearer").without_claim("client_id").claim("azp",
//! "robot")` of a `testing::Idp`.
//!
//! # What to watch for
//!
//! - `aud` is `account` or absent as long as nobody has said more. Give the clients a client scope with an audience mapper
//!   that adds your API. `account` is every client's: never accept it.
//! - ID tokens are signed with the same keys, and a mapper can put our audience into them too. The claim `typ` tells them
//!   apart: `Bearer`, `ID`. The profile asks for `Bearer`. A token that is bound to a key has `DPoP` there and is refused.
//! - Scopes or roles: `scope` is what the client was granted. Roles are what the user is, in `realm_access` for the realm and in
//!   `resource_access` by client. To go by roles:
//!   `Profile::keycloak().scope_claims(["/resource_access/orders/roles"])`, in a settings file
//!   `scope_claim = ["/resource_access/orders/roles"]`. By default a client has *Full scope allowed*, and its tokens hold all
//!   roles of the user; turn that off for clients that need less.
//! - `iss` is what the realm's frontend URL says. Behind a proxy, or asked from inside, an older Keycloak writes the address that
//!   it was asked at; set its hostname.
//! - A client with *Use "at+jwt" as access token header type* turned on writes that; the profile takes both types.
//!
//! [`Profile::keycloak`]: crate::Profile::keycloak
