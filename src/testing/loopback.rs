//! [`Loopback`]: a real HTTP server on this machine.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service;

/// A free port of this machine, for a real HTTP server (1.1 and 2) in a test or a demonstration.
///
/// The URL is known before anything is served, so an issuer can be named after it.
///
/// ```
/// use tower_bearer::testing::{AuthorizationServer, Idp, Loopback};
/// use tower_bearer::{Issuer, ResourceServer};
///
/// const API: &str = "https://api.example.com";
///
/// # #[cfg(not(feature = "reqwest"))] fn main() {}
/// # #[cfg(feature = "reqwest")]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let loopback = Loopback::bind().await?;
/// let idp = Idp::new(loopback.url());
/// let api = ResourceServer::builder(API)
///     .issuer(Issuer::new(loopback.url()).dangerous_allow_http())
///     .build()?;
/// let server = AuthorizationServer::new(idp.clone(), API).client("robot", "its secret", ["orders:read"]);
/// let _serving = loopback.serve(server); // until it is dropped
///
/// // Discovery and keys come through the socket now.
/// assert!(api.verify(&idp.token(API).sign()).await.is_ok());
/// assert_eq!(idp.jwks_fetches(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    url: String,
}

/// A server that runs. Dropped, it ends together with all its connections.
#[derive(Debug)]
#[must_use]
pub struct Serving {
    url: String,
    _connections: JoinSet<()>,
}

impl Loopback {
    /// Takes a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { listener, url })
    }

    /// `http://127.0.0.1:…`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves a tower service, for example an [`AuthorizationServer`](super::AuthorizationServer) or a router.
    pub fn serve<S, B>(self, service: S) -> Serving
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { listener, url } = self;
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { return };
                        let service = TowerToHyperService::new(service.clone());
                        connections.spawn(async move {
                            // A connection that breaks is its client's affair.
                            let _ = Builder::new(TokioExecutor::new())
                                .serve_connection(TokioIo::new(stream), service)
                                .await;
                        });
                    }
                    // So that those that have ended do not pile up.
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Serving { url, _connections: accepting }
    }
}

impl Serving {
    /// `http://127.0.0.1:…`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
