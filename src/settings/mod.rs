//! Settings as a deployer writes them, in TOML.
//!
//! ```
//! use tower_bearer::settings::{Access, Settings};
//!
//! let settings = Settings::from_toml(
//!     r#"
//!     resource = "https://api.example.com"   # our identifier, the default audience
//!
//!     [[issuer]]
//!     iss      = "https://id.example.com"
//!     jwks     = "https://id.example.com/jwks"
//!
//!     [[route]]
//!     method = "GET"
//!     path   = "/orders"
//!     scopes = ["orders:read"]
//!     "#,
//! )?;
//! # #[cfg(feature = "reqwest")] {
//! let api = settings.resource_server()?;
//! assert_eq!(api.identifier(), "https://api.example.com");
//! # }
//! for route in settings.routes()? {
//!     assert_eq!(route.path(), "/orders");
//!     assert!(matches!(route.access(), Access::Required(_)));
//! }
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! Every mistake is a [`ConfigError`] in one line that names the field's path and says what to write instead. The
//! README lists all fields.
//!
//! # Test a settings file
//!
//! [`Settings::builder`] takes the file as it is deployed and lets a test serve its issuers' keys and set the time:
//!
//! ```
//! use tower_bearer::settings::Settings;
//! use tower_bearer::testing::{Idp, ManualClock};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_bearer::ConfigError> {
//! # let text = "resource = \"https://api.example.com\"\n[[issuer]]\niss = \"https://id.example.com\"";
//! let settings = Settings::from_toml(text)?; // or Settings::read("settings.toml")
//! let clock = ManualClock::new();
//! let idp = Idp::new("https://id.example.com").clock(clock.clone());
//! let api = settings.builder()?.fetch(idp.clone()).clock(clock).build()?;
//!
//! assert!(api.verify(&idp.token("https://api.example.com").sign()).await.is_ok());
//! # Ok(()) }
//! ```
//!
//! The `Idp` has the `iss` of the file, and serves discovery and `{iss}/jwks`.

mod network;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Method;
use serde::Deserialize;

use crate::access::{Rule, all_of, any_of};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::jose::{Algorithm, HmacAlgorithm};
use crate::keys::Keys;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::server::{Issuer, ResourceServer, ResourceServerBuilder};

/// A settings file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    listen: Option<String>,
    resource: String,
    ca_file: Option<PathBuf>,
    ca_only: Option<bool>,
    #[serde(default, deserialize_with = "network::secret")]
    proxy: Option<Secret<String>>,
    webpki_roots: Option<bool>,
    #[serde(default)]
    issuer: Vec<IssuerSettings>,
    #[serde(default)]
    route: Vec<RouteSettings>,
    /// Where paths to other files start.
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerSettings {
    iss: Option<String>,
    name: Option<String>,
    discovery: Option<bool>,
    jwks: Option<String>,
    jwks_file: Option<PathBuf>,
    pem_file: Option<PathBuf>,
    hmac_secret_file: Option<PathBuf>,
    audience: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    types: Option<Vec<String>>,
    leeway: Option<String>,
    #[serde(default)]
    dangerous_allow_http: bool,
    #[serde(default)]
    dangerous_any_audience: bool,
    ca_file: Option<PathBuf>,
    ca_only: Option<bool>,
    #[serde(default, deserialize_with = "network::secret")]
    proxy: Option<Secret<String>>,
    webpki_roots: Option<bool>,
    fetch_token_file: Option<PathBuf>,
    snapshot_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteSettings {
    method: Option<String>,
    path: String,
    scopes: Option<Vec<String>>,
    any_scopes: Option<Vec<String>>,
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

impl Settings {
    /// Reads a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// If the file cannot be read, is not TOML, or has an unknown or missing field or one of a wrong type.
    pub fn read(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let text = std::fs::read_to_string(file).map_err(|error| {
            wrong(format!("{} cannot be read ({error}); write the path of a settings file", file.display()))
        })?;
        let directory = file.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
        Ok(Self { directory, ..Self::from_toml(&text)? })
    }

    /// Reads a text. Paths in it are relative to the working directory.
    ///
    /// # Errors
    /// If it is not TOML, or has an unknown or missing field or one of a wrong type.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let parser = toml::Deserializer::parse(text).map_err(|error| syntax(text, &error))?;
        serde_path_to_error::deserialize(parser).map_err(|error| {
            let path = one_line(&error.path().to_string());
            let wrong = field(error.inner().message());
            if path == "." { wrong } else { wrong.at(&path) }
        })
    }

    /// `listen`: the address to serve on. Default: `127.0.0.1:8080`.
    ///
    /// # Errors
    /// If it is not an address with a port.
    pub fn listen(&self) -> Result<SocketAddr, ConfigError> {
        let text = self.listen.as_deref().unwrap_or("127.0.0.1:8080");
        text.parse().map_err(|_| {
            wrong("not an address with a port; write one such as \"127.0.0.1:8080\"").at("listen")
        })
    }

    /// `resource`, every `[[issuer]]`, and how keys are fetched. Reads the files that they name, but for
    /// `fetch_token_file`, which is read at every fetch, and `snapshot_file`, which is written. Does no network I/O.
    ///
    /// # Errors
    /// For whatever would not work.
    pub fn resource_server(&self) -> Result<ResourceServer, ConfigError> {
        self.builder()?.build().map_err(|error| {
            let faulty =
                (0..).zip(&self.issuer).find(|(i, _)| error.path().starts_with(&format!("issuer[{i}]")));
            match faulty {
                Some((_, issuer)) => {
                    error.renamed("keys", issuer.key_field()).renamed("snapshot", "snapshot_file")
                }
                None => error,
            }
        })
    }

    /// The same before it is built, for what a file does not say: another [`Fetch`](crate::Fetch), which then serves every
    /// issuer without a field of its own about fetching, a clock, more metadata.
    ///
    /// # Errors
    /// For whatever would not work in a field. What only shows in the whole is an error of
    /// [`build`](ResourceServerBuilder::build), which calls every key source `keys` and `snapshot_file` `snapshot`.
    pub fn builder(&self) -> Result<ResourceServerBuilder, ConfigError> {
        let mut server = self.read_network(ResourceServer::builder(&self.resource))?;
        for (index, issuer) in self.issuer.iter().enumerate() {
            let issuer = issuer.read(self).map_err(|error| error.at(&format!("issuer[{index}]")))?;
            server = server.issuer(issuer);
        }
        Ok(server)
    }

    /// Every `[[route]]`.
    ///
    /// # Errors
    /// For a method, path or scope that is none, for rules that contradict each other, and for a route that is
    /// there twice.
    pub fn routes(&self) -> Result<Vec<Route>, ConfigError> {
        let mut routes: Vec<Route> = Vec::new();
        for (index, route) in self.route.iter().enumerate() {
            let place = format!("route[{index}]");
            let route = route.read().map_err(|error| error.at(&place))?;
            if routes.iter().any(|other| other.method == route.method && other.path == route.path) {
                let twice = wrong("this method and path are listed above; write each route once");
                return Err(twice.at("path").at(&place));
            }
            routes.push(route);
        }
        Ok(routes)
    }
}

impl IssuerSettings {
    fn read(&self, whole: &Settings) -> Result<Issuer, ConfigError> {
        let mut issuer = match (&self.iss, &self.name) {
            (Some(iss), name) => Issuer::new(iss).name(name.as_ref().unwrap_or(iss)),
            (None, Some(name)) => Issuer::unnamed(name),
            (None, None) => {
                return Err(wrong("missing; write iss or, for a system that writes none, name").at("iss"));
            }
        };
        issuer = self.read_keys(issuer, &whole.directory)?;
        if let Some(types) = &self.types {
            issuer = issuer.types(types);
        }
        if let Some(leeway) = &self.leeway {
            let leeway = humantime::parse_duration(leeway)
                .map_err(|_| wrong("not a duration; write one such as \"60s\"").at("leeway"))?;
            issuer = issuer.leeway(leeway);
        }
        if self.dangerous_allow_http {
            issuer = issuer.dangerous_allow_http();
        }
        if self.dangerous_any_audience {
            issuer = issuer.dangerous_any_audience();
        } else if self.audience.as_ref().is_some_and(Vec::is_empty) {
            let message = "empty; write what the issuer puts into aud, or set dangerous_any_audience = true";
            return Err(ConfigError::new(ConfigErrorKind::Audience, message).at("audience"));
        }
        for audience in self.audience.iter().flatten() {
            issuer = issuer.audience(audience);
        }
        if let Some(file) = &self.snapshot_file {
            if file.as_os_str().is_empty() {
                let message = "empty; write a path relative to the settings file";
                return Err(ConfigError::new(ConfigErrorKind::Keys, message).at("snapshot_file"));
            }
            issuer = issuer.snapshot(whole.directory.join(file));
        }
        self.read_network(issuer, whole)
    }

    fn read_keys(&self, issuer: Issuer, directory: &Path) -> Result<Issuer, ConfigError> {
        let given: Vec<_> = self.key_sources().into_iter().filter(|(_, given)| *given).collect();
        if let [(first, _), (second, _), ..] = given.as_slice() {
            let message = format!("a second key source besides {first}; write only one of the two");
            return Err(ConfigError::new(ConfigErrorKind::Keys, message).at(second));
        }
        let file = |name: &PathBuf, field| {
            std::fs::read(directory.join(name)).map_err(|error| {
                let message = format!("cannot be read ({error}); write a path relative to the settings file");
                ConfigError::new(ConfigErrorKind::Keys, message).at(field)
            })
        };
        if let Some(name) = &self.hmac_secret_file {
            let mut secret = file(name, "hmac_secret_file")?;
            if secret.last() == Some(&b'\n') {
                secret.pop();
            }
            return Ok(issuer.keys(Keys::hmac(secret, self.hmac_algorithms()?)));
        }
        let issuer = match self.signature_algorithms()? {
            Some(algorithms) => issuer.algorithms(algorithms),
            None => issuer,
        };
        let keys = if let Some(url) = &self.jwks {
            Keys::jwks_url(url)
        } else if let Some(name) = &self.jwks_file {
            Keys::jwks(file(name, "jwks_file")?)
        } else if let Some(name) = &self.pem_file {
            Keys::pem(file(name, "pem_file")?)
        } else if self.iss.is_none() && self.discovery == Some(true) {
            let message = "there is no iss to start from; write iss, or another key source instead";
            return Err(ConfigError::new(ConfigErrorKind::Keys, message).at("discovery"));
        } else if self.iss.is_none() || self.discovery == Some(false) {
            let message = "no key source; write jwks, jwks_file, pem_file or hmac_secret_file";
            return Err(ConfigError::new(ConfigErrorKind::Keys, message).at("jwks"));
        } else {
            Keys::discovery()
        };
        Ok(issuer.keys(keys))
    }

    fn key_sources(&self) -> [(&'static str, bool); 5] {
        [
            ("discovery", self.discovery == Some(true)),
            ("jwks", self.jwks.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("pem_file", self.pem_file.is_some()),
            ("hmac_secret_file", self.hmac_secret_file.is_some()),
        ]
    }

    /// The field that a fault of the keys is in; with discovery that is the issuer.
    fn key_field(&self) -> &'static str {
        let given = self.key_sources().into_iter().skip(1).find(|(_, given)| *given);
        given.map_or("iss", |(field, _)| field)
    }

    fn signature_algorithms(&self) -> Result<Option<Vec<Algorithm>>, ConfigError> {
        let parse = |name: &str| {
            name.parse().map_err(|_| {
                if HmacAlgorithm::from_str(name).is_ok() {
                    return "a shared secret's algorithm; write it only with hmac_secret_file as the key source".to_owned();
                }
                format!("{name:?} is no algorithm; write some of {}", names(&Algorithm::ALL.map(Algorithm::name)))
            })
        };
        self.algorithms.as_ref().map(|names| parse_each(names, parse)).transpose()
    }

    /// One secret is best used with one algorithm, so only the common one is the default.
    fn hmac_algorithms(&self) -> Result<Vec<HmacAlgorithm>, ConfigError> {
        let Some(algorithms) = &self.algorithms else { return Ok(vec![HmacAlgorithm::HS256]) };
        if algorithms.is_empty() {
            let message = "empty; write some of HS256, HS384, HS512 or leave them out";
            return Err(ConfigError::new(ConfigErrorKind::Algorithms, message).at("algorithms"));
        }
        parse_each(algorithms, |name| {
            name.parse().map_err(|_| {
                let possible = names(&HmacAlgorithm::ALL.map(HmacAlgorithm::name));
                format!("{name:?} is not for a shared secret; write some of {possible}")
            })
        })
    }
}

impl RouteSettings {
    fn read(&self) -> Result<Route, ConfigError> {
        if !self.path.starts_with('/') {
            return Err(wrong("does not start with a slash; write one such as \"/orders\"").at("path"));
        }
        let method = self.method.as_deref().map(read_method).transpose()?;
        let rule = self.read_rule()?;
        let access = match (self.public, self.optional, rule) {
            (true, false, None) => Access::Public,
            (true, true, _) => return Err(wrong("contradicts public; write one of the two").at("optional")),
            (true, false, Some(_)) => {
                return Err(wrong(
                    "no token is looked at, so no scope can be required; leave out public or the scopes",
                )
                .at("public"));
            }
            (false, true, rule) => Access::Optional(rule.unwrap_or_else(Rule::authenticated)),
            (false, false, rule) => Access::Required(rule.unwrap_or_else(Rule::authenticated)),
        };
        Ok(Route { method, path: self.path.clone(), access })
    }

    fn read_rule(&self) -> Result<Option<Rule>, ConfigError> {
        let all = self.scopes.as_ref().map(|scopes| read_scopes(scopes, "scopes")).transpose()?;
        let any = self.any_scopes.as_ref().map(|scopes| read_scopes(scopes, "any_scopes")).transpose()?;
        if any.as_ref().is_some_and(Vec::is_empty) {
            let message = "empty, so nobody could call this route; write scopes or leave it out";
            return Err(ConfigError::new(ConfigErrorKind::Scope, message).at("any_scopes"));
        }
        Ok(match (all, any) {
            (None, None) => None,
            (Some(all), None) => Some(all_of(all)),
            (None, Some(any)) => Some(any_of(any)),
            (Some(all), Some(any)) => Some(all_of([all_of(all), any_of(any)])),
        })
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

fn parse_each<T>(names: &[String], parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
    let parse = |(index, name): (usize, &String)| {
        parse(name).map_err(|message| {
            ConfigError::new(ConfigErrorKind::Algorithms, message).at(&format!("algorithms[{index}]"))
        })
    };
    names.iter().enumerate().map(parse).collect()
}

fn names(all: &[&str]) -> String {
    all.join(", ")
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Settings, message)
}

/// A fault in the TOML itself has no field; it has a line.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    wrong(format!("line {line} is not TOML: {}", one_line(error.message())))
}

/// What serde says of a field; of a missing one it says the name but not the path.
fn field(message: &str) -> ConfigError {
    match message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some(("resource", _)) => {
            wrong("missing; write our identifier, such as resource = \"https://api.example.com\"")
                .at("resource")
        }
        Some(("path", _)) => wrong("missing; write one such as path = \"/orders\"").at("path"),
        Some((name, _)) => wrong("missing; write it").at(name),
        None => wrong(one_line(message)),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
