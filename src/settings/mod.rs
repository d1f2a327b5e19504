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

mod answers;
mod denylist;
mod elsewhere;
mod issuer;
mod lookup;
mod network;
mod redis;
mod route;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::denylist::DenylistSettings;
use self::issuer::IssuerSettings;
use self::route::RouteSettings;
pub use self::route::{Access, Route};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::secret::Secret;
use crate::server::{ResourceServer, ResourceServerBuilder};

/// A settings file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    listen: Option<String>,
    resource: String,
    ca_file: Option<PathBuf>,
    ca_only: Option<bool>,
    #[serde(default, deserialize_with = "network::secret")]
    proxy: Option<Secret<String>>,
    webpki_roots: Option<bool>,
    cache: Option<bool>,
    max_concurrent_verifications: Option<usize>,
    /// From a scope to those that it stands for.
    #[serde(default)]
    implies: BTreeMap<String, Vec<String>>,
    denylist: Option<DenylistSettings>,
    #[serde(default)]
    issuer: Vec<IssuerSettings>,
    #[serde(default)]
    route: Vec<RouteSettings>,
    /// Where paths to other files start.
    #[serde(skip)]
    directory: PathBuf,
}

/// A text, or a list of texts.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "write a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
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
            let wrong = field(error.inner().message(), &path);
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

    /// `resource`, `[denylist]`, every `[[issuer]]`, and how keys are fetched. Reads the environment variables and files that they name, but for
    /// `fetch_token_file`, which is read at every fetch, and `snapshot_file`, which is written. Does no network I/O.
    ///
    /// # Errors
    /// For whatever would not work.
    pub fn resource_server(&self) -> Result<ResourceServer, ConfigError> {
        self.builder()?.build().map_err(|error| {
            let faulty =
                (0..).zip(&self.issuer).find(|(i, _)| error.path().starts_with(&format!("issuer[{i}]")));
            match faulty {
                Some((_, issuer)) => issuer.in_settings(error),
                None => error,
            }
        })
    }

    /// The same before it is built, for what a file does not say: another [`Fetch`](crate::Fetch), which then serves every
    /// issuer without a field of its own about fetching, a clock, more metadata.
    ///
    /// # Errors
    /// For whatever would not work in a field. What only shows in the whole is an error of
    /// [`build`](ResourceServerBuilder::build), which calls every key source `keys` and `snapshot_file` `snapshot`. The list
    /// of `kong` is asked by the crate's own client, whatever [`Fetch`](crate::Fetch) is given later.
    pub fn builder(&self) -> Result<ResourceServerBuilder, ConfigError> {
        let mut server = self.read_network(ResourceServer::builder(&self.resource))?;
        if self.cache == Some(false) {
            server = server.without_cache();
        }
        if let Some(limit) = self.max_concurrent_verifications {
            server = server.max_concurrent_verifications(limit);
        }
        for (broader, narrower) in &self.implies {
            server = server.implies(broader, narrower);
        }
        if let Some(denylist) = &self.denylist {
            server = denylist.read(server, &self.directory).map_err(|error| error.at("denylist"))?;
        }
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
            let route = route.read(self).map_err(|error| error.at(&place))?;
            if routes.iter().any(|other| other.method() == route.method() && other.path() == route.path()) {
                let twice = wrong("this method and path are listed above; write each route once");
                return Err(twice.at("path").at(&place));
            }
            routes.push(route);
        }
        Ok(routes)
    }

    fn has_issuer(&self, name: &str) -> bool {
        self.issuer.iter().any(|issuer| issuer.is_called(name))
    }

    /// Whether tokens of one of these are looked up; of all, if none are named.
    fn looks_up(&self, names: Option<&[String]>) -> bool {
        let mut lookups =
            self.issuer.iter().filter(|issuer| issuer.introspection.is_some() || issuer.kong.is_some());
        lookups.any(|issuer| names.is_none_or(|names| names.iter().any(|name| issuer.is_called(name))))
    }
}

impl fmt::Debug for Settings {
    /// Who is who and no more: what is in a wrong place may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers: Vec<_> =
            self.issuer.iter().map(|issuer| issuer.name.as_ref().or(issuer.iss.as_ref())).collect();
        f.debug_struct("Settings")
            .field("resource", &self.resource)
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}

impl IssuerSettings {
    fn is_called(&self, name: &str) -> bool {
        self.name.as_ref().or(self.iss.as_ref()).is_some_and(|is| is == name)
    }
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

fn wrong(message: impl Into<Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Settings, message)
}

/// A fault in the TOML itself has no field; it has a line.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    wrong(format!("line {line} is not TOML: {}", one_line(error.message())))
}

/// What serde says of a field; of a missing one it says the name but not the path.
fn field(message: &str, path: &str) -> ConfigError {
    match message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some(("resource", _)) => {
            wrong("missing; write our identifier, such as resource = \"https://api.example.com\"")
                .at("resource")
        }
        Some(("path", _)) => wrong("missing; write one such as path = \"/orders\"").at("path"),
        Some((name, _)) => wrong("missing; write it").at(name),
        None => wrong(one_line(&plainly(message, path))),
    }
}

/// Serde repeats a text where something else is expected, and it may be a secret that is in the wrong place. What it calls
/// things is not what TOML does.
fn plainly<'a>(message: &'a str, path: &str) -> Cow<'a, str> {
    let Some((_, expected)) = message.rsplit_once(", expected ") else { return message.into() };
    if message.starts_with("unknown variant ") {
        return format!("unknown value, expected {expected}").into();
    }
    let Some(given) = message.strip_prefix("invalid type: ") else { return message.into() };
    match expected {
        "a sequence" if ["issuer", "route"].contains(&path) => {
            "not a table of a list; write its name in [[two brackets]], since there may be more of it".into()
        }
        "a sequence" => "not a list; write one, such as [\"...\"]".into(),
        "a string" | "path string" => "not a text; write one, in quotes".into(),
        "a boolean" => "neither true nor false; write one of the two".into(),
        expected if expected.starts_with("struct ") => "not a table; write { name = value, ... }".into(),
        expected => {
            let given = given.split(['`', '"']).next().unwrap_or_default().trim();
            format!("invalid type: {given}, expected {expected}").into()
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
