//! [`Event`] and [`Observer`]: what happens, told in closed sets of labels.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::fetch::FetchErrorKind;
use crate::jose::TokenError;

/// At most one refusal because keys cannot be had, or threads, is logged as a warning in this time, for each issuer, at most
/// one change of its keys for the worse, and one failed look-up; the others are logged as the client's faults are, at debug
/// level.
pub const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No `Authorization` header, or one with another scheme.
    NoCredentials,
    /// Something that cannot be credentials: two headers, two tokens, a byte that no token has.
    MalformedRequest,
    /// A token that is not acceptable; [`Rejection::token_error`](crate::Rejection::token_error) says why.
    InvalidToken,
    /// A good token that may not do this.
    InsufficientScope,
    /// The keys to verify with cannot be had, the token cannot be looked up, or a shared denylist was not read for too long.
    /// The client did nothing wrong.
    Unavailable,
    /// As many signatures are being checked as the server's
    /// [limit](crate::ResourceServerBuilder::max_concurrent_verifications) lets. Nobody has looked at that of this token.
    Busy,
    /// An extractor ran where no layer did. A fault of the program.
    Wiring,
}

impl RejectionKind {
    /// A label for logs and metrics, such as `insufficient_scope`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::MalformedRequest => "malformed_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Wiring => "wiring",
        }
    }

    /// Whether the fault is ours and not the client's.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Unavailable | Self::Busy | Self::Wiring)
    }
}

/// Why a token could not be [looked up](crate::TokenLookup).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupErrorKind {
    /// The endpoint was not reached, or the connection broke.
    Connection,
    /// It took longer than [`LOOKUP_TIMEOUT`](crate::manual::defaults::LOOKUP_TIMEOUT).
    Timeout,
    /// The endpoint does not know us, or does not let us ask (401, 403): our credentials for it are wrong.
    Credentials,
    /// The endpoint asks us to slow down (429).
    Busy,
    /// The endpoint does not answer about this token (another status of 4xx). That is no sign of an outage.
    Rejected,
    /// The endpoint has a fault of its own (another status than 200).
    Status,
    /// The answer is not what was asked for: not JSON, not an object, `active` not `true` or `false`; or, where it must be
    /// [signed](crate::Introspection::signed), not signed, not by the issuer, not for us or not of now.
    Answer,
    /// The issuer's keys, with which a [signed](crate::Introspection::signed) answer is verified, cannot be had.
    Keys,
    /// The answer is longer than [`MAX_RESPONSE_LENGTH`](crate::manual::defaults::MAX_RESPONSE_LENGTH).
    TooLarge,
    /// The URL must not be asked.
    Url,
    /// The issuer does not say where its endpoint is, or in a document that names another issuer.
    Discovery,
    /// The look-up stopped half-way, or there is no tokio runtime to look up in, or it ended.
    Runtime,
}

impl LookupErrorKind {
    /// A label for logs and metrics, such as `credentials`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Credentials => "credentials",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Status => "status",
            Self::Answer => "answer",
            Self::Keys => "keys",
            Self::TooLarge => "too_large",
            Self::Url => "url",
            Self::Discovery => "discovery",
            Self::Runtime => "runtime",
        }
    }
}

/// Whether whoever is [asked](crate::TokenLookup) about an issuer's tokens answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LookupState {
    /// As far as we know: the last token was answered, or too few have failed, or none was looked up yet.
    Answering,
    /// [`BREAKER_FAILURES`](crate::manual::defaults::BREAKER_FAILURES) tokens in a row have failed, or it has asked for a
    /// pause: requests with tokens that must be looked up are answered 503. It lasts until there is an answer.
    Failing,
}

impl LookupState {
    /// A label for logs and metrics, such as `failing`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answering => "answering",
            Self::Failing => "failing",
        }
    }
}

/// Where an issuer's keys are in their life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// Keys from the configuration, which do not age; or roots of certificates, of which at least one is valid.
    Fixed,
    /// None were fetched yet. The first request does.
    Cold,
    /// Current.
    Fresh,
    /// Past their time, and in use until [`IssuerHealth::stale_for`](crate::IssuerHealth::stale_for) is over, because no newer ones could be had.
    Stale,
    /// It has none, and needs none: its tokens are [looked up](crate::Issuer::lookup).
    LookedUp,
    /// Too old to be used, or no root of certificates is valid now: requests with tokens of this issuer are answered 503.
    Expired,
}

impl KeyState {
    /// A label for logs and metrics, such as `stale`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Cold => "cold",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::LookedUp => "looked_up",
            Self::Expired => "expired",
        }
    }

    /// Whether there are keys to verify with, or none are needed.
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Fixed | Self::Fresh | Self::Stale | Self::LookedUp)
    }
}

/// Whether a server knows all that is in the [denylist](crate::Denylist) which it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenylistState {
    /// It was not read yet. The first request does.
    Cold,
    /// What was in it at most [`DENYLIST_STALE_AFTER`](crate::manual::defaults::DENYLIST_STALE_AFTER) ago is known.
    Current,
    /// It could not be read for longer than that: requests with good tokens are answered 503, unless
    /// [stale is fine](crate::ResourceServerBuilder::dangerous_stale_denylist).
    Stale,
}

impl DenylistState {
    /// A label for logs and metrics, such as `stale`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Current => "current",
            Self::Stale => "stale",
        }
    }
}

/// Something that happened, for an [`Observer`].
///
/// What it says is from closed sets, or from our configuration, or a number: it is fit for metric labels, and nothing in
/// it was chosen by a client.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was verified and met the rule of the layer that verified it. An inner layer that takes over the verdict
    /// does not say so again; if its own rule is not met, [`Refused`](Self::Refused) follows.
    #[non_exhaustive]
    Accepted {
        /// The issuer's [name](crate::Issuer::name).
        issuer: &'a str,
        /// Whether the token was known from an earlier request, so that its signature was not checked again.
        cached: bool,
    },
    /// A request was refused.
    #[non_exhaustive]
    Refused {
        /// Why.
        kind: RejectionKind,
        /// What is wrong with the token, for an [`InvalidToken`](RejectionKind::InvalidToken).
        token_error: Option<TokenError>,
        /// The name of the issuer that the token would be of: the one that it names, or the only one that writes no
        /// `iss`. Of an invalid token that is a claim and no proof.
        issuer: Option<&'a str>,
    },
    /// A request begins to wait for keys, for its token to be looked up, or for a shared denylist.
    #[non_exhaustive]
    Waiting {},
    /// A request has stopped waiting, because what it waits for is there, or will not be, or the client has gone. There is one for
    /// each [`Waiting`](Self::Waiting).
    #[non_exhaustive]
    Waited {
        /// How long it waited.
        took: Duration,
    },
    /// Keys were fetched.
    #[non_exhaustive]
    KeysFetched {
        /// The issuer's name.
        issuer: &'a str,
        /// How many keys are in use now.
        keys: usize,
        /// How many were published that cannot be used.
        left_out: usize,
        /// How long discovery and the fetch took.
        took: Duration,
    },
    /// Keys could not be fetched.
    #[non_exhaustive]
    FetchFailed {
        /// The issuer's name.
        issuer: &'a str,
        /// Why.
        kind: FetchErrorKind,
        /// How long it took to fail.
        took: Duration,
    },
    /// The first keys could not be fetched, and those of the [snapshot](crate::Issuer::snapshot) are used.
    #[non_exhaustive]
    KeysRestored {
        /// The issuer's name.
        issuer: &'a str,
        /// How many keys are in use now.
        keys: usize,
        /// How long ago they were fetched, by the time of day.
        age: Duration,
    },
    /// A token was looked up, once for all requests that waited for it.
    #[non_exhaustive]
    LookedUp {
        /// The issuer's name.
        issuer: &'a str,
        /// Whether it is active. The rest of what was said of it is checked afterwards.
        active: bool,
        /// How long it took, without the time in the queue.
        took: Duration,
    },
    /// A token could not be looked up: the requests with it are answered 503.
    #[non_exhaustive]
    LookupFailed {
        /// The issuer's name.
        issuer: &'a str,
        /// Why.
        kind: LookupErrorKind,
        /// How long it took to fail.
        took: Duration,
    },
    /// The keys of an issuer have passed from one state of their life to another. Each change is told once, the changes of
    /// one issuer in their order, and none is left out: from `Fresh` to `Expired` the way is by `Stale`, unless the issuer
    /// forbids stale use. One that a fetch makes may come before the event of the fetch or after it. Fixed keys do not change,
    /// and the end of a root certificate is not told: [`health`](crate::ResourceServer::health) shows it.
    ///
    /// A change that only the passing of time makes is told at its moment by the timer, which runs from the first fetch on.
    /// Where no timer runs, because its runtime has ended or is not driven, it is told when a request next needs the keys,
    /// when a fetch ends, or when somebody looks at [`health`](crate::ResourceServer::health).
    #[non_exhaustive]
    KeyStateChanged {
        /// The issuer's name.
        issuer: &'a str,
        /// What it was.
        from: KeyState,
        /// What it is from now on.
        to: KeyState,
    },
    /// A shared [denylist](crate::Denylist) was read for the first time, could not be read for too long, or can be read
    /// again. Each change is told once, by the task that reads it.
    #[non_exhaustive]
    DenylistStateChanged {
        /// What it was.
        from: DenylistState,
        /// What it is from now on.
        to: DenylistState,
    },
}

/// Is told what happens, for metrics and alarms. Give it to
/// [`ResourceServerBuilder::observer`](crate::ResourceServerBuilder::observer).
///
/// It is called on the path of each request, so it should count and return. Nothing is locked while it is told: it may look
/// at [`health`](crate::ResourceServer::health). If one panics, those behind it are not told of that event. Closures `Fn(&Event<'_>)` are observers; for
/// one that is also read elsewhere: `move |event: &Event<'_>| shared.observe(event)`.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tower_bearer::{Event, Issuer, ResourceServer};
///
/// let refused = Arc::new(AtomicU64::new(0));
/// let counter = refused.clone();
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com"))
///     .observer(move |event: &Event<'_>| {
///         if matches!(event, Event::Refused { .. }) {
///             counter.fetch_add(1, Ordering::Relaxed);
///         }
///     })
/// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
///     .build()?;
/// # let _ = api;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Everybody who is told.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<Vec<Box<dyn Observer>>>);

impl Observers {
    pub(crate) fn new(observers: Vec<Box<dyn Observer>>) -> Self {
        Self(Arc::new(observers))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        for observer in &*self.0 {
            observer.observe(event);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

/// Lets one warning pass in each [`WARN_INTERVAL`]: an outage of ours under load would otherwise fill the disk as well.
#[derive(Debug)]
pub(crate) struct Warnings {
    start: Instant,
    /// Milliseconds after `start`.
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Warnings {
    pub(crate) fn new(now: Instant) -> Self {
        Self { start: now, next: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Whether to warn now and, if so, how many were held back since the last time.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let since_start = now.saturating_duration_since(self.start);
        let now = millis(since_start);
        let next = self.next.load(Ordering::Relaxed);
        let after = millis(since_start.saturating_add(WARN_INTERVAL));
        let mine = now >= next
            && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_in_each_interval_and_the_rest_are_counted() {
        let start = Instant::now();
        let warnings = Warnings::new(start);
        assert_eq!(warnings.pass(start), Some(0));
        assert_eq!(warnings.pass(start), None);
        assert_eq!(warnings.pass(start + WARN_INTERVAL / 2), None);
        assert_eq!(warnings.pass(start + WARN_INTERVAL), Some(2));
        assert_eq!(warnings.pass(start + WARN_INTERVAL), None);
        assert_eq!(warnings.pass(start + WARN_INTERVAL * 3), Some(1));
    }
}
