//! [`Issuer`]: whom we trust, and what their tokens must be like.

mod resolve;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use crate::fetch::Fetch;
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::{Algorithm, Rules, Standing, Turns};
use crate::keys::{KeySource, Keys};
#[cfg(feature = "redis")]
use crate::lookup::RedisAnswers;
use crate::lookup::desk::Desk;
use crate::lookup::{Introspection, Lookup, TokenLookup};
use crate::profile::Profile;
use crate::scope::Granted;
use crate::token::{Bases, Basis};

/// The tolerance for clocks that differ, for `exp`, `nbf` and `iat` alike.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);

/// More tolerance than this is a mistake: tokens often live for no more than five minutes.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// An issuer that is trusted: not a URL, but an agreement on keys, audience, algorithms and claims.
///
/// Keys of one issuer never verify tokens of another.
#[must_use]
pub struct Issuer {
    iss: Option<String>,
    also: Vec<String>,
    name: String,
    /// `None` where its tokens are looked up and nothing was said of keys.
    keys: Option<Keys>,
    has_own_keys: bool,
    lookup: Option<Lookup>,
    #[cfg(feature = "redis")]
    answers: Option<RedisAnswers>,
    token_prefix: Option<String>,
    audience: Vec<String>,
    any_audience: bool,
    algorithms: Option<Vec<Algorithm>>,
    profile: Profile,
    clients: Option<Vec<String>>,
    grants: Vec<(String, Vec<String>)>,
    leeway: Duration,
    allow_http: bool,
    listed: bool,
    fetch: Option<Arc<dyn Fetch>>,
    snapshot: Option<PathBuf>,
}

/// An [`Issuer`] that was checked.
pub(super) struct TrustedIssuer {
    pub(super) identity: Arc<IssuerIdentity>,
    /// What its tokens rest on.
    pub(super) bases: Bases,
    /// Other spellings of its `iss`.
    also: Vec<String>,
    pub(super) rules: Rules,
    pub(super) profile: Profile,
    pub(super) keys: KeySource,
    /// Who asks about tokens that no key verifies.
    pub(super) desk: Option<Desk>,
    /// What such tokens start with.
    pub(super) token_prefix: Option<Box<str>>,
    /// To check signatures, shared with the other issuers of the server.
    pub(super) turns: Arc<Turns>,
    /// The clients whose tokens are accepted; `None` for all.
    pub(super) clients: Option<HashSet<String>>,
    /// What clients may do besides what their tokens say.
    pub(super) grants: HashMap<String, Granted<'static>>,
    /// Whether our metadata name it.
    pub(super) listed: bool,
}

/// What an issuer takes over from the server.
pub(super) struct Defaults<'a> {
    pub(super) server: &'a Arc<ServerIdentity>,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    pub(super) fetches_https: bool,
    pub(super) turns: &'a Arc<Turns>,
    pub(super) cache: Option<&'a Arc<Cache>>,
}

impl Issuer {
    /// An issuer whose tokens say `iss`, compared byte by byte (RFC 8725 §3.8). Its keys are discovered unless
    /// [`keys`](Self::keys) says otherwise.
    pub fn new(iss: impl Into<String>) -> Self {
        let iss = iss.into();
        Self { name: iss.clone(), ..Self::with(Some(iss)) }
    }

    /// A system whose tokens say no `iss`, under a name of ours. It needs [`keys`](Self::keys).
    ///
    /// # Security
    /// A token without `iss` is tried with every unnamed issuer, and a token with `iss` with none of them. Two
    /// unnamed issuers are told apart by their keys alone; narrow a layer to one of them with
    /// [`BearerAuthLayer::issuers`](crate::BearerAuthLayer::issuers). If there is more than one, a JWT without `iss` is looked
    /// up only where a [`token_prefix`](Self::token_prefix) says so: nobody is told the token of another by guess.
    pub fn unnamed(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::with(None) }
    }

    fn with(iss: Option<String>) -> Self {
        Self {
            iss,
            also: Vec::new(),
            name: String::new(),
            keys: Some(Keys::discovery()),
            has_own_keys: false,
            lookup: None,
            #[cfg(feature = "redis")]
            answers: None,
            token_prefix: None,
            audience: Vec::new(),
            any_audience: false,
            algorithms: None,
            profile: Profile::default(),
            clients: None,
            grants: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            allow_http: false,
            listed: true,
            fetch: None,
            snapshot: None,
        }
    }

    /// Another exact spelling of its `iss`: some issuers write one with and one without a slash at the end, or without
    /// `https://`. Tokens with either are the same to us; [`Token::issuer`](crate::Token::issuer) is the first.
    pub fn also(mut self, iss: impl Into<String>) -> Self {
        self.also.push(iss.into());
        self
    }

    /// Our label for it, in events and for [`BearerAuthLayer::issuers`](crate::BearerAuthLayer::issuers). Default:
    /// the `iss`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Where its keys come from. Default: [`Keys::discovery`], or none if its tokens are [looked up](Self::lookup).
    pub fn keys(mut self, keys: impl Into<Keys>) -> Self {
        self.keys = Some(keys.into());
        self.has_own_keys = true;
        self
    }

    /// Looks its tokens up at its introspection endpoint (RFC 7662). See [`lookup`](Self::lookup), which this is a case of.
    pub fn introspection(self, introspection: Introspection) -> Self {
        self.looked_up(Lookup::Introspection(introspection))
    }

    /// Looks its tokens up: those that are opaque, and if it is given no [`keys`](Self::keys), also JWTs that name it.
    /// Such a JWT is held to its own claims first: nobody is asked about one that has ended, is for somebody else, or is bound to
    /// a key.
    /// With keys it is a hybrid: JWTs are verified here, and one that fails is not asked about; what is no JWT is looked up.
    /// Routes can ask about JWTs too: [`BearerAuthLayer::live`](crate::BearerAuthLayer::live).
    /// The last of this and [`introspection`](Self::introspection) counts.
    ///
    /// What counts as opaque is decided by the shape of a token, before anybody is asked: 8 to 4096 characters of a token
    /// (RFC 9110 §11.2) that do not start with the header of a JWT, which is a JSON object and a dot. An encrypted JWT (RFC 7516) is opaque to us.
    ///
    /// An active token is accepted without asking again for [`ACTIVE_FOR`], or [`ENDLESS_ACTIVE_FOR`] if it has no end, and
    /// never past its end; so long may a revoked one be used. With
    /// [`without_cache`](crate::ResourceServerBuilder::without_cache) each request asks. Two issuers whose tokens are
    /// looked up must be told apart by a [`token_prefix`](Self::token_prefix).
    ///
    /// [`ACTIVE_FOR`]: crate::manual::defaults::ACTIVE_FOR
    /// [`ENDLESS_ACTIVE_FOR`]: crate::manual::defaults::ENDLESS_ACTIVE_FOR
    pub fn lookup(self, lookup: impl TokenLookup) -> Self {
        self.looked_up(Lookup::Own(Arc::new(lookup)))
    }

    fn looked_up(mut self, lookup: Lookup) -> Self {
        self.lookup = Some(lookup);
        if !self.has_own_keys {
            self.keys = None;
        }
        self
    }

    /// Shares what is said of its tokens with the other servers of a fleet, so that each token is asked about once for all of
    /// them. Default: each server asks for itself. Not with [`without_cache`](crate::ResourceServerBuilder::without_cache).
    #[cfg(feature = "redis")]
    pub fn shared_answers(mut self, answers: RedisAnswers) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Only tokens that start with this are looked up, such as `pat_`, and no JWT then as a rule: those start with `ey`.
    /// With that prefix, JWTs without `iss` that no other unnamed issuer's keys have verified are looked up here.
    /// Default: all. Of several issuers the one with the longest prefix that fits is asked, and no other. It does not concern
    /// JWTs that [live](crate::BearerAuthLayer::live) routes ask about: with a prefix that no token has, they alone are.
    pub fn token_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.token_prefix = Some(prefix.into());
        self
    }

    /// Accepts tokens of these clients only; called again, of those too. Default: of every client. What each may call is
    /// for the rules of the routes, such as [`Rule::clients`](crate::Rule::clients).
    ///
    /// With a profile that finds the client in `aud`, such as [`Profile::league`], this is what is expected there, and it
    /// must be given.
    pub fn clients<I: IntoIterator<Item: Into<String>>>(mut self, clients: I) -> Self {
        self.clients.get_or_insert_default().extend(clients.into_iter().map(Into::into));
        self
    }

    /// Gives these scopes to the tokens of a client, besides those in the token that are
    /// [trusted](Profile::untrusted_scopes): for an issuer whose tokens say nothing, or nothing that counts, of what a
    /// client may do. It adds, and takes nothing away.
    ///
    /// ```
    /// # use tower_bearer::{Issuer, Keys, Profile};
    /// # let pem = "";
    /// let shop = Issuer::unnamed("shop")
    ///     .keys(Keys::pem(pem))
    ///     .profile(Profile::oro())
    ///     .clients(["robot", "printer"])
    ///     .grant("robot", ["orders:read", "orders:write"]);
    /// # let _ = shop;
    /// ```
    pub fn grant<I>(mut self, client: impl Into<String>, scopes: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.grants.push((client.into(), scopes.into_iter().map(Into::into).collect()));
        self
    }

    /// Expects this audience instead of the server's identifier. Called more than once, one of them must be in
    /// `aud` (RFC 7519 §4.1.3).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// Accepts tokens for any audience, and tokens for none.
    ///
    /// # Security
    /// A token that a client gave to another service can then be used here by that service (RFC 9700 §2.3).
    /// Only for an issuer that serves nobody but us.
    pub fn dangerous_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Accepts these algorithms only (RFC 8725 §3.1). Default: every [`Algorithm`], each with keys of its own
    /// family.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// How its claims are to be read. Default: [`Profile::default`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The values of `typ` that are accepted; replaces those of the profile given before. See [`Profile::types`].
    pub fn types<I: IntoIterator<Item: Into<String>>>(mut self, types: I) -> Self {
        self.profile = self.profile.types(types);
        self
    }

    /// How far its clock and ours may differ. Default: [`DEFAULT_LEEWAY`], at most [`MAX_LEEWAY`].
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Fetches keys over plain HTTP, from this machine only.
    ///
    /// # Security
    /// For an authorization server that runs beside us in a test or a demonstration. Other hosts still need https. Its
    /// discovery document may then name this machine, with any port.
    pub fn dangerous_allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Trusts it, but does not name it in `authorization_servers` of our metadata (RFC 9728 §2, which lets us leave some
    /// out): for an issuer that no client can ask for a token, such as one inside the platform. Default: it is named, if
    /// its `iss` is a URL.
    pub fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// Fetches this issuer's keys with a client of its own, for example one that trusts a private certificate authority
    /// ([`ReqwestFetch::builder`](crate::ReqwestFetch::builder)).
    pub fn fetch(mut self, fetch: impl Fetch) -> Self {
        self.fetch = Some(Arc::new(fetch));
        self
    }

    /// Keeps the last good key set in this file, and starts with it when the issuer cannot be reached. Default: it is not
    /// kept, and a start without the issuer's answer is 503 until it comes.
    ///
    /// Only for keys that are fetched; each issuer needs a file of its own. It is written in the background after a fetch
    /// with other keys, and each [`SNAPSHOT_INTERVAL`] otherwise, and holds public keys only. It is read when the first
    /// fetch has failed: its keys count as stale, at most for [`STALE_FOR`] and until they are [`MAX_SNAPSHOT_AGE`] old,
    /// while fetches go on. A token with another key is 503 then. What cannot be written or may not be used is logged
    /// as a warning, and nothing else comes of it.
    ///
    /// # Security
    /// It is a trade for availability. Whoever can write the file can forge tokens of this issuer until the next fetch,
    /// and a key that was withdrawn during an outage can be used by a process that starts in it. Keep it in a folder that
    /// nobody else can write; never share it between machines. On Unix it is not read through a symbolic link, nor if
    /// it belongs to anybody but us and root, nor if group or others can write it; elsewhere the folder's permissions
    /// are all there is. Its age is that of the time of day.
    ///
    /// [`SNAPSHOT_INTERVAL`]: crate::manual::defaults::SNAPSHOT_INTERVAL
    /// [`STALE_FOR`]: crate::manual::defaults::STALE_FOR
    /// [`MAX_SNAPSHOT_AGE`]: crate::manual::defaults::MAX_SNAPSHOT_AGE
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(path.into());
        self
    }
}

impl TrustedIssuer {
    /// Every `iss` that is its, and the setting that says so.
    pub(super) fn spellings(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let first = self.identity.iss.iter().map(|iss| (&**iss, "iss"));
        first.chain(self.also.iter().map(|iss| (iss.as_str(), "also")))
    }

    /// What a token of this standing rests on.
    pub(super) fn basis(&self, standing: &Arc<Standing>) -> Arc<Basis> {
        self.bases.of(&self.identity, standing)
    }

    /// Whether a verdict of this standing is one on a token that was looked up.
    pub(super) fn has_looked_up(&self, standing: &Arc<Standing>) -> bool {
        self.desk.as_ref().is_some_and(|desk| Arc::ptr_eq(desk.standing(), standing))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("iss", &self.iss)
            .field("also", &self.also)
            .field("name", &self.name)
            .field("keys", &self.keys)
            .field("lookup", &self.lookup)
            .field("token_prefix", &self.token_prefix)
            .field("audience", &self.audience)
            .field("any_audience", &self.any_audience)
            .field("algorithms", &self.algorithms)
            .field("profile", &self.profile)
            .field("clients", &self.clients)
            .field("grants", &self.grants)
            .field("leeway", &self.leeway)
            .field("allow_http", &self.allow_http)
            .field("listed", &self.listed)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}
