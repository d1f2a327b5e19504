//! Cryptography by others, behind one private type per kind of key.
//!
//! A key is prepared once, when it is imported; verifying a token then parses nothing. Both backends accept
//! exactly the same tokens; with both compiled in, aws-lc-rs is used because it is several times faster.

#[cfg(feature = "aws-lc-rs")]
#[path = "aws_lc_rs.rs"]
mod live;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
#[path = "rust_crypto.rs"]
mod live;
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto", tower_bearer_model)))]
#[path = "none.rs"]
mod live;
#[cfg(tower_bearer_model)]
#[path = "../../../tests/model/backend.rs"]
mod live;

pub(crate) use live::{HmacKey, VerifyingKey, sha256};

/// Public key material whose encoding and size were checked, before a backend has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Material {
    /// Big-endian, without leading zeros.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec {
        curve: Curve,
        /// Uncompressed: `04 || x || y`.
        point: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// The name of the cryptography that verifies signatures in this build: `aws-lc-rs`, `rust-crypto`, or `None`
/// if neither feature is on (then building a server is a [`ConfigError`](crate::ConfigError)).
#[must_use]
pub fn crypto_backend() -> Option<&'static str> {
    live::NAME
}
