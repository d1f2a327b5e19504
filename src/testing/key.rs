//! Key pairs, made with aws-lc-rs, and their public halves as JWKs.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::random_hex;
use crate::jose::{Algorithm, OtherPrivateKey, PrivateMaterial};

/// A key pair for one algorithm.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    /// The private key.
    pkcs8: Vec<u8>,
    public: Public,
}

/// A public key in the forms in which it is passed around.
#[derive(Clone)]
struct Public {
    /// `kty` and the members of the key.
    jwk: Value,
    /// `SubjectPublicKeyInfo`.
    der: Vec<u8>,
    /// The modulus, the uncompressed point, or the 32 bytes of Ed25519.
    raw: Vec<u8>,
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

    /// With the backend that does not verify in this build.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let (key, _) = OtherPrivateKey::read(&PrivateMaterial::Pkcs8(&self.pkcs8)).expect("a private key");
        key.sign(self.algorithm, message).expect("a signature")
    }

    /// The public key as an issuer publishes it.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = self.kid.clone().into();
        jwk["alg"] = self.algorithm.name().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// `kty` and the members of the key, and nothing else.
    pub(super) fn bare_jwk(&self) -> Value {
        self.public.jwk.clone()
    }

    /// The public key as `SubjectPublicKeyInfo`.
    pub(super) fn public_der(&self) -> &[u8] {
        &self.public.der
    }

    /// The same in a PEM file, with a newline at the end.
    pub(super) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", self.public_der())
    }

    /// The number at the heart of it: the modulus, the uncompressed point, or the 32 bytes of Ed25519.
    pub(super) fn public_raw(&self) -> &[u8] {
        &self.public.raw
    }
}

fn rsa() -> (Vec<u8>, Public) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
    let public = pair.public_key();
    let n = public.modulus().big_endian_without_leading_zero().to_vec();
    let e = public.exponent().big_endian_without_leading_zero();
    let jwk = json!({"kty": "RSA", "n": encode(&n), "e": encode(e)});
    (pair.as_der().expect("PKCS #8").as_ref().to_vec(), Public { jwk, der: der(public), raw: n })
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> (Vec<u8>, Public) {
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("an EC key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).expect("an EC key");
    let point = pair.public_key().as_ref();
    let coordinates = point.strip_prefix(&[4]).expect("an uncompressed point");
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)});
    let public = Public { jwk, der: der(pair.public_key()), raw: point.to_vec() };
    (document.as_ref().to_vec(), public)
}

fn ed25519() -> (Vec<u8>, Public) {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("an Ed25519 key");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("an Ed25519 key");
    let raw = pair.public_key().as_ref().to_vec();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&raw)});
    (document.as_ref().to_vec(), Public { jwk, der: der(pair.public_key()), raw })
}

fn der(public: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    public.as_der().expect("SubjectPublicKeyInfo").as_ref().to_vec()
}

/// A PEM file (RFC 7468), with a newline at the end.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
