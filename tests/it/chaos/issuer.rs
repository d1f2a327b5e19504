//! An issuer on a real socket that rotates, retires, fails and lies when it is told to, and writes down what it served.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;
use tower_bearer::manual::defaults::{
    BACKOFF_MAX, FETCH_TIMEOUT, FLIGHT_LIMIT, FRESH_FOR, MAX_FRESH_FOR, MAX_RETRY_AFTER, MIN_FRESH_FOR,
};
use tower_bearer::testing::{Idp, Loopback, ManualClock, Serving, TokenBuilder};

use super::Times;
use super::model::{History, Life, Request as Logged, Served};
use crate::support::{API, gzip};

pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with the issuer's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// With this `Retry-After`.
    Status(u16, Option<u64>),
    /// The key set does not come, until there is another fault or none. Then it is the one of the time it was asked for.
    Hang,
    /// The same for the first who asks; the others have their answers before.
    HangOne,
    Cut,
    CutInTheBody,
    Html,
    Truncated,
    Empty,
    /// Discovery names another issuer, and keys that are a forger's.
    OtherIssuer,
    PrivateKeys,
    TenThousandKeys,
    /// A forger's keys, compressed.
    Compressed,
    /// To a forger's keys.
    Redirect,
    Endless,
    /// Next to good keys.
    Malformed,
    /// Each `kid` a second time, for another key.
    DuplicateKids,
}

impl Fault {
    pub(super) const ALL: [Self; 21] = [
        Self::Status(500, None),
        Self::Status(503, None),
        Self::Status(503, Some(7)),
        Self::Status(429, Some(120)),
        Self::Status(429, Some(100_000)),
        Self::Hang,
        // Twice, because nothing else brings an older set after a newer one.
        Self::HangOne,
        Self::HangOne,
        Self::Cut,
        Self::CutInTheBody,
        Self::Html,
        Self::Truncated,
        Self::Empty,
        Self::OtherIssuer,
        Self::PrivateKeys,
        Self::TenThousandKeys,
        Self::Compressed,
        Self::Redirect,
        Self::Endless,
        Self::Malformed,
        Self::DuplicateKids,
    ];

    /// Good keys are served in spite of it.
    fn is_harmless(self) -> bool {
        matches!(self, Self::Nothing | Self::Malformed | Self::DuplicateKids)
    }
}

/// Clones are the same one.
#[derive(Clone)]
pub(super) struct Issuer(Arc<Shared>);

struct Shared {
    url: String,
    times: Times,
    clock: ManualClock,
    /// Has keys of its own under the same name.
    forger: Idp,
    state: Mutex<State>,
    released: watch::Sender<()>,
}

struct State {
    keys: Vec<Key>,
    fault: Fault,
    max_age: Option<u64>,
    /// The numbers of the requests whose answers are held back.
    held: Vec<usize>,
    history: History,
}

struct Key {
    jwk: Value,
    token: TokenBuilder,
}

impl Issuer {
    pub(super) async fn start(times: Times, clock: ManualClock) -> (Self, Serving) {
        let loopback = Loopback::bind().await.unwrap();
        let url = loopback.url().to_owned();
        let forger = Idp::new(&*url).clock(clock.clone());
        let state = State {
            keys: Vec::new(),
            fault: Fault::Nothing,
            max_age: None,
            held: Vec::new(),
            history: History::default(),
        };
        let released = watch::Sender::new(());
        let issuer = Self(Arc::new(Shared { url, times, clock, forger, state: Mutex::new(state), released }));
        issuer.rotate(true);
        let serving = loopback.serve(service_fn({
            let issuer = issuer.clone();
            move |request: Request<Incoming>| {
                let issuer = issuer.clone();
                async move { issuer.answer(request.uri().path()).await }
            }
        }));
        (issuer, serving)
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }

    pub(super) fn forger(&self) -> &Idp {
        &self.0.forger
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(super) fn history<T>(&self, read: impl FnOnce(&History) -> T) -> T {
        read(&self.state().history)
    }

    /// Signs with a new key from now on. It may be published later.
    pub(super) fn rotate(&self, published: bool) {
        // Each key from an issuer of its own, so that the old ones can go on signing.
        let idp = Idp::new(self.url()).clock(self.0.clock.clone());
        let jwk = serde_json::from_str::<Value>(&idp.jwks()).unwrap()["keys"][0].clone();
        let kid = jwk["kid"].as_str().unwrap().to_owned();
        let mut state = self.state();
        let published = published.then(|| self.0.times.now());
        state.history.keys.push(Life { kid, published, withdrawn: None });
        state.keys.push(Key { jwk, token: idp.token(API) });
    }

    /// Publishes what was signed with too early.
    pub(super) fn publish(&self) {
        let now = self.0.times.now();
        self.state().history.keys.last_mut().unwrap().published.get_or_insert(now);
    }

    /// Withdraws all keys but the newest that is published.
    pub(super) fn retire(&self) {
        let now = self.0.times.now();
        let mut state = self.state();
        let published = state.history.keys.iter_mut().filter(|key| key.published.is_some());
        for key in published.rev().skip(1) {
            key.withdrawn.get_or_insert(now);
        }
    }

    pub(super) fn max_age(&self, seconds: Option<u64>) {
        self.state().max_age = seconds;
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        let now = self.0.times.now();
        let mut state = self.state();
        if !state.fault.is_harmless() {
            state.history.troubles.last_mut().unwrap().1 = Some(now);
        }
        if !fault.is_harmless() {
            state.history.troubles.push((now, None));
        }
        state.fault = fault;
        drop(state);
        self.0.released.send_replace(());
    }

    pub(super) fn fault(&self) -> Fault {
        self.state().fault
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.state().held.is_empty()
    }

    /// The fetch that is under way, if there is one, is being held back.
    pub(super) fn holds_the_last(&self) -> bool {
        let state = self.state();
        state.held.last().is_some_and(|number| number + 1 == state.history.requests.len())
    }

    /// How many keys there ever were.
    pub(super) fn keys(&self) -> usize {
        self.state().keys.len()
    }

    /// The name of a key and a token signed with it, whether it is published or not.
    pub(super) fn token(&self, key: usize) -> (String, TokenBuilder) {
        let state = self.state();
        (state.history.keys[key].kid.clone(), state.keys[key].token.clone())
    }

    async fn answer(&self, path: &str) -> Result<Response<BoxBody<Bytes, Error>>, Error> {
        match path {
            "/jwks" => self.key_set().await,
            "/.well-known/openid-configuration" => {
                let (url, fault, asked) = (self.url(), self.fault(), self.0.times.now());
                {
                    let history = &mut self.state().history;
                    history.requests.push(Logged::Discovery { asked, good: good(fault) });
                    history.pauses.extend(longest_pause(fault).map(|pause| asked + pause));
                }
                let document =
                    |issuer: &str, jwks: &str| json!({"issuer": issuer, "jwks_uri": format!("{url}{jwks}")});
                let document = match fault {
                    Fault::OtherIssuer => document("https://other.example.com", "/forged/jwks"),
                    _ => document(url, "/jwks"),
                };
                if good(fault) { respond(200, document.to_string()) } else { self.bad(fault, path, document) }
            }
            // Whoever comes here followed where it must not.
            "/forged/.well-known/openid-configuration" => {
                let document =
                    json!({"issuer": self.url(), "jwks_uri": format!("{}/forged/jwks", self.url())});
                respond(200, document.to_string())
            }
            "/forged/jwks" => respond(200, self.0.forger.jwks()),
            _ => respond(404, String::new()),
        }
    }

    async fn key_set(&self) -> Result<Response<BoxBody<Bytes, Error>>, Error> {
        let (asked, start) = (self.0.times.now(), Instant::now());
        let (fault, max_age, kids, document, number) = {
            let mut state = self.state();
            let now_published = |life: &&Life| life.published.is_some() && life.withdrawn.is_none();
            let kids: Vec<_> =
                state.history.keys.iter().filter(now_published).map(|life| life.kid.clone()).collect();
            let keys = state.keys.iter().zip(&state.history.keys);
            let keys: Vec<_> =
                keys.filter(|(_, life)| now_published(life)).map(|(key, _)| key.jwk.clone()).collect();
            state.history.requests.push(Logged::Keys {
                asked,
                answered: None,
                fresh_for: None,
                retry_after: None,
            });
            let number = state.history.requests.len() - 1;
            (state.fault, state.max_age, kids, json!({"keys": keys}), number)
        };
        let holds = fault == Fault::Hang || (fault == Fault::HangOne && !self.holds_any());
        let held = holds.then(|| Held::new(self.clone(), number));
        if held.is_some() {
            let mut released = self.0.released.subscribe();
            // The fault may be over already.
            while self.fault() == fault {
                released.changed().await?;
            }
        }
        let now = self.0.times.now();
        let unsure = now - asked >= FLIGHT_LIMIT || start.elapsed() >= FETCH_TIMEOUT / 2;
        let brings_keys =
            fault.is_harmless() || matches!(fault, Fault::Hang | Fault::HangOne | Fault::OtherIssuer);
        let fresh_for = max_age
            .map_or(FRESH_FOR, |seconds| Duration::from_secs(seconds).clamp(MIN_FRESH_FOR, MAX_FRESH_FOR));
        let mut state = self.state();
        state.history.pauses.extend(longest_pause(fault).map(|pause| now + pause));
        let set = Served { unsure, answered: now, fresh_for, kids };
        if let Logged::Keys { answered, fresh_for, retry_after, .. } = &mut state.history.requests[number] {
            *answered = Some(now).filter(|_| !unsure);
            *fresh_for = brings_keys.then_some(set.fresh_for);
            *retry_after = longest_pause(fault).map(|pause| pause.min(BACKOFF_MAX) / 2);
        }
        // Another was asked for since, so this one was given up: it comes too late to be used.
        let superseded = number + 1 < state.history.requests.len();
        if brings_keys && !superseded {
            state.history.served.push(set);
        }
        drop(state);
        // Before it goes out, so that nobody takes it for still held.
        drop(held);
        if !brings_keys {
            return self.bad(fault, "/jwks", document);
        }
        let mut response = respond(200, self.decorated(fault, document).to_string())?;
        if let Some(seconds) = max_age {
            response.headers_mut().insert(CACHE_CONTROL, format!("max-age={seconds}").parse()?);
        }
        Ok(response)
    }

    /// What is odd next to good keys.
    fn decorated(&self, fault: Fault, mut document: Value) -> Value {
        let keys = document["keys"].as_array_mut().unwrap();
        match fault {
            Fault::Malformed => {
                keys.insert(0, json!({"kty": "RSA", "kid": "odd", "n": "AQAB", "e": "AQ"}));
                keys.insert(0, json!(7));
            }
            Fault::DuplicateKids => {
                let other: Value = serde_json::from_str(&Idp::new("-").jwks()).unwrap();
                let again = keys.iter().map(|key| {
                    let mut twin = other["keys"][0].clone();
                    twin["kid"] = key["kid"].clone();
                    twin
                });
                let again: Vec<_> = again.collect();
                keys.extend(again);
            }
            _ => {}
        }
        document
    }

    fn bad(
        &self,
        fault: Fault,
        path: &str,
        document: Value,
    ) -> Result<Response<BoxBody<Bytes, Error>>, Error> {
        let mut document = document;
        match fault {
            Fault::Status(status, retry_after) => {
                let mut response = respond(status, String::new())?;
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                Ok(response)
            }
            Fault::Cut => Err("cut".into()),
            Fault::CutInTheBody => {
                let text = document.to_string();
                let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
                stream(tokio_stream::iter([Ok(Frame::data(half)), Err("cut".into())]))
            }
            Fault::Html => respond(200, "<!doctype html><title>Sign in</title>".to_owned()),
            Fault::Truncated => {
                let text = document.to_string();
                respond(200, text[..text.len() - 2].to_owned())
            }
            Fault::Empty => respond(200, r#"{"keys":[]}"#.to_owned()),
            Fault::PrivateKeys => {
                for key in document["keys"].as_array_mut().into_iter().flatten() {
                    key["d"] = key["x"].clone();
                }
                respond(200, document.to_string())
            }
            Fault::TenThousandKeys => {
                let key = document["keys"][0].to_string();
                respond(200, format!(r#"{{"keys":[{key}{}]}}"#, format!(",{key}").repeat(9_999)))
            }
            Fault::Compressed => {
                let mut response = respond(200, gzip(self.0.forger.jwks().as_bytes()))?;
                response.headers_mut().insert(CONTENT_ENCODING, "gzip".parse()?);
                Ok(response)
            }
            Fault::Redirect => {
                let mut response = respond(302, String::new())?;
                response.headers_mut().insert(LOCATION, format!("{}/forged{path}", self.url()).parse()?);
                Ok(response)
            }
            Fault::Endless => stream(tokio_stream::iter(std::iter::repeat_with(|| {
                Ok(Frame::data(Bytes::from_static(&[b' '; 4096])))
            }))),
            _ => respond(200, document.to_string()),
        }
    }
}

/// Whether discovery is answered as it should be: the faults that are about keys leave it alone.
fn good(fault: Fault) -> bool {
    fault.is_harmless()
        || matches!(
            fault,
            Fault::Hang | Fault::HangOne | Fault::Empty | Fault::PrivateKeys | Fault::TenThousandKeys
        )
}

/// One answer that is being held back.
struct Held(Issuer, usize);

impl Held {
    fn new(issuer: Issuer, number: usize) -> Self {
        issuer.state().held.push(number);
        Self(issuer, number)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().held.retain(|number| *number != self.1);
    }
}

fn respond(status: u16, body: impl Into<Bytes>) -> Result<Response<BoxBody<Bytes, Error>>, Error> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    Ok(Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(body)?)
}

fn stream<S>(frames: S) -> Result<Response<BoxBody<Bytes, Error>>, Error>
where
    S: futures_core::Stream<Item = Result<Frame<Bytes>, Error>> + Send + Sync + 'static,
{
    Ok(Response::new(BodyExt::boxed(StreamBody::new(frames))))
}

/// The longest pause that an answer can cause: what it asks for and up to a tenth more, within our bound. (The shortest is
/// half of that, and without good keys no more than [`BACKOFF_MAX`].)
fn longest_pause(fault: Fault) -> Option<Duration> {
    match fault {
        Fault::Status(429 | 503, Some(seconds)) => {
            Some((Duration::from_secs(seconds) * 11 / 10).min(MAX_RETRY_AFTER))
        }
        _ => None,
    }
}
