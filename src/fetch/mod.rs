//! Getting documents over HTTP: the [`Fetch`] trait and the limits that every fetch has.

mod address;
#[cfg(feature = "reqwest")]
mod bearer;
#[cfg(feature = "reqwest")]
mod builder;
pub(crate) mod guard;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest")]
mod resolve;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::secret::Secret;

#[cfg(feature = "reqwest")]
pub use self::builder::ReqwestFetchBuilder;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestFetch;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one request may take in all: longer than a healthy issuer ever needs, short enough that a cold start
/// does not hold requests for long.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes: a set of 100 keys with certificates fits.
pub const MAX_RESPONSE_LENGTH: usize = 256 * 1024;

/// The longest file with a bearer token for a fetch, in bytes: as long as a token that is sent to us may be.
pub const MAX_BEARER_FILE_LENGTH: usize = 16 * 1024;

/// Fetches one document: with GET or, where the request has a [form](FetchRequest::form), with POST.
///
/// The crate's own implementation is [`ReqwestFetch`] (feature `reqwest`). Write your own to use another client, a
/// service mesh's socket, or documents held in memory.
///
/// # Security
/// What this returns decides whose tokens are accepted. An implementation must verify TLS certificates, must not
/// follow redirects, and must not answer from a place that others can write. Where names are resolved, the addresses
/// must be checked: never connect to a link-local address, where clouds answer with credentials, and for a host that a
/// document has supplied see [`FetchRequest::is_supplied`]. Check what is connected to, not an answer from before: a
/// name may lead elsewhere a moment later. Stop at [`MAX_RESPONSE_LENGTH`] and [`FETCH_TIMEOUT`]; both are enforced
/// again around every implementation, but only after the bytes are in memory.
///
/// # Wrong answers
/// These are safe. They are a failed fetch: keys that were fetched before stay in use within their bounds
/// ([`STALE_FOR`]), and then requests are answered 503.
///
/// - an error, or no answer at all
/// - another status than 200, such as one of a captive portal; 304 to a request without [`etag`](FetchRequest::etag)
/// - what is no JSON document of the kind that was asked for, is too long, or holds no usable key
/// - a discovery document that names another issuer
///
/// These cannot be told from good ones, and cost what they hold:
///
/// - an old key set: a key that was withdrawn since is accepted, for as long as the old set is given; a key that is new
///   is not known
/// - 304, for a set that has changed: the same
/// - a set without some of the keys: their tokens are refused
///
/// These are an attack, and nothing here stops them:
///
/// - a key set with a key of somebody else's: who has its private half writes any token of that issuer
/// - the document of another URL or another host, such as one tenant's key set for another tenant's: the same. That is
///   what a redirect, a shared cache with a careless key, and a certificate that is not verified can lead to
/// - a discovery document with the right `issuer` and the `jwks_uri` of somebody else: the same
///
/// Where tokens are [looked up](crate::TokenLookup), an answer is about one token:
///
/// - whatever is no answer of the kind that was asked for is a failed look-up: 503, for that token, and for others while
///   five in a row have failed
/// - an old answer: a token that was revoked since is accepted, for as long as old answers are given
/// - an answer that is somebody else's: the token is accepted with whatever rights are in it. Never answer a POST from a
///   cache, and never send it to another host than that of the URL: it holds a token that is good, and what we authenticate
///   with
///
/// [`STALE_FOR`]: crate::manual::defaults::STALE_FOR
/// [`MAX_RESPONSE_LENGTH`]: crate::manual::defaults::MAX_RESPONSE_LENGTH
/// [`FETCH_TIMEOUT`]: crate::manual::defaults::FETCH_TIMEOUT
pub trait Fetch: Send + Sync + 'static {
    /// Gets `request.url()`, or posts the form of the request to it. An answer of any status is `Ok`.
    fn fetch(&self, request: FetchRequest) -> FetchFuture;
}

impl<F: Fetch + ?Sized> Fetch for Arc<F> {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        (**self).fetch(request)
    }
}

/// What [`Fetch::fetch`] returns.
pub type FetchFuture = Pin<Box<dyn Future<Output = Result<FetchResponse, FetchError>> + Send>>;

/// A document to be fetched.
///
/// It prints no query, no form and no credentials: they may hold tokens.
#[derive(Clone)]
pub struct FetchRequest {
    url: Secret<String>,
    accept: &'static str,
    if_none_match: Option<HeaderValue>,
    supplied: bool,
    form: Option<Secret<String>>,
    authorization: Option<HeaderValue>,
}

/// What came back. It prints neither headers nor the body: what is said of a token is personal.
#[derive(Clone)]
pub struct FetchResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A document could not be had, or was not what it should be. For the operator: no client is ever shown one.
pub struct FetchError {
    kind: FetchErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// Why a fetch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The server was not reached, or the connection broke.
    Connection,
    /// It took longer than [`FETCH_TIMEOUT`].
    Timeout,
    /// The answer is longer than [`MAX_RESPONSE_LENGTH`].
    TooLarge,
    /// The status is not 200.
    Status,
    /// The URL must not be fetched.
    Url,
    /// The document is not what was asked for.
    Document,
    /// The discovery document names another issuer.
    IssuerMismatch,
    /// The key set holds no key that can be used.
    NoUsableKey,
    /// What would tell the server who we are could not be read: see [`ReqwestFetchBuilder::bearer_file`].
    Credentials,
    /// There is no tokio runtime to fetch in, or it ended.
    Runtime,
}

impl FetchErrorKind {
    /// A label for logs and metrics, such as `no_usable_key`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Status => "status",
            Self::Url => "url",
            Self::Document => "document",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::NoUsableKey => "no_usable_key",
            Self::Credentials => "credentials",
            Self::Runtime => "runtime",
        }
    }
}

impl FetchRequest {
    /// A request for a document.
    #[must_use]
    pub fn new(url: impl Into<String>, accept: &'static str) -> Self {
        Self {
            url: Secret::new(url.into()),
            accept,
            if_none_match: None,
            supplied: false,
            form: None,
            authorization: None,
        }
    }

    /// The absolute URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.expose()
    }

    /// Asks for the document only if it is not this version of it.
    #[must_use]
    pub fn if_none_match(self, etag: HeaderValue) -> Self {
        Self { if_none_match: Some(etag), ..self }
    }

    /// Posts this form instead: `application/x-www-form-urlencoded`, already encoded.
    #[must_use]
    pub fn post(self, form: impl Into<String>) -> Self {
        Self { form: Some(Secret::new(form.into())), ..self }
    }

    /// Sends this as the `Authorization` header. From here on nobody's Debug output shows it.
    #[must_use]
    pub fn authorize(self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { authorization: Some(value), ..self }
    }

    /// Marks the host as one that a document has supplied.
    #[must_use]
    pub fn supplied(self) -> Self {
        Self { supplied: true, ..self }
    }

    /// Whether the host comes from a document and not from the operator: a `jwks_uri` on another host than the issuer's.
    ///
    /// # Security
    /// Whoever can write the document can then have this machine connect to any host that it can reach. Connect to
    /// addresses that everybody can reach, and to no others: not to private ones, loopback and the like, whatever name
    /// leads there. If the URL holds an address instead of a name, it was checked.
    #[must_use]
    pub fn is_supplied(&self) -> bool {
        self.supplied
    }

    /// A value for the `If-None-Match` header (RFC 9110 §13.1.2): the version that is in use. An implementation may leave
    /// it out; if it sends it, the answer may be 304.
    #[must_use]
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.if_none_match.as_ref()
    }

    /// A value for the `Accept` header.
    #[must_use]
    pub fn accept(&self) -> &str {
        self.accept
    }

    /// The body of a POST, with the content type `application/x-www-form-urlencoded`; without one, it is a GET.
    ///
    /// # Security
    /// It holds a token that may be good, and maybe our own secret: it belongs into the request, and into no log.
    #[must_use]
    pub fn form(&self) -> Option<&str> {
        self.form.as_ref().map(|form| form.expose().as_str())
    }

    /// A value for the `Authorization` header, which goes to the host of the URL and to no other.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.expose();
        let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
        f.debug_struct("FetchRequest")
            .field("url", &url)
            .field("accept", &self.accept)
            .field("if_none_match", &self.if_none_match)
            .field("supplied", &self.supplied)
            .field("form", &self.form)
            .field("authorization", &self.authorization)
            .finish()
    }
}

impl FetchResponse {
    /// An answer.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self { status, headers, body: body.into() }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

impl FetchError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: FetchErrorKind) -> Self {
        Self { kind, source: None, retry_after: None }
    }

    /// Another status than 200.
    pub(crate) fn status(status: StatusCode) -> Self {
        Self::new(FetchErrorKind::Status).because(format!("it is {}", status.as_u16()))
    }

    /// Adds what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The server asked for this pause.
    #[must_use]
    pub(crate) fn after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> FetchErrorKind {
        self.kind
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FetchErrorKind::Connection => "the server could not be reached",
            FetchErrorKind::Timeout => "the server took too long",
            FetchErrorKind::TooLarge => "the answer is too large",
            FetchErrorKind::Status => "the status of the answer is not 200",
            FetchErrorKind::Url => "the URL must not be fetched",
            FetchErrorKind::Document => "the answer is not the expected document",
            FetchErrorKind::IssuerMismatch => "the discovery document names another issuer",
            FetchErrorKind::NoUsableKey => "the key set holds no usable key",
            FetchErrorKind::Credentials => "the credentials for the server could not be read",
            FetchErrorKind::Runtime => "there is no running tokio runtime",
        })
    }
}

impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchError").field("kind", &self.kind).field("source", &self.source).finish()
    }
}

impl StdError for FetchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}

/// Fetches within the limits, whoever implements `fetch`.
pub(crate) async fn bounded(fetch: &dyn Fetch, request: FetchRequest) -> Result<FetchResponse, FetchError> {
    let response = tokio::time::timeout(FETCH_TIMEOUT, fetch.fetch(request))
        .await
        .map_err(|_| FetchError::new(FetchErrorKind::Timeout))??;
    if response.body.len() > MAX_RESPONSE_LENGTH {
        return Err(FetchError::new(FetchErrorKind::TooLarge));
    }
    Ok(response)
}
