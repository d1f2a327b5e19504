//! One public key, from a JWK or a PEM file: checked here, and prepared by each thread that uses it.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use super::algorithm::{Algorithm, AlgorithmSet};
use super::backend::{Curve, Material, VerifyingKey, sha256};
use super::base64url;
use super::header::MAX_KID_LENGTH;
use super::json::{Object, Value};
use super::material::{Reason, ec, ec_point, ed25519, family, rsa, rsa_public_key};
use super::standing::Standing;
use crate::sync::ThreadLocal;

/// A public key that belongs to one issuer, checked for every algorithm it may verify.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) kid: Option<Box<str>>,
    material: Material,
    /// The one algorithm that it was published for, if it says so.
    algorithm: Option<Algorithm>,
    prepared: Prepared,
    /// Outlives the key, for those who remember what it has verified.
    standing: Arc<Standing>,
}

/// A key for each of its algorithms, prepared by each thread for itself when it first needs it, if no thread that has ended has
/// left it one.
///
/// aws-lc counts who uses a key, and locks it for a moment, in memory beside what it reads throughout: threads that use one
/// key wait for each other.
struct Prepared {
    algorithms: Box<[Algorithm]>,
    /// In the same order.
    keys: ThreadLocal<Box<[OnceCell<VerifyingKey>]>>,
}

impl Key {
    /// Reads a JWK (RFC 7517 §4) for an issuer that may use the `allowed` algorithms.
    pub(crate) fn from_jwk(json: &str, allowed: AlgorithmSet) -> Result<Self, Reason> {
        let jwk = Object::parse(json).map_err(|_| "not a JSON object without duplicate members")?;
        let text = |name| text(&jwk, name);

        let kty = text("kty")?.ok_or("kty is missing")?;
        let kid = text("kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_LENGTH) {
            return Err("kid is too long");
        }
        check_use(&jwk, "verify", "key_ops does not hold verify")?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| jwk.member(name).is_some())
        {
            return Err(if kty == "oct" {
                "a symmetric key in a key set"
            } else {
                "the private key is published"
            });
        }
        let algorithm = algorithm(&jwk)?;
        Self::prepare(kid, public_material(&jwk, kty)?, algorithm, allowed)
    }

    /// Takes the public half out of a [`jsonwebtoken::DecodingKey`].
    pub(crate) fn from_decoding_key(
        key: &jsonwebtoken::DecodingKey,
        allowed: AlgorithmSet,
    ) -> Result<Self, Reason> {
        use jsonwebtoken::{AlgorithmFamily, DecodingKeyKind};
        let material = match (key.family(), key.kind()) {
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                rsa(n.clone(), e.clone())?
            }
            (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => {
                let (n, e) = rsa_public_key(der).ok_or("not an RSAPublicKey (RFC 8017 A.1.1)")?;
                rsa(n, e)?
            }
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => ec_point(point)?,
            (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(x)) => ed25519(x)?,
            _ => return Err("not an RSA, EC or Ed25519 public key"),
        };
        Self::prepare(None, material, None, allowed)
    }

    /// The key of a certificate, as long as the certificate is good.
    #[cfg(feature = "x5c")]
    pub(crate) fn from_certificate(
        key: &x509_cert::spki::SubjectPublicKeyInfoOwned,
        allowed: AlgorithmSet,
        standing: Standing,
    ) -> Result<Self, Reason> {
        let key = Self::prepare(None, super::certificate::material_of(key)?, None, allowed)?;
        Ok(Self { standing: Arc::new(standing), ..key })
    }

    fn prepare(
        kid: Option<&str>,
        material: Material,
        algorithm: Option<Algorithm>,
        allowed: AlgorithmSet,
    ) -> Result<Self, Reason> {
        let family = family(&material);
        if algorithm.is_some_and(|algorithm| !family.contains(&algorithm)) {
            return Err("alg does not fit the key");
        }
        let algorithms: Box<[Algorithm]> = family
            .iter()
            .copied()
            .filter(|candidate| {
                allowed.contains(*candidate) && algorithm.is_none_or(|only| only == *candidate)
            })
            .collect();
        if algorithms.is_empty() {
            return Err("no algorithm of this key is accepted from this issuer");
        }
        if !algorithms.iter().all(|algorithm| VerifyingKey::prepare(&material, *algorithm).is_some()) {
            return Err("not a valid public key");
        }
        let prepared = Prepared { algorithms, keys: ThreadLocal::default() };
        Ok(Self { kid: kid.map(Into::into), material, algorithm, prepared, standing: Arc::default() })
    }

    /// Whether it may be used with `algorithm`.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        !self.is_blocked() && self.prepared.algorithms.contains(&algorithm)
    }

    /// This key, ready for `algorithm`; `None` if it must not be used with it.
    pub(crate) fn prepared_for(&self, algorithm: Algorithm) -> Option<&VerifyingKey> {
        if self.is_blocked() {
            return None;
        }
        self.prepared.get(&self.material, algorithm)
    }

    /// Verifies nothing from now on.
    pub(crate) fn block(&self) {
        self.standing.block();
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.standing.is_blocked()
    }

    /// Whether this is its `kid` or its thumbprint.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.kid.as_deref() == Some(name) || self.thumbprint() == name
    }

    /// Whether what this key has verified is still to be believed.
    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// Whether both are the same key under the same name for the same algorithms: what one has verified, the other would.
    pub(crate) fn is_equal_to(&self, other: &Self) -> bool {
        self.kid == other.kid && self.same_key(other) && self.prepared.algorithms == other.prepared.algorithms
    }

    /// The JWK thumbprint with SHA-256 (RFC 7638), which names the key whatever it is called.
    pub(crate) fn thumbprint(&self) -> String {
        // §3.2: the required members in lexicographic order. None of the values needs an escape.
        let members = self.required_members().map(|(name, value)| format!(r#""{name}":"{value}""#));
        base64url::encode(&sha256(format!("{{{}}}", members.collect::<Vec<_>>().join(",")).as_bytes()))
    }

    /// The JWK (RFC 7517 §4) of what was imported, and of nothing else that was published with it.
    pub(crate) fn to_jwk(&self) -> serde_json::Value {
        let optional = [
            ("kid", self.kid.as_deref().map(str::to_owned)),
            ("alg", self.algorithm.map(|algorithm| algorithm.name().to_owned())),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let members = self.required_members().chain(optional);
        members.map(|(name, value)| (name.to_owned(), value.into())).collect::<serde_json::Map<_, _>>().into()
    }

    /// The members that make up the public key, in lexicographic order.
    fn required_members(&self) -> impl Iterator<Item = (&'static str, String)> {
        let encode = base64url::encode;
        let members = match &self.material {
            Material::Rsa { n, e } => {
                [Some(("e", encode(e))), Some(("kty", "RSA".into())), Some(("n", encode(n))), None]
            }
            Material::Ec { curve, point } => {
                let crv = match curve {
                    Curve::P256 => "P-256",
                    Curve::P384 => "P-384",
                    Curve::P521 => "P-521",
                };
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let crv = Some(("crv", crv.into()));
                [crv, Some(("kty", "EC".into())), Some(("x", encode(x))), Some(("y", encode(y)))]
            }
            Material::Ed25519(x) => {
                [Some(("crv", "Ed25519".into())), Some(("kty", "OKP".into())), Some(("x", encode(x))), None]
            }
        };
        members.into_iter().flatten()
    }

    /// Whether both are the same public key, whatever they are called.
    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.material == other.material
    }
}

impl Prepared {
    /// This thread's own.
    fn get(&self, material: &Material, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let place = self.algorithms.iter().position(|one| *one == algorithm)?;
        let none = || self.algorithms.iter().map(|_| OnceCell::new()).collect();
        let key = self.keys.get_or(none).get(place)?;
        if key.get().is_none() {
            _ = key.set(VerifyingKey::prepare(material, algorithm)?);
        }
        key.get()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.algorithms).finish()
    }
}

/// `use` and `key_ops`, where present, must allow what the key is for (RFC 7517 §4.2, §4.3).
pub(super) fn check_use(jwk: &Object<'_>, operation: &str, why_not: Reason) -> Result<(), Reason> {
    if text(jwk, "use")?.is_some_and(|usage| usage != "sig") {
        return Err("use is not sig");
    }
    match jwk.member("key_ops") {
        None => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op.as_str() == Some(operation)) => Ok(()),
        Some(_) => Err(why_not),
    }
}

/// The one algorithm that it is for, if it says so.
pub(super) fn algorithm(jwk: &Object<'_>) -> Result<Option<Algorithm>, Reason> {
    let name = text(jwk, "alg")?;
    name.map(|name| name.parse().map_err(|_| "alg is not a signature algorithm in use")).transpose()
}

/// The public key in a JWK, checked.
pub(super) fn public_material(jwk: &Object<'_>, kty: &str) -> Result<Material, Reason> {
    let (crv, missing) = (text(jwk, "crv")?, "a member of the public key is missing");
    let bytes = |name| bytes(jwk, name, missing);
    match kty {
        "RSA" => rsa(bytes("n")?, bytes("e")?),
        "EC" => ec(crv, &bytes("x")?, &bytes("y")?),
        "OKP" if crv == Some("Ed25519") => ed25519(&bytes("x")?),
        "OKP" => Err("crv is not Ed25519"),
        _ => Err("kty is not RSA, EC or OKP"),
    }
}

pub(super) fn text<'a>(jwk: &'a Object<'_>, name: &str) -> Result<Option<&'a str>, Reason> {
    jwk.member(name).map(|value| value.as_str().ok_or("a member is not a string")).transpose()
}

pub(super) fn bytes(jwk: &Object<'_>, name: &str, missing: Reason) -> Result<Vec<u8>, Reason> {
    let encoded = text(jwk, name)?.ok_or(missing)?;
    base64url::decode(encoded.as_bytes()).ok_or("a member is not canonical base64url")
}

#[cfg(test)]
mod tests {
    use super::super::material::tests::odd;
    use super::*;

    #[test]
    fn each_thread_prepares_a_key_once_and_for_itself() {
        // RFC 8037 A.2.
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwaaPJFURHo"}"#;
        let key = Key::from_jwk(jwk, Algorithm::ALL.into_iter().collect()).unwrap();
        let address_for =
            |key: &Key, algorithm| key.prepared_for(algorithm).map(|key| std::ptr::from_ref(key).addr());
        let address = || address_for(&key, Algorithm::Ed25519);
        let elsewhere =
            || std::thread::scope(|scope| scope.spawn(|| (address(), address())).join().expect("a thread"));
        assert!(address().is_some());
        assert_eq!(address(), address());
        let (first, again) = elsewhere();
        assert!(first.is_some());
        assert_eq!(first, again);
        assert_ne!(first, address());

        let n = base64url::encode(&odd(2048));
        let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
        let rsa = Key::from_jwk(&jwk, [Algorithm::RS256, Algorithm::PS256].into_iter().collect()).unwrap();
        let [one, other, none] =
            [Algorithm::RS256, Algorithm::PS256, Algorithm::RS512].map(|a| address_for(&rsa, a));
        assert!(one.is_some() && other.is_some() && none.is_none());
        assert_ne!(one, other, "for each algorithm");

        assert!(key.is_for(Algorithm::Ed25519) && !key.is_for(Algorithm::ES256));
        key.block();
        assert!(!key.is_for(Algorithm::Ed25519));
        assert_eq!((address(), elsewhere()), (None, (None, None)), "blocked for all of them");
    }
}
