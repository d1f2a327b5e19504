//! `[[route]]`: who may call what, as a deployer writes it.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;

use super::{OneOrMany, Settings, wrong};
use crate::access::{Rule, all_of, any_of};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::scope::Scope;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSettings {
    method: Option<String>,
    path: String,
    scopes: Option<Vec<String>>,
    any_scopes: Option<Vec<String>>,
    issuers: Option<Vec<String>>,
    clients: Option<Vec<String>>,
    #[serde(default)]
    claims: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    live: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    public: bool,
}

/// A route of a settings file.
#[derive(Debug, Clone)]
pub struct Route {
    method: Option<Method>,
    path: String,
    access: Access,
    live: bool,
}

/// Who may call a route.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Access {
    /// Anybody; no token is looked at.
    Public,
    /// Anybody without a token, and with one whoever meets the rule.
    Optional(Rule),
    /// Whoever has a token that meets the rule.
    Required(Rule),
}

impl RouteSettings {
    pub(super) fn read(&self, whole: &Settings) -> Result<Route, ConfigError> {
        if !self.path.starts_with('/') {
            return Err(wrong("does not start with a slash; write one such as \"/orders\"").at("path"));
        }
        let method = self.method.as_deref().map(read_method).transpose()?;
        let rule = self.read_rule(whole)?;
        let access = match (self.public, self.optional, rule) {
            (true, false, None) => Access::Public,
            (true, true, _) => return Err(wrong("contradicts public; write one of the two").at("optional")),
            (true, false, Some(_)) => {
                let message = "no token is looked at, so nothing can be asked of it; leave out public, or what is asked";
                return Err(wrong(message).at("public"));
            }
            (false, true, rule) => Access::Optional(rule.unwrap_or_else(Rule::authenticated)),
            (false, false, rule) => Access::Required(rule.unwrap_or_else(Rule::authenticated)),
        };
        if self.live {
            self.check_live(whole)?;
        }
        Ok(Route { method, path: self.path.clone(), access, live: self.live })
    }

    /// Somebody must be able to call it.
    fn check_live(&self, whole: &Settings) -> Result<(), ConfigError> {
        if self.public {
            return Err(wrong(
                "no token is looked at, so nobody is asked about one; leave out public, or this",
            )
            .at("live"));
        }
        if !whole.looks_up(self.issuers.as_deref()) {
            let message = "no issuer of this route can be asked about its tokens; write introspection, or leave this out";
            return Err(ConfigError::new(ConfigErrorKind::Lookup, message).at("live"));
        }
        Ok(())
    }

    /// Everything that is written, and nothing if nothing is.
    fn read_rule(&self, whole: &Settings) -> Result<Option<Rule>, ConfigError> {
        let empty = |list: &Option<Vec<_>>| list.as_ref().is_some_and(Vec::is_empty);
        let lists =
            [("any_scopes", &self.any_scopes), ("issuers", &self.issuers), ("clients", &self.clients)];
        if let Some((field, _)) = lists.into_iter().find(|(_, list)| empty(list)) {
            let message = "empty, so nobody could call this route; write some or leave it out";
            let kind = if field == "any_scopes" { ConfigErrorKind::Scope } else { ConfigErrorKind::Claim };
            return Err(ConfigError::new(kind, message).at(field));
        }
        let mut rules = Vec::new();
        if let Some(scopes) = &self.scopes {
            rules.push(all_of(read_scopes(scopes, "scopes")?));
        }
        if let Some(scopes) = &self.any_scopes {
            rules.push(any_of(read_scopes(scopes, "any_scopes")?));
        }
        if let Some(names) = &self.issuers {
            if let Some(unknown) = names.iter().find(|name| !whole.has_issuer(name)) {
                let message = format!("no issuer is called {unknown:?}; write the name of one, or its iss");
                return Err(ConfigError::new(ConfigErrorKind::Issuer, message).at("issuers"));
            }
            rules.push(Rule::issuers(names));
        }
        if let Some(ids) = &self.clients {
            rules.push(Rule::clients(ids));
        }
        for (claim, values) in &self.claims {
            let values = values.as_slice();
            if values.is_empty() {
                let message = "empty, so nobody could call this route; write a value, or leave it out";
                return Err(ConfigError::new(ConfigErrorKind::Claim, message).at(claim).at("claims"));
            }
            rules.push(any_of(values.iter().map(|value| Rule::claim(claim.as_str(), value.as_str()))));
        }
        // One alone stays as it is: it is what a person sees of it.
        let mut rules = rules.into_iter();
        Ok(rules.next().map(|first| rules.fold(first, |all, rule| all.and(rule))))
    }
}

impl Route {
    /// The method; `None` for any.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The path, in the router's syntax.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who may call it.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether a token's issuer is asked on each request: see [`BearerAuthLayer::live`](crate::BearerAuthLayer::live).
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }
}

fn read_method(text: &str) -> Result<Method, ConfigError> {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    known.into_iter().find(|method| method.as_str() == text).ok_or_else(|| {
        wrong("not a method; write GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE or CONNECT")
            .at("method")
    })
}

fn read_scopes(texts: &[String], field: &str) -> Result<Vec<Scope>, ConfigError> {
    let read = |(index, text): (usize, &String)| {
        text.parse::<Scope>().map_err(|error| {
            let message = format!("{text:?} is no scope: {error}; write one scope per string");
            ConfigError::new(ConfigErrorKind::Scope, message).at(&format!("{field}[{index}]"))
        })
    };
    texts.iter().enumerate().map(read).collect()
}
