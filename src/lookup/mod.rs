//! Tokens that are looked up: whoever issued them says what they are.
//!
//! [`TokenLookup`] asks, [`Introspection`] is how most authorization servers are asked (RFC 7662), and [`KongTokens`] how
//! Kong is. `desk` stands in front: it decides who may ask, how often, and what is remembered of the answers.

pub(crate) mod desk;
mod introspection;
mod kong;
#[cfg(feature = "redis")]
pub(crate) mod shared;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub(crate) use self::introspection::Signer;
pub use self::introspection::{ASSERTION_LIFETIME, ClientKey, Introspection, MAX_ANSWER_AGE};
pub use self::kong::KongTokens;
#[cfg(feature = "redis")]
pub use self::shared::RedisAnswers;
use crate::error::ConfigError;
use crate::event::LookupErrorKind;
use crate::fetch::{Fetch, FetchError, FetchErrorKind};
use crate::jose::Claims;
use crate::keys::caching::retry_after;
use crate::secret::Secret;
use crate::time::{Clock, Timestamp};

/// The shortest opaque token that is looked up, in bytes: what is shorter can be guessed, and no server issues it.
pub const MIN_OPAQUE_LENGTH: usize = 8;

/// The longest opaque token that is looked up, in bytes. They are 30 to 100 bytes long where they are nothing but a name
/// of something; encrypted ones hold claims.
pub const MAX_OPAQUE_LENGTH: usize = 4096;

/// How long the store of shared answers (`Issuer::shared_answers`) may take before whoever issued the token is asked
/// instead.
pub const ANSWERS_TIMEOUT: Duration = Duration::from_millis(250);

/// How long it is left alone after it has failed.
pub const ANSWERS_PAUSE: Duration = Duration::from_secs(1);

/// Looks tokens up at whoever issued them: for tokens that say nothing to anybody else, or that may be revoked at any time.
///
/// [`Introspection`] is the implementation for RFC 7662, [`KongTokens`] one for Kong. Give one of your own to
/// [`Issuer::lookup`](crate::Issuer::lookup):
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Arc;
/// use tower_bearer::{Found, FoundClaims, Issuer, LookupFuture, OpaqueToken, ResourceServer, TokenLookup};
///
/// /// Sessions that another part of this program keeps.
/// struct Sessions(Arc<HashMap<String, serde_json::Value>>);
///
/// impl TokenLookup for Sessions {
///     fn look_up(&self, token: OpaqueToken) -> LookupFuture {
///         let session = self.0.get(token.expose()).cloned();
///         Box::pin(async move {
///             match session {
///                 Some(claims) => Ok(Found::Active(FoundClaims::parse(claims.to_string())?)),
///                 None => Ok(Found::Inactive),
///             }
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let claims = serde_json::json!({"client_id": "robot", "aud": "https://api.example.com"});
/// # let sessions = Arc::new(HashMap::from([("a-session-of-a-robot".to_owned(), claims)]));
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::unnamed("sessions").lookup(Sessions(sessions)))
///     .build()?;
/// assert_eq!(api.verify("a-session-of-a-robot").await?.client_id(), Some("robot"));
/// assert!(api.verify("a-session-of-nobody").await.is_err());
/// # Ok(()) }
/// ```
///
/// What it finds is checked as the claims of a JWT are: issuer, audience, times, the [`Profile`](crate::Profile),
/// [`clients`](crate::Issuer::clients). Only `exp` may be absent.
///
/// It is called when an answer is needed that is not known, and on [live](crate::BearerAuthLayer::live) routes also about JWTs
/// that were verified, of which the answer must say little more than that they are active: once for all who wait with one token, at most
/// [`MAX_LOOKUPS`] times at the same moment, never just after those of [`BREAKER_FAILURES`] tokens in
/// a row have failed, and not at all for what cannot be a token. A token that was accepted before is held up by the failures
/// of such tokens only: those of made-up ones may be about them. An endpoint can [ask for a pause](LookupError::with_retry_after). It has [`LOOKUP_TIMEOUT`]. A client that goes away does not end it.
///
/// # Security
/// What this returns decides who is let in: ask over TLS, and ask the right one. The token that it is given may be good
/// somewhere: it belongs to nobody else, into no log and into no error. Compare it as a whole; a search that stops at the
/// first wrong letter tells strangers how far they have come.
///
/// [`MAX_LOOKUPS`]: crate::manual::defaults::MAX_LOOKUPS
/// [`BREAKER_FAILURES`]: crate::manual::defaults::BREAKER_FAILURES
/// [`LOOKUP_TIMEOUT`]: crate::manual::defaults::LOOKUP_TIMEOUT
pub trait TokenLookup: Send + Sync + 'static {
    /// Finds out what a token is. That there is no such token is an answer, [`Found::Inactive`], and no error: an error is
    /// whatever leaves us without an answer, and the client is told to come again.
    fn look_up(&self, token: OpaqueToken) -> LookupFuture;
}

impl<L: TokenLookup + ?Sized> TokenLookup for Arc<L> {
    fn look_up(&self, token: OpaqueToken) -> LookupFuture {
        (**self).look_up(token)
    }
}

/// What [`TokenLookup::look_up`] returns.
pub type LookupFuture = Pin<Box<dyn Future<Output = Result<Found, LookupError>> + Send>>;

/// A token as it was sent. It prints nothing, and is wiped when it is dropped.
#[derive(Debug, Clone)]
pub struct OpaqueToken(Secret<String>);

/// What was found out about a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Found {
    /// It is good now, and this is what it says.
    Active(FoundClaims),
    /// It is unknown, or not good any more, or not for us.
    Inactive,
}

/// What an active token says: claims, under the names that JWTs have them under (RFC 7519 §4.1, RFC 7662 §2.2).
///
/// It prints nothing: claims are personal.
#[derive(Clone)]
pub struct FoundClaims(String);

/// A token could not be looked up. For the operator: no client is ever shown one.
///
/// It is logged with its source, at most once in [`WARN_INTERVAL`](crate::manual::defaults::WARN_INTERVAL) as a warning.
pub struct LookupError {
    kind: LookupErrorKind,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// How an issuer's tokens are looked up.
pub(crate) enum Lookup {
    Introspection(Introspection),
    Own(Arc<dyn TokenLookup>),
}

/// Answers that other servers share with us. All of it may fail, and then it is as if there were none.
pub(crate) trait SharedAnswers: Send + Sync {
    /// Where the answer about a token is.
    fn place(&self, token: &str) -> Place;
    /// What was said of it, if that may still be believed.
    fn recall(&self, place: &Place) -> Recall;
    /// Shares an answer to a question of ours.
    fn remember(&self, place: Place, found: Found, asked_at: Timestamp) -> Remember;
}

pub(crate) type Recall = Pin<Box<dyn Future<Output = Option<Recalled>> + Send>>;
pub(crate) type Remember = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A place among [`SharedAnswers`]. It says nothing of the token.
pub(crate) type Place = Box<str>;

/// What was said to another server.
pub(crate) struct Recalled {
    pub(crate) found: Found,
    /// How long ago it was asked.
    pub(crate) age: Duration,
    /// How long it may still be believed.
    pub(crate) left: Duration,
}

/// What an [`Introspection`] needs to know of its issuer.
pub(crate) struct Context<'a> {
    pub(crate) iss: Option<&'a str>,
    pub(crate) allow_http: bool,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signer: Signer,
}

impl Lookup {
    #[cfg(feature = "reqwest")]
    pub(crate) fn needs_fetch(&self) -> bool {
        matches!(self, Self::Introspection(_))
    }

    /// Where asking starts.
    pub(crate) fn url<'a>(&'a self, iss: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::Introspection(introspection) => introspection.url(iss),
            Self::Own(_) => None,
        }
    }

    /// Whether only signed answers count.
    #[cfg(feature = "redis")]
    pub(crate) fn is_signed(&self) -> bool {
        matches!(self, Self::Introspection(introspection) if introspection.is_signed())
    }

    pub(crate) fn resolve(self, context: Context<'_>) -> Result<Arc<dyn TokenLookup>, ConfigError> {
        match self {
            Self::Introspection(introspection) => introspection.resolve(context),
            Self::Own(lookup) => Ok(lookup),
        }
    }
}

impl OpaqueToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(Secret::new(token.to_owned()))
    }

    /// The token itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FoundClaims {
    /// Reads a JSON object. As in a token, no member may come twice, and nothing may be nested deeper than
    /// [`MAX_JSON_DEPTH`](crate::manual::defaults::MAX_JSON_DEPTH).
    ///
    /// # Errors
    /// [`Answer`](LookupErrorKind::Answer) if it is not one.
    pub fn parse(json: impl Into<Vec<u8>>) -> Result<Self, LookupError> {
        let unread = |_| LookupError::new(LookupErrorKind::Answer);
        let json = String::from_utf8(json.into()).map_err(unread)?;
        match Claims::parse(&json) {
            Ok(_) => Ok(Self(json)),
            Err(_) => Err(LookupError::new(LookupErrorKind::Answer)),
        }
    }

    pub(crate) fn json(&self) -> &str {
        &self.0
    }
}

impl LookupError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: LookupErrorKind) -> Self {
        Self { kind, retry_after: None, source: None }
    }

    /// Adds that nobody is to ask for so long: what the endpoint said in `Retry-After` (RFC 9110 §10.2.3). It is heeded up to
    /// [`MAX_LOOKUP_RETRY_AFTER`](crate::manual::defaults::MAX_LOOKUP_RETRY_AFTER), and clients are told. If the token was
    /// accepted before, it holds for all tokens, else for those that were not: whoever makes tokens up cannot hold up others
    /// with it. [`Rejected`](LookupErrorKind::Rejected) and [`Runtime`](LookupErrorKind::Runtime) hold up nobody.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// Adds what caused it.
    ///
    /// # Security
    /// It is logged: nothing of the token may be in it, nor of the answer.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> LookupErrorKind {
        self.kind
    }

    /// For how long nobody is to ask.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<FetchError> for LookupError {
    fn from(error: FetchError) -> Self {
        let kind = match error.kind() {
            FetchErrorKind::Connection => LookupErrorKind::Connection,
            FetchErrorKind::Timeout => LookupErrorKind::Timeout,
            FetchErrorKind::TooLarge => LookupErrorKind::TooLarge,
            FetchErrorKind::Status => LookupErrorKind::Status,
            FetchErrorKind::Url => LookupErrorKind::Url,
            FetchErrorKind::Document | FetchErrorKind::NoUsableKey => LookupErrorKind::Answer,
            FetchErrorKind::IssuerMismatch => LookupErrorKind::Discovery,
            FetchErrorKind::Credentials => LookupErrorKind::Credentials,
            FetchErrorKind::Runtime => LookupErrorKind::Runtime,
        };
        Self { retry_after: error.retry_after(), ..Self::new(kind) }.because(error)
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            LookupErrorKind::Connection => "the endpoint could not be reached",
            LookupErrorKind::Timeout => "the endpoint took too long",
            LookupErrorKind::Credentials => "the endpoint does not accept our credentials",
            LookupErrorKind::Busy => "the endpoint asks us to slow down",
            LookupErrorKind::Rejected => "the endpoint does not answer about this token",
            LookupErrorKind::Status => "the status of the answer is not 200",
            LookupErrorKind::Answer => "the answer is not the expected one",
            LookupErrorKind::Keys => "the keys that verify the answer cannot be had",
            LookupErrorKind::TooLarge => "the answer is too large",
            LookupErrorKind::Url => "the URL must not be asked",
            LookupErrorKind::Discovery => "the issuer does not say where its endpoint is",
            LookupErrorKind::Runtime => "the look-up stopped half-way",
        })
    }
}

impl fmt::Debug for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupError")
            .field("kind", &self.kind)
            .field("retry_after", &self.retry_after)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for LookupError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

impl fmt::Debug for FoundClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Introspection(introspection) => introspection.fmt(f),
            Self::Own(_) => f.write_str("TokenLookup"),
        }
    }
}

/// An answer other than 200.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap) -> LookupError {
    LookupError { retry_after: retry_after(status, headers), ..LookupError::new(fault_of(status)) }
}

/// What a status other than 200 says: something about one token, or about the endpoint.
fn fault_of(status: StatusCode) -> LookupErrorKind {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LookupErrorKind::Credentials,
        StatusCode::TOO_MANY_REQUESTS => LookupErrorKind::Busy,
        // What has moved or is gone is so for every token.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => LookupErrorKind::Status,
        status if status.is_client_error() => LookupErrorKind::Rejected,
        _ => LookupErrorKind::Status,
    }
}

/// Whether a text may be an opaque token, to be decided before anybody is asked.
pub(crate) fn may_be_opaque(text: &str) -> bool {
    (MIN_OPAQUE_LENGTH..=MAX_OPAQUE_LENGTH).contains(&text.len()) && is_token68(text.as_bytes())
}

/// RFC 9110 §11.2: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
pub(crate) fn is_token68(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = text.get(..text.len().saturating_sub(padding)).unwrap_or_default();
    let token68 =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    // Every byte is looked at, wherever the first odd one is: that is many at a time.
    !body.is_empty() && body.iter().fold(true, |all, byte| all & token68(*byte))
}
