//! [`Rule`] and [`MethodAccess`]: what a route or a method asks of a token. Evaluated on every request, never cached.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::challenge::Hints;
use crate::identity::ServerIdentity;
use crate::scope::Scope;
use crate::token::Token;

/// A requirement on a verified token: scopes, combined with [`all_of`] and [`any_of`], and what else is to be asked of it.
///
/// ```
/// use tower_bearer::{Rule, all_of, any_of};
///
/// // orders:read, and one of the two others.
/// let rule = all_of([any_of(["reports", "admin"]), all_of(["orders:read"])]);
/// // A scope, and one of two clients of one issuer.
/// let back_office = all_of(["orders:write"]).and(Rule::issuers(["shop"])).and(Rule::clients(["robot", "printer"]));
/// # let _ = (rule, back_office);
/// ```
///
/// A token that does not meet it is answered 403 with `insufficient_scope`, the one error that RFC 6750 §3.1 has for it,
/// and with the scopes that would do, if it asks for any.
#[derive(Clone)]
pub struct Rule(Node);

#[derive(Clone)]
enum Node {
    Scope(Scope),
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Issuers(Arc<[Box<str>]>),
    Clients(Arc<HashSet<Box<str>>>),
    Claim(Arc<str>, Arc<str>),
    Check(Check),
}

type Check = Arc<dyn Fn(&Token) -> bool + Send + Sync>;

/// A token that meets all of these. Of nothing: every valid token.
///
/// # Panics
/// If a literal is not a scope (RFC 6749 §3.3). Parse what is read at run time into [`Scope`]s.
#[track_caller]
pub fn all_of<I: IntoIterator<Item: IntoRule>>(rules: I) -> Rule {
    Rule::all(collect(rules))
}

/// A token that meets at least one of these.
///
/// # Panics
/// If a literal is not a scope (RFC 6749 §3.3), or if there is nothing to choose from: such a route could never
/// be called. Parse what is read at run time into [`Scope`]s.
#[track_caller]
pub fn any_of<I: IntoIterator<Item: IntoRule>>(rules: I) -> Rule {
    let rules = collect(rules);
    assert!(!rules.is_empty(), "any_of needs at least one alternative");
    Rule(Node::Any(rules))
}

/// What [`all_of`] and [`any_of`] take: a string literal, a [`Scope`] or a [`Rule`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a scope literal, a `Scope` nor a `Rule`",
    note = "parse text that is read at run time into a `Scope` first: `text.parse::<Scope>()?`"
)]
pub trait IntoRule: sealed::Sealed {
    /// # Panics
    /// If a literal is not a scope.
    #[track_caller]
    fn into_rule(self) -> Rule;
}

impl Rule {
    /// Every valid token.
    #[must_use]
    pub fn authenticated() -> Self {
        Self(Node::All(Vec::new()))
    }

    /// A token of one of these issuers, by their names in the configuration. A layer that should not even look at the
    /// tokens of others says [`BearerAuthLayer::issuers`](crate::BearerAuthLayer::issuers).
    ///
    /// # Panics
    /// If there is none. A layer panics when it is made, if its server has no issuer of such a name.
    #[must_use]
    #[track_caller]
    pub fn issuers<I: IntoIterator<Item: AsRef<str>>>(names: I) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(|name| name.as_ref().into()).collect();
        assert!(!names.is_empty(), "Rule::issuers needs at least one name");
        Self(Node::Issuers(names.into()))
    }

    /// A token of one of these clients: its [`client_id`](Token::client_id) is one of them.
    ///
    /// # Security
    /// Each issuer names its clients as it likes. With more than one issuer, say of which:
    /// `Rule::issuers(["shop"]).and(Rule::clients(["robot"]))`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn clients<I: IntoIterator<Item: AsRef<str>>>(ids: I) -> Self {
        let ids: HashSet<Box<str>> = ids.into_iter().map(|id| id.as_ref().into()).collect();
        assert!(!ids.is_empty(), "Rule::clients needs at least one client");
        Self(Node::Clients(Arc::new(ids)))
    }

    /// A token with a claim that is this text, or an array that holds it. The claim is given by its name or, with a
    /// leading slash, by a JSON Pointer (RFC 6901). The claims are read anew for it.
    #[must_use]
    pub fn claim(claim: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self(Node::Claim(claim.into(), value.into()))
    }

    /// A token of which this is true. It runs on every request and should take little time; a panic in it is one in the
    /// service.
    ///
    /// ```
    /// use tower_bearer::Rule;
    ///
    /// let robots = Rule::check(|token| token.client_id().is_some_and(|id| id.starts_with("robot-")));
    /// # let _ = robots;
    /// ```
    #[must_use]
    pub fn check(check: impl Fn(&Token) -> bool + Send + Sync + 'static) -> Self {
        Self(Node::Check(Arc::new(check)))
    }

    /// This, and that too.
    ///
    /// # Panics
    /// If a literal is not a scope.
    #[must_use]
    #[track_caller]
    pub fn and(self, other: impl IntoRule) -> Self {
        Self::all(vec![self, other.into_rule()])
    }

    /// This, or else that.
    ///
    /// # Panics
    /// If a literal is not a scope.
    #[must_use]
    #[track_caller]
    pub fn or(self, other: impl IntoRule) -> Self {
        Self(Node::Any(vec![self, other.into_rule()]))
    }

    /// All of one is that one.
    fn all(mut rules: Vec<Self>) -> Self {
        match rules.pop() {
            Some(only) if rules.is_empty() => only,
            last => {
                rules.extend(last);
                Self(Node::All(rules))
            }
        }
    }

    /// No token at all.
    pub(crate) fn never() -> Self {
        Self(Node::Any(Vec::new()))
    }

    /// Whether the token meets it.
    #[must_use]
    pub fn allows(&self, token: &Token) -> bool {
        match &self.0 {
            Node::Scope(scope) => token.meets(scope.borrowed()),
            Node::All(rules) => rules.iter().all(|rule| rule.allows(token)),
            Node::Any(rules) => rules.iter().any(|rule| rule.allows(token)),
            Node::Issuers(names) => names.iter().any(|name| **name == *token.issuer_name()),
            Node::Clients(ids) => token.client_id().is_some_and(|id| ids.contains(id)),
            Node::Claim(claim, value) => token.claim_holds(claim, value),
            Node::Check(check) => check(token),
        }
    }

    /// The scopes of one token that would do, separated by spaces: all of an all-of, of an any-of the first that asks for
    /// scopes. That is what a challenge names (RFC 6750 §3), so that one more token request is enough.
    pub(crate) fn sufficient_scopes(&self) -> String {
        let mut scopes = Vec::new();
        self.collect_sufficient(&mut scopes);
        scopes.join(" ")
    }

    /// Every scope that it mentions.
    pub(crate) fn scopes(&self) -> Vec<&Scope> {
        match &self.0 {
            Node::Scope(scope) => vec![scope],
            Node::All(rules) | Node::Any(rules) => rules.iter().flat_map(Self::scopes).collect(),
            _ => Vec::new(),
        }
    }

    /// Every issuer that it names.
    pub(crate) fn issuer_names(&self) -> Vec<&str> {
        match &self.0 {
            Node::Issuers(names) => names.iter().map(AsRef::as_ref).collect(),
            Node::All(rules) | Node::Any(rules) => rules.iter().flat_map(Self::issuer_names).collect(),
            _ => Vec::new(),
        }
    }

    fn collect_sufficient<'a>(&'a self, into: &mut Vec<&'a str>) {
        match &self.0 {
            Node::Scope(scope) if into.contains(&scope.as_str()) => {}
            Node::Scope(scope) => into.push(scope.as_str()),
            Node::All(rules) => rules.iter().for_each(|rule| rule.collect_sufficient(into)),
            Node::Any(rules) => {
                if let Some(rule) = rules.iter().find(|rule| !rule.scopes().is_empty()) {
                    rule.collect_sufficient(into);
                }
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Scope(scope) => fmt::Debug::fmt(scope, f),
            Node::All(rules) => f.debug_tuple("all_of").field(rules).finish(),
            Node::Any(none) if none.is_empty() => f.write_str("nobody"),
            Node::Any(rules) => f.debug_tuple("any_of").field(rules).finish(),
            Node::Issuers(names) => f.debug_tuple("issuers").field(names).finish(),
            Node::Clients(ids) => f.debug_tuple("clients").field(ids).finish(),
            Node::Claim(claim, value) => f.debug_tuple("claim").field(claim).field(value).finish(),
            Node::Check(_) => f.write_str("check(..)"),
        }
    }
}

impl IntoRule for Rule {
    fn into_rule(self) -> Rule {
        self
    }
}

impl IntoRule for Scope {
    fn into_rule(self) -> Rule {
        Rule(Node::Scope(self))
    }
}

impl IntoRule for &Scope {
    fn into_rule(self) -> Rule {
        Rule(Node::Scope(self.clone()))
    }
}

impl IntoRule for &'static str {
    #[track_caller]
    fn into_rule(self) -> Rule {
        match self.parse() {
            Ok(scope) => Rule(Node::Scope(scope)),
            Err(error) => {
                #[expect(clippy::panic, reason = "a literal in the program's text, as documented")]
                {
                    panic!("{self:?}: {error}")
                }
            }
        }
    }
}

// Not an iterator chain: the location of the caller would be lost in a closure.
#[track_caller]
fn collect<I: IntoIterator<Item: IntoRule>>(rules: I) -> Vec<Rule> {
    let mut collected = Vec::new();
    for rule in rules {
        collected.push(rule.into_rule());
    }
    collected
}

/// Rules by gRPC method, for [`BearerAuthLayer::methods`](crate::BearerAuthLayer::methods).
///
/// ```
/// use tower_bearer::MethodAccess;
///
/// let rules = MethodAccess::deny()
///     .public("/grpc.health.v1.Health/Check")
///     .method("/orders.v1.Orders/List", ["orders:read"])
///     .method("/orders.v1.Orders/Create", ["orders:write"]);
/// # let _ = rules;
/// ```
///
/// Names are exact: `/package.Service/Method`, as they are in the path of the call. What is said of a method counts
/// before what is said of its service, and that before what is said of the rest. A path of another form is refused. So
/// the layer goes where the path is that of the call: with axum's `nest` on the nested router, not around it.
///
/// # Security
/// Start with [`deny`](Self::deny): a method that is added to a service later, or one whose name is mistyped here, is
/// then refused instead of being open to every client that has a token.
#[derive(Clone, Debug)]
#[must_use]
pub struct MethodAccess {
    methods: HashMap<Box<str>, Ask>,
    services: HashMap<Box<str>, Ask>,
    otherwise: Ask,
    /// For a path that is no method's.
    never: Ask,
}

/// What is asked of a request.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Nothing; no token is looked at.
    Nothing,
    /// A token that meets the rule, or, if it is optional, none.
    Token { rule: Rule, optional: bool, hints: Arc<Hints> },
}

impl Ask {
    pub(crate) fn token(rule: Rule, optional: bool) -> Self {
        let scope = Some(rule.sufficient_scopes()).filter(|scope| !scope.is_empty()).map(Into::into);
        Self::Token { rule, optional, hints: Arc::new(Hints::new(scope, None)) }
    }

    /// The same of a layer of this server: its refusals also say where its metadata are.
    pub(crate) fn of(self, server: &ServerIdentity) -> Self {
        let Self::Token { rule, optional, hints } = self else { return self };
        let hints = match hints.scope() {
            Some(scope) => Arc::new(Hints::kept(Some(scope.clone()), server.hints.metadata_url().cloned())),
            None => server.hints.clone(),
        };
        Self::Token { rule, optional, hints }
    }

    pub(crate) fn scopes(&self) -> Vec<&Scope> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Token { rule, .. } => rule.scopes(),
        }
    }

    pub(crate) fn issuer_names(&self) -> Vec<&str> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Token { rule, .. } => rule.issuer_names(),
        }
    }
}

impl MethodAccess {
    /// A method that is not listed is refused: without a token as unauthenticated, with one as not permitted.
    pub fn deny() -> Self {
        Self::otherwise(Rule::never())
    }

    /// A method that is not listed may be called with any valid token.
    pub fn authenticated() -> Self {
        Self::otherwise(Rule::authenticated())
    }

    fn otherwise(rule: Rule) -> Self {
        Self {
            methods: HashMap::new(),
            services: HashMap::new(),
            otherwise: Ask::token(rule, false),
            never: Ask::token(Rule::never(), false),
        }
    }

    /// A method that anybody may call; no token is looked at.
    ///
    /// # Panics
    /// If the name is not `/package.Service/Method`, or listed already.
    #[track_caller]
    pub fn public(mut self, method: &str) -> Self {
        self.say(method, Ask::Nothing);
        self
    }

    /// A method that asks for all of these scopes; of none, for any valid token.
    ///
    /// # Panics
    /// If the name is not `/package.Service/Method` or listed already, or if a literal is not a scope.
    #[track_caller]
    pub fn method<I: IntoIterator<Item: IntoRule>>(self, method: &str, scopes: I) -> Self {
        self.method_rule(method, all_of(scopes))
    }

    /// A method that asks for a rule.
    ///
    /// # Panics
    /// If the name is not `/package.Service/Method`, or listed already.
    #[track_caller]
    pub fn method_rule(mut self, method: &str, rule: Rule) -> Self {
        self.say(method, Ask::token(rule, false));
        self
    }

    /// Every method of a service that is not listed itself asks for a rule. With the feature `tonic`,
    /// `service::<OrdersServer<_>>(scopes)` takes the name from the generated code.
    ///
    /// # Panics
    /// If the name is not `package.Service`, or listed already.
    #[track_caller]
    pub fn service_rule(mut self, service: &str, rule: Rule) -> Self {
        assert!(is_name(service), "{service:?} is not the name of a service; write package.Service");
        let before = self.services.insert(service.into(), Ask::token(rule, false));
        assert!(before.is_none(), "{service:?} is listed twice");
        self
    }

    #[track_caller]
    fn say(&mut self, method: &str, ask: Ask) {
        let named = split(method).is_some_and(|(service, method)| is_name(service) && is_name(method));
        assert!(named, "{method:?} is not the name of a method; write /package.Service/Method");
        let before = self.methods.insert(method.into(), ask);
        assert!(before.is_none(), "{method:?} is listed twice");
    }

    /// The methods that are named.
    #[cfg(feature = "reflection")]
    pub(crate) fn method_names(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(AsRef::as_ref)
    }

    /// The services that are named.
    #[cfg(feature = "reflection")]
    pub(crate) fn service_names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(AsRef::as_ref)
    }

    /// A path that is not exactly `/service/method` is nobody's: whatever is behind the layer and reads it in another way
    /// must not be reached with less than its rule.
    pub(crate) fn at(&self, path: &str) -> &Ask {
        let Some((service, _)) = split(path) else { return &self.never };
        self.methods.get(path).or_else(|| self.services.get(service)).unwrap_or(&self.otherwise)
    }

    /// The same of a layer of this server.
    pub(crate) fn of(self, server: &ServerIdentity) -> Self {
        let all = |asks: HashMap<Box<str>, Ask>| {
            asks.into_iter().map(|(name, ask)| (name, ask.of(server))).collect()
        };
        Self {
            methods: all(self.methods),
            services: all(self.services),
            otherwise: self.otherwise.of(server),
            never: self.never.of(server),
        }
    }

    pub(crate) fn scopes(&self) -> Vec<&Scope> {
        self.asked().flat_map(Ask::scopes).collect()
    }

    pub(crate) fn issuer_names(&self) -> Vec<&str> {
        self.asked().flat_map(Ask::issuer_names).collect()
    }

    fn asked(&self) -> impl Iterator<Item = &Ask> {
        self.methods.values().chain(self.services.values()).chain([&self.otherwise])
    }
}

/// `/service/method`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some((service, method))
}

/// Letters, digits, underscores, and dots between packages, as Protocol Buffers have them.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Rule {}
    impl Sealed for super::Scope {}
    impl Sealed for &super::Scope {}
    impl Sealed for &'static str {}
}
