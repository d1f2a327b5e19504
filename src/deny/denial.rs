//! [`Denial`]: which tokens are not accepted any more, and until when.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::list::DenylistError;
use crate::time::Timestamp;

/// The longest `jti`, `sub` or client that can be denied, in bytes.
pub const MAX_DENIED_LENGTH: usize = 1024;

/// Tokens that are not accepted any more, although nothing else is wrong with them: for
/// [`ResourceServer::deny`](crate::ResourceServer::deny).
///
/// It names an issuer by its [name](crate::Issuer::name) and what its tokens say: their `jti`, their `sub`, their client, or
/// nothing, which means all of them. [`issued_before`](Self::issued_before) narrows it to old ones, so that the user or
/// client can go on with a new token.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_bearer::Denial;
///
/// const ISSUER: &str = "https://id.example.com";
/// let now = SystemTime::now();
///
/// let stolen = Denial::token(ISSUER, "4d9b0c7e");
/// let dismissed = Denial::subject(ISSUER, "alice").until(now + Duration::from_secs(3600));
/// let logged_out = Denial::subject(ISSUER, "bob").issued_before(now);
/// let leaked_secret = Denial::client(ISSUER, "robot").issued_before(now);
/// let breach = Denial::issuer(ISSUER).issued_before(now);
/// # let _ = (stolen, dismissed, logged_out, leaked_secret, breach);
/// ```
///
/// It prints the issuer, and no claim.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Denial {
    issuer: Box<str>,
    claim: Claim,
    /// Empty for every token of the issuer.
    value: Box<str>,
    issued_before: Option<SystemTime>,
    until: Option<SystemTime>,
}

/// What of a token is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    Token,
    Subject,
    Client,
    /// Nothing: every token of the issuer.
    Any,
}

/// What two denials have in common of which one replaces the other.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    issuer: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<Box<str>>,
    /// Whether it is about old tokens only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    old: bool,
}

impl Denial {
    /// The one token with this `jti`.
    pub fn token(issuer: impl Into<String>, jti: impl Into<String>) -> Self {
        Self::of(issuer.into(), Claim::Token, jti.into())
    }

    /// Every token with this `sub`: a user, for most issuers also a client that acts for itself.
    pub fn subject(issuer: impl Into<String>, sub: impl Into<String>) -> Self {
        Self::of(issuer.into(), Claim::Subject, sub.into())
    }

    /// Every token of this client, as [`Token::client_id`](crate::Token::client_id) has it.
    pub fn client(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self::of(issuer.into(), Claim::Client, client_id.into())
    }

    /// Every token of this issuer.
    pub fn issuer(issuer: impl Into<String>) -> Self {
        Self::of(issuer.into(), Claim::Any, String::new())
    }

    fn of(issuer: String, claim: Claim, value: String) -> Self {
        Self { issuer: issuer.into(), claim, value: value.into(), issued_before: None, until: None }
    }

    /// Only of tokens whose `iat` is before this time, and of those without `iat`, because nobody knows how old they are.
    ///
    /// `iat` is the issuer's time, often cut to whole seconds: where its clock is ahead, write a little more than now; a
    /// token that is issued within the same second may be denied too.
    pub fn issued_before(mut self, time: SystemTime) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// Until when it holds. Then it is forgotten: the tokens must have ended by themselves before, so write a time after the
    /// `exp` of the longest-lived one and the issuer's leeway. Default: [`DENIED_FOR`] from when it is given to the server.
    ///
    /// [`DENIED_FOR`]: crate::manual::defaults::DENIED_FOR
    pub fn until(mut self, end: SystemTime) -> Self {
        self.until = Some(end);
        self
    }

    /// Together with another one of the same [`key`](Self::key): with the later end and the later
    /// [`issued_before`](Self::issued_before) of both, as a [`Denylist`](crate::Denylist) keeps them.
    pub fn together_with(mut self, other: &Self) -> Self {
        self.until = self.until.max(other.until);
        self.issued_before = self.issued_before.max(other.issued_before);
        self
    }

    /// The [name](crate::Issuer::name) of the issuer.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer
    }

    /// Until when it holds; `None` if that was left to the server. A [`Denylist`](crate::Denylist) is always given an end.
    #[must_use]
    pub fn ends_at(&self) -> Option<SystemTime> {
        self.until
    }

    /// What it is about, without its times, as a text: for a [`Denylist`](crate::Denylist), in which of two denials with the
    /// same key one takes the place of the other. It holds a claim: keep it as you keep those.
    #[must_use]
    pub fn key(&self) -> String {
        let value = |claim| (self.claim == claim).then(|| self.value.clone());
        let key = Key {
            issuer: self.issuer.clone(),
            jti: value(Claim::Token),
            sub: value(Claim::Subject),
            client: value(Claim::Client),
            old: self.issued_before.is_some(),
        };
        // Of texts and a flag, which always can be written.
        serde_json::to_string(&key).unwrap_or_default()
    }

    /// Its [end](Self::ends_at) and [`issued_before`](Self::issued_before), in microseconds since 1970, as a text to be kept
    /// beside the [`key`](Self::key).
    #[must_use]
    pub fn times(&self) -> String {
        let micros = |time: Option<SystemTime>| time.map_or(0, |time| Timestamp::from(time).micros());
        format!("{} {}", micros(self.until), micros(self.issued_before))
    }

    /// The denial of which these are the [`key`](Self::key) and the [`times`](Self::times).
    ///
    /// # Errors
    /// If they are not of a denial.
    pub fn parse(key: &str, times: &str) -> Result<Self, DenylistError> {
        Self::read(key, times).ok_or_else(DenylistError::data)
    }

    fn read(key: &str, times: &str) -> Option<Self> {
        let Key { issuer, jti, sub, client, old } = serde_json::from_str(key).ok()?;
        let (claim, value) = match (jti, sub, client) {
            (Some(jti), None, None) => (Claim::Token, jti),
            (None, Some(sub), None) => (Claim::Subject, sub),
            (None, None, Some(client)) => (Claim::Client, client),
            (None, None, None) => (Claim::Any, Box::default()),
            _ => return None,
        };
        let (until, issued_before) = times.split_once(' ')?;
        let time = |text: &str| Some(SystemTime::from(Timestamp::from_micros(text.parse().ok()?)));
        let issued_before = time(issued_before)?;
        let denial = Self {
            issuer,
            claim,
            value,
            issued_before: old.then_some(issued_before),
            until: Some(time(until)?),
        };
        denial.fault().is_none().then_some(denial)
    }

    /// What is wrong with the claim.
    pub(super) fn fault(&self) -> Option<DenyErrorKind> {
        let all = self.claim == Claim::Any;
        let sound = all || (1..=MAX_DENIED_LENGTH).contains(&self.value.len());
        (!sound).then_some(DenyErrorKind::Claim)
    }

    /// Whether one of the two replaces the other.
    pub(super) fn has_the_key_of(&self, other: &Self) -> bool {
        let key = |denial: &Self| (denial.claim, denial.issued_before.is_some());
        key(self) == key(other) && self.value == other.value && self.issuer == other.issuer
    }

    pub(super) fn claim(&self) -> Claim {
        self.claim
    }

    pub(super) fn value(&self) -> &str {
        &self.value
    }

    pub(super) fn before(&self) -> Option<Timestamp> {
        self.issued_before.map(Into::into)
    }
}

impl Claim {
    pub(super) const COUNT: usize = 4;

    /// Its place among all.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Token => 0,
            Self::Subject => 1,
            Self::Client => 2,
            Self::Any => 3,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Any => "issuer",
        }
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denial")
            .field("issuer", &self.issuer)
            .field("of", &self.claim.name())
            .field("issued_before", &self.issued_before)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// A denial was not taken, or not everywhere.
#[derive(Debug)]
pub struct DenyError {
    kind: DenyErrorKind,
    source: Option<DenylistError>,
}

/// What a [`DenyError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenyErrorKind {
    /// No issuer of the server has this name. Nothing was done.
    UnknownIssuer,
    /// The claim is empty, which no token's is, or longer than
    /// [`MAX_DENIED_LENGTH`](crate::manual::defaults::MAX_DENIED_LENGTH). Nothing was done.
    Claim,
    /// Its end is past. Nothing was done.
    Ended,
    /// There are [`MAX_DENIALS`](crate::manual::defaults::MAX_DENIALS) already, and none has ended; for a single token, nine
    /// tenths of that. Nothing was done: deny a subject, a client or an issuer instead of single tokens.
    Full,
    /// The shared list could not be written. Here a denial holds all the same, and is written as soon as that can be done;
    /// what was to be allowed again is still denied.
    NotShared,
}

impl DenyError {
    pub(super) fn new(kind: DenyErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(super) fn not_shared(source: DenylistError) -> Self {
        Self { kind: DenyErrorKind::NotShared, source: Some(source) }
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> DenyErrorKind {
        self.kind
    }
}

impl fmt::Display for DenyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DenyErrorKind::UnknownIssuer => "no issuer of this server has the name in the denial",
            DenyErrorKind::Claim => "the claim in the denial is empty or too long",
            DenyErrorKind::Ended => "the denial has ended already",
            DenyErrorKind::Full => "there is no room for another denial",
            DenyErrorKind::NotShared => "the shared denylist could not be written",
        })
    }
}

impl std::error::Error for DenyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
