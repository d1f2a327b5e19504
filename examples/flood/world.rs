//! An issuer on a socket, a layer that trusts it, the two ways to the layer, and the tokens.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::manual::defaults::{FRESH_FOR, MISS_BURST, MISS_INTERVAL, REFRESH_AT, REFRESH_JITTER};
use tower_bearer::testing::{AuthorizationServer, Idp, Loopback, Serving};
use tower_bearer::{BearerAuthLayer, Issuer, ResourceServer};

use crate::Error;

const API: &str = "https://api.example.com";

/// Connections of one HTTP client. Requests beyond them queue, so that a pause costs time and not file descriptors.
pub(crate) const CONNECTIONS: usize = 64;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) idp: Idp,
    auth: BearerAuthLayer,
    start: Instant,
    /// The next made-up key id.
    next: Arc<AtomicU64>,
    /// Claims of a good token.
    claims: Arc<str>,
    _issuer: Arc<Serving>,
    api: Arc<Serving>,
}

/// How a request comes to the layer.
#[derive(Clone)]
pub(crate) enum Way {
    /// The service is called.
    Called(BearerAuthLayer),
    /// Over HTTP/1.1 on loopback.
    Http(Arc<Http>),
}

pub(crate) struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    connections: Semaphore,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Error> {
        Self::limited(None).await
    }

    /// With a limit on signatures that are checked at the same time.
    pub(crate) async fn limited(limit: Option<usize>) -> Result<Self, Error> {
        let loopback = Loopback::bind().await?;
        let idp = Idp::new(loopback.url());
        let api = ResourceServer::builder(API).issuer(Issuer::new(loopback.url()).dangerous_allow_http());
        let api = match limit {
            Some(limit) => api.max_concurrent_verifications(limit),
            None => api,
        };
        let api = api.build()?;
        let issuer = loopback.serve(AuthorizationServer::new(idp.clone(), API));
        let auth = BearerAuthLayer::new(api);
        let service = auth.layer(service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
        Ok(Self {
            claims: URL_SAFE_NO_PAD.encode(idp.token(API).claims_json()).into(),
            idp,
            auth,
            start: Instant::now(),
            next: Arc::default(),
            _issuer: Arc::new(issuer),
            api: Arc::new(Loopback::bind().await?.serve(service)),
        })
    }

    pub(crate) fn called(&self) -> Way {
        Way::Called(self.auth.clone())
    }

    /// A client of its own.
    pub(crate) fn http(&self) -> Way {
        Way::Http(Arc::new(Http {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: self.api.url().to_owned(),
            connections: Semaphore::new(CONNECTIONS),
        }))
    }

    /// A token that was never seen before, of a key that is known.
    pub(crate) fn good(&self) -> Arc<str> {
        self.idp.token(API).expires_in(Duration::from_secs(3600)).sign().into()
    }

    /// A token of a key id that was never seen before. All but the key id and the signature is that of a good token, so
    /// that nothing cheaper refuses it.
    pub(crate) fn made_up(&self) -> Arc<str> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"made up {number}"}}"#);
        let signature = URL_SAFE_NO_PAD.encode([7; 64]);
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), self.claims).into()
    }

    /// A token of a key that is known, signed by somebody else. Nothing cheaper than the signature refuses it.
    pub(crate) fn forged(&self) -> Arc<str> {
        self.idp.token(API).expires_in(Duration::from_secs(3600)).by_a_stranger().sign().into()
    }

    /// Fetches of discovery and of keys.
    pub(crate) fn fetches(&self) -> (usize, usize) {
        let jwks = self.idp.jwks_fetches();
        (self.idp.fetched().len().saturating_sub(jwks), jwks)
    }

    /// So many fetches of the keys there may have been by now: the first, those of the schedule, and the misses.
    pub(crate) fn budget(&self) -> u64 {
        let elapsed = self.start.elapsed().as_secs();
        let earliest =
            FRESH_FOR.as_secs().saturating_mul(u64::from(REFRESH_AT.saturating_sub(REFRESH_JITTER)));
        let scheduled = elapsed.saturating_mul(100).checked_div(earliest).unwrap_or(0);
        let misses = elapsed.checked_div(MISS_INTERVAL.as_secs()).unwrap_or(0);
        scheduled.saturating_add(misses).saturating_add(u64::from(MISS_BURST)).saturating_add(1)
    }

    pub(crate) fn check_budget(&self, broken: &mut Vec<String>) -> Result<(), Error> {
        let (fetched, budget) = (self.fetches().1, self.budget());
        println!("{fetched} fetches of keys since the start, of {budget} that the budget allows");
        if u64::try_from(fetched)? > budget {
            broken.push(format!("{fetched} fetches, and the budget allows {budget}"));
        }
        Ok(())
    }
}

impl Way {
    pub(crate) async fn status(&self, token: &str) -> Result<StatusCode, Error> {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        match self {
            Self::Called(auth) => {
                let service = auth.layer(service_fn(|_: Request<Empty<Bytes>>| async {
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }));
                Ok(service.oneshot(request.body(Empty::new())?).await?.status())
            }
            Self::Http(http) => {
                let _one = http.connections.acquire().await?;
                Ok(http.client.request(request.uri(&http.url).body(Empty::new())?).await?.status())
            }
        }
    }
}
