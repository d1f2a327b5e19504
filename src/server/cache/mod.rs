//! [`Cache`]: tokens that were verified, for those who send them again.
//!
//! It remembers verdicts and decides nothing. Whether one still holds is asked on every hit (`Inner::recall`), and what a
//! token may do is the layer's to say each time.
//!
//! It is a map of our own, because what matters here is that its bounds can be read off: a crate such as quick_cache
//! bounds one weight, knows neither ages nor their end, and would bring unsafe code to where tokens are kept. A
//! look-up among 10 000 tokens takes 80 ns as it is here, 49 ns with quick_cache, 65 ns with papaya and 314 ns with moka.
//!
//! A token in constant use is kept by each thread as well ([`near`]): two threads that read one place in memory, and count
//! who uses it, wait for each other more than a look-up takes.

mod near;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::mem::size_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

pub use self::near::MAX_CACHED_BY_THREAD;
use self::near::Near;
use super::verify::Trusted;
use crate::lookup::desk::Memory;
use crate::sync::{AtomicBool, AtomicU64, RandomState, RwLock};
use crate::token::Token;

#[cfg(all(test, tower_bearer_model))]
#[path = "../../../tests/model/cache.rs"]
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

/// No token with a signature is as short as this, and few opaque ones are longer.
const OPAQUE: usize = 128;

/// What an entry takes besides its token: its places in a map and a queue, either of which may be a little more than half
/// empty.
const BOOKKEEPING: usize = size_of::<(u64, Verdict)>() * 16 / 7 + 2 * size_of::<u64>();

/// Bounded, forgetful, and of one server alone. Only tokens that were verified come in: whoever has none can neither fill
/// it nor push anybody out.
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    start: Instant,
    /// Seeded at random, so that nobody can choose who shares a shard or a place in it.
    hasher: RandomState,
    near: Near,
}

/// For what is a hash already.
#[derive(Default)]
struct Hashed(u64);

/// The last bit of [`Verdict::state`].
const USED: u64 = 1;

/// Microseconds after the cache was made: half of what an `Instant` takes, in 63 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    /// So long after the cache was made.
    fn after(start: Duration) -> Self {
        Self(u64::try_from(start.as_micros()).unwrap_or(u64::MAX).min(u64::MAX >> 1))
    }

    fn since_start(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tokens: usize,
    pub(super) bytes: usize,
}

/// That a token was good. What this rests on is the token's own: its times, its issuer, and the standing of its key.
struct Verdict {
    token: Token,
    /// When it is forgotten, and in the last bit whether somebody has sent it again since it was last considered for
    /// eviction: there is one of these for each token, and it takes no more than it must.
    state: AtomicU64,
    /// What few of them have.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    /// Who was asked, if the token does not say whom to ask: then the answer is one to this question only.
    asked: Option<Trusted>,
    /// What tells the copies that threads keep of it, if there are any, that it is gone. None outlives it: what comes in its
    /// place may say something else.
    gone: Option<Arc<AtomicBool>>,
}

/// What had to go: one as a rule, since each makes room for the next.
type Evicted = SmallVec<[Verdict; 1]>;

/// `order` has each key of `by_hash` once; `bytes` is the sum of their sizes.
struct Shard {
    limits: Limits,
    /// Two tokens with the same hash push each other out. They are told apart by their text.
    by_hash: HashMap<u64, Verdict, BuildHasherDefault<Hashed>>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(limits: Limits, start: Instant) -> Self {
        let shard = |_| RwLock::new(Shard::new(limits.shared()));
        Self { shards: std::array::from_fn(shard), start, hasher: RandomState::new(), near: Near::default() }
    }

    /// What this thread remembers about this very text, if it has come to it before.
    pub(super) fn find_near(&self, raw: &[u8], trusted: &Trusted, now: Instant) -> Option<Token> {
        self.near.find(raw, trusted, now)
    }

    /// What was found about this very text, byte for byte.
    ///
    /// Texts are compared where the whole hash is the same, which nobody can bring about who does not know the end of the
    /// signature: how long it takes says nothing about a token that is stored.
    pub(super) fn find(&self, raw: &[u8], trusted: &Trusted, now: Instant) -> Option<Token> {
        let hash = self.hash(raw);
        let shard = self.shard(hash)?.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = shard.find(hash, raw)?;
        let until = verdict.until();
        if self.moment(now) >= until || !trusted.is_answered_by(verdict.asked(), verdict.token.issuer_name())
        {
            return None;
        }
        verdict.note_use();
        let token = verdict.token.clone();
        if self.near.wants(&token, now)
            && let Some(until) = self.start.checked_add(until.since_start())
        {
            let asked = verdict.asked().cloned().map(Box::new);
            drop(shard);
            if let Some(gone) = self.note_copy(hash, &token) {
                self.near.keep(&token, asked, until, gone, now);
            }
        }
        Some(token)
    }

    /// What will tell a copy that this token is gone, if it is not by now.
    fn note_copy(&self, hash: u64, token: &Token) -> Option<Arc<AtomicBool>> {
        let mut shard = self.shard(hash)?.write().unwrap_or_else(PoisonError::into_inner);
        let verdict = shard.by_hash.get_mut(&hash).filter(|known| known.token.is_same(token))?;
        let more = verdict.more.get_or_insert_default();
        let gone = more.gone.get_or_insert_with(|| Arc::new(AtomicBool::new(false)));
        Some(gone.clone())
    }

    /// Remembers that a token was good, until then.
    ///
    /// `asked` is who was asked, if the token does not say whom to ask: then the answer is one to this question only.
    pub(super) fn insert(&self, token: Token, asked: Option<Trusted>, until: Instant, now: Instant) {
        let (until, now) = (self.moment(until), self.moment(now));
        let verdict = Verdict::new(token, asked, until);
        let hash = self.hash(verdict.token.raw());
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let evicted = shard.insert(hash, verdict, now);
        drop(shard);
        // Wiping them takes its time.
        drop(evicted);
    }

    /// Forgets a token about which the verdict does not hold any more, but not a newer verdict about the same text.
    pub(super) fn forget(&self, token: &Token) {
        let hash = self.hash(token.raw());
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.by_hash.get(&hash).is_some_and(|known| known.token.is_same(token)) {
            shard.remove(hash);
        }
    }

    /// What is only this thread's.
    pub(super) fn forget_near(&self, token: &Token) {
        self.near.forget(token.raw());
    }

    /// A token with a signature ends with it, and nobody but the issuer chooses that: the last bytes of it tell tokens apart
    /// as well as all would, at a tenth of the time. What is shorter may be opaque, and end in anything.
    fn hash(&self, raw: &[u8]) -> u64 {
        let end = raw.last_chunk::<HASHED>().filter(|_| raw.len() > OPAQUE);
        self.hasher.hash_one(end.map_or(raw, |end| end))
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::after(now.saturating_duration_since(self.start))
    }

    /// By bits that the map within makes little use of.
    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(hash.to_be_bytes()[3]) % SHARDS)
    }
}

impl Memory for Cache {
    /// Forgets all that is known about a text, on every thread: whoever issued it has taken it back.
    fn forget_text(&self, raw: &[u8]) {
        let hash = self.hash(raw);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let gone = shard.find(hash, raw).is_some().then(|| shard.remove(hash));
        drop(shard);
        drop(gone);
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
    fn new(token: Token, asked: Option<Trusted>, until: Moment) -> Self {
        let more = asked.map(|asked| Box::new(More { asked: Some(asked), gone: None }));
        Self { token, state: AtomicU64::new(until.0 << 1), more }
    }

    fn asked(&self) -> Option<&Trusted> {
        self.more.as_ref()?.asked.as_ref()
    }

    fn gone(&self) -> Option<&AtomicBool> {
        self.more.as_ref()?.gone.as_deref()
    }

    fn until(&self) -> Moment {
        Moment(self.state.load(Ordering::Relaxed) >> 1)
    }

    /// It has served again. Written once only, so that a token in constant use is read alone.
    fn note_use(&self) {
        if self.state.load(Ordering::Relaxed) & USED == 0 {
            self.state.fetch_or(USED, Ordering::Relaxed);
        }
    }

    /// Whether it has served since this was last asked.
    fn was_used(&self) -> bool {
        self.state.fetch_and(!USED, Ordering::Relaxed) & USED != 0
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

    fn find(&self, hash: u64, raw: &[u8]) -> Option<&Verdict> {
        self.by_hash.get(&hash).filter(|verdict| verdict.token.is(raw))
    }

    /// Makes room and takes it in; returns what had to go.
    fn insert(&mut self, hash: u64, verdict: Verdict, now: Moment) -> Evicted {
        let mut gone: Evicted = self.remove(hash).into_iter().collect();
        while self.oldest().is_some_and(|oldest| oldest.until() <= now) {
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
    fn evict(&mut self, now: Moment) -> Option<Verdict> {
        for _ in 0..self.order.len() {
            if !self.oldest().is_some_and(|v| now < v.until() && v.was_used()) {
                break;
            }
            self.order.rotate_left(1);
        }
        let oldest = self.order.front().copied()?;
        self.remove(oldest)
    }

    fn oldest(&self) -> Option<&Verdict> {
        self.order.front().and_then(|hash| self.by_hash.get(hash))
    }

    fn remove(&mut self, hash: u64) -> Option<Verdict> {
        let verdict = self.by_hash.remove(&hash)?;
        if let Some(gone) = verdict.gone() {
            gone.store(true, Ordering::Release);
        }
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
    use std::sync::Arc;

    use crate::challenge::Hints;
    use crate::identity::{IssuerIdentity, ServerIdentity};
    use crate::jose::Validity;
    use crate::profile::Identity;
    use crate::scope::Granted;
    use crate::time::{SystemClock, Ticks, Timestamp};
    use crate::token::Proven;

    fn verdict(raw: &str, until: Duration) -> Verdict {
        Verdict::new(token_on(raw, String::new()), None, Moment::after(until))
    }

    pub(super) fn token_on(raw: &str, claims: String) -> Token {
        let server = ServerIdentity {
            identifier: "api".into(),
            hints: Arc::new(Hints::new(None, None)),
            implications: crate::scope::Implications::default(),
            clock: Arc::new(SystemClock),
            ticks: Ticks::of(None),
            observers: Observers::default(),
            warnings: Warnings::new(Instant::now()),
        };
        let issuer = IssuerIdentity {
            server: Arc::new(server),
            name: "issuer".into(),
            place: 0,
            iss: None,
            leeway: Duration::ZERO,
            warnings: Warnings::new(Instant::now()),
        };
        let identity =
            Identity { client_id: None, subject: None, token_id: None, scopes: Granted::default() };
        let expires_at = Timestamp::from_seconds(0);
        let validity = Validity { expires_at, not_before: None, issued_at: None };
        let proven = Proven::find(&identity, std::iter::empty(), &claims);
        Token::verified(Arc::new(issuer), raw.as_bytes(), claims, proven, validity, Arc::default())
    }

    pub(super) fn check(shard: &Shard) {
        assert!(shard.order.len() <= shard.limits.tokens && shard.bytes <= shard.limits.bytes);
        assert_eq!(shard.order.len(), shard.by_hash.len());
        assert!(shard.order.iter().all(|hash| shard.by_hash.contains_key(hash)));
        assert_eq!(shard.bytes, shard.by_hash.values().map(Verdict::size).sum::<usize>());
    }

    #[test]
    fn the_shards_share_the_bounds() {
        let part = Limits::DEFAULT.shared();
        assert_eq!((SHARDS * part.tokens, SHARDS * part.bytes), (MAX_CACHED_TOKENS, MAX_CACHE_BYTES));
    }

    #[test]
    fn a_hash_alone_is_no_match() {
        let now = Duration::ZERO;
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        shard.insert(7, verdict("one", now + MAX_CACHED_FOR), Moment::after(now));
        assert!(shard.find(7, b"one").is_some());
        assert!(shard.find(7, b"two").is_none());
        assert_eq!(shard.insert(7, verdict("two", now + MAX_CACHED_FOR), Moment::after(now)).len(), 1);
        assert!(shard.find(7, b"one").is_none());
        assert!(shard.find(7, b"two").is_some());
        check(&shard);
    }

    #[test]
    fn the_bounds_hold_whatever_happens() {
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
            let (hash, now) = (next(5_000), Duration::from_millis(step * 20));
            match next(10) {
                0 => drop(shard.remove(hash)),
                1 => shard.by_hash.values().take(100).for_each(Verdict::note_use),
                _ => {
                    let raw = "x".repeat(usize::try_from(next(longest)).unwrap());
                    let gone = shard.insert(hash, verdict(&raw, now + MAX_CACHED_FOR), Moment::after(now));
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
        let start = Duration::ZERO;
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        for hash in 0..100 {
            shard.insert(hash, verdict("x", start + MAX_CACHED_FOR), Moment::after(start));
        }
        let gone = shard.insert(
            100,
            verdict("x", start + MAX_CACHED_FOR * 2),
            Moment::after(start + MAX_CACHED_FOR),
        );
        assert_eq!((gone.len(), shard.order.len()), (100, 1));
        check(&shard);
    }

    #[test]
    fn what_could_never_fit_stays_out() {
        let now = Duration::ZERO;
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        shard.insert(1, verdict("one", now + MAX_CACHED_FOR), Moment::after(now));
        shard.insert(2, verdict(&"x".repeat(shard.limits.bytes), now + MAX_CACHED_FOR), Moment::after(now));
        assert!(shard.find(1, b"one").is_some());
        assert_eq!(shard.order.len(), 1);
        check(&shard);
    }
}
