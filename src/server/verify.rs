//! The straight line: from the text of a token to a [`Token`], or to the reason why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::issuer::TrustedIssuer;
use crate::event::Event;
use crate::identity::ServerIdentity;
use crate::jose::{Claims, Compact, HeaderAlgorithm, KeySet, Keys, TokenError, Validity};
use crate::keys::KeySource;
use crate::keys::refresh::BACKOFF_MIN;
use crate::keys::remote::{Available, Ended, Flight, Missed, RemoteKeys};
use crate::refusal::Rejection;
use crate::time::Timestamp;
use crate::token::{Proven, Token};

/// Why there is no token (yet).
pub(crate) enum Stop {
    Refused(Rejection),
    /// Keys are being fetched. Wait, and ask again once.
    Pending(Pending),
}

/// Fetches that the answer depends on.
pub(crate) struct Pending {
    flights: Vec<Flight>,
    server: Arc<ServerIdentity>,
}

/// A request that waits. Dropped at the end, however it ends.
struct Waiting {
    server: Arc<ServerIdentity>,
    since: Instant,
}

/// Which issuers may be considered.
#[derive(Debug, Clone)]
pub(crate) enum Trusted {
    All,
    /// By name.
    Only(Vec<Box<str>>),
}

/// What was found good about a token.
struct Accepted {
    audience: Box<[Box<str>]>,
    identity: Proven,
    validity: Validity,
}

/// Why one issuer did not accept a token.
enum Failure<'a> {
    Fault(TokenError),
    /// Its keys cannot be had for this long.
    Unavailable(Duration),
    /// Its first keys are being fetched.
    Cold(Flight),
    /// No key of the set verifies it; a newer set might.
    Miss {
        remote: &'a RemoteKeys,
        tried: Arc<KeySet>,
        fault: TokenError,
    },
}

impl Inner {
    /// Verifies a token. No I/O, no waiting: what has to be fetched is [`Stop::Pending`].
    ///
    /// `waited` is how the fetch ended that an earlier call was pending on. With it the answer is final.
    pub(crate) fn verify(&self, raw: &str, trusted: &Trusted, waited: Option<Ended>) -> Result<Token, Stop> {
        let token = Compact::parse(raw)?;
        let claims = Claims::parse(&token.payload)?;
        if token.header.alg == HeaderAlgorithm::Unknown {
            return Err(TokenError::Algorithm.into());
        }
        let iss = claims.issuer()?;
        let now = self.identity.clock.now().into();
        let candidates = self.candidates(iss).filter(|issuer| trusted.includes(&issuer.identity.name));
        let (issuer, accepted) = accept(&candidates, &token, &claims, now, waited)
            .map_err(|refusal| refusal.into_stop(&self.identity, only(candidates)))?;
        let Accepted { audience, identity, validity } = accepted;
        drop(claims);
        Ok(Token::verified(
            self.identity.clone(),
            issuer.identity.clone(),
            raw,
            token.payload,
            audience,
            identity,
            validity,
        ))
    }

    /// The one issuer that a token names or, for a token that names none, every unnamed one.
    fn candidates<'a>(
        &'a self,
        iss: Option<&str>,
    ) -> impl Iterator<Item = &'a TrustedIssuer> + Clone + use<'a> {
        let named = iss.and_then(|iss| self.by_iss.get(iss)).and_then(|place| self.issuers.get(*place));
        let unnamed = if iss.is_none() { self.issuers.as_slice() } else { &[] };
        named.into_iter().chain(unnamed.iter().filter(|issuer| issuer.identity.iss.is_none()))
    }
}

/// Asks one issuer after the other. If none accepts the token, its fault is the one with which it came furthest.
///
/// Only when everybody has been asked do those fetch whose keys did not verify it: tokens of one unnamed issuer must
/// not use up the budget of another.
fn accept<'a>(
    candidates: &(impl Iterator<Item = &'a TrustedIssuer> + Clone),
    token: &Compact<'_>,
    claims: &Claims<'_>,
    now: Timestamp,
    waited: Option<Ended>,
) -> Result<(&'a TrustedIssuer, Accepted), Refusal> {
    loop {
        let mut refusal = Refusal { fault: None, unavailable: None, flights: Vec::new() };
        let mut misses = Vec::new();
        for issuer in candidates.clone() {
            match issuer.accept(token, claims, now) {
                Ok(accepted) => return Ok((issuer, accepted)),
                Err(Failure::Fault(fault)) => refusal.fault(fault),
                Err(Failure::Unavailable(pause)) => refusal.unavailable(pause),
                Err(Failure::Cold(flight)) => refusal.wait(flight, waited),
                Err(Failure::Miss { remote, tried, fault }) => misses.push((remote, tried, fault)),
            }
        }
        let mut newer = false;
        for (remote, tried, fault) in misses {
            match waited {
                Some(Ended::Loaded) => {
                    // Whatever comes with this key id now is answered without a fetch.
                    if let (TokenError::UnknownKey, Some(kid)) = (fault, token.header.kid.as_deref()) {
                        remote.is_absent(kid);
                    }
                    refusal.fault(fault);
                }
                Some(_) => refusal.unavailable(BACKOFF_MIN),
                None => match remote.miss(&tried, token.header.kid.as_deref()) {
                    Missed::Newer => newer = true,
                    Missed::Wait(flight) => refusal.wait(flight, waited),
                    Missed::Unknown => refusal.fault(fault),
                    Missed::Unavailable(pause) => refusal.unavailable(pause),
                },
            }
        }
        if !newer {
            return Err(refusal);
        }
    }
}

/// What to answer when nobody accepts a token.
struct Refusal {
    fault: Option<TokenError>,
    unavailable: Option<Duration>,
    flights: Vec<Flight>,
}

impl Refusal {
    fn fault(&mut self, fault: TokenError) {
        self.fault = self.fault.max(Some(fault));
    }

    fn unavailable(&mut self, pause: Duration) {
        self.unavailable = Some(self.unavailable.map_or(pause, |other| other.max(pause)));
    }

    /// Pending a second time is a refusal, not a loop.
    fn wait(&mut self, flight: Flight, waited: Option<Ended>) {
        if waited.is_none() { self.flights.push(flight) } else { self.unavailable(BACKOFF_MIN) }
    }

    fn into_stop(self, server: &Arc<ServerIdentity>, issuer: Option<&TrustedIssuer>) -> Stop {
        if !self.flights.is_empty() {
            return Stop::Pending(Pending { flights: self.flights, server: server.clone() });
        }
        // As long as one of them might have accepted it, nobody can say that the token is bad.
        let fault = self.fault.unwrap_or(TokenError::Issuer);
        let rejection = self.unavailable.map_or_else(|| fault.into(), Rejection::unavailable);
        Stop::Refused(rejection.with_issuer(issuer.map(|issuer| issuer.identity.clone())))
    }
}

/// The one who was asked; of several nobody in particular has refused.
fn only<'a>(mut issuers: impl Iterator<Item = &'a TrustedIssuer>) -> Option<&'a TrustedIssuer> {
    let first = issuers.next()?;
    issuers.next().is_none().then_some(first)
}

impl TrustedIssuer {
    /// Every check of a token of this issuer, in the order of [`TokenError`].
    fn accept(
        &self,
        token: &Compact<'_>,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Result<Accepted, Failure<'_>> {
        let validity = self.rules.check(token, claims, now)?;
        self.check_signature(token)?;
        let identity = self.profile.identify(claims)?.into();
        let audience = claims.audience()?.into_iter().map(Into::into).collect();
        Ok(Accepted { audience, identity, validity })
    }

    fn check_signature(&self, token: &Compact<'_>) -> Result<(), Failure<'_>> {
        let remote = match &self.keys {
            KeySource::Fixed(keys) => return keys.verify(token).map_err(|not| Failure::Fault(not.fault)),
            KeySource::Remote(remote) => remote,
        };
        let tried = match remote.keys() {
            Available::Ready(set) => set,
            Available::Wait(flight) => return Err(Failure::Cold(flight)),
            Available::Unavailable(pause) => return Err(Failure::Unavailable(pause)),
        };
        Keys::Public(tried.clone()).verify(token).map_err(|not| {
            if !not.newer_keys_may_help {
                return Failure::Fault(not.fault);
            }
            Failure::Miss { remote, tried, fault: not.fault }
        })
    }
}

impl From<TokenError> for Failure<'_> {
    fn from(error: TokenError) -> Self {
        Self::Fault(error)
    }
}

impl Pending {
    /// Waits until every fetch has ended, each within its own limit; one that failed counts for all.
    pub(crate) async fn ended(self) -> Ended {
        let _waiting = Waiting::begin(self.server);
        let mut all = Ended::Loaded;
        for flight in self.flights {
            let ended = flight.ended().await;
            if ended != Ended::Loaded {
                all = ended;
            }
        }
        all
    }
}

impl Waiting {
    fn begin(server: Arc<ServerIdentity>) -> Self {
        server.observers.tell(&Event::Waiting);
        Self { since: server.clock.instant(), server }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let took = self.server.clock.instant().saturating_duration_since(self.since);
        self.server.observers.tell(&Event::Waited { took });
    }
}

impl Trusted {
    pub(crate) fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|trusted| &**trusted == name),
        }
    }
}

impl Stop {
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
