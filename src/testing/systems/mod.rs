//! Five documented authorization servers, as their clients and resource servers meet them: each answers token requests as
//! its documents and sources say, errors included, and writes tokens in its own odd shape.
//!
//! For tests of settings, and of clients. Each is given its clients and served on a port of this machine. `token` gives
//! what it would sign as a [`TokenBuilder`], to be changed and signed: a token that must be refused.
//!
//! ```
//! use tower_bearer::testing::systems::OroCommerce;
//! use tower_bearer::{Issuer, Keys, Profile, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let oro = OroCommerce::new().client("robot", "its secret").serve().await?;
//! let issuer = Issuer::unnamed("oro")
//!     .keys(Keys::pem(oro.public_key_pem()))
//!     .clients(["robot"])
//!     .profile(Profile::oro());
//! let api = ResourceServer::builder("https://api.example.com").issuer(issuer).build()?;
//!
//! let token = oro.token("robot"); // or by a request to `{oro.url()}/oauth2-token`
//! assert_eq!(api.verify(&token.sign()).await?.client_id(), Some("robot"));
//! assert!(api.verify(&token.by_a_stranger().sign()).await.is_err());
//! # Ok(()) }
//! ```
//!
//! # What is reproduced, and where it is known from
//!
//! | | token endpoint | token | keys, look-up | known from |
//! |---|---|---|---|---|
//! | [`ClickView`] | `/connect/token`: form, Basic | RS256, `at+jwt`, `kid`; `scope` is an array, no `sub`; or a reference | discovery, key set, `/connect/introspect` | request and answer: ClickView's page on client credentials; the rest: sources of Duende IdentityServer, which its paths and libraries point to |
//! | [`Wicked`] | `/auth/(method)/api/(api)/token`: form, JSON, Basic | opaque, 32 letters and digits, for one API | Kong's admin port: `/oauth2_tokens`, `/oauth2`, `/consumers` | request and answer: wicked's page; errors: sources of wicked.auth; the lists: sources of Kong 0.14 and later |
//! | [`TarkovDatabase`] | `/v1/oauth/token`: JSON | EdDSA, `access`, `x5c`; no `iss`; `sub` is the client's record | a root certificate | request: its page, whose sample is no JSON; the rest: sources of its identity service, the shape of `x5t#S256` from a token that they made |
//! | [`OroCommerce`] | `/oauth2-token`: JSON, form, Basic | RS256, no `kid`, no `iss`; `aud` is the client, dates have microseconds | a PEM file | request and answer: Oro's page; the rest: sources of Oro's bundle, and tokens of the league/oauth2-server that it uses |
//! | [`Aidbox`] | `/auth/token`, `/oauth2/token`: JSON, form, Basic | opaque; or RS256, no `kid`, `sub` is the client | one key without `kid`, `/auth/introspect` | its pages and the tokens printed there; what its token endpoint answers to a bad request, and whom introspection answers, is not documented: as the RFCs have it |
//!
//! Descriptions of errors are not theirs word for word. Of a parameter that is sent twice, the last counts.

mod aidbox;
mod chain;
mod clickview;
mod kong;
mod oro;
mod request;
mod serve;
mod sessions;
mod tarkov_database;
mod wicked;

pub use aidbox::Aidbox;
pub use chain::Leaf;
pub use clickview::ClickView;
pub use oro::OroCommerce;
pub use serve::Served;
pub use tarkov_database::TarkovDatabase;
pub use wicked::Wicked;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{TokenBuilder, random_hex};
use crate::time::{Clock, SystemClock};

/// The time by which a system lives.
struct Time(Arc<dyn Clock>);

impl Time {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn seconds(&self) -> u64 {
        since_epoch(self.now()).as_secs()
    }
}

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(SystemClock))
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Sets `iat`, `nbf` and `exp` to whole seconds.
fn dated(token: TokenBuilder, issued: u64, lifetime: Duration) -> TokenBuilder {
    token.claim("iat", issued).claim("nbf", issued).claim("exp", issued.saturating_add(lifetime.as_secs()))
}

/// A discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2) with the paths of the key set and two endpoints.
fn metadata(issuer: &str, url: &str, keys: &str, token: &str, introspection: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{url}{keys}"),
        "token_endpoint": format!("{url}{token}"),
        "introspection_endpoint": format!("{url}{introspection}"),
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

fn uuid() -> String {
    let hex = random_hex(16);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn owned<I: IntoIterator<Item: Into<String>>>(items: I) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

/// Configurations hold secrets and private keys.
macro_rules! opaque {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}
opaque!(Aidbox, ClickView, OroCommerce, TarkovDatabase, Wicked);
