//! [`Desk`]: in front of one issuer's [`TokenLookup`]. It asks once for all who wait, no more than so many at a time, and not
//! at all while there is no answer to be had.
//!
//! A look-up runs in a task of its own, so that a client that goes away does not end it for those who wait with it. What is
//! said of a token is not kept here, but for refusals: what was accepted is remembered by the server, as other tokens are.
//! Only until it is, those who come too late for the look-up and too early for the memory find the answer here.

mod call;
mod ledger;
mod remembered;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use self::ledger::{
    BREAKER_FAILURES, BREAKER_PAUSE, KEPT_LOOKUPS, KNOWN_FOR, MAX_KNOWN, MAX_LOOKUP_RETRY_AFTER, MAX_LOOKUPS,
    MAX_QUEUED_LOOKUPS, MAX_REFUSED, REFUSED_FOR,
};
use self::ledger::{Digest, Ledger};
use self::remembered::Remembered;
use super::{FoundClaims, OpaqueToken, SharedAnswers, TokenLookup};
use crate::event::{LookupErrorKind, LookupState, Observers, Warnings};
use crate::jose::{Standing, TokenError, begins_like_a_jwt, sha256};
use crate::sync::{AtomicBool, Handle, Mutex, MutexGuard, watch};
use crate::time::Clock;

/// How long a look-up may take, and how long a request waits for one: in the queue, and for the answer.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a token that was looked up is accepted without asking again, and never past its end.
pub const ACTIVE_FOR: Duration = Duration::from_secs(60);

/// The same for a token without an end.
pub const ENDLESS_ACTIVE_FOR: Duration = Duration::from_secs(10);

/// How long an answer is at hand for requests that were on their way when it came, at a server that remembers tokens. On a
/// [live](crate::BearerAuthLayer::live) route no older one counts.
pub const LIVE_ANSWER_FOR: Duration = Duration::from_secs(1);

/// So many of them are, and none that is longer than a usual one, in bytes.
const MAX_FRESH: usize = 256;
const MAX_FRESH_LENGTH: usize = 16 * 1024;

/// Who asks for one issuer.
pub(crate) struct Desk(Arc<Shared>);

/// Whom to ask, and what they need.
pub(crate) struct Settings {
    pub(crate) lookup: Arc<dyn TokenLookup>,
    /// Looked at before anybody is asked.
    pub(crate) answers: Option<Arc<dyn SharedAnswers>>,
    /// The issuer's name in events.
    pub(crate) label: Box<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observers: Observers,
    /// Where the server remembers what was accepted, if it does.
    pub(crate) memory: Option<Arc<dyn Memory>>,
    /// Whether the issuer has keys, so that a JWT is asked about on live routes only.
    pub(crate) verifies_jwts: bool,
}

/// What a server remembers.
pub(crate) trait Memory: Send + Sync {
    /// A token is not good, or not any more. May be called while the desk is locked, so it does not come back to it.
    fn forget_text(&self, token: &[u8]);
}

struct Shared {
    settings: Settings,
    ledger: Mutex<Ledger<Line>>,
    /// Locked after the ledger, if both are.
    fresh: Mutex<Remembered<Answer>>,
    /// When known tokens were found to be inactive: what other servers were told before does not count any more. Locked
    /// after the ledger, as what follows.
    ended: Mutex<Remembered<Instant>>,
    last: Mutex<Last>,
    /// Of verdicts that rest on an answer: nobody blocks or withdraws it, they end by themselves.
    standing: Arc<Standing>,
    warnings: Warnings,
}

/// What was heard last of the endpoint.
#[derive(Default, Clone, Copy)]
struct Last {
    success: Option<SystemTime>,
    error: Option<(SystemTime, LookupErrorKind)>,
}

/// How it goes, for operators.
#[derive(Clone, Copy)]
pub(crate) struct Report {
    pub(crate) known: LookupState,
    pub(crate) strangers: LookupState,
    pub(crate) last_success: Option<SystemTime>,
    pub(crate) last_error: Option<(SystemTime, LookupErrorKind)>,
}

/// A look-up, as those see it who wait for it and the task that does it.
struct Line {
    answer: watch::Sender<Option<Answer>>,
    turn: watch::Sender<bool>,
    /// Somebody waits who wants to know what is so now, and not what another server was told.
    must_ask: Arc<AtomicBool>,
}

/// What is to be done about a token.
pub(crate) enum Asked {
    Refused(TokenError),
    Unavailable(Duration),
    Wait(Flight),
}

/// A look-up under way that a request may wait for.
pub(crate) struct Flight {
    answer: watch::Receiver<Option<Answer>>,
    deadline: tokio::time::Instant,
}

/// What came of a look-up, for one token and no other.
#[derive(Clone)]
pub(crate) struct Answer {
    token: Digest,
    /// When we asked: what was revoked later, it does not know.
    pub(crate) asked_at: Instant,
    /// How old the answer was then, if it was to another server.
    pub(crate) age: Duration,
    is_ours: bool,
    pub(crate) said: Said,
}

#[derive(Clone)]
pub(crate) enum Said {
    Active(Arc<FoundClaims>),
    Inactive,
    Unavailable(Duration),
}

impl Desk {
    pub(crate) fn new(settings: Settings) -> Self {
        let warnings = Warnings::new(settings.clock.instant());
        let (ledger, standing) = (Mutex::new(Ledger::new()), Arc::default());
        let fresh = Mutex::new(Remembered::new(MAX_FRESH));
        let (ended, last) = (Mutex::new(Remembered::new(MAX_REFUSED)), Mutex::default());
        Self(Arc::new(Shared { settings, ledger, fresh, ended, last, standing, warnings }))
    }

    /// Asks about a token, unless that has just been done or is being done.
    pub(crate) fn ask(&self, token: &str) -> Asked {
        self.ask_about(token, false)
    }

    /// The same about a token that was accepted, so that nobody can have made it up: whether it is good now. What another
    /// server was told does not count.
    pub(crate) fn ask_again(&self, token: &str) -> Asked {
        self.ask_about(token, true)
    }

    fn ask_about(&self, token: &str, again: bool) -> Asked {
        let digest = sha256(token.as_bytes());
        let now = self.0.now();
        let mut ledger = lock(&self.0.ledger);
        if let Some(answer) = lock(&self.0.fresh).find(&digest, now)
            && (!again || answer.is_ours())
        {
            return Asked::Wait(Flight::over(answer));
        }
        if again {
            ledger.accept(digest, now);
        }
        let (number, runs, line) = match ledger.ask(digest, now, Line::new) {
            ledger::Asked::Refused(fault) => return Asked::Refused(fault),
            ledger::Asked::Unavailable(pause) => return Asked::Unavailable(pause),
            ledger::Asked::Joined(line) => return Asked::Wait(line.flight(again)),
            ledger::Asked::New { number, runs, with } => (number, runs, with),
        };
        let (flight, must_ask) = (line.flight(again), line.must_ask.clone());
        let turn = (!runs).then(|| line.turn.subscribe());
        drop(ledger);
        self.0.start(digest, number, OpaqueToken::new(token), turn, must_ask);
        Asked::Wait(flight)
    }

    /// Why this token was refused a moment ago. Nobody is asked.
    pub(crate) fn refusal(&self, token: &str) -> Option<TokenError> {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        lock(&self.0.ledger).refusal(&digest, now)
    }

    /// This answer about a token was good, and would be remembered until then. Whether it is to be: of two answers the later
    /// one counts, and behind one that was waited for so long, a later one may have been forgotten.
    ///
    /// # Errors
    /// If it was refused since.
    pub(crate) fn accept(&self, token: &str, answer: &Answer, until: Instant) -> Result<bool, TokenError> {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        let is_latest = {
            let mut ledger = lock(&self.0.ledger);
            if let Some(fault) = ledger.refusal(&digest, now) {
                return Err(fault);
            }
            ledger.accept(digest, now);
            ledger.is_latest(&digest, answer.said_at())
        };
        if until <= now {
            lock(&self.0.fresh).forget(&digest);
        }
        Ok(is_latest && now.saturating_duration_since(answer.asked_at) < REFUSED_FOR)
    }

    /// Whether nothing else was heard of a token since it was [accepted](Self::accept), for what was said then.
    pub(crate) fn is_latest(&self, token: &str, said_at: Instant) -> bool {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        let mut ledger = lock(&self.0.ledger);
        ledger.refusal(&digest, now).is_none() && ledger.is_latest(&digest, said_at)
    }

    /// What was said of this token, so long ago, was not good: it need not be asked about again so soon.
    pub(crate) fn refuse(&self, token: &str, fault: TokenError, age: Duration) {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        // Whoever is refused by it does not find afterwards that it was said to be good.
        let mut ledger = lock(&self.0.ledger);
        ledger.refuse(digest, fault, now, REFUSED_FOR.saturating_sub(age));
        lock(&self.0.fresh).forget(&digest);
        self.0.forget(token);
    }

    pub(crate) fn report(&self) -> Report {
        let ledger = lock(&self.0.ledger);
        let state = |is_known| {
            if ledger.is_failing(is_known) { LookupState::Failing } else { LookupState::Answering }
        };
        let Last { success, error } = *lock(&self.0.last);
        Report { known: state(true), strangers: state(false), last_success: success, last_error: error }
    }

    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.0.standing
    }
}

impl Line {
    fn new() -> Self {
        Self { answer: watch::Sender::new(None), turn: watch::Sender::new(false), must_ask: Arc::default() }
    }

    fn flight(&self, must_ask: bool) -> Flight {
        if must_ask {
            self.must_ask.store(true, Ordering::Relaxed);
        }
        Flight { answer: self.answer.subscribe(), deadline: deadline() }
    }
}

impl Flight {
    /// One that ended a moment ago.
    fn over(answer: Answer) -> Self {
        Self { answer: watch::Sender::new(Some(answer)).subscribe(), deadline: deadline() }
    }

    /// Waits for the look-up to end. `None` if it did not, or not in time.
    ///
    /// Cancel safety: dropping the future leaves the look-up to the others.
    pub(crate) async fn ended(mut self) -> Option<Answer> {
        if Handle::try_current().is_err() {
            // Nothing was started, and a timer would panic.
            return None;
        }
        loop {
            if let Some(answer) = &*self.answer.borrow() {
                return Some(answer.clone());
            }
            match tokio::time::timeout_at(self.deadline, self.answer.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }
}

impl Answer {
    fn is_short(&self) -> bool {
        matches!(&self.said, Said::Active(claims) if claims.json().len() <= MAX_FRESH_LENGTH)
    }

    /// When whoever issued the token was asked.
    pub(crate) fn said_at(&self) -> Instant {
        self.asked_at.checked_sub(self.age).unwrap_or(self.asked_at)
    }

    /// Not of another server, who may have asked some time ago.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(crate) fn is_about(&self, token: &str) -> bool {
        self.token == sha256(token.as_bytes())
    }
}

impl Shared {
    fn now(&self) -> Instant {
        self.settings.clock.instant()
    }

    /// Behind the refusal: whoever remembers a token afterwards looks whether it was refused. That it is inactive is not left to
    /// those who asked, who may have gone away. (Whether what is said of an active one is good, they alone can tell.) Also of
    /// a token that is not known here: what is known here is forgotten sooner than what the server remembers.
    fn forget(&self, token: &str) {
        if let Some(memory) = self.settings.memory.as_ref().filter(|_| self.has_the_word(token)) {
            memory.forget_text(token.as_bytes());
        }
    }

    /// Whether a token is what is said of it, and no JWT that the server verifies itself.
    fn has_the_word(&self, token: &str) -> bool {
        !(self.settings.verifies_jwts && begins_like_a_jwt(token))
    }
}

fn deadline() -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    now.checked_add(LOOKUP_TIMEOUT).unwrap_or(now)
}

/// None of our critical sections can panic half-way, so a poisoned lock still guards a sound value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("issuer", &self.0.settings.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_one_token() {
        let token = sha256(b"a-token");
        let answer = Answer {
            token,
            asked_at: Instant::now(),
            age: Duration::ZERO,
            is_ours: true,
            said: Said::Inactive,
        };
        assert!(answer.is_about("a-token"));
        for other in ["", "a-toke", "a-token-", "A-token", "another"] {
            assert!(!answer.is_about(other), "{other}");
        }
    }
}
