//! ZITADEL.
//!
//! The profile is [`Profile::zitadel`]. It needs access tokens of the type JWT, which is set for each application and for each
//! service user; the default is opaque. The roles of a claim that you name count as scopes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let issuer = Issuer::new("https://shop-x1y2z3.zitadel.cloud")
//!     .audience("294645919545032706")   // the id of the project
//!     .profile(Profile::zitadel().scope_claims(["urn:zitadel:iam:org:project:294645919545032706:roles"]));
//! # use tower_bearer::{Keys, ResourceServer, testing::Idp};
//! # let idp = Idp::new("https://shop-x1y2z3.zitadel.cloud");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let roles = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
//! # let token = idp.token("294645919545032706").header("typ", "JWT");
//! # let token = token.claim("urn:zitadel:iam:org:project:roles", roles(r#"{"admin": {"1": "b.example.com"}}"#));
//! # let ours = "urn:zitadel:iam:org:project:294645919545032706:roles";
//! # let token = token.claim(ours, roles(r#"{"reader": {"1": "a.example.com"}}"#));
//! # let token = api.verify(&token.sign()).await.unwrap();
//! # assert_eq!(token.scopes().to_string(), "reader");
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss         = "https://shop-x1y2z3.zitadel.cloud"
//! audience    = ["294645919545032706"]
//! profile     = "zitadel"
//! scope_claim = ["urn:zitadel:iam:org:project:294645919545032706:roles"]
//! ```
//!
//! A token of a user. The roles are an object of objects; their names count, and what is in them is the organization:
//!
//! ```json
//! { "alg": "RS256", "kid": "296393392504", "typ": "JWT" }
//! ```
//! ```json
//! {
//!   "iss": "https://shop-x1y2z3.zitadel.cloud",
//!   "sub": "286399320075272196",
//!   "aud": ["303912345678901234", "294645919545032706"],
//!   "exp": 1800043200,
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "client_id": "303912345678901234",
//!   "jti": "V2_296398617516703746-at_296398617516769282",
//!   "urn:zitadel:iam:org:project:294645919545032706:roles": { "reader": { "286399320000000001": "shop.example.com" } },
//!   "urn:zitadel:iam:org:project:roles": { "reader": { "286399320000000001": "shop.example.com" } }
//! }
//! ```
//!
//! # What to watch for
//!
//! - **Whose roles?** `urn:zitadel:iam:org:project:roles` holds the roles in the project of the *client*. A client of another
//!   project can ask for our audience (`urn:zitadel:iam:org:project:id:{id}:aud`), and its `admin` is an admin over there. So the profile
//!   reads none of itself: name the claim of our project, as above.
//! - Roles are written if the project asserts them, or if the client asks for them by scope.
//! - An ID token has the same `aud`, the project included, and the same roles. It has no `jti`; the profile asks for one.
//! - `scope` is not in the token.
//! - A role is granted within an organization. If yours has customers with organizations of their own, a role's name is not
//!   enough: read the claim in the handler ([`Token::claims`](crate::Token::claims)).
//!
//! [`Profile::zitadel`]: crate::Profile::zitadel
