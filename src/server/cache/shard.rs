//! [`Shard`]: the verdicts that wait for one lock, in the order in which they are considered for eviction.
//!
//! A new token in a full shard pushes out one that nobody has touched for long, and to fetch that from memory takes longer
//! than all else that is done here. So the entries lie side by side, and what comes takes the place of what has just gone:
//! while new tokens come, the next to go is the neighbour of the last, which the processor has fetched by then; the token
//! behind it is looked at in time. One that gets another turn stays where it is, between the same neighbours.

use std::hint::black_box;
use std::mem::size_of;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{Limits, Moment, More, Verdict};

/// What an entry takes besides its token: its place among those of which a fifth may be vacant, and five bytes of a table of
/// which 7/32 may be in use, since it doubles when it is full, though half of that be traces of what was removed. What a shard
/// has taken it keeps: where few large tokens follow many small ones, that comes on top.
const BOOKKEEPING: usize = size_of::<Entry>() * 5 / 4 + ((size_of::<u32>() + 1) * 32).div_ceil(7);

/// What tells copies that it is gone. It counts from the start, because it may come at any time.
const TELLING: usize = size_of::<More>() + size_of::<[usize; 3]>();

/// So many places are added at least.
const MIN_GROWTH: usize = 4;

/// No place: the end of a list.
const NOWHERE: u32 = u32::MAX;

/// What had to go: one as a rule, since each makes room for the next.
pub(super) type Evicted = SmallVec<[Verdict; 1]>;

/// Each entry is in one of two lists: that of those in use, or that of those that are vacant. `bytes` is the sum of the sizes.
pub(super) struct Shard {
    limits: Limits,
    /// The places of those in use, in four bytes each: the tables of all shards together stay near the processor.
    ///
    /// Two tokens with the same hash push each other out. They are told apart by their text.
    by_hash: HashTable<u32>,
    entries: Vec<Entry>,
    /// The ends of the first list.
    oldest: u32,
    newest: u32,
    /// The head of the other one: what was vacated last.
    vacant: u32,
    bytes: usize,
}

/// The size of its token is not in it: that would take eight bytes in each, to be spared what is read a moment later anyway,
/// when the token is dropped.
struct Entry {
    hash: u64,
    /// There is none if it is vacant.
    verdict: Option<Verdict>,
    /// The next older one. Means nothing if it is vacant.
    before: u32,
    /// The next newer one, or the next vacant one.
    after: u32,
}

impl Shard {
    pub(super) fn new(limits: Limits) -> Self {
        // All places have a number.
        let tokens = limits.tokens.min(usize::try_from(NOWHERE).unwrap_or(usize::MAX));
        Self {
            limits: Limits { tokens, ..limits },
            by_hash: HashTable::new(),
            entries: Vec::new(),
            oldest: NOWHERE,
            newest: NOWHERE,
            vacant: NOWHERE,
            bytes: 0,
        }
    }

    pub(super) fn find(&self, hash: u64, raw: &[u8]) -> Option<&Verdict> {
        self.get(hash).filter(|verdict| verdict.token.is(raw))
    }

    /// Whatever has this hash.
    pub(super) fn get(&self, hash: u64) -> Option<&Verdict> {
        at(&self.entries, self.place(hash)?)?.verdict.as_ref()
    }

    pub(super) fn get_mut(&mut self, hash: u64) -> Option<&mut Verdict> {
        let place = self.place(hash)?;
        at_mut(&mut self.entries, place)?.verdict.as_mut()
    }

    /// Makes room and takes it in; returns what had to go.
    pub(super) fn insert(&mut self, hash: u64, verdict: Verdict, now: Moment) -> Evicted {
        let mut gone: Evicted = self.remove(hash).into_iter().collect();
        while self.oldest().is_some_and(|oldest| oldest.until() <= now) {
            gone.extend(self.evict(now));
        }
        let Some(left) = self.limits.bytes.checked_sub(verdict.size()) else { return gone };
        while self.oldest().is_some() && (self.by_hash.len() >= self.limits.tokens || self.bytes > left) {
            gone.extend(self.evict(now));
        }
        self.look_ahead();
        self.push(hash, verdict);
        gone
    }

    pub(super) fn remove(&mut self, hash: u64) -> Option<Verdict> {
        self.take(self.place(hash)?)
    }

    /// The oldest goes, but one that was used since it was last here gets another turn: a run of tokens that come once
    /// does not push out those that come all the time.
    fn evict(&mut self, now: Moment) -> Option<Verdict> {
        for _ in 0..self.by_hash.len() {
            if !self.oldest().is_some_and(|v| now < v.until() && v.was_used()) {
                break;
            }
            let place = self.oldest;
            self.unlink(place);
            self.link(place);
        }
        self.take(self.oldest)
    }

    /// Looks at the token that goes next, though not at its text, so that the processor fetches it while other things are done.
    /// Otherwise whoever pushes it out would wait for it.
    fn look_ahead(&self) {
        black_box(self.oldest().map(Verdict::size));
    }

    fn oldest(&self) -> Option<&Verdict> {
        at(&self.entries, self.oldest)?.verdict.as_ref()
    }

    fn place(&self, hash: u64) -> Option<u32> {
        let has_it = |place: &u32| at(&self.entries, *place).is_some_and(|entry| entry.hash == hash);
        self.by_hash.find(hash, has_it).copied()
    }

    fn push(&mut self, hash: u64, verdict: Verdict) {
        self.bytes = self.bytes.saturating_add(verdict.size());
        let entry = Entry { hash, verdict: Some(verdict), before: NOWHERE, after: NOWHERE };
        let place = self.vacant;
        let place = if let Some(vacant) = at_mut(&mut self.entries, place) {
            self.vacant = vacant.after;
            *vacant = entry;
            place
        } else {
            self.add(entry)
        };
        self.link(place);
        let hash_at = |place: &u32| at(&self.entries, *place).map_or(0, |entry| entry.hash);
        self.by_hash.insert_unique(hash, place, hash_at);
    }

    /// By a quarter: as much again, as a `Vec` would by itself, is a lot of memory for what may never come.
    fn add(&mut self, entry: Entry) -> u32 {
        let places = self.entries.len();
        if places == self.entries.capacity() {
            self.entries.reserve_exact((places / 4).max(MIN_GROWTH));
        }
        self.entries.push(entry);
        u32::try_from(places).unwrap_or(NOWHERE)
    }

    /// Vacates a place.
    fn take(&mut self, place: u32) -> Option<Verdict> {
        self.unlink(place);
        let entry = at_mut(&mut self.entries, place)?;
        let verdict = entry.verdict.take()?;
        entry.after = std::mem::replace(&mut self.vacant, place);
        if let Ok(known) = self.by_hash.find_entry(entry.hash, |other| *other == place) {
            known.remove();
        }
        if let Some(gone) = verdict.gone() {
            gone.store(true, Ordering::Release);
        }
        self.bytes = self.bytes.saturating_sub(verdict.size());
        Some(verdict)
    }

    /// Makes it the newest.
    fn link(&mut self, place: u32) {
        let newest = self.newest;
        if let Some(entry) = at_mut(&mut self.entries, place) {
            (entry.before, entry.after) = (newest, NOWHERE);
        }
        self.set_after(newest, place);
        self.set_before(NOWHERE, place);
    }

    fn unlink(&mut self, place: u32) {
        if let Some(&Entry { before, after, .. }) = at(&self.entries, place) {
            self.set_after(before, after);
            self.set_before(after, before);
        }
    }

    /// What comes after [`NOWHERE`] is the oldest, and what comes before it the newest.
    fn set_after(&mut self, place: u32, after: u32) {
        *at_mut(&mut self.entries, place).map_or(&mut self.oldest, |entry| &mut entry.after) = after;
    }

    fn set_before(&mut self, place: u32, before: u32) {
        *at_mut(&mut self.entries, place).map_or(&mut self.newest, |entry| &mut entry.before) = before;
    }
}

impl Verdict {
    /// So many bytes it counts for.
    pub(super) fn size(&self) -> usize {
        self.token.size().saturating_add(BOOKKEEPING + TELLING)
    }
}

fn at(entries: &[Entry], place: u32) -> Option<&Entry> {
    entries.get(usize::try_from(place).ok()?)
}

fn at_mut(entries: &mut [Entry], place: u32) -> Option<&mut Entry> {
    entries.get_mut(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;
    use std::time::Duration;

    use super::super::MAX_CACHED_FOR;
    use super::super::tests::{check, token_on};
    use super::*;
    use crate::sync::RandomState;

    fn verdict(raw: &str, until: Duration) -> Verdict {
        Verdict::new(token_on(raw, String::new()), None, Moment::after(until))
    }

    impl Shard {
        pub(in crate::server::cache) fn check(&self) {
            assert!(self.by_hash.len() <= self.limits.tokens && self.bytes <= self.limits.bytes);
            let mut places = self.list(self.oldest, |entry| entry.after);
            let mut backwards = self.list(self.newest, |entry| entry.before);
            backwards.reverse();
            assert_eq!(places, backwards);
            assert_eq!(places.len(), self.by_hash.len());
            let entries: Vec<_> = places.iter().map(|place| at(&self.entries, *place).unwrap()).collect();
            let sizes = entries.iter().map(|entry| entry.verdict.as_ref().unwrap().size());
            assert_eq!(self.bytes, sizes.sum::<usize>());
            assert!(places.iter().zip(&entries).all(|(place, entry)| self.place(entry.hash) == Some(*place)));
            let vacant = self.list(self.vacant, |entry| entry.after);
            assert!(vacant.iter().all(|place| at(&self.entries, *place).unwrap().verdict.is_none()));
            places.extend(vacant);
            places.sort_unstable();
            assert!(places.iter().copied().eq((0..).take(self.entries.len())), "{places:?}");
        }

        fn list(&self, first: u32, next: impl Fn(&Entry) -> u32) -> Vec<u32> {
            let places = std::iter::successors(Some(first), |place| at(&self.entries, *place).map(&next));
            // One that ran in a circle would be too long.
            places.take_while(|place| *place != NOWHERE).take(self.entries.len().saturating_add(1)).collect()
        }

        /// With their hashes, the oldest first.
        pub(in crate::server::cache) fn in_order(&self) -> impl Iterator<Item = (u64, &Verdict)> {
            let places = self.list(self.oldest, |entry| entry.after).into_iter();
            let entries = places.map(|place| at(&self.entries, place).unwrap());
            entries.map(|entry| (entry.hash, entry.verdict.as_ref().unwrap()))
        }
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
                1 => shard.in_order().take(100).for_each(|(_, verdict)| verdict.note_use()),
                _ => {
                    let raw = "x".repeat(usize::try_from(next(longest)).unwrap());
                    shard.insert(hash, verdict(&raw, now + MAX_CACHED_FOR), Moment::after(now));
                    assert!(shard.find(hash, raw.as_bytes()).is_some());
                }
            }
            check(&shard);
            fullest = (fullest.0.max(shard.by_hash.len()), fullest.1.max(shard.bytes));
            // Of few, most is what is taken at least.
            let takes = shard.entries.capacity() * size_of::<Entry>() + shard.by_hash.allocation_size();
            assert!(fullest.0 < 16 || takes <= fullest.0 * BOOKKEEPING, "{takes} for {}", fullest.0);
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
        assert_eq!((gone.len(), shard.by_hash.len()), (100, 1));
        check(&shard);
    }

    #[test]
    fn what_could_never_fit_stays_out() {
        let now = Duration::ZERO;
        let mut shard = Shard::new(Limits::DEFAULT.shared());
        shard.insert(1, verdict("one", now + MAX_CACHED_FOR), Moment::after(now));
        shard.insert(2, verdict(&"x".repeat(shard.limits.bytes), now + MAX_CACHED_FOR), Moment::after(now));
        assert!(shard.find(1, b"one").is_some());
        assert_eq!(shard.by_hash.len(), 1);
        check(&shard);
    }
}
