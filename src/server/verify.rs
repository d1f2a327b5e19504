//! The straight line: from the text of a token to a [`Token`], or to the reason why not.

use std::sync::Arc;
use std::time::Instant;

use super::Inner;
use super::cache::{MAX_CACHED_FOR, Place};
use super::issuer::TrustedIssuer;
use super::stop::{Failure, Pending, Refusal, Stop, Waited};
use crate::deny::{self, DENYLIST_INTERVAL};
use crate::identity::ServerIdentity;
use crate::jose::{
    Claims, Compact, HeaderAlgorithm, MAX_TOKEN_LENGTH, SignatureBuffer, TokenError, Validity,
};
use crate::keys::KeySource;
use crate::keys::refresh::BACKOFF_MIN;
use crate::keys::remote::{Began, Ended, Missed};
use crate::lookup::desk::{Desk, Memory};
use crate::profile::{Identity, check_confirmation};
use crate::refusal::Rejection;
use crate::time::{Moment, Now};
use crate::token::{Basis, Proven, Token};

#[cfg(all(test, tower_bearer_model))]
#[path = "../../tests/model/found.rs"]
mod model;

/// A token that may be believed now.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) token: Token,
    /// Its signature was checked before, for an earlier request.
    pub(crate) cached: bool,
}

/// Which issuers may be considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trusted {
    All,
    /// By name.
    Only(Arc<[Box<str>]>),
}

/// What was found good about a token.
pub(super) struct Accepted {
    pub(super) proven: (Proven, String),
    pub(super) validity: Validity,
    pub(super) basis: Arc<Basis>,
    /// What was said of it; `None` if it says so itself.
    pub(super) found: Option<Word>,
}

/// What was said of a token.
pub(super) struct Word {
    pub(super) claims: String,
    pub(super) said_at: Instant,
    /// How long that may be remembered; `None` if something else was said later, or may have been.
    pub(super) until: Option<Instant>,
}

/// When a token was looked for among those that are known and, if it has come to that, where.
pub(super) struct Sought {
    moment: Moment,
    place: Option<Place>,
}

impl Sought {
    /// Nowhere yet.
    pub(super) fn now(identity: &ServerIdentity) -> Self {
        Self { moment: identity.ticks.read(), place: None }
    }
}

/// A token that was sent, read as far as that needs no key.
struct Sent<'a> {
    raw: &'a [u8],
    compact: &'a Compact<'a>,
    payload: &'a str,
    claims: &'a Claims<'a>,
    /// It names no issuer, and there are several whose tokens name none.
    is_anyones: bool,
}

impl Inner {
    /// Verifies a token. No I/O, no waiting: what has to be fetched is [`Stop::Pending`].
    ///
    /// `waited` is how the fetches ended that an earlier call was pending on. With it the answer is final.
    /// What was verified before the wait and still holds is not verified again.
    pub(crate) fn verify(
        &self,
        raw: &[u8],
        trusted: &Trusted,
        waited: Option<&Waited>,
    ) -> Result<Verified, Stop> {
        let mut sought = Sought::now(&self.identity);
        if let Some(verified) = waited.and_then(|waited| waited.verified(raw))
            && self.holds(&verified.token, &sought.moment)
        {
            self.check_denied(&verified.token, waited)?;
            return Ok(verified.clone());
        }
        // Another request may have remembered an older answer than the one that this one has waited for.
        if let Some(token) = self.recall(raw, trusted, &mut sought)
            && waited.is_none_or(|waited| waited.agrees_with(&token))
        {
            self.check_denied(&token, waited)?;
            return Ok(Verified { token, cached: true });
        }
        let verified =
            self.verify_new(raw, trusted, waited, &sought).map_err(|stop| stop.with(&self.denials))?;
        // Also a token that is denied was remembered: the next time it is refused without its signature.
        self.check_denied(&verified.token, waited)?;
        Ok(verified)
    }

    /// Verifies a token that is not known, or not any more.
    fn verify_new(
        &self,
        raw: &[u8],
        trusted: &Trusted,
        waited: Option<&Waited>,
        sought: &Sought,
    ) -> Result<Verified, Stop> {
        let headers = self.headers.load();
        let mut buffer = SignatureBuffer::new();
        let compact = match Compact::parse(raw, &headers, &mut buffer) {
            Ok(compact) => compact,
            Err(fault) => return self.verify_opaque(raw, fault, trusted, waited, sought),
        };
        let payload = compact.payload()?;
        let claims = Claims::parse(&payload)?;
        if compact.header.alg == HeaderAlgorithm::Unknown {
            return Err(TokenError::Algorithm.into());
        }
        let iss = claims.issuer()?;
        let now = Now::new(sought.moment.now, &*self.identity.clock);
        let candidates = self.candidates(iss).filter(|issuer| trusted.includes(&issuer.identity.name));
        // Also of those that are not trusted here: it may be theirs.
        let unnamed = || self.issuers.iter().filter(|issuer| issuer.identity.iss.is_none());
        let is_anyones = iss.is_none() && unnamed().count() > 1;
        let sent = Sent { raw, compact: &compact, payload: &payload, claims: &claims, is_anyones };
        let (issuer, accepted) = match accept(&candidates, &sent, now, waited) {
            Ok(accepted) => accepted,
            Err(refusal) => return Err(refusal.into_stop(&self.identity, only(candidates))),
        };
        drop(claims);
        compact.is_verified(&self.headers);
        Ok(self.accepted(issuer, raw, payload, accepted, Some(trusted), sought))
    }

    /// Everything about this token was verified. `asked` is who was asked, if others might have answered.
    pub(super) fn accepted(
        &self,
        issuer: &TrustedIssuer,
        raw: &[u8],
        payload: String,
        accepted: Accepted,
        asked: Option<&Trusted>,
        sought: &Sought,
    ) -> Verified {
        let Accepted { proven, validity, basis, found } = accepted;
        let (claims, word) = match found {
            Some(Word { claims, said_at, until }) => (claims, Some((said_at, until))),
            None => (payload, None),
        };
        let token = Token::verified(basis, raw, claims, proven, validity);
        match word {
            None => _ = self.remember(&token, asked, None, sought),
            Some((said_at, Some(until))) => {
                let is_remembered = self.remember(&token, asked, Some(until), sought);
                // Somebody may have been told something else meanwhile. And what was said before does not hold any more.
                let is_latest =
                    |desk: &Desk| std::str::from_utf8(raw).is_ok_and(|raw| desk.is_latest(raw, said_at));
                if let Some(cache) = &self.cache
                    && !(is_remembered && issuer.desk.as_ref().is_some_and(is_latest))
                {
                    cache.forget_text(raw);
                }
            }
            // It is overtaken, or so late that nobody knows. Whatever is remembered may be older.
            Some((_, None)) => self.cache.iter().for_each(|cache| cache.forget_text(raw)),
        }
        Verified { token, cached: false }
    }

    /// Whether a token that was verified, now or before, is accepted no more. Asked last, on every request, however the token
    /// came to be verified: to somebody without a good token it tells nothing.
    pub(crate) fn check_denied(&self, token: &Token, waited: Option<&Waited>) -> Result<(), Stop> {
        if self.denials.are_none() {
            return Ok(());
        }
        let rejection = match self.denials.standing(token) {
            deny::Standing::Good => return Ok(()),
            deny::Standing::Denied => TokenError::Revoked.into(),
            deny::Standing::Wait(flight) if waited.is_none() => {
                return Err(Stop::Pending(Pending::of_denylist(flight, self.identity.clone())));
            }
            deny::Standing::Wait(_) if self.denials.stale_is_fine() => return Ok(()),
            // As long as it may have been denied elsewhere, nobody can say that the token is good.
            deny::Standing::Wait(_) | deny::Standing::Unknown => Rejection::unavailable(DENYLIST_INTERVAL),
        };
        Err(Stop::Refused(rejection.with_issuer(Some(token.trusted_issuer().clone()))))
    }

    /// A verdict on this very token that still holds: because its times do, because its issuer's keys may be used, and
    /// because the key that verified it has been neither withdrawn nor blocked. If one of these does not hold, it is
    /// forgotten and everything is looked at anew: that gives the right answer, whatever it is.
    fn recall(&self, raw: &[u8], trusted: &Trusted, sought: &mut Sought) -> Option<Token> {
        let cache = self.cache.as_ref().filter(|_| raw.len() <= MAX_TOKEN_LENGTH)?;
        let Sought { moment, place } = sought;
        if let Some(token) =
            cache.find_near(raw, trusted, moment.instant).filter(|token| self.holds(token, moment))
        {
            return Some(token);
        }
        let place = *place.insert(cache.place(raw));
        let token = cache.find(place, raw, trusted, moment.instant)?;
        if !self.holds(&token, moment) {
            cache.forget(&token);
            return None;
        }
        Some(token)
    }

    /// The same of a token that was verified before a wait.
    pub(crate) fn still_holds(&self, token: &Token) -> bool {
        self.holds(token, &self.identity.ticks.read())
    }

    /// Whether what was found about a token holds now.
    fn holds(&self, token: &Token, Moment { now, instant }: &Moment) -> bool {
        let now = Now::new(*now, &*self.identity.clock);
        self.issuers.get(token.trusted_issuer().place).is_some_and(|issuer| {
            issuer.rules.check_now(token.validity(), now).is_ok()
                && (issuer.keys.are_usable(*instant) || issuer.has_looked_up(token.standing()))
                // Last, because asking for the keys may have let in a newer set.
                && token.standing().is_good(now)
        })
    }

    /// Remembers a token until then, or for as long as tokens are remembered. The key may have been withdrawn since it
    /// verified the token. Then its standing says so. Whether it is remembered.
    fn remember(
        &self,
        token: &Token,
        asked: Option<&Trusted>,
        until: Option<Instant>,
        sought: &Sought,
    ) -> bool {
        let Some(cache) = &self.cache else { return false };
        let asked = asked.filter(|_| token.trusted_issuer().iss.is_none());
        // Which of them a token belongs to is what their keys say, and those may change.
        let rivals = || {
            self.issuers
                .iter()
                .filter(|issuer| issuer.identity.iss.is_none() && !matches!(issuer.keys, KeySource::Fixed(_)))
        };
        if asked.is_some() && rivals().count() > 1 {
            return false;
        }
        let now = sought.moment.instant;
        let until = until.or_else(|| now.checked_add(MAX_CACHED_FOR));
        let Some(until) = until.filter(|until| now < *until) else { return false };
        let place = sought.place.unwrap_or_else(|| cache.place(token.raw()));
        cache.insert(place, token.clone(), asked.cloned(), until, now);
        true
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
    sent: &Sent<'_>,
    now: Now<'_>,
    waited: Option<&Waited>,
) -> Result<(&'a TrustedIssuer, Accepted), Refusal> {
    loop {
        let mut refusal = Refusal::default();
        let (mut misses, mut keyless) = (Vec::new(), Vec::new());
        for issuer in candidates.clone() {
            match issuer.accept(sent, now) {
                Ok(accepted) => return Ok((issuer, accepted)),
                Err(Failure::Miss { remote, tried, fault }) => misses.push((issuer, remote, tried, fault)),
                Err(Failure::NoKeys(desk, end)) => keyless.push((issuer, desk, end)),
                Err(failure) => refusal.note(issuer, failure, waited),
            }
        }
        // Nobody is asked about a token that somebody's keys have verified, and one alone about any other.
        let asked = keyless.into_iter().max_by_key(|(issuer, ..)| issuer.prefix_length());
        if let Some((issuer, desk, own_end)) = asked {
            match issuer.look_up(desk, sent.raw, own_end, now.exactly(), waited) {
                Ok(accepted) => return Ok((issuer, accepted)),
                Err(failure) => refusal.note(issuer, failure, waited),
            }
        }
        let mut newer = false;
        let kid = sent.compact.header.kid.as_deref();
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

/// The one who was asked; of several nobody in particular has refused.
fn only<'a>(mut issuers: impl Iterator<Item = &'a TrustedIssuer>) -> Option<&'a TrustedIssuer> {
    let first = issuers.next()?;
    issuers.next().is_none().then_some(first)
}

impl TrustedIssuer {
    /// Every check of a token of this issuer, in the order of [`TokenError`].
    fn accept(&self, sent: &Sent<'_>, now: Now<'_>) -> Result<Accepted, Failure<'_>> {
        if let (KeySource::None, Some(desk)) = (&self.keys, &self.desk) {
            // Another's token is nothing to tell it. Whose it is, only keys and prefixes say, and keys may come later.
            if !self.may_know(sent.raw) || sent.is_anyones && self.token_prefix.is_none() {
                return Err(Failure::Fault(TokenError::Issuer));
            }
            let own_end = self.rules.check_own_word(sent.compact, sent.claims, now.exactly())?;
            check_confirmation(sent.claims)?;
            return Err(Failure::NoKeys(desk, own_end));
        }
        let validity = self.rules.check(sent.compact, sent.claims, now)?;
        let basis = self.keys.verify(sent.compact, now, &self.turns, |standing| self.basis(standing))?;
        let proven = Proven::find(&self.identify(sent.claims)?, sent.claims.audience()?, sent.payload);
        Ok(Accepted { proven, validity, basis, found: None })
    }

    /// Who it is, whether we deal with them, and what we let them do.
    pub(super) fn identify<'a>(&self, claims: &'a Claims<'_>) -> Result<Identity<'a>, TokenError> {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::jose::Standing;
    use crate::scope::Granted;
    use crate::time::{Clock, Timestamp};
    use crate::{HmacAlgorithm, Issuer, Keys, ResourceServer};

    const NOW: Duration = Duration::from_secs(1_000_000);

    /// Stands still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> SystemTime {
            SystemTime::from(at(0))
        }

        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(i64::try_from(NOW.as_micros()).unwrap().saturating_add(micros))
    }

    /// Whether a known token holds that ends so long from now, by a coarse clock that is late by 10 ms.
    fn holds(expires_in: i64, standing: Standing) -> bool {
        let keys = Keys::hmac(vec![7; 32], [HmacAlgorithm::HS256]);
        let issuer = Issuer::new("https://id.example.com").keys(keys).leeway(Duration::ZERO);
        let server = ResourceServer::builder("https://api.example.com").issuer(issuer).clock(Still);
        let server = server.build().unwrap().0;
        let validity = Validity { expires_at: Some(at(expires_in)), not_before: None, issued_at: None };
        let identity =
            Identity { client_id: None, subject: None, token_id: None, scopes: Granted::default() };
        let proven = Proven::find(&identity, std::iter::empty(), "{}");
        let issuer = server.issuers.first().unwrap().identity.clone();
        let basis = Arc::new(Basis { issuer, standing: Arc::new(standing) });
        let token = Token::verified(basis, b"raw", "{}".into(), proven, validity);
        server.holds(&token, &Moment { now: at(-10_000), instant: Instant::now() })
    }

    #[test]
    fn tokens_of_one_key_are_counted_together_and_each_thread_counts_its_own() {
        let keys = Keys::hmac(vec![7; 32], [HmacAlgorithm::HS256]);
        let issuer = Issuer::new("https://id.example.com").keys(keys);
        let server = ResourceServer::builder("https://api.example.com").issuer(issuer).build().unwrap().0;
        let issuer = server.issuers.first().unwrap();
        let standings: Vec<Arc<Standing>> = (0..6).map(|_| Arc::default()).collect();
        let [first, second, ..] = standings.as_slice() else { panic!("six") };
        let ours = issuer.basis(first);
        assert!(Arc::ptr_eq(&ours, &issuer.basis(first)));
        let theirs = std::thread::scope(|scope| scope.spawn(|| issuer.basis(first)).join().unwrap());
        assert!(!Arc::ptr_eq(&ours, &theirs));
        for basis in [&ours, &theirs] {
            assert!(Arc::ptr_eq(&basis.standing, first) && Arc::ptr_eq(&basis.issuer, &issuer.identity));
        }
        assert!(Arc::ptr_eq(&issuer.basis(second).standing, second), "of the key that was asked about");
        assert!(Arc::ptr_eq(&ours, &issuer.basis(first)), "two keys in turn");
        for standing in &standings {
            assert!(Arc::ptr_eq(&issuer.basis(standing).standing, standing));
        }
        assert!(!Arc::ptr_eq(&ours, &issuer.basis(first)), "one goes when four others have come");
    }

    #[test]
    fn a_known_token_does_not_outlast_its_end_by_a_late_clock() {
        assert!(holds(5_000, Standing::default()));
        assert!(!holds(-5_000, Standing::default()), "it has ended, and the coarse clock does not know");
    }

    #[cfg(feature = "x5c")]
    #[test]
    fn nor_the_end_of_its_certificate() {
        assert!(holds(2_000_000, Standing::within(at(-1_000_000)..at(5_000))));
        assert!(!holds(2_000_000, Standing::within(at(-1_000_000)..at(-5_000))));
        assert!(holds(2_000_000, Standing::within(at(-5_000)..at(1_000_000))), "it has just begun");
    }
}
