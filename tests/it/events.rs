//! What is said of what happens: to observers, to logs, to the current span, and to metrics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use tower_bearer::manual::defaults::WARN_INTERVAL;
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    BearerAuthLayer, Claims, Event, FetchErrorKind, Issuer, KeyState, Rejection, RejectionKind,
    ResourceServer, Token, TokenError, all_of,
};

use crate::leaks::captured;
use crate::support::{API, ISSUER, app, bearer, block_on, request, send, status, who};

/// What an observer was told, one line each.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn observer(&self) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let told = self.0.clone();
        move |event: &Event<'_>| {
            let line = match *event {
                Event::Accepted { issuer, cached: true, .. } => format!("accepted {issuer} again"),
                Event::Accepted { issuer, .. } => format!("accepted {issuer}"),
                Event::Refused { kind, token_error, issuer, .. } => {
                    format!("refused {} {:?} {issuer:?}", kind.name(), token_error.map(TokenError::name))
                }
                Event::Waiting { .. } => "waiting".to_owned(),
                Event::Waited { took, .. } => format!("waited {took:?}"),
                Event::KeysFetched { issuer, keys, left_out, took, .. } => {
                    format!("fetched {issuer} {keys} {left_out} {took:?}")
                }
                Event::FetchFailed { issuer, kind, took, .. } => {
                    format!("failed {issuer} {} {took:?}", kind.name())
                }
                Event::KeyStateChanged { issuer, from, to, .. } => {
                    format!("{issuer} {} {}", from.name(), to.name())
                }
                _ => "another".to_owned(),
            };
            told.lock().unwrap().push(line);
        }
    }
}

fn world() -> (ManualClock, Idp, Told, ResourceServer) {
    let (clock, told) = (ManualClock::new(), Told::default());
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let api = ResourceServer::builder(API)
        .issuer(idp.issuer().name("ours"))
        .observer(told.observer())
        .clock(clock.clone())
        .build()
        .unwrap();
    (clock, idp, told, api)
}

#[tokio::test]
async fn an_observer_is_told_of_each_request_once() {
    let (_, idp, told, api) = world();
    let auth = BearerAuthLayer::new(api);
    let app: Router = Router::new().route("/", get(who).layer(auth.scopes(["a"]))).layer(auth.clone());
    let good = idp.token(API).scopes(["a"]);
    // One text: signatures of the same may differ.
    let raw = good.sign();

    assert_eq!(status(&app, bearer(&raw)).await, StatusCode::OK);
    assert_eq!(
        told.take(),
        ["waiting", "fetched ours 1 0 0ns", "ours cold fresh", "waited 0ns", "accepted ours"]
    );
    assert_eq!(status(&app, bearer(&raw)).await, StatusCode::OK);
    assert_eq!(told.take(), ["accepted ours again"], "the inner layer takes the verdict over");

    for (name, token, expected) in [
        (
            "expired",
            good.clone().claim("exp", 1).sign(),
            "refused invalid_token Some(\"expired\") Some(\"ours\")",
        ),
        (
            "forged",
            Idp::new(ISSUER).token(API).header("kid", "x").sign(),
            "refused invalid_token Some(\"unknown_key\") Some(\"ours\")",
        ),
        (
            "foreign",
            good.clone().claim("iss", "https://x.example").sign(),
            "refused invalid_token Some(\"issuer\") None",
        ),
        ("junk", "junk".to_owned(), "refused invalid_token Some(\"structure\") None"),
    ] {
        assert_eq!(status(&app, bearer(&token)).await, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(told.take().last().unwrap(), expected, "{name}");
    }
    assert_eq!(status(&app, request(&[])).await, StatusCode::UNAUTHORIZED);
    assert_eq!(told.take(), ["refused no_credentials None None"]);
    assert_eq!(status(&app, request(&["Bearer a", "Bearer b"])).await, StatusCode::BAD_REQUEST);
    assert_eq!(told.take(), ["refused malformed_request None None"]);
    // The outer layer accepts it, the inner one does not.
    assert_eq!(status(&app, bearer(&idp.token(API).sign())).await, StatusCode::FORBIDDEN);
    assert_eq!(told.take(), ["accepted ours", "refused insufficient_scope None Some(\"ours\")"]);
}

#[tokio::test]
async fn an_observer_is_told_of_fetches_and_of_outages() {
    let (clock, idp, told, api) = world();
    let app = app(&BearerAuthLayer::new(api));
    let good = idp.token(API).sign();
    idp.go_down();
    assert_eq!(status(&app, bearer(&good)).await, StatusCode::SERVICE_UNAVAILABLE);
    let outage =
        ["waiting", "failed ours connection 0ns", "waited 0ns", "refused unavailable None Some(\"ours\")"];
    assert_eq!(told.take(), outage);
    assert_eq!(status(&app, bearer(&good)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.take(), ["refused unavailable None Some(\"ours\")"], "no fetch before its time");
    clock.advance(Duration::from_secs(1));
    idp.come_back();
    assert_eq!(status(&app, bearer(&good)).await, StatusCode::OK);
    assert_eq!(
        told.take(),
        ["waiting", "fetched ours 1 0 0ns", "ours cold fresh", "waited 0ns", "accepted ours"]
    );
}

/// The time that a fetch takes is the clock's, and somebody who goes away has stopped waiting.
#[tokio::test]
async fn waiting_ends_when_the_client_goes() {
    let (clock, idp, told, api) = world();
    idp.hang(Duration::from_secs(1));
    let app = app(&BearerAuthLayer::new(api));
    {
        let gone = send(&app, bearer(&idp.token(API).sign()));
        tokio::pin!(gone);
        let patience = tokio::time::timeout(Duration::from_millis(50), &mut gone).await;
        assert!(patience.is_err());
        assert_eq!(told.take(), ["waiting"]);
        clock.advance(Duration::from_secs(2));
    }
    assert_eq!(told.take(), ["waited 2s"]);
}

#[tokio::test]
async fn a_refusal_that_a_handler_makes_is_told_too() {
    let (_, idp, told, api) = world();
    let auth = BearerAuthLayer::new(api);
    let needs = |token: Token| async move { token.require(&all_of(["b"])).map(|()| "ok") };
    let claims = |Claims(_): Claims<Vec<u8>>| async { "ok" };
    let app: Router = Router::new()
        .route("/needs", get(needs))
        .route("/claims", get(claims))
        .layer(auth.clone())
        .route("/optional", get(who).layer(auth.optional()))
        .route(
            "/perhaps",
            get(|token: Option<Token>| async move { token.is_some().to_string() }).layer(auth.optional()),
        );
    let good = format!("Bearer {}", idp.token(API).sign());
    let ask = async |path: &str, authorization: Option<&str>| {
        let request = Request::get(path);
        let request = authorization.into_iter().fold(request, |r, value| r.header("authorization", value));
        status(&app, request.body(axum::body::Body::empty()).unwrap()).await
    };
    assert_eq!(ask("/needs", Some(&good)).await, StatusCode::FORBIDDEN);
    let told_all = told.take();
    assert_eq!(
        told_all[told_all.len() - 2..],
        ["accepted ours", "refused insufficient_scope None Some(\"ours\")"]
    );
    assert_eq!(ask("/claims", Some(&good)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        told.take(),
        ["accepted ours again", "refused invalid_token Some(\"claim_type\") Some(\"ours\")"]
    );
    assert_eq!(ask("/optional", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(told.take(), ["refused no_credentials None None"]);
    assert_eq!(ask("/perhaps", None).await, StatusCode::OK);
    assert_eq!(told.take(), Vec::<String>::new(), "nobody was refused");
}

/// One event per refusal, with our words for it: and for our own outage a warning, but not one per request.
#[test]
fn each_refusal_is_logged_once_and_outages_as_warnings_now_and_then() {
    let (clock, idp, _, api) = world();
    let auth = BearerAuthLayer::new(api).scopes(["orders:read"]);
    let app = app(&auth);
    let of_rejections = |log: String| -> Vec<String> {
        log.lines().filter(|line| line.contains("tower_bearer::rejection")).map(ToOwned::to_owned).collect()
    };
    let lines = of_rejections(captured(async || {
        assert_eq!(status(&app, bearer(&idp.token(API).sign())).await, StatusCode::FORBIDDEN);
        assert_eq!(status(&app, request(&[])).await, StatusCode::UNAUTHORIZED);
    }));
    let [scope, none] = lines.as_slice() else { panic!("{lines:?}") };
    for part in ["DEBUG", "kind=\"insufficient_scope\"", "issuer=\"ours\"", "rule=\"orders:read\""] {
        assert!(scope.contains(part), "{part} in {scope}");
    }
    assert!(none.contains("kind=\"no_credentials\"") && !none.contains("issuer="), "{none}");

    idp.go_down();
    clock.advance(Duration::from_secs(2 * 3600)); // no key may be used any more
    let good = idp.token(API).scopes(["orders:read"]).sign();
    let lines = of_rejections(captured(async || {
        for _ in 0..5 {
            assert_eq!(status(&app, bearer(&good)).await, StatusCode::SERVICE_UNAVAILABLE);
        }
        clock.advance(WARN_INTERVAL);
        assert_eq!(status(&app, bearer(&good)).await, StatusCode::SERVICE_UNAVAILABLE);
    }));
    let levels: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(levels, ["WARN", "DEBUG", "DEBUG", "DEBUG", "DEBUG", "WARN"]);
    assert!(lines[0].contains("held_back=0") && lines[5].contains("held_back=4"), "{lines:?}");
}

/// Who calls is in the span that the application has opened, if it has a place for it, and only when it was verified.
#[test]
fn the_current_span_learns_who_calls() {
    let (_, idp, _, api) = world();
    let auth = BearerAuthLayer::new(api);
    let app: Router = Router::new().route("/", get(who).layer(auth.clone())).layer(auth);
    let token = idp.token(API).claim("client_id", "robot").claim("sub", "user-7");
    let ask = |token: String, declared: bool| {
        captured(async || {
            let empty = tracing::field::Empty;
            let span = if declared {
                tracing::info_span!("request", client_id = empty, sub = empty, issuer = empty)
            } else {
                tracing::info_span!("request")
            };
            let _entered = span.enter();
            let _ = status(&app, bearer(&token)).await;
        })
    };
    // The first request waits for the keys, and is decided in the span all the same.
    for _ in 0..2 {
        let log = ask(token.sign(), true);
        for part in ["client_id=\"robot\"", "sub=\"user-7\""] {
            assert_eq!(log.matches(part).count(), 1, "{part} in {log}");
        }
        // Fetches name the issuer too.
        assert!(log.contains("issuer=\"ours\""), "{log}");
    }
    for log in [ask(token.sign(), false), ask(token.claim("exp", 1).sign(), true)] {
        assert!(!log.contains("robot") && !log.contains("user-7"), "{log}");
    }
}

#[test]
fn labels_are_distinct_and_plain() {
    let kinds = [
        RejectionKind::NoCredentials,
        RejectionKind::MalformedRequest,
        RejectionKind::InvalidToken,
        RejectionKind::InsufficientScope,
        RejectionKind::Unavailable,
        RejectionKind::Wiring,
    ];
    assert_eq!(kinds.map(RejectionKind::is_ours), [false, false, false, false, true, true]);
    let fetches = [
        FetchErrorKind::Connection,
        FetchErrorKind::Timeout,
        FetchErrorKind::TooLarge,
        FetchErrorKind::Status,
        FetchErrorKind::Url,
        FetchErrorKind::Document,
        FetchErrorKind::IssuerMismatch,
        FetchErrorKind::NoUsableKey,
        FetchErrorKind::Credentials,
        FetchErrorKind::Runtime,
    ];
    let tokens = [
        TokenError::TooLong,
        TokenError::Structure,
        TokenError::Algorithm,
        TokenError::Issuer,
        TokenError::Type,
        TokenError::Critical,
        TokenError::Audience,
        TokenError::Time,
        TokenError::Expired,
        TokenError::NotYetValid,
        TokenError::Certificate,
        TokenError::UnknownKey,
        TokenError::Signature,
        TokenError::MissingClaim,
        TokenError::ClaimType,
        TokenError::Confirmation,
    ];
    let states = [KeyState::Fixed, KeyState::Cold, KeyState::Fresh, KeyState::Stale, KeyState::Expired];
    let families = [
        states.map(KeyState::name).to_vec(),
        kinds.map(RejectionKind::name).to_vec(),
        fetches.map(FetchErrorKind::name).to_vec(),
        tokens.map(TokenError::name).to_vec(),
    ];
    for names in families {
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
            "{names:?}"
        );
    }
}

#[test]
fn metrics_count_what_happens() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let idp = Idp::new(ISSUER);
            let api = ResourceServer::builder(API)
                .issuer(idp.issuer().name("ours"))
                .issuer(Issuer::new("https://down.example").fetch(idp.clone()))
                .observer(tower_bearer::Metrics::new())
                .build()
                .unwrap();
            let app = app(&BearerAuthLayer::new(api));
            let again = idp.token(API).sign();
            for token in [&idp.token(API).sign(), &again, &again] {
                assert_eq!(status(&app, bearer(token)).await, StatusCode::OK);
            }
            let expired = idp.token(API).claim("exp", 1).sign();
            assert_eq!(status(&app, bearer(&expired)).await, StatusCode::UNAUTHORIZED);
            let down = idp.token(API).claim("iss", "https://down.example").sign();
            assert_eq!(status(&app, bearer(&down)).await, StatusCode::SERVICE_UNAVAILABLE);
        });
    });
    let mut seen: Vec<String> = Vec::new();
    for (key, _, described, value) in snapshots.snapshot().into_vec() {
        assert!(described.is_some(), "{key:?}");
        let labels: Vec<_> = key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => format!("{} times", values.len()),
        };
        seen.push(format!("{}{{{}}} {value}", key.key().name(), labels.join(",")));
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "tower_bearer_accepted_total{issuer=ours} 3",
            "tower_bearer_cache_hits_total{issuer=ours} 1",
            "tower_bearer_key_fetch_seconds{issuer=https://down.example} 1 times",
            "tower_bearer_key_fetch_seconds{issuer=ours} 1 times",
            "tower_bearer_key_fetches_total{issuer=https://down.example,outcome=status} 1",
            "tower_bearer_key_fetches_total{issuer=ours,outcome=ok} 1",
            "tower_bearer_key_state{issuer=ours,state=cold} 0",
            "tower_bearer_key_state{issuer=ours,state=fresh} 1",
            "tower_bearer_keys_left_out{issuer=ours} 0",
            "tower_bearer_keys{issuer=ours} 1",
            "tower_bearer_refused_total{kind=invalid_token,reason=expired,issuer=ours} 1",
            "tower_bearer_refused_total{kind=unavailable,reason=,issuer=https://down.example} 1",
            "tower_bearer_wait_seconds{} 2 times",
            "tower_bearer_waiting{} 0",
        ]
    );
}

/// A response carries the label of the issuer for whoever is outside.
#[tokio::test]
async fn a_rejection_names_the_issuer_by_our_label() {
    let (_, idp, _, api) = world();
    let app = app(&BearerAuthLayer::new(api));
    let label = async |token: String| {
        let response = send(&app, bearer(&token)).await;
        response.extensions().get::<Rejection>().and_then(Rejection::issuer_name).map(ToOwned::to_owned)
    };
    assert_eq!(label(idp.token(API).claim("aud", "other").sign()).await.as_deref(), Some("ours"));
    assert_eq!(label(idp.token(API).claim("iss", "other").sign()).await, None);
}
