//! [`Rules`]: what is checked of a token, and of what is said of one, without a key.

use std::time::Duration;

use super::TokenError;
use super::algorithm::{AlgorithmSet, HmacAlgorithm};
use super::claims::{Claims, Validity};
use super::compact::Compact;
use super::header::HeaderAlgorithm;
use crate::time::{Now, Span, Timestamp};

/// What an issuer's tokens must be like.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) algorithms: Accepted,
    /// Lower case, without `application/`; `""` stands for none.
    pub(crate) types: Vec<String>,
    /// One of these must be in `aud`; `None` takes any, even none.
    pub(crate) audience: Option<Vec<String>>,
    /// Whether `aud` may be absent.
    pub(crate) audience_optional: bool,
    pub(crate) leeway: Span,
}

/// The algorithms of an issuer: those of public keys, or those of a shared secret, never both.
#[derive(Debug, Clone)]
pub(crate) enum Accepted {
    Public(AlgorithmSet),
    Shared(Vec<HmacAlgorithm>),
}

impl Rules {
    /// Every check that needs no key, in the order of [`TokenError`].
    pub(crate) fn check(
        &self,
        token: &Compact<'_>,
        claims: &Claims<'_>,
        now: Now<'_>,
    ) -> Result<Validity, TokenError> {
        if !self.algorithms.contains(token.header.alg) {
            return Err(TokenError::Algorithm);
        }
        self.check_type(token, claims)?;
        if token.header.has_crit {
            return Err(TokenError::Critical);
        }
        self.check_audience(claims)?;
        let validity = claims.validity()?;
        validity.expires_at.ok_or(TokenError::Time)?;
        self.check_now(&validity, now)?;
        Ok(validity)
    }

    /// Whether it is an access token at all, by its own word: also before somebody is asked about it.
    pub(crate) fn check_type(&self, token: &Compact<'_>, claims: &Claims<'_>) -> Result<(), TokenError> {
        let typ = &token.header.typ;
        let is_ours = !token.header.odd_typ && self.types.iter().any(|ours| is_type(typ, ours));
        // RFC 9701 §8.1, whatever types the issuer's tokens may have.
        if !is_ours || is_type(typ, INTROSPECTION) || claims.is_about_another_token() {
            return Err(TokenError::Type);
        }
        Ok(())
    }

    /// What a token says of itself, before somebody is asked about it: it is good for no more than that, also if the answer
    /// says less. What it does not say is for the answer. Returns its end.
    pub(crate) fn check_own_word(
        &self,
        token: &Compact<'_>,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, TokenError> {
        self.check_type(token, claims)?;
        if claims.has_audience() {
            self.check_audience(claims)?;
        }
        let validity = claims.validity()?;
        self.check_validity(&validity, now)?;
        Ok(validity.expires_at)
    }

    /// The same of what is said of a token that was looked up. It has no header, and may have no end: it is not remembered
    /// for long.
    pub(crate) fn check_found(&self, claims: &Claims<'_>, now: Timestamp) -> Result<Validity, TokenError> {
        check_kind(claims)?;
        self.check_audience(claims)?;
        let validity = claims.validity()?;
        self.check_validity(&validity, now)?;
        Ok(validity)
    }

    /// The same of what is said of a token that was verified: what it leaves out, the token has said itself.
    pub(crate) fn check_confirmed(&self, claims: &Claims<'_>, now: Timestamp) -> Result<(), TokenError> {
        check_kind(claims)?;
        if claims.has_audience() {
            self.check_audience(claims)?;
        }
        self.check_validity(&claims.validity()?, now)
    }

    /// Every check of a signed answer about a token (RFC 9701 §5) that needs no key: in place of a type of these it has its
    /// own, and it was given no longer ago than this.
    pub(crate) fn check_answer(
        &self,
        answer: &Compact<'_>,
        claims: &Claims<'_>,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<(), TokenError> {
        let header = &answer.header;
        if !self.algorithms.contains(header.alg) {
            return Err(TokenError::Algorithm);
        }
        if header.odd_typ || !is_type(&header.typ, INTROSPECTION) {
            return Err(TokenError::Type);
        }
        if header.has_crit {
            return Err(TokenError::Critical);
        }
        self.check_audience(claims)?;
        let validity = claims.validity()?;
        let given_at = validity.issued_at.ok_or(TokenError::Time)?;
        self.check_validity(&validity, now)?;
        if now >= given_at.plus(max_age).plus(self.leeway) {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    fn check_audience(&self, claims: &Claims<'_>) -> Result<(), TokenError> {
        let mut audience = claims.audience()?;
        let may_be_absent = self.audience_optional && !claims.has_audience();
        if let Some(expected) = &self.audience
            && !may_be_absent
            && !audience.any(|aud| expected.iter().any(|ours| ours == aud))
        {
            return Err(TokenError::Audience);
        }
        Ok(())
    }

    /// Whether times that were read before hold now. The clock is read only if it might say otherwise than is known.
    pub(crate) fn check_now(&self, validity: &Validity, now: Now<'_>) -> Result<(), TokenError> {
        self.check_between(validity, now.bounds()).or_else(|_| self.check_validity(validity, now.exactly()))
    }

    fn check_validity(&self, validity: &Validity, now: Timestamp) -> Result<(), TokenError> {
        self.check_between(validity, [now; 2])
    }

    /// The one comparison of a token's times with the clock: whether they hold at both of these, and so all the time between.
    fn check_between(&self, validity: &Validity, [from, to]: [Timestamp; 2]) -> Result<(), TokenError> {
        if validity.issued_at.is_some_and(|iat| from < iat.minus(self.leeway)) {
            return Err(TokenError::Time);
        }
        if validity.expires_at.is_some_and(|exp| to >= exp.plus(self.leeway)) {
            return Err(TokenError::Expired);
        }
        if validity.not_before.is_some_and(|nbf| from < nbf.minus(self.leeway)) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

impl Accepted {
    fn contains(&self, algorithm: HeaderAlgorithm) -> bool {
        match (self, algorithm) {
            (Self::Public(set), HeaderAlgorithm::Signature(algorithm)) => set.contains(algorithm),
            (Self::Shared(list), HeaderAlgorithm::Hmac(algorithm)) => list.contains(&algorithm),
            _ => false,
        }
    }
}

/// Whether what was said is about a bearer token.
fn check_kind(claims: &Claims<'_>) -> Result<(), TokenError> {
    if claims.is_about_another_token() {
        return Err(TokenError::Type);
    }
    // RFC 7662 §2.2. Some write the other name there.
    let is_plain = |kind: &str| ["bearer", "access_token"].iter().any(|k| kind.eq_ignore_ascii_case(k));
    match claims.text("token_type")? {
        None => Ok(()),
        Some(kind) if is_plain(kind) => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case("dpop") => Err(TokenError::Confirmation),
        Some(_) => Err(TokenError::Type),
    }
}

/// The `typ` of an answer about a token (RFC 9701 §5), which is never a token itself (§8.1).
const INTROSPECTION: &str = "token-introspection+jwt";

/// Whether a `typ` is this one, which is [normal](normal_type) already.
fn is_type(typ: &str, normal: &str) -> bool {
    typ.eq_ignore_ascii_case(normal)
        || typ.len() > normal.len() && !normal.contains('/') && normal_type(typ) == *normal
}

/// A `typ` as it is compared: ignoring case, and with or without `application/` (RFC 7515 §4.1.9).
pub(crate) fn normal_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(short) if !short.is_empty() && !short.contains('/') => short.to_owned(),
        _ => typ,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::time::Clock;

    /// Stands still.
    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            self.0.into()
        }

        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    /// Milliseconds.
    fn at(time: i64) -> Timestamp {
        Timestamp::from_micros(time.saturating_mul(1000))
    }

    #[test]
    fn where_a_late_clock_might_be_wrong_the_exact_one_decides() {
        let rules = Rules {
            algorithms: Accepted::Shared(Vec::new()),
            types: Vec::new(),
            audience: None,
            audience_optional: true,
            leeway: Duration::from_secs(10).into(),
        };
        let check = |validity: &Validity, early: i64, exactly: i64| {
            rules.check_now(validity, Now::new(at(early), &At(at(exactly))))
        };
        let any = Validity { expires_at: None, not_before: None, issued_at: None };

        let ends = Validity { expires_at: Some(at(100_000)), ..any };
        assert_eq!(check(&ends, 109_995, 109_999), Ok(()));
        assert_eq!(check(&ends, 109_995, 110_000), Err(TokenError::Expired));
        assert_eq!(check(&ends, 109_000, 110_000), Err(TokenError::Expired), "late by a second");
        assert_eq!(check(&ends, 108_999, 110_000), Ok(()), "more than a second is left, so it is not asked");

        for (starts, fault) in [
            (Validity { not_before: Some(at(100_000)), ..any }, TokenError::NotYetValid),
            (Validity { issued_at: Some(at(100_000)), ..any }, TokenError::Time),
        ] {
            assert_eq!(check(&starts, 90_000, 0), Ok(()), "it has begun, so it is not asked");
            assert_eq!(check(&starts, 89_995, 90_000), Ok(()));
            assert_eq!(check(&starts, 89_995, 89_999), Err(fault));
        }
    }
}
