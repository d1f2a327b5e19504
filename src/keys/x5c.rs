//! [`CertifiedKeys`]: keys that come with the tokens, in certificate chains up to pinned roots.

mod chain;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;

use self::chain::Roots;
use super::MAX_KNOWN_CHAINS;
use crate::error::ConfigError;
use crate::jose::{
    AlgorithmSet, Compact, HeaderAlgorithm, Key, NotVerified, Standing, TokenError, Turns, sha256,
};
use crate::sync::AtomicBool;
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

/// Of at most [`MAX_KNOWN_CHAINS`] chains, each valid and with a token that its key has signed: who can have none signed can
/// neither fill it nor push anybody out. `order` has each digest of `chains` once.
#[derive(Debug, Default)]
struct Known {
    chains: HashMap<Digest, Arc<Chain>>,
    order: VecDeque<Digest>,
    /// The thumbprints of keys and certificates that must not be used, whatever certifies them.
    blocked: HashSet<String>,
}

/// What a chain that was valid has brought.
#[derive(Debug)]
struct Chain {
    key: Key,
    /// What `x5t#S256` of the signer's certificate should be (RFC 7515 §4.1.8).
    certificate: String,
    /// It has served again since it was last considered for eviction.
    used: AtomicBool,
}

impl CertifiedKeys {
    pub(super) fn new(
        pem: &[u8],
        algorithms: AlgorithmSet,
        label: &str,
        now: Timestamp,
    ) -> Result<Self, ConfigError> {
        let roots = Roots::from_pem(pem)?;
        if roots.valid(now) == 0 {
            // Not an error: which of two clocks is wrong is not known at the start.
            tracing::warn!(
                target: "tower_bearer::config",
                issuer = label, "no root certificate is valid now; tokens of this issuer are answered 503"
            );
        }
        Ok(Self { roots, algorithms, label: label.into(), known: RwLock::default() })
    }

    /// The signature, with the key of the chain that came with the token: the standing of that key. What the chain costs is
    /// part of the turn.
    pub(crate) fn verify(
        &self,
        token: &Compact<'_>,
        now: Timestamp,
        turns: &Turns,
    ) -> Result<Arc<Standing>, NotVerified> {
        let chain = token.chain().ok_or(TokenError::Certificate)?;
        let _turn = turns.take().ok_or(NotVerified::Busy)?;
        let digest = digest(&chain);
        if let Some(chain) = self.known(&digest).filter(|chain| chain.is_valid(now)) {
            check_signature(&chain.key, token)?;
            chain.note_use();
            return Ok(chain.key.standing().clone());
        }
        let chain = self.certified(&chain, now)?;
        check_signature(&chain.key, token)?;
        Ok(self.remember(digest, Arc::new(chain), now)?)
    }

    /// Blocks the key of this thumbprint, or in the certificate of this one, now and in chains to come.
    pub(crate) fn block(&self, name: &str) -> bool {
        self.known.write().unwrap_or_else(PoisonError::into_inner).block(name)
    }

    /// How many of those that are trusted are valid now.
    pub(crate) fn roots(&self, now: Timestamp) -> usize {
        self.roots.valid(now)
    }

    pub(super) fn shares_a_root_with(&self, other: &Self) -> bool {
        self.roots.share_one_with(&other.roots)
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Chain>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).chains.get(digest).cloned()
    }

    fn certified(&self, chain: &[String], now: Timestamp) -> Result<Chain, TokenError> {
        // RFC 7515 §4.1.6: base64 with padding, unlike everything else in a token.
        let certificates: Result<Vec<_>, _> =
            chain.iter().map(|text| STANDARD.decode(text).map(CertificateDer::from)).collect();
        let chain = certificates.map_err(|_| "not base64").and_then(|certificates| {
            let key = self.roots.certify(&certificates, self.algorithms, now)?;
            Ok(Chain::new(key, certificates.first().map_or(&[], AsRef::as_ref)))
        });
        chain.map_err(|reason| {
            tracing::debug!(
                target: "tower_bearer::keys",
                issuer = &*self.label, reason, "did not accept a certificate chain"
            );
            TokenError::Certificate
        })
    }

    /// The lock is held over the look at the blocked names, so that no key that is blocked meanwhile slips through.
    fn remember(
        &self,
        digest: Digest,
        chain: Arc<Chain>,
        now: Timestamp,
    ) -> Result<Arc<Standing>, TokenError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.blocked.iter().any(|name| chain.is_called(name)) {
            // If only its certificate was blocked so far, other certificates of this key are not known for it.
            known.block(&chain.key.thumbprint());
            return Err(TokenError::UnknownKey);
        }
        Ok(known.insert(digest, chain, now).key.standing().clone())
    }
}

impl Known {
    /// A certificate stands for its key, which others may certify too.
    fn block(&mut self, name: &str) -> bool {
        let called = self.chains.values().filter(|chain| chain.is_called(name));
        let mut names: HashSet<_> = called.map(|chain| chain.key.thumbprint()).collect();
        let found = !names.is_empty();
        names.insert(name.to_owned());
        for chain in self.chains.values().filter(|chain| names.iter().any(|name| chain.is_called(name))) {
            chain.key.block();
        }
        self.blocked.extend(names);
        found
    }

    /// Makes room, and takes it in. If another request was faster, its key stays: verdicts rest on it.
    fn insert(&mut self, digest: Digest, chain: Arc<Chain>, now: Timestamp) -> &Chain {
        let over: Vec<_> =
            self.chains.iter().filter(|(_, chain)| !chain.is_valid(now)).map(|(digest, _)| *digest).collect();
        for digest in over {
            self.remove(&digest);
        }
        if !self.chains.contains_key(&digest) {
            while self.order.len() >= MAX_KNOWN_CHAINS {
                self.evict();
            }
            self.order.push_back(digest);
        }
        self.chains.entry(digest).or_insert(chain)
    }

    /// The oldest goes, but one that was used since it was last here gets another turn: chains that come once do not push
    /// out those that come all the time.
    fn evict(&mut self) {
        for _ in 0..self.order.len() {
            let oldest = self.order.front().and_then(|digest| self.chains.get(digest));
            if !oldest.is_some_and(|chain| chain.used.swap(false, Ordering::Relaxed)) {
                break;
            }
            self.order.rotate_left(1);
        }
        if let Some(oldest) = self.order.front().copied() {
            self.remove(&oldest);
        }
    }

    /// What goes can no longer be blocked, so it vouches for nothing any more.
    fn remove(&mut self, digest: &Digest) {
        self.order.retain(|other| other != digest);
        if let Some(chain) = self.chains.remove(digest) {
            chain.key.standing().withdraw();
        }
    }
}

impl Chain {
    fn new(key: Key, certificate: &[u8]) -> Self {
        let certificate = URL_SAFE_NO_PAD.encode(sha256(certificate));
        Self { key, certificate, used: AtomicBool::new(false) }
    }

    /// Written once only, so that a chain in constant use is read alone.
    fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.certificate == name || self.key.is_called(name)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.key.standing().is_valid(now)
    }
}

fn check_signature(key: &Key, token: &Compact<'_>) -> Result<(), TokenError> {
    let HeaderAlgorithm::Signature(algorithm) = token.header.alg else { return Err(TokenError::Algorithm) };
    let prepared = key.prepared_for(algorithm).ok_or(TokenError::UnknownKey)?;
    let holds = prepared.verify(token.signing_input, token.signature);
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
