//! Fetching with reqwest and rustls.

use ::reqwest::redirect::Policy;
use ::reqwest::{Certificate, Client, ClientBuilder};
use bytes::BytesMut;
use http::header::ACCEPT;

use super::{
    CONNECT_TIMEOUT, FETCH_TIMEOUT, Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest,
    FetchResponse, MAX_RESPONSE_LENGTH,
};
use crate::error::{ConfigError, ConfigErrorKind};

/// The default [`Fetch`]: rustls with the platform's certificates, no redirects, no proxy, no content decoding,
/// and the limits of this module.
#[derive(Debug, Clone)]
pub struct ReqwestFetch(Client);

impl ReqwestFetch {
    /// Trusts the platform's certificate authorities.
    ///
    /// # Errors
    /// If TLS cannot be set up, for example because the platform has no certificates.
    pub fn new() -> Result<Self, ConfigError> {
        Self::build(|builder| builder)
    }

    /// Trusts nobody: for plain HTTP to this machine, where the platform has no certificates. Over https it fails.
    pub(crate) fn without_certificates() -> Result<Self, ConfigError> {
        Self::build(|builder| builder.tls_certs_only([]))
    }

    /// Trusts the certificate authorities in a PEM bundle besides the platform's.
    ///
    /// # Errors
    /// If the bundle holds no certificate, or TLS cannot be set up.
    pub fn with_ca_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let wrong =
            || ConfigError::new(ConfigErrorKind::Url, "holds no PEM certificate of a certificate authority");
        let certificates = Certificate::from_pem_bundle(pem).map_err(|e| wrong().because(e))?;
        if certificates.is_empty() {
            return Err(wrong());
        }
        Self::build(|builder| builder.tls_certs_merge(certificates))
    }

    fn build(trust: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Self, ConfigError> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            // Off in our build; another crate may have turned them on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("tower-bearer/", env!("CARGO_PKG_VERSION")));
        let client = trust(builder).build().map_err(|error| {
            ConfigError::new(
                ConfigErrorKind::Feature,
                "TLS cannot be set up; install the system's certificates (ca-certificates) or give the issuer a Fetch",
            )
            .because(error)
        })?;
        Ok(Self(client))
    }
}

impl Fetch for ReqwestFetch {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let request = self.0.get(request.url()).header(ACCEPT, request.accept());
        Box::pin(async move {
            let mut response = request.send().await.map_err(failed)?;
            let mut body = BytesMut::new();
            // Counted while it streams in: `Content-Length` may lie or be absent.
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len().saturating_add(chunk.len()) > MAX_RESPONSE_LENGTH {
                    return Err(FetchError::new(FetchErrorKind::TooLarge));
                }
                body.extend_from_slice(&chunk);
            }
            let headers = std::mem::take(response.headers_mut());
            Ok(FetchResponse::new(response.status(), headers, body.freeze()))
        })
    }
}

fn failed(error: ::reqwest::Error) -> FetchError {
    let kind = if error.is_timeout() { FetchErrorKind::Timeout } else { FetchErrorKind::Connection };
    FetchError::new(kind).because(error.without_url())
}
