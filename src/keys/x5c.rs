//! [`CertifiedKeys`]: keys that come with the tokens, in certificate chains up to pinned roots.

mod chain;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;

use self::chain::Roots;
use super::MAX_KNOWN_CHAINS;
use crate::error::ConfigError;
use crate::jose::{AlgorithmSet, Compact, HeaderAlgorithm, Key, Standing, TokenError, sha256};
use crate::time::Timestamp;

/// The roots of one issuer, and the keys that were found good under them.
#[derive(Debug)]
pub(crate) struct CertifiedKeys {
    roots: Roots,
    algorithms: AlgorithmSet,
    label: Box<str>,
    known: RwLock<Known>,
}

/// The digest of a whole chain: a key is as good as the chain that it came with, and as long.
type Digest = [u8; 32];

/// `keys` has at most [`MAX_KNOWN_CHAINS`] entries, each of a chain that was valid and a token that its key has signed: who
/// can have none signed can neither fill it nor push anybody out.
#[derive(Debug, Default)]
struct Known {
    keys: HashMap<Digest, Arc<Key>>,
    /// The thumbprints of keys that must not be used, whatever certifies them.
    blocked: Vec<String>,
}

impl CertifiedKeys {
    pub(super) fn new(
        pem: &[u8],
        algorithms: AlgorithmSet,
        label: &str,
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        let roots = Roots::from_pem(pem)?;
        if !roots.any_valid(now) {
            // Not an error: which of two clocks is wrong is not known at the start.
            tracing::warn!(
                target: "tower_bearer::config",
                issuer = label, "no root certificate is valid now; tokens of this issuer are refused"
            );
        }
        Ok(Self { roots, algorithms, label: label.into(), known: RwLock::default() })
    }

    /// The signature, with the key of the chain that came with the token: the standing of that key.
    pub(crate) fn verify(&self, token: &Compact<'_>, now: Timestamp) -> Result<Arc<Standing>, TokenError> {
        let chain = token.chain().ok_or(TokenError::Certificate)?;
        let digest = digest(&chain);
        if let Some(key) = self.known(&digest).filter(|key| key.standing().is_valid(now)) {
            check_signature(&key, token)?;
            return Ok(key.standing().clone());
        }
        let key = Arc::new(self.certified(&chain, now)?);
        check_signature(&key, token)?;
        self.remember(digest, key, now)
    }

    /// Blocks the key of this thumbprint, now and in chains to come.
    pub(crate) fn block(&self, name: &str) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.blocked.iter().any(|blocked| blocked == name) {
            known.blocked.push(name.to_owned());
        }
        let mut found = false;
        for key in known.keys.values().filter(|key| key.is_called(name)) {
            key.block();
            found = true;
        }
        found
    }

    /// How many are trusted.
    pub(crate) fn roots(&self) -> usize {
        self.roots.len()
    }

    pub(super) fn shares_a_root_with(&self, other: &Self) -> bool {
        self.roots.share_one_with(&other.roots)
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Key>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys.get(digest).cloned()
    }

    fn certified(&self, chain: &[String], now: Timestamp) -> Result<Key, TokenError> {
        // RFC 7515 §4.1.6: base64 with padding, unlike everything else in a token.
        let certificates: Result<Vec<_>, _> =
            chain.iter().map(|text| STANDARD.decode(text).map(CertificateDer::from)).collect();
        let key = certificates
            .map_err(|_| "not base64")
            .and_then(|certificates| self.roots.certify(&certificates, self.algorithms, now));
        key.map_err(|reason| {
            tracing::debug!(
                target: "tower_bearer::keys",
                issuer = &*self.label, reason, "did not accept a certificate chain"
            );
            TokenError::Certificate
        })
    }

    /// The lock is held over the look at the blocked names, so that no key that is blocked meanwhile slips through.
    fn remember(&self, digest: Digest, key: Arc<Key>, now: Timestamp) -> Result<Arc<Standing>, TokenError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.blocked.iter().any(|name| key.is_called(name)) {
            return Err(TokenError::UnknownKey);
        }
        Ok(known.insert(digest, key, now).standing().clone())
    }
}

impl Known {
    /// Makes room, and takes it in. If another request was faster, its key stays: verdicts rest on it.
    ///
    /// What goes can no longer be blocked, so it vouches for nothing any more.
    fn insert(&mut self, digest: Digest, key: Arc<Key>, now: Timestamp) -> &Key {
        self.keys.retain(|_, key| {
            let stays = key.standing().is_valid(now);
            if !stays {
                key.standing().withdraw();
            }
            stays
        });
        while self.keys.len() >= MAX_KNOWN_CHAINS && !self.keys.contains_key(&digest) {
            // The one that ends first: a signer that has a newer certificate does not come back to it.
            let first = self.keys.iter().min_by_key(|(_, key)| key.standing().ends());
            let Some(first) = first.map(|(digest, _)| *digest) else { break };
            if let Some(key) = self.keys.remove(&first) {
                key.standing().withdraw();
            }
        }
        self.keys.entry(digest).or_insert(key)
    }
}

fn check_signature(key: &Key, token: &Compact<'_>) -> Result<(), TokenError> {
    let HeaderAlgorithm::Signature(algorithm) = token.header.alg else { return Err(TokenError::Algorithm) };
    let prepared = key.prepared_for(algorithm).ok_or(TokenError::UnknownKey)?;
    let holds = prepared.verify(token.signing_input.as_bytes(), &token.signature);
    if holds { Ok(()) } else { Err(TokenError::Signature) }
}

/// Over the texts, each with its length: no two chains are written alike.
fn digest(chain: &[String]) -> Digest {
    let mut written = Vec::with_capacity(chain.iter().map(|text| text.len().saturating_add(8)).sum());
    for text in chain {
        written.extend_from_slice(&text.len().to_be_bytes());
        written.extend_from_slice(text.as_bytes());
    }
    sha256(&written)
}
