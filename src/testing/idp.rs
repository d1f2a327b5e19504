//! [`Idp`]: keys, tokens and discovery in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::{Value, json};

use super::key::SigningKey;
use super::token::TokenBuilder;
use crate::fetch::{Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse};
use crate::jose::Algorithm;
use crate::keys::Keys;
use crate::server::{Issuer, ResourceServer, Trusted};
use crate::time::{Clock, SystemClock};
use crate::token::Token;

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

    /// Puts a token and its verdict into a request, for a test of a handler alone: as if a layer had let it pass. The
    /// token is really signed and really verified, by a server of its own, without a socket.
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_bearer::{Token, testing::Idp};
    ///
    /// async fn hello(token: Token) -> String {
    ///     format!("hello {}", token.client_id().unwrap_or("-"))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let idp = Idp::new("https://id.example.com");
    /// let mut request = Request::get("/").body(Body::empty()).unwrap();
    /// idp.authorize(&mut request, &idp.token("https://api.example.com").client("robot"));
    ///
    /// let handler: Router = Router::new().route("/", get(hello)); // no layer
    /// assert_eq!(handler.oneshot(request).await.unwrap().status(), 200);
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the token would be refused: the text says why.
    #[track_caller]
    pub fn authorize<B>(&self, request: &mut Request<B>, token: &TokenBuilder) -> Token {
        let raw = token.sign();
        let audience = token.audience().expect("a token with an audience");
        let server = ResourceServer::builder(audience)
            .issuer(Issuer::new(&*self.issuer).keys(Keys::jwks(self.jwks())))
            .clock(self.clock.clone())
            .build()
            .expect("a resource server");
        let token = match server.0.verify(raw.as_bytes(), &Trusted::All, None) {
            Ok(verified) => verified.token,
            Err(stop) => panic!("the token would be refused: {}", stop.into_rejection()),
        };
        let mut value = HeaderValue::try_from(format!("Bearer {raw}")).expect("a token");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        request.extensions_mut().insert(token.clone());
        token
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

    /// Cannot be reached from now on; over a socket it answers 503.
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

    /// Publishes its own keys again.
    pub fn publish_own(&self) {
        self.state().jwks = None;
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
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }

    /// The answer to a GET of one of its documents over a socket, with the outage that was asked for.
    pub(super) async fn answer(&self, path: &str) -> (StatusCode, String) {
        let outage = {
            let mut state = self.state();
            state.fetched.push(format!("{}{path}", self.issuer));
            state.outage.clone()
        };
        match outage {
            Some(Outage::Unreachable) => return (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            Some(Outage::Status(status)) => return (status, String::new()),
            Some(Outage::Hangs(pause)) => tokio::time::sleep(pause).await,
            None => {}
        }
        match self.document(path) {
            Some(document) => (StatusCode::OK, document),
            None => (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#.to_owned()),
        }
    }

    /// The answer to a GET of one of its documents.
    fn document(&self, path: &str) -> Option<String> {
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
