//! Keys and signatures as certificates write them (RFC 3279, 5480, 8410), for the backend that verifies tokens.
//!
//! So no other cryptography is needed, both backends accept the same certificates, and a key in a certificate has to
//! pass the same checks as one in a key set.

use std::borrow::Cow;
use std::sync::Arc;

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use x509_cert::der::asn1::{AnyRef, BitStringRef, UintRef};
use x509_cert::der::{self, Decode, Encode, Header, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::algorithm::Algorithm;
use super::backend::{Material, VerifyingKey};
use super::jwk::Key;
use super::material::{Reason, ec_point, ed25519, family, rsa, rsa_public_key};
use super::standing::Standing;

/// How certificates may be signed: as tokens are, so with the hash that belongs to the curve.
const SIGNATURES: [(Algorithm, AlgorithmIdentifier, AlgorithmIdentifier); 10] = [
    (Algorithm::ES256, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
    (Algorithm::ES384, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
    (Algorithm::ES512, alg_id::ECDSA_P521, alg_id::ECDSA_SHA512),
    (Algorithm::Ed25519, alg_id::ED25519, alg_id::ED25519),
    (Algorithm::RS256, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256),
    (Algorithm::RS384, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA384),
    (Algorithm::RS512, alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA512),
    (Algorithm::PS256, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA256),
    (Algorithm::PS384, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA384),
    (Algorithm::PS512, alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA512),
];

/// The names of the kinds of keys, each with an algorithm of its family.
const KEYS: [(AlgorithmIdentifier, Algorithm); 5] = [
    (alg_id::ECDSA_P256, Algorithm::ES256),
    (alg_id::ECDSA_P384, Algorithm::ES384),
    (alg_id::ECDSA_P521, Algorithm::ES512),
    (alg_id::ED25519, Algorithm::Ed25519),
    (alg_id::RSA_ENCRYPTION, Algorithm::RS256),
];

/// The key of a root. It is imported once, and not for each certificate that is said to be below it.
#[derive(Debug)]
pub(crate) struct RootKey {
    root: Arc<Imported>,
    signatures: Vec<Signature>,
}

#[derive(Debug)]
struct Imported {
    bytes: Box<[u8]>,
    key: Key,
    /// How many signatures were checked for chains up to it.
    #[cfg(test)]
    checks: std::sync::atomic::AtomicUsize,
}

/// One way to sign a certificate below a root.
#[derive(Debug)]
struct Signature {
    by: Algorithm,
    key: AlgorithmIdentifier,
    name: AlgorithmIdentifier,
    root: Arc<Imported>,
}

impl RootKey {
    pub(crate) fn import(info: &SubjectPublicKeyInfoOwned) -> Result<Self, Reason> {
        let key = Key::from_certificate(info, Algorithm::ALL.into_iter().collect(), Standing::default())?;
        let root = Arc::new(Imported {
            bytes: whole_bytes(info)?.into(),
            key,
            #[cfg(test)]
            checks: 0.into(),
        });
        let signatures = SIGNATURES.map(|(by, key, name)| Signature { by, key, name, root: root.clone() });
        Ok(Self { root, signatures: signatures.into() })
    }

    /// How certificates in a chain up to it may be signed.
    pub(crate) fn signatures(&self) -> Vec<&dyn SignatureVerificationAlgorithm> {
        self.signatures.iter().map(|signature| signature as _).collect()
    }

    #[cfg(test)]
    pub(crate) fn checks(&self) -> usize {
        self.root.checks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Whether it has signed this certificate.
    pub(crate) fn has_signed(&self, certificate: &[u8]) -> bool {
        signed(certificate).is_ok_and(|(message, name, signature)| {
            self.signatures.iter().any(|way| {
                way.name.as_ref() == name
                    && self.root.key.is_for(way.by)
                    && way.verify_signature(&self.root.bytes, message, signature).is_ok()
            })
        })
    }
}

impl SignatureVerificationAlgorithm for Signature {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        #[cfg(test)]
        self.root.checks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let signature = as_in_tokens(self.by, signature).ok_or(InvalidSignature)?;
        let imported = if *self.root.bytes == *key { self.root.key.prepared_for(self.by) } else { None };
        let holds = if let Some(key) = imported {
            key.verify(message, &signature)
        } else {
            let material = material(self.by, key).map_err(|_| InvalidSignature)?;
            let key = VerifyingKey::prepare(&material, self.by).ok_or(InvalidSignature)?;
            key.verify(message, &signature)
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
    material(algorithm, whole_bytes(info)?)
}

fn whole_bytes(info: &SubjectPublicKeyInfoOwned) -> Result<&[u8], Reason> {
    info.subject_public_key.as_bytes().ok_or("the key does not have whole bytes")
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

/// What is signed in a certificate, the name of the algorithm, and the signature (RFC 5280 §4.1.1).
fn signed(certificate: &[u8]) -> der::Result<(&[u8], &[u8], &[u8])> {
    let mut reader = SliceReader::new(certificate)?;
    Header::decode(&mut reader)?;
    let message = reader.tlv_bytes()?;
    let name = AnyRef::decode(&mut reader)?.value();
    let signature = BitStringRef::decode(&mut reader)?.raw_bytes();
    Ok((message, name, signature))
}

/// With ECDSA an `Ecdsa-Sig-Value` (RFC 3279 §2.2.3), `r` and `s` in a sequence, as the two of them side by side.
fn as_in_tokens(by: Algorithm, signature: &[u8]) -> Option<Cow<'_, [u8]>> {
    let length: usize = match by {
        Algorithm::ES256 => 32,
        Algorithm::ES384 => 48,
        Algorithm::ES512 => 66,
        _ => return Some(signature.into()),
    };
    let numbers = Vec::<UintRef<'_>>::from_der(signature).ok().filter(|numbers| numbers.len() == 2)?;
    let mut fixed = Vec::new();
    for number in &numbers {
        let zeros = length.checked_sub(number.as_bytes().len())?;
        fixed.resize(fixed.len().checked_add(zeros)?, 0);
        fixed.extend_from_slice(number.as_bytes());
    }
    Some(fixed.into())
}
