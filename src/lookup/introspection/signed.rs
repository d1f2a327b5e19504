//! Signed answers (RFC 9701): what an issuer says of a token, under its signature.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::LookupErrorKind;
use crate::fetch::FetchResponse;
use crate::jose::{Accepted, Claims, Compact, KnownHeaders, Rules, SignatureBuffer, TokenError, Turns};
use crate::keys::remote::{Began, Ended, Missed};
use crate::keys::{KeySource, Unverified};
use crate::lookup::{FoundClaims, LookupError};
use crate::time::{Clock, Now};

/// How long ago a signed answer may have been given: it is given when we ask, and whoever has kept one cannot use it later.
pub const MAX_ANSWER_AGE: Duration = Duration::from_secs(60);

/// What is asked for, and what the answer must be (RFC 9701 §4, §5).
pub(super) const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// The issuer whose signature counts: with the keys, algorithms and names of its tokens.
pub(crate) struct Signer {
    /// Every spelling of its `iss`.
    pub(crate) names: Vec<String>,
    pub(crate) keys: KeySource,
    pub(crate) algorithms: Accepted,
    pub(crate) leeway: Duration,
    pub(crate) turns: Arc<Turns>,
}

/// How answers are read that must be signed.
pub(super) struct SignedAnswers {
    names: Vec<String>,
    keys: KeySource,
    rules: Rules,
    turns: Arc<Turns>,
    clock: Arc<dyn Clock>,
    headers: KnownHeaders,
}

/// RFC 9701 §5.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    token_introspection: &'a RawValue,
}

impl SignedAnswers {
    /// `audience` is who we are in the answers.
    pub(super) fn new(signer: Signer, audience: String, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let wrong = |setting, message: &'static str| {
            Err(ConfigError::new(ConfigErrorKind::Lookup, message).at(setting))
        };
        let Signer { names, keys, algorithms, leeway, turns } = signer;
        if audience.is_empty() {
            let message = "the audience is empty; write what the issuer puts into aud of its answers";
            return wrong("signed_for", message);
        }
        if names.is_empty() {
            let message = "a signed answer names its issuer; give the issuer an iss, or leave this out";
            return wrong("signed", message);
        }
        if matches!(keys, KeySource::None) {
            let message = "signed answers are verified with the issuer's keys; write them too, such as Keys::discovery() (in a file: discovery = true)";
            return wrong("signed", message);
        }
        if matches!(algorithms, Accepted::Shared(_)) {
            return wrong("signed", "a shared secret signs no answers; write public keys, or leave this out");
        }
        let rules = Rules {
            algorithms,
            types: Vec::new(),
            audience: Some(vec![audience]),
            audience_optional: false,
            leeway: leeway.into(),
        };
        Ok(Self { names, keys, rules, turns, clock, headers: KnownHeaders::default() })
    }

    /// Starts fetching the keys that will be needed, if that is due.
    pub(super) fn prepare(&self) {
        self.keys.are_usable(self.clock.instant());
    }

    /// What the issuer says of the token. Everything about the answer is checked, but for what is said.
    pub(super) async fn read(&self, response: &FetchResponse) -> Result<FoundClaims, LookupError> {
        if !is_signed(response) {
            return Err(odd("it is not of the type for signed answers"));
        }
        // Held while keys are fetched: not as those are held that are read and let go.
        let headers = Guard::into_inner(self.headers.load());
        let mut buffer = SignatureBuffer::new();
        let answer = Compact::parse_long(response.body(), &headers, &mut buffer).map_err(refused)?;
        let payload = answer.payload().map_err(refused)?;
        self.check_claims(&answer, &payload).map_err(refused)?;
        self.check_signature(&answer).await?;
        answer.is_verified(&self.headers);
        // Of what went wrong here nothing is said: it may quote the answer.
        let payload: Payload<'_> =
            serde_json::from_str(&payload).map_err(|_| odd("it has no member token_introspection"))?;
        FoundClaims::parse(payload.token_introspection.get())
    }

    fn check_claims(&self, answer: &Compact<'_>, payload: &str) -> Result<(), TokenError> {
        let claims = Claims::parse(payload)?;
        let iss = claims.issuer()?.ok_or(TokenError::Issuer)?;
        if !self.names.iter().any(|name| name == iss) {
            return Err(TokenError::Issuer);
        }
        self.rules.check_answer(answer, &claims, self.clock.now().into(), MAX_ANSWER_AGE)
    }

    /// As the signature of a token is checked: keys that have to be fetched first are waited for, once.
    async fn check_signature(&self, answer: &Compact<'_>) -> Result<(), LookupError> {
        let kid = answer.header.kid.as_deref();
        let mut waited = None;
        loop {
            let now = Now::new(self.clock.now().into(), &*self.clock);
            let Err(unverified) = self.keys.verify(answer, now, &self.turns, |_| ()) else { return Ok(()) };
            let flight = match (unverified, waited) {
                (Unverified::Fault(fault), _) => return Err(refused(fault)),
                (Unverified::Busy, _) => return Err(LookupError::new(LookupErrorKind::Runtime)),
                (Unverified::Cold(flight), None) => flight,
                (Unverified::Miss { remote, tried, fault }, None) => {
                    match remote.miss(&tried, kid.filter(|_| fault == TokenError::UnknownKey)) {
                        Missed::Newer => continue,
                        Missed::Wait(flight) => flight,
                        Missed::Unknown => return Err(refused(fault)),
                        Missed::Unavailable(_) => return Err(LookupError::new(LookupErrorKind::Keys)),
                    }
                }
                (Unverified::Miss { remote, fault, .. }, Some((Ended::Loaded, began))) => {
                    if let (TokenError::UnknownKey, Some(kid), Began::Here) = (fault, kid, began) {
                        remote.is_absent(kid);
                    }
                    return Err(refused(fault));
                }
                (Unverified::Unavailable(_) | Unverified::Cold(_) | Unverified::Miss { .. }, _) => {
                    return Err(LookupError::new(LookupErrorKind::Keys));
                }
            };
            let began = flight.began();
            waited = Some((flight.ended().await, began));
        }
    }
}

/// By its content type, whose parameters say nothing. Whoever can strip the signature must not be believed.
fn is_signed(response: &FetchResponse) -> bool {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

fn refused(fault: TokenError) -> LookupError {
    odd(fault.name())
}

/// Why, for the operator: nothing of the answer.
fn odd(why: &'static str) -> LookupError {
    LookupError::new(LookupErrorKind::Answer).because(format!("the signed answer is refused: {why}"))
}
