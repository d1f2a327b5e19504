//! [`Near`]: what each thread remembers for itself, so that threads that are sent the same token share nothing.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::server::verify::Trusted;
use crate::sync::{Apart, AtomicBool, ThreadLocal};
use crate::token::Token;

/// So many verified tokens in constant use are remembered once more by each thread, for itself. One that takes more than
/// 4 KiB with its claims is not.
pub const MAX_CACHED_BY_THREAD: usize = 128;

const MAX_SIZE: usize = 4096;

/// A token has its choice of so many places: with one alone, a third of a hundred tokens would find it taken.
const PLACES: usize = 4;

const SLOTS: usize = MAX_CACHED_BY_THREAD / PLACES;

/// After so many times the shared cache is asked again, so that it knows what is in use.
const TURNS: u8 = 64;

/// Copies of verdicts, a few for each thread. They end with the shared ones, and whether one holds is asked on every hit.
#[derive(Default)]
pub(super) struct Near {
    slots: ThreadLocal<Apart<RefCell<Slots>>>,
}

/// Each token belongs to one of these.
struct Slots(Box<[Slot]>);

#[derive(Default)]
struct Slot {
    /// Of what is kept in the same place; side by side, so that they are compared at once.
    ends: [u128; PLACES],
    kept: [Option<Kept>; PLACES],
    /// The token that came last and is not kept, because all is full. The second time in a row it takes the place of what is.
    next: u128,
    /// What it would take the place of.
    turn: usize,
}

/// See [`Verdict`](super::Verdict).
struct Kept {
    token: Token,
    asked: Option<Box<Trusted>>,
    until: Instant,
    /// Whether what it was copied from is. Written once, so that threads read it at no cost.
    gone: Arc<AtomicBool>,
    turns: Cell<u8>,
}

impl Near {
    pub(super) fn find(&self, raw: &[u8], trusted: &Trusted, now: Instant) -> Option<Token> {
        let (slots, end) = (self.slots.get()?.0.try_borrow().ok()?, end(raw)?);
        let kept = slots.at(end)?.find(end)?;
        // Texts are compared only where the whole end is the same: how long it takes tells nothing of one that is kept.
        let is_it = kept.holds(now)
            && kept.token.is(raw)
            && trusted.is_answered_by(kept.asked.as_deref(), kept.token.issuer_name());
        kept.turns.set(kept.turns.get().wrapping_add(1) % TURNS);
        (is_it && kept.turns.get() != 0).then(|| kept.token.clone())
    }

    /// Whether to [keep](Self::keep) a token that had to be asked for elsewhere.
    pub(super) fn wants(&self, token: &Token, now: Instant) -> bool {
        let Some(end) = end(token.raw()) else { return false };
        let Ok(mut slots) = self.slots.get_or(Apart::default).0.try_borrow_mut() else { return false };
        let Some(slot) = slots.at_mut(end) else { return false };
        if token.size() > MAX_SIZE || slot.find(end).is_some_and(|kept| kept.holds(now)) {
            return false;
        }
        slot.free(now).is_some() || std::mem::replace(&mut slot.next, end) == end
    }

    /// `gone` is that of what it is a copy of.
    pub(super) fn keep(
        &self,
        token: &Token,
        asked: Option<Box<Trusted>>,
        until: Instant,
        gone: Arc<AtomicBool>,
        now: Instant,
    ) {
        let Some(end) = end(token.raw()) else { return };
        let kept = Kept { token: token.copy(), asked, until, gone, turns: Cell::new(0) };
        if let Some(slots) = self.slots.get()
            && let Ok(mut slots) = slots.0.try_borrow_mut()
            && let Some(slot) = slots.at_mut(end)
        {
            slot.keep(end, kept, now);
        }
    }
}

impl Slot {
    fn find(&self, end: u128) -> Option<&Kept> {
        self.kept.get(self.place(end)?)?.as_ref()
    }

    fn place(&self, end: u128) -> Option<usize> {
        self.ends.iter().position(|kept| *kept == end)
    }

    /// A place where nothing is that could be found.
    fn free(&self, now: Instant) -> Option<usize> {
        self.kept.iter().position(|kept| !kept.as_ref().is_some_and(|kept| kept.holds(now)))
    }

    fn keep(&mut self, end: u128, kept: Kept, now: Instant) {
        let place = self.place(end).or_else(|| self.free(now)).unwrap_or_else(|| {
            self.turn = self.turn.wrapping_add(1) % PLACES;
            self.turn
        });
        if let (Some(old_end), Some(old)) = (self.ends.get_mut(place), self.kept.get_mut(place)) {
            (*old_end, *old) = (end, Some(kept));
        }
    }
}

impl Kept {
    fn holds(&self, now: Instant) -> bool {
        now < self.until && !self.gone.load(Ordering::Acquire)
    }
}

impl Slots {
    fn at(&self, end: u128) -> Option<&Slot> {
        self.0.get(slot(end))
    }

    fn at_mut(&mut self, end: u128) -> Option<&mut Slot> {
        self.0.get_mut(slot(end))
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Slot::default()).collect())
    }
}

/// A signature ends in what nobody chooses. (Whoever could choose would push out his own tokens.)
fn end(raw: &[u8]) -> Option<u128> {
    raw.last_chunk().map(|end| u128::from_le_bytes(*end))
}

/// Six bits of each of the last characters differ; those of eight of them count.
fn slot(end: u128) -> usize {
    let [.., a, b, c, d, e, f, g, h] = end.to_le_bytes();
    let mixed = u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::from(mixed.to_be_bytes()[0]) % SLOTS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::token_on;
    use super::*;

    const ALL: Trusted = Trusted::All;

    fn token(raw: &str, claims: usize) -> Token {
        token_on(raw, " ".repeat(claims))
    }

    fn in_a_second() -> Instant {
        Instant::now().checked_add(Duration::from_secs(1)).unwrap()
    }

    fn kept(near: &Near, token: &Token, until: Instant) -> bool {
        kept_at(near, token, until, Instant::now())
    }

    fn kept_at(near: &Near, token: &Token, until: Instant, now: Instant) -> bool {
        let wanted = near.wants(token, now);
        if wanted {
            near.keep(token, None, until, Arc::new(AtomicBool::new(false)), now);
        }
        wanted
    }

    #[test]
    fn what_finds_room_or_comes_twice_in_a_row_is_kept_until_its_end() {
        let (near, now, until) = (Near::default(), Instant::now(), in_a_second());
        let one = token("one token of many", 0);
        let others = (0..10_000).map(|n| token(&format!("another token {n:08}"), 0));
        let mut neighbours = others.filter(|other| end(other.raw()).map(slot) == end(one.raw()).map(slot));
        let first: Vec<_> = neighbours.by_ref().take(PLACES).collect();
        assert!(first.iter().all(|token| kept(&near, token, until)), "there is room");
        assert!(first.iter().all(|token| near.find(token.raw(), &ALL, now).is_some()));
        let other = neighbours.next().unwrap();
        assert_eq!([&one, &other, &one].map(|token| kept(&near, token, until)), [false; 3]);
        assert!(near.find(one.raw(), &ALL, now).is_none(), "all is full, and they came in turn");
        assert!(kept(&near, &one, until));
        assert!(near.find(one.raw(), &ALL, now).is_some_and(|found| !found.is_same(&one)));
        assert_eq!(first.iter().filter(|token| near.find(token.raw(), &ALL, now).is_none()).count(), 1);
        assert!(near.find(other.raw(), &ALL, now).is_none());
        assert!(near.find(one.raw(), &ALL, until).is_none());
        assert!(near.find(one.raw(), &Trusted::Only([].into()), now).is_none());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(near.find(one.raw(), &ALL, now).is_none(), "another thread's"));
        });
    }

    #[test]
    fn a_copy_ends_with_what_it_is_a_copy_of() {
        let (near, now, until) = (Near::default(), Instant::now(), in_a_second());
        let one = token("one token of many", 0);
        let gone = Arc::new(AtomicBool::new(false));
        assert!(near.wants(&one, now));
        near.keep(&one, None, until, gone.clone(), now);
        assert!(near.find(one.raw(), &ALL, now).is_some());
        assert!(!near.wants(&one, now), "it is there already");
        std::thread::scope(|scope| {
            scope.spawn(|| gone.store(true, Ordering::Release));
        });
        assert!(near.find(one.raw(), &ALL, now).is_none());
        assert!(kept(&near, &one, until), "it makes room");
        assert!(near.find(one.raw(), &ALL, now).is_some());
    }

    #[test]
    fn what_is_over_makes_room_for_the_same_token_and_for_others() {
        let (near, start) = (Near::default(), Instant::now());
        let one = token("one token of many", 0);
        let at = |minutes: u64| start.checked_add(Duration::from_secs(60 * minutes)).unwrap();
        for minute in 0..10 {
            assert!(kept_at(&near, &one, at(minute + 1), at(minute)));
            assert!(!kept_at(&near, &one, at(minute + 1), at(minute)));
            assert!(near.find(one.raw(), &ALL, at(minute)).is_some());
            assert!(near.find(one.raw(), &ALL, at(minute + 1)).is_none());
        }
        let others = (0..100_000).map(|n| token(&format!("another token {n:08}"), 0));
        let mut neighbours = others.filter(|other| end(other.raw()).map(slot) == end(one.raw()).map(slot));
        for minute in 10..20 {
            let mut kept = || kept_at(&near, &neighbours.next().unwrap(), at(minute + 1), at(minute));
            assert!([(); PLACES].map(|()| kept()).into_iter().all(|kept| kept));
            assert!(!kept(), "full for this minute");
        }
    }

    #[test]
    fn the_shared_one_is_asked_from_time_to_time() {
        let (near, now, until) = (Near::default(), Instant::now(), in_a_second());
        let one = token("one token of many", 0);
        assert_eq!([true, false], [(), ()].map(|()| kept(&near, &one, until)));
        let turns = usize::from(TURNS);
        let asked = |_: &usize| near.find(one.raw(), &ALL, now).is_none();
        assert_eq!((1..=4 * turns).filter(asked).collect::<Vec<_>>(), [1, 2, 3, 4].map(|turn| turn * turns));
        assert!(!kept(&near, &one, until), "it is there already");
    }

    #[test]
    fn what_is_large_is_left_to_the_shared_one() {
        let (near, until) = (Near::default(), in_a_second());
        for (claims, fits) in [(MAX_SIZE / 2, true), (MAX_SIZE, false)] {
            let token = token("one token of many", claims);
            assert_eq!([(), ()].map(|()| kept(&near, &token, until)), [fits, false]);
        }
    }
}
