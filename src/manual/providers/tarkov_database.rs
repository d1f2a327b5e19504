//! Tarkov Database.
//!
//! The profile is [`Profile::tarkov_database`]. Its tokens have no `iss` and no `kid`. They bring a chain of certificates along, in
//! `x5c`, which leads up to a root that is known in advance.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_bearer::{Algorithm, Issuer, Keys, Profile, ResourceServer};
//!
//! # use tower_bearer::{TokenError, all_of, testing::systems::TarkovDatabase};
//! # const CLIENT: &str = "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c";
//! # let tarkov = TarkovDatabase::new(["rest-api"]).client(CLIENT, "its secret", ["read:all"]).serve().await?;
//! # let root = tarkov.root_pem();
//! let issuer = Issuer::unnamed("tarkov")
//!     .keys(Keys::x5c(root))   // the root's certificate; needs the feature x5c
//!     .algorithms([Algorithm::Ed25519])
//!     .audience("rest-api")
//!     .profile(Profile::tarkov_database());
//! let api = ResourceServer::builder("https://orders.example.com")
//!     .issuer(issuer)
//!     .implies("read:all", ["read:item"])
//!     .build()?;
//! # let token = api.verify(&tarkov.token(CLIENT).sign()).await?;
//! # assert_eq!(token.client_id(), Some(tarkov.record(CLIENT)));
//! # assert!(token.require(&all_of(["read:item"])).is_ok());
//! # tarkov.rotate_key(); // the next leaf under the same root
//! # assert!(api.verify(&tarkov.token(CLIENT).sign()).await.is_ok());
//! # let strange = api.verify(&tarkov.token_under_a_strange_root(CLIENT).sign()).await.unwrap_err();
//! # assert_eq!(strange.token_error(), Some(TokenError::Certificate));
//! # Ok(()) }
//! ```
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! name          = "tarkov"
//! x5c_root_file = "root.pem"
//! algorithms    = ["Ed25519"]
//! audience      = ["rest-api"]
//! profile       = "tarkov_database"
//!
//! [implies]
//! "read:all" = ["read:item"]
//! ```
//!
//! A token. The certificates are cut short:
//!
//! ```json
//! { "alg": "EdDSA", "typ": "access", "x5c": ["MIIBfTCC", "MIIBjDCC"], "x5t#S256": "jv3aK1hw" }
//! ```
//! ```json
//! {
//!   "aud": ["rest-api"],
//!   "exp": 1800001800,
//!   "iat": 1800000000,
//!   "nbf": 1800000000,
//!   "scope": ["read:item"],
//!   "sub": "5f1a0e3c9d521c2d3e4f5a6b"
//! }
//! ```
//!
//! # What to watch for
//!
//! - `sub` is the record of the client, 24 hexadecimal digits, and not the client id that it sends for a token.
//! - Its own API takes `read:all` where it asks for `read:item`. [`ResourceServerBuilder::implies`] says that once for all
//!   routes; `any_of(["read:item", "read:all"])` says it for one.
//! - `x5t#S256` is not what RFC 7515 says. It is not looked at.
//! - A token lives for half an hour. The next leaf needs nothing from us, as long as it leads to the same root.
//!
//! [`Profile::tarkov_database`]: crate::Profile::tarkov_database
//! [`ResourceServerBuilder::implies`]: crate::ResourceServerBuilder::implies
