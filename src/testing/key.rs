//! Key pairs, made with aws-lc-rs, and their public halves as JWKs.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::random_hex;
use crate::jose::Algorithm;

/// A key pair for one algorithm.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    /// The private key.
    pub(super) pkcs8: Vec<u8>,
    /// `kty` and the members of the public key.
    public: Value,
}

impl SigningKey {
    pub(super) fn generate(algorithm: Algorithm) -> Self {
        let (pkcs8, public) = match algorithm {
            Algorithm::ES256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::ES384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::ES512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::Ed25519 => ed25519(),
            _ => rsa(),
        };
        Self { algorithm, kid: random_hex(8), pkcs8, public }
    }

    /// The public key as an issuer publishes it.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }
}

fn rsa() -> (Vec<u8>, Value) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let jwk = json!({
        "kty": "RSA",
        "n": encode(n.big_endian_without_leading_zero()),
        "e": encode(e.big_endian_without_leading_zero()),
    });
    (pair.as_der().expect("PKCS #8").as_ref().to_vec(), jwk)
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (Vec<u8>, Value) {
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("an EC key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).expect("an EC key");
    let coordinates = pair.public_key().as_ref().strip_prefix(&[4]).expect("an uncompressed point");
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    (document.as_ref().to_vec(), json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)}))
}

fn ed25519() -> (Vec<u8>, Value) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("an Ed25519 key");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("an Ed25519 key");
    let x = encode(pair.public_key().as_ref());
    (document.as_ref().to_vec(), json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
