//! [`Rejection`]: why a request is refused, and the one table that says what the client is told.

mod respond;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

pub use self::respond::{EmptyBody, ProblemJson, RequestHead, Respond};
use crate::access::Rule;
use crate::challenge::Hints;
use crate::event::{Event, RejectionKind};
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::TokenError;
use crate::token::{ClaimsError, Token};

/// After this time a client may try again whose token was not looked at because too many others were. No signature takes as
/// long, and `Retry-After` counts in seconds.
pub const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request was refused.
///
/// It is in the extensions of every response with which a layer or an extractor refuses, for logging and metrics around the layer.
/// Cloning it is cheap. It holds nothing from the token.
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    token_error: Option<TokenError>,
    /// Of the route or, without one, of the server.
    hints: Option<Arc<Hints>>,
    retry_after: Option<Duration>,
    /// Whose token it was, by its own word.
    issuer: Option<Arc<IssuerIdentity>>,
}

/// A row of the table.
struct Row {
    status: StatusCode,
    /// The code of RFC 6750 §3.1.
    error: Option<&'static str>,
    /// The code of gRPC.
    grpc: u16,
    description: &'static str,
}

impl RejectionKind {
    /// The one table from a reason to what the client is told.
    fn row(self) -> Row {
        let row = |status, error, grpc, description| Row { status, error, grpc, description };
        match self {
            Self::NoCredentials => row(StatusCode::UNAUTHORIZED, None, 16, "an access token is required"),
            Self::MalformedRequest => row(
                StatusCode::BAD_REQUEST,
                Some("invalid_request"),
                16,
                "the request must carry exactly one bearer token",
            ),
            Self::InvalidToken => {
                row(StatusCode::UNAUTHORIZED, Some("invalid_token"), 16, "the access token is not valid")
            }
            Self::InsufficientScope => row(
                StatusCode::FORBIDDEN,
                Some("insufficient_scope"),
                7,
                "the access token lacks a required scope",
            ),
            Self::Unavailable => row(
                StatusCode::SERVICE_UNAVAILABLE,
                None,
                14,
                "access tokens cannot be verified at the moment",
            ),
            Self::Busy => {
                row(StatusCode::SERVICE_UNAVAILABLE, None, 14, "too many access tokens are being verified")
            }
            Self::Wiring => {
                row(StatusCode::INTERNAL_SERVER_ERROR, None, 13, "no BearerAuthLayer around this handler")
            }
        }
    }
}

impl Rejection {
    pub(crate) fn new(kind: RejectionKind) -> Self {
        Self { kind, token_error: None, hints: None, retry_after: None, issuer: None }
    }

    pub(crate) fn unavailable(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(RejectionKind::Unavailable) }
    }

    pub(crate) fn busy() -> Self {
        Self { retry_after: Some(BUSY_RETRY_AFTER), ..Self::new(RejectionKind::Busy) }
    }

    /// A refusal of this server.
    pub(crate) fn of(self, server: &ServerIdentity) -> Self {
        Self { hints: self.hints.or_else(|| Some(server.hints.clone())), ..self }
    }

    pub(crate) fn with_hints(self, hints: Arc<Hints>) -> Self {
        Self { hints: Some(hints), ..self }
    }

    pub(crate) fn with_issuer(self, issuer: Option<Arc<IssuerIdentity>>) -> Self {
        Self { issuer, ..self }
    }

    /// A refusal of this server that is told to whoever listens: once, where it is made.
    pub(crate) fn told(self, server: &ServerIdentity, rule: Option<&Rule>) -> Self {
        let rejection = self.of(server);
        server.observers.tell(&Event::Refused {
            kind: rejection.kind,
            token_error: rejection.token_error,
            issuer: rejection.issuer_name(),
        });
        let warnings = rejection.issuer.as_ref().map_or(&server.warnings, |issuer| &issuer.warnings);
        let warning = if rejection.kind.is_ours() { warnings.pass(server.clock.instant()) } else { None };
        // Of the token nothing is said. Nothing is formatted unless somebody listens.
        macro_rules! tell {
            ($level:expr $(, $field:ident = $value:expr)?) => {
                tracing::event!(
                    target: "tower_bearer::rejection", $level,
                    kind = rejection.kind.name(),
                    reason = rejection.description(),
                    issuer = rejection.issuer_name(),
                    rule = rule.map(tracing::field::debug),
                    $($field = $value,)?
                    "refused a request"
                )
            };
        }
        match warning {
            Some(held_back) => tell!(tracing::Level::WARN, held_back = held_back),
            None => tell!(tracing::Level::DEBUG),
        }
        rejection
    }

    /// Whether nobody has looked at every byte of the token.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self.token_error, Some(TokenError::TooLong | TokenError::Structure))
    }

    /// A refusal that names the scopes of one token that would meet the rule, if there are any.
    pub(crate) fn asking(self, rule: &Rule, server: &ServerIdentity) -> Self {
        let scope = rule.sufficient_scopes();
        if scope.is_empty() {
            return self;
        }
        self.with_hints(Arc::new(Hints::new(Some(scope.into()), server.hints.metadata_url().cloned())))
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// What is wrong with the token, for an [`InvalidToken`](RejectionKind::InvalidToken).
    #[must_use]
    pub fn token_error(&self) -> Option<TokenError> {
        self.token_error
    }

    /// The HTTP status: 400, 401, 403, 500 or 503.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.row().status
    }

    /// The code of RFC 6750 §3.1: `invalid_request`, `invalid_token` or `insufficient_scope`. None when no
    /// credentials came, and none when the fault is ours.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        self.kind.row().error
    }

    /// The status code of gRPC.
    #[must_use]
    pub fn grpc_code(&self) -> u16 {
        self.kind.row().grpc
    }

    /// A fixed phrase for people.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.token_error.map_or_else(|| self.kind.row().description, TokenError::description)
    }

    /// The scopes of one token that would do, separated by spaces.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.hints.as_ref()?.scope().map(AsRef::as_ref)
    }

    /// The [name](crate::Issuer::name) of the issuer that the token would be of: the one that it names, or the only one
    /// that writes no `iss`. Of an invalid token that is a claim and no proof.
    #[must_use]
    pub fn issuer_name(&self) -> Option<&str> {
        self.issuer.as_ref().map(|issuer| &*issuer.name)
    }

    /// After what time to try again, for an [`Unavailable`](RejectionKind::Unavailable) and a
    /// [`Busy`](RejectionKind::Busy).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The value for `WWW-Authenticate` (RFC 6750 §3). `None` where the fault is ours.
    #[must_use]
    pub fn challenge(&self) -> Option<HeaderValue> {
        let row = self.kind.row();
        if row.status.is_server_error() {
            return None;
        }
        match &self.hints {
            Some(hints) => hints.challenge(row.error, self.description()),
            None => Hints::new(None, None).challenge(row.error, self.description()),
        }
    }

    /// A response with this body, our status, and the headers that go with it. The rejection is not in its extensions.
    pub fn response<B>(&self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(pause) = self.retry_after {
            // Rounded up: a client that comes back too early would come in vain.
            let seconds = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0)).max(1);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The response that fits the request: [`response`](Self::response), or for a gRPC call HTTP 200 with everything in
    /// the headers ("trailers-only") and the challenge as metadata. The body of the latter must be empty.
    pub fn answer<B>(&self, request: &RequestHead<'_>, body: B) -> Response<B> {
        let Some(content_type) = request.grpc() else { return self.response(body) };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("grpc-status", self.grpc_code().into());
        // The phrases are of characters that gRPC does not percent-encode.
        if let Ok(message) = HeaderValue::from_str(self.description()) {
            headers.insert("grpc-message", message);
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(pause) = self.retry_after {
            headers.insert("grpc-retry-pushback-ms", pushback(pause).into());
        }
        response
    }
}

/// Milliseconds, at least one, rounded up.
pub(crate) fn pushback(pause: Duration) -> u64 {
    let up = pause.saturating_add(Duration::from_nanos(999_999));
    u64::try_from(up.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl From<TokenError> for Rejection {
    fn from(error: TokenError) -> Self {
        Self { token_error: Some(error), ..Self::new(RejectionKind::InvalidToken) }
    }
}

impl From<ClaimsError> for Rejection {
    /// A token without the claims that the handler needs is not a token for it.
    fn from(error: ClaimsError) -> Self {
        let why = if error.is_missing() { TokenError::MissingClaim } else { TokenError::ClaimType };
        Self::from(why).with_issuer(Some(error.trusted_issuer().clone())).told(error.server(), None)
    }
}

impl Token {
    /// Asks more of the token than the route did, with the same 403 and the same challenge.
    ///
    /// ```
    /// use tower_bearer::{Rejection, Token, all_of};
    ///
    /// fn delete(token: &Token) -> Result<(), Rejection> {
    ///     token.require(&all_of(["orders:delete"]))?;
    ///     // …
    ///     Ok(())
    /// }
    /// # let _ = delete;
    /// ```
    ///
    /// A refusal is told at once, to observers and to the log. Only to know, ask [`Rule::allows`].
    ///
    /// # Errors
    /// [`InsufficientScope`](RejectionKind::InsufficientScope) if the rule is not met.
    pub fn require(&self, rule: &Rule) -> Result<(), Rejection> {
        if rule.allows(self) {
            return Ok(());
        }
        Err(Rejection::new(RejectionKind::InsufficientScope)
            .asking(rule, self.server())
            .with_issuer(Some(self.trusted_issuer().clone()))
            .told(self.server(), Some(rule)))
    }

    /// Waits until a new request with this token would be refused because it expired: until `exp`, and then the issuer's
    /// [leeway](crate::Issuer::leeway). Returns that refusal.
    ///
    /// For answers that last: a stream that was begun with a token should not outlive it.
    ///
    /// ```
    /// use tower_bearer::Token;
    ///
    /// async fn feed(token: Token) {
    ///     let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    ///     let expired = token.expired();
    ///     tokio::pin!(expired);
    ///     loop {
    ///         tokio::select! {
    ///             _ = tick.tick() => { /* send something */ }
    ///             why = &mut expired => return drop(why), // or send it: it is a `Status` for gRPC
    ///         }
    ///     }
    /// }
    /// # let _ = feed;
    /// ```
    ///
    /// Nobody is told: no request was refused.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer, unless the server's [`Clock`](crate::Clock) has another way to sleep.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn expired(&self) -> Rejection {
        let clock = &self.server().clock;
        let end = self.expires_at().and_then(|end| end.checked_add(self.trusted_issuer().leeway));
        loop {
            // Without an end, or past the end of the platform's time, it is never.
            let left = match end {
                Some(end) => end.duration_since(clock.now()).unwrap_or_default(),
                None => LOOK_AGAIN,
            };
            if left.is_zero() {
                return Rejection::from(TokenError::Expired)
                    .with_issuer(Some(self.trusted_issuer().clone()))
                    .of(self.server());
            }
            let now = clock.instant();
            clock.sleep_until(now.checked_add(left.min(LOOK_AGAIN)).unwrap_or(now)).await;
        }
    }
}

/// How long [`Token::expired`] sleeps at most before it looks at the wall clock again, which may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("token_error", &self.token_error)
            .field("scope", &self.scope())
            .field("retry_after", &self.retry_after)
            .field("metadata_url", &self.hints.as_ref().and_then(|hints| hints.metadata_url()))
            .field("issuer", &self.issuer_name())
            .finish()
    }
}

impl std::error::Error for Rejection {}
