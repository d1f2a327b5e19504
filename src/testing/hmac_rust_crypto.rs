//! Signing with RustCrypto, because aws-lc-rs verifies in this build.

use hmac::{Hmac, KeyInit, Mac};
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::DecodePrivateKey;
use rsa::pss::Pss;
use rsa::rand_core::OsRng;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};

use super::key::SigningKey;
use crate::jose::{Algorithm, HmacAlgorithm};

pub(super) fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    match key.algorithm {
        Algorithm::ES256 => {
            use p256::ecdsa::signature::Signer;
            use p256::pkcs8::DecodePrivateKey;
            let key = p256::ecdsa::SigningKey::from_pkcs8_der(&key.pkcs8).expect("a P-256 key");
            let signature: p256::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        Algorithm::ES384 => {
            use p384::ecdsa::signature::Signer;
            use p384::pkcs8::DecodePrivateKey;
            let key = p384::ecdsa::SigningKey::from_pkcs8_der(&key.pkcs8).expect("a P-384 key");
            let signature: p384::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        Algorithm::ES512 => {
            use p521::ecdsa::signature::Signer;
            use p521::pkcs8::DecodePrivateKey;
            let key = p521::ecdsa::SigningKey::from_pkcs8_der(&key.pkcs8).expect("a P-521 key");
            let signature: p521::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        Algorithm::Ed25519 => {
            use ed25519_dalek::Signer;
            use ed25519_dalek::pkcs8::DecodePrivateKey;
            let key = ed25519_dalek::SigningKey::from_pkcs8_der(&key.pkcs8).expect("an Ed25519 key");
            key.sign(message).to_bytes().to_vec()
        }
        _ => sign_rsa(key, message),
    }
}

fn sign_rsa(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let private = rsa::RsaPrivateKey::from_pkcs8_der(&key.pkcs8).expect("an RSA key");
    let signature = match key.algorithm {
        Algorithm::RS256 => private.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
        Algorithm::RS384 => private.sign(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message)),
        Algorithm::RS512 => private.sign(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)),
        Algorithm::PS256 => private.sign_with_rng(&mut OsRng, Pss::new::<Sha256>(), &Sha256::digest(message)),
        Algorithm::PS384 => private.sign_with_rng(&mut OsRng, Pss::new::<Sha384>(), &Sha384::digest(message)),
        _ => private.sign_with_rng(&mut OsRng, Pss::new::<Sha512>(), &Sha512::digest(message)),
    };
    signature.expect("a signature")
}

pub(super) fn hmac(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    fn tag<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
        let mac = <M as KeyInit>::new_from_slice(secret).expect("a secret of any length");
        mac.chain_update(message).finalize().into_bytes().to_vec()
    }
    match algorithm {
        HmacAlgorithm::HS256 => tag::<Hmac<sha2::Sha256>>(secret, message),
        HmacAlgorithm::HS384 => tag::<Hmac<sha2::Sha384>>(secret, message),
        HmacAlgorithm::HS512 => tag::<Hmac<sha2::Sha512>>(secret, message),
    }
}
