//! OroCommerce and OroPlatform.
//!
//! The profile is [`Profile::oro`]. It is a [league/oauth2-server](super::league) that grants every scope that a client asks for, so
//! the scopes of its tokens count for nothing. Say here what each client may do.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Keys, Profile};
//!
//! # let public_key = "";
//! let issuer = Issuer::unnamed("oro")
//!     .keys(Keys::pem(public_key))
//!     .clients(["robot", "printer"])
//!     .grant("robot", ["orders:read", "orders:write"])
//!     .profile(Profile::oro());
//! # use tower_bearer::{ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("-");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = |aud: &str| idp.token(aud).header("typ", "JWT").without_header("kid").without_claim("iss");
//! # let robot = token("robot").claim("sub", "").claim("scopes", vec!["admin"]);
//! # let robot = api.verify(&robot.sign()).await.unwrap();
//! # assert_eq!((robot.client_id(), robot.subject()), (Some("robot"), None));
//! # assert_eq!(robot.scopes().to_string(), "orders:read orders:write");
//! # let refused = api.verify(&token("another").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::Audience));
//! # }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! name     = "oro"
//! pem_file = "oauth_public.key"
//! profile  = "oro"
//! clients  = ["robot", "printer"]
//!
//! [issuer.grants]
//! robot = ["orders:read", "orders:write"]
//! ```
//!
//! A token of Oro 5 or later:
//!
//! ```json
//! { "typ": "JWT", "alg": "RS256" }
//! ```
//! ```json
//! {
//!   "aud": "robot",
//!   "jti": "c1e5ab6f04",
//!   "iat": 1800000000.090978,
//!   "nbf": 1800000000.090979,
//!   "exp": 1800003600.08965,
//!   "sub": "",
//!   "scopes": []
//! }
//! ```
//!
//! # What to watch for
//!
//! - Back office and storefront do not differ in any claim, but in which clients they know. Where they must not be mixed up, list
//!   the clients of one, or make two routes:
//!
//! ```
//! use tower_bearer::Rule;
//!
//! let back_office = Rule::issuers(["oro"]).and(Rule::clients(["robot", "printer"]));
//! # let _ = back_office;
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! name     = "oro"
//! pem_file = "oauth_public.key"
//! profile  = "oro"
//! clients  = ["robot", "printer", "shop"]
//!
//! [[route]]
//! path    = "/orders"
//! issuers = ["oro"]
//! clients = ["robot", "printer"]
//!
//! [[route]]
//! path    = "/cart"
//! issuers = ["oro"]
//! clients = ["shop"]
//! ```
//!
//! - Oro 4.1 has `jti` in the header too, and dates without fractions.
//!
//! [`Profile::oro`]: crate::Profile::oro
