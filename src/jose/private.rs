//! A private key of ours, from a PEM file or a JWK, checked and ready to sign.
//!
//! The public half has to pass what a key of an issuer has to pass, and must verify what the private half signs.

use std::fmt;

use serde::Serialize;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::backend::{Curve, MALFORMED, Material, PrivateKey, PrivateMaterial, VerifyingKey};
use super::base64url;
use super::header::MAX_KID_LENGTH;
use super::json::Object;
use super::jwk;
use super::material::{self, Reason};
use crate::secret::Secret;

/// A private key for one algorithm.
pub(crate) struct SigningKey {
    key: PrivateKey,
    algorithm: Algorithm,
    /// The first segment of whatever it signs.
    header: String,
}

/// RFC 7515 §4.1.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl SigningKey {
    /// Reads the one private key of a PEM file (RFC 7468): PKCS #8, `EC PRIVATE KEY` or `RSA PRIVATE KEY`. What else is in
    /// the file, such as its certificate, is not looked at.
    pub(crate) fn from_pem(
        pem: &[u8],
        kid: Option<&str>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, Reason> {
        let (tag, der) = private_block(pem)?;
        let material = match &*tag {
            "PRIVATE KEY" => PrivateMaterial::Pkcs8(&der),
            "EC PRIVATE KEY" => PrivateMaterial::Sec1(&der),
            "RSA PRIVATE KEY" => PrivateMaterial::Pkcs1(&der),
            "ENCRYPTED PRIVATE KEY" => return Err(ENCRYPTED),
            _ => return Err("it is no PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"),
        };
        let (key, public) = PrivateKey::read(&material)?;
        let public = match public {
            Material::Rsa { n, e } => material::rsa(n, e)?,
            Material::Ec { point, .. } => material::ec_point(&point)?,
            Material::Ed25519(x) => material::ed25519(&x)?,
        };
        Self::prepare(key, &public, kid, algorithm)
    }

    /// Reads a JWK (RFC 7517 §4) with private members. Its `kid` and `alg` count unless others are given; another `alg` than
    /// its own is refused.
    pub(crate) fn from_jwk(
        json: &str,
        kid: Option<&str>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, Reason> {
        let jwk = Object::parse(json).map_err(|_| "it is not a JSON object without duplicate members")?;
        let kty = jwk::text(&jwk, "kty")?.ok_or("kty is missing")?;
        jwk::check_use(&jwk, "sign", "key_ops does not hold sign")?;
        let kid = kid.map_or_else(|| jwk::text(&jwk, "kid"), |kid| Ok(Some(kid)))?;
        let algorithm = match (algorithm, jwk::algorithm(&jwk)?) {
            (Some(wanted), Some(own)) if wanted != own => return Err("its alg is another one"),
            (wanted, own) => wanted.or(own),
        };
        if jwk.member("oth").is_some() {
            return Err("it has more than two primes");
        }
        let public = jwk::public_material(&jwk, kty)?;
        let private =
            |name| jwk::bytes(&jwk, name, "a member of the private key is missing").map(Zeroizing::new);
        let (key, _) = match &public {
            Material::Rsa { n, e } => {
                let [d, p, q] = [private("d")?, private("p")?, private("q")?];
                let [dp, dq, qi] = [private("dp")?, private("dq")?, private("qi")?];
                PrivateKey::read(&PrivateMaterial::Rsa {
                    n,
                    e,
                    d: &d,
                    p: &p,
                    q: &q,
                    dp: &dp,
                    dq: &dq,
                    qi: &qi,
                })?
            }
            Material::Ec { curve, point } => {
                let d = private("d")?;
                let length = match curve {
                    Curve::P256 => 32,
                    Curve::P384 => 48,
                    Curve::P521 => 66,
                };
                if d.len() != length {
                    return Err("d does not have the length of its curve");
                }
                PrivateKey::read(&PrivateMaterial::Ec { curve: *curve, d: &d, point })?
            }
            Material::Ed25519(x) => {
                let d = private("d")?;
                let seed = d.as_slice().try_into().map_err(|_| "an Ed25519 key does not have 32 bytes")?;
                PrivateKey::read(&PrivateMaterial::Ed25519 { seed, x })?
            }
        };
        Self::prepare(key, &public, kid, algorithm)
    }

    fn prepare(
        key: PrivateKey,
        public: &Material,
        kid: Option<&str>,
        algorithm: Option<Algorithm>,
    ) -> Result<Self, Reason> {
        let family = material::family(public);
        // RS256 for RSA: what servers without a setting expect (OpenID Connect Registration 1.0 §2).
        let algorithm = algorithm.or_else(|| family.first().copied()).ok_or(MALFORMED)?;
        if !family.contains(&algorithm) {
            return Err("the algorithm is not one for this kind of key");
        }
        if kid.is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID_LENGTH) {
            return Err("its key id is empty or too long");
        }
        let header = Header { alg: algorithm.name(), typ: "JWT", kid };
        let header = serde_json::to_string(&header).map_err(|_| "its key id cannot be written")?;
        let key = Self { key, algorithm, header: base64url::encode(header.as_bytes()) };
        let verifies = |signature: Vec<u8>| {
            VerifyingKey::prepare(public, algorithm).is_some_and(|key| key.verify(PROBE, &signature))
        };
        if key.key.sign(algorithm, PROBE).is_some_and(verifies) {
            Ok(key)
        } else {
            Err("its two halves do not fit")
        }
    }

    /// A JWS in compact form (RFC 7515 §3.1) over these claims; `None` if no random number is to be had.
    pub(crate) fn sign(&self, claims: &str) -> Option<Secret<String>> {
        let message = format!("{}.{}", self.header, base64url::encode(claims.as_bytes()));
        // Without the signature it is worth nothing.
        let signature = Secret::new(base64url::encode(&self.key.sign(self.algorithm, message.as_bytes())?));
        Some(Secret::new([message.as_str(), signature.expose()].join(".")))
    }
}

/// What a new key has to sign before it is used.
const PROBE: &[u8] = b"one signature that is sent to nobody";

const ENCRYPTED: Reason = "it is encrypted";

fn private_block(file: &[u8]) -> Result<(String, Zeroizing<Vec<u8>>), Reason> {
    let blocks = pem::parse_many(file).map_err(|_| "it is not a PEM file")?;
    let mut found = None;
    for block in blocks {
        let is_encrypted = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
        let tag = block.tag().to_owned();
        // In a variable first, so that every block is wiped.
        let der = Zeroizing::new(block.into_contents());
        if !tag.ends_with("PRIVATE KEY") {
            continue;
        }
        if is_encrypted {
            return Err(ENCRYPTED);
        }
        if found.replace((tag, der)).is_some() {
            return Err("there is more than one private key in the file");
        }
    }
    found.ok_or("there is no private key in the file")
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
