//! Signing with aws-lc-rs, because something else verifies in this build.

use aws_lc_rs::hmac as mac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};

use super::key::SigningKey;
use crate::jose::{Algorithm, HmacAlgorithm};

pub(super) fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let algorithm = match key.algorithm {
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        Algorithm::Ed25519 => {
            let key = Ed25519KeyPair::from_pkcs8(&key.pkcs8).expect("an Ed25519 key");
            return key.sign(message).as_ref().to_vec();
        }
        _ => return sign_rsa(key, message),
    };
    let key = EcdsaKeyPair::from_pkcs8(algorithm, &key.pkcs8).expect("an EC key");
    key.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
}

fn sign_rsa(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match key.algorithm {
        Algorithm::RS256 => &RSA_PKCS1_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        _ => &RSA_PSS_SHA512,
    };
    let pair = RsaKeyPair::from_pkcs8(&key.pkcs8).expect("an RSA key");
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature
}

pub(super) fn hmac(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        HmacAlgorithm::HS256 => mac::HMAC_SHA256,
        HmacAlgorithm::HS384 => mac::HMAC_SHA384,
        HmacAlgorithm::HS512 => mac::HMAC_SHA512,
    };
    mac::sign(&mac::Key::new(algorithm, secret), message).as_ref().to_vec()
}
