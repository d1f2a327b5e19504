//! When to fetch keys: a pure state machine. Events come with the time; it says what to do.
//!
//! There are two reasons to fetch. The *schedule* replaces keys before they are stale and brings them in the first
//! place; when a fetch fails it backs off. A *miss* is a token whose key is not in the set: it may cost a fetch out
//! of a budget that is separate from the schedule's, so that made-up key ids can neither cause more fetches than
//! the budget nor keep the schedule from noticing a rotation.

use std::time::{Duration, Instant};

/// How long a fetched set counts as current.
pub const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// When, within [`FRESH_FOR`], a refresh starts in the background: at 80 %.
pub const REFRESH_AFTER: Duration = Duration::from_secs(8 * 60);

/// How long a set stays in use after it stopped being fresh, while no newer one can be had. Then 503.
pub const STALE_FOR: Duration = Duration::from_secs(60 * 60);

/// Between two fetches for unknown keys of one issuer, on average.
pub const MISS_INTERVAL: Duration = Duration::from_secs(30);

/// So many fetches for unknown keys may follow one another at once.
pub const MISS_BURST: u32 = 2;

/// The first pause after a failed fetch; it doubles with each further failure.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest pause after failed fetches.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A fetch that has not ended by then never will: its task is not being run.
pub const FLIGHT_LIMIT: Duration = Duration::from_secs(30);

/// The state of one issuer's keys.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    loaded_at: Option<Instant>,
    in_flight: Option<Flying>,
    /// The number of the last fetch.
    flights: u64,
    /// Failures since the last success.
    failures: u32,
    retry_at: Option<Instant>,
    /// When the miss budget will be full again.
    budget_full_at: Option<Instant>,
}

/// The fetch under way.
#[derive(Debug, Clone, Copy)]
struct Flying {
    number: u64,
    since: Instant,
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

impl Refresh {
    /// A request needs the keys.
    pub(crate) fn need(&mut self, now: Instant) -> Supply {
        self.give_up_a_lost_flight(now);
        let age = self.loaded_at.map(|at| now.saturating_duration_since(at));
        let may_fetch = self.in_flight.is_none() && self.retry_at.is_none_or(|at| now >= at);
        match age {
            Some(age) if age < FRESH_FOR.saturating_add(STALE_FOR) => {
                if age >= REFRESH_AFTER && may_fetch {
                    self.start(now);
                    Supply::UseAndFetch
                } else {
                    Supply::Use
                }
            }
            _ if self.in_flight.is_some() => Supply::Join,
            _ if may_fetch => {
                self.start(now);
                Supply::Fetch
            }
            _ => Supply::Unavailable(self.until_retry(now)),
        }
    }

    /// A token's key is not in the set.
    pub(crate) fn miss(&mut self, now: Instant) -> Miss {
        self.give_up_a_lost_flight(now);
        if self.in_flight.is_some() {
            return Miss::Join;
        }
        if self.spend(now) {
            self.start(now);
            return Miss::Fetch;
        }
        if self.failures == 0 { Miss::Unknown } else { Miss::Unavailable(self.until_retry(now)) }
    }

    /// The number of the fetch under way.
    pub(crate) fn flight(&self) -> Option<u64> {
        self.in_flight.map(|flying| flying.number)
    }

    /// The fetch under way brought usable keys.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.loaded_at = Some(now);
        self.in_flight = None;
        self.failures = 0;
        self.retry_at = None;
    }

    /// It did not, or its task ended without a result.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.in_flight = None;
        let pause = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(pause.min(BACKOFF_MAX));
    }

    /// When a request must ask again: until then the loaded keys are to be used, and there is nothing to start.
    pub(crate) fn ask_again_at(&self) -> Option<Instant> {
        let loaded_at = self.loaded_at?;
        let due = loaded_at.checked_add(REFRESH_AFTER)?;
        let end = loaded_at.checked_add(FRESH_FOR.saturating_add(STALE_FOR))?;
        let lost = self.in_flight.and_then(|flying| flying.since.checked_add(FLIGHT_LIMIT));
        let next = lost.or(self.retry_at).map_or(due, |at| at.max(due));
        Some(next.min(end))
    }

    fn start(&mut self, now: Instant) {
        self.flights = self.flights.wrapping_add(1);
        self.in_flight = Some(Flying { number: self.flights, since: now });
    }

    /// A task may live in a runtime that nobody drives any more.
    fn give_up_a_lost_flight(&mut self, now: Instant) {
        if self.in_flight.is_some_and(|flying| now.saturating_duration_since(flying.since) >= FLIGHT_LIMIT) {
            self.failed(now);
            // It has had its pause.
            self.retry_at = None;
        }
    }

    /// Takes one fetch out of the budget for misses: a bucket of [`MISS_BURST`], refilled one each
    /// [`MISS_INTERVAL`]. A fetch is spent when it starts, so one that fails counts too.
    fn spend(&mut self, now: Instant) -> bool {
        let full_at = self.budget_full_at.map_or(now, |at| at.max(now));
        let lacking = full_at.saturating_duration_since(now);
        if lacking > MISS_INTERVAL.saturating_mul(MISS_BURST.saturating_sub(1)) {
            return false;
        }
        self.budget_full_at = full_at.checked_add(MISS_INTERVAL);
        true
    }

    fn until_retry(&self, now: Instant) -> Duration {
        self.retry_at.map_or(BACKOFF_MIN, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn loaded(at: Instant) -> Refresh {
        let mut refresh = Refresh::default();
        assert_eq!(refresh.need(at), Supply::Fetch);
        refresh.succeeded(at);
        refresh
    }

    #[test]
    fn the_first_request_fetches_and_the_others_join() {
        let now = Instant::now();
        let mut refresh = Refresh::default();
        assert_eq!(refresh.need(now), Supply::Fetch);
        assert_eq!(refresh.need(now), Supply::Join);
        refresh.succeeded(now);
        assert_eq!(refresh.need(now), Supply::Use);
    }

    #[test]
    fn a_refresh_starts_once_before_the_keys_are_stale() {
        let now = Instant::now();
        let mut refresh = loaded(now);
        assert_eq!(refresh.need(now + REFRESH_AFTER - SECOND), Supply::Use);
        assert_eq!(refresh.need(now + REFRESH_AFTER), Supply::UseAndFetch);
        assert_eq!(refresh.need(now + REFRESH_AFTER), Supply::Use);
    }

    #[test]
    fn stale_keys_have_an_end() {
        let now = Instant::now();
        let mut refresh = loaded(now);
        let end = now + FRESH_FOR + STALE_FOR;
        assert_eq!(refresh.need(end - SECOND), Supply::UseAndFetch);
        refresh.failed(end - SECOND);
        assert_eq!(refresh.need(end - SECOND / 2), Supply::Use);
        assert_eq!(refresh.need(end), Supply::Fetch);
        refresh.failed(end);
        assert!(matches!(refresh.need(end), Supply::Unavailable(_)));
    }

    #[test]
    fn a_fetch_that_never_ends_is_given_up_and_its_late_end_does_not_count() {
        let now = Instant::now();
        let mut refresh = Refresh::default();
        assert_eq!(refresh.need(now), Supply::Fetch);
        let lost = refresh.flight();
        assert_eq!(refresh.need(now + FLIGHT_LIMIT - SECOND), Supply::Join);
        assert_eq!(refresh.need(now + FLIGHT_LIMIT), Supply::Fetch);
        assert!(refresh.flight() > lost);
    }

    #[test]
    fn there_is_nothing_to_ask_before_something_can_happen() {
        let now = Instant::now();
        let mut refresh = loaded(now);
        assert_eq!(refresh.ask_again_at(), Some(now + REFRESH_AFTER));
        let due = now + REFRESH_AFTER;
        assert_eq!(refresh.need(due), Supply::UseAndFetch);
        assert_eq!(refresh.ask_again_at(), Some(due + FLIGHT_LIMIT));
        refresh.failed(due);
        assert_eq!(refresh.ask_again_at(), Some(due + BACKOFF_MIN));
        let end = now + FRESH_FOR + STALE_FOR;
        refresh.failed(end - SECOND / 2);
        assert_eq!(refresh.ask_again_at(), Some(end), "never past the bound");
    }

    #[test]
    fn failures_back_off_up_to_the_maximum() {
        let mut now = Instant::now();
        let mut refresh = Refresh::default();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(refresh.need(now), Supply::Fetch);
            refresh.failed(now);
            let pause = SECOND * pause;
            assert_eq!(refresh.need(now), Supply::Unavailable(pause));
            now += pause;
        }
        for _ in 0..100 {
            refresh.failed(now);
        }
        assert_eq!(refresh.need(now), Supply::Unavailable(BACKOFF_MAX));
    }

    #[test]
    fn misses_have_a_budget_that_failures_use_up_too() {
        let now = Instant::now();
        let mut refresh = loaded(now);
        assert_eq!(refresh.miss(now), Miss::Fetch);
        assert_eq!(refresh.miss(now), Miss::Join);
        refresh.succeeded(now);
        assert_eq!(refresh.miss(now), Miss::Fetch);
        refresh.failed(now);
        assert_eq!(refresh.miss(now), Miss::Unavailable(BACKOFF_MIN));
        assert_eq!(refresh.miss(now + MISS_INTERVAL), Miss::Fetch);
        refresh.succeeded(now + MISS_INTERVAL);
        assert_eq!(refresh.miss(now + MISS_INTERVAL), Miss::Unknown);
    }

    #[test]
    fn misses_do_not_use_up_the_schedule() {
        let now = Instant::now();
        let mut refresh = loaded(now);
        let mut fetches = 0;
        let mut at = now;
        while at < now + REFRESH_AFTER {
            if refresh.miss(at) == Miss::Fetch {
                fetches += 1;
                refresh.failed(at);
            }
            at += SECOND / 4;
        }
        let most = REFRESH_AFTER.as_secs() / MISS_INTERVAL.as_secs() + u64::from(MISS_BURST);
        assert!(fetches <= most, "{fetches} fetches");
        let later = now + REFRESH_AFTER + BACKOFF_MAX;
        assert_eq!(refresh.need(later), Supply::UseAndFetch);
    }
}
