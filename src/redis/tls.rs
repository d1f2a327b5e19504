//! [`RedisTls`]: whom we trust to be our Redis, and who we are to it.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, RedisConnectionInfo};
use tokio::net::TcpStream;

use super::{Fault, wrong};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::secret::Secret;
use crate::sync::{AbortHandle, Handle};

/// How TLS to a Redis is set up (feature `rustls` or `native-tls`). Give it to
/// [`RedisDenylist::with_tls`](crate::RedisDenylist::with_tls).
///
/// Without anything it trusts the platform's certificate authorities, as
/// [`RedisDenylist::new`](crate::RedisDenylist::new) does with a `rediss:` URL. The name in the URL, or the address, must be in
/// the certificate. With the feature `rustls` no process-wide provider of cryptography is used or installed.
#[derive(Clone, Default)]
#[must_use]
pub struct RedisTls {
    authorities: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Secret<Vec<u8>>)>,
}

impl RedisTls {
    /// Trusts the platform's certificate authorities, and shows no certificate of ours.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificate authorities in this PEM bundle and nobody else. Default: the platform's.
    pub fn ca_only(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Shows this certificate, with those that lead to its authority, and proves it with its key (PKCS #8), both as PEM.
    /// Default: none, which a Redis accepts only with `tls-auth-clients no` or `optional`.
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = Some((certificate.into(), Secret::new(key.into())));
        self
    }
}

/// Where a Redis is, and what is needed to trust it.
pub(super) struct Tls {
    host: String,
    port: u16,
    connector: live::Connector,
}

/// What moves a connection on. It ends when this is dropped, also if an answer never comes.
pub(super) struct Driver(AbortHandle);

impl Tls {
    pub(super) fn new(info: &ConnectionInfo, tls: RedisTls) -> Result<Self, ConfigError> {
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(wrong("not the URL of a Redis with TLS; write one such as rediss://host:6379/0"));
        };
        let connector = live::Connector::new(host, tls)?;
        Ok(Self { host: host.clone(), port: *port, connector })
    }

    pub(super) async fn connect(
        &self,
        info: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, Driver), Fault> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let stream = self.connector.connect(&self.host, stream).await?;
        let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
        Ok((connection, Driver(Handle::current().spawn(driver).abort_handle())))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(feature = "rustls")]
mod live {
    use std::io;
    use std::sync::Arc;

    use rustls_platform_verifier::Verifier;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{
        CertificateError, ClientConfig, Error, RootCertStore, crypto::aws_lc_rs::default_provider,
    };

    use super::{ConfigError, Fault, RedisTls, TcpStream};

    pub(super) struct Connector {
        tls: TlsConnector,
        name: ServerName<'static>,
    }

    impl Connector {
        pub(super) fn new(host: &str, tls: RedisTls) -> Result<Self, ConfigError> {
            let name = ServerName::try_from(host.to_owned())
                .map_err(|_| super::wrong("no certificate can be for the host of the URL; write its name"))?;
            // The one that the client for keys uses too.
            let provider = Arc::new(default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(super::not_set_up)?;
            let config = match tls.authorities {
                Some(pem) => config.with_root_certificates(roots(&pem)?),
                None => {
                    let platform = Verifier::new(provider).map_err(super::not_set_up)?;
                    config.dangerous().with_custom_certificate_verifier(Arc::new(platform))
                }
            };
            let config = match tls.client {
                None => config.with_no_client_auth(),
                Some((certificate, key)) => {
                    let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| super::no_client())?;
                    let chain = certificates(&certificate).ok_or_else(super::no_client)?;
                    config.with_client_auth_cert(chain, key).map_err(|_| super::no_client())?
                }
            };
            Ok(Self { tls: Arc::new(config).into(), name })
        }

        pub(super) async fn connect(
            &self,
            _: &str,
            stream: TcpStream,
        ) -> Result<TlsStream<TcpStream>, Fault> {
            self.tls.connect(self.name.clone(), stream).await.map_err(|error| fault(&error))
        }
    }

    fn roots(pem: &[u8]) -> Result<RootCertStore, ConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem).ok_or_else(super::no_authority)? {
            roots.add(certificate).map_err(|_| super::no_authority())?;
        }
        Ok(roots)
    }

    /// `None` if there is none, or something else.
    fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
        Some(certificates).filter(|certificates| !certificates.is_empty())
    }

    fn fault(error: &io::Error) -> Fault {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let Some(inner) = inner else { return io::Error::from(error.kind()).into() };
        super::failed(match inner {
            Error::InvalidCertificate(why) => match why {
                // The second is another one of the same name.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate is of an authority that is not trusted"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "its certificate is for another name"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "its certificate has expired"
                }
                _ => "its certificate is not accepted",
            },
            _ => "there is no TLS that both speak",
        })
    }
}

#[cfg(all(feature = "native-tls", not(feature = "rustls")))]
mod live {
    use native_tls::{Certificate, Identity, TlsConnector};
    use tokio_native_tls::TlsStream;

    use super::{ConfigError, Fault, RedisTls, TcpStream};

    pub(super) struct Connector(tokio_native_tls::TlsConnector);

    impl Connector {
        pub(super) fn new(_: &str, tls: RedisTls) -> Result<Self, ConfigError> {
            let mut builder = TlsConnector::builder();
            if let Some(pem) = tls.authorities {
                let given = Certificate::stack_from_pem(&pem).map_err(|_| super::no_authority())?;
                if given.is_empty() {
                    return Err(super::no_authority());
                }
                builder.disable_built_in_roots(true);
                for certificate in given {
                    builder.add_root_certificate(certificate);
                }
            }
            if let Some((certificate, key)) = tls.client {
                let ours =
                    Identity::from_pkcs8(&certificate, key.expose()).map_err(|_| super::no_client())?;
                builder.identity(ours);
            }
            let connector = builder.build().map_err(super::not_set_up)?;
            Ok(Self(connector.into()))
        }

        pub(super) async fn connect(
            &self,
            host: &str,
            stream: TcpStream,
        ) -> Result<TlsStream<TcpStream>, Fault> {
            // What the system's library says of it is no closed set.
            self.0.connect(host, stream).await.map_err(|_| super::failed("TLS failed"))
        }
    }
}

fn failed(why: &'static str) -> Fault {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    Fault { detail: Some(why), ..broken.into() }
}

fn no_authority() -> ConfigError {
    wrong("holds no PEM certificate of a certificate authority; write one or more").at("ca_only")
}

fn no_client() -> ConfigError {
    wrong("not a PEM certificate with its key; write the certificate, and its key as PKCS #8")
        .at("client_certificate")
}

fn not_set_up(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConfigError {
    let message =
        "TLS cannot be set up; install the system's certificates (ca-certificates), or trust only given ones";
    ConfigError::new(ConfigErrorKind::Feature, message).because(error)
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("ca_only", &self.authorities.is_some())
            .field("client_certificate", &self.client.is_some())
            .finish()
    }
}
