//! No token reaches a log, an error or a response: captured at TRACE for every target, hyper and reqwest too.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use http::StatusCode;
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, Issuer, ProblemJson, ResourceServer};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::support::{API, ISSUER, World, bearer, send, status, who};

/// Every field of every event and span, as text.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<String>>);

impl Captured {
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    /// With its causes, as common subscribers show them.
    fn record_error(&mut self, field: &tracing::field::Field, error: &(dyn std::error::Error + 'static)) {
        for error in std::iter::successors(Some(error), |error| error.source()) {
            let _ = write!(self.0, " {field}={error}");
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = self.0.lock().unwrap();
        let _ = write!(text, "\n{} {}", event.metadata().level(), event.metadata().target());
        event.record(&mut Fields(&mut text));
    }

    fn on_new_span(&self, span: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        let mut text = self.0.lock().unwrap();
        let _ = write!(text, "\nspan {}", span.metadata().name());
        span.record(&mut Fields(&mut text));
    }

    fn on_record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>, _: Context<'_, S>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()));
    }
}

/// Runs with everything captured that this thread logs.
pub(crate) fn captured(run: impl AsyncFnOnce()) -> String {
    // While tracing knows of one subscriber only, a thread without it can turn off an event for all (it caches who is
    // interested by asking the thread that comes first).
    let _another = tracing::Dispatch::new(Registry::default());
    let captured = Captured::default();
    let subscriber = Registry::default().with(captured.clone());
    tracing::subscriber::with_default(subscriber, || crate::support::block_on(run()));
    captured.text()
}

#[test]
fn the_capture_would_see_a_leak() {
    let text = captured(async || {
        let token = "a planted token";
        tracing::trace!(target: "anything", token, "leak");
    });
    assert!(text.contains("a planted token"), "{text}");
}

#[test]
fn no_token_reaches_a_log_or_a_response() {
    let world = World::new();
    let forger = Idp::new(ISSUER);
    let secret_claim = "claim-that-nobody-should-see";
    let shape = |idp: &Idp| idp.token(API).claim("secret", secret_claim).client("client-in-a-token");
    let tokens = [
        shape(&world.idp).sign(),
        shape(&world.idp).scopes(["a"]).sign(),
        shape(&world.idp).claim("exp", 1).sign(),
        shape(&world.idp).claim("aud", secret_claim).sign(),
        shape(&world.idp).claim("iss", secret_claim).sign(),
        shape(&world.idp).header("kid", secret_claim).sign(),
        shape(&world.idp).header("typ", secret_claim).sign(),
        shape(&world.idp).claim("scope", secret_claim).sign(),
        shape(&forger).sign(),
        format!("{secret_claim}.{secret_claim}.{secret_claim}"),
        format!("{secret_claim} {secret_claim}"),
    ];
    let mut responses = String::new();
    let log = captured(async || {
        let auth = world.auth().respond_with(ProblemJson::default()).scopes(["a"]);
        let app: axum::Router = axum::Router::new().route("/", axum::routing::get(who)).layer(auth);
        for (index, token) in tokens.iter().enumerate() {
            let response = send(&app, bearer(token)).await;
            assert_eq!(response.status() == StatusCode::OK, index == 1, "token {index}");
            let _ = write!(
                responses,
                "{:?} {:?}",
                response.headers(),
                response.extensions().get::<tower_bearer::Rejection>()
            );
            if index != 1 {
                let body = to_bytes(response.into_body(), 10_000).await.unwrap();
                responses.push_str(&String::from_utf8_lossy(&body));
            }
        }
        let token = world.api.verify(&tokens[1]).await.unwrap();
        let _ = write!(
            responses,
            "{token:?} {token:#?} {:?} {:?}",
            world.api,
            token.claims::<Vec<u8>>().unwrap_err().to_string()
        );
        let odd = token.claims::<std::collections::BTreeMap<String, u8>>().unwrap_err();
        let _ =
            write!(responses, "{odd:?} {odd} {:?}", std::error::Error::source(&odd).map(ToString::to_string));
        let error = world.api.verify(&tokens[2]).await.unwrap_err();
        let _ = write!(responses, "{error:?} {error}");
    });
    assert!(log.contains("tower_bearer::rejection"), "refusals are logged: {log}");
    for text in [&log, &responses] {
        assert!(!text.contains(secret_claim), "{text}");
        assert!(!text.contains("client-in-a-token"), "{text}");
        for part in tokens.iter().flat_map(|token| token.split('.')).filter(|part| part.len() > 20) {
            assert!(!text.contains(part), "{text}");
        }
    }
}

/// The same over a real socket, with the client that fetches keys and the server that serves.
#[test]
#[cfg(feature = "reqwest")]
fn no_token_reaches_the_logs_of_hyper_or_reqwest() {
    let log = captured(async || {
        let issuer = crate::loopback::Issuer::start().await;
        let api = ResourceServer::builder(API)
            .issuer(Issuer::new(&issuer.url).dangerous_allow_http())
            .build()
            .unwrap();
        let token = issuer.idp.token(API).sign();
        let app: axum::Router =
            axum::Router::new().route("/", axum::routing::get(who)).layer(BearerAuthLayer::new(api));
        let served = crate::loopback::serve(app).await;
        for token in [token.clone(), format!("{token}x")] {
            let answer = crate::loopback::get(&served, "/", &[format!("Bearer {token}")]).await;
            assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&answer.status()));
        }
        tracing::trace!(target: "marker", token_length = token.len(), "done");
        // So that the assertion below can look for it without holding it across the capture.
        let (_, payload_and_signature) = token.split_once('.').unwrap();
        LAST.with(|last| payload_and_signature.clone_into(&mut last.borrow_mut()));
    });
    let last = LAST.with(|last| last.borrow().clone());
    assert!(log.contains("marker") && log.contains("tower_bearer::keys"), "{log}");
    assert!(log.contains("hyper") || log.contains("reqwest"), "their events are captured too: {log}");
    for part in last.split('.') {
        assert!(!part.is_empty() && !log.contains(part), "{log}");
    }
}

#[cfg(feature = "reqwest")]
thread_local! {
    static LAST: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

#[tokio::test]
async fn the_dangerous_switches_are_logged_at_start() {
    let log = captured_build(|issuer| issuer.dangerous_any_audience().dangerous_allow_http());
    assert!(
        log.contains("WARN")
            && log.contains("dangerous_any_audience")
            && log.contains("dangerous_allow_http")
    );
    assert!(!captured_build(|issuer| issuer).contains("dangerous"));
    let world = World::new();
    let app = crate::support::app(&world.auth());
    assert_eq!(status(&app, bearer(&world.token().sign()).map(|_| Body::empty())).await, StatusCode::OK);
}

fn captured_build(configure: impl FnOnce(Issuer) -> Issuer) -> String {
    let captured = Captured::default();
    let subscriber = Registry::default().with(captured.clone());
    tracing::subscriber::with_default(subscriber, || drop(World::with(configure)));
    captured.text()
}
