//! [`ResourceServerBuilder`]: everything is checked here, before the first request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::cache::{Cache, Limits};
use super::issuer::{Defaults, Issuer, TrustedIssuer};
use super::{Inner, ResourceServer, metadata};
use crate::challenge::Hints;
use crate::deny::{Denials, Denylist};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::{Observer, Observers, Warnings};
use crate::fetch::Fetch;
use crate::identity::ServerIdentity;
use crate::jose::{KnownHeaders, Turns, crypto_backend};
use crate::scope::{Implications, Scope};
use crate::time::{Clock, SystemClock, Ticks};

/// Builds a [`ResourceServer`].
#[must_use]
pub struct ResourceServerBuilder {
    identifier: String,
    issuers: Vec<Issuer>,
    fetch: Option<Arc<dyn Fetch>>,
    clock: Option<Arc<dyn Clock>>,
    metadata: metadata::Members,
    serves_metadata: bool,
    observers: Vec<Box<dyn Observer>>,
    cache: Option<Limits>,
    max_verifications: Option<usize>,
    implies: Vec<(String, Vec<String>)>,
    denylist: Option<Arc<dyn Denylist>>,
    stale_denylist: bool,
}

impl ResourceServerBuilder {
    pub(super) fn new(identifier: String) -> Self {
        Self {
            identifier,
            issuers: Vec::new(),
            fetch: None,
            clock: None,
            metadata: metadata::Members::new(),
            serves_metadata: true,
            observers: Vec::new(),
            cache: Some(Limits::DEFAULT),
            max_verifications: None,
            implies: Vec::new(),
            denylist: None,
            stale_denylist: false,
        }
    }

    /// Trusts an issuer. At least one is needed.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Fetches keys with this instead of [`ReqwestFetch`](crate::ReqwestFetch).
    pub fn fetch(mut self, fetch: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(fetch));
        self
    }

    /// Takes the time from this instead of [`SystemClock`]: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Adds a member to our metadata (RFC 9728 §2), such as `resource_name` or `resource_documentation`.
    /// `scopes_supported` replaces the union of what our layers ask for; an empty list names none.
    pub fn metadata_member(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Serves no metadata, and names none in challenges.
    pub fn without_metadata(mut self) -> Self {
        self.serves_metadata = false;
        self
    }

    /// Verifies each token anew, however often it is sent. By default a token that was verified is remembered for five
    /// minutes at most, within [bounds](crate::manual::defaults#verified-tokens), and its signature is not checked again.
    ///
    /// # Security
    /// A remembered token is refused as soon as a new one would be: its times, its key and the rule of the route are looked
    /// at on every request. While it is remembered, it and its claims are in the memory of this process. That memory is wiped
    /// when the token is forgotten and the last [`Token`](crate::Token) that shares it has been dropped; a server that gets no
    /// more tokens keeps its last ones, and the copies of tokens in constant use, which threads have, stay until others come in
    /// their place. What was copied while a token was read, or by you, is not wiped.
    pub fn without_cache(mut self) -> Self {
        self.cache = None;
        self
    }

    /// Remembers so many verified tokens at most, in so many bytes, instead of ten thousand in 16 MiB. For more clients than
    /// that: a token takes its length, that of its claims, and a few hundred bytes. Each bound is divided among sixteen parts
    /// of the cache and rounded up; with 0 nothing is remembered, and what is larger
    /// than such a part never is. The list that a part has needed for many small tokens it keeps, also where few large ones come
    /// later. Each thread keeps a few tokens in constant use
    /// [once more](crate::manual::defaults#verified-tokens), in 512 KiB at most. The last of this and [`without_cache`](Self::without_cache) counts.
    pub fn cache_capacity(mut self, tokens: usize, bytes: usize) -> Self {
        self.cache = Some(Limits { tokens, bytes }).filter(|_| tokens > 0 && bytes > 0);
        self
    }

    /// Checks the signatures of so many tokens at the same time at most. A request whose token would be one more is answered
    /// 503 with `Retry-After` ([`BUSY_RETRY_AFTER`]) at once; nobody waits. Default: any number.
    ///
    /// For a server under a flood of forged tokens that name a real key, each of which costs a signature: the limit leaves
    /// threads to everything else. Only signatures count, and for an issuer with [`Keys::x5c`](crate::manual::providers) the
    /// chain. A token that is [known](Self::without_cache) needs none, and what is refused for less is 401 as ever.
    ///
    /// A signature is checked without a pause, so there are never more at the same time than threads that serve requests. A
    /// limit that is not below their number changes nothing; with one thread, none does.
    ///
    /// ```
    /// # use tower_bearer::{Issuer, ResourceServer};
    /// let threads = std::thread::available_parallelism()?.get(); // as many as tokio starts
    /// let api = ResourceServer::builder("https://api.example.com")
    ///     .issuer(Issuer::new("https://id.example.com"))
    ///     .max_concurrent_verifications((threads / 2).max(1))
    /// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
    ///     .build()?;
    /// # let _ = api;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Security
    /// It is a trade. While forged tokens take the turns, a good token that is not known is turned away as they are, however
    /// long that lasts; without a limit it would be late. Tokens do not stay known: each is new again after
    /// [`MAX_CACHED_FOR`] at the latest, to another process, and after a restart. So it helps where most requests come
    /// with known tokens, and harms where they do not, above all [without a cache](Self::without_cache). A limit for each
    /// client address, in front of the layer, tells the flood from the others; this cannot.
    ///
    /// [`BUSY_RETRY_AFTER`]: crate::manual::defaults::BUSY_RETRY_AFTER
    /// [`MAX_CACHED_FOR`]: crate::manual::defaults::MAX_CACHED_FOR
    pub fn max_concurrent_verifications(mut self, limit: usize) -> Self {
        self.max_verifications = Some(limit);
        self
    }

    /// Lets a scope stand for others: wherever a rule asks for one of `narrower`, `broader` will do. Transitive: if
    /// `admin` implies `item:all` and that implies `item:read`, then `admin` meets `item:read`. Default: a scope stands
    /// for itself alone.
    ///
    /// ```
    /// # use tower_bearer::{ResourceServer, testing::Idp};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = Idp::new("https://id.example.com");
    /// # let issuer = tower_bearer::Issuer::new("https://id.example.com");
    /// let api = ResourceServer::builder("https://api.example.com")
    ///     .implies("item:all", ["item:read", "item:write"])
    /// #   .issuer(issuer).fetch(idp.clone())
    ///     .build()?;
    /// # let raw = idp.token("https://api.example.com").scopes(["item:all"]).sign();
    /// # let token = api.verify(&raw).await?;
    /// assert!(token.has_scope("item:read"));
    /// assert!(!token.scopes().contains("item:read")); // that is what the token says
    /// # Ok(()) }
    /// ```
    ///
    /// # Security
    /// It holds for the tokens of every issuer.
    pub fn implies<I>(mut self, broader: impl Into<String>, narrower: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.implies.push((broader.into(), narrower.into_iter().map(Into::into).collect()));
        self
    }

    /// Shares the tokens that are [denied](ResourceServer::deny) with other servers. Default: each server has its own, in
    /// memory.
    ///
    /// The list is asked every second for what is new, from the first request or [`warm_up`](ResourceServer::warm_up) on. When
    /// it could not be read for [`DENYLIST_STALE_AFTER`], requests with good tokens are answered 503 with `Retry-After` until
    /// it can, because their tokens may have been denied elsewhere; denied ones stay 401. See
    /// [the manual](crate::manual::revocation).
    ///
    /// [`DENYLIST_STALE_AFTER`]: crate::manual::defaults::DENYLIST_STALE_AFTER
    pub fn denylist(mut self, list: impl Denylist) -> Self {
        self.denylist = Some(Arc::new(list));
        self
    }

    /// Goes on with what is known when the shared denylist cannot be read, also if that is nothing.
    ///
    /// # Security
    /// For as long as an outage lasts, a token that was denied at another server is accepted here.
    pub fn dangerous_stale_denylist(mut self) -> Self {
        self.stale_denylist = true;
        self
    }

    /// Tells this what happens. Called more than once, all are told, in this order.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Checks everything and does no network I/O.
    ///
    /// # Errors
    /// A [`ConfigError`] for whatever would not work, saying what to write instead.
    pub fn build(self) -> Result<ResourceServer, ConfigError> {
        if crypto_backend().is_none() {
            return Err(ConfigError::new(
                ConfigErrorKind::Feature,
                "this build verifies no signature; turn on the feature aws-lc-rs or rust-crypto",
            ));
        }
        if self.identifier.is_empty() {
            return Err(ConfigError::new(
                ConfigErrorKind::Resource,
                "the resource identifier is empty; write what issuers put into aud for this server",
            )
            .at("resource"));
        }
        if self.issuers.is_empty() {
            let nobody =
                ConfigError::new(ConfigErrorKind::Issuer, "nobody is trusted; add at least one issuer");
            return Err(nobody.at("issuer"));
        }
        if self.max_verifications == Some(0) {
            let nothing = "no token would be verified; write at least 1, or leave it out";
            return Err(ConfigError::new(ConfigErrorKind::Limit, nothing).at("max_concurrent_verifications"));
        }
        if let Some(name) = metadata::OURS.into_iter().find(|name| self.metadata.contains_key(*name)) {
            let message = format!("{name:?} is made from the rest of the configuration; leave it out");
            return Err(ConfigError::new(ConfigErrorKind::Resource, message).at("metadata"));
        }
        let is_list =
            |value: &serde_json::Value| value.as_array().is_some_and(|a| a.iter().all(|s| s.is_string()));
        if self.metadata.get("scopes_supported").is_some_and(|value| !is_list(value)) {
            let message =
                "scopes_supported is not a list of strings; write one, or an empty one to name no scope";
            return Err(ConfigError::new(ConfigErrorKind::Resource, message).at("metadata"));
        }
        let implications = read_implications(&self.implies).map_err(|error| error.at("implies"))?;
        let fetch = self.default_fetch()?;
        let fetches_https = self.fetch.is_some() || cfg!(any(feature = "rustls", feature = "native-tls"));
        let ticks = Ticks::of(self.clock.as_ref());
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let (observers, start) = (Observers::new(self.observers), clock.instant());
        let turns = Arc::new(Turns::of(self.max_verifications));
        let cache = self.cache.map(|limits| Arc::new(Cache::new(limits, start)));
        let metadata_url =
            metadata::url_of(&self.identifier).filter(|_| self.serves_metadata).map(Into::into);
        let identity = Arc::new(ServerIdentity {
            identifier: self.identifier.into(),
            hints: Arc::new(Hints::kept(None, metadata_url)),
            implications,
            warnings: Warnings::new(start),
            clock,
            ticks,
            observers,
        });
        let defaults =
            Defaults { server: &identity, fetch, fetches_https, turns: &turns, cache: cache.as_ref() };
        let mut issuers = Vec::new();
        for (place, issuer) in self.issuers.into_iter().enumerate() {
            let issuer =
                issuer.resolve(place, &defaults).map_err(|error| error.at(&format!("issuer[{place}]")))?;
            issuers.push(issuer);
        }
        let by_iss = index(&issuers)?;
        if self.stale_denylist && self.denylist.is_none() {
            let message = "there is no shared denylist; write one, or leave this out";
            return Err(ConfigError::new(ConfigErrorKind::Denylist, message).at("dangerous_stale_denylist"));
        }
        if self.stale_denylist {
            tracing::warn!(
                target: "tower_bearer::config",
                "dangerous_stale_denylist: while the shared denylist cannot be read, tokens denied elsewhere are accepted"
            );
        }
        let names = issuers.iter().map(|issuer| issuer.identity.name.clone()).collect();
        let (clock, observers) = (identity.clock.clone(), identity.observers.clone());
        let denials = Denials::new(self.denylist, self.stale_denylist, names, clock, observers);
        Ok(ResourceServer(Arc::new(Inner {
            identity,
            issuers,
            by_iss,
            headers: KnownHeaders::default(),
            cache,
            denials,
            metadata_members: self.metadata,
            scopes: Mutex::default(),
        })))
    }

    /// The client for the issuers that have none of their own; none is made if none is needed.
    fn default_fetch(&self) -> Result<Option<Arc<dyn Fetch>>, ConfigError> {
        if let Some(fetch) = &self.fetch {
            return Ok(Some(fetch.clone()));
        }
        #[cfg(feature = "reqwest")]
        if self.issuers.iter().any(Issuer::needs_default_fetch) {
            use crate::fetch::ReqwestFetch;
            let mut needy = self.issuers.iter().filter(|issuer| issuer.needs_default_fetch());
            let fetch = ReqwestFetch::new().or_else(|error| {
                // A demonstration on this very machine needs no certificates.
                if needy.all(Issuer::is_on_plain_http) {
                    ReqwestFetch::without_certificates()
                } else {
                    Err(error)
                }
            });
            return Ok(Some(Arc::new(fetch?)));
        }
        Ok(None)
    }
}

fn read_implications(given: &[(String, Vec<String>)]) -> Result<Implications, ConfigError> {
    let parse = |text: &String| {
        text.parse::<Scope>().map_err(|error| {
            ConfigError::new(ConfigErrorKind::Scope, format!("{text:?} is no scope: {error}"))
        })
    };
    let mut implications = Implications::default();
    for (broader, narrower) in given {
        let broader = parse(broader)?;
        for narrower in narrower {
            implications.add(&broader, &parse(narrower)?);
        }
    }
    Ok(implications)
}

/// Looks for issuers that could not be told apart.
fn index(issuers: &[TrustedIssuer]) -> Result<BTreeMap<Box<str>, usize>, ConfigError> {
    let twice = |index: usize, setting, what: String| {
        Err(ConfigError::new(ConfigErrorKind::Issuer, what).at(setting).at(&format!("issuer[{index}]")))
    };
    let mut by_iss = BTreeMap::new();
    for (place, issuer) in issuers.iter().enumerate() {
        for (iss, setting) in issuer.spellings() {
            if by_iss.insert(iss.into(), place).is_some() {
                return twice(place, setting, format!("iss {iss:?} is listed twice; write each issuer once"));
            }
        }
        let earlier = issuers.iter().take(place);
        for other in earlier {
            if other.identity.name == issuer.identity.name {
                let name = &issuer.identity.name;
                return twice(
                    place,
                    "name",
                    format!("the name {name:?} is taken; give each issuer a name of its own"),
                );
            }
            if issuer.keys.snapshot().is_some() && issuer.keys.snapshot() == other.keys.snapshot() {
                let what = "another issuer writes this file; give each issuer one of its own";
                return twice(place, "snapshot", what.to_owned());
            }
            if issuer.desk.is_some() && other.desk.is_some() && issuer.token_prefix == other.token_prefix {
                return Err(ConfigError::new(
                    ConfigErrorKind::Lookup,
                    format!(
                        "the opaque tokens of {:?} are looked up too; tell them apart by what they start with, one of them or both",
                        other.identity.name
                    ),
                )
                .at("token_prefix")
                .at(&format!("issuer[{place}]")));
            }
            let both_unnamed = issuer.identity.iss.is_none() && other.identity.iss.is_none();
            if both_unnamed && issuer.keys.shares_a_key_with(&other.keys) {
                return twice(
                    place,
                    "keys",
                    format!(
                        "has a key of {:?}, and neither writes iss: their tokens cannot be told apart; merge them",
                        other.identity.name
                    ),
                );
            }
        }
    }
    for (place, issuer) in issuers.iter().enumerate() {
        let name = &issuer.identity.name;
        if issuer.identity.iss.is_none() && by_iss.contains_key(name) {
            let what = format!("{name:?} is the iss of another issuer; give this one another name");
            return twice(place, "name", what);
        }
    }
    Ok(by_iss)
}

impl fmt::Debug for ResourceServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServerBuilder")
            .field("identifier", &self.identifier)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}
