//! [`Rule`]: what a route asks of a token. Evaluated on every request, never cached.

use std::fmt;

use crate::scope::Scope;
use crate::token::Token;

/// A requirement on a verified token: scopes, combined with [`all_of`] and [`any_of`].
///
/// ```
/// use tower_bearer::{all_of, any_of};
///
/// // orders:read, and one of the two others.
/// let rule = all_of([any_of(["reports", "admin"]), all_of(["orders:read"])]);
/// # let _ = rule;
/// ```
#[derive(Clone)]
pub struct Rule(Node);

#[derive(Clone)]
enum Node {
    Scope(Scope),
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

/// A token that meets all of these. Of nothing: every valid token.
///
/// # Panics
/// If a literal is not a scope (RFC 6749 §3.3). Parse what is read at run time into [`Scope`]s.
#[track_caller]
pub fn all_of<I: IntoIterator<Item: IntoRule>>(rules: I) -> Rule {
    Rule(Node::All(collect(rules)))
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

    /// Whether the token meets it.
    #[must_use]
    pub fn allows(&self, token: &Token) -> bool {
        match &self.0 {
            Node::Scope(scope) => token.scopes().contains(scope.as_str()),
            Node::All(rules) => rules.iter().all(|rule| rule.allows(token)),
            Node::Any(rules) => rules.iter().any(|rule| rule.allows(token)),
        }
    }

    /// The scopes of one token that would do, separated by spaces: all of an all-of, the first of an any-of. That
    /// is what a challenge names (RFC 6750 §3), so that one more token request is enough.
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
        }
    }

    fn collect_sufficient<'a>(&'a self, into: &mut Vec<&'a str>) {
        match &self.0 {
            Node::Scope(scope) if into.contains(&scope.as_str()) => {}
            Node::Scope(scope) => into.push(scope.as_str()),
            Node::All(rules) => rules.iter().for_each(|rule| rule.collect_sufficient(into)),
            Node::Any(rules) => rules.iter().take(1).for_each(|rule| rule.collect_sufficient(into)),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Scope(scope) => fmt::Debug::fmt(scope, f),
            Node::All(rules) => f.debug_tuple("all_of").field(rules).finish(),
            Node::Any(rules) => f.debug_tuple("any_of").field(rules).finish(),
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

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Rule {}
    impl Sealed for super::Scope {}
    impl Sealed for &super::Scope {}
    impl Sealed for &'static str {}
}
