//! Signing with the RustCrypto project's crates, which wipe the keys that they drop.

use ed25519_dalek::pkcs8::DecodePrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pss::Pss;
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPrivateKey};

use super::{Curve, MALFORMED, Material, PrivateMaterial};
use crate::jose::algorithm::Algorithm;

/// One private key.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaPrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

impl PrivateKey {
    /// The key, and its public half, whose size and encoding are still to be checked.
    pub(crate) fn read(material: &PrivateMaterial<'_>) -> Result<(Self, Material), &'static str> {
        let key = match material {
            PrivateMaterial::Pkcs8(der) => pkcs8(der),
            PrivateMaterial::Pkcs1(der) => RsaPrivateKey::from_pkcs1_der(der).ok().map(Self::rsa),
            PrivateMaterial::Sec1(der) => sec1(der),
            // The others follow from these.
            PrivateMaterial::Rsa { n, e, d, p, q, .. } => {
                let [n, e, d, p, q] = [n, e, d, p, q].map(|number| BigUint::from_bytes_be(number));
                RsaPrivateKey::from_components(n, e, d, vec![p, q]).ok().map(Self::rsa)
            }
            PrivateMaterial::Ec { curve, d, .. } => match curve {
                Curve::P256 => p256::ecdsa::SigningKey::from_slice(d).ok().map(Self::P256),
                Curve::P384 => p384::ecdsa::SigningKey::from_slice(d).ok().map(Self::P384),
                Curve::P521 => p521::ecdsa::SigningKey::from_slice(d).ok().map(Self::P521),
            },
            PrivateMaterial::Ed25519 { seed, .. } => {
                Some(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed)))
            }
        };
        let key = key.ok_or(MALFORMED)?;
        let public = key.public();
        Ok((key, public))
    }

    fn rsa(key: RsaPrivateKey) -> Self {
        Self::Rsa(Box::new(key))
    }

    fn public(&self) -> Material {
        let ec = |curve, point: &[u8]| Material::Ec { curve, point: point.to_vec() };
        match self {
            Self::Rsa(key) => Material::Rsa { n: key.n().to_bytes_be(), e: key.e().to_bytes_be() },
            Self::P256(key) => ec(Curve::P256, key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::P384(key) => ec(Curve::P384, key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::P521(key) => ec(Curve::P521, key.verifying_key().to_sec1_point(false).as_bytes()),
            Self::Ed25519(key) => Material::Ed25519(key.verifying_key().to_bytes()),
        }
    }

    /// `None` if the key is not one for this algorithm, or no random number is to be had.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        use p256::ecdsa::signature::Signer;
        Some(match self {
            Self::Rsa(key) => sign_rsa(key, algorithm, message)?,
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message).ok()?;
                signature.to_bytes().to_vec()
            }
            Self::Ed25519(key) => key.try_sign(message).ok()?.to_bytes().to_vec(),
        })
    }
}

fn pkcs8(der: &[u8]) -> Option<PrivateKey> {
    let rsa = <RsaPrivateKey as rsa::pkcs8::DecodePrivateKey>::from_pkcs8_der(der);
    rsa.ok()
        .map(PrivateKey::rsa)
        .or_else(|| p256::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(PrivateKey::P256))
        .or_else(|| p384::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(PrivateKey::P384))
        .or_else(|| p521::ecdsa::SigningKey::from_pkcs8_der(der).ok().map(PrivateKey::P521))
        .or_else(|| ed25519_dalek::SigningKey::from_pkcs8_der(der).ok().map(PrivateKey::Ed25519))
}

fn sec1(der: &[u8]) -> Option<PrivateKey> {
    let p256 = p256::SecretKey::from_sec1_der(der).ok().map(|key| PrivateKey::P256(key.into()));
    p256.or_else(|| p384::SecretKey::from_sec1_der(der).ok().map(|key| PrivateKey::P384(key.into())))
        .or_else(|| p521::SecretKey::from_sec1_der(der).ok().map(|key| PrivateKey::P521(key.into())))
}

/// With a random number also where the padding needs none: it blinds the key against whoever measures the time.
fn sign_rsa(key: &RsaPrivateKey, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
    let signature = match algorithm {
        Algorithm::RS256 => {
            key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
        }
        Algorithm::RS384 => {
            key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message))
        }
        Algorithm::RS512 => {
            key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message))
        }
        Algorithm::PS256 => key.sign_with_rng(&mut OsRng, Pss::new::<Sha256>(), &Sha256::digest(message)),
        Algorithm::PS384 => key.sign_with_rng(&mut OsRng, Pss::new::<Sha384>(), &Sha384::digest(message)),
        Algorithm::PS512 => key.sign_with_rng(&mut OsRng, Pss::new::<Sha512>(), &Sha512::digest(message)),
        _ => return None,
    };
    signature.ok()
}
