//! [`Issuer`]: whom we trust, and what their tokens must be like.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::{Observers, Warnings};
use crate::fetch::Fetch;
use crate::identity::IssuerIdentity;
use crate::jose::{Accepted, Algorithm, AlgorithmSet, Rules, Standing, Turns, normal_type};
use crate::keys::{Context, KeySource, Keys};
use crate::lookup::desk::{Desk, Settings};
use crate::lookup::{self, Introspection, Lookup, TokenLookup};
use crate::profile::Profile;
use crate::scope::{Granted, Scope};
use crate::time::Clock;

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
    pub(super) audience: &'a str,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    pub(super) fetches_https: bool,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) observers: &'a Observers,
    pub(super) turns: &'a Arc<Turns>,
    pub(super) remembers: bool,
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

    /// Only tokens that start with this are looked up, such as `pat_`, and no JWT then as a rule: those start with `ey`.
    /// With that prefix, JWTs without `iss` that no other unnamed issuer's keys have verified are looked up here.
    /// Default: all. Of several issuers the one with the longest prefix that fits is asked, and no other.
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

    #[cfg(feature = "reqwest")]
    pub(super) fn needs_default_fetch(&self) -> bool {
        self.fetch.is_none() && self.fetches()
    }

    /// Whether anything of it comes over a [`Fetch`].
    #[cfg(feature = "reqwest")]
    fn fetches(&self) -> bool {
        self.keys.as_ref().is_some_and(Keys::are_remote)
            || self.lookup.as_ref().is_some_and(Lookup::needs_fetch)
    }

    pub(super) fn is_on_plain_http(&self) -> bool {
        let iss = self.iss.as_deref();
        let keys = self.keys.as_ref().and_then(|keys| keys.url(iss));
        let lookup = self.lookup.as_ref().and_then(|lookup| lookup.url(iss));
        let scheme = |url: &str| url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let mut schemes = keys.into_iter().chain(lookup).map(scheme).peekable();
        schemes.peek().is_some() && schemes.all(|scheme| scheme.as_deref() == Some("http"))
    }

    pub(super) fn resolve(self, place: usize, defaults: &Defaults<'_>) -> Result<TrustedIssuer, ConfigError> {
        self.check()?;
        let algorithms: AlgorithmSet = self
            .algorithms
            .as_ref()
            .map_or_else(|| Algorithm::ALL.to_vec(), Clone::clone)
            .into_iter()
            .collect();
        self.log_dangers();
        let default = defaults.fetch.clone().filter(|_| defaults.fetches_https || self.is_on_plain_http());
        let rules = Rules {
            algorithms: match &self.keys {
                Some(keys) => keys.accepted(algorithms),
                None => Accepted::Public(algorithms),
            },
            types: self.profile.accepted_types().iter().map(|typ| normal_type(typ)).collect(),
            audience: if self.any_audience {
                None
            } else if self.profile.audience_is_client() {
                self.clients.clone()
            } else if self.audience.is_empty() {
                Some(vec![defaults.audience.to_owned()])
            } else {
                Some(self.audience)
            },
            audience_optional: self.profile.audience_is_optional(),
            leeway: self.leeway,
        };
        let mut grants: HashMap<String, Granted<'static>> = HashMap::new();
        for (client, scopes) in self.grants {
            let granted = grants.entry(client).or_default();
            *granted = granted.and(&Granted::from_items(scopes.iter().map(String::as_str)));
        }
        let fetch = self.fetch.or(default);
        let desk = match self.lookup {
            None => None,
            Some(lookup) => {
                let lookup = lookup.resolve(lookup::Context {
                    iss: self.iss.as_deref(),
                    allow_http: self.allow_http,
                    fetch: fetch.clone(),
                    clock: defaults.clock.clone(),
                });
                Some(Desk::new(Settings {
                    lookup: lookup.map_err(|error| error.at("introspection"))?,
                    label: (&*self.name).into(),
                    clock: defaults.clock.clone(),
                    observers: defaults.observers.clone(),
                    remembers: defaults.remembers,
                }))
            }
        };
        let context = Context {
            iss: self.iss.as_deref(),
            label: &self.name,
            algorithms,
            allow_http: self.allow_http,
            fetch,
            clock: defaults.clock.clone(),
            observers: defaults.observers.clone(),
            // Whoever changes the working directory does not move the file.
            snapshot: self.snapshot.map(|path| std::path::absolute(&path).unwrap_or(path)),
            leeway: self.leeway,
        };
        let keys = match self.keys {
            Some(keys) => keys.resolve(context).map_err(|error| error.at("keys"))?,
            None => KeySource::None,
        };
        let identity = Arc::new(IssuerIdentity {
            place,
            name: self.name.into(),
            iss: self.iss.map(Into::into),
            leeway: self.leeway,
            warnings: Warnings::new(defaults.clock.instant()),
        });
        Ok(TrustedIssuer {
            identity,
            also: self.also,
            rules,
            profile: self.profile,
            keys,
            desk,
            token_prefix: self.token_prefix.map(Into::into),
            turns: defaults.turns.clone(),
            clients: self.clients.map(|clients| clients.into_iter().collect()),
            grants,
            listed: self.listed,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |kind, setting, message| Err(ConfigError::new(kind, message).at(setting));
        if self.iss.as_deref() == Some("") {
            return wrong(
                ConfigErrorKind::Issuer,
                "iss",
                "iss is empty; write what the tokens say, or use an unnamed issuer for a system that writes none",
            );
        }
        if self.also.iter().any(String::is_empty) {
            let message = "an iss is empty; write what the tokens say";
            return wrong(ConfigErrorKind::Issuer, "also", message);
        }
        if self.iss.is_none() && !self.also.is_empty() {
            let message = "its tokens say no iss; leave this out, or give the issuer an iss";
            return wrong(ConfigErrorKind::Issuer, "also", message);
        }
        if self.name.is_empty() {
            return wrong(
                ConfigErrorKind::Issuer,
                "name",
                "the name is empty; write a label for this issuer",
            );
        }
        if self.audience.iter().any(String::is_empty) {
            return wrong(
                ConfigErrorKind::Audience,
                "audience",
                "an audience is empty; write what the issuer puts into aud",
            );
        }
        if self.any_audience && !self.audience.is_empty() {
            return wrong(
                ConfigErrorKind::Audience,
                "audience",
                "an audience is given and any is allowed; leave out dangerous_any_audience",
            );
        }
        self.check_clients()?;
        if self.leeway > MAX_LEEWAY {
            return wrong(
                ConfigErrorKind::Leeway,
                "leeway",
                "the leeway is over 300 seconds; write at most \"300s\"",
            );
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return wrong(
                ConfigErrorKind::Algorithms,
                "algorithms",
                "no algorithm would be accepted; write some such as [\"RS256\"] or leave them out",
            );
        }
        if self.algorithms.is_some() && self.keys.as_ref().is_some_and(Keys::are_shared) {
            return wrong(
                ConfigErrorKind::Algorithms,
                "algorithms",
                "a shared secret goes with its own algorithms; write them in Keys::hmac only",
            );
        }
        match self.token_prefix.as_deref() {
            Some("") => {
                let message = "the prefix is empty; write what its opaque tokens start with, or leave it out";
                return wrong(ConfigErrorKind::Lookup, "token_prefix", message);
            }
            Some(prefix) if !lookup::is_token68(prefix.as_bytes()) => {
                let message = "no token starts like this; write letters, digits and -._~+/ only";
                return wrong(ConfigErrorKind::Lookup, "token_prefix", message);
            }
            Some(_) if self.lookup.is_none() => {
                let message = "its tokens are not looked up; leave the prefix out, or write introspection";
                return wrong(ConfigErrorKind::Lookup, "token_prefix", message);
            }
            _ => {}
        }
        if self.snapshot.is_some() && !self.keys.as_ref().is_some_and(Keys::are_remote) {
            return wrong(
                ConfigErrorKind::Keys,
                "snapshot",
                "the keys of this issuer are not fetched; leave out the snapshot",
            );
        }
        if self.snapshot.as_ref().is_some_and(|path| path.file_name().is_none()) {
            return wrong(
                ConfigErrorKind::Keys,
                "snapshot",
                "not the path of a file; write one in a folder that nobody else can write",
            );
        }
        self.profile.check()
    }

    fn check_clients(&self) -> Result<(), ConfigError> {
        let wrong = |kind, setting, message: String| Err(ConfigError::new(kind, message).at(setting));
        let in_audience = self.profile.audience_is_client();
        let names_clients = self.clients.is_some() || !self.grants.is_empty();
        if names_clients && !self.profile.reads_clients() {
            let message = "the profile finds no client in a token; write its claim, or leave the clients and grants out";
            let setting = if self.clients.is_some() { "clients" } else { "grants" };
            return wrong(ConfigErrorKind::Claim, setting, message.to_owned());
        }
        match &self.clients {
            Some(clients) if clients.is_empty() => {
                let message = "no client would be accepted; write some, or leave this out";
                return wrong(ConfigErrorKind::Claim, "clients", message.to_owned());
            }
            Some(clients) if clients.iter().any(String::is_empty) => {
                let message = "a client is empty; write what the tokens say";
                return wrong(ConfigErrorKind::Claim, "clients", message.to_owned());
            }
            None if self.profile.needs_clients() && !self.any_audience => {
                let message = "with this profile anybody could have a token that is good here; write the clients that may call";
                return wrong(ConfigErrorKind::Claim, "clients", message.to_owned());
            }
            _ => {}
        }
        if in_audience && !self.audience.is_empty() {
            let message = "aud holds the client; write clients instead";
            return wrong(ConfigErrorKind::Audience, "audience", message.to_owned());
        }
        for (client, scopes) in &self.grants {
            if client.is_empty() {
                let message = "a client is empty; write what the tokens say";
                return wrong(ConfigErrorKind::Claim, "grants", message.to_owned());
            }
            if self.clients.as_ref().is_some_and(|clients| !clients.contains(client)) {
                let message = format!("{client:?} is not among the clients; add it there");
                return wrong(ConfigErrorKind::Claim, "grants", message);
            }
            for scope in scopes {
                if let Err(error) = scope.parse::<Scope>() {
                    let message = format!("{scope:?} is no scope: {error}");
                    return wrong(ConfigErrorKind::Scope, "grants", message);
                }
            }
        }
        Ok(())
    }

    fn log_dangers(&self) {
        let switches = [
            (self.any_audience, "dangerous_any_audience: tokens for every audience are accepted"),
            (
                self.profile.audience_is_optional() && self.clients.is_none() && !self.any_audience,
                "optional audience without a list of clients: tokens without aud are accepted of everybody",
            ),
            (
                self.allow_http,
                "dangerous_allow_http: keys may be fetched from this machine without TLS, and tokens looked up",
            ),
        ];
        for (_, meaning) in switches.into_iter().filter(|(on, _)| *on) {
            tracing::warn!(target: "tower_bearer::config", issuer = self.name, "{meaning}");
        }
    }
}

impl TrustedIssuer {
    /// Every `iss` that is its, and the setting that says so.
    pub(super) fn spellings(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let first = self.identity.iss.iter().map(|iss| (&**iss, "iss"));
        first.chain(self.also.iter().map(|iss| (iss.as_str(), "also")))
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
