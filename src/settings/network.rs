//! How keys are fetched, as a deployer writes it: for one issuer, or for all that have nothing of their own.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::{IssuerSettings, Settings};
use crate::error::{ConfigError, ConfigErrorKind};
#[cfg(feature = "reqwest")]
use crate::fetch::{ReqwestFetch, ReqwestFetchBuilder};
use crate::secret::Secret;
use crate::server::{Issuer, ResourceServerBuilder};

/// The fields that an issuer and the whole file have in common. One that is written, with whatever value, is there.
struct Network<'a> {
    ca_file: Option<&'a Path>,
    ca_only: Option<bool>,
    proxy: Option<&'a Secret<String>>,
    webpki_roots: Option<bool>,
}

impl Settings {
    /// What holds for the issuers that have nothing of their own.
    pub(super) fn read_network(
        &self,
        server: ResourceServerBuilder,
    ) -> Result<ResourceServerBuilder, ConfigError> {
        let network = self.network();
        match network.first_field() {
            None => Ok(server),
            #[cfg(feature = "reqwest")]
            Some(_) => Ok(server.fetch(network.builder(&self.directory)?.build().map_err(in_settings)?)),
            #[cfg(not(feature = "reqwest"))]
            Some(field) => Err(no_client(field)),
        }
    }

    fn network(&self) -> Network<'_> {
        Network {
            ca_file: self.ca_file.as_deref(),
            ca_only: self.ca_only,
            proxy: self.proxy.as_ref(),
            webpki_roots: self.webpki_roots,
        }
    }
}

impl IssuerSettings {
    /// Fields of its own replace all of the file's, so that nothing is trusted that is not written beside them.
    pub(super) fn read_network(&self, issuer: Issuer, whole: &Settings) -> Result<Issuer, ConfigError> {
        let own = self.network();
        let token = self.fetch_token_file.as_deref();
        let Some(field) = own.first_field().or_else(|| token.map(|_| "fetch_token_file")) else {
            return Ok(issuer);
        };
        let url = self.fetched_from();
        if url.is_none() && !self.is_looked_up() {
            return Err(wrong("the keys of this issuer are not fetched; leave it out").at(field));
        }
        if url.is_none() && token.is_some() {
            return Err(wrong("the keys of this issuer are not fetched; leave it out").at("fetch_token_file"));
        }
        if token.is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(wrong("empty; write a path relative to the settings file").at("fetch_token_file"));
        }
        #[cfg(feature = "reqwest")]
        {
            let mut builder = self.nearest_network(whole).builder(&whole.directory)?;
            if let Some((url, file)) = url.zip(token) {
                builder = builder.bearer_file(url, whole.directory.join(file));
            }
            // What can still be wrong with the file is the URL that it is for.
            let wrong = |error| self.in_settings(in_settings(error).renamed("bearer_file", "keys"));
            Ok(issuer.fetch(builder.build().map_err(wrong)?))
        }
        #[cfg(not(feature = "reqwest"))]
        {
            let _ = whole;
            Err(no_client(field))
        }
    }

    /// What asks where the server has no say. `is_local`: plain HTTP to this machine needs no certificates.
    #[cfg(feature = "reqwest")]
    pub(super) fn client(&self, whole: &Settings, is_local: bool) -> Result<ReqwestFetch, ConfigError> {
        let network = self.nearest_network(whole);
        let is_default = network.first_field().is_none();
        match network.builder(&whole.directory)?.build() {
            Err(_) if is_local && is_default => ReqwestFetch::without_certificates(),
            built => built.map_err(in_settings),
        }
    }

    #[cfg(feature = "reqwest")]
    fn nearest_network<'a>(&'a self, whole: &'a Settings) -> Network<'a> {
        let own = self.network();
        if own.first_field().is_some() { own } else { whole.network() }
    }

    /// Where fetching starts; `None` with fixed keys.
    fn fetched_from(&self) -> Option<&str> {
        match self.key_field() {
            "iss" => self.iss.as_deref().filter(|_| self.discovers_keys()),
            "jwks" => self.jwks.as_deref(),
            _ => None,
        }
    }

    fn network(&self) -> Network<'_> {
        Network {
            ca_file: self.ca_file.as_deref(),
            ca_only: self.ca_only,
            proxy: self.proxy.as_ref(),
            webpki_roots: self.webpki_roots,
        }
    }
}

impl Network<'_> {
    fn first_field(&self) -> Option<&'static str> {
        let fields = [
            ("ca_file", self.ca_file.is_some()),
            ("ca_only", self.ca_only.is_some()),
            ("webpki_roots", self.webpki_roots.is_some()),
            ("proxy", self.proxy.is_some()),
        ];
        fields.into_iter().find(|(_, given)| *given).map(|(field, _)| field)
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn builder(&self, directory: &Path) -> Result<ReqwestFetchBuilder, ConfigError> {
        let mut builder = ReqwestFetch::builder();
        if let Some(file) = self.ca_file {
            let pem = std::fs::read(directory.join(file)).map_err(|error| {
                wrong(format!("cannot be read ({error}); write a path relative to the settings file"))
                    .at("ca_file")
            })?;
            builder = builder.ca_pem(pem);
        }
        if self.ca_only == Some(true) {
            if self.ca_file.is_none() {
                return Err(wrong("nobody would be trusted; write ca_file too").at("ca_only"));
            }
            builder = builder.ca_only();
        }
        if self.webpki_roots == Some(true) {
            builder = webpki_roots(builder)?;
        }
        if let Some(url) = self.proxy {
            builder = builder.proxy(url.expose());
        }
        Ok(builder)
    }

    /// All of these are about TLS; the proxy too, which plain HTTP goes past.
    #[cfg(all(feature = "reqwest", not(any(feature = "rustls", feature = "native-tls"))))]
    fn builder(&self, _: &Path) -> Result<ReqwestFetchBuilder, ConfigError> {
        self.first_field().map_or_else(|| Ok(ReqwestFetch::builder()), |field| Err(no_client(field)))
    }
}

#[cfg(feature = "webpki-roots")]
#[expect(clippy::unnecessary_wraps, reason = "it fails without the feature")]
fn webpki_roots(builder: ReqwestFetchBuilder) -> Result<ReqwestFetchBuilder, ConfigError> {
    Ok(builder.webpki_roots())
}

#[cfg(all(any(feature = "rustls", feature = "native-tls"), not(feature = "webpki-roots")))]
fn webpki_roots(_: ReqwestFetchBuilder) -> Result<ReqwestFetchBuilder, ConfigError> {
    let message = "this build does not have them; leave it out or turn on the feature webpki-roots";
    Err(ConfigError::new(ConfigErrorKind::Feature, message).at("webpki_roots"))
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
fn no_client(field: &str) -> ConfigError {
    let message =
        "this build fetches nothing over https; leave it out or turn on the feature rustls or native-tls";
    ConfigError::new(ConfigErrorKind::Feature, message).at(field)
}

/// The builder's words for the fields.
#[cfg(feature = "reqwest")]
fn in_settings(error: ConfigError) -> ConfigError {
    error.renamed("ca_pem", "ca_file")
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Fetch, message)
}

/// A URL that may hold a password.
pub(super) fn secret<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Secret<String>>, D::Error> {
    Option::deserialize(field).map(|text: Option<String>| text.map(Secret::new))
}
