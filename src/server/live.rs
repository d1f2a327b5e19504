//! The part of the straight line where a layer wants to know whether a token is good now.

use super::Inner;
use super::issuer::TrustedIssuer;
use super::stop::{Failure, Refusal, Stop, Waited};
use super::verify::{Sought, Trusted, Verified};
use crate::jose::{Claims, Compact, SignatureBuffer, TokenError};
use crate::lookup::desk::{Answer, Desk};
use crate::profile::check_confirmation;
use crate::time::Timestamp;
use crate::token::Token;

/// Under one of these names a token says which client got it, whatever the profile reads (RFC 9068 §2.2.1).
const CLIENT: [&str; 3] = ["client_id", "azp", "cid"];

impl Inner {
    /// Whether one of these issuers can be asked about its tokens.
    pub(crate) fn can_ask_any(&self, trusted: &Trusted) -> bool {
        let mut theirs = self.issuers.iter().filter(|issuer| trusted.includes(&issuer.identity.name));
        theirs.any(|issuer| issuer.desk.is_some())
    }

    /// Asks the token's issuer whether it is good now, whatever is remembered. A token that was looked up is what is said of it
    /// now; any other stays what it is.
    ///
    /// Called last, with a token that would pass: no other can cause a question. `None` if its issuer cannot be asked.
    pub(crate) fn confirm(
        &self,
        verified: Verified,
        trusted: &Trusted,
        waited: Option<&Waited>,
    ) -> Option<Result<Verified, Stop>> {
        let issuer = self.issuers.get(verified.token.trusted_issuer().place)?;
        let desk = issuer.desk.as_ref()?;
        let was_found = issuer.has_looked_up(verified.token.standing());
        let token = &verified.token;
        let answer = waited.and_then(|waited| waited.answer(issuer));
        let is_ours = answer.is_none_or(Answer::is_ours);
        // It was asked about for this very request.
        if was_found && !verified.cached && answer.is_some() && is_ours {
            return Some(Ok(verified));
        }
        // What another server was told counts no more than what is remembered.
        let asked = waited.filter(|waited| is_ours && waited.asked(issuer));
        let now = self.identity.clock.now().into();
        let confirmed = match asked {
            None => Err(issuer.ask_again(desk, token)),
            Some(waited) if was_found => self
                .check_own_word(issuer, token.raw(), now)
                .map_err(Failure::Fault)
                .and_then(|own_end| issuer.look_up(desk, token.raw(), own_end, now, Some(waited)))
                .map(Some),
            Some(waited) => issuer.confirm(desk, token, now, waited).map(|()| None),
        };
        Some(match confirmed {
            Ok(Some(found)) => {
                // Of a JWT that names no issuer, another layer's issuers may say something else.
                let asked = Compact::parse(token.raw(), &self.headers.load(), &mut SignatureBuffer::new())
                    .is_ok()
                    .then_some(trusted);
                let verified = self.accepted(
                    issuer,
                    token.raw(),
                    String::new(),
                    found,
                    asked,
                    &Sought::now(&self.identity),
                );
                // It may be of somebody else now.
                self.check_denied(&verified.token, waited).map(|()| verified)
            }
            Ok(None) => Ok(verified),
            Err(failure) => {
                // What is remembered of a token that the answer has ended was forgotten with it.
                let mut refusal = Refusal::default();
                refusal.note(issuer, failure, None);
                Err(refusal
                    .into_stop(&self.identity, Some(issuer))
                    .carrying(Verified { cached: verified.cached || was_found, ..verified }))
            }
        })
    }

    /// What is said of a JWT does not outlast what it says of itself, however often it is said. Returns its end.
    fn check_own_word(
        &self,
        issuer: &TrustedIssuer,
        raw: &[u8],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, TokenError> {
        let headers = self.headers.load();
        let mut buffer = SignatureBuffer::new();
        let Ok(token) = Compact::parse(raw, &headers, &mut buffer) else { return Ok(None) };
        let payload = token.payload()?;
        issuer.rules.check_own_word(&token, &Claims::parse(&payload)?, now)
    }
}

impl TrustedIssuer {
    fn ask_again(&self, desk: &Desk, token: &Token) -> Failure<'static> {
        match std::str::from_utf8(token.raw()) {
            Ok(raw) => desk.ask_again(raw).into(),
            Err(_) => Failure::Fault(TokenError::Structure),
        }
    }

    /// Whether what was said of a token whose signature was verified is that it is active, and nothing that it contradicts.
    fn confirm(
        &self,
        desk: &Desk,
        token: &Token,
        now: Timestamp,
        waited: &Waited,
    ) -> Result<(), Failure<'static>> {
        let raw = std::str::from_utf8(token.raw()).map_err(|_| TokenError::Structure)?;
        let (said, answer) = self.said(desk, raw, waited)?;
        let checked = self.check_said(said.json(), token.claims_json(), now);
        if let Err(fault) = checked {
            desk.refuse(raw, fault, answer.age);
        }
        Ok(checked?)
    }

    fn check_said(&self, said: &str, own: &str, now: Timestamp) -> Result<(), TokenError> {
        let (said, own) = (Claims::parse(said)?, Claims::parse(own)?);
        self.check_own_iss(&said)?;
        self.rules.check_confirmed(&said, now)?;
        let own_client = CLIENT.iter().find_map(|name| own.text(name).transpose()).transpose()?;
        for (said, own) in [(said.text("sub")?, own.text("sub")?), (said.text("client_id")?, own_client)] {
            if said.zip(own).is_some_and(|(said, own)| said != own) {
                return Err(TokenError::ClaimValue);
            }
        }
        check_confirmation(&said)
    }
}
