//! From what was said of an issuer to one that is trusted, or to what is wrong with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Defaults, Issuer, MAX_LEEWAY, TrustedIssuer};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::Warnings;
use crate::identity::IssuerIdentity;
use crate::jose::{Accepted, Algorithm, AlgorithmSet, Rules, normal_type};
use crate::keys::{Context, KeySource, Keys};
use crate::lookup::desk::{Desk, Memory, Settings};
use crate::lookup::{self, Signer};
use crate::scope::{Granted, Scope};
use crate::token::Bases;

impl Issuer {
    #[cfg(feature = "reqwest")]
    pub(in crate::server) fn needs_default_fetch(&self) -> bool {
        self.fetch.is_none() && self.fetches()
    }

    /// Whether anything of it comes over a [`Fetch`].
    #[cfg(feature = "reqwest")]
    fn fetches(&self) -> bool {
        self.keys.as_ref().is_some_and(Keys::are_remote)
            || self.lookup.as_ref().is_some_and(lookup::Lookup::needs_fetch)
    }

    pub(in crate::server) fn is_on_plain_http(&self) -> bool {
        let iss = self.iss.as_deref();
        let keys = self.keys.as_ref().and_then(|keys| keys.url(iss));
        let lookup = self.lookup.as_ref().and_then(|lookup| lookup.url(iss));
        let scheme = |url: &str| url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let mut schemes = keys.into_iter().chain(lookup).map(scheme).peekable();
        schemes.peek().is_some() && schemes.all(|scheme| scheme.as_deref() == Some("http"))
    }

    pub(in crate::server) fn resolve(
        self,
        place: usize,
        defaults: &Defaults<'_>,
    ) -> Result<TrustedIssuer, ConfigError> {
        self.check()?;
        #[cfg(feature = "redis")]
        self.check_answers(defaults.cache.is_some())?;
        let algorithms: AlgorithmSet = self
            .algorithms
            .as_ref()
            .map_or_else(|| Algorithm::ALL.to_vec(), Clone::clone)
            .into_iter()
            .collect();
        self.log_dangers();
        let server = defaults.server;
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
                Some(vec![server.identifier.to_string()])
            } else {
                Some(self.audience)
            },
            audience_optional: self.profile.audience_is_optional(),
            leeway: self.leeway.into(),
        };
        let mut grants: HashMap<String, Granted<'static>> = HashMap::new();
        for (client, scopes) in self.grants {
            let granted = grants.entry(client).or_default();
            *granted = granted.and(&Granted::from_items(scopes.iter().map(String::as_str)));
        }
        let fetch = self.fetch.or(default);
        let context = Context {
            iss: self.iss.as_deref(),
            label: &self.name,
            algorithms,
            allow_http: self.allow_http,
            fetch: fetch.clone(),
            clock: server.clock.clone(),
            observers: server.observers.clone(),
            // Whoever changes the working directory does not move the file.
            snapshot: self.snapshot.map(|path| std::path::absolute(&path).unwrap_or(path)),
            leeway: self.leeway,
        };
        let keys = match self.keys {
            Some(keys) => keys.resolve(context).map_err(|error| error.at("keys"))?,
            None => KeySource::None,
        };
        let desk = match self.lookup {
            None => None,
            Some(lookup) => {
                #[cfg(feature = "redis")]
                let signed = lookup.is_signed();
                let lookup = lookup.resolve(lookup::Context {
                    iss: self.iss.as_deref(),
                    allow_http: self.allow_http,
                    fetch,
                    clock: server.clock.clone(),
                    signer: Signer {
                        names: self.iss.iter().chain(&self.also).cloned().collect(),
                        keys: keys.clone(),
                        algorithms: rules.algorithms.clone(),
                        leeway: self.leeway,
                        turns: defaults.turns.clone(),
                    },
                });
                #[cfg(feature = "redis")]
                let answers = self
                    .answers
                    .map(|answers| {
                        answers.resolve(&self.name, &server.identifier, signed, server.clock.clone())
                    })
                    .transpose()?;
                #[cfg(not(feature = "redis"))]
                let answers = None;
                Some(Desk::new(Settings {
                    lookup: lookup.map_err(|error| error.at("introspection"))?,
                    answers,
                    label: (&*self.name).into(),
                    clock: server.clock.clone(),
                    observers: server.observers.clone(),
                    memory: defaults.cache.cloned().map(|cache| cache as Arc<dyn Memory>),
                    verifies_jwts: !matches!(keys, KeySource::None),
                }))
            }
        };
        let identity = Arc::new(IssuerIdentity {
            server: server.clone(),
            place,
            name: self.name.into(),
            iss: self.iss.map(Into::into),
            leeway: self.leeway,
            warnings: Warnings::new(server.clock.instant()),
        });
        Ok(TrustedIssuer {
            identity,
            bases: Bases::default(),
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

    #[cfg(feature = "redis")]
    fn check_answers(&self, remembers: bool) -> Result<(), ConfigError> {
        let message = match &self.answers {
            Some(_) if self.lookup.is_none() => {
                "its tokens are not looked up; leave it out, or write introspection"
            }
            Some(_) if !remembers => {
                "contradicts without_cache (cache = false in a file), where each request asks; write one of the two"
            }
            _ => return Ok(()),
        };
        Err(ConfigError::new(ConfigErrorKind::Lookup, message).at("shared_answers"))
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
