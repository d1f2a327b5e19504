//! What may be answered when, from what the issuer has served and the constants of `manual::defaults` alone.

use std::fmt;
use std::time::Duration;

use tower_bearer::manual::defaults::{
    ABSENT_FOR, BACKOFF_MAX, BACKOFF_MIN, MISS_BURST, MISS_INTERVAL, MISS_WAIT, REFRESH_AT, REFRESH_JITTER,
    STALE_FOR,
};

/// Everything that the issuer knows of what it did. Times are since the start, by the clock that the driver moves.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) keys: Vec<Life>,
    pub(super) served: Vec<Served>,
    pub(super) requests: Vec<Request>,
    /// When it failed or lied, from and until.
    pub(super) troubles: Vec<(Duration, Option<Duration>)>,
    /// The ends of the pauses that it asked for.
    pub(super) pauses: Vec<Duration>,
}

#[derive(Debug)]
pub(super) struct Life {
    pub(super) kid: String,
    pub(super) published: Option<Duration>,
    pub(super) withdrawn: Option<Duration>,
}

/// A usable key set that went out.
#[derive(Debug)]
pub(super) struct Served {
    /// It was held back for so long that the fetch may have been given up, or have ended by its own limit.
    pub(super) unsure: bool,
    pub(super) answered: Duration,
    pub(super) fresh_for: Duration,
    pub(super) kids: Vec<String>,
}

/// A request that the issuer got.
#[derive(Debug)]
pub(super) enum Request {
    Discovery {
        asked: Duration,
        good: bool,
    },
    Keys {
        asked: Duration,
        /// `None` while it is held back, and if nobody can say whether it was waited for.
        answered: Option<Duration>,
        /// `None` if what it was answered is no usable key set.
        fresh_for: Option<Duration>,
        retry_after: Option<Duration>,
    },
}

/// A request of a client, and its answer.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    pub(super) what: &'static str,
    /// The key that signed it, if the issuer did.
    pub(super) kid: Option<String>,
    /// The end of its life, with the leeway.
    pub(super) expires: Duration,
    pub(super) sent: Duration,
    pub(super) answered: Duration,
    /// By the clock on the wall.
    pub(super) waited: Duration,
    pub(super) status: u16,
}

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// What is forged, expired or signed with a key that may not be used any more is not accepted.
    Accepted,
    /// A token that is good is not called bad.
    Refused,
    /// 503 only while the issuer is in trouble.
    Unavailable,
    /// Every fetch is paid from one of the two budgets.
    Fetches,
    /// Keys of an issuer that is well are replaced in time.
    Schedule,
    /// Everything ends.
    Stuck,
}

pub(super) struct Violation {
    pub(super) rule: Rule,
    pub(super) text: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

impl History {
    pub(super) fn judge(&self, shot: &Shot) -> Option<Violation> {
        let violation = |rule, why: &str| {
            Some(Violation { rule, text: format!("{why}: {shot:?}, {:?}", self.around(shot)) })
        };
        if shot.sent >= shot.expires {
            // It is looked at before any key is.
            return match shot.status {
                200 => violation(Rule::Accepted, "expired"),
                401 => None,
                _ => violation(Rule::Unavailable, "an expired token needs no key"),
            };
        }
        let known = shot.kid.as_deref().is_some_and(|kid| self.surely_in_use(kid, shot));
        match (shot.status, &shot.kid) {
            (200, None) => violation(Rule::Accepted, "forged"),
            (200, Some(kid)) if self.in_use(shot).any(|set| set.has(kid)) => None,
            (200, _) => violation(Rule::Accepted, "its key is not in use any more"),
            (401, None) => None,
            (401, Some(_)) if shot.answered >= shot.expires => None,
            (401, Some(kid)) if !known && self.may_be_unknown(kid, shot) => None,
            (401, _) => violation(Rule::Refused, "a good token"),
            (503, _) if known => violation(Rule::Unavailable, "the key was there"),
            (503, _) if shot.waited >= MISS_WAIT || self.was_in_trouble(shot) => None,
            (503, _) => violation(Rule::Unavailable, "the issuer was well"),
            _ => violation(Rule::Refused, "an odd status"),
        }
    }

    /// The sets that may have been used for some of the time of this request: from when they were served until the next
    /// one has taken over, at the end of the step in which it was served, and not past their own end.
    fn in_use<'a>(&'a self, shot: &'a Shot) -> impl Iterator<Item = &'a Served> {
        self.served.iter().enumerate().filter_map(move |(place, set)| {
            let next = self
                .served
                .iter()
                .enumerate()
                .filter(|(other, next)| !next.unsure && (next.answered, *other) > (set.answered, place));
            let end = next.map(|(_, next)| next.answered).min().unwrap_or(Duration::MAX);
            (set.answered <= shot.answered && shot.sent <= end && shot.sent < set.end()).then_some(set)
        })
    }

    /// Whichever set was used all the time, it had this key.
    fn surely_in_use(&self, kid: &str, shot: &Shot) -> bool {
        let before = self.served.iter().any(|set| !set.unsure && set.answered < shot.sent);
        before
            && self.in_use(shot).all(|set| set.has(kid) && shot.answered < set.end())
            && self.in_use(shot).any(|set| set.answered < shot.sent)
    }

    /// It is not published (yet, or any more), or a fetch has just been answered without it: then no other is made for it
    /// for [`ABSENT_FOR`], or, if the budget is spent, for [`MISS_INTERVAL`], which is less.
    fn may_be_unknown(&self, kid: &str, shot: &Shot) -> bool {
        let Some(life) = self.keys.iter().find(|key| key.kid == kid) else { return true };
        let too_early = life.published.is_none_or(|at| shot.sent <= at);
        let too_late = life.withdrawn.is_some_and(|at| at <= shot.answered);
        let just_missed = self.served.iter().any(|set| {
            !set.has(kid)
                && set.answered <= shot.answered
                && shot.sent < set.answered + ABSENT_FOR.max(MISS_INTERVAL)
        });
        too_early || too_late || just_missed
    }

    /// While it fails or lies; until the longest pause of ours is over; and as long as it asked us to stay away.
    fn was_in_trouble(&self, shot: &Shot) -> bool {
        let trouble = |(from, until): &(Duration, Option<Duration>)| {
            *from <= shot.answered && until.is_none_or(|until| shot.sent <= until + BACKOFF_MAX)
        };
        self.troubles.iter().any(trouble) || self.pauses.iter().any(|until| shot.sent <= *until)
    }

    /// The set in use is not older than the latest time of a refresh, unless there was trouble.
    pub(super) fn check_schedule(&self, now: Duration) -> Option<Violation> {
        let newest = self.served.iter().filter(|set| !set.unsure).max_by_key(|set| set.answered)?;
        let latest = REFRESH_AT + REFRESH_JITTER;
        let due = newest.answered + newest.fresh_for * latest / 100;
        let excused =
            |(_, until): &(Duration, Option<Duration>)| until.is_none_or(|end| now <= end + BACKOFF_MAX);
        let excused = self.troubles.iter().any(excused) || self.pauses.iter().any(|until| now <= *until);
        let text = || format!("at {now:?} no refresh since {:?}, which was due at {due:?}", newest.answered);
        (now > due && !excused).then(|| Violation { rule: Rule::Schedule, text: text() })
    }

    /// Every fetch belongs to the schedule or to the budget for misses. Nobody can see from outside which, so all ways to
    /// explain them are followed; when none is left, there was one fetch too many.
    pub(super) fn check_fetches(&self) -> Option<Violation> {
        let mut states = vec![Budgets::default()];
        for (number, flight) in self.flights().iter().enumerate() {
            let mut after: Vec<_> = states.iter().flat_map(|state| state.pay(flight)).collect();
            after.sort();
            after.dedup();
            let best: Vec<_> =
                after.iter().filter(|state| !after.iter().any(|other| other.beats(state))).cloned().collect();
            if best.is_empty() {
                let text = format!("fetch {number} at {:?} is in no budget: {states:?}", flight.asked);
                return Some(Violation { rule: Rule::Fetches, text });
            }
            states = best;
        }
        None
    }

    pub(super) fn flights(&self) -> Vec<Flight> {
        let (mut flights, mut found): (Vec<Flight>, bool) = (Vec::new(), false);
        for request in &self.requests {
            match *request {
                Request::Discovery { asked, good } => {
                    flights.push(Flight { asked, ended: Some(asked), fresh_for: None, retry_after: None });
                    found = good;
                }
                Request::Keys { asked, answered, fresh_for, retry_after } => {
                    let flight = Flight { asked, ended: answered, fresh_for, retry_after };
                    // The key set is fetched by who has just found where it is.
                    match flights.last_mut().filter(|_| std::mem::take(&mut found)) {
                        Some(same) => *same = Flight { asked: same.asked, ..flight },
                        None => flights.push(flight),
                    }
                }
            }
        }
        flights
    }

    /// What may help to understand a violation.
    fn around(&self, shot: &Shot) -> impl fmt::Debug {
        let life = self.keys.iter().find(|key| Some(&key.kid) == shot.kid.as_ref());
        let served = self.served.iter().rev().filter(|set| set.answered <= shot.answered).take(3);
        let trouble = self.troubles.iter().rev().find(|(from, _)| *from <= shot.answered);
        let life = life.map(|life| (life.published, life.withdrawn));
        (life, served.map(|set| format!("{set:?}")).collect::<Vec<_>>(), trouble.copied())
    }
}

impl Served {
    fn has(&self, kid: &str) -> bool {
        self.kids.iter().any(|other| other == kid)
    }

    /// When it is too old for any use.
    fn end(&self) -> Duration {
        self.answered + self.fresh_for + STALE_FOR
    }
}

/// One fetch of the whole: discovery, if the place was not known, and the keys.
#[derive(Debug)]
pub(super) struct Flight {
    asked: Duration,
    /// `None` if nobody can say.
    ended: Option<Duration>,
    fresh_for: Option<Duration>,
    retry_after: Option<Duration>,
}

/// What is left to fetch with.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Budgets {
    /// The earliest next refresh.
    scheduled_at: Duration,
    failures: u32,
    /// The issuer asked for peace until then.
    hold_until: Duration,
    /// When the bucket for misses is full again.
    full_at: Duration,
}

impl Budgets {
    fn pay(&self, flight: &Flight) -> Vec<Self> {
        let asked = flight.asked;
        let mut ways = Vec::new();
        if asked < self.hold_until {
            return ways;
        }
        if asked >= self.scheduled_at {
            ways.push(self.after(flight, true));
        }
        if self.full_at.saturating_sub(asked) <= MISS_INTERVAL * (MISS_BURST - 1) {
            ways.push(Self { full_at: self.full_at.max(asked) + MISS_INTERVAL, ..self.after(flight, false) });
        }
        ways
    }

    fn after(&self, flight: &Flight, scheduled: bool) -> Self {
        let earliest = REFRESH_AT - REFRESH_JITTER;
        match (flight.ended, flight.fresh_for) {
            (None, _) => self.clone(),
            (Some(ended), Some(fresh_for)) => Self {
                scheduled_at: ended + fresh_for * earliest / 100,
                failures: 0,
                hold_until: Duration::ZERO,
                full_at: self.full_at,
            },
            (Some(ended), None) => {
                let hold_until = flight.retry_after.map_or(self.hold_until, |pause| ended + pause);
                let pause = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX) / 2;
                let (scheduled_at, failures) = match scheduled {
                    true => (ended + pause, self.failures + 1),
                    false => (self.scheduled_at, self.failures),
                };
                Self { scheduled_at, failures, hold_until, full_at: self.full_at }
            }
        }
    }

    /// Whether whatever the other could pay, this one could too.
    fn beats(&self, other: &Self) -> bool {
        self != other
            && self.scheduled_at <= other.scheduled_at
            && self.failures <= other.failures
            && self.hold_until <= other.hold_until
            && self.full_at <= other.full_at
    }
}
