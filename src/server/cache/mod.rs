//! [`Cache`]: tokens that were verified, for those who send them again.
//!
//! It remembers verdicts and decides nothing. Whether one still holds is asked on every hit (`Inner::recall`), and what a
//! token may do is the layer's to say each time.
//!
//! It is one of our own, because what matters here is that its bounds can be read off: a crate such as quick_cache
//! bounds one weight, knows neither ages nor their end, and would bring unsafe code to where tokens are kept. Others made only
//! the table that says where each of them is ([`shard`]), which holds nothing but numbers. When this
//! was chosen, a look-up among 10 000 tokens took 80 ns with a map of ours, 49 ns with quick_cache, 65 ns with papaya and 314 ns
//! with moka.
//!
//! A token in constant use is kept by each thread as well ([`near`]): two threads that read one place in memory, and count
//! who uses it, wait for each other more than a look-up takes.

mod near;
mod shard;

use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub use self::near::MAX_CACHED_BY_THREAD;
use self::near::Near;
use self::shard::Shard;
use super::verify::Trusted;
use crate::lookup::desk::Memory;
use crate::sync::{AtomicBool, AtomicU64, RandomState, RwLock};
use crate::token::Token;

#[cfg(test)]
mod plain;
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

/// Bounded, forgetful, and of one server alone. Only tokens that were verified come in: whoever has none can neither fill
/// it nor push anybody out.
pub(super) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    start: Instant,
    /// Seeded at random, so that nobody can choose who shares a shard or a place in it.
    hasher: RandomState,
    near: Near,
}

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

/// Where in a cache a text belongs.
#[derive(Clone, Copy)]
pub(super) struct Place(u64);

/// That a token was good. What this rests on is the token's own: its times, its issuer, and the standing of its key.
struct Verdict {
    token: Token,
    /// When it is forgotten, and in the last bit whether somebody has looked for it since it was last considered for eviction:
    /// there is one of these for each token, and it takes no more than it must.
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
    /// signature: how long it takes says nothing about a token that is stored. Meanwhile nobody has to wait. (Who does know it
    /// can keep the token from being pushed out, but not get it.)
    pub(super) fn find(
        &self,
        Place(hash): Place,
        raw: &[u8],
        trusted: &Trusted,
        now: Instant,
    ) -> Option<Token> {
        let shard = self.shard(hash)?.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = shard.get(hash)?;
        let until = verdict.until();
        if self.moment(now) >= until || !trusted.is_answered_by(verdict.asked(), verdict.token.issuer_name())
        {
            return None;
        }
        verdict.note_use();
        let token = verdict.token.clone();
        drop(shard);
        if !token.is(raw) {
            return None;
        }
        if self.near.wants(&token, now)
            && let Some(until) = self.start.checked_add(until.since_start())
            && let Some((asked, gone)) = self.note_copy(hash, &token)
        {
            self.near.keep(&token, asked, until, gone, now);
        }
        Some(token)
    }

    /// Who was asked, and what will tell a copy that this token is gone, if it is not by now.
    ///
    /// Apart from the look-up, where it made a new token take about 40 ns more.
    #[cold]
    #[inline(never)]
    fn note_copy(&self, hash: u64, token: &Token) -> Option<(Option<Box<Trusted>>, Arc<AtomicBool>)> {
        let mut shard = self.shard(hash)?.write().unwrap_or_else(PoisonError::into_inner);
        let verdict = shard.get_mut(hash).filter(|known| known.token.is_same(token))?;
        let asked = verdict.asked().cloned().map(Box::new);
        let more = verdict.more.get_or_insert_default();
        let gone = more.gone.get_or_insert_with(|| Arc::new(AtomicBool::new(false)));
        Some((asked, gone.clone()))
    }

    /// Remembers that a token was good, until then.
    ///
    /// `asked` is who was asked, if the token does not say whom to ask: then the answer is one to this question only.
    pub(super) fn insert(
        &self,
        Place(hash): Place,
        token: Token,
        asked: Option<Trusted>,
        until: Instant,
        now: Instant,
    ) {
        debug_assert_eq!(hash, self.hash(token.raw()), "it would not be found");
        let (until, now) = (self.moment(until), self.moment(now));
        let verdict = Verdict::new(token, asked, until);
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
        if shard.get(hash).is_some_and(|known| known.token.is_same(token)) {
            shard.remove(hash);
        }
    }

    /// Where a text belongs.
    pub(super) fn place(&self, raw: &[u8]) -> Place {
        Place(self.hash(raw))
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

    /// By bits that the table within makes little use of.
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

    /// Somebody has looked for what has its hash. Written once only, so that a token in constant use is read alone.
    fn note_use(&self) {
        if self.state.load(Ordering::Relaxed) & USED == 0 {
            self.state.fetch_or(USED, Ordering::Relaxed);
        }
    }

    /// Whether somebody has since this was last asked. Written only if so: most have not been looked for.
    fn was_used(&self) -> bool {
        self.state.load(Ordering::Relaxed) & USED != 0
            && self.state.fetch_and(!USED, Ordering::Relaxed) & USED != 0
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
    use crate::token::{Basis, Proven};

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
        let basis = Arc::new(Basis { issuer: Arc::new(issuer), standing: Arc::default() });
        Token::verified(basis, raw.as_bytes(), claims, proven, validity)
    }

    pub(super) fn check(shard: &Shard) {
        shard.check();
    }

    #[test]
    fn what_shares_a_hash_is_not_found_in_its_place() {
        let now = Instant::now();
        let cache = Cache::new(Limits::DEFAULT, now);
        let (place, until) = (cache.place(b"one"), now.checked_add(MAX_CACHED_FOR).unwrap());
        cache.insert(place, token_on("one", String::new()), None, until, now);
        let found = |raw: &[u8]| cache.find(place, raw, &Trusted::All, now).is_some();
        assert!(found(b"one"));
        for other in [&b"two"[..], b"one.", b"on", b""] {
            assert!(!found(other));
        }
        assert!(found(b"one"), "it is still there");
    }

    #[test]
    fn the_shards_share_the_bounds() {
        let part = Limits::DEFAULT.shared();
        assert_eq!((SHARDS * part.tokens, SHARDS * part.bytes), (MAX_CACHED_TOKENS, MAX_CACHE_BYTES));
    }
}
