//! [`ResourceServer`]: our identifier and the issuers that we trust.

mod issuer;
mod cache;
mod builder;
#[cfg(all(test, tower_bearer_model))]
#[path = "../../tests/model/verdicts.rs"]
mod model;
mod stop;
mod verify;
mod lookup;
mod live;
mod metadata;
mod health;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

pub use self::builder::ResourceServerBuilder;
use self::cache::Cache;
pub use self::cache::{MAX_CACHE_BYTES, MAX_CACHED_BY_THREAD, MAX_CACHED_FOR, MAX_CACHED_TOKENS};
pub use self::health::{DenylistHealth, Health, HealthService, IssuerHealth, LookupHealth};
use self::issuer::TrustedIssuer;
pub use self::issuer::{DEFAULT_LEEWAY, Issuer, MAX_LEEWAY};
pub use self::metadata::{METADATA_MAX_AGE, ResourceMetadata};
pub(crate) use self::stop::{Pending, Stop, Waited};
pub(crate) use self::verify::{Trusted, Verified};
use crate::deny::{Denial, Denials, DenyError};
use crate::event::Event;
use crate::identity::ServerIdentity;
use crate::jose::KnownHeaders;
use crate::keys::KeySource;
use crate::keys::remote::{Available, Ended};
use crate::refusal::Rejection;
use crate::scope::Scope;
use crate::token::Token;

/// A resource server (RFC 6749 §1.1): it accepts access tokens of the issuers that it trusts.
///
/// Made once per process; cloning is cheap and shares the keys.
///
/// ```
/// use tower_bearer::{BearerAuthLayer, Issuer, ResourceServer};
///
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com"))
/// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
///     .build()?;
/// let auth = BearerAuthLayer::new(api);
/// # let _ = auth;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ResourceServer(pub(crate) Arc<Inner>);

/// Keys of some issuers, or a shared denylist, could not be had; requests with tokens will be answered 503 until they can.
#[derive(Debug, Clone)]
pub struct NotReady {
    issuers: Vec<String>,
    denylist: bool,
}

/// No issuer of the server has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownIssuer(String);

pub(crate) struct Inner {
    pub(crate) identity: Arc<ServerIdentity>,
    issuers: Vec<TrustedIssuer>,
    /// From an exact `iss` to its place in `issuers`. There are few as a rule, and to compare some texts takes less than to hash one.
    by_iss: BTreeMap<Box<str>, usize>,
    /// Of tokens that were verified before.
    headers: KnownHeaders,
    /// Tokens that were verified before.
    cache: Option<Arc<Cache>>,
    /// What is not accepted any more.
    denials: Denials,
    /// The configured members of our metadata.
    metadata_members: metadata::Members,
    /// What the rules of our layers ask for. Locked when a layer is made and when metadata are served.
    scopes: Mutex<BTreeSet<Scope>>,
}

impl ResourceServer {
    /// Starts with our own identifier: what issuers write into `aud` for us, unless an issuer is given another
    /// audience (RFC 8707, RFC 9068 §3).
    pub fn builder(identifier: impl Into<String>) -> ResourceServerBuilder {
        ResourceServerBuilder::new(identifier.into())
    }

    /// Our identifier.
    #[must_use]
    pub fn identifier(&self) -> &str {
        &self.0.identity.identifier
    }

    /// Verifies a token outside of any layer: all that [`BearerAuthLayer`](crate::BearerAuthLayer) checks, but no
    /// rule of a route.
    ///
    /// # Errors
    /// [`InvalidToken`](crate::RejectionKind::InvalidToken), or
    /// [`Unavailable`](crate::RejectionKind::Unavailable) while there are no keys, or
    /// [`Busy`](crate::RejectionKind::Busy) beyond the [limit](ResourceServerBuilder::max_concurrent_verifications).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a fetch of keys goes on for the others.
    pub async fn verify(&self, token: &str) -> Result<Token, Rejection> {
        let verified = match self.0.verify(token.as_bytes(), &Trusted::All, None) {
            Err(Stop::Pending(pending)) => {
                let waited = pending.ended().await;
                self.0.verify(token.as_bytes(), &Trusted::All, Some(&waited))
            }
            decided => decided,
        };
        match verified {
            Ok(Verified { token, cached }) => {
                let issuer = token.issuer_name();
                self.0.identity.observers.tell(&Event::Accepted { issuer, cached });
                Ok(token)
            }
            Err(stop) => Err(stop.into_rejection().told(&self.0.identity, None)),
        }
    }

    /// Fetches the keys of every issuer that has none yet, reads a shared denylist, and waits for them. Optional: without it
    /// the first request does. The keys of a [snapshot](Issuer::snapshot) will do.
    ///
    /// # Errors
    /// If the keys of an issuer, or the denylist, could not be had. The server is usable all the same.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the fetches go on.
    pub async fn warm_up(&self) -> Result<(), NotReady> {
        // Started together, awaited one after the other.
        let asked: Vec<_> =
            self.0.remote_issuers().map(|(name, keys)| (name, keys, keys.keys(|_| ()))).collect();
        let denylist = !self.0.denials.warm_up().await;
        let mut issuers = Vec::new();
        for (name, keys, available) in asked {
            let ready = match available {
                Available::Ready(()) => true,
                // The fetch may have failed, and left us with the keys of a snapshot.
                Available::Wait(flight) => flight.ended().await == Ended::Loaded || keys.report().keys > 0,
                Available::Unavailable(_) => false,
            };
            if !ready {
                issuers.push(name.to_owned());
            }
        }
        if issuers.is_empty() && !denylist { Ok(()) } else { Err(NotReady { issuers, denylist }) }
    }

    /// Our protected resource metadata (RFC 9728), as a service. `None` if our identifier is no https URL, nor an http URL
    /// of this very machine (127.0.0.0/8, `[::1]`, `localhost`), or after
    /// [`without_metadata`](ResourceServerBuilder::without_metadata).
    #[must_use]
    pub fn metadata(&self) -> Option<ResourceMetadata> {
        ResourceMetadata::of(self.clone())
    }

    /// The state of every issuer's keys. It fetches nothing. A change that was not told yet is told here: see
    /// [`KeyStateChanged`](crate::Event::KeyStateChanged).
    #[must_use]
    pub fn health(&self) -> Health {
        Health::of(self)
    }

    /// Whether there are usable keys of every issuer; see [`health`](Self::health).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.health().is_ready()
    }

    /// [`health`](Self::health) as a service, for a readiness probe.
    #[must_use]
    pub fn health_service(&self) -> HealthService {
        HealthService(self.clone())
    }

    /// Fetches an issuer's keys now, whatever its schedule, and waits for them: when an operator knows that they have
    /// changed. A fetch that is under way may have begun before that, so its end is awaited first. Fixed keys stay as they
    /// are.
    ///
    /// It has no budget: do not let clients call it.
    ///
    /// # Errors
    /// If there is no issuer of this name, or its keys could not be had; those in use stay.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the fetch goes on.
    pub async fn refresh_now(&self, issuer: &str) -> Result<(), NotReady> {
        let loaded = match self.0.issuers.iter().find(|trusted| &*trusted.identity.name == issuer) {
            None => false,
            Some(TrustedIssuer { keys: KeySource::Remote(keys), .. }) => keys.demand().await == Ended::Loaded,
            Some(_) => true,
        };
        if loaded { Ok(()) } else { Err(NotReady { issuers: vec![issuer.to_owned()], denylist: false }) }
    }

    /// Never again verifies with a key of this issuer: for a key that has leaked, until the issuer withdraws it. `key` is
    /// its `kid`, or its thumbprint (RFC 7638, SHA-256). It holds for sets that are fetched later too, and for the same key
    /// under another `kid`, until this server is built anew. A shared secret has no name: take it out of the configuration.
    ///
    /// Says whether there is such a key now. If not, a `kid` is blocked as a name only, because the thumbprint of its key is
    /// not known: the same key under another `kid` stays usable until a set that comes into use has it under this one, and
    /// with it the thumbprint. A thumbprint holds whether its key is there or not: for a key that may have been renamed,
    /// give that.
    ///
    /// Where keys come with the tokens ([`Keys::x5c`](crate::manual::providers)), `kid` is no name of one, and blocks nothing.
    /// `key` is the thumbprint of the key as a JWK (RFC 7638), or SHA-256 over the signer's certificate in base64url, as
    /// `x5t#S256` should be (RFC 7515 §4.1.8): this blocks the key in it, whatever else certifies it. Some issuers write
    /// another digest there, so make it from the certificate. Only keys that are remembered are found; others are blocked
    /// all the same, once they come.
    ///
    /// # Errors
    /// If no issuer has this name: then nothing was blocked.
    pub fn block_key(&self, issuer: &str, key: &str) -> Result<bool, UnknownIssuer> {
        let Some(trusted) = self.0.issuers.iter().find(|trusted| &*trusted.identity.name == issuer) else {
            return Err(UnknownIssuer(issuer.to_owned()));
        };
        let found = match &trusted.keys {
            KeySource::Fixed(keys) => keys.block(key),
            #[cfg(feature = "x5c")]
            KeySource::Certified(keys) => keys.block(key),
            KeySource::Remote(keys) => keys.block(key),
            KeySource::None => false,
        };
        tracing::warn!(target: "tower_bearer::keys", issuer, key, found, "blocked a key");
        Ok(found)
    }

    /// Accepts these tokens no more, from the moment that this is done: whoever sends one is refused with 401 and
    /// [`TokenError::Revoked`](crate::TokenError::Revoked), also where the token was verified before. At once it holds for
    /// this server and its clones; with a [shared list](ResourceServerBuilder::denylist) within a second or two for the
    /// others, and at most [`DENYLIST_STALE_AFTER`](crate::manual::defaults::DENYLIST_STALE_AFTER), after which they answer
    /// 503. Requests that have passed the layer go on.
    ///
    /// ```
    /// use tower_bearer::{Denial, TokenError};
    ///
    /// # use tower_bearer::testing::Idp;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = Idp::new("https://id.example.com");
    /// # let api = idp.resource_server("https://api.example.com");
    /// # let raw = idp.token("https://api.example.com").claim("sub", "alice").sign();
    /// assert!(api.verify(&raw).await.is_ok());
    ///
    /// let alice = Denial::subject("https://id.example.com", "alice");
    /// api.deny(alice.clone()).await?;
    /// let refused = api.verify(&raw).await.unwrap_err();
    /// assert_eq!(refused.token_error(), Some(TokenError::Revoked));
    ///
    /// api.allow(&alice).await?;
    /// assert!(api.verify(&raw).await.is_ok());
    /// # Ok(()) }
    /// ```
    ///
    /// Without a shared list nothing is awaited: the future is ready when it is first polled.
    ///
    /// # Errors
    /// If the issuer is unknown, the claim empty or too long, the end past, or there is no room: then nothing was done. If the
    /// shared list could not be written, it holds here all the same, and is written as soon as that can be done; see
    /// [`DenyErrorKind`](crate::DenyErrorKind).
    ///
    /// # Cancel safety
    /// Once polled, it holds here; what a dropped future has not written to the shared list is written a little later.
    pub async fn deny(&self, denial: Denial) -> Result<(), DenyError> {
        self.0.denials.deny(denial).await
    }

    /// Takes back a denial of the same issuer and claim, whatever its times; one with
    /// [`issued_before`](Denial::issued_before) is another than one without. Says whether there was one here. With a shared
    /// list, others accept the tokens again a second or two later.
    ///
    /// # Errors
    /// If the issuer is unknown or the claim empty or too long, or if the shared list could not be written: then nothing was
    /// done.
    pub async fn allow(&self, denial: &Denial) -> Result<bool, DenyError> {
        self.0.denials.allow(denial).await
    }

    pub(crate) fn has_issuer(&self, name: &str) -> bool {
        self.0.issuers.iter().any(|issuer| &*issuer.identity.name == name)
    }
}

impl Inner {
    /// Remembers what a layer asks for, for our metadata.
    pub(crate) fn note_scopes(&self, asked: Vec<&Scope>) {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.extend(asked.into_iter().cloned());
    }

    fn required_scopes(&self) -> Vec<String> {
        let scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.iter().map(Scope::to_string).collect()
    }

    fn remote_issuers(&self) -> impl Iterator<Item = (&str, &crate::keys::remote::RemoteKeys)> {
        self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            KeySource::Remote(keys) => Some((&*issuer.identity.name, keys)),
            _ => None,
        })
    }
}

/// Answers GET and HEAD with a JSON document.
fn document(
    method: &Method,
    status: StatusCode,
    cache: &str,
    document: impl FnOnce() -> serde_json::Value,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    if matches!(*method, Method::GET | Method::HEAD) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(cache) = HeaderValue::from_str(cache) {
            headers.insert(CACHE_CONTROL, cache);
        }
        *response.status_mut() = status;
        *response.body_mut() = Full::from(document().to_string());
    } else {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    response
}

impl NotReady {
    /// The names of the issuers whose keys could not be had.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(AsRef::as_ref)
    }

    /// Whether a shared denylist could not be read.
    #[must_use]
    pub fn lacks_denylist(&self) -> bool {
        self.denylist
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.issuers.is_empty() {
            write!(f, "no keys yet from {}", self.issuers.join(", "))?;
        }
        match (self.denylist, self.issuers.is_empty()) {
            (true, true) => f.write_str("the shared denylist could not be read yet"),
            (true, false) => f.write_str("; the shared denylist could not be read yet"),
            (false, _) => Ok(()),
        }
    }
}

impl std::error::Error for NotReady {}

impl fmt::Display for UnknownIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no issuer is called {:?}", self.0)
    }
}

impl std::error::Error for UnknownIssuer {}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> = self.0.issuers.iter().map(|issuer| &issuer.identity.name).collect();
        f.debug_struct("ResourceServer")
            .field("identifier", &self.identifier())
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}
