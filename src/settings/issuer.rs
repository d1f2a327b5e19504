//! `[[issuer]]`: whom we trust, as a deployer writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use super::answers::AnswersSettings;
use super::lookup::{IntrospectionSettings, KongSettings};
use super::{OneOrMany, Settings, network, wrong};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::jose::{Algorithm, HmacAlgorithm};
use crate::keys::Keys;
use crate::profile::Profile;
use crate::secret::Secret;
use crate::server::Issuer;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerSettings {
    pub(super) iss: Option<String>,
    pub(super) also: Option<OneOrMany>,
    pub(super) name: Option<String>,
    #[serde(default)]
    unlisted: bool,
    discovery: Option<bool>,
    pub(super) jwks: Option<String>,
    jwks_file: Option<PathBuf>,
    pem_file: Option<PathBuf>,
    x5c_root_file: Option<PathBuf>,
    hmac_secret_file: Option<PathBuf>,
    pub(super) introspection: Option<IntrospectionSettings>,
    pub(super) kong: Option<KongSettings>,
    pub(super) token_prefix: Option<String>,
    pub(super) shared_answers: Option<AnswersSettings>,
    audience: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    profile: Option<String>,
    types: Option<Vec<String>>,
    client_claim: Option<OneOrMany>,
    scope_claim: Option<OneOrMany>,
    trust_scopes: Option<bool>,
    required: Option<Vec<String>>,
    #[serde(default)]
    claims: BTreeMap<String, OneOrMany>,
    optional_audience: Option<bool>,
    clients: Option<Vec<String>>,
    #[serde(default)]
    grants: BTreeMap<String, Vec<String>>,
    leeway: Option<String>,
    #[serde(default)]
    pub(super) dangerous_allow_http: bool,
    #[serde(default)]
    dangerous_any_audience: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) ca_only: Option<bool>,
    #[serde(default, deserialize_with = "network::secret")]
    pub(super) proxy: Option<Secret<String>>,
    pub(super) webpki_roots: Option<bool>,
    pub(super) fetch_token_file: Option<PathBuf>,
    snapshot_file: Option<PathBuf>,
}

impl IssuerSettings {
    pub(super) fn read(&self, whole: &Settings) -> Result<Issuer, ConfigError> {
        let mut issuer = match (&self.iss, &self.name) {
            (Some(iss), name) => Issuer::new(iss).name(name.as_ref().unwrap_or(iss)),
            (None, Some(name)) => Issuer::unnamed(name),
            (None, None) => {
                return Err(wrong("missing; write iss or, for a system that writes none, name").at("iss"));
            }
        };
        issuer = self.read_lookup(issuer, whole)?;
        issuer = self.read_keys(issuer, &whole.directory)?;
        issuer = issuer.profile(self.read_profile()?);
        for iss in self.also.iter().flat_map(OneOrMany::as_slice) {
            issuer = issuer.also(iss);
        }
        if self.unlisted {
            issuer = issuer.unlisted();
        }
        if let Some(clients) = &self.clients {
            issuer = issuer.clients(clients);
        }
        for (client, scopes) in &self.grants {
            issuer = issuer.grant(client, scopes);
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

    /// The named profile, and what is written beside it instead.
    fn read_profile(&self) -> Result<Profile, ConfigError> {
        let mut profile = match &self.profile {
            None => Profile::default(),
            Some(name) => name.parse().map_err(|error| wrong(format!("{name:?}: {error}")).at("profile"))?,
        };
        if let Some(types) = &self.types {
            profile = profile.types(types);
        }
        if let Some(claims) = &self.client_claim {
            profile = profile.client_claims(claims.as_slice());
        }
        if let Some(claims) = &self.scope_claim {
            profile = profile.scope_claims(claims.as_slice());
        }
        if let Some(claims) = &self.required {
            profile = profile.require(claims);
        }
        for (claim, values) in &self.claims {
            profile = profile.claim(claim, values.as_slice());
        }
        match self.optional_audience {
            Some(true) => profile = profile.optional_audience(),
            Some(false) if profile.audience_is_optional() => {
                let message =
                    "this profile is of a system that leaves aud out; leave it out, or write another profile";
                return Err(wrong(message).at("optional_audience"));
            }
            _ => {}
        }
        match self.trust_scopes {
            Some(true) if !profile.trusts_scopes() => {
                let message = "this profile is of a system that grants whatever is asked for; leave it out, or write grants";
                Err(wrong(message).at("trust_scopes"))
            }
            Some(false) => Ok(profile.untrusted_scopes()),
            _ => Ok(profile),
        }
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
        } else if let Some(name) = &self.x5c_root_file {
            roots(file(name, "x5c_root_file")?)?
        } else if self.iss.is_none() && self.discovery == Some(true) {
            let message = "there is no iss to start from; write iss, or another key source instead";
            return Err(ConfigError::new(ConfigErrorKind::Keys, message).at("discovery"));
        } else if self.is_looked_up() && self.discovery != Some(true) {
            return Ok(issuer);
        } else if self.iss.is_none() || self.discovery == Some(false) {
            let first = match (&self.iss, self.discovery) {
                (None, Some(false)) => "write",
                (None, _) => "write iss, or",
                _ => "leave out discovery, or write",
            };
            let message = format!(
                "no key source, and none to be discovered; {first} jwks, jwks_file, pem_file, x5c_root_file or hmac_secret_file, or have its tokens looked up"
            );
            return Err(ConfigError::new(ConfigErrorKind::Keys, message).at("jwks"));
        } else {
            Keys::discovery()
        };
        Ok(issuer.keys(keys))
    }

    fn key_sources(&self) -> [(&'static str, bool); 6] {
        [
            ("discovery", self.discovery == Some(true)),
            ("jwks", self.jwks.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("pem_file", self.pem_file.is_some()),
            ("x5c_root_file", self.x5c_root_file.is_some()),
            ("hmac_secret_file", self.hmac_secret_file.is_some()),
        ]
    }

    /// Whether its keys are discovered: the default, unless its tokens are looked up.
    pub(super) fn discovers_keys(&self) -> bool {
        self.key_field() == "iss" && (self.discovery == Some(true) || !self.is_looked_up())
    }

    /// The builder's words for the fields.
    pub(super) fn in_settings(&self, error: ConfigError) -> ConfigError {
        let error = error.renamed("keys", self.key_field()).renamed("snapshot", "snapshot_file");
        match &self.introspection {
            Some(introspection) if error.kind() == ConfigErrorKind::Url => {
                error.renamed("introspection", introspection.url_field())
            }
            _ => error,
        }
    }

    /// The field that a fault of the keys is in; with discovery that is the issuer.
    pub(super) fn key_field(&self) -> &'static str {
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

#[cfg(feature = "x5c")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn roots(pem: Vec<u8>) -> Result<Keys, ConfigError> {
    Ok(Keys::x5c(pem))
}

#[cfg(not(feature = "x5c"))]
fn roots(_: Vec<u8>) -> Result<Keys, ConfigError> {
    let message = "certificate chains need the feature x5c; turn it on, or write another key source";
    Err(ConfigError::new(ConfigErrorKind::Feature, message).at("x5c_root_file"))
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
