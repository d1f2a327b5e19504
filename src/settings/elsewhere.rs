//! Secrets, which are elsewhere: in a variable of the environment, or in a file of their own.

use std::path::{Path, PathBuf};

use crate::error::{ConfigError, ConfigErrorKind};
use crate::secret::Secret;

/// Where a secret is: exactly one of the two.
pub(super) struct Elsewhere<'a> {
    /// What it is called in the settings, without `_env` and `_file`.
    pub(super) field: &'static str,
    pub(super) env: Option<&'a String>,
    pub(super) file: Option<&'a PathBuf>,
    /// Of what mistakes are.
    pub(super) kind: ConfigErrorKind,
}

impl Elsewhere<'_> {
    /// The secret, without line breaks at its end.
    pub(super) fn read(&self, directory: &Path) -> Result<Secret<String>, ConfigError> {
        let text = match (self.env, self.file) {
            // It may be the secret itself that is written here.
            (Some(name), None) => std::env::var(name).map_err(|_| {
                self.wrong(
                    "no environment variable of this name has a text; write the name of one, and set it",
                )
            })?,
            (None, Some(file)) => std::fs::read_to_string(directory.join(file)).map_err(|error| {
                self.wrong(format!("cannot be read ({error}); write a path relative to the settings file"))
            })?,
            _ => {
                let field = self.field;
                return Err(self.wrong(format!(
                    "not one place of it; write {field}_env or {field}_file, so that no secret is in this file"
                )));
            }
        };
        let text = Secret::new(text);
        Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// A mistake at the field that is written.
    pub(super) fn wrong(&self, message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
        ConfigError::new(self.kind, message).at(&self.name())
    }

    /// The field that is written; if it is not one of them, the first.
    pub(super) fn name(&self) -> String {
        let place = if self.env.is_none() && self.file.is_some() { "file" } else { "env" };
        format!("{}_{place}", self.field)
    }
}
