//! The straight line: from the text of a token to a [`Token`], or to the reason why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::issuer::TrustedIssuer;
use crate::event::Event;
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::{
    Claims, Compact, HeaderAlgorithm, KeySet, Keys, MAX_TOKEN_LENGTH, NotVerified, Standing, TokenError,
    Validity,
};
use crate::keys::KeySource;
use crate::keys::refresh::BACKOFF_MIN;
use crate::keys::remote::{Available, Began, Ended, Flight, Missed, RemoteKeys};
use crate::profile::Identity;
use crate::refusal::Rejection;
use crate::time::Timestamp;
use crate::token::{Proven, Token};

/// A token that may be believed now.
pub(crate) struct Verified {
    pub(crate) token: Token,
    /// Its signature was checked before, for an earlier request.
    pub(crate) cached: bool,
}

/// Why there is no token (yet).
pub(crate) enum Stop {
    Refused(Rejection),
    /// Keys are being fetched. Wait, and ask again once.
    Pending(Pending),
}

/// Fetches that the answer depends on, each with its issuer.
pub(crate) struct Pending {
    flights: Vec<(Arc<IssuerIdentity>, Flight)>,
    server: Arc<ServerIdentity>,
}

/// How the fetches have ended that a request waited for.
pub(crate) struct Waited(Vec<(Arc<IssuerIdentity>, Ended, Began)>);

/// A request that waits. Dropped at the end, however it ends.
struct Waiting {
    server: Arc<ServerIdentity>,
    since: Instant,
}

/// Which issuers may be considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trusted {
    All,
    /// By name.
    Only(Arc<[Box<str>]>),
}

/// What was found good about a token.
struct Accepted {
    proven: (Proven, String),
    validity: Validity,
    standing: Arc<Standing>,
}

/// Why one issuer did not accept a token.
enum Failure<'a> {
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
}

impl Inner {
    /// Verifies a token. No I/O, no waiting: what has to be fetched is [`Stop::Pending`].
    ///
    /// `waited` is how the fetches ended that an earlier call was pending on. With it the answer is final.
    pub(crate) fn verify(
        &self,
        raw: &[u8],
        trusted: &Trusted,
        waited: Option<&Waited>,
    ) -> Result<Verified, Stop> {
        if let Some(token) = self.recall(raw, trusted) {
            return Ok(Verified { token, cached: true });
        }
        let token = Compact::parse(raw, &self.headers)?;
        let payload = token.payload()?;
        let claims = Claims::parse(&payload)?;
        if token.header.alg == HeaderAlgorithm::Unknown {
            return Err(TokenError::Algorithm.into());
        }
        let iss = claims.issuer()?;
        let now = self.identity.clock.now().into();
        let candidates = self.candidates(iss).filter(|issuer| trusted.includes(&issuer.identity.name));
        let (issuer, accepted) = accept(&candidates, &token, (&claims, &payload), now, waited)
            .map_err(|refusal| refusal.into_stop(&self.identity, only(candidates)))?;
        let Accepted { proven, validity, standing } = accepted;
        drop(claims);
        token.is_verified(&self.headers);
        let (server, issuer) = (self.identity.clone(), issuer.identity.clone());
        let token = Token::verified(server, issuer, raw, payload, proven, validity, standing);
        self.remember(&token, trusted);
        Ok(Verified { token, cached: false })
    }

    /// A verdict on this very token that still holds: because its times do, because its issuer's keys may be used, and
    /// because the key that verified it has been neither withdrawn nor blocked. If one of these does not hold, it is
    /// forgotten and everything is looked at anew: that gives the right answer, whatever it is.
    fn recall(&self, raw: &[u8], trusted: &Trusted) -> Option<Token> {
        let cache = self.cache.as_ref()?;
        if raw.len() > MAX_TOKEN_LENGTH {
            return None;
        }
        let instant = self.identity.clock.instant();
        if let Some(token) = cache.find_near(raw, trusted, instant) {
            if self.holds(&token, instant) {
                return Some(token);
            }
            cache.forget_near(&token);
        }
        let token = cache.find(raw, trusted, instant)?;
        if !self.holds(&token, instant) {
            cache.forget(&token);
            return None;
        }
        Some(token)
    }

    /// Whether what was found about a token holds now.
    fn holds(&self, token: &Token, instant: Instant) -> bool {
        let now = self.identity.clock.now().into();
        self.issuers.get(token.trusted_issuer().place).is_some_and(|issuer| {
            issuer.rules.check_validity(token.validity(), now).is_ok()
                && issuer.keys.are_usable(instant)
                // Last, because asking for the keys may have let in a newer set.
                && token.standing().is_good(now)
        })
    }

    /// The key may have been withdrawn since it verified the token. Then its standing says so.
    fn remember(&self, token: &Token, trusted: &Trusted) {
        let Some(cache) = &self.cache else { return };
        let unnamed = token.trusted_issuer().iss.is_none();
        // Which of them a token belongs to is what their keys say, and those may change.
        let rivals = || {
            self.issuers
                .iter()
                .filter(|issuer| issuer.identity.iss.is_none() && !matches!(issuer.keys, KeySource::Fixed(_)))
        };
        if unnamed && rivals().count() > 1 {
            return;
        }
        let asked = unnamed.then(|| trusted.clone());
        cache.insert(token.clone(), asked, self.identity.clock.instant());
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
    claims: (&Claims<'_>, &str),
    now: Timestamp,
    waited: Option<&Waited>,
) -> Result<(&'a TrustedIssuer, Accepted), Refusal> {
    loop {
        let mut refusal = Refusal::default();
        let mut misses = Vec::new();
        for issuer in candidates.clone() {
            match issuer.accept(token, claims, now) {
                Ok(accepted) => return Ok((issuer, accepted)),
                Err(Failure::Fault(fault)) => refusal.fault(fault),
                Err(Failure::Unavailable(pause)) => refusal.unavailable(pause),
                Err(Failure::Cold(flight)) => refusal.wait(issuer, flight, waited),
                Err(Failure::Busy) => refusal.busy = true,
                Err(Failure::Miss { remote, tried, fault }) => misses.push((issuer, remote, tried, fault)),
            }
        }
        let mut newer = false;
        let kid = token.header.kid.as_deref();
        for (issuer, remote, tried, fault) in misses {
            let Some(waited) = waited else {
                // Only of key ids that no key has is it remembered.
                match remote.miss(&tried, kid.filter(|_| fault == TokenError::UnknownKey)) {
                    Missed::Newer => newer = true,
                    Missed::Wait(flight) => refusal.wait(issuer, flight, None),
                    Missed::Unknown => refusal.fault(fault),
                    Missed::Unavailable(pause) => refusal.unavailable(pause),
                }
                continue;
            };
            // What another issuer's fetch has brought says nothing of this one's keys.
            match waited.of(issuer) {
                Some((Ended::Loaded, began)) => {
                    // Whatever comes with this key id now is answered without a fetch. A fetch that had begun before
                    // may have been too early to bring it.
                    if let (TokenError::UnknownKey, Some(kid), Began::Here) = (fault, kid, began) {
                        remote.is_absent(kid);
                    }
                    refusal.fault(fault);
                }
                Some(_) => refusal.unavailable(BACKOFF_MIN),
                None if remote.is_troubled() => refusal.unavailable(BACKOFF_MIN),
                None => refusal.fault(fault),
            }
        }
        if !newer {
            return Err(refusal);
        }
    }
}

/// What to answer when nobody accepts a token.
#[derive(Default)]
struct Refusal {
    fault: Option<TokenError>,
    unavailable: Option<Duration>,
    busy: bool,
    flights: Vec<(Arc<IssuerIdentity>, Flight)>,
}

impl Refusal {
    fn fault(&mut self, fault: TokenError) {
        self.fault = self.fault.max(Some(fault));
    }

    fn unavailable(&mut self, pause: Duration) {
        self.unavailable = Some(self.unavailable.map_or(pause, |other| other.max(pause)));
    }

    /// Pending a second time is a refusal, not a loop.
    fn wait(&mut self, issuer: &TrustedIssuer, flight: Flight, waited: Option<&Waited>) {
        if waited.is_none() {
            self.flights.push((issuer.identity.clone(), flight));
        } else {
            self.unavailable(BACKOFF_MIN);
        }
    }

    fn into_stop(self, server: &Arc<ServerIdentity>, issuer: Option<&TrustedIssuer>) -> Stop {
        if !self.flights.is_empty() {
            return Stop::Pending(Pending { flights: self.flights, server: server.clone() });
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
        (claims, payload): (&Claims<'_>, &str),
        now: Timestamp,
    ) -> Result<Accepted, Failure<'_>> {
        let validity = self.rules.check(token, claims, now)?;
        let standing = self.check_signature(token, now)?;
        let proven = Proven::find(&self.identify(claims)?, claims.audience()?, payload);
        Ok(Accepted { proven, validity, standing })
    }

    /// Who it is, whether we deal with them, and what we let them do.
    fn identify<'a>(&self, claims: &'a Claims<'_>) -> Result<Identity<'a>, TokenError> {
        let mut identity = self.profile.identify(claims)?;
        let client = identity.client_id;
        if self.clients.as_ref().is_some_and(|clients| !client.is_some_and(|id| clients.contains(id))) {
            return Err(TokenError::Client);
        }
        if let Some(granted) = client.and_then(|id| self.grants.get(id)) {
            identity.scopes = identity.scopes.and(granted);
        }
        Ok(identity)
    }

    fn check_signature(
        &self,
        token: &Compact<'_>,
        #[cfg_attr(not(feature = "x5c"), expect(unused_variables, reason = "only certificates end"))]
        now: Timestamp,
    ) -> Result<Arc<Standing>, Failure<'_>> {
        let remote = match &self.keys {
            KeySource::Fixed(keys) => return Ok(keys.verify(token, &self.turns)?),
            // Their end is a fault of ours, and not of the token.
            #[cfg(feature = "x5c")]
            KeySource::Certified(keys) if keys.roots(now) == 0 && token.chain().is_some() => {
                return Err(Failure::Unavailable(crate::keys::refresh::BACKOFF_MAX));
            }
            #[cfg(feature = "x5c")]
            KeySource::Certified(keys) => return Ok(keys.verify(token, now, &self.turns)?),
            KeySource::Remote(remote) => remote,
        };
        let tried = match remote.keys() {
            Available::Ready(set) => set,
            Available::Wait(flight) => return Err(Failure::Cold(flight)),
            Available::Unavailable(pause) => return Err(Failure::Unavailable(pause)),
        };
        Keys::Public(tried.clone()).verify(token, &self.turns).map_err(|not_verified| match not_verified {
            NotVerified::Fault { fault, newer_keys_may_help: true } => Failure::Miss { remote, tried, fault },
            no_miss => no_miss.into(),
        })
    }
}

impl From<TokenError> for Failure<'_> {
    fn from(error: TokenError) -> Self {
        Self::Fault(error)
    }
}

impl From<NotVerified> for Failure<'_> {
    fn from(not_verified: NotVerified) -> Self {
        match not_verified {
            NotVerified::Fault { fault, .. } => Self::Fault(fault),
            NotVerified::Busy => Self::Busy,
        }
    }
}

impl Pending {
    /// Waits until every fetch has ended, each within its own limit.
    pub(crate) async fn ended(self) -> Waited {
        let _waiting = Waiting::begin(self.server);
        let mut ends = Vec::with_capacity(self.flights.len());
        for (issuer, flight) in self.flights {
            let began = flight.began();
            ends.push((issuer, flight.ended().await, began));
        }
        Waited(ends)
    }
}

impl Waited {
    fn of(&self, issuer: &TrustedIssuer) -> Option<(Ended, Began)> {
        let end = self.0.iter().find(|(waited, ..)| Arc::ptr_eq(waited, &issuer.identity));
        end.map(|(_, ended, began)| (*ended, *began))
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

    /// Whether what was found when others were asked is an answer to somebody who trusts these. A token that names its
    /// issuer has one answer, whoever asks.
    pub(super) fn is_answered_by(&self, asked: Option<&Self>, issuer: &str) -> bool {
        self.includes(issuer) && asked.is_none_or(|asked| asked == self)
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
