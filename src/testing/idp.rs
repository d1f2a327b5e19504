//! [`Idp`]: keys, tokens and discovery in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::key::SigningKey;
use super::token::TokenBuilder;
use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse};
use crate::jose::Algorithm;
use crate::server::{Issuer, ResourceServer};
use crate::time::{Clock, SystemClock};

/// An identity provider. Clones are the same one.
///
/// It is its own [`Fetch`]: discovery and keys are served in memory, with no socket.
#[derive(Clone)]
pub struct Idp {
    issuer: String,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The newest of each algorithm signs; all are published.
    keys: Vec<SigningKey>,
    /// Set instead of the real key set.
    jwks: Option<String>,
    outage: Option<Outage>,
    fetched: Vec<String>,
}

#[derive(Clone)]
enum Outage {
    Unreachable,
    Status(StatusCode),
    Hangs(Duration),
}

impl Idp {
    /// An issuer with one ES256 key.
    #[must_use]
    pub fn new(issuer: impl Into<String>) -> Self {
        Self::with_algorithms(issuer, [Algorithm::ES256])
    }

    /// An issuer with one key for each of these algorithms; the first signs unless a token asks for another.
    #[must_use]
    pub fn with_algorithms(
        issuer: impl Into<String>,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Self {
        let keys = algorithms.into_iter().map(SigningKey::generate).collect();
        let state = State { keys, jwks: None, outage: None, fetched: Vec::new() };
        Self { issuer: issuer.into(), clock: Arc::new(SystemClock), state: Arc::new(Mutex::new(state)) }
    }

    /// Takes the time from this clock, for its tokens and for [`resource_server`](Self::resource_server).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The same keys under another issuer identifier.
    #[must_use]
    pub fn renamed(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Its issuer identifier.
    #[must_use]
    pub fn identifier(&self) -> &str {
        &self.issuer
    }

    /// A resource server that trusts this issuer alone.
    ///
    /// # Panics
    /// If the issuer or the identifier cannot be used.
    #[must_use]
    pub fn resource_server(&self, identifier: &str) -> ResourceServer {
        ResourceServer::builder(identifier)
            .issuer(self.issuer())
            .clock(self.clock.clone())
            .build()
            .expect("a resource server")
    }

    /// This issuer, trusted with its discovered keys.
    pub fn issuer(&self) -> Issuer {
        Issuer::new(&*self.issuer).fetch(self.clone())
    }

    /// A token for an audience, signed by the newest key of the first algorithm.
    pub fn token(&self, audience: &str) -> TokenBuilder {
        let key = self.state().keys.first().cloned().expect("a key");
        self.token_with(key, audience)
    }

    /// A token signed with this algorithm.
    ///
    /// # Panics
    /// If the issuer has no such key.
    pub fn token_of(&self, algorithm: Algorithm, audience: &str) -> TokenBuilder {
        let key = self.state().keys.iter().find(|key| key.algorithm == algorithm).cloned();
        self.token_with(key.expect("a key of this algorithm"), audience)
    }

    fn token_with(&self, key: SigningKey, audience: &str) -> TokenBuilder {
        TokenBuilder::new(key, self.clock.now(), &self.issuer, audience)
    }

    /// Signs with new keys from now on. The old ones stay published.
    pub fn rotate(&self) {
        let mut state = self.state();
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for key in &state.keys {
            if !algorithms.contains(&key.algorithm) {
                algorithms.push(key.algorithm);
            }
        }
        let new: Vec<_> = algorithms.into_iter().map(SigningKey::generate).collect();
        state.keys.splice(0..0, new);
    }

    /// Withdraws all but the newest key of each algorithm.
    pub fn retire(&self) {
        let mut seen: Vec<Algorithm> = Vec::new();
        self.state().keys.retain(|key| {
            let newest = !seen.contains(&key.algorithm);
            seen.push(key.algorithm);
            newest
        });
    }

    /// Cannot be reached from now on.
    pub fn go_down(&self) {
        self.state().outage = Some(Outage::Unreachable);
    }

    /// Answers everything with this status from now on.
    pub fn answer_with(&self, status: StatusCode) {
        self.state().outage = Some(Outage::Status(status));
    }

    /// Answers only after this time from now on.
    pub fn hang(&self, pause: Duration) {
        self.state().outage = Some(Outage::Hangs(pause));
    }

    /// Works again.
    pub fn come_back(&self) {
        self.state().outage = None;
    }

    /// Publishes this instead of its keys.
    pub fn publish(&self, jwks: impl Into<String>) {
        self.state().jwks = Some(jwks.into());
    }

    /// The URLs that were fetched so far.
    #[must_use]
    pub fn fetched(&self) -> Vec<String> {
        self.state().fetched.clone()
    }

    /// How often the key set was fetched.
    #[must_use]
    pub fn jwks_fetches(&self) -> usize {
        self.state().fetched.iter().filter(|url| url.ends_with("/jwks")).count()
    }

    /// The published key set.
    #[must_use]
    pub fn jwks(&self) -> String {
        let state = self.state();
        state.jwks.clone().unwrap_or_else(|| {
            json!({"keys": state.keys.iter().map(SigningKey::jwk).collect::<Vec<_>>()}).to_string()
        })
    }

    /// The discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
    #[must_use]
    pub fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/jwks"),
            "token_endpoint": format!("{issuer}/token"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }

    /// The answer to a GET of one of its documents.
    pub(super) fn document(&self, path: &str) -> Option<String> {
        match path {
            "/jwks" => Some(self.jwks()),
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => {
                Some(self.metadata().to_string())
            }
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch for Idp {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let outage = {
            let mut state = self.state();
            state.fetched.push(request.url().to_owned());
            state.outage.clone()
        };
        let idp = self.clone();
        Box::pin(async move {
            match outage {
                Some(Outage::Unreachable) => return Err(FetchError::new(FetchErrorKind::Connection)),
                Some(Outage::Status(status)) => return Ok(FetchResponse::new(status, HeaderMap::new(), "")),
                Some(Outage::Hangs(pause)) => tokio::time::sleep(pause).await,
                None => {}
            }
            let document = request.url().strip_prefix(&idp.issuer).and_then(|path| idp.document(path));
            Ok(match document {
                Some(document) => FetchResponse::new(StatusCode::OK, HeaderMap::new(), document),
                None => FetchResponse::new(StatusCode::NOT_FOUND, HeaderMap::new(), ""),
            })
        })
    }
}

impl std::fmt::Debug for Idp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idp").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
