//! For gRPC reflection: names in rules are checked against the services' own descriptors.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::access::MethodAccess;
use crate::error::{ConfigError, ConfigErrorKind};

/// The services, each with its methods.
type Services = BTreeMap<String, Vec<String>>;

impl MethodAccess {
    /// The same rules, if every method and service that they name is in one of these encoded `FileDescriptorSet`s: those
    /// that `tonic_prost_build` writes for gRPC reflection.
    ///
    /// ```
    /// use tower_bearer::MethodAccess;
    ///
    /// let health = tonic_health::pb::FILE_DESCRIPTOR_SET;
    /// let rules = MethodAccess::deny().method("/grpc.health.v1.Health/Check", ["health"]).known_in([health])?;
    /// # let _ = rules;
    ///
    /// let mistyped = MethodAccess::deny().method("/grpc.health.v1.Health/check", ["health"]);
    /// assert!(mistyped.known_in([health]).is_err());
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such method or service, or if a descriptor cannot be read.
    pub fn known_in<'a>(self, descriptors: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ConfigError> {
        let mut services = Services::new();
        for set in descriptors {
            read(set, &mut services)?;
        }
        for name in self.service_names() {
            if !services.contains_key(name) {
                return Err(unknown("service", name, services.keys()));
            }
        }
        for path in self.method_names() {
            let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
            match services.get(service) {
                None => return Err(unknown("service", service, services.keys())),
                Some(methods) if !methods.iter().any(|known| known == method) => {
                    return Err(unknown("method", path, methods.iter()));
                }
                Some(_) => {}
            }
        }
        Ok(self)
    }
}

fn read(set: &[u8], services: &mut Services) -> Result<(), ConfigError> {
    let set = FileDescriptorSet::decode(set).map_err(|error| {
        wrong("not an encoded FileDescriptorSet; write what the build script wrote").because(error)
    })?;
    for file in set.file {
        let package = file.package();
        for service in &file.service {
            let name = match package {
                "" => service.name().to_owned(),
                package => format!("{package}.{}", service.name()),
            };
            let methods = service.method.iter().map(|method| method.name().to_owned());
            services.entry(name).or_default().extend(methods);
        }
    }
    Ok(())
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> ConfigError {
    let known: Vec<_> = known.map(String::as_str).collect();
    wrong(format!("there is no {what} {name:?}; write one of {}", known.join(", ")))
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Method, message).at("methods")
}
