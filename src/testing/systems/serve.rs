//! [`Served`]: one system on a port of this machine.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tower_service::Service;

use super::super::authorization_server::MAX_BODY;
use super::super::{Loopback, Serving};

/// A system that runs on a free port of 127.0.0.1, until it is dropped. What can be asked of it depends on which it is.
pub struct Served<S> {
    pub(super) system: Arc<S>,
    log: Arc<Mutex<Log>>,
    serving: Serving,
    /// A second listener, where the system has one.
    second: Option<Serving>,
}

#[derive(Default)]
struct Log {
    requests: Vec<String>,
    down: bool,
}

impl<S: Send + Sync + 'static> Served<S> {
    pub(super) fn new(loopback: Loopback, system: S, answer: fn(&S, &Call) -> Answer) -> Self {
        let (system, log) = (Arc::new(system), Arc::default());
        let front = Front { system: Arc::clone(&system), log: Arc::clone(&log), answer };
        Self { system, log, serving: loopback.serve(front), second: None }
    }

    /// With a second listener, whose requests are recorded too.
    pub(super) fn and(mut self, loopback: Loopback, answer: fn(&S, &Call) -> Answer) -> Self {
        let front = Front { system: Arc::clone(&self.system), log: Arc::clone(&self.log), answer };
        self.second = Some(loopback.serve(front));
        self
    }

    /// `http://127.0.0.1:…`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.serving.url()
    }

    pub(super) fn second_url(&self) -> &str {
        self.second.as_ref().map_or("", Serving::url)
    }

    /// The requests so far, such as `POST /connect/token`; without query, header and body.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.log).requests.clone()
    }

    /// Answers everything with 503 from now on.
    pub fn go_down(&self) {
        lock(&self.log).down = true;
    }

    /// Works again.
    pub fn come_back(&self) {
        lock(&self.log).down = false;
    }
}

impl<S> std::fmt::Debug for Served<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("url", &self.serving.url()).finish_non_exhaustive()
    }
}

/// A request that has been read whole.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    /// A parameter of the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub(super) fn is_post(&self) -> bool {
        self.method == Method::POST
    }
}

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
    let mut answer = empty(status);
    *answer.body_mut() = Full::new(body.to_string().into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749 §5.1.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What anybody may read, and keep.
pub(super) fn document(body: &Value) -> Answer {
    let mut answer = json(StatusCode::OK, body);
    answer.headers_mut().remove(CACHE_CONTROL);
    answer
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tower service of one listener.
struct Front<S> {
    system: Arc<S>,
    log: Arc<Mutex<Log>>,
    answer: fn(&S, &Call) -> Answer,
}

impl<S> Clone for Front<S> {
    fn clone(&self) -> Self {
        Self { system: Arc::clone(&self.system), log: Arc::clone(&self.log), answer: self.answer }
    }
}

impl<S: Send + Sync + 'static> Front<S> {
    async fn answer(self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let down = {
            let mut log = lock(&self.log);
            log.requests.push(format!("{} {}", head.method, head.uri.path()));
            log.down
        };
        if down {
            return empty(StatusCode::SERVICE_UNAVAILABLE);
        }
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let call = Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body: body.to_bytes(),
        };
        (self.answer)(&self.system, &call)
    }
}

impl<S: Send + Sync + 'static> Service<Request<Incoming>> for Front<S> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}
