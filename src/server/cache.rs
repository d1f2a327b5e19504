//! [`Cache`]: tokens that were verified, for those who send them again.
//!
//! It remembers verdicts and decides nothing. Whether one still holds is asked on every hit (`Inner::recall`), and what a
//! token may do is the layer's to say each time.
//!
//! It is a map of our own, because what matters here is that its bounds can be read off: a crate such as quick_cache
//! bounds one weight, knows neither ages nor their end, and would bring unsafe code to where tokens are kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::verify::Trusted;
use crate::jose::Standing;
use crate::sync::{AtomicBool, RandomState, RwLock};
use crate::token::Token;

#[cfg(all(test, tower_bearer_model))]
#[path = "../../tests/model/cache.rs"]
mod model;

/// So many verified tokens are remembered by one server, unless
/// [`cache_capacity`](crate::ResourceServerBuilder::cache_capacity) says otherwise.
pub const MAX_CACHED_TOKENS: usize = 10_000;

/// So many bytes are used for them, their claims and our bookkeeping.
pub const MAX_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How long a verified token is remembered, and never past its end.
pub const MAX_CACHED_FOR: Duration = Duration::from_secs(5 * 60);

/// Those who look for a token wait for nobody but whoever stores one in the same shard.
const SHARDS: usize = 16;

/// So many bytes at the end of a token say where it is stored: 96 bits of its signature.
const HASHED: usize = 16;

/// What an entry takes besides its token: itself, its counters, and its places in a map and a queue that may be a little
/// more than half empty.
const BOOKKEEPING: usize =
    size_of::<Verdict>() + 2 * size_of::<usize>() + 3 * (2 * size_of::<u64>() + size_of::<usize>());

/// Bounded, forgetful, and of one server alone. Only tokens that were verified come in: whoever has none can neither fill
/// it nor push anybody out.
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    /// Seeded at random, so that nobody can choose who shares a shard or a place in it.
    hasher: RandomState,
}

/// For what is a hash already.
#[derive(Default)]
struct Hashed(u64);

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tokens: usize,
    pub(super) bytes: usize,
}

/// That a token was good, and what this rests on.
pub(super) struct Verdict {
    pub(super) token: Token,
    /// The place of its issuer among the server's.
    pub(super) issuer: usize,
    /// Of the key that has verified it.
    pub(super) standing: Arc<Standing>,
    /// Who was asked, if the token does not say whom to ask: then the answer is one to this question only.
    pub(super) asked: Option<Trusted>,
    /// It is forgotten then.
    pub(super) until: Instant,
    /// Somebody has sent it again since it was last considered for eviction.
    used: AtomicBool,
}

/// `order` has each key of `by_hash` once; `bytes` is the sum of their sizes.
struct Shard {
    limits: Limits,
    /// Two tokens with the same hash push each other out. They are told apart by their text.
    by_hash: HashMap<u64, Arc<Verdict>, BuildHasherDefault<Hashed>>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Self {
        let shard = |_| RwLock::new(Shard::new(limits.shared()));
        Self { shards: std::array::from_fn(shard), hasher: RandomState::new() }
    }

    /// What was found about this very text, byte for byte.
    ///
    /// Texts are compared where the whole hash is the same, which nobody can bring about who does not know the end of the
    /// signature: how long it takes says nothing about a token that is stored.
    pub(super) fn find(&self, raw: &[u8]) -> Option<Arc<Verdict>> {
        let hash = self.hash(raw);
        let shard = self.shard(hash)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.find(hash, raw).cloned()
    }

    pub(super) fn insert(&self, verdict: Verdict, now: Instant) {
        let hash = self.hash(verdict.token.raw().as_bytes());
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let evicted = shard.insert(hash, Arc::new(verdict), now);
        drop(shard);
        // Wiping them takes its time.
        drop(evicted);
    }

    /// Forgets a verdict that does not hold any more, but not a newer one about the same token.
    pub(super) fn forget(&self, verdict: &Arc<Verdict>) {
        let hash = self.hash(verdict.token.raw().as_bytes());
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.by_hash.get(&hash).is_some_and(|known| Arc::ptr_eq(known, verdict)) {
            shard.remove(hash);
        }
    }

    /// A token ends with its signature, which nobody but the issuer chooses: the last bytes of it tell tokens apart as well
    /// as all would, at a tenth of the time.
    fn hash(&self, raw: &[u8]) -> u64 {
        self.hasher.hash_one(raw.last_chunk::<HASHED>().map_or(raw, |end| end))
    }

    /// By bits that the map within makes little use of.
    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(hash.to_be_bytes()[3]) % SHARDS)
    }
}

impl Limits {
    pub(super) const DEFAULT: Self = Self { tokens: MAX_CACHED_TOKENS, bytes: MAX_CACHE_BYTES };

    /// The part of one shard.
    fn shared(self) -> Self {
        Self { tokens: self.tokens.div_ceil(SHARDS), bytes: self.bytes.div_ceil(SHARDS) }
    }
}

impl Verdict {
    pub(super) fn new(
        token: Token,
        issuer: usize,
        standing: Arc<Standing>,
        asked: Option<Trusted>,
        until: Instant,
    ) -> Self {
        Self { token, issuer, standing, asked, until, used: AtomicBool::new(false) }
    }

    /// It has served again. Written once only, so that a token in constant use is read alone.
    pub(super) fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn size(&self) -> usize {
        self.token.size().saturating_add(BOOKKEEPING)
    }
}

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Shard {
    fn new(limits: Limits) -> Self {
        Self { limits, by_hash: HashMap::default(), order: VecDeque::new(), bytes: 0 }
    }

    fn find(&self, hash: u64, raw: &[u8]) -> Option<&Arc<Verdict>> {
        self.by_hash.get(&hash).filter(|verdict| verdict.token.is(raw))
    }

    /// Makes room and takes it in; returns what had to go.
    fn insert(&mut self, hash: u64, verdict: Arc<Verdict>, now: Instant) -> Vec<Arc<Verdict>> {
        let mut gone: Vec<_> = self.remove(hash).into_iter().collect();
        while self.oldest().is_some_and(|oldest| oldest.until <= now) {
            gone.extend(self.evict(now));
        }
        let Some(left) = self.limits.bytes.checked_sub(verdict.size()) else { return gone };
        while !self.order.is_empty() && (self.order.len() >= self.limits.tokens || self.bytes > left) {
            gone.extend(self.evict(now));
        }
        self.bytes = self.bytes.saturating_add(verdict.size());
        self.order.push_back(hash);
        self.by_hash.insert(hash, verdict);
        gone
    }

    /// The oldest goes, but one that was used since it was last here gets another turn: a run of tokens that come once
    /// does not push out those that come all the time.
    fn evict(&mut self, now: Instant) -> Option<Arc<Verdict>> {
        for _ in 0..self.order.len() {
            if !self.oldest().is_some_and(|v| now < v.until && v.used.swap(false, Ordering::Relaxed)) {
                break;
            }
            self.order.rotate_left(1);
        }
        let oldest = self.order.front().copied()?;
        self.remove(oldest)
    }

    fn oldest(&self) -> Option<&Verdict> {
        self.order.front().and_then(|hash| self.by_hash.get(hash)).map(AsRef::as_ref)
    }

    fn remove(&mut self, hash: u64) -> Option<Arc<Verdict>> {
        let verdict = self.by_hash.remove(&hash)?;
        self.bytes = self.bytes.saturating_sub(verdict.size());
        if let Some(place) = self.order.iter().position(|other| *other == hash) {
            self.order.remove(place);
        }
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Observers, Warnings};
    use crate::identity::{IssuerIdentity, ServerIdentity};
    use crate::jose::Validity;
    use crate::profile::Identity;
    use crate::scope::Scopes;
    use crate::time::{SystemClock, Timestamp};

    fn verdict(raw: &str, until: Instant) -> Arc<Verdict> {
        verdict_on(raw, Vec::new(), until)
    }

    pub(super) fn verdict_on(raw: &str, payload: Vec<u8>, until: Instant) -> Arc<Verdict> {
        let server = ServerIdentity {
            identifier: "api".into(),
            metadata_url: None,
            implications: crate::scope::Implications::default(),
            clock: Arc::new(SystemClock),
            observers: Observers::default(),
            warnings: Warnings::new(until),
        };
        let issuer = IssuerIdentity {
            name: "issuer".into(),
            iss: None,
            leeway: Duration::ZERO,
            warnings: Warnings::new(Instant::now()),
        };
        let identity = Identity { client_id: None, subject: None, token_id: None, scopes: Scopes::default() };
        let expires_at = Timestamp::from_seconds(0);
        let validity = Validity { expires_at, not_before: None, issued_at: None };
        let (server, issuer) = (Arc::new(server), Arc::new(issuer));
        let token = Token::verified(server, issuer, raw, payload, Box::default(), identity.into(), validity);
        Arc::new(Verdict::new(token, 0, Arc::default(), None, until))
    }

    pub(super) fn check(shard: &Shard) {
        assert!(shard.order.len() <= shard.limits.tokens && shard.bytes <= shard.limits.bytes);
        assert_eq!(shard.order.len(), shard.by_hash.len());
        assert!(shard.order.iter().all(|hash| shard.by_hash.contains_key(hash)));
        assert_eq!(shard.bytes, shard.by_hash.values().map(|verdict| verdict.size()).sum::<usize>());
    }

    #[test]
    fn the_shards_share_the_bounds() {
        let part = Limits::DEFAULT.shared();
        assert_eq!((SHARDS * part.tokens, SHARDS * part.bytes), (MAX_CACHED_TOKENS, MAX_CACHE_BYTES));
    }

    #[test]
    fn a_hash_alone_is_no_match() {
        let now = Instant::now();
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        shard.insert(7, verdict("one", now + MAX_CACHED_FOR), now);
        assert!(shard.find(7, b"one").is_some());
        assert!(shard.find(7, b"two").is_none());
        assert_eq!(shard.insert(7, verdict("two", now + MAX_CACHED_FOR), now).len(), 1);
        assert!(shard.find(7, b"one").is_none());
        assert!(shard.find(7, b"two").is_some());
        check(&shard);
    }

    #[test]
    fn the_bounds_hold_whatever_happens() {
        let start = Instant::now();
        let (mut shard, mut random) = (Shard::new(Limits::DEFAULT.shared()), RandomState::new().hash_one(()));
        println!("seed {random}");
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut fullest = (0, 0);
        for step in 0..10_000_u64 {
            // Many small ones, then few large ones.
            let longest = if step < 5_000 { 10 } else { 16_000 };
            let (hash, now) = (next(5_000), start + Duration::from_millis(step * 20));
            match next(10) {
                0 => drop(shard.remove(hash)),
                1 => shard.by_hash.values().take(100).for_each(|verdict| verdict.note_use()),
                _ => {
                    let raw = "x".repeat(usize::try_from(next(longest)).unwrap());
                    let gone = shard.insert(hash, verdict(&raw, now + MAX_CACHED_FOR), now);
                    assert!(shard.find(hash, raw.as_bytes()).is_some());
                    assert!(gone.iter().all(|old| old.size() > 0));
                }
            }
            check(&shard);
            fullest = (fullest.0.max(shard.order.len()), fullest.1.max(shard.bytes));
        }
        assert_eq!(fullest.0, shard.limits.tokens);
        assert!(fullest.1 > shard.limits.bytes - 20_000, "{fullest:?}");
    }

    #[test]
    fn what_is_over_makes_room() {
        let start = Instant::now();
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        for hash in 0..100 {
            shard.insert(hash, verdict("x", start + MAX_CACHED_FOR), start);
        }
        let gone = shard.insert(100, verdict("x", start + MAX_CACHED_FOR * 2), start + MAX_CACHED_FOR);
        assert_eq!((gone.len(), shard.order.len()), (100, 1));
        check(&shard);
    }

    #[test]
    fn what_could_never_fit_stays_out() {
        let now = Instant::now();
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        shard.insert(1, verdict("one", now + MAX_CACHED_FOR), now);
        shard.insert(2, verdict(&"x".repeat(shard.limits.bytes), now + MAX_CACHED_FOR), now);
        assert!(shard.find(1, b"one").is_some());
        assert_eq!(shard.order.len(), 1);
        check(&shard);
    }
}
