//! How opaque tokens are looked up, as a deployer writes it. Who we are is elsewhere: it is a secret.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::elsewhere::Elsewhere;
use super::{IssuerSettings, Settings};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::lookup::{ClientKey, Introspection};
use crate::server::Issuer;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntrospectionSettings {
    endpoint: Option<String>,
    client_id: Option<String>,
    client_secret_env: Option<String>,
    client_secret_file: Option<PathBuf>,
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    key_id: Option<String>,
    algorithm: Option<String>,
    audience: Option<String>,
    #[serde(default)]
    auth: Auth,
    signed: Option<bool>,
    signed_for: Option<String>,
}

/// How the endpoint is told who we are.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Auth {
    #[default]
    Basic,
    Post,
    PrivateKeyJwt,
    Bearer,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KongSettings {
    admin_url: String,
}

impl IssuerSettings {
    pub(super) fn is_looked_up(&self) -> bool {
        self.introspection.is_some() || self.kong.is_some()
    }

    pub(super) fn read_lookup(&self, issuer: Issuer, whole: &Settings) -> Result<Issuer, ConfigError> {
        let issuer = match (&self.introspection, &self.kong) {
            (None, None) => issuer,
            (Some(introspection), None) => {
                let introspection = introspection.read(self.iss.is_some(), &whole.directory);
                issuer.introspection(introspection.map_err(|error| error.at("introspection"))?)
            }
            (None, Some(kong)) => kong.read(issuer, self, whole)?,
            (Some(_), Some(_)) => {
                return Err(
                    wrong("another way to look its tokens up than introspection; write one").at("kong")
                );
            }
        };
        let issuer = match &self.token_prefix {
            Some(prefix) => issuer.token_prefix(prefix),
            None => issuer,
        };
        match &self.shared_answers {
            Some(answers) => {
                answers.read(issuer, &whole.directory).map_err(|error| error.at("shared_answers"))
            }
            None => Ok(issuer),
        }
    }
}

impl IntrospectionSettings {
    fn read(&self, has_iss: bool, directory: &Path) -> Result<Introspection, ConfigError> {
        let introspection = self.authenticate(has_iss, directory)?;
        match (self.signed, &self.signed_for) {
            (Some(false), Some(_)) => {
                let message = "the answers are not signed; leave it out, or write signed = true";
                Err(wrong(message).at("signed_for"))
            }
            (_, Some(audience)) => Ok(introspection.signed_for(audience)),
            (Some(true), None) => Ok(introspection.signed()),
            (Some(false) | None, None) => Ok(introspection),
        }
    }

    /// Where it is asked, and who we are there.
    fn authenticate(&self, has_iss: bool, directory: &Path) -> Result<Introspection, ConfigError> {
        let introspection = match &self.endpoint {
            Some(url) => Introspection::at(url),
            None if has_iss => Introspection::discovered(),
            None => {
                let message = "missing; where there is no iss to start from, write the URL of the endpoint";
                return Err(wrong(message).at("endpoint"));
            }
        };
        self.fits()?;
        let (env, file) = (self.client_secret_env.as_ref(), self.client_secret_file.as_ref());
        let place = Elsewhere { field: "client_secret", env, file, kind: ConfigErrorKind::Lookup };
        let id = match (self.auth, self.client_id.as_deref()) {
            (Auth::Bearer, None) => "",
            (Auth::Bearer, Some(_)) => {
                let message = "the token says who we are; leave it out, or write auth = \"basic\", \"post\" or \"private_key_jwt\"";
                return Err(wrong(message).at("client_id"));
            }
            (_, Some("")) => return Err(wrong("empty; write what the issuer calls us").at("client_id")),
            (_, Some(id)) => id,
            (_, None) => return Err(wrong("missing; write what the issuer calls us").at("client_id")),
        };
        if self.auth == Auth::PrivateKeyJwt {
            let introspection = introspection.private_key_jwt(id, self.key(directory)?);
            return Ok(match self.audience.as_deref() {
                None => introspection,
                Some("") => return Err(wrong("empty; leave it out").at("audience")),
                Some(audience) => introspection.audience(audience),
            });
        }
        let secret = place.read(directory)?;
        let secret = secret.expose();
        if secret.is_empty() {
            return Err(place.wrong("nothing is there; put what the issuer gave us there"));
        }
        Ok(match self.auth {
            Auth::Post => introspection.post(id, secret),
            Auth::Bearer => introspection.bearer(secret),
            Auth::Basic | Auth::PrivateKeyJwt => introspection.basic(id, secret),
        })
    }

    /// What belongs to a key is written with `private_key_jwt`, and what belongs to a secret without.
    fn fits(&self) -> Result<(), ConfigError> {
        let of_a_secret = [
            ("client_secret_env", self.client_secret_env.is_some()),
            ("client_secret_file", self.client_secret_file.is_some()),
        ];
        let of_a_key = [
            ("key_env", self.key_env.is_some()),
            ("key_file", self.key_file.is_some()),
            ("key_id", self.key_id.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("audience", self.audience.is_some()),
        ];
        let (odd, message) = if self.auth == Auth::PrivateKeyJwt {
            (&of_a_secret[..], "a private_key_jwt needs no secret; leave it out, or write another auth")
        } else {
            (&of_a_key[..], "only for a key; leave it out, or write auth = \"private_key_jwt\"")
        };
        match odd.iter().find(|(_, is_written)| *is_written) {
            Some((field, _)) => Err(wrong(message).at(field)),
            None => Ok(()),
        }
    }

    /// Imported here only to say where a mistake is.
    fn key(&self, directory: &Path) -> Result<ClientKey, ConfigError> {
        let (env, file) = (self.key_env.as_ref(), self.key_file.as_ref());
        let place = Elsewhere { field: "key", env, file, kind: ConfigErrorKind::Lookup };
        let text = place.read(directory)?;
        let text = text.expose().trim_start();
        let key = if text.starts_with('{') { ClientKey::jwk(text) } else { ClientKey::pem(text) };
        key.import().map_err(|error| error.at(&place.name()))?;
        let key = match &self.key_id {
            None => key,
            Some(id) => key.kid(id),
        };
        key.import().map_err(|error| error.at("key_id"))?;
        let Some(name) = &self.algorithm else { return Ok(key) };
        let algorithm = name.parse().map_err(|_| {
            wrong("not an algorithm that signs with a private key; write one such as \"ES256\" or \"PS256\"")
        });
        let key = key.algorithm(algorithm.map_err(|error: ConfigError| error.at("algorithm"))?);
        key.import().map_err(|error| error.at("algorithm"))?;
        Ok(key)
    }

    /// The field that a fault of the URL is in.
    pub(super) fn url_field(&self) -> &'static str {
        if self.endpoint.is_some() { "introspection.endpoint" } else { "iss" }
    }
}

impl KongSettings {
    /// With the crate's own client: what is given to the server later does not reach it.
    #[cfg(feature = "reqwest")]
    fn read(&self, issuer: Issuer, own: &IssuerSettings, whole: &Settings) -> Result<Issuer, ConfigError> {
        let fetch = own.client(whole, self.admin_url.starts_with("http:"))?;
        let kong = crate::lookup::KongTokens::at(&self.admin_url, fetch);
        Ok(issuer.lookup(kong.map_err(|error| error.renamed("url", "kong.admin_url"))?))
    }

    #[cfg(not(feature = "reqwest"))]
    fn read(&self, _: Issuer, _: &IssuerSettings, _: &Settings) -> Result<Issuer, ConfigError> {
        let _ = &self.admin_url;
        let message = "this build has no client to ask it with; turn on the feature reqwest, or leave it out";
        Err(ConfigError::new(ConfigErrorKind::Feature, message).at("kong"))
    }
}

fn wrong(message: &'static str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Lookup, message)
}
