//! `[denylist]`: where denied tokens are shared, as a deployer writes it. The URL may hold a password, so it is elsewhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::elsewhere::Elsewhere;
#[cfg(feature = "redis")]
use crate::deny::RedisDenylist;
use crate::error::{ConfigError, ConfigErrorKind};
#[cfg(all(feature = "redis", any(feature = "rustls", feature = "native-tls")))]
use crate::redis::RedisTls;
use crate::secret::Secret;
use crate::server::ResourceServerBuilder;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DenylistSettings {
    redis: RedisSettings,
    #[serde(default)]
    dangerous_stale: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisSettings {
    url_env: Option<String>,
    url_file: Option<PathBuf>,
    key: Option<String>,
    /// Trusted alone.
    ca_file: Option<PathBuf>,
    client_certificate_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
}

impl DenylistSettings {
    pub(super) fn read(
        &self,
        server: ResourceServerBuilder,
        directory: &Path,
    ) -> Result<ResourceServerBuilder, ConfigError> {
        let server = self.redis.read(server, directory).map_err(|error| error.at("redis"))?;
        Ok(if self.dangerous_stale { server.dangerous_stale_denylist() } else { server })
    }
}

impl RedisSettings {
    fn read(
        &self,
        server: ResourceServerBuilder,
        directory: &Path,
    ) -> Result<ResourceServerBuilder, ConfigError> {
        if self.key.as_ref().is_some_and(String::is_empty) {
            return Err(wrong("empty; write what the keys in Redis begin with").at("key"));
        }
        let url = self.url(directory)?;
        #[cfg(feature = "redis")]
        {
            let list = self.list(&url, directory)?;
            Ok(server.denylist(match &self.key {
                Some(key) => list.key(key),
                None => list,
            }))
        }
        #[cfg(not(feature = "redis"))]
        {
            let _ = (server, url, &self.ca_file, &self.client_certificate_file, &self.client_key_file);
            let message = "a denylist in Redis needs the feature redis; turn it on, or leave this out";
            Err(ConfigError::new(ConfigErrorKind::Feature, message))
        }
    }

    #[cfg(all(feature = "redis", any(feature = "rustls", feature = "native-tls")))]
    fn list(&self, url: &Secret<String>, directory: &Path) -> Result<RedisDenylist, ConfigError> {
        let Some(field) = self.tls_field() else { return RedisDenylist::new(url.expose()) };
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
        RedisDenylist::with_tls(url.expose(), tls).map_err(|error| {
            // What has no place is about the URL.
            let error = if error.path().is_empty() { error.at(field) } else { error };
            error.renamed("ca_only", "ca_file").renamed("client_certificate", "client_certificate_file")
        })
    }

    #[cfg(all(feature = "redis", not(any(feature = "rustls", feature = "native-tls"))))]
    fn list(&self, url: &Secret<String>, _: &Path) -> Result<RedisDenylist, ConfigError> {
        let Some(field) = self.tls_field() else { return RedisDenylist::new(url.expose()) };
        let message = "this build has no TLS; leave it out or turn on the feature rustls or native-tls";
        Err(ConfigError::new(ConfigErrorKind::Feature, message).at(field))
    }

    /// The first field that is there.
    #[cfg(feature = "redis")]
    fn tls_field(&self) -> Option<&'static str> {
        let fields = [
            ("ca_file", self.ca_file.is_some()),
            ("client_certificate_file", self.client_certificate_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
        ];
        fields.into_iter().find(|(_, given)| *given).map(|(field, _)| field)
    }

    /// It may hold a password.
    fn url(&self, directory: &Path) -> Result<Secret<String>, ConfigError> {
        let (env, file) = (self.url_env.as_ref(), self.url_file.as_ref());
        Elsewhere { field: "url", env, file, kind: ConfigErrorKind::Denylist }.read(directory)
    }
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Denylist, message)
}
