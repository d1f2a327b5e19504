//! When to fetch keys: a pure state machine. Events come with the time and, where there is jitter, with a random number; it
//! says what to do.
//!
//! There are two reasons to fetch. The *schedule* brings the first keys and replaces them before they stop being fresh;
//! when a fetch fails it backs off. A *miss* is a token whose key is not in the set: it may cost a fetch out of a budget
//! of its own. Neither can use up, or hold back, what belongs to the other: made-up key ids cause no more fetches than
//! their budget, and cannot keep the schedule from noticing a rotation.

#[cfg(test)]
mod any_order;
mod life;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub(crate) use self::life::Change;
use self::life::Life;
use crate::event::KeyState;

/// How long a fetched set counts as current, if the issuer's `Cache-Control` says nothing.
pub const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// The shortest time that `Cache-Control` can make it.
pub const MIN_FRESH_FOR: Duration = Duration::from_secs(60);

/// The longest time that `Cache-Control` can make it.
pub const MAX_FRESH_FOR: Duration = Duration::from_secs(60 * 60);

/// When, within the time that a set is fresh, a refresh starts in the background, in percent.
pub const REFRESH_AT: u32 = 80;

/// By how much earlier or later than [`REFRESH_AT`] at most, in percent of the fresh time.
pub const REFRESH_JITTER: u32 = 10;

/// How long a set stays in use after it stopped being fresh, while no newer one can be had. Then 503.
pub const STALE_FOR: Duration = Duration::from_secs(60 * 60);

/// Between two fetches for unknown keys of one issuer, on average.
pub const MISS_INTERVAL: Duration = Duration::from_secs(30);

/// So many fetches for unknown keys may follow one another at once.
pub const MISS_BURST: u32 = 2;

/// The first pause after a failed fetch; it doubles with each further failure. Each is cut by up to a half, at random.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest pause after failed fetches.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that an issuer can ask for, while its keys are good; without good keys [`BACKOFF_MAX`].
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// A fetch that has not ended by then never will: its task is not being run.
pub const FLIGHT_LIMIT: Duration = Duration::from_secs(30);

/// The state of one issuer's keys.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Refresh {
    loaded: Option<Lifetime>,
    in_flight: Option<Flying>,
    /// The number of the last fetch.
    flights: u64,
    /// Whether the last fetch failed, whatever it was for.
    troubled: bool,
    /// Scheduled fetches that failed since the last success.
    failures: u32,
    /// Before it there is no scheduled fetch.
    retry_at: Option<Instant>,
    /// The issuer asked for peace until then.
    hold_until: Option<Instant>,
    /// When the miss budget will be full again.
    budget_full_at: Option<Instant>,
    life: Life,
}

/// How long a set may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    pub(crate) fresh_for: Duration,
    pub(crate) stale_for: Duration,
}

/// When a set is to be replaced, and when it ends.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    refresh_at: Instant,
    fresh_until: Instant,
    stale_until: Instant,
}

/// The fetch under way.
#[derive(Debug, Clone, Copy)]
struct Flying {
    number: u64,
    since: Instant,
    scheduled: bool,
}

/// What a request that needs keys should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Use the keys that are there.
    Use,
    /// Use them, and start a fetch in the background.
    UseAndFetch,
    /// There are none: start a fetch and wait for it.
    Fetch,
    /// There are none, and a fetch is under way: wait for it.
    Join,
    /// There are none, and none may be fetched before this much time has passed.
    Unavailable(Duration),
}

/// What a request should do whose token is signed with a key that is not in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Start a fetch and wait for it.
    Fetch,
    /// Wait for the fetch that is under way.
    Join,
    /// The budget is spent; the set is current as far as we know.
    Unknown,
    /// The budget is spent, and the last fetch failed: nobody can say whether the key exists.
    Unavailable(Duration),
}

/// A random number, for jitter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roll(pub(crate) u32);

impl Roll {
    /// Somewhere between these two percentages of a time, both included.
    fn between(self, time: Duration, least: u32, most: u32) -> Duration {
        let span = most.saturating_sub(least).saturating_add(1);
        let percent = least.saturating_add(self.0.checked_rem(span).unwrap_or(0));
        time.saturating_mul(percent).checked_div(100).unwrap_or(time)
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self { fresh_for: FRESH_FOR, stale_for: STALE_FOR }
    }
}

impl Refresh {
    /// A request needs the keys.
    pub(crate) fn need(&mut self, now: Instant) -> Supply {
        self.pass(now);
        let due = self.is_due(now);
        match self.loaded {
            Some(loaded) if now < loaded.stale_until => {
                if due {
                    self.start(now, true);
                    Supply::UseAndFetch
                } else {
                    Supply::Use
                }
            }
            _ if self.in_flight.is_some() => Supply::Join,
            _ if due => {
                self.start(now, true);
                Supply::Fetch
            }
            _ => Supply::Unavailable(until(now, self.not_before()).max(SHORT)),
        }
    }

    /// The timer went off: whether to start a fetch in the background.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        self.pass(now);
        let due = self.is_due(now);
        if due {
            self.start(now, true);
        }
        due
    }

    /// A token's key is not in the set.
    pub(crate) fn miss(&mut self, now: Instant) -> Miss {
        self.give_up_a_lost_flight(now);
        if self.in_flight.is_some() {
            return Miss::Join;
        }
        if self.hold_until.is_none_or(|at| now >= at) && self.spend(now) {
            self.start(now, false);
            return Miss::Fetch;
        }
        if !self.troubled {
            return Miss::Unknown;
        }
        // Whichever comes first: a fetch for a miss, or the next of the schedule.
        let scheduled = self.not_before().max(self.loaded.map(|loaded| loaded.refresh_at));
        let next = self.next_miss(now).max(until(now, self.hold_until)).min(until(now, scheduled));
        Miss::Unavailable(next.clamp(SHORT, MAX_RETRY_AFTER))
    }

    /// Somebody who may do so asks for new keys now, pause or no pause: whether a fetch is to be started.
    pub(crate) fn demand(&mut self, now: Instant) -> bool {
        self.give_up_a_lost_flight(now);
        let idle = self.in_flight.is_none();
        if idle {
            self.start(now, true);
        }
        idle
    }

    /// The number of the fetch under way.
    pub(crate) fn flight(&self) -> Option<u64> {
        self.in_flight.map(|flying| flying.number)
    }

    /// How many fetches were started so far.
    pub(crate) fn flight_number(&self) -> u64 {
        self.flights
    }

    /// Whether the last fetch failed: then nobody can say that a key does not exist.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled
    }

    /// The fetch under way brought usable keys, or word that those in use are current.
    pub(crate) fn succeeded(&mut self, now: Instant, freshness: Freshness, roll: Roll) {
        self.pass(now);
        let Freshness { fresh_for, stale_for } = freshness;
        let earliest = REFRESH_AT.saturating_sub(REFRESH_JITTER);
        let latest = REFRESH_AT.saturating_add(REFRESH_JITTER);
        let at = |after: Duration| now.checked_add(after).unwrap_or(now);
        self.loaded = Some(Lifetime {
            refresh_at: at(roll.between(fresh_for, earliest, latest)),
            fresh_until: at(fresh_for),
            stale_until: at(fresh_for.saturating_add(stale_for)),
        });
        self.enter(KeyState::Fresh);
        self.in_flight = None;
        self.troubled = false;
        self.failures = 0;
        self.retry_at = None;
        self.hold_until = None;
    }

    /// It did not, or its task ended without a result. `retry_after` is what the issuer asked for.
    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>, roll: Roll) {
        self.pass(now);
        let scheduled = self.in_flight.take().is_none_or(|flying| flying.scheduled);
        self.troubled = true;
        if let Some(pause) = retry_after {
            // A fleet that is told one time should not come back at one time.
            let pause = pause.saturating_add(roll.between(pause, 0, 10));
            self.hold_until = now.checked_add(pause.min(self.longest_hold(now)));
        }
        if scheduled {
            let pause = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
            self.failures = self.failures.saturating_add(1);
            // Many servers that lost one issuer at one time should not come back at one time.
            self.retry_at = now.checked_add(roll.between(pause.min(BACKOFF_MAX), 50, 100));
        }
    }

    /// For how long an issuer may keep us waiting: as long as its keys are good, at least as long as a back-off, and never
    /// longer than [`MAX_RETRY_AFTER`].
    fn longest_hold(&self, now: Instant) -> Duration {
        let left = until(now, self.loaded.map(|loaded| loaded.stale_until));
        left.clamp(BACKOFF_MAX, MAX_RETRY_AFTER)
    }

    /// The first load has failed, and there are older keys from elsewhere, which may be used for so long. They are stale
    /// from the start: the schedule goes on, and nobody can say that a key does not exist. Says whether they are to be
    /// used: they never replace those of a fetch.
    pub(crate) fn restored(&mut self, now: Instant, usable_for: Duration) -> bool {
        if self.loaded.is_some() {
            return false;
        }
        let stale_until = now.checked_add(usable_for).unwrap_or(now);
        self.loaded = Some(Lifetime { refresh_at: now, fresh_until: now, stale_until });
        self.enter(KeyState::Stale);
        self.troubled = true;
        true
    }

    /// When a request must ask again: until then the loaded keys are to be used, and there is nothing to start or to tell.
    pub(crate) fn ask_again_at(&self) -> Option<Instant> {
        let loaded = self.loaded?;
        let next = self.blocked_until().map_or(loaded.refresh_at, |at| at.max(loaded.refresh_at));
        Some(next.min(self.changes_at().unwrap_or(loaded.stale_until)))
    }

    /// Until when every miss is [`Unknown`](Miss::Unknown), unless something happens: the budget is spent, the last fetch was
    /// good, and none is under way.
    pub(crate) fn unknown_until(&self) -> Option<Instant> {
        if self.in_flight.is_some() || self.troubled {
            return None;
        }
        let budget_at = self.budget_full_at.and_then(|full| full.checked_sub(spare()));
        budget_at.max(self.hold_until)
    }

    /// When there is a fetch to start: `None` before the first fetch, which belongs to a request.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.flights == 0 {
            return None;
        }
        let refresh_at = self.loaded.map(|loaded| loaded.refresh_at);
        Some(self.blocked_until().max(refresh_at).unwrap_or(now))
    }

    /// Whether a scheduled fetch is to be started now.
    fn is_due(&mut self, now: Instant) -> bool {
        self.give_up_a_lost_flight(now);
        let old = self.loaded.is_none_or(|loaded| now >= loaded.refresh_at);
        old && self.in_flight.is_none() && self.not_before().is_none_or(|at| now >= at)
    }

    /// Before it there is no scheduled fetch.
    fn not_before(&self) -> Option<Instant> {
        self.retry_at.max(self.hold_until)
    }

    /// The end of what keeps a scheduled fetch from starting: the one under way, or a pause.
    fn blocked_until(&self) -> Option<Instant> {
        let lost = self.in_flight.and_then(|flying| flying.since.checked_add(FLIGHT_LIMIT));
        lost.max(self.not_before())
    }

    fn start(&mut self, now: Instant, scheduled: bool) {
        self.flights = self.flights.wrapping_add(1);
        self.in_flight = Some(Flying { number: self.flights, since: now, scheduled });
    }

    /// A task may live in a runtime that nobody drives any more.
    fn give_up_a_lost_flight(&mut self, now: Instant) {
        if self.in_flight.is_some_and(|flying| now.saturating_duration_since(flying.since) >= FLIGHT_LIMIT) {
            // It has had its pause.
            self.in_flight = None;
            self.troubled = true;
        }
    }

    /// Takes one fetch out of the budget for misses: a bucket of [`MISS_BURST`], refilled one each
    /// [`MISS_INTERVAL`]. A fetch is spent when it starts, so one that fails counts too.
    fn spend(&mut self, now: Instant) -> bool {
        if !self.next_miss(now).is_zero() {
            return false;
        }
        let full_at = self.budget_full_at.map_or(now, |at| at.max(now));
        self.budget_full_at = full_at.checked_add(MISS_INTERVAL);
        true
    }

    /// After what time the budget for misses has a fetch again.
    fn next_miss(&self, now: Instant) -> Duration {
        until(now, self.budget_full_at).saturating_sub(spare())
    }
}

/// How long before the budget is full it has its first fetch.
const fn spare() -> Duration {
    MISS_INTERVAL.saturating_mul(MISS_BURST.saturating_sub(1))
}

fn until(now: Instant, at: Option<Instant>) -> Duration {
    at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
}

/// The least pause that a client is told: something is about to happen.
const SHORT: Duration = Duration::from_millis(500);
