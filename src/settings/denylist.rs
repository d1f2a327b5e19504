//! `[denylist]`: where denied tokens are shared, as a deployer writes it.

use std::path::Path;

use serde::Deserialize;

use super::redis::RedisSettings;
#[cfg(feature = "redis")]
use crate::deny::RedisDenylist;
use crate::error::ConfigError;
use crate::server::ResourceServerBuilder;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DenylistSettings {
    redis: RedisSettings,
    #[serde(default)]
    dangerous_stale: bool,
}

impl DenylistSettings {
    pub(super) fn read(
        &self,
        server: ResourceServerBuilder,
        directory: &Path,
    ) -> Result<ResourceServerBuilder, ConfigError> {
        let server = self.list(server, directory).map_err(|error| error.at("redis"))?;
        Ok(if self.dangerous_stale { server.dangerous_stale_denylist() } else { server })
    }

    #[cfg(feature = "redis")]
    fn list(
        &self,
        server: ResourceServerBuilder,
        directory: &Path,
    ) -> Result<ResourceServerBuilder, ConfigError> {
        let list = RedisDenylist::on(self.redis.read(directory)?);
        Ok(server.denylist(match self.redis.key() {
            Some(key) => list.key(key),
            None => list,
        }))
    }

    #[cfg(not(feature = "redis"))]
    fn list(&self, _: ResourceServerBuilder, _: &Path) -> Result<ResourceServerBuilder, ConfigError> {
        Err(self.redis.missing())
    }
}
