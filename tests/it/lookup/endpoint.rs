//! RFC 7662 over sockets: what is sent, what is made of the answers, and what nobody sees.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{
    BREAKER_FAILURES, BREAKER_PAUSE, LOOKUP_TIMEOUT, MAX_LOOKUP_RETRY_AFTER, MAX_RESPONSE_LENGTH,
    REDISCOVER_AFTER,
};
use tower_bearer::testing::{Idp, Loopback, ManualClock, Serving};
use tower_bearer::{
    BearerAuthLayer, ClientKey, Event, Fetch, FetchRequest, Introspection, Issuer, LookupErrorKind,
    ProblemJson, Rejection, RejectionKind, ReqwestFetch, ResourceServer, Token, TokenError,
};

use super::{OPAQUE, is_unavailable};
use crate::leaks::captured;
use crate::support::{API, bearer, block_on, send, who};

/// How the endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Well,
    Status(u16),
    /// With a `Retry-After`.
    Asks(u16, &'static str),
    /// With a good answer, which is then none.
    StatusOf(u16),
    Body(&'static str),
    TooLarge,
    Redirects,
    Hangs,
}

/// What arrived.
#[derive(Debug, Clone)]
struct Received {
    method: Method,
    headers: HeaderMap,
    body: String,
}

#[derive(Clone)]
struct Endpoint {
    url: String,
    mode: Arc<Mutex<Mode>>,
    received: Arc<Mutex<Vec<Received>>>,
    /// What the metadata name.
    named: Arc<Mutex<Value>>,
    serving: Arc<Mutex<Option<Serving>>>,
}

/// In every answer: it must be in none of ours.
const PERSONAL: &str = "personal-data-of-somebody";

impl Endpoint {
    async fn start() -> Self {
        let loopback = Loopback::bind().await.unwrap();
        let url = loopback.url().to_owned();
        let named =
            json!({"issuer": url, "introspection_endpoint": format!("{url}/introspect"), "jwks_uri": 7});
        let endpoint = Self {
            url,
            mode: Arc::new(Mutex::new(Mode::Well)),
            received: Arc::default(),
            named: Arc::new(Mutex::new(named)),
            serving: Arc::default(),
        };
        let (asked, named) = (endpoint.clone(), endpoint.named.clone());
        let introspect = move |method: Method, headers: HeaderMap, body: String| {
            let endpoint = asked.clone();
            async move {
                endpoint.received.lock().unwrap().push(Received { method, headers, body: body.clone() });
                let mode = *endpoint.mode.lock().unwrap();
                answer(mode, &body).await
            }
        };
        let app = Router::new()
            .route("/introspect", any(introspect.clone()))
            .route("/elsewhere", any(introspect))
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { axum::Json(named.lock().unwrap().clone()) }),
            );
        *endpoint.serving.lock().unwrap() = Some(loopback.serve(app));
        endpoint
    }

    fn becomes(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn introspection(&self) -> Introspection {
        Introspection::at(format!("{}/introspect", self.url))
    }

    fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    fn api(&self, introspection: Introspection) -> (ManualClock, ResourceServer, Told) {
        let (clock, told) = (ManualClock::new(), Told::default());
        let issuer = Issuer::new(&self.url).introspection(introspection).dangerous_allow_http();
        let observer = told.clone();
        let builder = ResourceServer::builder(API).issuer(issuer).clock(clock.clone());
        let builder = builder.observer(move |event: &Event<'_>| {
            if let Event::LookupFailed { kind, .. } = event {
                observer.0.lock().unwrap().push(*kind);
            }
        });
        (clock, builder.build().unwrap(), told)
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<LookupErrorKind>>>);

async fn answer(mode: Mode, body: &str) -> Response {
    let active = body.contains(&format!("token={OPAQUE}"));
    let good = json!({"active": active, "aud": API, "client_id": "robot", "scope": "a", "email": PERSONAL});
    let json = |body: String| ([(CONTENT_TYPE, "application/json")], body).into_response();
    let status = |code: u16, mut response: Response| {
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, format!("Basic realm=\"{PERSONAL}\"").parse().unwrap());
        response
    };
    match mode {
        Mode::Well => json(good.to_string()),
        Mode::Status(code) => status(code, json(json!({"error": PERSONAL}).to_string())),
        Mode::Asks(code, pause) => {
            let mut response = status(code, json(good.to_string()));
            response.headers_mut().insert(RETRY_AFTER, pause.parse().unwrap());
            response
        }
        Mode::StatusOf(code) => status(code, json(good.to_string())),
        Mode::Body(body) => json(body.replace("PERSONAL", PERSONAL)),
        Mode::TooLarge => {
            let padding = " ".repeat(MAX_RESPONSE_LENGTH);
            json(format!("{padding}{good}"))
        }
        Mode::Redirects => Redirect::temporary("/elsewhere").into_response(),
        Mode::Hangs => std::future::pending().await,
    }
}

async fn verify(api: &ResourceServer, token: &str) -> Result<Token, Rejection> {
    api.verify(token).await
}

fn basic(credentials: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

#[tokio::test]
async fn rfc7662_2_1_the_request() {
    let endpoint = Endpoint::start().await;
    let another = "a+b/c-d_e=="; // what a form must encode
    for (name, introspection, authorization, form) in [
        (
            "Basic, both halves encoded",
            endpoint.introspection().basic("our:api", "s p&%ä"),
            Some(basic("our%3Aapi:s+p%26%25%C3%A4")),
            "token=a%2Bb%2Fc-d_e%3D%3D&token_type_hint=access_token",
        ),
        (
            "post",
            endpoint.introspection().post("our:api", "s p&%ä"),
            None,
            "token=a%2Bb%2Fc-d_e%3D%3D&token_type_hint=access_token&client_id=our%3Aapi&client_secret=s+p%26%25%C3%A4",
        ),
        (
            "Bearer",
            endpoint.introspection().bearer("a-token-of-ours"),
            Some("Bearer a-token-of-ours".to_owned()),
            "token=a%2Bb%2Fc-d_e%3D%3D&token_type_hint=access_token",
        ),
    ] {
        let (_, api, _) = endpoint.api(introspection);
        assert!(verify(&api, OPAQUE).await.is_ok(), "{name}");
        assert!(verify(&api, another).await.is_err(), "{name}");
        let received = endpoint.received();
        assert_eq!(received.len(), 2, "{name}");
        for received in &received {
            assert_eq!(received.method, Method::POST);
            assert_eq!(received.headers[CONTENT_TYPE], "application/x-www-form-urlencoded", "{name}");
            assert_eq!(received.headers["accept"], "application/json", "{name}");
            assert_eq!(
                received.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap()),
                authorization.as_deref(),
                "{name}"
            );
        }
        assert_eq!(received[0].body, form.replace("a%2Bb%2Fc-d_e%3D%3D", OPAQUE), "{name}");
        assert_eq!(received[1].body, form, "{name}");
    }
}

#[tokio::test]
async fn every_odd_answer_is_503_and_none_is_shown() {
    use LookupErrorKind as K;
    let endpoint = Endpoint::start().await;
    for (mode, kind) in [
        (Mode::Status(401), K::Credentials),
        (Mode::StatusOf(401), K::Credentials),
        (Mode::Status(403), K::Credentials),
        (Mode::Status(429), K::Busy),
        (Mode::Status(400), K::Rejected),
        (Mode::Status(404), K::Status),
        (Mode::Status(500), K::Status),
        (Mode::StatusOf(500), K::Status),
        (Mode::Status(503), K::Status),
        (Mode::StatusOf(201), K::Status),
        (Mode::Redirects, K::Status),
        (Mode::TooLarge, K::TooLarge),
        (Mode::Body("<html>PERSONAL</html>"), K::Answer),
        (Mode::Body(""), K::Answer),
        (Mode::Body("{}"), K::Answer),
        (Mode::Body("null"), K::Answer),
        (Mode::Body("[]"), K::Answer),
        (Mode::Body(r#"[{"active":true}]"#), K::Answer),
        (Mode::Body(r#"{"active":"true","email":"PERSONAL","aud":"https://api.example.com"}"#), K::Answer),
        (Mode::Body(r#"{"active":"PERSONAL"}"#), K::Answer),
        (Mode::Body(r#"{"active":1,"aud":"https://api.example.com"}"#), K::Answer),
        (Mode::Body(r#"{"active":null,"aud":"https://api.example.com"}"#), K::Answer),
        (Mode::Body(r#"{"aud":"https://api.example.com","email":"PERSONAL"}"#), K::Answer),
        (Mode::Body(r#"{"active":false,"active":true,"aud":"https://api.example.com"}"#), K::Answer),
        (Mode::Body(r#"{"active":true,"aud":"https://api.example.com""#), K::Answer),
    ] {
        let (clock, api, told) = endpoint.api(endpoint.introspection().basic("api", "secret"));
        endpoint.becomes(mode);
        let auth = BearerAuthLayer::new(api.clone()).respond_with(ProblemJson::default());
        let app: Router = Router::new().route("/", get(who)).layer(auth);
        let response = send(&app, bearer(OPAQUE)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{mode:?}");
        assert!(response.headers().contains_key(RETRY_AFTER), "{mode:?}");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE), "{mode:?}");
        let mut shown = format!("{:?} {:?}", response.headers(), response.extensions().get::<Rejection>());
        shown.push_str(&String::from_utf8_lossy(&to_bytes(response.into_body(), 10_000).await.unwrap()));
        assert!(!shown.contains(PERSONAL) && !shown.contains(OPAQUE), "{mode:?}: {shown}");
        assert_eq!(*told.0.lock().unwrap(), [kind], "{mode:?}");
        // The next answer counts.
        endpoint.becomes(Mode::Well);
        clock.advance(BREAKER_PAUSE);
        assert_eq!(send(&app, bearer(OPAQUE)).await.status(), StatusCode::OK, "{mode:?}");
        let asked = endpoint.received();
        assert_eq!(asked.len(), 2, "{mode:?}: no redirect was followed");
    }
}

#[tokio::test]
async fn rfc9110_10_2_3_a_pause_is_given() {
    let endpoint = Endpoint::start().await;
    for (mode, pause) in [
        (Mode::Asks(429, "20"), Some(20)),
        (Mode::Asks(503, "20"), Some(20)),
        (Mode::Asks(429, "86400"), Some(MAX_LOOKUP_RETRY_AFTER.as_secs())),
        (Mode::Asks(429, "18446744073709551615"), Some(MAX_LOOKUP_RETRY_AFTER.as_secs())),
        // It is about neither of these two that they say so, and these are no pauses.
        (Mode::Asks(500, "20"), None),
        (Mode::Asks(400, "20"), None),
        (Mode::Asks(429, "0"), None),
        (Mode::Asks(429, "-1"), None),
        (Mode::Asks(429, "Wed, 21 Oct 2026 07:28:00 GMT"), None),
    ] {
        let (clock, api, _) = endpoint.api(endpoint.introspection().basic("api", "secret"));
        endpoint.becomes(mode);
        let refused = verify(&api, OPAQUE).await.unwrap_err();
        let expected = Duration::from_secs(pause.unwrap_or(1));
        assert_eq!(refused.retry_after(), Some(expected), "{mode:?}");
        endpoint.becomes(Mode::Well);
        endpoint.received();
        if pause.is_some() {
            clock.advance(expected - Duration::from_secs(1));
            let refused = verify(&api, OPAQUE).await.unwrap_err();
            assert_eq!(refused.response(()).headers()[RETRY_AFTER], "1", "{mode:?}");
            assert!(endpoint.received().is_empty(), "{mode:?}");
            clock.advance(Duration::from_secs(1));
        }
        assert!(verify(&api, OPAQUE).await.is_ok(), "{mode:?}");
    }
}

/// Also that of the document which says where to ask.
#[tokio::test]
async fn a_pause_before_discovery_is_given() {
    let idp = Idp::new("https://id.example.com");
    let clock = ManualClock::new();
    let issuer = idp.issuer().introspection(Introspection::discovered().basic("api", "secret"));
    let asks = |_: FetchRequest| -> tower_bearer::FetchFuture {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "20".parse().unwrap())]);
        Box::pin(
            async move { Ok(tower_bearer::FetchResponse::new(StatusCode::TOO_MANY_REQUESTS, headers, "")) },
        )
    };
    struct By<F>(F);
    impl<F: Fn(FetchRequest) -> tower_bearer::FetchFuture + Send + Sync + 'static> Fetch for By<F> {
        fn fetch(&self, request: FetchRequest) -> tower_bearer::FetchFuture {
            (self.0)(request)
        }
    }
    let api = ResourceServer::builder(API).issuer(issuer.fetch(By(asks))).clock(clock).build().unwrap();
    let refused = verify(&api, OPAQUE).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(20)));
}

#[tokio::test]
async fn one_that_hangs_and_one_that_is_gone() {
    let endpoint = Endpoint::start().await;
    let (clock, api, told) = endpoint.api(endpoint.introspection().basic("api", "secret"));
    assert!(verify(&api, OPAQUE).await.is_ok());
    endpoint.becomes(Mode::Hangs);
    let begun = Instant::now();
    assert!(is_unavailable(&verify(&api, "another-token").await));
    let took = begun.elapsed();
    assert!(took >= LOOKUP_TIMEOUT && took < LOOKUP_TIMEOUT + Duration::from_secs(2), "{took:?}");
    // Its own end may come a little later, and must not be that of the server.
    let timed_out = async {
        while told.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), timed_out).await.unwrap();
    drop(endpoint.serving.lock().unwrap().take());
    for n in 0..3 * BREAKER_FAILURES {
        assert!(is_unavailable(&verify(&api, &format!("more-tokens-{n}")).await));
    }
    let told = told.0.lock().unwrap().clone();
    assert_eq!(
        told.iter().filter(|kind| **kind == LookupErrorKind::Connection).count(),
        BREAKER_FAILURES - 1
    );
    assert!(begun.elapsed() < LOOKUP_TIMEOUT + Duration::from_secs(3));
    // What is known stays known, within its bound.
    assert!(verify(&api, OPAQUE).await.is_ok());
    clock.advance(BREAKER_PAUSE * 2);
    assert!(is_unavailable(&verify(&api, OPAQUE).await));
}

#[tokio::test]
async fn the_issuer_says_where_it_is() {
    let endpoint = Endpoint::start().await;
    let (clock, api, told) = endpoint.api(Introspection::discovered().basic("api", "secret"));
    assert!(verify(&api, OPAQUE).await.is_ok());
    // It has moved, and that is seen after a day or a failure.
    endpoint.named.lock().unwrap()["introspection_endpoint"] = json!("https://169.254.169.254/");
    assert!(verify(&api, "another-token").await.is_err());
    assert!(told.0.lock().unwrap().is_empty());
    clock.advance(REDISCOVER_AFTER);
    assert!(is_unavailable(&verify(&api, OPAQUE).await));
    let moved = format!("{}/elsewhere", endpoint.url);
    for (named, kind) in [
        (
            json!({"issuer": endpoint.url, "introspection_endpoint": "https://10.0.0.7/"}),
            Some(LookupErrorKind::Url),
        ),
        (
            json!({"issuer": endpoint.url, "introspection_endpoint": "http://id.example.com/"}),
            Some(LookupErrorKind::Url),
        ),
        (json!({"issuer": endpoint.url}), Some(LookupErrorKind::Discovery)),
        (
            json!({"issuer": "https://id.example.com", "introspection_endpoint": moved}),
            Some(LookupErrorKind::Discovery),
        ),
        (json!({"issuer": endpoint.url, "introspection_endpoint": moved}), None),
    ] {
        told.0.lock().unwrap().clear();
        *endpoint.named.lock().unwrap() = named;
        clock.advance(BREAKER_PAUSE);
        assert_eq!(verify(&api, OPAQUE).await.is_ok(), kind.is_none(), "{kind:?}");
        assert_eq!(told.0.lock().unwrap().first().copied(), kind);
    }
}

/// The issuer is asked once in a while, whatever tokens are made up.
#[tokio::test]
async fn an_odd_token_is_no_reason_to_ask_where_it_is() {
    let endpoint = Endpoint::start().await;
    let (clock, api, _) = endpoint.api(Introspection::discovered().basic("api", "secret"));
    assert!(verify(&api, OPAQUE).await.is_ok());
    let is_at = |url: &str| endpoint.named.lock().unwrap()["introspection_endpoint"] = json!(url);
    // If it were asked, nobody would be found.
    is_at("https://169.254.169.254/");
    clock.advance(BREAKER_PAUSE);
    for (n, mode) in
        [Mode::Status(400), Mode::Status(403), Mode::Body(""), Mode::TooLarge].into_iter().enumerate()
    {
        endpoint.becomes(mode);
        assert!(is_unavailable(&verify(&api, &format!("odd-token-{n}")).await));
        endpoint.becomes(Mode::Well);
        assert!(verify(&api, &format!("unknown-{n}")).await.unwrap_err().token_error().is_some(), "{mode:?}");
    }
    endpoint.becomes(Mode::Status(404));
    assert!(is_unavailable(&verify(&api, "gone-token").await));
    endpoint.becomes(Mode::Well);
    is_at(&format!("{}/elsewhere", endpoint.url));
    assert!(verify(&api, "unknown-again").await.unwrap_err().token_error().is_some());
    // Now it is fresh, and one failure more changes nothing.
    is_at("https://169.254.169.254/");
    endpoint.becomes(Mode::Status(404));
    assert!(is_unavailable(&verify(&api, "gone-again").await));
    endpoint.becomes(Mode::Well);
    assert!(verify(&api, "unknown-at-last").await.unwrap_err().token_error().is_some());
    // And then it does.
    clock.advance(BREAKER_PAUSE);
    endpoint.becomes(Mode::Status(404));
    assert!(is_unavailable(&verify(&api, "gone-for-good").await));
    endpoint.becomes(Mode::Well);
    assert!(is_unavailable(&verify(&api, "unknown-to-nobody").await));
}

/// A host that the document supplies is for the fetch to look at, as that of a key set is.
#[tokio::test]
async fn a_supplied_host_is_marked() {
    #[derive(Clone, Default)]
    struct Names(Arc<Mutex<Vec<FetchRequest>>>);
    impl Fetch for Names {
        fn fetch(&self, request: FetchRequest) -> tower_bearer::FetchFuture {
            let document = json!({"issuer": "https://id.example.com", "introspection_endpoint": "https://elsewhere.example.net/x"});
            self.0.lock().unwrap().push(request);
            let body = document.to_string();
            Box::pin(
                async move { Ok(tower_bearer::FetchResponse::new(StatusCode::OK, HeaderMap::new(), body)) },
            )
        }
    }
    let names = Names::default();
    let issuer = Issuer::new("https://id.example.com")
        .introspection(Introspection::discovered().post("api", "a-secret-of-ours"));
    let api = ResourceServer::builder(API).issuer(issuer).fetch(names.clone()).build().unwrap();
    assert!(is_unavailable(&verify(&api, OPAQUE).await));
    let requests = names.0.lock().unwrap().clone();
    let shown = format!("{requests:?}");
    assert!(!shown.contains(OPAQUE) && !shown.contains("a-secret-of-ours"), "{shown}");
    let [discovery, question] = requests.try_into().unwrap();
    assert!(!discovery.is_supplied() && discovery.form().is_none() && discovery.authorization().is_none());
    assert!(question.is_supplied() && question.url() == "https://elsewhere.example.net/x");
    assert!(question.form().unwrap().contains(OPAQUE));
}

const KEY: &str = include_str!("client_keys/ec-with-parameters.pem");

#[test]
fn neither_tokens_nor_secrets_are_in_any_log() {
    let secret = "a-secret-of-ours";
    let log = captured(async || {
        for introspection in [
            |endpoint: &Endpoint| endpoint.introspection().basic("api", "a-secret-of-ours"),
            |endpoint: &Endpoint| endpoint.introspection().post("api", "a-secret-of-ours"),
            |endpoint: &Endpoint| endpoint.introspection().bearer("a-secret-of-ours"),
            |_: &Endpoint| Introspection::discovered().basic("api", "a-secret-of-ours"),
            |endpoint: &Endpoint| endpoint.introspection().private_key_jwt("api", ClientKey::pem(KEY)),
        ] {
            let endpoint = Endpoint::start().await;
            let (clock, api, _) = endpoint.api(introspection(&endpoint));
            assert!(verify(&api, OPAQUE).await.is_ok());
            for mode in [
                Mode::Status(401),
                Mode::Body("PERSONAL"),
                Mode::Body(r#"{"active":"PERSONAL"}"#),
                Mode::Body(r#"{"active":true,"aud":"PERSONAL"}"#),
            ] {
                clock.advance(Duration::from_secs(100));
                endpoint.becomes(mode);
                assert!(verify(&api, OPAQUE).await.is_err());
            }
            clock.advance(Duration::from_secs(100));
            drop(endpoint.serving.lock().unwrap().take());
            assert!(verify(&api, OPAQUE).await.is_err());
        }
    });
    assert!(
        log.contains("tower_bearer::lookup") && (log.contains("hyper") || log.contains("reqwest")),
        "{log}"
    );
    let encoded = basic(&format!("api:{secret}"));
    let of_the_key = KEY.lines().filter(|line| line.len() > 60);
    // The beginning of every assertion: {"alg":"ES256".
    let words = [OPAQUE, secret, PERSONAL, encoded.trim_start_matches("Basic "), "eyJhbGciOiJFUzI1NiI"];
    for word in words.into_iter().chain(of_the_key) {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

/// Our own credentials go where they are meant to, and a file with a token for fetches does not come in between.
#[test]
fn a_post_is_sent_as_it_is() {
    let received = block_on(async {
        let endpoint = Endpoint::start().await;
        let folder = crate::settings::Folder::new("lookup-bearer");
        let file = folder.write("token", "a-token-for-fetches");
        let fetch = ReqwestFetch::builder().bearer_file(&*endpoint.url, file).build().unwrap();
        let url = format!("{}/introspect", endpoint.url);
        let plain = || FetchRequest::new(&*url, "application/json");
        for request in [
            plain(),
            plain().post("token=x"),
            plain().post("token=x").authorize("Basic eA==".parse().unwrap()),
            plain().authorize("Bearer ours".parse().unwrap()),
        ] {
            fetch.fetch(request).await.unwrap();
        }
        endpoint.received()
    });
    let seen: Vec<_> = received
        .iter()
        .map(|seen| {
            (seen.method.as_str(), seen.headers.get(AUTHORIZATION).map(|v| v.to_str().unwrap()), &*seen.body)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("GET", Some("Bearer a-token-for-fetches"), ""),
            ("POST", None, "token=x"),
            ("POST", Some("Basic eA=="), "token=x"),
            ("GET", Some("Bearer ours"), ""),
        ]
    );
}

/// All together: one that asks for its keys and looks up its opaque tokens, by one document.
#[tokio::test]
async fn keys_and_introspection_of_one_issuer() {
    let endpoint = Endpoint::start().await;
    let idp = Idp::new(&*endpoint.url);
    let issuer = Issuer::new(&endpoint.url)
        .keys(tower_bearer::Keys::jwks(idp.jwks()))
        .introspection(Introspection::discovered().basic("api", "secret"))
        .dangerous_allow_http();
    let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
    assert!(verify(&api, &idp.token(API).sign()).await.is_ok());
    assert!(endpoint.received().is_empty());
    assert_eq!(verify(&api, OPAQUE).await.unwrap().client_id(), Some("robot"));
    let refused = verify(&api, "nobody-has-issued-this").await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.token_error()),
        (RejectionKind::InvalidToken, Some(TokenError::Inactive))
    );
}
