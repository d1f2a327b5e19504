//! Many distinct tokens, quickly made, and the bare verification of their signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tower_bearer::{Algorithm, Issuer, Keys, ResourceServer, ResourceServerBuilder};

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const API: &str = "https://api.example.com";
pub(crate) const SCOPE: &str = "orders:read";

/// An issuer with one key.
pub(crate) struct Signer {
    algorithm: Algorithm,
    pair: Pair,
    jwk: Value,
    public: ParsedPublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A token, and its parts as the bare verification takes them.
pub(crate) struct Sample {
    pub(crate) token: String,
    signed: usize,
    signature: Vec<u8>,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ecdsa = |signing, curve: &str, verification: &'static dyn VerificationAlgorithm| {
            let pair = EcdsaKeyPair::generate(signing).expect("a key");
            let point = pair.public_key().as_ref().to_vec();
            let (x, y) = point[1..].split_at(point.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
            (Pair::Ecdsa(pair), jwk, prepare(verification, &point))
        };
        let (pair, mut jwk, public) = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                let jwk = json!({
                    "kty": "RSA", "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()),
                });
                let verification: &dyn VerificationAlgorithm = if algorithm == Algorithm::RS256 {
                    &RSA_PKCS1_2048_8192_SHA256
                } else {
                    &RSA_PSS_2048_8192_SHA256
                };
                let public = prepare(verification, public.as_ref());
                (Pair::Rsa(pair), jwk, public)
            }
            Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", &ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", &ECDSA_P384_SHA384_FIXED),
            _ => {
                let pair = Ed25519KeyPair::generate().expect("a key");
                let point = pair.public_key().as_ref().to_vec();
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": text(&point)});
                (Pair::Ed25519(pair), jwk, prepare(&ED25519, &point))
            }
        };
        jwk["kid"] = json!("the-key-of-this-issuer");
        Self { algorithm, pair, jwk, public }
    }

    /// A server that trusts it. Its keys are fixed, so nothing ever waits.
    pub(crate) fn server(&self) -> ResourceServerBuilder {
        let jwks = json!({"keys": [self.jwk]}).to_string();
        ResourceServer::builder(API).issuer(Issuer::new(ISSUER).keys(Keys::jwks(jwks)))
    }

    /// Distinct tokens with full claims: 890 bytes with RS256.
    pub(crate) fn samples(&self, count: usize) -> Vec<Sample> {
        (0..count).map(|number| self.sample(number, &json!({}))).collect()
    }

    /// One with other claims.
    pub(crate) fn sample(&self, number: usize, claims: &Value) -> Sample {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let header = json!({"alg": self.algorithm.name(), "typ": "at+jwt", "kid": self.jwk["kid"]});
        let mut payload = json!({
            "iss": ISSUER,
            "sub": format!("client-{number:08}"),
            "aud": API,
            "exp": now + 36_000,
            "nbf": now,
            "iat": now,
            "jti": format!("0123456789abcdef-{number:015}"),
            "client_id": format!("client-{number:08}"),
            "scope": "orders:read orders:write reports invoices:read customers:read stock:read",
            "tenant": "0123456789abcdef",
        });
        for (name, value) in claims.as_object().expect("an object") {
            payload[name] = value.clone();
        }
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{payload}");
        let signature = self.sign(input.as_bytes());
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));
        Sample { token, signed: input.len(), signature }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if self.algorithm == Algorithm::RS256 { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                pair.sign(padding, &random, input, &mut signature).expect("a signature");
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, input).expect("a signature").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }

    /// The signature and nothing else, with a key that was prepared.
    pub(crate) fn verify_raw(&self, sample: &Sample) {
        let input = &sample.token.as_bytes()[..sample.signed];
        self.public.verify_sig(input, &sample.signature).expect("a good signature");
    }
}

fn prepare(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> ParsedPublicKey {
    ParsedPublicKey::new(algorithm, key).expect("a key")
}

impl Sample {
    /// Something that is no token.
    pub(crate) fn unsigned(token: String) -> Self {
        Self { token, signed: 0, signature: Vec::new() }
    }
}
