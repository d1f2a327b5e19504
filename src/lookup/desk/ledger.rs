//! [`Ledger`]: who is being asked about, whose turn it is, what was refused, and whether the endpoint answers at all.
//!
//! A pure state machine: it is told the time and starts nothing.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::remembered::Remembered;
use crate::jose::TokenError;

/// So many tokens of one issuer are looked up at the same moment.
pub const MAX_LOOKUPS: usize = 64;

/// So many of these places are kept for tokens that were accepted before: made-up ones cannot use them up.
pub const KEPT_LOOKUPS: usize = 16;

/// So many tokens wait for a place at most, and as many more that were accepted before; for others the answer is 503.
pub const MAX_QUEUED_LOOKUPS: usize = 256;

/// How long a token that was refused is refused again without asking.
pub const REFUSED_FOR: Duration = Duration::from_secs(10);

/// So many refused tokens are remembered for each issuer, by their digests.
pub const MAX_REFUSED: usize = 10_000;

/// How long it is remembered that a token was accepted, for the sake of its place in the queue.
pub const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// So many tokens that were accepted are remembered for each issuer, by their digests.
pub const MAX_KNOWN: usize = 10_000;

/// After failures in a row of so many tokens nothing is asked for [`BREAKER_PAUSE`]. A failure may be about its token alone,
/// so those of made-up tokens count for tokens that are not known, and for tokens that were accepted before only their own.
pub const BREAKER_FAILURES: usize = 5;

/// How long nothing is asked when the endpoint does not answer. Then one token is looked up, and the rest by how that goes.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that an endpoint can ask for: meanwhile no token is looked up or, if it was told so about one that was
/// never accepted, none of those.
pub const MAX_LOOKUP_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What is answered 503 may come again after this time.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A look-up that has not ended by then never will: its runtime is not driven any more. Longer than the queue and the call
/// together.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// How often it is looked for those.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What stands for a token: its SHA-256.
pub(super) type Digest = [u8; 32];

/// `T` is what a look-up brings along; it is dropped when the look-up is given up.
pub(super) struct Ledger<T> {
    lookups: HashMap<Digest, Entry<T>>,
    /// Those that wait for a place, each once, and those of them that are known apart.
    strangers: VecDeque<Digest>,
    known: VecDeque<Digest>,
    running: usize,
    running_strangers: usize,
    refused: Remembered<TokenError>,
    /// With when the last answer was given that was accepted, if that is known.
    accepted: Remembered<Option<Instant>>,
    /// Whether anything is asked about strangers, and about those who are known: whoever makes tokens up can provoke
    /// failures, but only for strangers.
    for_strangers: Breaker,
    for_known: Breaker,
    next_number: u64,
    swept_at: Option<Instant>,
}

struct Entry<T> {
    /// Tells it from an earlier look-up of the same token that was given up.
    number: u64,
    is_known: bool,
    runs: bool,
    since: Instant,
    with: T,
}

enum Breaker {
    /// With those that have failed in a row, each once: one that always fails is no outage.
    Closed { failed: Vec<Digest> },
    Open {
        until: Instant,
        /// The endpoint has asked for it: an answer to an earlier question does not end it.
        wanted: bool,
    },
    /// This look-up will show it.
    Probing { number: u64 },
}

/// What to do about a token.
pub(super) enum Asked<'a, T> {
    Refused(TokenError),
    Unavailable(Duration),
    /// Somebody has asked already.
    Joined(&'a T),
    /// To be started by whoever asked, at once or when its turn has come.
    New {
        number: u64,
        runs: bool,
        with: &'a T,
    },
}

/// How a look-up has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// The endpoint does not work.
    Failed,
    /// It wants to be left alone for so long.
    Held(Duration),
    /// There is no answer, and it is not the endpoint's fault.
    Neither,
}

impl<T> Ledger<T> {
    pub(super) fn new() -> Self {
        Self {
            lookups: HashMap::new(),
            strangers: VecDeque::new(),
            known: VecDeque::new(),
            running: 0,
            running_strangers: 0,
            refused: Remembered::new(MAX_REFUSED),
            accepted: Remembered::new(MAX_KNOWN),
            for_strangers: Breaker::closed(),
            for_known: Breaker::closed(),
            next_number: 0,
            swept_at: None,
        }
    }

    pub(super) fn ask(&mut self, token: Digest, now: Instant, make: impl FnOnce() -> T) -> Asked<'_, T> {
        self.sweep(now);
        if let Some(fault) = self.refusal(&token, now) {
            return Asked::Refused(fault);
        }
        if self.lookups.contains_key(&token) {
            return self.joined(&token);
        }
        let is_known = self.is_known(&token, now);
        if let Some(pause) = self.breaker(is_known).pause(now) {
            return Asked::Unavailable(pause);
        }
        let runs = self.has_place(is_known);
        let queue = if is_known { &mut self.known } else { &mut self.strangers };
        if !runs && queue.len() >= MAX_QUEUED_LOOKUPS {
            return Asked::Unavailable(TRY_AGAIN);
        }
        if !runs {
            queue.push_back(token);
        }
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        self.breaker(is_known).begin(number);
        let entry = Entry { number, is_known, runs: false, since: now, with: make() };
        self.lookups.insert(token, entry);
        if runs {
            self.run(&token);
        }
        match self.lookups.get(&token) {
            Some(Entry { with, .. }) => Asked::New { number, runs, with },
            None => Asked::Unavailable(TRY_AGAIN),
        }
    }

    /// What a look-up brought along, if it still counts.
    pub(super) fn end(&mut self, token: &Digest, number: u64, outcome: Outcome, now: Instant) -> Option<T> {
        if self.lookups.get(token).is_none_or(|entry| entry.number != number) {
            return None;
        }
        let is_known = self.lookups.get(token).is_some_and(|entry| entry.is_known);
        match outcome {
            Outcome::Answered => {
                self.for_strangers.answered(now);
                self.for_known.answered(now);
            }
            Outcome::Failed | Outcome::Held(_) => {
                let opens = |breaker: &mut Breaker| match outcome {
                    Outcome::Held(pause) => breaker.hold(pause, now),
                    _ => breaker.fail(token, number, now),
                };
                // Whoever makes tokens up can provoke any answer, but only for strangers.
                let for_known = is_known && opens(&mut self.for_known);
                let for_strangers = opens(&mut self.for_strangers);
                let ended = self.remove(token, now);
                // Whoever waits for a place waits in vain now.
                let known = for_known.then(|| self.known.drain(..)).into_iter().flatten();
                let strangers = for_strangers.then(|| self.strangers.drain(..)).into_iter().flatten();
                for token in known.chain(strangers) {
                    self.lookups.remove(&token);
                }
                return ended;
            }
            Outcome::Neither => {}
        }
        self.remove(token, now)
    }

    /// The next one whose turn has come, which runs from now on.
    pub(super) fn next(&mut self) -> Option<&T> {
        let token = if self.has_place(true) && !self.known.is_empty() {
            self.known.pop_front()
        } else if self.has_place(false) {
            self.strangers.pop_front()
        } else {
            None
        }?;
        self.run(&token);
        self.lookups.get(&token).map(|entry| &entry.with)
    }

    /// A token that the endpoint knows was refused all the same, or one that it does not know.
    /// `lasts` is at most [`REFUSED_FOR`].
    pub(super) fn refuse(&mut self, token: Digest, fault: TokenError, now: Instant, lasts: Duration) {
        self.accepted.forget(&token);
        self.refused.remember(token, fault, now, lasts);
    }

    pub(super) fn refusal(&self, token: &Digest, now: Instant) -> Option<TokenError> {
        self.refused.find(token, now)
    }

    /// Nobody has made this token up. If it was refused since, it is none of these.
    pub(super) fn accept(&mut self, token: Digest, now: Instant) {
        if self.refusal(&token, now).is_none() {
            self.accepted.remember(token, None, now, KNOWN_FOR);
        }
    }

    /// Whether no answer was accepted that was given later. This is the last one then.
    pub(super) fn is_latest(&mut self, token: &Digest, said_at: Instant) -> bool {
        let Some(latest) = self.accepted.value_mut(token) else { return true };
        let is_latest = latest.is_none_or(|latest| latest <= said_at);
        if is_latest {
            *latest = Some(said_at);
        }
        is_latest
    }

    /// Whether this token was accepted, and was not refused since.
    pub(super) fn is_known(&self, token: &Digest, now: Instant) -> bool {
        self.accepted.find(token, now).is_some()
    }

    /// For how long nothing is asked about this token.
    pub(super) fn pause(&mut self, token: &Digest, now: Instant) -> Option<Duration> {
        let is_known = self.is_known(token, now);
        self.breaker(is_known).pause(now)
    }

    /// Whether the last that was heard of the endpoint is that it does not answer about those who are known, or about strangers.
    pub(super) fn is_failing(&self, is_known: bool) -> bool {
        let breaker = if is_known { &self.for_known } else { &self.for_strangers };
        !matches!(breaker, Breaker::Closed { .. })
    }

    fn breaker(&mut self, is_known: bool) -> &mut Breaker {
        if is_known { &mut self.for_known } else { &mut self.for_strangers }
    }

    fn joined(&self, token: &Digest) -> Asked<'_, T> {
        let entry = self.lookups.get(token);
        entry.map_or(Asked::Unavailable(TRY_AGAIN), |entry| Asked::Joined(&entry.with))
    }

    fn has_place(&self, is_known: bool) -> bool {
        self.running < MAX_LOOKUPS
            && (is_known || self.running_strangers < MAX_LOOKUPS.saturating_sub(KEPT_LOOKUPS))
    }

    fn run(&mut self, token: &Digest) {
        if let Some(entry) = self.lookups.get_mut(token) {
            entry.runs = true;
            self.running = self.running.saturating_add(1);
            self.running_strangers = self.running_strangers.saturating_add(usize::from(!entry.is_known));
        }
    }

    fn remove(&mut self, token: &Digest, now: Instant) -> Option<T> {
        let Entry { number, is_known, runs, with, .. } = self.lookups.remove(token)?;
        if runs {
            self.running = self.running.saturating_sub(1);
            self.running_strangers = self.running_strangers.saturating_sub(usize::from(!is_known));
        } else {
            let queue = if is_known { &mut self.known } else { &mut self.strangers };
            queue.retain(|other| other != token);
        }
        self.breaker(is_known).give_up(number, now);
        Some(with)
    }

    fn sweep(&mut self, now: Instant) {
        let swept_at = *self.swept_at.get_or_insert(now);
        if now.saturating_duration_since(swept_at) < SWEEP_INTERVAL {
            return;
        }
        self.swept_at = Some(now);
        let is_lost = |entry: &Entry<T>| now.saturating_duration_since(entry.since) >= LOST_AFTER;
        let lost: Vec<_> =
            self.lookups.iter().filter(|(_, entry)| is_lost(entry)).map(|(token, _)| *token).collect();
        for token in lost {
            self.remove(&token, now);
        }
    }
}

impl Breaker {
    fn closed() -> Self {
        Self::Closed { failed: Vec::new() }
    }

    fn pause(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Open { until, .. } if now < *until => Some(until.saturating_duration_since(now)),
            Self::Probing { .. } => Some(TRY_AGAIN),
            Self::Open { .. } | Self::Closed { .. } => None,
        }
    }

    /// A look-up begins that nothing has held up.
    fn begin(&mut self, number: u64) {
        if matches!(self, Self::Open { .. }) {
            *self = Self::Probing { number };
        }
    }

    /// Whether it opens for that.
    fn fail(&mut self, token: &Digest, number: u64, now: Instant) -> bool {
        let opens = match self {
            Self::Closed { failed } => {
                if !failed.contains(token) {
                    failed.push(*token);
                }
                failed.len() >= BREAKER_FAILURES
            }
            Self::Probing { number: probe } => *probe == number,
            // It began before.
            Self::Open { .. } => false,
        };
        if opens {
            *self = Self::Open { until: now.checked_add(BREAKER_PAUSE).unwrap_or(now), wanted: false };
        }
        opens
    }

    /// It opens, for no shorter time than it was to be open.
    fn hold(&mut self, pause: Duration, now: Instant) -> bool {
        let wanted = now.checked_add(pause.min(MAX_LOOKUP_RETRY_AFTER)).unwrap_or(now);
        let until = match self {
            Self::Open { until, .. } => wanted.max(*until),
            Self::Closed { .. } | Self::Probing { .. } => wanted,
        };
        *self = Self::Open { until, wanted: true };
        true
    }

    fn answered(&mut self, now: Instant) {
        if !matches!(self, Self::Open { until, wanted: true } if now < *until) {
            *self = Self::closed();
        }
    }

    /// If that was to show it, another may.
    fn give_up(&mut self, number: u64, now: Instant) {
        if matches!(self, Self::Probing { number: probe } if *probe == number) {
            *self = Self::Open { until: now, wanted: false };
        }
    }
}
