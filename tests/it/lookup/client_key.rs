//! Keys of our own, in every encoding, and an endpoint that verifies what they sign.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use aws_lc_rs::encoding::{AsBigEndian, AsDer};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, ED25519,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_bearer::testing::ManualClock;
use tower_bearer::{Algorithm, ClientKey, Clock, Fetch, FetchFuture, FetchRequest, FetchResponse};

use super::OPAQUE;
use crate::support::API;

pub(super) const CLIENT: &str = "orders-api";

/// A private key in every form in which one is passed around, and its public half.
pub(super) struct Pair {
    pub(super) jwk: Value,
    pub(super) pems: Vec<(&'static str, String)>,
    pub(super) public: Vec<u8>,
}

impl Pair {
    pub(super) fn rsa() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        // PrivateKeyInfo: version, algorithm, and RSAPrivateKey: version, n, e, d, p, q, dP, dQ, qInv.
        let pkcs1 = elements(elements(pkcs8.as_ref())[0])[2].to_vec();
        let numbers: Vec<&[u8]> = elements(elements(&pkcs1)[0]).into_iter().map(positive).collect();
        let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
        let mut jwk = json!({"kty": "RSA"});
        for (name, number) in names.into_iter().zip(&numbers[1..]) {
            jwk[name] = encode(number).into();
        }
        let pems = vec![
            ("PKCS #8", pem("PRIVATE KEY", pkcs8.as_ref())),
            ("PKCS #1", pem("RSA PRIVATE KEY", &pkcs1)),
        ];
        Self { jwk, pems, public: pair.public_key().as_ref().to_vec() }
    }

    pub(super) fn ec(curve: &str) -> Self {
        let algorithm: &'static EcdsaSigningAlgorithm = match curve {
            "P-256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
            "P-384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
            _ => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let sec1 =
            AsDer::<aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_>>::as_der(&pair.private_key()).unwrap();
        let d = AsBigEndian::<aws_lc_rs::encoding::EcPrivateKeyBin<'_>>::as_be_bytes(&pair.private_key())
            .unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let (x, y) = public[1..].split_at(public.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "d": encode(d.as_ref())});
        let pems = vec![
            ("PKCS #8", pem("PRIVATE KEY", pkcs8.as_ref())),
            ("SEC 1", pem("EC PRIVATE KEY", sec1.as_ref())),
        ];
        Self { jwk, pems, public }
    }

    pub(super) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let (v1, v2) = (pair.to_pkcs8v1().unwrap(), pair.to_pkcs8().unwrap());
        let seed = pair.seed().unwrap();
        let seed = AsBigEndian::<aws_lc_rs::encoding::Curve25519SeedBin<'_>>::as_be_bytes(&seed).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&public), "d": encode(seed.as_ref())});
        let pems = vec![
            ("PKCS #8", pem("PRIVATE KEY", v1.as_ref())),
            ("PKCS #8, version 2", pem("PRIVATE KEY", v2.as_ref())),
        ];
        Self { jwk, pems, public }
    }

    /// In every encoding.
    pub(super) fn keys(&self) -> Vec<(&'static str, ClientKey)> {
        let pems = self.pems.iter().map(|(name, pem)| (*name, ClientKey::pem(pem.as_str())));
        pems.chain([("JWK", ClientKey::jwk(self.jwk.to_string()))]).collect()
    }

    /// The first PEM file.
    pub(super) fn pem(&self) -> &str {
        &self.pems[0].1
    }

    /// Members of the JWK that nobody else may see.
    pub(super) fn secrets(&self) -> Vec<String> {
        let secret = ["d", "p", "q", "dp", "dq", "qi"].into_iter();
        let members = secret.filter_map(|name| Some(self.jwk[name].as_str()?.to_owned()));
        let lines = self.pems.iter().flat_map(|(_, pem)| pem.lines().map(str::to_owned));
        members.chain(lines).filter(|text| !text.starts_with("-----") && text.len() > 16).collect()
    }
}

/// A server that knows the public half, and believes nothing else.
#[derive(Clone)]
pub(super) struct Verifier(Arc<Inner>);

struct Inner {
    clock: ManualClock,
    audience: Mutex<String>,
    kid: Mutex<Option<&'static str>>,
    key: Mutex<(Algorithm, Vec<u8>)>,
    seen: Mutex<HashSet<String>>,
    /// Why one was refused.
    faults: Mutex<Vec<String>>,
}

impl Verifier {
    pub(super) fn new(clock: &ManualClock, audience: &str, algorithm: Algorithm, public: &[u8]) -> Self {
        Self(Arc::new(Inner {
            clock: clock.clone(),
            audience: Mutex::new(audience.to_owned()),
            kid: Mutex::default(),
            key: Mutex::new((algorithm, public.to_vec())),
            seen: Mutex::default(),
            faults: Mutex::default(),
        }))
    }

    pub(super) fn knows(&self, algorithm: Algorithm, public: &[u8]) {
        *self.0.key.lock().unwrap() = (algorithm, public.to_vec());
    }

    pub(super) fn wants_kid(&self, kid: &'static str) {
        *self.0.kid.lock().unwrap() = Some(kid);
    }

    /// The names of all assertions that were good.
    pub(super) fn seen(&self) -> HashSet<String> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(super) fn faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.faults.lock().unwrap())
    }

    /// The answer to this form.
    pub(super) fn answer(&self, form: &str) -> (StatusCode, Value) {
        match self.check(form) {
            Ok(()) => {
                let active = form.starts_with(&format!("token={OPAQUE}&"));
                (StatusCode::OK, json!({"active": active, "aud": API, "client_id": "robot"}))
            }
            Err(fault) => {
                self.0.faults.lock().unwrap().push(fault);
                (StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}))
            }
        }
    }

    /// RFC 7521 §4.2, RFC 7523 §3.
    fn check(&self, form: &str) -> Result<(), String> {
        let members: Vec<(&str, &str)> =
            form.split('&').filter_map(|member| member.split_once('=')).collect();
        let names: Vec<_> = members.iter().map(|(name, _)| *name).collect();
        let wanted = ["token", "token_type_hint", "client_id", "client_assertion_type", "client_assertion"];
        same("members", &names, &wanted)?;
        let members: HashMap<_, _> = members.into_iter().collect();
        same("client_id", &members["client_id"], &CLIENT)?;
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        same("client_assertion_type", &members["client_assertion_type"], &kind)?;

        let (message, signature) = members["client_assertion"].rsplit_once('.').ok_or("no signature")?;
        let (header, claims) = message.split_once('.').ok_or("no claims")?;
        let read = |text: &str| -> Value { serde_json::from_slice(&decode(text)).unwrap() };
        let (header, claims) = (read(header), read(claims));
        let (algorithm, public) = self.0.key.lock().unwrap().clone();
        let mut wanted = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(kid) = *self.0.kid.lock().unwrap() {
            wanted["kid"] = kid.into();
        }
        same("header", &header, &wanted)?;
        UnparsedPublicKey::new(verification(algorithm), public)
            .verify(message.as_bytes(), &decode(signature))
            .map_err(|_| "signature")?;

        let now = self.0.clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let jti = claims["jti"].as_str().ok_or("no jti")?.to_owned();
        let audience = self.0.audience.lock().unwrap().clone();
        let wanted =
            json!({"iss": CLIENT, "sub": CLIENT, "aud": audience, "jti": jti, "iat": now, "exp": now + 60});
        same("claims", &claims, &wanted)?;
        if jti.len() != 32 {
            return Err(format!("jti {jti} does not have 128 bits"));
        }
        if self.0.seen.lock().unwrap().insert(jti) { Ok(()) } else { Err("jti came twice".to_owned()) }
    }
}

impl Fetch for Verifier {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        assert!(request.authorization().is_none(), "the assertion is enough");
        let (status, answer) = self.answer(request.form().unwrap());
        Box::pin(async move { Ok(FetchResponse::new(status, HeaderMap::new(), answer.to_string())) })
    }
}

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    got: &T,
    wanted: &U,
) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}: {got:?} is not {wanted:?}")) }
}

fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED,
        _ => &ED25519,
    }
}

/// What is inside of each DER element, one after the other.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [_, length, rest @ ..] = der {
        let (length, rest) = match length {
            0x81 => (usize::from(rest[0]), &rest[1..]),
            0x82 => (usize::from(rest[0]) * 256 + usize::from(rest[1]), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        found.push(&rest[..length]);
        der = &rest[length..];
    }
    found
}

/// Without the sign byte.
fn positive(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
