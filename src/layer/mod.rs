//! [`BearerAuthLayer`]: the middleware.

mod credentials;
mod policy;
mod future;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

pub use self::future::ResponseFuture;
#[cfg(any(feature = "axum", feature = "mcp"))]
pub(crate) use self::policy::find;
use self::policy::{Access, Policy};
#[cfg(feature = "mcp")]
pub(crate) use self::policy::{Anonymous, respond};
pub use self::service::BearerAuth;
use crate::access::{Ask, IntoRule, MethodAccess, Rule, all_of};
use crate::refusal::EmptyBody;
use crate::server::{ResourceServer, Trusted};

/// Protects everything it wraps: a request passes if it carries exactly one `Authorization: Bearer` header with a
/// token that the [`ResourceServer`] accepts and that meets the layer's rule.
///
/// Put one around all routes, and another with a rule of its own around each route that asks for more; the inner one
/// takes over what the outer one has verified. The deriving methods leave the layer that they are called on as it is.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_bearer::{BearerAuthLayer, any_of};
/// # let idp = tower_bearer::testing::Idp::new("https://id.example.com");
/// # let api = idp.resource_server("https://api.example.com");
///
/// let auth = BearerAuthLayer::new(api);
/// let app: Router = Router::new()
///     .route("/orders", get(|| async { "orders" }).layer(auth.scopes(["orders:read"])))
///     .route("/report", get(|| async { "report" }).layer(auth.require(any_of(["reports", "admin"]))))
///     .layer(auth);
/// ```
#[derive(Clone)]
#[must_use]
pub struct BearerAuthLayer<R = EmptyBody> {
    policy: Arc<Policy>,
    respond: R,
}

impl BearerAuthLayer {
    /// Asks for a valid token and nothing more. A refusal has an empty body.
    pub fn new(server: ResourceServer) -> Self {
        let access = Access::Always(Ask::token(Rule::authenticated(), false));
        let policy = Policy::new(server, access, Trusted::All);
        Self { policy: Arc::new(policy), respond: EmptyBody::default() }
    }
}

impl<R: Clone> BearerAuthLayer<R> {
    /// A layer that asks for all of these scopes.
    ///
    /// # Panics
    /// If a literal is not a scope. Parse what is read at run time into [`Scope`](crate::Scope)s.
    #[track_caller]
    pub fn scopes<I: IntoIterator<Item: IntoRule>>(&self, scopes: I) -> Self {
        self.require(all_of(scopes))
    }

    /// A layer that asks for this rule, and for a token: a rule derived from an [`optional`](Self::optional) layer is
    /// not optional.
    ///
    /// # Panics
    /// If the rule names an issuer that the server has not.
    #[track_caller]
    pub fn require(&self, rule: Rule) -> Self {
        self.asking(Access::Always(Ask::token(rule, false)))
    }

    /// A layer that also lets requests without credentials pass. A bad token is refused all the same, and a token
    /// that is there must meet the rule. Credentials of another scheme, such as Basic, are no credentials here.
    ///
    /// Say it last: `auth.scopes(["feed"]).optional()`.
    ///
    /// Do not put it inside a layer that asks for a token: the outer one has refused already.
    pub fn optional(&self) -> Self {
        match &self.policy.access {
            Access::Always(Ask::Token { rule, .. }) => {
                self.asking(Access::Always(Ask::token(rule.clone(), true)))
            }
            // Each method says for itself whether it is public.
            access => self.asking(access.clone()),
        }
    }

    /// A layer that asks for what its rules say of the called gRPC method, and nothing else: it replaces what
    /// [`scopes`](Self::scopes), [`require`](Self::require) and [`optional`](Self::optional) have said, as those replace
    /// the rules. A method is open to anybody only if the rules say [`public`](MethodAccess::public).
    ///
    /// # Panics
    /// If a rule names an issuer that the server has not.
    #[track_caller]
    pub fn methods(&self, rules: MethodAccess) -> Self {
        self.asking(Access::ByMethod(rules))
    }

    /// A layer that accepts tokens of these issuers only, by their names in the configuration.
    ///
    /// # Panics
    /// If the server has no issuer of such a name, or on a [live](Self::live) layer none of these has a lookup.
    #[track_caller]
    pub fn issuers<I: IntoIterator<Item: AsRef<str>>>(&self, names: I) -> Self {
        let Policy { server, access, .. } = &*self.policy;
        let mut trusted = Vec::new();
        for name in names {
            let name = name.as_ref();
            assert!(server.has_issuer(name), "no issuer is called {name:?}");
            trusted.push(name.into());
        }
        self.with(Policy::new(server.clone(), access.clone(), Trusted::Only(trusted.into())))
    }

    /// A layer that accepts tokens only for so long after they were issued (`iat`), give or take the issuer's leeway: for
    /// routes where a token that was revoked, or whose client has lost its rights, must be of no use soon. An older one, and
    /// one without `iat`, is 401, and the client gets a new one.
    ///
    /// ```
    /// # use tower_bearer::{BearerAuthLayer, testing::Idp};
    /// # let idp = Idp::new("https://id.example.com");
    /// # let auth = BearerAuthLayer::new(idp.resource_server("https://api.example.com"));
    /// let payments = auth.scopes(["pay"]).max_age(std::time::Duration::from_secs(120));
    /// # let _ = payments;
    /// ```
    pub fn max_age(&self, max_age: Duration) -> Self {
        let Policy { server, access, trusted, .. } = &*self.policy;
        let policy = Policy::new(server.clone(), access.clone(), trusted.clone());
        self.with(Policy { max_age: Some(max_age), ..policy })
    }

    /// A layer that lets a token pass only if its issuer says now that it is active: for routes where a token that was revoked
    /// must be of no use at once, such as payments and administration. Elsewhere tokens are verified as always.
    ///
    /// Each request with a token that would pass costs its issuer a call: by introspection, or by the issuer's
    /// [lookup](crate::Issuer::lookup). What is remembered does not count. Requests that wait for an answer about one token
    /// share it, and so do those that come up to [`LIVE_ANSWER_FOR`] after it, at a server that remembers tokens.
    ///
    /// ```
    /// use tower_bearer::{BearerAuthLayer, Introspection, Issuer, Keys, ResourceServer};
    ///
    /// # fn secret() -> String { "a secret of ours".to_owned() }
    /// let introspection = Introspection::discovered().basic("orders-api", secret());
    /// let issuer = Issuer::new("https://id.example.com")
    ///     .keys(Keys::discovery()) // said, so that JWTs are still verified here
    ///     .introspection(introspection)
    ///     .token_prefix("opaque_"); // none of its tokens starts so: it is asked about JWTs on live routes, and no others
    /// let api = ResourceServer::builder("https://api.example.com")
    ///     .issuer(issuer)
    /// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
    ///     .build()?;
    ///
    /// let auth = BearerAuthLayer::new(api);
    /// let orders = auth.scopes(["orders:read"]);
    /// let payments = auth.scopes(["payments:write"]).live();
    /// # let _ = (orders, payments);
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// The issuer is asked last, about tokens that meet everything else: neither made-up tokens nor those without the scope
    /// cause a call.
    ///
    /// | what comes of it | answer |
    /// |---|---|
    /// | it is active | passes |
    /// | it is not active | 401, [`Inactive`](crate::TokenError::Inactive); for [`REFUSED_FOR`] without asking again |
    /// | what is said contradicts the JWT | 401; which is said below |
    /// | there is no answer | 503 with `Retry-After`, as for every look-up |
    /// | the token's issuer has no lookup | 403, and a warning of the target `tower_bearer::config` |
    ///
    /// A JWT stays what it says itself; the answer adds nothing to it and takes nothing away, not even scopes. But where the
    /// answer says `iss`, `aud`, `exp`, `nbf` or `iat`, they must hold, and where both say `sub` or the client, it must be the
    /// same. A binding to a key (`cnf`, `token_type` `DPoP`) is refused. Of a token that was looked up the fresh answer counts
    /// as a whole, replaces what was remembered, and is held to the layer's rule again; but a JWT ends when it says itself, if
    /// that is sooner.
    ///
    /// A layer inside another asks for itself, whatever the outer one has done. It holds for all requests that carry a token,
    /// on [optional](Self::optional) layers and for gRPC [methods](Self::methods) too, but for public ones.
    ///
    /// Say [`Issuer::keys`](crate::Issuer::keys) with [`Issuer::introspection`](crate::Issuer::introspection): without keys an
    /// issuer's JWTs are looked up everywhere. With it the issuer's opaque tokens are accepted on all routes; a
    /// [`token_prefix`](crate::Issuer::token_prefix) that none of its tokens has keeps them out, and does not concern JWTs here.
    ///
    /// # Security
    /// Other routes do not learn of it that a JWT was revoked: there it is good until its end. To refuse it everywhere,
    /// [deny](crate::ResourceServer::deny) it. A token that was looked up is forgotten on all routes, which then ask.
    ///
    /// A token that is revoked while its issuer is asked may pass once more, within [`LOOKUP_TIMEOUT`], and
    /// [`LIVE_ANSWER_FOR`] after the answer.
    ///
    /// # Panics
    /// If none of the layer's issuers has a lookup: no token could pass. So do methods that derive from this layer.
    ///
    /// [`LIVE_ANSWER_FOR`]: crate::manual::defaults::LIVE_ANSWER_FOR
    /// [`LOOKUP_TIMEOUT`]: crate::manual::defaults::LOOKUP_TIMEOUT
    /// [`REFUSED_FOR`]: crate::manual::defaults::REFUSED_FOR
    #[track_caller]
    pub fn live(&self) -> Self {
        let Policy { server, access, trusted, .. } = &*self.policy;
        let policy = Policy::new(server.clone(), access.clone(), trusted.clone());
        self.with(Policy { live: true, ..policy })
    }

    /// A layer whose refusals look like this. See [`Respond`](crate::Respond).
    ///
    /// ```
    /// use http::Response;
    /// use tower_bearer::{BearerAuthLayer, Rejection, RequestHead};
    /// # let idp = tower_bearer::testing::Idp::new("https://id.example.com");
    /// # let api = idp.resource_server("https://api.example.com");
    ///
    /// let auth = BearerAuthLayer::new(api)
    ///     .respond_with(|why: &Rejection, _: &RequestHead<'_>| why.response(format!("{why}\n")));
    /// # let _ = auth;
    /// ```
    pub fn respond_with<R2>(&self, respond: R2) -> BearerAuthLayer<R2> {
        BearerAuthLayer { policy: self.policy.clone(), respond }
    }

    #[track_caller]
    fn asking(&self, access: Access) -> Self {
        let Policy { server, trusted, .. } = &*self.policy;
        self.with(Policy::new(server.clone(), access, trusted.clone()))
    }

    /// The age stays what it was, unless another is given, and what is live stays so.
    #[track_caller]
    fn with(&self, policy: Policy) -> Self {
        let max_age = policy.max_age.or(self.policy.max_age);
        let policy = Policy { max_age, live: policy.live || self.policy.live, ..policy };
        assert!(
            !policy.live || policy.server.0.can_ask_any(&policy.trusted),
            "none of the layer's issuers can be asked about its tokens; give one an introspection or a lookup"
        );
        Self { policy: Arc::new(policy), respond: self.respond.clone() }
    }
}

impl<S, R: Clone> Layer<S> for BearerAuthLayer<R> {
    type Service = BearerAuth<S, R>;

    fn layer(&self, inner: S) -> BearerAuth<S, R> {
        BearerAuth::new(inner, self.policy.clone(), self.respond.clone())
    }
}

impl<R> fmt::Debug for BearerAuthLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuthLayer").field("policy", &self.policy).finish_non_exhaustive()
    }
}
