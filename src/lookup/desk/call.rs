//! [`Call`]: one look-up, in a task of its own, from its turn to those who wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ledger::{Digest, Outcome, REFUSED_FOR, TRY_AGAIN};
use super::{ACTIVE_FOR, Answer, LIVE_ANSWER_FOR, LOOKUP_TIMEOUT, Said, Shared, deadline, lock};
use crate::event::{Event, LookupErrorKind};
use crate::jose::TokenError;
use crate::lookup::{Found, LookupError, OpaqueToken, Place, Recalled, SharedAnswers};
use crate::sync::{AtomicBool, Handle, watch};

/// A look-up under way. Dropped without an end (it panicked, or its turn did not come, or its runtime was shut down, or
/// there is none), it is one without an answer, so that nobody waits for it and its place is free.
struct Call {
    shared: Arc<Shared>,
    token: Digest,
    raw: OpaqueToken,
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
    /// Whether we have not been told since that the token is not active any more.
    fn counts(&self, recalled: &Recalled) -> bool {
        let now = self.shared.now();
        let ended = lock(&self.shared.ended).find(&self.token, now);
        ended.is_none_or(|ended| now.checked_sub(recalled.age).is_some_and(|asked| asked > ended))
    }

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

impl Shared {
    pub(super) fn start(
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
            Call { shared: self.clone(), token, raw, number, since, asks: true, age, left, ended: false };
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
            let shared = call.shared.answers_about(&call.raw);
            call.since = call.shared.now();
            let begin = tokio::time::Instant::now();
            if let Some((place, answers)) = &shared
                && !must_ask.load(Ordering::Relaxed)
                && let Some(recalled) = answers.recall(place).await
                && !must_ask.load(Ordering::Relaxed)
                && call.counts(&recalled)
            {
                call.recalled(recalled);
                return;
            }
            call.since = call.shared.now();
            let asked_at = call.shared.settings.clock.now().into();
            let lookup = call.shared.settings.lookup.clone();
            let left = LOOKUP_TIMEOUT.saturating_sub(begin.elapsed());
            let found = match tokio::time::timeout(left, lookup.look_up(call.raw.clone())).await {
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

    /// Where other servers' answers about a token are, and ours is to be. None of them would look for one about a JWT that it
    /// verifies itself.
    fn answers_about(&self, token: &OpaqueToken) -> Option<(Place, Arc<dyn SharedAnswers>)> {
        let answers = self.settings.answers.as_ref().filter(|_| self.has_the_word(token.expose()))?;
        Some((answers.place(token.expose()), answers.clone()))
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
            if call.asks && found.is_ok() {
                // The later one counts.
                lock(&self.fresh).forget(&call.token);
            }
            if matches!(found, Ok(Found::Inactive)) {
                if call.asks && ledger.is_known(&call.token, now) {
                    let mut ended = lock(&self.ended);
                    ended.forget(&call.token);
                    ended.remember(call.token, call.since, now, ACTIVE_FOR);
                }
                // Before anybody is told.
                ledger.refuse(call.token, TokenError::Inactive, now, REFUSED_FOR.min(call.left));
                self.forget(call.raw.expose());
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
                if self.settings.memory.is_some() && answer.is_short() {
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
