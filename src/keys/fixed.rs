//! Keys that are given and do not change: what is refused, and what to write instead.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use memchr::memmem;

use super::wrong;
use crate::error::{ConfigError, ConfigErrorKind};
use crate::jose::{self, AlgorithmSet, HmacAlgorithm, Key, KeySet, SharedSecret};
use crate::secret::Secret;

pub(super) fn jwks(json: &[u8], allowed: AlgorithmSet, label: &str) -> Result<KeySet, ConfigError> {
    let set = KeySet::from_jwks(json, allowed)
        .map_err(|_| wrong("not a JWK Set; write {\"keys\": [...]} with public keys"))?;
    for key in set.left_out() {
        tracing::warn!(
            target: "tower_bearer::keys",
            issuer = label, index = key.index, reason = key.reason, "left out a configured key"
        );
    }
    if set.is_empty() {
        let why = set.left_out().first().map_or("it is empty", |key| key.reason);
        return Err(wrong(format!("the JWK Set holds no usable key ({why}); write at least one public key")));
    }
    Ok(set)
}

/// jsonwebtoken reads the PEM; what it would misread is refused first.
pub(super) fn read_pem(pem: &[u8]) -> Result<DecodingKey, ConfigError> {
    let text = std::str::from_utf8(pem).map_err(|_| wrong("not a PEM file; write a PUBLIC KEY in PEM"))?;
    if text.contains("PRIVATE KEY-----") {
        return Err(wrong("a private key; write its public half (openssl pkey -pubout)"));
    }
    if text.contains("CERTIFICATE-----") {
        return Err(wrong("a certificate; write its public key (openssl x509 -pubkey -noout)"));
    }
    if text.matches("-----BEGIN ").count() > 1 {
        return Err(wrong("more than one PEM block; write one public key, or a JWK Set for several"));
    }
    DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .map_err(|e| {
            wrong("not a public key in PEM; write PUBLIC KEY (RSA, EC, Ed25519) or RSA PUBLIC KEY").because(e)
        })
}

pub(super) fn key(key: &DecodingKey, allowed: AlgorithmSet) -> Result<Key, ConfigError> {
    if key.family() == jsonwebtoken::AlgorithmFamily::Hmac {
        return Err(wrong("a shared secret; write Keys::hmac with the secret and its algorithms"));
    }
    Key::from_decoding_key(key, allowed)
        .map_err(|reason| wrong(format!("the key cannot be used: {reason}; write another public key")))
}

pub(super) fn shared_secret(
    secret: &Secret<Vec<u8>>,
    algorithms: &[HmacAlgorithm],
) -> Result<jose::Keys, ConfigError> {
    let Some(longest) = algorithms.iter().map(|a| a.min_secret_length()).max() else {
        return Err(ConfigError::new(
            ConfigErrorKind::Algorithms,
            "a shared secret needs an algorithm; write HS256, HS384 or HS512",
        ));
    };
    if is_public(secret.expose()) {
        return Err(wrong(
            "the shared secret is a key or a certificate, which others may know; write random bytes, or give a public key as what it is",
        ));
    }
    if secret.expose().len() < longest {
        return Err(wrong(format!(
            "the shared secret is too short for its algorithms; write at least {longest} random bytes"
        )));
    }
    let secret =
        SharedSecret::prepare(secret, algorithms).ok_or_else(|| wrong("the shared secret cannot be used"))?;
    Ok(jose::Keys::Shared(Arc::new(secret)))
}

/// Whether this is what is published, as PEM, JWK, JWK Set or DER, as it is or in base64: whoever has it could sign (RFC 8725 §2.1).
fn is_public(secret: &[u8]) -> bool {
    let is = |bytes: &[u8]| {
        let has = |text: &str| memmem::find(bytes, text.as_bytes()).is_some();
        has("-----BEGIN ") || has("\"kty") || begins_like_der(bytes)
    };
    let in_base64 = || base64_simd::forgiving_decode_to_vec(secret).map(Secret::new);
    is(secret) || in_base64().is_ok_and(|bytes| is(bytes.expose()))
}

/// Whether it is a SEQUENCE that begins with another one or with an INTEGER, as keys and certificates are, or a row of long ones
/// (X.690 §8.1). Of random secrets that is true of less than one in a million.
fn begins_like_der(bytes: &[u8]) -> bool {
    /// What it contains, and what is behind it.
    fn value<'a>(tags: &[u8], bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let (length, rest) = match *bytes {
            [tag, ..] if !tags.contains(&tag) => return None,
            [_, length @ ..=0x7f, ref rest @ ..] => (length.into(), rest),
            [_, 0x81, length, ref rest @ ..] => (length.into(), rest),
            [_, 0x82, high, low, ref rest @ ..] => (u16::from_be_bytes([high, low]).into(), rest),
            _ => return None,
        };
        rest.split_at_checked(length)
    }
    value(&[0x30], bytes).is_some_and(|(inside, behind)| {
        (behind.is_empty() || inside.len() >= 0x80) && value(&[0x30, 0x02], inside).is_some()
    })
}
