//! Tokens that are looked up: what is said of them, who is asked and how often, and endpoints that misbehave.

mod answers;
mod assertion;
mod client_key;
mod config;
mod desk;
#[cfg(feature = "reqwest")]
mod endpoint;
mod hybrid;
mod later;
mod live;
mod memory;
mod pause;
mod races;
mod settings;
mod shared;
#[cfg(feature = "reqwest")]
mod signed;
#[cfg(feature = "reqwest")]
mod systems;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tower_bearer::testing::ManualClock;
use tower_bearer::{
    Clock, Found, FoundClaims, Issuer, LookupError, LookupErrorKind, LookupFuture, OpaqueToken, Rejection,
    RejectionKind, ResourceServer, ResourceServerBuilder, Token, TokenError, TokenLookup,
};

use crate::support::API;

/// A good opaque token.
pub(crate) const OPAQUE: &str = "mF_9.B5f-4.1JqM";

/// Whoever has issued the tokens, in memory.
#[derive(Clone)]
struct Book(Arc<Inner>);

struct Inner {
    said: Mutex<HashMap<String, Value>>,
    asked: Mutex<Vec<String>>,
    fails: Mutex<Option<(LookupErrorKind, Option<Duration>)>>,
    panics: Mutex<bool>,
    /// Tokens that begin like this get no answer as long as this is so.
    hangs: watch::Sender<Option<&'static str>>,
}

impl Book {
    fn new() -> Self {
        Self(Arc::new(Inner {
            said: Mutex::default(),
            asked: Mutex::default(),
            fails: Mutex::default(),
            panics: Mutex::default(),
            hangs: watch::Sender::new(None),
        }))
    }

    fn say(&self, token: &str, claims: Value) {
        self.0.said.lock().unwrap().insert(token.to_owned(), claims);
    }

    fn revoke(&self, token: &str) {
        self.0.said.lock().unwrap().remove(token);
    }

    fn fail(&self, kind: impl Into<Option<LookupErrorKind>>) {
        *self.0.fails.lock().unwrap() = kind.into().map(|kind| (kind, None));
    }

    /// It asks for a pause.
    fn ask_for_a_pause(&self, kind: LookupErrorKind, pause: Duration) {
        *self.0.fails.lock().unwrap() = Some((kind, Some(pause)));
    }

    fn panic(&self, panics: bool) {
        *self.0.panics.lock().unwrap() = panics;
    }

    /// From now on those tokens hang.
    fn hang(&self, prefix: impl Into<Option<&'static str>>) {
        self.0.hangs.send_replace(prefix.into());
    }

    fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    /// How often this token was asked about.
    fn asked_about(&self, token: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == token).count()
    }
}

impl TokenLookup for Book {
    fn look_up(&self, token: OpaqueToken) -> LookupFuture {
        let raw = token.expose().to_owned();
        self.0.asked.lock().unwrap().push(raw.clone());
        let (book, mut hangs) = (self.clone(), self.0.hangs.subscribe());
        Box::pin(async move {
            let _ = hangs.wait_for(|prefix| prefix.is_none_or(|prefix| !raw.starts_with(prefix))).await;
            assert!(!*book.0.panics.lock().unwrap(), "asked to panic");
            if let Some((kind, pause)) = *book.0.fails.lock().unwrap() {
                let error = LookupError::new(kind);
                return Err(pause.into_iter().fold(error, LookupError::with_retry_after));
            }
            let said = book.0.said.lock().unwrap().get(&raw).cloned();
            said.map_or(Ok(Found::Inactive), |claims| {
                Ok(Found::Active(FoundClaims::parse(claims.to_string())?))
            })
        })
    }
}

/// A book, a clock that only tests move, and an API whose tokens are looked up in the book.
struct World {
    clock: ManualClock,
    book: Book,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        Self::with(|issuer| issuer, |builder| builder)
    }

    fn with(
        issuer: impl FnOnce(Issuer) -> Issuer,
        server: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder,
    ) -> Self {
        let (clock, book) = (ManualClock::new(), Book::new());
        let issuer = issuer(Issuer::unnamed("book").lookup(book.clone()));
        let builder = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer);
        let world = Self { clock, book, api: server(builder).build().unwrap() };
        world.book.say(OPAQUE, world.claims());
        world
    }

    /// What is said of a good token.
    fn claims(&self) -> Value {
        json!({"active": true, "aud": API, "client_id": "robot", "sub": "somebody", "scope": "a b",
            "jti": "1", "iat": self.at(0), "exp": self.at(600)})
    }

    /// In seconds since 1970.
    fn at(&self, seconds: i64) -> i64 {
        let now = self.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_secs()).unwrap() + seconds
    }

    async fn verify(&self, token: &str) -> Result<Token, Rejection> {
        self.api.verify(token).await
    }

    async fn accepts(&self, token: &str) -> bool {
        self.verify(token).await.is_ok()
    }

    /// Why it is refused; `None` if it is accepted.
    async fn fault(&self, token: &str) -> Option<TokenError> {
        self.verify(token).await.err().map(|why| why.token_error().unwrap_or_else(|| panic!("{why:?}")))
    }
}

fn is_unavailable<T>(verified: &Result<T, Rejection>) -> bool {
    verified
        .as_ref()
        .err()
        .is_some_and(|why| why.kind() == RejectionKind::Unavailable && why.retry_after().is_some())
}
