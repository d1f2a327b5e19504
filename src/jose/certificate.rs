//! Keys and signatures as certificates write them (RFC 3279, 5480, 8410), for the backend that verifies tokens.
//!
//! So no other cryptography is needed, both backends accept the same certificates, and a key in a certificate has to
//! pass the same checks as one in a key set.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::algorithm::Algorithm;
use super::backend::{Curve, Material, VerifyingKey};
use super::jwk::{Reason, ec_point, ed25519, family, rsa, rsa_public_key};

/// How certificates may be signed: as tokens are, so with the hash that belongs to the curve.
pub(crate) const SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    &Signature { by: Algorithm::ES256, key: alg_id::ECDSA_P256, name: alg_id::ECDSA_SHA256 },
    &Signature { by: Algorithm::ES384, key: alg_id::ECDSA_P384, name: alg_id::ECDSA_SHA384 },
    &Signature { by: Algorithm::ES512, key: alg_id::ECDSA_P521, name: alg_id::ECDSA_SHA512 },
    &Signature { by: Algorithm::Ed25519, key: alg_id::ED25519, name: alg_id::ED25519 },
    &Signature { by: Algorithm::RS256, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PKCS1_SHA256 },
    &Signature { by: Algorithm::RS384, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PKCS1_SHA384 },
    &Signature { by: Algorithm::RS512, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PKCS1_SHA512 },
    &Signature { by: Algorithm::PS256, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PSS_SHA256 },
    &Signature { by: Algorithm::PS384, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PSS_SHA384 },
    &Signature { by: Algorithm::PS512, key: alg_id::RSA_ENCRYPTION, name: alg_id::RSA_PSS_SHA512 },
];

/// The names of the kinds of keys, each with an algorithm of its family.
const KEYS: [(AlgorithmIdentifier, Algorithm); 5] = [
    (alg_id::ECDSA_P256, Algorithm::ES256),
    (alg_id::ECDSA_P384, Algorithm::ES384),
    (alg_id::ECDSA_P521, Algorithm::ES512),
    (alg_id::ED25519, Algorithm::Ed25519),
    (alg_id::RSA_ENCRYPTION, Algorithm::RS256),
];

/// One way to sign a certificate.
#[derive(Debug)]
struct Signature {
    by: Algorithm,
    key: AlgorithmIdentifier,
    name: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Signature {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let material = material(self.by, key).map_err(|_| InvalidSignature)?;
        let key = VerifyingKey::prepare(&material, self.by).ok_or(InvalidSignature)?;
        let holds = match material {
            Material::Ec { curve, .. } => {
                fixed_length(signature, curve).is_some_and(|signature| key.verify(message, &signature))
            }
            _ => key.verify(message, signature),
        };
        if holds { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.name
    }
}

/// The key in a certificate.
pub(super) fn material_of(info: &SubjectPublicKeyInfoOwned) -> Result<Material, Reason> {
    const UNKNOWN: Reason = "the key is not RSA, EC or Ed25519";
    let name = info.algorithm.to_der().map_err(|_| UNKNOWN)?;
    let name = AnyRef::from_der(&name).map_err(|_| UNKNOWN)?.value();
    let (_, algorithm) = KEYS.into_iter().find(|(id, _)| id.as_ref() == name).ok_or(UNKNOWN)?;
    let key = info.subject_public_key.as_bytes().ok_or("the key does not have whole bytes")?;
    material(algorithm, key)
}

/// A `subjectPublicKey`, of the family that its name says.
fn material(algorithm: Algorithm, key: &[u8]) -> Result<Material, Reason> {
    let material = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 => ec_point(key)?,
        Algorithm::Ed25519 => ed25519(key)?,
        _ => {
            let (n, e) = rsa_public_key(key).ok_or("not an RSAPublicKey (RFC 8017 A.1.1)")?;
            rsa(n, e)?
        }
    };
    if family(&material).contains(&algorithm) { Ok(material) } else { Err("the point is on another curve") }
}

/// An `Ecdsa-Sig-Value` (RFC 3279 §2.2.3), `r` and `s` in a sequence, as the two of them side by side.
fn fixed_length(signature: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let length: usize = match curve {
        Curve::P256 => 32,
        Curve::P384 => 48,
        Curve::P521 => 66,
    };
    let numbers = Vec::<UintRef<'_>>::from_der(signature).ok().filter(|numbers| numbers.len() == 2)?;
    let mut fixed = Vec::new();
    for number in &numbers {
        let zeros = length.checked_sub(number.as_bytes().len())?;
        fixed.resize(fixed.len().checked_add(zeros)?, 0);
        fixed.extend_from_slice(number.as_bytes());
    }
    Some(fixed)
}
