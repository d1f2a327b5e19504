//! The straight line: from the text of a token to a [`Token`], or to the reason why not.

use super::Inner;
use super::issuer::TrustedIssuer;
use crate::jose::{Claims, Compact, HeaderAlgorithm, Keys, TokenError, Validity};
use crate::keys::KeySource;
use crate::keys::refresh::BACKOFF_MIN;
use crate::keys::remote::{Available, Ended, Flight, Missed};
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
pub(crate) struct Pending(Vec<Flight>);

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
        let now = self.clock.now().into();
        let (issuer, accepted) = match claims.issuer()? {
            Some(iss) => {
                let issuer = self.by_iss.get(iss).and_then(|place| self.issuers.get(*place));
                let issuer = issuer.filter(|issuer| trusted.includes(&issuer.identity.name));
                let issuer = issuer.ok_or(TokenError::Issuer)?;
                (issuer, issuer.accept(&token, &claims, now, waited)?)
            }
            None => self.accept_unnamed(&token, &claims, trusted, now, waited)?,
        };
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

    /// A token without `iss` may be any unnamed issuer's. If it is nobody's, the answer is that of the issuer with
    /// whom it came furthest.
    fn accept_unnamed(
        &self,
        token: &Compact<'_>,
        claims: &Claims<'_>,
        trusted: &Trusted,
        now: Timestamp,
        waited: Option<Ended>,
    ) -> Result<(&TrustedIssuer, Accepted), Stop> {
        let unnamed = self.issuers.iter().filter(|issuer| issuer.identity.iss.is_none());
        let mut fault = TokenError::Issuer;
        let mut unavailable = None;
        let mut flights = Vec::new();
        for issuer in unnamed.filter(|issuer| trusted.includes(&issuer.identity.name)) {
            match issuer.accept(token, claims, now, waited) {
                Ok(accepted) => return Ok((issuer, accepted)),
                Err(Stop::Pending(pending)) => flights.extend(pending.0),
                Err(Stop::Refused(rejection)) => match rejection.token_error() {
                    Some(error) => fault = fault.max(error),
                    None => unavailable = Some(rejection),
                },
            }
        }
        if !flights.is_empty() {
            return Err(Stop::Pending(Pending(flights)));
        }
        Err(Stop::Refused(unavailable.unwrap_or_else(|| fault.into())))
    }
}

impl TrustedIssuer {
    /// Every check of a token of this issuer, in the order of [`TokenError`].
    fn accept(
        &self,
        token: &Compact<'_>,
        claims: &Claims<'_>,
        now: Timestamp,
        waited: Option<Ended>,
    ) -> Result<Accepted, Stop> {
        let validity = self.rules.check(token, claims, now)?;
        self.check_signature(token, waited)?;
        let identity = self.profile.identify(claims)?.into();
        let audience = claims.audience()?.into_iter().map(Into::into).collect();
        Ok(Accepted { audience, identity, validity })
    }

    fn check_signature(&self, token: &Compact<'_>, waited: Option<Ended>) -> Result<(), Stop> {
        let remote = match &self.keys {
            KeySource::Fixed(keys) => return keys.verify(token).map_err(|not| not.fault.into()),
            KeySource::Remote(remote) => remote,
        };
        loop {
            let set = match remote.keys() {
                Available::Ready(set) => set,
                Available::Wait(flight) if waited.is_none() => return Err(flight.into()),
                Available::Wait(_) => return Err(Rejection::unavailable(BACKOFF_MIN).into()),
                Available::Unavailable(pause) => return Err(Rejection::unavailable(pause).into()),
            };
            let not = match Keys::Public(set.clone()).verify(token) {
                Ok(()) => return Ok(()),
                Err(not) if !not.newer_keys_may_help => return Err(not.fault.into()),
                Err(not) => not,
            };
            match waited {
                Some(Ended::Loaded) => return Err(not.fault.into()),
                Some(_) => return Err(Rejection::unavailable(BACKOFF_MIN).into()),
                None => match remote.miss(&set) {
                    Missed::Newer => {}
                    Missed::Wait(flight) => return Err(flight.into()),
                    Missed::Unknown => return Err(not.fault.into()),
                    Missed::Unavailable(pause) => return Err(Rejection::unavailable(pause).into()),
                },
            }
        }
    }
}

impl Pending {
    /// Waits until every fetch has ended; one that failed counts for all.
    pub(crate) async fn ended(self) -> Ended {
        let mut all = Ended::Loaded;
        for flight in self.0 {
            let ended = flight.ended().await;
            if ended != Ended::Loaded {
                all = ended;
            }
        }
        all
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
    /// Pending a second time is a refusal, not a loop.
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

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<Flight> for Stop {
    fn from(flight: Flight) -> Self {
        Self::Pending(Pending(vec![flight]))
    }
}
