//! Signing with aws-lc-rs, which wipes the keys that it drops.

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

use super::{Curve, MALFORMED, Material, PrivateMaterial, RSA_SIZE};
use crate::jose::algorithm::Algorithm;

/// One private key.
pub(crate) enum PrivateKey {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

impl PrivateKey {
    /// The key, and its public half, whose size and encoding are still to be checked.
    pub(crate) fn read(material: &PrivateMaterial<'_>) -> Result<(Self, Material), &'static str> {
        let key = match material {
            PrivateMaterial::Pkcs8(der) => match RsaKeyPair::from_pkcs8(der) {
                Ok(key) => Self::Rsa(Box::new(key)),
                Err(why) if reason(&why) == RSA_SIZE => return Err(RSA_SIZE),
                Err(_) => CURVES
                    .iter()
                    .find_map(|curve| EcdsaKeyPair::from_pkcs8(signing(*curve), der).ok().map(Self::Ec))
                    .or_else(|| Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519))
                    .ok_or(MALFORMED)?,
            },
            PrivateMaterial::Pkcs1(der) => {
                Self::Rsa(Box::new(RsaKeyPair::from_der(der).map_err(|why| reason(&why))?))
            }
            PrivateMaterial::Sec1(der) => CURVES
                .iter()
                .find_map(|curve| EcdsaKeyPair::from_private_key_der(signing(*curve), der).ok().map(Self::Ec))
                .ok_or(MALFORMED)?,
            PrivateMaterial::Rsa { n, e, d, p, q, dp, dq, qi } => {
                let public_key = PublicKeyComponents { n: *n, e: *e };
                let components =
                    KeyPairComponents { public_key, d: *d, p: *p, q: *q, dP: *dp, dQ: *dq, qInv: *qi };
                Self::Rsa(Box::new(RsaKeyPair::from_components(&components).map_err(|why| reason(&why))?))
            }
            PrivateMaterial::Ec { curve, d, point } => {
                let key = EcdsaKeyPair::from_private_key_and_public_key(signing(*curve), d, point);
                Self::Ec(key.map_err(|why| reason(&why))?)
            }
            PrivateMaterial::Ed25519 { seed, x } => {
                let key = Ed25519KeyPair::from_seed_and_public_key(*seed, *x);
                Self::Ed25519(key.map_err(|why| reason(&why))?)
            }
        };
        let public = key.public().ok_or(MALFORMED)?;
        Ok((key, public))
    }

    fn public(&self) -> Option<Material> {
        Some(match self {
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let bytes =
                    |number: aws_lc_rs::io::Positive<'_>| number.big_endian_without_leading_zero().to_vec();
                Material::Rsa { n: bytes(n), e: bytes(e) }
            }
            Self::Ec(key) => {
                let is = |curve: &Curve| key.algorithm() == signing(*curve);
                let curve = CURVES.into_iter().find(is)?;
                Material::Ec { curve, point: key.public_key().as_ref().to_vec() }
            }
            Self::Ed25519(key) => Material::Ed25519(key.public_key().as_ref().try_into().ok()?),
        })
    }

    /// `None` if the key is not one for this algorithm, or no random number is to be had.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding(algorithm)?, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ec(key) => Some(key.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
            Self::Ed25519(key) => Some(key.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

fn reason(why: &KeyRejected) -> &'static str {
    match why.to_string().as_str() {
        "TooSmall" | "TooLarge" => RSA_SIZE,
        _ => MALFORMED,
    }
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}
