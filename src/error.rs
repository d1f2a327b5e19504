//! [`ConfigError`]: everything that can be wrong before the first request.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// A mistake in the configuration, found before anything is served.
///
/// The text says where the mistake is and what to write instead. Branch on [`kind`](Self::kind), show the
/// text to a person. No message holds a secret.
pub struct ConfigError {
    kind: ConfigErrorKind,
    path: String,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a [`ConfigError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// The resource server's own identifier.
    Resource,
    /// An issuer's name, or two issuers that cannot be told apart.
    Issuer,
    /// The expected audience.
    Audience,
    /// The list of accepted algorithms.
    Algorithms,
    /// The list of accepted `typ` values.
    Types,
    /// What a claim must be, or which clients are accepted.
    Claim,
    /// The tolerance for clocks that differ.
    Leeway,
    /// How much is done at the same time.
    Limit,
    /// Where the keys come from, or the keys themselves.
    Keys,
    /// How tokens are looked up.
    Lookup,
    /// A URL that keys would be fetched from, or tokens looked up at.
    Url,
    /// How keys are fetched: whom TLS trusts, the proxy, the file with a token.
    Fetch,
    /// Where the shared denylist is.
    Denylist,
    /// A scope or a rule made of scopes.
    Scope,
    /// The name of a gRPC method or service.
    Method,
    /// No cryptography, HTTP client or TLS was compiled in, or it cannot be used.
    Feature,
    /// A settings file: its syntax, a field's name or a field's type.
    Settings,
}

impl ConfigError {
    pub(crate) fn new(kind: ConfigErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, path: String::new(), message: message.into(), source: None }
    }

    /// Says where in the configuration the mistake is, in front of what was said before.
    pub(crate) fn at(mut self, place: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{place}{joint}{}", self.path);
        self
    }

    /// Calls the last part of the path by the name that it has in a settings file.
    #[cfg(feature = "settings")]
    pub(crate) fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Some(place) = self.path.strip_suffix(from) {
            self.path = format!("{place}{to}");
        }
        self
    }

    /// Says that it is about the other one of these, if it was said to be about the first.
    #[cfg(feature = "redis")]
    pub(crate) fn of(mut self, first: ConfigErrorKind, other: ConfigErrorKind) -> Self {
        if self.kind == first {
            self.kind = other;
        }
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the mistake is about.
    #[must_use]
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Where it is, such as `issuer[0].leeway`; empty where there is no better place than the whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigError")
            .field("kind", &self.kind)
            .field("path", &self.path)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}
