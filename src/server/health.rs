//! [`Health`]: whether we have the keys of those whom we trust, and whether they answer about their tokens.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tower_service::Service;

use super::{ResourceServer, document};
use crate::deny::{DenylistErrorKind, Report};
use crate::event::{DenylistState, KeyState, LookupErrorKind, LookupState};
use crate::fetch::FetchErrorKind;
use crate::keys::KeySource;
use crate::keys::remote;
use crate::lookup::desk::{self, Desk};

/// The state of every issuer's keys at one moment.
///
/// It is for operators: it names issuers and says what is wrong with their keys. It holds no key.
#[derive(Debug, Clone)]
pub struct Health {
    issuers: Vec<IssuerHealth>,
    denylist: Option<DenylistHealth>,
}

/// The state of a [denylist](crate::Denylist) that is shared with others.
#[derive(Debug, Clone)]
pub struct DenylistHealth {
    state: DenylistState,
    denials: usize,
    stale_is_fine: bool,
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, DenylistErrorKind)>,
}

/// How the look-ups of one issuer's [tokens](crate::TokenLookup) go.
#[derive(Debug, Clone)]
pub struct LookupHealth {
    known: LookupState,
    strangers: LookupState,
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, LookupErrorKind)>,
}

/// The state of one issuer's keys, and of its look-ups.
#[derive(Debug, Clone)]
pub struct IssuerHealth {
    name: Box<str>,
    state: KeyState,
    keys: usize,
    left_out: Vec<(usize, &'static str)>,
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, FetchErrorKind)>,
    stale_for: Option<Duration>,
    next_refresh: Option<Duration>,
    lookups: Option<LookupHealth>,
}

impl Health {
    pub(super) fn of(server: &ResourceServer) -> Self {
        #[cfg(feature = "x5c")]
        let now = server.0.identity.clock.now().into();
        let issuers = server.0.issuers.iter().map(|issuer| {
            let name = issuer.identity.name.clone();
            let lookups = issuer.desk.as_ref().map(Desk::report).map(LookupHealth::reported);
            let health = match &issuer.keys {
                KeySource::Fixed(keys) => IssuerHealth::fixed(name, keys.usable(), keys.left_out()),
                #[cfg(feature = "x5c")]
                KeySource::Certified(keys) => {
                    let (roots, none) = (keys.roots(now), Vec::new());
                    let state = if roots > 0 { KeyState::Fixed } else { KeyState::Expired };
                    IssuerHealth { state, ..IssuerHealth::fixed(name, roots, none) }
                }
                KeySource::Remote(keys) => IssuerHealth::reported(name, keys.report()),
                KeySource::None => {
                    IssuerHealth { state: KeyState::LookedUp, ..IssuerHealth::fixed(name, 0, Vec::new()) }
                }
            };
            IssuerHealth { lookups, ..health }
        });
        let denials = &server.0.denials;
        let denylist = denials.report().map(|Report { state, last_success, last_error }| DenylistHealth {
            state,
            denials: denials.len(),
            stale_is_fine: denials.stale_is_fine(),
            last_success,
            last_error,
        });
        Self { issuers: issuers.collect(), denylist }
    }

    /// The shared denylist; `None` if nothing is shared.
    #[must_use]
    pub fn denylist(&self) -> Option<&DenylistHealth> {
        self.denylist.as_ref()
    }

    /// Every issuer, in the order of the configuration.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerHealth> {
        self.issuers.iter()
    }

    /// Whether there are usable keys of every issuer that needs some, and a shared denylist is current, or need not be.
    ///
    /// Look-ups do not count, whatever their [state](IssuerHealth::lookups): it is known from clients' tokens alone, an endpoint
    /// that is down is down for every server behind the same balancer, and requests whose tokens are not looked up are served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let has_what_it_needs = |issuer: &IssuerHealth| issuer.keys > 0 || issuer.state == KeyState::LookedUp;
        self.issuers.iter().all(|issuer| issuer.state.is_usable() && has_what_it_needs(issuer))
            && self.denylist.as_ref().is_none_or(DenylistHealth::is_ready)
    }

    /// As JSON. Times of day are in seconds since 1970, others in seconds from now; what is not known is left out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut health = json!({
            "ready": self.is_ready(),
            "issuers": self.issuers.iter().map(IssuerHealth::to_json).collect::<Vec<_>>(),
        });
        if let (Some(denylist), Value::Object(members)) = (&self.denylist, &mut health) {
            members.insert("denylist".to_owned(), denylist.to_json());
        }
        health
    }
}

impl DenylistHealth {
    /// Whether all that is in the list is known.
    #[must_use]
    pub fn state(&self) -> DenylistState {
        self.state
    }

    /// How many denials are held in memory. Some may have ended.
    #[must_use]
    pub fn denials(&self) -> usize {
        self.denials
    }

    /// When the list was read last.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.last_success
    }

    /// When it could not be read last, and why. It may be older than the last success.
    #[must_use]
    pub fn last_error(&self) -> Option<(SystemTime, DenylistErrorKind)> {
        self.last_error
    }

    fn is_ready(&self) -> bool {
        self.stale_is_fine || self.state == DenylistState::Current
    }

    fn to_json(&self) -> Value {
        let mut denylist = json!({"state": self.state.name(), "denials": self.denials});
        let last_error = self.last_error.map(|(at, kind)| json!({"at": seconds(at), "kind": kind.name()}));
        let known =
            [("last_success", self.last_success.map(|at| seconds(at).into())), ("last_error", last_error)];
        if let Value::Object(members) = &mut denylist {
            members.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        denylist
    }
}

impl LookupHealth {
    fn reported(report: desk::Report) -> Self {
        let desk::Report { known, strangers, last_success, last_error } = report;
        Self { known, strangers, last_success, last_error }
    }

    /// Whether there are answers about tokens that were accepted before. Only such tokens can make it
    /// [`Failing`](LookupState::Failing), so it is the one for alarms.
    #[must_use]
    pub fn known(&self) -> LookupState {
        self.known
    }

    /// Whether there are answers about tokens that were not accepted before. Whoever makes tokens up may be able to provoke
    /// failures here.
    #[must_use]
    pub fn strangers(&self) -> LookupState {
        self.strangers
    }

    /// When a token was answered last, as active or not.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.last_success
    }

    /// When a look-up failed last, and why. It may be older than the last success, and about one odd token.
    #[must_use]
    pub fn last_error(&self) -> Option<(SystemTime, LookupErrorKind)> {
        self.last_error
    }

    fn to_json(&self) -> Value {
        let mut lookups = json!({"known": self.known.name(), "strangers": self.strangers.name()});
        let last_error = self.last_error.map(|(at, kind)| json!({"at": seconds(at), "kind": kind.name()}));
        let heard =
            [("last_success", self.last_success.map(|at| seconds(at).into())), ("last_error", last_error)];
        if let Value::Object(members) = &mut lookups {
            members.extend(heard.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        lookups
    }
}

impl IssuerHealth {
    fn fixed(name: Box<str>, keys: usize, left_out: Vec<(usize, &'static str)>) -> Self {
        Self {
            name,
            state: KeyState::Fixed,
            keys,
            left_out,
            last_success: None,
            last_error: None,
            stale_for: None,
            next_refresh: None,
            lookups: None,
        }
    }

    fn reported(name: Box<str>, report: remote::Report) -> Self {
        let remote::Report { state, keys, left_out, last_success, last_error, stale_for, next_refresh } =
            report;
        let lookups = None;
        Self { name, state, keys, left_out, last_success, last_error, stale_for, next_refresh, lookups }
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its keys are in their life.
    #[must_use]
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// How many keys are in use; 0 if they may not be used any more, or are all blocked. Where keys come with the tokens
    /// ([`Keys::x5c`](crate::manual::providers)), how many roots are valid now.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The published keys that are not used, at most a hundred of them: their places in the set, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.left_out.iter().copied()
    }

    /// When keys were fetched last.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.last_success
    }

    /// When a fetch failed last, and why. It may be older than the last success.
    #[must_use]
    pub fn last_error(&self) -> Option<(SystemTime, FetchErrorKind)> {
        self.last_error
    }

    /// For how long stale keys will be used, if no newer ones can be had.
    #[must_use]
    pub fn stale_for(&self) -> Option<Duration> {
        self.stale_for
    }

    /// After what time the next refresh starts; zero if it is under way or due.
    #[must_use]
    pub fn next_refresh(&self) -> Option<Duration> {
        self.next_refresh
    }

    /// How look-ups of its tokens go; `None` if they are not looked up.
    #[must_use]
    pub fn lookups(&self) -> Option<&LookupHealth> {
        self.lookups.as_ref()
    }

    fn to_json(&self) -> Value {
        let left_out = self.left_out.iter().map(|(index, reason)| json!({"index": index, "reason": reason}));
        let mut issuer = json!({
            "name": self.name,
            "state": self.state.name(),
            "keys": self.keys,
            "left_out": left_out.collect::<Vec<_>>(),
        });
        let last_error = self.last_error.map(|(at, kind)| json!({"at": seconds(at), "kind": kind.name()}));
        let known = [
            ("last_success", self.last_success.map(|at| seconds(at).into())),
            ("last_error", last_error),
            ("stale_for", self.stale_for.map(|left| left.as_secs().into())),
            ("next_refresh", self.next_refresh.map(|left| left.as_secs().into())),
            ("lookups", self.lookups.as_ref().map(LookupHealth::to_json)),
        ];
        if let Value::Object(members) = &mut issuer {
            members.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        issuer
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A tower service that answers with [`Health::to_json`]: 200 if every issuer's keys are usable, else 503. For a readiness
/// probe.
///
/// Before the first request keys are cold, and so it is 503 until [`ResourceServer::warm_up`] has fetched them.
///
/// ```
/// # use axum::Router;
/// # use tower_bearer::testing::Idp;
/// let api = Idp::new("https://id.example.com").resource_server("https://api.example.com");
/// let app: Router = Router::new().route_service("/readyz", api.health_service());
/// # let _ = app;
/// ```
///
/// # Security
/// It names the issuers and their faults. Put it where only operators come, or outside of the network only behind a layer.
#[derive(Clone, Debug)]
pub struct HealthService(pub(super) ResourceServer);

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let health = self.0.health();
        let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        ready(Ok(document(request.method(), status, "no-store", || health.to_json())))
    }
}
