//! Cryptography by others, behind one private type per kind of key.
//!
//! A public key is prepared when it is imported, to see whether it can be, and then once by each thread that uses it, for the
//! first token that it verifies there; a secret is prepared when it is imported. Other tokens parse neither. Both backends accept exactly the same tokens; with both compiled in,
//! aws-lc-rs is used because it is several times faster.

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

#[cfg_attr(feature = "aws-lc-rs", path = "sign_aws_lc_rs.rs")]
#[cfg_attr(all(feature = "rust-crypto", not(feature = "aws-lc-rs")), path = "sign_rust_crypto.rs")]
#[cfg_attr(not(any(feature = "aws-lc-rs", feature = "rust-crypto")), path = "sign_none.rs")]
mod sign;
// What signs in the testing kit is another implementation than the one that verifies.
#[cfg(feature = "testing")]
#[cfg_attr(feature = "aws-lc-rs", path = "sign_rust_crypto.rs")]
#[cfg_attr(not(feature = "aws-lc-rs"), path = "sign_aws_lc_rs.rs")]
mod sign_other;

pub(crate) use live::{HmacKey, VerifyingKey, random, sha256};
pub(crate) use sign::PrivateKey;
#[cfg(feature = "testing")]
pub(crate) use sign_other::PrivateKey as OtherPrivateKey;

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

/// A private key of ours as it was given to us. Numbers are big-endian.
#[cfg_attr(not(feature = "aws-lc-rs"), allow(dead_code, reason = "not every backend needs all of it"))]
pub(crate) enum PrivateMaterial<'a> {
    /// RFC 5208.
    Pkcs8(&'a [u8]),
    /// RFC 8017 A.1.2.
    Pkcs1(&'a [u8]),
    /// RFC 5915.
    Sec1(&'a [u8]),
    /// RFC 7518 §6.3.2. `n` and `e` are without leading zeros.
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
        d: &'a [u8],
        p: &'a [u8],
        q: &'a [u8],
        dp: &'a [u8],
        dq: &'a [u8],
        qi: &'a [u8],
    },
    /// RFC 7518 §6.2.2, as long as the curve has it.
    Ec { curve: Curve, d: &'a [u8], point: &'a [u8] },
    /// RFC 8037 §2.
    Ed25519 { seed: &'a [u8; 32], x: &'a [u8; 32] },
}

/// Why a key cannot be used.
pub(crate) const MALFORMED: &str =
    "it is not an RSA, P-256, P-384, P-521 or Ed25519 key, or its parts do not fit";
pub(crate) const RSA_SIZE: &str = "the RSA modulus does not have 2048 to 8192 bits";

/// The name of the cryptography that verifies signatures in this build: `aws-lc-rs`, `rust-crypto`, or `None`
/// if neither feature is on (then building a server is a [`ConfigError`](crate::ConfigError)).
#[must_use]
pub fn crypto_backend() -> Option<&'static str> {
    live::NAME
}
