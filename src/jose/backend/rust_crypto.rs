//! The RustCrypto project's crates: Rust only, for builds without a C compiler.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pss::Pss;
use rsa::rand_core::{OsRng, RngCore};
use rsa::sha2::Digest;
use rsa::{BigUint, RsaPublicKey};

use super::{Curve, Material};
use crate::jose::algorithm::{Algorithm, HmacAlgorithm};

pub(super) const NAME: Option<&str> = Some("rust-crypto");

/// One public key, prepared for one algorithm.
pub(crate) enum VerifyingKey {
    Rsa(RsaPublicKey, Algorithm),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

/// One shared secret, prepared for one algorithm.
pub(crate) enum HmacKey {
    Sha256(Hmac<sha2::Sha256>),
    Sha384(Hmac<sha2::Sha384>),
    Sha512(Hmac<sha2::Sha512>),
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    <sha2::Sha256 as sha2::Digest>::digest(bytes).into()
}

/// Random bytes of the operating system; `None` if it has none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).ok()?;
    Some(bytes)
}

impl VerifyingKey {
    /// `None` if the key is not one for this algorithm, or not a point on its curve.
    pub(crate) fn prepare(material: &Material, algorithm: Algorithm) -> Option<Self> {
        use Algorithm as A;
        Some(match (material, algorithm) {
            (Material::Rsa { n, e }, A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512) => {
                let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
                Self::Rsa(RsaPublicKey::new_with_max_size(n, e, 8192).ok()?, algorithm)
            }
            (Material::Ec { curve: Curve::P256, point }, A::ES256) => {
                Self::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Material::Ec { curve: Curve::P384, point }, A::ES384) => {
                Self::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Material::Ec { curve: Curve::P521, point }, A::ES512) => {
                Self::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?)
            }
            (Material::Ed25519(key), A::Ed25519) => {
                Self::Ed25519(Box::new(ed25519_dalek::VerifyingKey::from_bytes(key).ok()?))
            }
            _ => return None,
        })
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key, algorithm) => verify_rsa(key, *algorithm, message, signature),
            Self::P256(key) => {
                use p256::ecdsa::signature::Verifier;
                p256::ecdsa::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            Self::P384(key) => {
                use p384::ecdsa::signature::Verifier;
                p384::ecdsa::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            Self::P521(key) => {
                use p521::ecdsa::signature::Verifier;
                p521::ecdsa::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            Self::Ed25519(key) => {
                use ed25519_dalek::Verifier;
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| key.verify(message, &s).is_ok())
            }
        }
    }
}

fn verify_rsa(key: &RsaPublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    use rsa::sha2::{Sha256, Sha384, Sha512};
    let verified = match algorithm {
        Algorithm::RS256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature),
        Algorithm::RS384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature),
        Algorithm::RS512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature),
        Algorithm::PS256 => key.verify(Pss::new::<Sha256>(), &Sha256::digest(message), signature),
        Algorithm::PS384 => key.verify(Pss::new::<Sha384>(), &Sha384::digest(message), signature),
        Algorithm::PS512 => key.verify(Pss::new::<Sha512>(), &Sha512::digest(message), signature),
        _ => return false,
    };
    verified.is_ok()
}

impl HmacKey {
    pub(crate) fn prepare(secret: &[u8], algorithm: HmacAlgorithm) -> Option<Self> {
        Some(match algorithm {
            HmacAlgorithm::HS256 => Self::Sha256(Hmac::new_from_slice(secret).ok()?),
            HmacAlgorithm::HS384 => Self::Sha384(Hmac::new_from_slice(secret).ok()?),
            HmacAlgorithm::HS512 => Self::Sha512(Hmac::new_from_slice(secret).ok()?),
        })
    }

    /// Nothing but what is ours is tagged: no token is signed here.
    #[cfg(feature = "redis")]
    pub(crate) fn tag(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256(key) => key.clone().chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha384(key) => key.clone().chain_update(message).finalize().into_bytes().to_vec(),
            Self::Sha512(key) => key.clone().chain_update(message).finalize().into_bytes().to_vec(),
        }
    }

    /// In constant time.
    pub(crate) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        match self {
            Self::Sha256(key) => key.clone().chain_update(message).verify_slice(tag).is_ok(),
            Self::Sha384(key) => key.clone().chain_update(message).verify_slice(tag).is_ok(),
            Self::Sha512(key) => key.clone().chain_update(message).verify_slice(tag).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(rust-crypto)")
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
