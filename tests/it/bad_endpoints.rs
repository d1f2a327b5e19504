//! Key endpoints that misbehave, each over a real socket: at the start, and after keys were there.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http::header::CONTENT_ENCODING;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};
use tower_bearer::manual::defaults::{BACKOFF_MAX, FETCH_TIMEOUT, MAX_RESPONSE_LENGTH};
use tower_bearer::testing::{Idp, Loopback, ManualClock, Serving};
use tower_bearer::{FetchErrorKind, Issuer, Rejection, RejectionKind, ResourceServer, Token, TokenError};

use crate::support::{API, gzip, seconds};

/// How the endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Well,
    Slow,
    Hanging,
    /// A byte now and then.
    Dripping,
    Endless,
    Oversized,
    Truncated,
    /// To a forger's keys.
    Redirecting,
    Html,
    /// A forger's keys, which could be had by decoding.
    Compressed,
    PrivateKeys,
    TenThousandKeys,
    TenThousandOddKeys,
    OneMalformed,
    DuplicateKids,
    Empty,
    CutBeforeTheAnswer,
    CutInTheBody,
}

/// An issuer on loopback, its forger, and an API that trusts the issuer.
#[derive(Clone)]
struct World {
    clock: ManualClock,
    idp: Idp,
    forger: Idp,
    api: ResourceServer,
    mode: Arc<Mutex<Mode>>,
    _serving: Arc<Serving>,
}

impl World {
    async fn start(mode: Mode) -> Self {
        let loopback = Loopback::bind().await.unwrap();
        let clock = ManualClock::new();
        let idp = Idp::new(loopback.url()).clock(clock.clone());
        let forger = Idp::new(loopback.url()).clock(clock.clone());
        let mode = Arc::new(Mutex::new(mode));
        let (metadata, forged) = (idp.metadata().to_string(), forger.clone());
        let keys = {
            let (idp, forger, mode) = (idp.clone(), forger.clone(), mode.clone());
            move || {
                let now = *mode.lock().unwrap();
                answer(now, idp.jwks(), forger.jwks())
            }
        };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { metadata }))
            .route("/jwks", get(keys))
            .route("/forged", get(move || async move { forged.jwks() }));
        let cut = mode.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            // hyper closes the connection of a service that fails.
            let cut = *cut.lock().unwrap() == Mode::CutBeforeTheAnswer && request.uri().path() == "/jwks";
            let answer = app.clone().oneshot(request);
            async move { if cut { Err("cut") } else { Ok(answer.await.unwrap()) } }
        });
        let serving = Arc::new(loopback.serve(service));
        let issuer = Issuer::new(serving.url()).dangerous_allow_http();
        let api = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).build().unwrap();
        Self { clock, idp, forger, api, mode, _serving: serving }
    }

    fn becomes(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    async fn verify(&self, idp: &Idp) -> Result<Token, Rejection> {
        self.api.verify(&idp.token(API).expires_in(seconds(100_000)).sign()).await
    }

    fn last_error(&self) -> Option<FetchErrorKind> {
        self.api.health().issuers().next().unwrap().last_error().map(|(_, kind)| kind)
    }
}

async fn answer(mode: Mode, jwks: String, forged: String) -> Response {
    let mut set: Value = serde_json::from_str(&jwks).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    match mode {
        // By the service around this one.
        Mode::Well | Mode::CutBeforeTheAnswer => {}
        Mode::Slow => tokio::time::sleep(Duration::from_millis(500)).await,
        Mode::Hanging => std::future::pending().await,
        Mode::Dripping => {
            let drops = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b" "))));
            return body(drops.then(|drop| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                drop
            }));
        }
        Mode::Endless => {
            return body(stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b' '; 4096])))));
        }
        Mode::Oversized => return format!("{jwks}{}", " ".repeat(MAX_RESPONSE_LENGTH)).into_response(),
        Mode::Truncated => return jwks[..jwks.len() - 2].to_owned().into_response(),
        Mode::Redirecting => return Redirect::temporary("/forged").into_response(),
        Mode::Html => return "<!doctype html><title>Sign in</title>".into_response(),
        Mode::Compressed => {
            return ([(CONTENT_ENCODING, "gzip")], gzip(forged.as_bytes())).into_response();
        }
        Mode::PrivateKeys => keys.iter_mut().for_each(|key| key["d"] = key["x"].clone()),
        Mode::TenThousandKeys => *keys = vec![keys[0].clone(); 10_000],
        Mode::TenThousandOddKeys => *keys = [vec![json!({}); 10_000], keys.clone()].concat(),
        Mode::OneMalformed => keys.insert(0, json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})),
        Mode::DuplicateKids => {
            let forged: Value = serde_json::from_str(&Idp::new("-").jwks()).unwrap();
            let mut twins: Vec<_> = keys
                .iter()
                .map(|key| {
                    let mut twin = forged["keys"][0].clone();
                    twin["kid"] = key["kid"].clone();
                    twin
                })
                .collect();
            twins.append(keys);
            *keys = twins;
        }
        Mode::Empty => keys.clear(),
        Mode::CutInTheBody => {
            let half = Bytes::copy_from_slice(&jwks.as_bytes()[..jwks.len() / 2]);
            return body(stream::iter([Ok(Frame::data(half)), Err(std::io::Error::other("cut"))]));
        }
    }
    set.to_string().into_response()
}

fn body<S>(frames: S) -> Response
where
    S: futures_core::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
{
    Response::new(Body::new(StreamBody::new(frames)))
}

fn unavailable(result: Result<Token, Rejection>) -> bool {
    result.is_err_and(|rejection| rejection.kind() == RejectionKind::Unavailable)
}

/// The outcome of each, with the kind that the operator sees; `None` where the keys are used.
const OUTCOMES: [(Mode, Option<FetchErrorKind>); 18] = [
    (Mode::Well, None),
    (Mode::Slow, None),
    (Mode::Hanging, Some(FetchErrorKind::Timeout)),
    (Mode::Dripping, Some(FetchErrorKind::Timeout)),
    (Mode::Endless, Some(FetchErrorKind::TooLarge)),
    (Mode::Oversized, Some(FetchErrorKind::TooLarge)),
    (Mode::Truncated, Some(FetchErrorKind::Document)),
    (Mode::Redirecting, Some(FetchErrorKind::Status)),
    (Mode::Html, Some(FetchErrorKind::Document)),
    (Mode::Compressed, Some(FetchErrorKind::Document)),
    (Mode::PrivateKeys, Some(FetchErrorKind::NoUsableKey)),
    (Mode::TenThousandKeys, Some(FetchErrorKind::TooLarge)),
    (Mode::TenThousandOddKeys, None),
    (Mode::OneMalformed, None),
    (Mode::DuplicateKids, None),
    (Mode::Empty, Some(FetchErrorKind::NoUsableKey)),
    (Mode::CutBeforeTheAnswer, Some(FetchErrorKind::Connection)),
    (Mode::CutInTheBody, Some(FetchErrorKind::Connection)),
];

/// All at once, because two of them take [`FETCH_TIMEOUT`].
#[tokio::test]
async fn without_keys_a_bad_endpoint_is_503_and_keys_next_to_odd_ones_are_used() {
    let start = Instant::now();
    let rows = OUTCOMES.map(|(mode, expected)| async move {
        let world = World::start(mode).await;
        let first = world.verify(&world.idp).await;
        match expected {
            None => assert!(first.is_ok(), "{mode:?}: {first:?}"),
            Some(_) => assert!(unavailable(first), "{mode:?}"),
        }
        assert_eq!(world.last_error(), expected, "{mode:?}");
        assert!(world.verify(&world.forger).await.is_err(), "{mode:?}");
        // It is nothing but the endpoint.
        world.becomes(Mode::Well);
        world.clock.advance(BACKOFF_MAX);
        world.verify(&world.idp).await.unwrap_or_else(|why| panic!("{mode:?}: {why:?}"));
    });
    futures_util::future::join_all(rows).await;
    assert!(start.elapsed() >= FETCH_TIMEOUT);
}

#[tokio::test]
async fn with_keys_a_bad_endpoint_costs_nobody_who_has_one_of_them() {
    let rows = OUTCOMES.map(|(mode, expected)| async move {
        let world = World::start(Mode::Well).await;
        world.verify(&world.idp).await.unwrap();
        let issuer = world.idp.identifier();
        world.becomes(mode);
        let good = world.idp.token(API).expires_in(seconds(100_000)).sign();
        let (refreshed, known) = tokio::join!(world.api.refresh_now(issuer), world.api.verify(&good));
        assert_eq!(refreshed.is_ok(), expected.is_none(), "{mode:?}");
        assert_eq!(world.last_error(), expected, "{mode:?}");
        assert!(known.is_ok(), "{mode:?}: {known:?}");
        // Afterwards too: a set that brings nothing takes nothing away.
        assert!(world.api.verify(&good).await.is_ok(), "{mode:?}");
        let forged = world.verify(&world.forger).await.unwrap_err();
        world.idp.rotate();
        let rotated = world.verify(&world.idp).await;
        match expected {
            None => {
                assert_eq!(forged.token_error(), Some(TokenError::UnknownKey), "{mode:?}");
                assert!(rotated.is_ok(), "{mode:?}: {rotated:?}");
            }
            // Nobody can say.
            Some(_) => {
                assert!(forged.kind() == RejectionKind::Unavailable && unavailable(rotated), "{mode:?}")
            }
        }
        world.becomes(Mode::Well);
        if world.api.refresh_now(issuer).await.is_err() {
            // It has waited for the one that the rotated key began, which hangs.
            assert!(matches!(mode, Mode::Hanging | Mode::Dripping), "{mode:?}");
            world.api.refresh_now(issuer).await.unwrap();
        }
        world.verify(&world.idp).await.unwrap_or_else(|why| panic!("{mode:?}: {why:?}"));
        let forged = world.verify(&world.forger).await.unwrap_err();
        assert_eq!(forged.token_error(), Some(TokenError::UnknownKey), "{mode:?}");
    });
    futures_util::future::join_all(rows).await;
}

/// RFC 8414 §3.3, over a socket: a document that names another issuer is void, and so are the keys that it names.
#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_void() {
    let loopback = Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let (idp, forger) = (Idp::new(&*url), Idp::new(&*url));
    let named = Arc::new(Mutex::new("https://other.example.com".to_owned()));
    let (document, issuer) = (named.clone(), url.clone());
    let jwks = Arc::new(Mutex::new(forger.jwks()));
    let published = jwks.clone();
    let app = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(move || async move {
                let named = document.lock().unwrap().clone();
                json!({"issuer": named, "jwks_uri": format!("{issuer}/jwks")}).to_string()
            }),
        )
        .route("/jwks", get(move || async move { published.lock().unwrap().clone() }));
    let _serving = loopback.serve(app);
    let clock = ManualClock::new();
    let issuer = Issuer::new(&*url).dangerous_allow_http();
    let api = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).build().unwrap();
    assert!(unavailable(api.verify(&idp.token(API).sign()).await));
    assert!(unavailable(api.verify(&forger.token(API).sign()).await));
    let kind = api.health().issuers().next().unwrap().last_error().map(|(_, kind)| kind);
    assert_eq!(kind, Some(FetchErrorKind::IssuerMismatch));
    *named.lock().unwrap() = url.clone();
    *jwks.lock().unwrap() = idp.jwks();
    clock.advance(BACKOFF_MAX);
    api.verify(&idp.token(API).sign()).await.unwrap();
    assert!(api.verify(&forger.token(API).sign()).await.is_err());
}
