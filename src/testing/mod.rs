//! For tests and demonstrations: an identity provider whose tokens are really signed and really verified.
//!
//! Nothing here weakens a check. [`Idp`] signs tokens of any shape and publishes its keys in memory;
//! [`AuthorizationServer`] hands tokens out over HTTP by the client credentials grant, on a [`Loopback`] port or elsewhere; [`ManualClock`] is a time that
//! a test sets. Signatures are made by another implementation than the one that verifies them.
//! [`systems`] are five documented authorization servers, with their odd tokens.
//! [`HostileTokens`] are what an attacker would send, to be tried on a service's own settings in one call.
//!
//! ```
//! use std::time::Duration;
//! use tower_bearer::testing::{Idp, ManualClock};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let clock = ManualClock::new();
//! let idp = Idp::new("https://id.example.com").clock(clock.clone());
//! let api = idp.resource_server("https://api.example.com");
//!
//! let token = idp.token("https://api.example.com").client("robot").scopes(["orders:read"]).sign();
//! assert_eq!(api.verify(&token).await.unwrap().client_id(), Some("robot"));
//!
//! clock.advance(Duration::from_secs(3600));
//! assert!(api.verify(&token).await.is_err());
//! # }
//! ```

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a fault in a test kit should stop the test, as far from production as it is"
)]

mod authorization_server;
mod clock;
#[cfg_attr(feature = "aws-lc-rs", path = "hmac_rust_crypto.rs")]
#[cfg_attr(not(feature = "aws-lc-rs"), path = "hmac_aws_lc_rs.rs")]
mod hmac;
mod hostile;
mod idp;
mod key;
mod loopback;
pub mod systems;
mod token;

pub use authorization_server::AuthorizationServer;
pub use clock::ManualClock;
pub use hostile::{HostileToken, HostileTokens, NotRefused};
pub use idp::Idp;
pub use loopback::{Loopback, Serving};
pub use token::TokenBuilder;

/// `length` random bytes as hexadecimal digits, from the operating system: for a secret that is new at each start.
///
/// # Panics
/// If the operating system has none.
#[must_use]
pub fn random_hex(length: usize) -> String {
    random_bytes(length).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    bytes
}
