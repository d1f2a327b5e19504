//! RFC 9701 over sockets: answers that the issuer has signed, and everything that is none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{
    BREAKER_PAUSE, LOOKUP_TIMEOUT, MAX_ANSWER_AGE, MAX_RESPONSE_LENGTH, MAX_TOKEN_LENGTH,
};
use tower_bearer::testing::{Idp, Loopback, ManualClock, Serving, TokenBuilder};
use tower_bearer::{
    Algorithm, BearerAuthLayer, Clock, Event, HmacAlgorithm, Introspection, Issuer, Keys, LookupErrorKind,
    ProblemJson, Rejection, ResourceServer, TokenError,
};

use super::{OPAQUE, is_unavailable};
use crate::leaks::captured;
use crate::support::{API, bearer, seconds, send, who};

/// Who we are at the endpoint.
const US: &str = "our-client";
const SIGNED: &str = "application/token-introspection+jwt";
/// In every answer: it must be in none of ours.
const PERSONAL: &str = "personal-data-of-somebody";

/// An issuer on a socket that serves its keys, and says of every token the same.
struct Signer {
    clock: ManualClock,
    idp: Idp,
    said: Arc<Mutex<Sent>>,
    /// The headers of the questions.
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    keys: Arc<KeyEndpoint>,
    told: Arc<Mutex<Vec<LookupErrorKind>>>,
    _serving: Serving,
}

#[derive(Default)]
struct KeyEndpoint {
    fetches: AtomicUsize,
    fault: Mutex<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Down,
    Hangs,
}

/// An answer of the endpoint.
#[derive(Clone)]
struct Sent {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: String,
}

impl Sent {
    fn signed(body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, content_type: Some(SIGNED), body: body.into() }
    }

    fn of_type(self, content_type: impl Into<Option<&'static str>>) -> Self {
        Self { content_type: content_type.into(), ..self }
    }
}

impl Signer {
    async fn start() -> Self {
        let loopback = Loopback::bind().await.unwrap();
        // On a whole second, so that what is at a bound is there exactly.
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = ManualClock::at(UNIX_EPOCH + seconds(second));
        let idp = Idp::with_algorithms(loopback.url(), [Algorithm::ES256, Algorithm::Ed25519]);
        let idp = idp.clock(clock.clone());
        let said = Arc::new(Mutex::new(Sent::signed(String::new())));
        let (asked, keys) = (Arc::new(Mutex::new(Vec::new())), Arc::new(KeyEndpoint::default()));
        let mut metadata = idp.metadata();
        metadata["introspection_endpoint"] = format!("{}/introspect", loopback.url()).into();
        let introspect = {
            let (said, asked) = (said.clone(), asked.clone());
            move |headers: HeaderMap| async move {
                asked.lock().unwrap().push(headers);
                let Sent { status, content_type, body } = said.lock().unwrap().clone();
                let mut response: Response = (status, body).into_response();
                response.headers_mut().remove(CONTENT_TYPE);
                if let Some(content_type) = content_type {
                    response.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
                }
                response
            }
        };
        let jwks = {
            let (idp, keys) = (idp.clone(), keys.clone());
            move || async move {
                keys.fetches.fetch_add(1, Ordering::SeqCst);
                let fault = *keys.fault.lock().unwrap();
                match fault {
                    None => (StatusCode::OK, idp.jwks()),
                    Some(Fault::Down) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
                    Some(Fault::Hangs) => std::future::pending().await,
                }
            }
        };
        let app = Router::new()
            .route("/introspect", post(introspect))
            .route("/jwks", get(jwks))
            .route("/.well-known/openid-configuration", get(move || async move { axum::Json(metadata) }));
        let _serving = loopback.serve(app);
        let signer = Self { clock, idp, said, asked, keys, told: Arc::default(), _serving };
        signer.says(Sent::signed(signer.answer().sign()));
        signer
    }

    /// The claims of an active token.
    fn active(&self) -> Value {
        json!({"active": true, "iss": self.idp.identifier(), "aud": API, "client_id": "robot", "email": PERSONAL})
    }

    /// A good answer, with what RFC 9701 §5 has in it and nothing else.
    fn answer(&self) -> TokenBuilder {
        self.answer_of(Algorithm::ES256)
    }

    fn answer_of(&self, algorithm: Algorithm) -> TokenBuilder {
        ["exp", "sub", "client_id", "jti"]
            .into_iter()
            .fold(self.idp.token_of(algorithm, US), TokenBuilder::without_claim)
            .header("typ", "token-introspection+jwt")
            .claim("token_introspection", self.active())
    }

    fn says(&self, sent: Sent) {
        *self.said.lock().unwrap() = sent;
    }

    fn says_well(&self) {
        self.says(Sent::signed(self.answer().sign()));
    }

    fn introspection(&self) -> Introspection {
        Introspection::discovered().basic(US, "a-secret-of-ours")
    }

    fn api(&self) -> ResourceServer {
        self.api_with(self.introspection().signed(), |issuer| issuer)
    }

    fn api_with(
        &self,
        introspection: Introspection,
        configure: impl FnOnce(Issuer) -> Issuer,
    ) -> ResourceServer {
        let issuer = Issuer::new(self.idp.identifier()).keys(Keys::discovery()).introspection(introspection);
        let told = self.told.clone();
        let builder = ResourceServer::builder(API).clock(self.clock.clone());
        let builder = builder.observer(move |event: &Event<'_>| {
            if let Event::LookupFailed { kind, .. } = event {
                told.lock().unwrap().push(*kind);
            }
        });
        builder.issuer(configure(issuer.dangerous_allow_http())).build().unwrap()
    }

    /// In seconds since 1970.
    fn at(&self, seconds: i64) -> i64 {
        let now = self.clock.now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_secs()).unwrap() + seconds
    }

    fn told(&self) -> Vec<LookupErrorKind> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn key_fetches(&self) -> usize {
        self.keys.fetches.load(Ordering::SeqCst)
    }

    fn keys_are(&self, fault: impl Into<Option<Fault>>) {
        *self.keys.fault.lock().unwrap() = fault.into();
    }

    /// The answer unharmed, this one, and the one unharmed again: it alone is refused, as an outage, and tells nobody
    /// why.
    async fn refuses(&self, name: &str, api: &ResourceServer, sent: Sent, kind: LookupErrorKind) {
        let auth = BearerAuthLayer::new(api.clone()).respond_with(ProblemJson::default());
        let app: Router = Router::new().route("/", get(who)).layer(auth);
        let token =
            |n: usize| format!("token-{}-{n}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let good = self.said.lock().unwrap().clone();
        assert_eq!(send(&app, bearer(&token(0))).await.status(), StatusCode::OK, "{name}: unharmed");
        self.says(sent);
        let response = send(&app, bearer(&token(1))).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert!(response.headers().contains_key(RETRY_AFTER), "{name}");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE), "{name}");
        let mut shown = format!("{:?} {:?}", response.headers(), response.extensions().get::<Rejection>());
        shown.push_str(&String::from_utf8_lossy(&to_bytes(response.into_body(), 10_000).await.unwrap()));
        assert!(!shown.contains(PERSONAL), "{name}: {shown}");
        assert_eq!(self.told(), [kind], "{name}");
        self.says(good);
        assert_eq!(send(&app, bearer(&token(2))).await.status(), StatusCode::OK, "{name}: unharmed again");
        assert_eq!(self.told(), [], "{name}");
    }
}

#[tokio::test]
async fn rfc9701_4_the_request_and_a_good_answer() {
    let signer = Signer::start().await;
    let api = signer.api();
    let token = api.verify(OPAQUE).await.unwrap();
    assert_eq!((token.client_id(), token.issuer()), (Some("robot"), signer.idp.identifier()));
    // What is remembered is what was said of the token, and nothing around it.
    assert_eq!(token.claims::<Value>().unwrap(), signer.active());
    assert!(api.verify(OPAQUE).await.is_ok());
    let asked = signer.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["accept"], SIGNED);
    // Its JWTs are verified by the same keys, and not asked about.
    assert!(api.verify(&signer.idp.token(API).sign()).await.is_ok());
    assert_eq!((signer.asked.lock().unwrap().len(), signer.key_fetches()), (1, 1));
    assert_eq!(signer.told(), []);
}

#[tokio::test]
async fn rfc9701_5_what_good_answers_may_look_like() {
    let signer = Signer::start().await;
    let good = || signer.answer();
    let now = signer.at(0);
    let bound = i64::try_from(MAX_ANSWER_AGE.as_secs()).unwrap() + 60;
    let oldest = Duration::new(u64::try_from(now - bound).unwrap(), 1000).as_secs_f64();
    for (name, sent) in [
        ("as it should be", Sent::signed(good().sign())),
        ("another key", Sent::signed(signer.answer_of(Algorithm::Ed25519).sign())),
        ("its whole type", Sent::signed(good().header("typ", "application/token-introspection+jwt").sign())),
        ("its type in capitals", Sent::signed(good().header("typ", "Token-Introspection+JWT").sign())),
        (
            "a content type with parameters",
            Sent::signed(good().sign()).of_type("Application/Token-Introspection+JWT ; charset=utf-8"),
        ),
        ("several audiences", Sent::signed(good().claim("aud", json!(["other", US])).sign())),
        ("as old as may be", Sent::signed(good().claim("iat", oldest).sign())),
        ("of a clock ahead", Sent::signed(good().claim("iat", now + 60).sign())),
        ("with an end to come", Sent::signed(good().claim("exp", now + 1).sign())),
        ("with an end within the leeway", Sent::signed(good().claim("exp", now - 59).sign())),
        ("with a subject", Sent::signed(good().claim("sub", "somebody").sign())),
        ("no kid", Sent::signed(good().without_header("kid").sign())),
        (
            "longer than a token may be",
            Sent::signed(good().claim("padding", "x".repeat(2 * MAX_TOKEN_LENGTH)).sign()),
        ),
    ] {
        signer.says(sent);
        let found = signer
            .api()
            .verify(OPAQUE)
            .await
            .unwrap_or_else(|why| panic!("{name}: {why:?} {:?}", signer.told()));
        assert_eq!(found.client_id(), Some("robot"), "{name}");
    }
}

#[tokio::test]
async fn rfc9701_5_every_fault_beside_the_good_answer() {
    use LookupErrorKind::{Answer, TooLarge};
    let signer = Signer::start().await;
    let good = || signer.answer();
    let now = signer.at(0);
    let bound = i64::try_from(MAX_ANSWER_AGE.as_secs()).unwrap() + 60;
    let plain = signer.active().to_string();
    let (header, payload) = (good().header_json(), good().claims_json());
    let none = good().sign_raw(r#"{"alg":"none","typ":"token-introspection+jwt"}"#, &payload);
    let none_empty = format!("{}.", none.rsplit_once('.').unwrap().0);
    let token = signer.idp.token(US).claim("token_introspection", signer.active());
    let changed = {
        let (head, signature) =
            good().sign().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{head}.{first}{}", &signature[1..])
    };
    let twice = |member: &str| payload.replacen('{', &format!("{{{member},"), 1);
    let inner = |text: &str| {
        let payload = good().claim("token_introspection", "INNER").claims_json();
        good().sign_raw(&header, &payload.replace("\"INNER\"", text))
    };
    let signed = Sent::signed;
    let mut rows = vec![
        ("typ missing", signed(good().without_header("typ").sign())),
        ("typ empty", signed(good().header("typ", "").sign())),
        ("typ JWT", signed(good().header("typ", "JWT").sign())),
        ("typ at+jwt", signed(good().header("typ", "at+jwt").sign())),
        ("typ of another media type", signed(good().header("typ", "text/token-introspection+jwt").sign())),
        ("typ of a wrong type", signed(good().header("typ", json!(["token-introspection+jwt"])).sign())),
        ("crit", signed(good().header("crit", json!(["b64"])).sign())),
        ("iss missing", signed(good().without_claim("iss").sign())),
        ("iss of another", signed(good().claim("iss", "https://other.example.com").sign())),
        ("iss with a slash", signed(good().claim("iss", format!("{}/", signer.idp.identifier())).sign())),
        ("iss of a wrong type", signed(good().claim("iss", json!([signer.idp.identifier()])).sign())),
        ("aud missing", signed(good().without_claim("aud").sign())),
        ("aud of another", signed(good().claim("aud", "other").sign())),
        ("aud is our identifier", signed(good().claim("aud", API).sign())),
        ("aud empty", signed(good().claim("aud", json!([])).sign())),
        ("aud of a wrong type", signed(good().claim("aud", json!({"is": US})).sign())),
        ("iat missing", signed(good().without_claim("iat").sign())),
        ("iat null", signed(good().claim("iat", Value::Null).sign())),
        ("iat text", signed(good().claim("iat", now.to_string()).sign())),
        ("iat of the past", signed(good().claim("iat", now - bound).sign())),
        (
            "iat of the past, with an end to come",
            signed(good().claim("iat", 1).claim("exp", now + 600).sign()),
        ),
        ("iat in the future", signed(good().claim("iat", now + 61).sign())),
        ("expired", signed(good().claim("exp", now - 60).sign())),
        ("exp text", signed(good().claim("exp", "never").sign())),
        ("not valid yet", signed(good().claim("nbf", now + 61).sign())),
        ("another key under this kid", signed(good().by_a_stranger().sign())),
        ("a changed signature", signed(changed)),
        ("an unknown key", signed(good().by_a_stranger().header("kid", "unknown").sign())),
        ("alg none, with a signature", signed(none)),
        ("alg none", signed(none_empty)),
        (
            "HS256 with the public keys",
            signed(good().sign_hmac(HmacAlgorithm::HS256, signer.idp.jwks().as_bytes())),
        ),
        ("an algorithm of another key", signed(good().header("alg", "EdDSA").sign())),
        ("an access token", signed(signer.idp.token(US).sign())),
        ("an access token of ours", signed(signer.idp.token(API).sign())),
        ("an access token with an answer in it", signed(token.sign())),
        ("an ID token with an answer in it", signed(token.header("typ", "JWT").sign())),
        ("plain JSON", signed(plain.clone()).of_type("application/json")),
        ("plain JSON that says it is signed", signed(plain.clone())),
        ("plain JSON, and nothing said", signed(plain)),
        ("signed, as JSON", signed(good().sign()).of_type("application/json")),
        ("signed, as another JWT", signed(good().sign()).of_type("application/jwt")),
        ("signed, as much else", signed(good().sign()).of_type("application/token-introspection+jwt+x")),
        ("signed, as nothing", signed(good().sign()).of_type(None)),
        ("encrypted", signed(format!("{}.a.b", good().sign()))),
        ("nothing", signed(String::new())),
        ("a line too much", signed(good().sign() + "\n")),
        ("token_introspection missing", signed(good().without_claim("token_introspection").sign())),
        (
            "claims beside it",
            signed(good().without_claim("token_introspection").claim("active", true).sign()),
        ),
        ("token_introspection null", signed(inner("null"))),
        ("token_introspection true", signed(inner("true"))),
        ("token_introspection text", signed(inner(r#""{\"active\":true}""#))),
        ("token_introspection an array", signed(inner(r#"[{"active":true}]"#))),
        ("no active", signed(inner(&format!(r#"{{"aud":"{API}"}}"#)))),
        ("active is text", signed(inner(&format!(r#"{{"active":"true","aud":"{API}"}}"#)))),
        ("active is a number", signed(inner(&format!(r#"{{"active":1,"aud":"{API}"}}"#)))),
        ("active twice", signed(inner(&format!(r#"{{"active":false,"active":true,"aud":"{API}"}}"#)))),
        ("a member twice", signed(inner(&format!(r#"{{"active":true,"aud":"{API}","x":1,"x":1}}"#)))),
        ("iat twice", signed(good().sign_raw(&header, &twice("\"iat\":1")))),
        (
            "token_introspection twice",
            signed(good().sign_raw(&header, &twice(r#""token_introspection":{"active":false}"#))),
        ),
        (
            "token_introspection twice, once with an escape",
            signed(good().sign_raw(&header, &twice(r#""token\u005fintrospection":{"active":false}"#))),
        ),
        ("no object", signed(good().sign_raw(&header, "[]"))),
        ("no JSON", signed(good().sign_raw(&header, "active"))),
    ];
    assert_eq!(
        Value::Object(serde_json::from_str(&payload).unwrap())["token_introspection"],
        signer.active()
    );
    rows.iter_mut()
        .filter(|(name, _)| name.ends_with("nothing said"))
        .for_each(|(_, sent)| sent.content_type = None);
    for (name, sent) in rows {
        // Unknown keys use up a budget, which is each server's own.
        signer.refuses(name, &signer.api(), sent, Answer).await;
    }
    let long = signed(good().claim("padding", "x".repeat(MAX_RESPONSE_LENGTH)).sign());
    signer.refuses("too long", &signer.api(), long, TooLarge).await;
    for (status, kind) in [
        (StatusCode::CREATED, LookupErrorKind::Status),
        (StatusCode::UNAUTHORIZED, LookupErrorKind::Credentials),
        (StatusCode::BAD_REQUEST, LookupErrorKind::Rejected),
    ] {
        let sent = Sent { status, ..signed(good().sign()) };
        signer.refuses(status.as_str(), &signer.api(), sent, kind).await;
    }
}

#[tokio::test]
async fn an_inactive_token_is_the_clients_fault() {
    let signer = Signer::start().await;
    let api = signer.api();
    assert!(api.verify(OPAQUE).await.is_ok());
    signer.says(Sent::signed(signer.answer().claim("token_introspection", json!({"active": false})).sign()));
    let refused = api.verify("another-token").await.unwrap_err();
    assert_eq!(refused.token_error(), Some(TokenError::Inactive));
    // What is said of an active token is checked as ever.
    let mut other = signer.active();
    other["aud"] = "https://other.example.com".into();
    signer.says(Sent::signed(signer.answer().claim("token_introspection", other).sign()));
    let refused = api.verify("one-more-token").await.unwrap_err();
    assert_eq!(refused.token_error(), Some(TokenError::Audience));
    assert_eq!(signer.told(), []);
}

#[tokio::test]
async fn an_answer_that_somebody_has_kept_is_worth_nothing() {
    let signer = Signer::start().await;
    let api = signer.api_with(signer.introspection().signed(), |issuer| issuer.leeway(seconds(0)));
    assert!(api.verify(OPAQUE).await.is_ok());
    signer.clock.advance(MAX_ANSWER_AGE - seconds(1));
    assert!(api.verify("token-in-time").await.is_ok());
    signer.clock.advance(seconds(1));
    assert!(is_unavailable(&api.verify("token-too-late").await));
    assert_eq!(signer.told(), [LookupErrorKind::Answer]);
    signer.says_well();
    assert!(api.verify("token-of-now").await.is_ok());
}

/// RFC 9701 §8.1. The very bytes that are good as an answer.
#[tokio::test]
async fn an_answer_is_no_access_token() {
    let signer = Signer::start().await;
    // It could not be more like a token for us.
    let answer =
        signer.answer().claim("aud", json!([US, API])).client("robot").expires_in(seconds(600)).sign();
    signer.says(Sent::signed(&answer));
    for types in [&["at+jwt", "JWT", ""][..], &["token-introspection+jwt"]] {
        let types = types.iter().copied();
        let api = signer.api_with(signer.introspection().signed(), |issuer| issuer.types(types));
        assert!(api.verify(OPAQUE).await.is_ok());
        let asked = signer.asked.lock().unwrap().len();
        let refused = api.verify(&answer).await.unwrap_err();
        assert_eq!(refused.token_error(), Some(TokenError::Type));
        assert_eq!(signer.asked.lock().unwrap().len(), asked, "nobody is asked about it");
    }
}

#[tokio::test]
async fn who_we_are_in_the_answers() {
    let signer = Signer::start().await;
    let ours = || signer.introspection();
    let bearer = || Introspection::discovered().bearer("a-token-of-ours");
    let post = || Introspection::discovered().post(US, "a-secret-of-ours");
    for (name, introspection, audience) in [
        ("basic", ours().signed(), US),
        ("said before", Introspection::discovered().signed().basic(US, "secret"), US),
        ("post", post().signed(), US),
        ("another", ours().signed_for(API), API),
        ("bearer", bearer().signed_for(API), API),
        ("the last counts", ours().signed_for("other").signed(), US),
    ] {
        let api = signer.api_with(introspection, |issuer| issuer);
        for aud in [US, API, "other"] {
            signer.says(Sent::signed(signer.answer().claim("aud", aud).sign()));
            let verified = api.verify(&format!("token-for-{}", aud.len())).await;
            assert_eq!(verified.is_ok(), aud == audience, "{name}: {aud}");
            assert!(verified.is_ok() || is_unavailable(&verified), "{name}: {aud}");
        }
    }
}

#[tokio::test]
async fn a_settings_file_asks_for_it() {
    use tower_bearer::settings::Settings;
    let signer = Signer::start().await;
    let good = Sent::signed(signer.answer().sign());
    let plain = Sent::signed(signer.active().to_string()).of_type("application/json");
    let elsewhere = Sent::signed(signer.answer().claim("aud", API).sign());
    // Set by cargo; a test cannot set one.
    let who = format!("client_id = \"{US}\", client_secret_env = \"CARGO_PKG_NAME\"");
    for (fields, accepted) in [
        (who.clone(), &plain),
        (format!("{who}, signed = false"), &plain),
        (format!("{who}, signed = true"), &good),
        (format!("{who}, signed = true, signed_for = \"{API}\""), &elsewhere),
        (format!("{who}, signed_for = \"{API}\""), &elsewhere),
    ] {
        let settings = Settings::from_toml(&format!(
            "resource = \"{API}\"\n[[issuer]]\niss = \"{}\"\ndangerous_allow_http = true\ndiscovery = true\nintrospection = {{ {fields} }}",
            signer.idp.identifier()
        ));
        let api = settings.unwrap().builder().unwrap().clock(signer.clock.clone()).build().unwrap();
        for (n, sent) in [&good, &plain, &elsewhere].into_iter().enumerate() {
            signer.says(sent.clone());
            let verified = api.verify(&format!("a-token-{n}")).await;
            assert_eq!(verified.is_ok(), std::ptr::eq(sent, accepted), "{fields}: {n}");
            assert!(verified.is_ok() || is_unavailable(&verified), "{fields}: {n}");
        }
    }
}

/// Names and algorithms are those of the issuer's tokens.
#[tokio::test]
async fn the_rules_are_those_of_its_tokens() {
    let signer = Signer::start().await;
    let api = signer.api_with(signer.introspection().signed(), |issuer| issuer.also("id.example.com"));
    signer.says(Sent::signed(signer.answer().claim("iss", "id.example.com").sign()));
    assert!(api.verify(OPAQUE).await.is_ok());
    signer.says_well();
    let api =
        signer.api_with(signer.introspection().signed(), |issuer| issuer.algorithms([Algorithm::ES256]));
    let other = Sent::signed(signer.answer_of(Algorithm::Ed25519).sign());
    let before = signer.key_fetches();
    signer.refuses("another algorithm", &api, other, LookupErrorKind::Answer).await;
    assert_eq!(signer.key_fetches(), before + 1, "no newer keys would help");
    // Keys that do not change.
    let jwks = signer.idp.jwks();
    let before = signer.key_fetches();
    let api = signer.api_with(signer.introspection().signed(), |issuer| issuer.keys(Keys::jwks(jwks)));
    let stranger = Sent::signed(signer.answer().by_a_stranger().sign());
    signer.refuses("a stranger", &api, stranger, LookupErrorKind::Answer).await;
    assert_eq!(signer.key_fetches(), before);
}

/// What somebody was told who believes any answer is no answer to somebody who believes signed ones alone.
#[tokio::test]
async fn servers_that_believe_plain_answers_share_none_with_others() {
    let Some(redis) = crate::redis_server::Redis::start() else { return };
    let signer = Signer::start().await;
    let fleet = |introspection| {
        let answers = super::shared::answers(&redis.url());
        signer.api_with(introspection, move |issuer| issuer.shared_answers(answers))
    };
    let (plain, signed) = (|| signer.introspection(), || signer.introspection().signed());
    signer.says(Sent::signed(signer.active().to_string()).of_type("application/json"));
    for asked in [1, 1] {
        assert!(fleet(plain()).verify(OPAQUE).await.is_ok());
        assert_eq!(signer.asked.lock().unwrap().len(), asked, "the second is told by the first");
        super::shared::shared(&redis, 1).await;
    }
    assert!(
        is_unavailable(&fleet(signed()).verify(OPAQUE).await),
        "it asks, and is not answered as it must be"
    );
    assert_eq!(signer.told(), [LookupErrorKind::Answer]);
    signer.says_well();
    for asked in [3, 3] {
        assert!(fleet(signed()).verify(OPAQUE).await.is_ok());
        assert_eq!(signer.asked.lock().unwrap().len(), asked, "and they tell each other");
        super::shared::shared(&redis, 2).await;
    }
}

#[tokio::test]
async fn keys_come_and_go() {
    let signer = Signer::start().await;
    let api = signer.api();
    let old = signer.answer();
    assert!(api.verify(OPAQUE).await.is_ok());
    assert_eq!(signer.key_fetches(), 1);
    // Nobody's key: asked for, and refused.
    signer.says(Sent::signed(signer.answer().by_a_stranger().header("kid", "nobodys").sign()));
    assert!(is_unavailable(&api.verify("by-nobody").await));
    assert_eq!((signer.key_fetches(), signer.told()), (2, vec![LookupErrorKind::Answer]));
    // It is known not to exist.
    assert!(is_unavailable(&api.verify("by-nobody-again").await));
    assert_eq!((signer.key_fetches(), signer.told()), (2, vec![LookupErrorKind::Answer]));
    // A new key is found by the answer that it signs.
    signer.idp.rotate();
    signer.says_well();
    assert!(api.verify("by-the-new-key").await.is_ok());
    assert_eq!((signer.key_fetches(), signer.told()), (3, vec![]));
    // An old one is good until it is withdrawn.
    signer.says(Sent::signed(old.sign()));
    assert!(api.verify("by-the-old-key").await.is_ok());
    signer.idp.retire();
    api.refresh_now(signer.idp.identifier()).await.unwrap();
    assert!(is_unavailable(&api.verify("by-the-withdrawn-key").await));
    assert_eq!(signer.told(), [LookupErrorKind::Answer]);
    signer.says_well();
    assert!(api.verify("by-the-new-key-again").await.is_ok());
    let header: Value = serde_json::from_str(&signer.answer().header_json()).unwrap();
    assert_eq!(api.block_key(signer.idp.identifier(), header["kid"].as_str().unwrap()), Ok(true));
    assert!(is_unavailable(&api.verify("by-the-blocked-key").await));
    assert_eq!(signer.told(), [LookupErrorKind::Answer]);
}

#[tokio::test]
async fn without_keys_nothing_is_believed() {
    let signer = Signer::start().await;
    signer.keys_are(Fault::Down);
    let api = signer.api();
    assert!(is_unavailable(&api.verify(OPAQUE).await));
    assert_eq!(signer.told(), [LookupErrorKind::Keys]);
    signer.keys_are(None);
    signer.clock.advance(BREAKER_PAUSE);
    assert!(api.verify(OPAQUE).await.is_ok());
    // A new key while they cannot be fetched.
    signer.keys_are(Fault::Down);
    signer.idp.rotate();
    signer.says_well();
    assert!(is_unavailable(&api.verify("by-the-new-key").await));
    assert_eq!(signer.told(), [LookupErrorKind::Keys]);
    // An inactive token without a signature that holds is no fault of the client's either.
    signer.says(Sent::signed(signer.answer().claim("token_introspection", json!({"active": false})).sign()));
    assert!(is_unavailable(&api.verify("inactive-perhaps").await));
}

/// Keys are waited for as long as for an answer, and by each look-up for itself.
#[tokio::test]
async fn keys_that_do_not_come_hold_nobody_for_long() {
    let signer = Signer::start().await;
    signer.keys_are(Fault::Hangs);
    let api = signer.api();
    let begun = Instant::now();
    let both = tokio::join!(api.verify(OPAQUE), api.verify("another-token"));
    assert!(is_unavailable(&both.0) && is_unavailable(&both.1));
    let took = begun.elapsed();
    assert!(took >= LOOKUP_TIMEOUT && took < LOOKUP_TIMEOUT + Duration::from_secs(2), "{took:?}");
    // They may be told a moment after their requests were answered.
    let told = async {
        while signer.told.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), told).await.unwrap();
    assert_eq!(signer.told(), [LookupErrorKind::Timeout, LookupErrorKind::Timeout]);
    signer.keys_are(None);
    // The fetch under way ends by its own limit, and the next one brings them.
    let api = signer.api();
    assert!(api.verify(OPAQUE).await.is_ok());
}

#[test]
fn nothing_of_an_answer_is_in_any_log() {
    let log = captured(async || {
        let signer = Signer::start().await;
        let api = signer.api();
        assert!(api.verify(OPAQUE).await.is_ok());
        for (n, bad) in [
            Sent::signed(signer.answer().by_a_stranger().sign()),
            Sent::signed(signer.answer().claim("aud", PERSONAL).sign()),
            Sent::signed(signer.answer().claim("token_introspection", PERSONAL).sign()),
            Sent::signed(signer.answer().claim("token_introspection", json!({"active": PERSONAL})).sign()),
            Sent::signed(signer.active().to_string()),
        ]
        .into_iter()
        .enumerate()
        {
            signer.clock.advance(BREAKER_PAUSE * 4);
            signer.says(bad);
            assert!(is_unavailable(&api.verify(&format!("another-token-{n}")).await));
        }
    });
    // The operator is told which fault it is.
    for word in ["the signed answer is refused: signature", "the signed answer is refused: audience"] {
        assert!(log.contains(word), "{word}: {log}");
    }
    for word in [OPAQUE, "a-secret-of-ours", PERSONAL, "another-token-"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}
