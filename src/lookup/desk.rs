//! [`Desk`]: in front of one issuer's [`TokenLookup`]. It asks once for all who wait, no more than so many at a time, and not
//! at all while there is no answer to be had.
//!
//! A look-up runs in a task of its own, so that a client that goes away does not end it for those who wait with it. What is
//! said of a token is not kept here, but for refusals: what was accepted is remembered by the server, as other tokens are.
//! Only until it is, those who come too late for the look-up and too early for the memory find the answer here.

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
use self::ledger::{Digest, Ledger, Outcome, TRY_AGAIN};
use self::remembered::Remembered;
use super::{Found, FoundClaims, LookupError, OpaqueToken, Recalled, SharedAnswers, TokenLookup};
use crate::event::{Event, LookupErrorKind, LookupState, Observers, Warnings};
use crate::jose::{Standing, TokenError, sha256};
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
    /// Whether the server remembers what was accepted.
    pub(crate) remembers: bool,
}

struct Shared {
    settings: Settings,
    ledger: Mutex<Ledger<Line>>,
    /// Locked after the ledger, if both are.
    fresh: Mutex<Remembered<Answer>>,
    /// Locked after the ledger, too.
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
        Self(Arc::new(Shared { settings, ledger, fresh, last: Mutex::default(), standing, warnings }))
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

    /// What was said of this token was good, and is remembered until then.
    ///
    /// # Errors
    /// If it was refused since: of two answers the later one counts.
    pub(crate) fn accept(&self, token: &str, until: Instant) -> Result<(), TokenError> {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        {
            let mut ledger = lock(&self.0.ledger);
            if let Some(fault) = ledger.refusal(&digest, now) {
                return Err(fault);
            }
            ledger.accept(digest, now);
        }
        if until <= now {
            lock(&self.0.fresh).forget(&digest);
        }
        Ok(())
    }

    /// What was said of this token, so long ago, was not good: it need not be asked about again so soon.
    pub(crate) fn refuse(&self, token: &str, fault: TokenError, age: Duration) {
        let (digest, now) = (sha256(token.as_bytes()), self.0.now());
        lock(&self.0.ledger).refuse(digest, fault, now, REFUSED_FOR.saturating_sub(age));
        lock(&self.0.fresh).forget(&digest);
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

    /// Not of another server, who may have asked some time ago.
    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(crate) fn is_about(&self, token: &str) -> bool {
        self.token == sha256(token.as_bytes())
    }
}

impl Shared {
    fn start(
        self: &Arc<Self>,
        token: Digest,
        number: u64,
        raw: OpaqueToken,
        turn: Option<watch::Receiver<bool>>,
        must_ask: Arc<AtomicBool>,
    ) {
        let since = self.now();
        let (age, left) = (Duration::ZERO, Duration::MAX);
        let mut call =
            Call { shared: self.clone(), token, number, since, asks: true, age, left, ended: false };
        // Without a runtime it is over already.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Some(turn) = turn {
                call.asks = false;
                if !has_come(turn).await {
                    return;
                }
                call.asks = true;
            }
            let answers = call.shared.settings.answers.clone();
            let shared = answers.map(|answers| (answers.place(raw.expose()), answers));
            call.since = call.shared.now();
            let begin = tokio::time::Instant::now();
            if let Some((place, answers)) = &shared
                && !must_ask.load(Ordering::Relaxed)
                && let Some(recalled) = answers.recall(place).await
                && !must_ask.load(Ordering::Relaxed)
            {
                call.recalled(recalled);
                return;
            }
            call.since = call.shared.now();
            let asked_at = call.shared.settings.clock.now().into();
            let lookup = call.shared.settings.lookup.clone();
            let left = LOOKUP_TIMEOUT.saturating_sub(begin.elapsed());
            let found = match tokio::time::timeout(left, lookup.look_up(raw)).await {
                Ok(found) => found,
                Err(_) => Err(LookupError::new(LookupErrorKind::Timeout)),
            };
            call.ended = true;
            call.shared.finish(&call, &found);
            // Nobody waits for this.
            if let (Some((place, answers)), Ok(found)) = (shared, found) {
                answers.remember(place, found, asked_at).await;
            }
        });
    }

    /// A look-up has ended: those who wait go on, and so does the next in the queue.
    fn finish(&self, call: &Call, found: &Result<Found, LookupError>) {
        let now = self.now();
        let outcome = match found {
            // That another server was answered says nothing of now.
            Ok(_) if !call.asks => Outcome::Neither,
            Ok(_) => Outcome::Answered,
            Err(error) => outcome(error),
        };
        let counts = {
            let mut ledger = lock(&self.ledger);
            if matches!(found, Ok(Found::Inactive)) {
                ledger.refuse(call.token, TokenError::Inactive, now, REFUSED_FOR.min(call.left));
            }
            // It was given up if not, and another may be under way.
            let line = ledger.end(&call.token, call.number, outcome, now);
            if line.is_some() && call.asks {
                self.note(found);
            }
            if let Some(line) = &line {
                let said = match found {
                    Ok(Found::Active(claims)) => Said::Active(Arc::new(claims.clone())),
                    Ok(Found::Inactive) => Said::Inactive,
                    Err(_) => Said::Unavailable(ledger.pause(&call.token, now).unwrap_or(TRY_AGAIN)),
                };
                let (token, is_ours) = (call.token, call.asks);
                let answer = Answer { token, asked_at: call.since, age: call.age, is_ours, said };
                if self.settings.remembers && answer.is_short() {
                    lock(&self.fresh).remember(
                        call.token,
                        answer.clone(),
                        now,
                        LIVE_ANSWER_FOR.min(call.left),
                    );
                }
                line.answer.send_replace(Some(answer));
            }
            while let Some(next) = ledger.next() {
                next.turn.send_replace(true);
            }
            line.is_some()
        };
        // Last: whatever a subscriber or an observer does, nobody waits for it.
        // While a look-up unwinds, one that panics too would end the process.
        if counts && call.asks && !std::thread::panicking() {
            self.tell(found, now.saturating_duration_since(call.since), now);
        }
    }

    fn note(&self, found: &Result<Found, LookupError>) {
        let (at, mut last) = (self.settings.clock.now(), lock(&self.last));
        match found {
            Ok(_) => last.success = Some(at),
            Err(error) => last.error = Some((at, error.kind())),
        }
    }

    fn tell(&self, found: &Result<Found, LookupError>, took: Duration, now: Instant) {
        let issuer = &*self.settings.label;
        let event = match found {
            Ok(found) => Event::LookedUp { issuer, active: matches!(found, Found::Active(_)), took },
            Err(error) => Event::LookupFailed { issuer, kind: error.kind(), took },
        };
        if let Err(error) = found {
            macro_rules! tell {
                ($level:expr $(, $field:ident = $value:expr)?) => {
                    tracing::event!(
                        target: "tower_bearer::lookup", $level,
                        issuer, error = error as &dyn std::error::Error, ?took,
                        $($field = $value,)?
                        "could not look a token up"
                    )
                };
            }
            match self.warnings.pass(now) {
                Some(held_back) => tell!(tracing::Level::WARN, held_back = held_back),
                None => tell!(tracing::Level::DEBUG),
            }
        }
        self.settings.observers.tell(&event);
    }

    fn now(&self) -> Instant {
        self.settings.clock.instant()
    }
}

/// Whether a failure says something about the endpoint, or only about one token, or about us.
fn outcome(error: &LookupError) -> Outcome {
    match (error.kind(), error.retry_after()) {
        (LookupErrorKind::Rejected | LookupErrorKind::Runtime, _) => Outcome::Neither,
        (_, Some(pause)) if !pause.is_zero() => Outcome::Held(pause),
        _ => Outcome::Failed,
    }
}

/// Waits for a place. Those who wait for the answer have stopped waiting when it takes too long.
async fn has_come(mut turn: watch::Receiver<bool>) -> bool {
    let deadline = deadline();
    loop {
        if *turn.borrow() {
            return true;
        }
        match tokio::time::timeout_at(deadline, turn.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}

fn deadline() -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    now.checked_add(LOOKUP_TIMEOUT).unwrap_or(now)
}

/// A look-up under way. Dropped without an end (it panicked, or its turn did not come, or its runtime was shut down, or
/// there is none), it is one without an answer, so that nobody waits for it and its place is free.
struct Call {
    shared: Arc<Shared>,
    token: Digest,
    number: u64,
    since: Instant,
    /// It is not waiting for its turn, nor was it answered without asking.
    asks: bool,
    /// How old the answer is, and how long it may be believed, where another server has asked.
    age: Duration,
    left: Duration,
    ended: bool,
}

impl Call {
    /// There is an answer, and nobody was asked.
    fn recalled(&mut self, Recalled { found, age, left }: Recalled) {
        (self.asks, self.age, self.left) = (false, age, left);
        self.ended = true;
        self.shared.finish(self, &Ok(found));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.finish(self, &Err(LookupError::new(LookupErrorKind::Runtime)));
        }
    }
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
