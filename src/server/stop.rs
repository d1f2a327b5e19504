//! [`Stop`]: why there is no token, or none yet, and the wait for what may bring it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::issuer::TrustedIssuer;
use super::verify::Verified;
use crate::deny::{self, Denials};
use crate::event::Event;
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::{KeySet, TokenError};
use crate::keys::Unverified;
use crate::keys::refresh::BACKOFF_MIN;
use crate::keys::remote::{Began, Ended, Flight, RemoteKeys};
use crate::lookup::desk::{self, Answer, Desk, Said};
use crate::refusal::Rejection;
use crate::time::Timestamp;
use crate::token::Token;

/// Why there is no token (yet).
pub(crate) enum Stop {
    Refused(Rejection),
    /// Keys are being fetched, or the token is being looked up. Wait, and ask again once.
    Pending(Pending),
}

/// Fetches and look-ups that the answer depends on, each with its issuer.
pub(crate) struct Pending {
    flights: Vec<(Arc<IssuerIdentity>, Flight)>,
    lookups: Vec<(Arc<IssuerIdentity>, desk::Flight)>,
    /// The first reading of a shared denylist.
    denials: Option<deny::Flight>,
    /// What was verified before its issuer was asked whether it is good now.
    verified: Option<Verified>,
    server: Arc<ServerIdentity>,
}

/// How those have ended that a request waited for.
pub(crate) struct Waited {
    fetches: Vec<(Arc<IssuerIdentity>, Ended, Began)>,
    answers: Vec<(Arc<IssuerIdentity>, Option<Answer>)>,
    verified: Option<Verified>,
}

/// A request that waits. Dropped at the end, however it ends.
struct Waiting {
    server: Arc<ServerIdentity>,
    since: Instant,
}

/// Why one issuer did not accept a token.
pub(super) enum Failure<'a> {
    Fault(TokenError),
    /// Its keys cannot be had for this long.
    Unavailable(Duration),
    /// Its first keys are being fetched.
    Cold(Flight),
    /// As many signatures are being checked as may be.
    Busy,
    /// No key of the set verifies it; a newer set might.
    Miss {
        remote: &'a RemoteKeys,
        tried: Arc<KeySet>,
        fault: TokenError,
    },
    /// It has no key, and looks its tokens up. With when this one says that it ends.
    NoKeys(&'a Desk, Option<Timestamp>),
    /// The token is being looked up.
    Asked(desk::Flight),
}

/// What to answer when nobody accepts a token.
#[derive(Default)]
pub(super) struct Refusal {
    fault: Option<TokenError>,
    unavailable: Option<Duration>,
    busy: bool,
    flights: Vec<(Arc<IssuerIdentity>, Flight)>,
    lookups: Vec<(Arc<IssuerIdentity>, desk::Flight)>,
}

impl Refusal {
    pub(super) fn note(&mut self, issuer: &TrustedIssuer, failure: Failure<'_>, waited: Option<&Waited>) {
        match failure {
            Failure::Fault(fault) | Failure::Miss { fault, .. } => self.fault(fault),
            Failure::Unavailable(pause) => self.unavailable(pause),
            Failure::Busy => self.busy = true,
            Failure::Cold(flight) => self.wait(issuer, flight, waited),
            Failure::Asked(flight) if waited.is_none() => {
                self.lookups.push((issuer.identity.clone(), flight));
            }
            Failure::Asked(_) | Failure::NoKeys(..) => self.unavailable(BACKOFF_MIN),
        }
    }

    pub(super) fn fault(&mut self, fault: TokenError) {
        self.fault = self.fault.max(Some(fault));
    }

    pub(super) fn unavailable(&mut self, pause: Duration) {
        self.unavailable = Some(self.unavailable.map_or(pause, |other| other.max(pause)));
    }

    /// Pending a second time is a refusal, not a loop.
    pub(super) fn wait(&mut self, issuer: &TrustedIssuer, flight: Flight, waited: Option<&Waited>) {
        if waited.is_none() {
            self.flights.push((issuer.identity.clone(), flight));
        } else {
            self.unavailable(BACKOFF_MIN);
        }
    }

    pub(super) fn into_stop(self, server: &Arc<ServerIdentity>, issuer: Option<&TrustedIssuer>) -> Stop {
        let Self { flights, lookups, .. } = self;
        if !flights.is_empty() || !lookups.is_empty() {
            let (denials, verified, server) = (None, None, server.clone());
            return Stop::Pending(Pending { flights, lookups, denials, verified, server });
        }
        // As long as one of them might have accepted it, nobody can say that the token is bad.
        let rejection = match self.unavailable {
            Some(pause) => Rejection::unavailable(pause),
            None if self.busy => Rejection::busy(),
            None => self.fault.unwrap_or(TokenError::Issuer).into(),
        };
        Stop::Refused(rejection.with_issuer(issuer.map(|issuer| issuer.identity.clone())))
    }
}

impl Stop {
    /// Whoever waits for keys waits for the denylist too: there is no second time.
    pub(super) fn with(mut self, denials: &Denials) -> Self {
        if let Self::Pending(pending) = &mut self {
            pending.denials = denials.flight();
        }
        self
    }

    /// Whoever waits with a token that was verified need not verify it again.
    pub(super) fn carrying(mut self, verified: Verified) -> Self {
        if let Self::Pending(pending) = &mut self {
            pending.verified = Some(verified);
        }
        self
    }

    /// For a second answer, which is final.
    pub(crate) fn into_rejection(self) -> Rejection {
        match self {
            Self::Refused(rejection) => rejection,
            Self::Pending(_) => Rejection::unavailable(BACKOFF_MIN),
        }
    }
}

impl From<TokenError> for Stop {
    fn from(error: TokenError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<TokenError> for Failure<'_> {
    fn from(error: TokenError) -> Self {
        Self::Fault(error)
    }
}

impl<'a> From<Unverified<'a>> for Failure<'a> {
    fn from(unverified: Unverified<'a>) -> Self {
        match unverified {
            Unverified::Fault(fault) => Self::Fault(fault),
            Unverified::Busy => Self::Busy,
            Unverified::Unavailable(pause) => Self::Unavailable(pause),
            Unverified::Cold(flight) => Self::Cold(flight),
            Unverified::Miss { remote, tried, fault } => Self::Miss { remote, tried, fault },
        }
    }
}

impl Pending {
    pub(super) fn of_denylist(flight: deny::Flight, server: Arc<ServerIdentity>) -> Self {
        let (flights, lookups) = (Vec::new(), Vec::new());
        Self { flights, lookups, denials: Some(flight), verified: None, server }
    }

    /// Waits until every fetch and look-up has ended, each within its own limit.
    pub(crate) async fn ended(self) -> Waited {
        let _waiting = Waiting::begin(self.server);
        let mut fetches = Vec::with_capacity(self.flights.len());
        for (issuer, flight) in self.flights {
            let began = flight.began();
            fetches.push((issuer, flight.ended().await, began));
        }
        let mut answers = Vec::with_capacity(self.lookups.len());
        for (issuer, flight) in self.lookups {
            answers.push((issuer, flight.ended().await));
        }
        if let Some(flight) = self.denials {
            flight.ended().await;
        }
        Waited { fetches, answers, verified: self.verified }
    }
}

impl Waited {
    pub(super) fn of(&self, issuer: &TrustedIssuer) -> Option<(Ended, Began)> {
        let end = self.fetches.iter().find(|(waited, ..)| Arc::ptr_eq(waited, &issuer.identity));
        end.map(|(_, ended, began)| (*ended, *began))
    }

    pub(super) fn answer(&self, issuer: &TrustedIssuer) -> Option<&Answer> {
        let (_, answer) = self.answers.iter().find(|(waited, _)| Arc::ptr_eq(waited, &issuer.identity))?;
        answer.as_ref()
    }

    /// Whether this issuer was asked, whatever came of it.
    pub(super) fn asked(&self, issuer: &TrustedIssuer) -> bool {
        self.answers.iter().any(|(waited, _)| Arc::ptr_eq(waited, &issuer.identity))
    }

    /// Whether what is remembered of a token that was looked up is what was said of it, if anything was.
    pub(super) fn agrees_with(&self, token: &Token) -> bool {
        let Ok(raw) = std::str::from_utf8(token.raw()) else { return true };
        let mut answers = self.answers.iter().filter_map(|(_, answer)| answer.as_ref());
        answers.all(|answer| match &answer.said {
            Said::Active(claims) => claims.json() == token.claims_json() || !answer.is_about(raw),
            Said::Inactive => !answer.is_about(raw),
            Said::Unavailable(_) => true,
        })
    }

    /// What was verified before the wait, if it is about this very text.
    pub(crate) fn verified(&self, raw: &[u8]) -> Option<&Verified> {
        self.verified.as_ref().filter(|verified| verified.token.is(raw))
    }
}

impl Waiting {
    fn begin(server: Arc<ServerIdentity>) -> Self {
        server.observers.tell(&Event::Waiting {});
        Self { since: server.clock.instant(), server }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.server.clock.instant().saturating_duration_since(self.since);
        // While a request unwinds, one that panics too would end the process.
        if !std::thread::panicking() {
            self.server.observers.tell(&Event::Waited { took });
        }
    }
}
