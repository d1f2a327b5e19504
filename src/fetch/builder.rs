//! [`ReqwestFetchBuilder`]: whom TLS trusts, and the way to them.

use std::fmt;
use std::path::PathBuf;

#[cfg(any(feature = "rustls", feature = "native-tls"))]
use ::reqwest::Certificate;
use ::reqwest::redirect::Policy;
use ::reqwest::{Client, ClientBuilder, Proxy};
use url::Url;

use super::address::Reach;
use super::bearer::BearerFile;
use super::resolve::Guarded;
use super::{CONNECT_TIMEOUT, FETCH_TIMEOUT, ReqwestFetch};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::secret::Secret;

/// Builds a [`ReqwestFetch`].
///
/// ```
/// # #[cfg(any(feature = "rustls", feature = "native-tls"))] {
/// use tower_bearer::{ConfigError, ReqwestFetch};
///
/// /// An issuer inside of a Kubernetes cluster.
/// fn in_the_cluster(ca: &[u8]) -> Result<ReqwestFetch, ConfigError> {
///     ReqwestFetch::builder()
///         .ca_pem(ca)
///         .ca_only()
///         .bearer_file("https://kubernetes.default.svc", "/var/run/secrets/kubernetes.io/serviceaccount/token")
///         .build()
/// }
/// assert!(in_the_cluster(b"no certificate").is_err());
/// # }
/// ```
#[derive(Default)]
#[must_use]
pub struct ReqwestFetchBuilder {
    ca_pem: Vec<Vec<u8>>,
    ca_only: bool,
    webpki_roots: bool,
    proxy: Option<Secret<String>>,
    bearer_files: Vec<(String, PathBuf)>,
}

impl ReqwestFetchBuilder {
    /// Trusts the certificate authorities in a PEM bundle too. Called more than once, all of them.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem.push(pem.into());
        self
    }

    /// Trusts the authorities of [`ca_pem`](Self::ca_pem) and nobody else. Default: besides the platform's.
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub fn ca_only(mut self) -> Self {
        self.ca_only = true;
        self
    }

    /// Trusts Mozilla's certificate authorities instead of the platform's: for an image without certificates.
    ///
    /// # Security
    /// The list is part of the program. An authority that Mozilla distrusts is trusted here until the program is built
    /// with a newer `webpki-root-certs`.
    #[cfg(feature = "webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.webpki_roots = true;
        self
    }

    /// Fetches over this HTTP proxy, such as `http://proxy.example.com:3128`; a user name and password may be in it.
    /// Default: none. The variables of the environment (`HTTPS_PROXY` and the like) are not looked at.
    ///
    /// Plain HTTP leads to this machine only, and goes past the proxy.
    ///
    /// # Security
    /// The proxy sees which hosts are asked and no more: TLS ends at the issuer. To a proxy with `http://` its own
    /// password goes in clear text. It is the proxy that resolves names: that a discovery document can name a host which
    /// leads inside is for the proxy to stop. Addresses in URLs are checked here as ever.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(Secret::new(url.into()));
        self
    }

    /// Sends what is in this file as a bearer token to the origin of this URL (RFC 6454 §4: scheme, host and port) and
    /// to no other; for example with a Kubernetes service account token. White space at its end is left out.
    ///
    /// The file is read at every fetch, since such tokens are replaced while a program runs, and it need not be there
    /// before. A file that is absent, longer than [`MAX_BEARER_FILE_LENGTH`], or holds no token (RFC 6750 §2.1) is a
    /// failed fetch ([`FetchErrorKind::Credentials`]): the next one tries again.
    ///
    /// # Security
    /// Whoever answers at that origin can use the token for what it is good for. It goes over https or to this machine,
    /// never along to a key set that discovery finds elsewhere, and is not in any log or error.
    ///
    /// [`MAX_BEARER_FILE_LENGTH`]: crate::manual::defaults::MAX_BEARER_FILE_LENGTH
    /// [`FetchErrorKind::Credentials`]: crate::FetchErrorKind::Credentials
    pub fn bearer_file(mut self, url: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.bearer_files.push((url.into(), path.into()));
        self
    }

    /// Checks everything and does no network I/O. [`bearer_file`](Self::bearer_file) is not read yet.
    ///
    /// # Errors
    /// With the name of the method that was given something wrong, or if TLS cannot be set up.
    pub fn build(self) -> Result<ReqwestFetch, ConfigError> {
        let client = self.client(Reach::Inside)?;
        let supplied = self.client(Reach::Global)?;
        let bearers = bearers(self.bearer_files).map_err(|error| error.at("bearer_file"))?;
        Ok(ReqwestFetch::with(client, supplied, bearers))
    }

    fn client(&self, furthest: Reach) -> Result<Client, ConfigError> {
        let mut builder = self.trust(base())?;
        let mut resolver = Guarded::new(furthest);
        if let Some(url) = &self.proxy {
            let (proxy, host) = proxy(url.expose()).map_err(|error| error.at("proxy"))?;
            builder = builder.proxy(proxy);
            resolver = resolver.except(host);
        }
        client(builder.dns_resolver(resolver))
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn trust(&self, builder: ClientBuilder) -> Result<ClientBuilder, ConfigError> {
        let wrong = |message| Err(ConfigError::new(ConfigErrorKind::Fetch, message).at("ca_only"));
        let mut given = Vec::new();
        for pem in &self.ca_pem {
            given.extend(certificates(pem).map_err(|error| error.at("ca_pem"))?);
        }
        match (self.ca_only, self.webpki_roots) {
            (true, true) => wrong("contradicts webpki_roots; write one of the two"),
            (true, false) if given.is_empty() => wrong("nobody would be trusted; give an authority too"),
            (true, false) => Ok(builder.tls_certs_only(given)),
            (false, true) => Ok(builder.tls_certs_only(mozilla().chain(given))),
            (false, false) => Ok(builder.tls_certs_merge(given)),
        }
    }

    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    fn trust(&self, builder: ClientBuilder) -> Result<ClientBuilder, ConfigError> {
        Ok(builder)
    }
}

impl ReqwestFetch {
    /// Trusts the platform's certificate authorities, and uses no proxy.
    ///
    /// # Errors
    /// If TLS cannot be set up, for example because the platform has no certificates.
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Another choice of whom to trust and of the way to them.
    pub fn builder() -> ReqwestFetchBuilder {
        ReqwestFetchBuilder::default()
    }

    /// Trusts nobody: for plain HTTP to this machine, where the platform has no certificates. Over https it fails.
    pub(crate) fn without_certificates() -> Result<Self, ConfigError> {
        let local = |furthest| {
            let builder = base().dns_resolver(Guarded::new(furthest));
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            let builder = builder.tls_certs_only([]);
            client(builder)
        };
        Ok(Self::with(local(Reach::Inside)?, local(Reach::Global)?, Vec::new()))
    }
}

fn base() -> ClientBuilder {
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
    // Said aloud: another crate may have turned on the other one.
    #[cfg(feature = "rustls")]
    let builder = builder.tls_backend_rustls();
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    let builder = builder.tls_backend_native();
    builder
}

fn client(builder: ClientBuilder) -> Result<Client, ConfigError> {
    builder.build().map_err(|error| {
        ConfigError::new(
            ConfigErrorKind::Feature,
            "TLS cannot be set up; install the system's certificates (ca-certificates), trust only given ones, or give the issuer a Fetch",
        )
        .because(error)
    })
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    let wrong = || {
        ConfigError::new(
            ConfigErrorKind::Fetch,
            "holds no PEM certificate of a certificate authority; write one or more",
        )
    };
    let certificates = Certificate::from_pem_bundle(pem).map_err(|error| wrong().because(error))?;
    if certificates.is_empty() {
        return Err(wrong());
    }
    // What is wrong with a certificate comes out when a client is made of it.
    let trial = base().tls_certs_only(certificates.clone()).build();
    trial.map(|_| certificates).map_err(|error| wrong().because(error))
}

#[cfg(feature = "webpki-roots")]
fn mozilla() -> impl Iterator<Item = Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|der| Certificate::from_der(der).ok())
}

#[cfg(all(any(feature = "rustls", feature = "native-tls"), not(feature = "webpki-roots")))]
fn mozilla() -> impl Iterator<Item = Certificate> {
    std::iter::empty()
}

/// For https only. Plain HTTP is for this machine: the proxy's `localhost` is another one, on the way to which anybody
/// could change the keys. With its host.
fn proxy(text: &str) -> Result<(Proxy, String), ConfigError> {
    let wrong = || {
        let message = "not an HTTP proxy; write one such as \"http://proxy.example.com:3128\"";
        ConfigError::new(ConfigErrorKind::Fetch, message)
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    // What is no `Uri` would silently be no proxy.
    let is_uri = url.as_str().parse::<http::Uri>().is_ok();
    if !matches!(url.scheme(), "http" | "https") || !is_bare || !is_uri {
        return Err(wrong());
    }
    let host = url.host_str().ok_or_else(wrong)?.to_owned();
    Proxy::https(url).map(|proxy| (proxy, host)).map_err(|_| wrong())
}

fn bearers(files: Vec<(String, PathBuf)>) -> Result<Vec<BearerFile>, ConfigError> {
    let wrong = |message: String| Err(ConfigError::new(ConfigErrorKind::Fetch, message));
    let mut bearers: Vec<BearerFile> = Vec::new();
    for (url, path) in files {
        if path.as_os_str().is_empty() {
            return wrong("the path is empty; write that of a file with a token".to_owned());
        }
        let bearer = match BearerFile::new(&url, path) {
            Ok(bearer) => bearer,
            Err(why) => return wrong(format!("the URL {why}")),
        };
        if bearers.iter().any(|other| other.has_the_origin_of(&bearer)) {
            return wrong("a second file for the same origin; write one".to_owned());
        }
        bearers.push(bearer);
    }
    Ok(bearers)
}

impl fmt::Debug for ReqwestFetchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFetchBuilder")
            .field("ca_pem", &self.ca_pem.len())
            .field("ca_only", &self.ca_only)
            .field("webpki_roots", &self.webpki_roots)
            .field("proxy", &self.proxy)
            // A URL may hold a password; `build()` refuses it.
            .field("bearer_files", &self.bearer_files.len())
            .finish()
    }
}
