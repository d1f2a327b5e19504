//! Keys that are given and do not change: what is refused, and what to write instead.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use memchr::memmem;
use zeroize::Zeroizing;

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

pub(super) fn pem(pem: &[u8], allowed: AlgorithmSet) -> Result<Key, ConfigError> {
    key(&read_pem(pem)?, allowed)
}

/// jsonwebtoken reads the PEM; what it would misread is refused first.
fn read_pem(pem: &[u8]) -> Result<DecodingKey, ConfigError> {
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
            "the shared secret is a key or a certificate, which others may know; write random bytes (of a JWK its k, decoded), or give a public key as what it is",
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

/// Whether this is what is published, as PEM, JWK, JWK Set, DER or for SSH, as it is or in base64 of either alphabet: whoever
/// has it could sign (RFC 8725 §2.1).
fn is_public(secret: &[u8]) -> bool {
    let is = |bytes: &[u8]| {
        let has = |text: &str| memmem::find(bytes, text.as_bytes()).is_some();
        PUBLIC.into_iter().any(has) || begins_like_der(bytes)
    };
    let standard = |byte: &u8| match *byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let mut text = Zeroizing::new(secret.iter().map(standard).collect::<Vec<u8>>());
    is(secret) || base64_simd::forgiving_decode_inplace(&mut text).is_ok_and(|bytes| is(bytes))
}

/// What is found in public keys that are written as text.
const PUBLIC: [&str; 5] = ["-----BEGIN ", "\"kty", "ssh-rsa", "ssh-ed25519", "ecdsa-sha2-"];

/// Whether it begins as keys and certificates do: a SEQUENCE (X.690 §8.1), and in it another one, an INTEGER or an OBJECT
/// IDENTIFIER. It ends with it, but for a line break more or less, or it may be a row of long ones. Of random bytes that
/// is true of less than one in a million, and of text never: all of these have a byte that is zero.
fn begins_like_der(bytes: &[u8]) -> bool {
    /// How long its content is, by its own word, and what is there.
    fn value<'a>(tags: &[u8], bytes: &'a [u8]) -> Option<(usize, &'a [u8])> {
        match *bytes {
            [tag, ..] if !tags.contains(&tag) => None,
            [_, length @ ..=0x7f, ref rest @ ..] => Some((length.into(), rest)),
            [_, 0x81, length, ref rest @ ..] => Some((length.into(), rest)),
            [_, 0x82, high, low, ref rest @ ..] => Some((u16::from_be_bytes([high, low]).into(), rest)),
            _ => None,
        }
    }
    value(&[0x30], bytes).is_some_and(|(length, rest)| {
        (rest.len().abs_diff(length) <= 2 || (0x80..=rest.len()).contains(&length))
            && bytes.contains(&0)
            && value(&[0x30, 0x02, 0x06], rest).is_some_and(|(length, rest)| length <= rest.len())
    })
}
