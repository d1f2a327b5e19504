//! `[denylist]`: where denied tokens are shared, as a deployer writes it. The URL may hold a password, so it is elsewhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::elsewhere::Elsewhere;
use crate::error::{ConfigError, ConfigErrorKind};
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
        connect(server, &url, self.key.as_deref())
    }

    /// It may hold a password.
    fn url(&self, directory: &Path) -> Result<Secret<String>, ConfigError> {
        let (env, file) = (self.url_env.as_ref(), self.url_file.as_ref());
        Elsewhere { field: "url", env, file, kind: ConfigErrorKind::Denylist }.read(directory)
    }
}

#[cfg(feature = "redis")]
fn connect(
    server: ResourceServerBuilder,
    url: &Secret<String>,
    key: Option<&str>,
) -> Result<ResourceServerBuilder, ConfigError> {
    let list = crate::deny::RedisDenylist::new(url.expose())?;
    Ok(server.denylist(match key {
        Some(key) => list.key(key),
        None => list,
    }))
}

#[cfg(not(feature = "redis"))]
fn connect(
    _: ResourceServerBuilder,
    _: &Secret<String>,
    _: Option<&str>,
) -> Result<ResourceServerBuilder, ConfigError> {
    let message = "a denylist in Redis needs the feature redis; turn it on, or leave this out";
    Err(ConfigError::new(ConfigErrorKind::Feature, message))
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Denylist, message)
}
