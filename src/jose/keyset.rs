//! The keys of one issuer.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::TokenError;
use super::algorithm::AlgorithmSet;
use super::compact::Compact;
use super::header::HeaderAlgorithm;
use super::jwk::Key;
use super::material::Reason;
use super::standing::Standing;
use super::turns::Turns;

/// More usable keys than this are not imported.
pub const MAX_KEYS: usize = 100;

/// A token is tried against at most this many keys; if more fit, because it has no `kid` or the keys have none or all the
/// same, it is refused: an attacker must not choose how many signatures we check.
pub const MAX_CANDIDATES: usize = 4;

/// An immutable set of public keys. The counts of its `Arc`, which made-up key ids raise, lie apart from it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct KeySet {
    keys: Vec<Arc<Key>>,
    /// The first of them.
    left_out: Vec<LeftOut>,
    left_out_count: usize,
}

/// A key that was published and is not used.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Its place in the published set.
    pub(crate) index: usize,
    pub(crate) reason: Reason,
}

/// Why no key of the set verified the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotVerified {
    Fault {
        fault: TokenError,
        /// Whether a newer set could: the token names no key of this one.
        newer_keys_may_help: bool,
    },
    /// None was tried, because all [`Turns`] are taken.
    Busy,
}

/// Not `{"keys": […]}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotAKeySet;

impl KeySet {
    /// Reads a JWK Set (RFC 7517 §5) key by key: one that is odd, unknown or private is left out with a reason,
    /// and the others are used.
    pub(crate) fn from_jwks(json: &[u8], allowed: AlgorithmSet) -> Result<Self, NotAKeySet> {
        #[derive(Deserialize)]
        struct Published<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        // serde would also read a struct from an array.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(NotAKeySet);
        }
        let published: Published<'_> = serde_json::from_slice(json).map_err(|_| NotAKeySet)?;
        let mut set = Self::default();
        for (index, jwk) in published.keys.iter().enumerate() {
            let imported = if set.keys.len() < MAX_KEYS {
                Key::from_jwk(jwk.get(), allowed)
            } else {
                Err("there are more keys than are imported")
            };
            match imported {
                Ok(key) => set.keys.push(Arc::new(key)),
                Err(reason) => {
                    set.left_out_count = set.left_out_count.saturating_add(1);
                    if set.left_out.len() < MAX_KEYS {
                        set.left_out.push(LeftOut { index, reason });
                    }
                }
            }
        }
        Ok(set)
    }

    pub(crate) fn single(key: Key) -> Self {
        Self { keys: vec![Arc::new(key)], ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The first [`MAX_KEYS`] of those that are not used.
    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How many are not used.
    pub(crate) fn left_out_count(&self) -> usize {
        self.left_out_count
    }

    /// How many are not blocked.
    pub(crate) fn usable(&self) -> usize {
        self.keys.iter().filter(|key| !key.is_blocked()).count()
    }

    /// Blocks the keys of this name: their `kid` or their thumbprint; and with one key all that are the same under other
    /// names. Gives their thumbprints.
    pub(crate) fn block(&self, name: &str) -> Vec<String> {
        let mut found: Vec<String> =
            self.keys.iter().filter(|key| key.is_called(name)).map(|key| key.thumbprint()).collect();
        found.dedup();
        for key in &self.keys {
            if found.contains(&key.thumbprint()) {
                key.block();
            }
        }
        found
    }

    /// The JWK Set of the keys that may be used. It reads back as the same ones.
    pub(crate) fn to_jwks(&self) -> serde_json::Value {
        let usable = self.keys.iter().filter(|key| !key.is_blocked());
        serde_json::json!({"keys": usable.map(|key| key.to_jwk()).collect::<Vec<_>>()})
    }

    /// Takes over the keys of an older set that is the same, so that they keep their standing. With another set around it a
    /// key may not verify what it verified before: whom a token means depends on them all.
    pub(crate) fn keep(&mut self, older: &Self) {
        let same = self.keys.len() == older.keys.len()
            && self.keys.iter().zip(&older.keys).all(|(ours, theirs)| ours.is_equal_to(theirs));
        if same {
            self.keys.clone_from(&older.keys);
        }
    }

    /// What is in this set and was not [kept](Self::keep) in the newer one verifies nothing that comes later.
    pub(crate) fn is_replaced_by(&self, newer: &Self) {
        let kept = |key: &Arc<Key>| newer.keys.iter().any(|new| Arc::ptr_eq(key, new));
        self.keys.iter().filter(|key| !kept(key)).for_each(|key| key.standing().withdraw());
    }

    pub(crate) fn shares_a_key_with(&self, other: &Self) -> bool {
        self.keys.iter().any(|ours| other.keys.iter().any(|theirs| ours.same_key(theirs)))
    }

    /// Checks the signature with the keys that fit, and returns the standing of the one that verified it.
    ///
    /// A `kid` names a key; it proves nothing. Where no key has a `kid` it is without effect, and where keys have
    /// one, a `kid` that none of them has is unknown.
    pub(crate) fn verify(&self, token: &Compact<'_>, turns: &Turns) -> Result<&Arc<Standing>, NotVerified> {
        let HeaderAlgorithm::Signature(algorithm) = token.header.alg else {
            return Err(TokenError::Algorithm.into());
        };
        let kid = token.header.kid.as_deref();
        let named = kid.is_some() && self.keys.iter().any(|key| key.kid.as_deref() == kid);
        let candidates = || {
            self.keys
                .iter()
                .filter(|key| match kid {
                    Some(_) if named => key.kid.as_deref() == kid,
                    Some(_) => key.kid.is_none(),
                    None => true,
                })
                .filter(|key| key.is_for(algorithm))
        };
        let count = candidates().count();
        if count == 0 || count > MAX_CANDIDATES {
            let newer_keys_may_help = !named && count == 0;
            return Err(NotVerified::Fault { fault: TokenError::UnknownKey, newer_keys_may_help });
        }
        let _turn = turns.take().ok_or(NotVerified::Busy)?;
        let (message, signature) = (token.signing_input, token.signature);
        let verifies = |key: &&Arc<Key>| {
            key.prepared_for(algorithm).is_some_and(|prepared| prepared.verify(message, signature))
        };
        let verified = candidates().find(verifies);
        verified
            .map(|key| key.standing())
            .ok_or(NotVerified::Fault { fault: TokenError::Signature, newer_keys_may_help: !named })
    }
}

impl From<TokenError> for NotVerified {
    fn from(fault: TokenError) -> Self {
        Self::Fault { fault, newer_keys_may_help: false }
    }
}
