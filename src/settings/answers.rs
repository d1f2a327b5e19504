//! `shared_answers`: where a fleet shares what was said of tokens, as a deployer writes it. The secret is elsewhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[cfg(feature = "redis")]
use super::elsewhere::Elsewhere;
use super::redis::RedisSettings;
use crate::error::ConfigError;
#[cfg(feature = "redis")]
use crate::error::ConfigErrorKind;
#[cfg(feature = "redis")]
use crate::lookup::RedisAnswers;
use crate::server::Issuer;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with redis and secret_file")]
pub(super) struct AnswersSettings {
    redis: RedisSettings,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
}

impl AnswersSettings {
    #[cfg(feature = "redis")]
    pub(super) fn read(&self, issuer: Issuer, directory: &Path) -> Result<Issuer, ConfigError> {
        let redis = self
            .redis
            .read(directory)
            .map_err(|error| error.at("redis").of(ConfigErrorKind::Denylist, ConfigErrorKind::Lookup))?;
        let (env, file) = (self.secret_env.as_ref(), self.secret_file.as_ref());
        let place = Elsewhere { field: "secret", env, file, kind: ConfigErrorKind::Lookup };
        let secret = place.read(directory)?;
        let answers =
            RedisAnswers::on(redis, secret.expose().as_str()).map_err(|error| error.at(&place.name()))?;
        Ok(issuer.shared_answers(match self.redis.key() {
            Some(key) => answers.key(key),
            None => answers,
        }))
    }

    #[cfg(not(feature = "redis"))]
    pub(super) fn read(&self, _: Issuer, _: &Path) -> Result<Issuer, ConfigError> {
        let _ = (&self.secret_env, &self.secret_file);
        Err(self.redis.missing().at("redis"))
    }
}
