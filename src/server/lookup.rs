//! The part of the straight line where a token is looked up.

use std::sync::Arc;

use super::Inner;
use super::issuer::TrustedIssuer;
use super::stop::{Failure, Refusal, Stop, Waited};
use super::verify::{Accepted, Sought, Trusted, Verified, Word};
use crate::jose::{Claims, Standing, TokenError, Validity, begins_like_a_jwt};
use crate::keys::refresh::BACKOFF_MIN;
use crate::lookup::desk::{ACTIVE_FOR, Answer, Asked, Desk, ENDLESS_ACTIVE_FOR, Said};
use crate::lookup::{FoundClaims, may_be_opaque};
use crate::time::Timestamp;
use crate::token::Proven;

impl Inner {
    /// What is no JWT, and does not begin like one: it goes to the one issuer that looks such tokens up, if there is one.
    pub(super) fn verify_opaque(
        &self,
        raw: &[u8],
        fault: TokenError,
        trusted: &Trusted,
        waited: Option<&Waited>,
        sought: &Sought,
    ) -> Result<Verified, Stop> {
        let is_opaque =
            |text: &[u8]| std::str::from_utf8(text).is_ok_and(|t| may_be_opaque(t) && !begins_like_a_jwt(t));
        let asked = self.who_knows(raw).filter(|_| is_opaque(raw));
        let Some((issuer, desk)) = asked.filter(|(issuer, _)| trusted.includes(&issuer.identity.name)) else {
            return Err(fault.into());
        };
        let now = self.identity.clock.now().into();
        let accepted = issuer.look_up(desk, raw, None, now, waited).map_err(|failure| {
            let mut refusal = Refusal::default();
            refusal.note(issuer, failure, waited);
            refusal.into_stop(&self.identity, Some(issuer))
        })?;
        // Whose it is does not depend on who was asked.
        Ok(self.accepted(issuer, raw, String::new(), accepted, None, sought))
    }

    /// The issuer with the longest prefix that fits. No other one is asked, also if this one is not trusted here.
    fn who_knows(&self, raw: &[u8]) -> Option<(&TrustedIssuer, &Desk)> {
        self.issuers
            .iter()
            .filter(|issuer| issuer.may_know(raw))
            .filter_map(|issuer| Some((issuer, issuer.desk.as_ref()?)))
            .max_by_key(|(issuer, _)| issuer.prefix_length())
    }
}

impl TrustedIssuer {
    /// Whether a token starts as those do that this one is asked about.
    pub(super) fn may_know(&self, raw: &[u8]) -> bool {
        self.token_prefix.as_ref().is_none_or(|prefix| raw.starts_with(prefix.as_bytes()))
    }

    pub(super) fn prefix_length(&self) -> usize {
        self.token_prefix.as_ref().map_or(0, |prefix| prefix.len())
    }

    /// Asks about a token, and checks what was said of it when that is there. A JWT ends when it says so itself, also if the
    /// answer says that it ends later.
    pub(super) fn look_up(
        &self,
        desk: &Desk,
        raw: &[u8],
        own_end: Option<Timestamp>,
        now: Timestamp,
        waited: Option<&Waited>,
    ) -> Result<Accepted, Failure<'static>> {
        let raw = std::str::from_utf8(raw).map_err(|_| TokenError::Structure)?;
        let Some(waited) = waited else { return Err(desk.ask(raw).into()) };
        let (claims, answer) = self.said(desk, raw, waited)?;
        let checked = self.check_found(claims.json(), now, desk.standing());
        if let Err(fault) = &checked {
            desk.refuse(raw, *fault, answer.age);
        }
        let accepted = checked?;
        let lasts = match accepted.validity.expires_at {
            Some(end) => ACTIVE_FOR.saturating_sub(answer.age).min(end.since(now)),
            None => ENDLESS_ACTIVE_FOR.saturating_sub(answer.age),
        };
        let until = answer.asked_at.checked_add(lasts).unwrap_or(answer.asked_at);
        // If there is a later answer already, this one is for this request alone.
        let until = desk.accept(raw, answer, until)?.then_some(until);
        let found = Some(Word { claims: claims.json().to_owned(), said_at: answer.said_at(), until });
        let expires_at = accepted.validity.expires_at.into_iter().chain(own_end).min();
        Ok(Accepted { found, validity: Validity { expires_at, ..accepted.validity }, ..accepted })
    }

    /// What was said of a token while a request with it waited.
    pub(super) fn said<'a>(
        &self,
        desk: &Desk,
        raw: &str,
        waited: &'a Waited,
    ) -> Result<(&'a FoundClaims, &'a Answer), Failure<'static>> {
        // Pending a second time is a refusal, and so is an answer about another token.
        let Some(answer) = waited.answer(self).filter(|answer| answer.is_about(raw)) else {
            // It waited for somebody else, because this one had spoken before.
            return Err(desk.refusal(raw).map_or(Failure::Unavailable(BACKOFF_MIN), Failure::Fault));
        };
        match &answer.said {
            Said::Active(claims) => Ok((claims, answer)),
            Said::Inactive => Err(Failure::Fault(TokenError::Inactive)),
            Said::Unavailable(pause) => Err(Failure::Unavailable(*pause)),
        }
    }

    /// Every check of what was said of a token of this issuer: those of a token's own claims.
    fn check_found(
        &self,
        json: &str,
        now: Timestamp,
        standing: &Arc<Standing>,
    ) -> Result<Accepted, TokenError> {
        let claims = Claims::parse(json)?;
        self.check_own_iss(&claims)?;
        let validity = self.rules.check_found(&claims, now)?;
        let proven = Proven::find(&self.identify(&claims)?, claims.audience()?, json);
        Ok(Accepted { proven, validity, basis: self.basis(standing), found: None })
    }

    /// It may not say who it is; it must not say that it is somebody else.
    pub(super) fn check_own_iss(&self, claims: &Claims<'_>) -> Result<(), TokenError> {
        match claims.issuer()? {
            Some(iss) if !self.spellings().any(|(ours, _)| ours == iss) => Err(TokenError::Issuer),
            _ => Ok(()),
        }
    }
}

impl From<Asked> for Failure<'_> {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Refused(fault) => Self::Fault(fault),
            Asked::Unavailable(pause) => Self::Unavailable(pause),
            Asked::Wait(flight) => Self::Asked(flight),
        }
    }
}
