//! `redis = { … }`: a Redis or Valkey, as a deployer writes it. The URL may hold a password, so it is elsewhere.

#[cfg(feature = "redis")]
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

#[cfg(feature = "redis")]
use super::elsewhere::Elsewhere;
use crate::error::{ConfigError, ConfigErrorKind};
#[cfg(feature = "redis")]
use crate::redis::Redis;
#[cfg(all(feature = "redis", any(feature = "rustls", feature = "native-tls")))]
use crate::redis::RedisTls;
#[cfg(feature = "redis")]
use crate::secret::Secret;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { url_env = \"REDIS_URL\" }")]
pub(super) struct RedisSettings {
    url_env: Option<String>,
    url_file: Option<PathBuf>,
    key: Option<String>,
    /// Trusted alone.
    ca_file: Option<PathBuf>,
    client_certificate_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

#[cfg(not(feature = "redis"))]
impl RedisSettings {
    /// Why there is none.
    pub(super) fn missing(&self) -> ConfigError {
        let _ = (&self.url_env, &self.url_file, &self.key);
        let _ = (&self.ca_file, &self.client_certificate_file, &self.client_key_file);
        let message = "needs the feature redis; turn it on, or leave this out";
        ConfigError::new(ConfigErrorKind::Feature, message)
    }
}

#[cfg(feature = "redis")]
impl RedisSettings {
    /// The way to it. Mistakes are about the denylist, as those of `Redis` itself.
    pub(super) fn read(&self, directory: &Path) -> Result<Redis, ConfigError> {
        if self.key().is_some_and(str::is_empty) {
            return Err(wrong("empty; write what the keys in Redis begin with").at("key"));
        }
        let (env, file) = (self.url_env.as_ref(), self.url_file.as_ref());
        let url = Elsewhere { field: "url", env, file, kind: ConfigErrorKind::Denylist }.read(directory)?;
        match self.tls_field() {
            Some(field) => self.with_tls(&url, field, directory),
            None => Redis::at(url.expose()),
        }
    }

    /// What the keys in it begin with, if that is written.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The first field about TLS that is there.
    fn tls_field(&self) -> Option<&'static str> {
        let fields = [
            ("ca_file", self.ca_file.is_some()),
            ("client_certificate_file", self.client_certificate_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
        ];
        fields.into_iter().find(|(_, given)| *given).map(|(field, _)| field)
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn with_tls(&self, url: &Secret<String>, field: &str, directory: &Path) -> Result<Redis, ConfigError> {
        let read = |file: &Path, field| {
            std::fs::read(directory.join(file)).map(Secret::new).map_err(|error| {
                wrong(format!("cannot be read ({error}); write a path relative to the settings file"))
                    .at(field)
            })
        };
        let mut tls = RedisTls::new();
        if let Some(file) = &self.ca_file {
            tls = tls.ca_only(read(file, "ca_file")?.expose().clone());
        }
        tls = match (&self.client_certificate_file, &self.client_key_file) {
            (None, None) => tls,
            (Some(certificate), Some(key)) => {
                let certificate = read(certificate, "client_certificate_file")?;
                tls.client_certificate(
                    certificate.expose().clone(),
                    read(key, "client_key_file")?.expose().clone(),
                )
            }
            (_, None) => {
                return Err(wrong("without a key; write client_key_file too").at("client_certificate_file"));
            }
            (None, _) => {
                return Err(
                    wrong("without a certificate; write client_certificate_file too").at("client_key_file")
                );
            }
        };
        Redis::with_tls(url.expose(), tls).map_err(|error| {
            // What has no place is about the URL.
            let error = if error.path().is_empty() { error.at(field) } else { error };
            error.renamed("ca_only", "ca_file").renamed("client_certificate", "client_certificate_file")
        })
    }

    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    #[expect(clippy::unused_self, reason = "with TLS it reads more fields")]
    fn with_tls(&self, _: &Secret<String>, field: &str, _: &Path) -> Result<Redis, ConfigError> {
        let message = "this build has no TLS; leave it out or turn on the feature rustls or native-tls";
        Err(ConfigError::new(ConfigErrorKind::Feature, message).at(field))
    }
}

#[cfg(feature = "redis")]
fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Denylist, message)
}
