//! Many distinct tokens of one issuer, quickly made, and the bare verification of their signatures.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, ED25519,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://id.example.com";
pub(crate) const API: &str = "https://api.example.com";
pub(crate) const SCOPE: &str = "orders:read";

/// An issuer with one key.
pub(crate) struct Signer {
    algorithm: &'static str,
    pair: Pair,
    jwk: Value,
    raw: Raw,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
}

/// The signature and nothing else, by aws-lc-rs with a key that was prepared.
pub(crate) enum Raw {
    Public(ParsedPublicKey),
    Hmac(Box<hmac::Key>),
}

/// A token, and its parts as the bare verification takes them.
pub(crate) struct Sample {
    pub(crate) token: String,
    signed: usize,
    signature: Vec<u8>,
}

impl Signer {
    /// `algorithm` is the name in the header.
    pub(crate) fn new(algorithm: &'static str) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ecdsa = |signing, curve: &str| {
            let pair = EcdsaKeyPair::generate(signing).expect("a key");
            let point = pair.public_key().as_ref();
            let (x, y) = point[1..].split_at(point.len() / 2);
            let jwk = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
            (Pair::Ecdsa(pair), jwk)
        };
        let (pair, mut jwk) = match algorithm {
            "RS256" | "PS256" => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let jwk = json!({
                    "kty": "RSA",
                    "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()),
                });
                (Pair::Rsa(pair), jwk)
            }
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "ES512" => ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            "EdDSA" => {
                let pair = Ed25519KeyPair::generate().expect("a key");
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())});
                (Pair::Ed25519(pair), jwk)
            }
            "HS256" => {
                let mut secret = [0; 32];
                aws_lc_rs::rand::fill(&mut secret).expect("random bytes");
                let jwk = json!({"kty": "oct", "k": text(&secret)});
                (Pair::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret))), jwk)
            }
            other => panic!("no key for {other:?}"),
        };
        jwk["kid"] = json!("the-key-of-this-issuer");
        jwk["alg"] = json!(algorithm);
        let raw = Raw::new(&jwk);
        Self { algorithm, pair, jwk, raw }
    }

    pub(crate) fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// What others verify our tokens with.
    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.jwk]}).to_string()
    }

    /// Distinct tokens with full claims: 890 bytes with RS256.
    pub(crate) fn samples(&self, count: usize) -> Vec<Sample> {
        (0..count).map(|number| self.sample(number, &json!({}))).collect()
    }

    /// As many bytes as with RS256, whatever the algorithm: what a remembered token costs depends on its length.
    pub(crate) fn samples_as_long_as_rs256(&self, count: usize) -> Vec<Sample> {
        let short = self.sample(0, &json!({"padding": ""})).token.len();
        let padding = "p".repeat(890_usize.saturating_sub(short) * 3 / 4);
        (0..count).map(|number| self.sample(number, &json!({"padding": padding}))).collect()
    }

    /// One with other claims.
    pub(crate) fn sample(&self, number: usize, claims: &Value) -> Sample {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let header = json!({"alg": self.algorithm, "typ": "at+jwt", "kid": self.jwk["kid"]});
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
            "tenant": "0123456789abcdef0123456789abcdef-production",
        });
        for (name, value) in claims.as_object().expect("an object") {
            payload[name] = value.clone();
        }
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{payload}");
        let signature = self.sign(input.as_bytes());
        Sample {
            token: format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature)),
            signed: input.len(),
            signature,
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn RsaEncoding =
                    if self.algorithm == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                pair.sign(padding, &random, input, &mut signature).expect("a signature");
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, input).expect("a signature").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Pair::Hmac(key) => hmac::sign(key, input).as_ref().to_vec(),
        }
    }

    pub(crate) fn verify_raw(&self, sample: &Sample) {
        self.raw.verify(sample);
    }
}

impl Raw {
    /// Of a JWK that names its algorithm.
    pub(crate) fn new(jwk: &Value) -> Self {
        let bytes = |member: &str| {
            let encoded = jwk[member].as_str().unwrap_or_else(|| panic!("no {member}"));
            URL_SAFE_NO_PAD.decode(encoded).expect("base64url")
        };
        let rsa = |verification| {
            let components = RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") };
            components.to_parsed_public_key(verification)
        };
        let point = || [vec![4], bytes("x"), bytes("y")].concat();
        let key = match jwk["alg"].as_str().expect("an algorithm") {
            "HS256" => return Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes("k")))),
            "RS256" => rsa(&RSA_PKCS1_2048_8192_SHA256),
            "PS256" => rsa(&RSA_PSS_2048_8192_SHA256),
            "ES256" => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()),
            "ES384" => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()),
            "ES512" => ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point()),
            _ => ParsedPublicKey::new(&ED25519, bytes("x")),
        };
        Self::Public(key.expect("a key"))
    }

    pub(crate) fn verify(&self, sample: &Sample) {
        let input = &sample.token.as_bytes()[..sample.signed];
        match self {
            Self::Public(key) => key.verify_sig(input, &sample.signature).expect("a good signature"),
            Self::Hmac(key) => hmac::verify(key, input, &sample.signature).expect("a good code"),
        }
    }
}

impl Sample {
    /// A token that was made elsewhere.
    pub(crate) fn new(token: String) -> Self {
        let (input, signature) = token.rsplit_once('.').expect("a token");
        let (signed, signature) = (input.len(), URL_SAFE_NO_PAD.decode(signature).expect("base64url"));
        Self { token, signed, signature }
    }

    /// Something that is no token.
    pub(crate) fn unsigned(token: &str) -> Self {
        Self { token: token.to_owned(), signed: 0, signature: Vec::new() }
    }

    /// The same with another bit in its signature.
    pub(crate) fn forged(&self) -> Self {
        let mut signature = self.signature.clone();
        let middle = signature.len() / 2;
        signature[middle] ^= 1;
        let input = &self.token[..self.signed];
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&signature));
        Self { token, signed: self.signed, signature }
    }
}

/// Goes round a list, so many at a time.
pub(crate) struct Walk<'a> {
    samples: &'a [Sample],
    at: usize,
    step: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(samples: &'a [Sample], step: usize) -> Self {
        Self { samples, at: 0, step }
    }

    pub(crate) fn next(&mut self) -> impl Iterator<Item = &'a Sample> + use<'a> {
        let (samples, from) = (self.samples, self.at);
        self.at = (from + self.step) % samples.len();
        (from..from + self.step).map(|place| &samples[place % samples.len()])
    }
}
