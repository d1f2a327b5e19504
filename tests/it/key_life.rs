//! The life of a key set: timers, the issuer's own caching rules, what operators see and can do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use http::header::{CACHE_CONTROL, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tower::ServiceExt;
use tower_bearer::manual::defaults::{
    ABSENT_FOR, BACKOFF_MAX, FRESH_FOR, MAX_FRESH_FOR, MAX_RETRY_AFTER, MIN_FRESH_FOR, MISS_BURST,
    MISS_INTERVAL, STALE_FOR,
};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Fetch, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse, Issuer, KeyState, Keys, Rejection,
    RejectionKind, ResourceServer, TokenError,
};

use crate::support::{API, ISSUER, World, seconds, server};

/// An issuer whose answers have headers of its own, and which knows the version that it publishes.
#[derive(Clone)]
struct Headers(Arc<Mutex<Published>>);

struct Published {
    idp: Idp,
    headers: HeaderMap,
    status: Option<StatusCode>,
    asked_with: Vec<Option<String>>,
}

impl Headers {
    fn new(idp: &Idp, headers: &[(HeaderName, &str)]) -> Self {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let headers = headers.collect();
        Self(Arc::new(Mutex::new(Published {
            idp: idp.clone(),
            headers,
            status: None,
            asked_with: Vec::new(),
        })))
    }

    fn set(&self, name: HeaderName, value: &str) {
        self.0.lock().unwrap().headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    fn fail(&self, status: Option<StatusCode>) {
        self.0.lock().unwrap().status = status;
    }

    /// The versions that fetches have named.
    fn asked_with(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap().asked_with.clone()
    }
}

impl Fetch for Headers {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let mut published = self.0.lock().unwrap();
        let version = request.etag().map(|etag| etag.to_str().unwrap().to_owned());
        let headers = published.headers.clone();
        let current = headers.get(ETAG).is_some_and(|etag| Some(etag) == request.etag());
        published.asked_with.push(version);
        let answer = match published.status {
            Some(status) => FetchResponse::new(status, headers, ""),
            None if current => FetchResponse::new(StatusCode::NOT_MODIFIED, headers, ""),
            None => FetchResponse::new(StatusCode::OK, headers, published.idp.jwks()),
        };
        Box::pin(async move { Ok(answer) })
    }
}

/// A world whose keys come from a JWKS URL with these headers.
fn world(headers: &[(HeaderName, &str)]) -> (ManualClock, Idp, Headers, ResourceServer) {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let issuer = Headers::new(&idp, headers);
    let keys = Keys::jwks_url("https://id.example.com/jwks");
    let api = server(&clock, [Issuer::new(ISSUER).keys(keys).fetch(issuer.clone())]);
    (clock, idp, issuer, api)
}

/// Lets the tasks in the background run that have something to do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn token(idp: &Idp) -> String {
    idp.token(API).expires_in(seconds(1_000_000)).sign()
}

fn error(result: Result<tower_bearer::Token, Rejection>) -> Option<TokenError> {
    result.unwrap_err().token_error()
}

/// Also when nothing may be fetched for it any more: the fetch of somebody else is under way.
#[tokio::test]
async fn an_unknown_kid_waits_for_the_fetch_of_an_operator() {
    let world = World::new();
    let with_kid = |kid: &str| world.token().header("kid", kid).sign();
    assert!(world.api.verify(&world.token().sign()).await.is_ok());
    for made_up in ["one", "two", "three"] {
        let refused = world.api.verify(&with_kid(made_up)).await.unwrap_err();
        assert_eq!(refused.token_error(), Some(TokenError::UnknownKey), "{made_up}");
    }
    assert_eq!(world.idp.jwks_fetches(), 3, "the burst is spent");
    world.idp.rotate();
    let rotated = world.token().sign();
    assert_eq!(world.api.verify(&rotated).await.unwrap_err().token_error(), Some(TokenError::UnknownKey));
    world.idp.hang(Duration::from_millis(50));
    let (refreshed, verified) =
        futures_util::future::join(world.api.refresh_now(ISSUER), world.api.verify(&rotated)).await;
    assert!(refreshed.is_ok() && verified.is_ok(), "{verified:?}");
    assert_eq!(world.idp.jwks_fetches(), 4);
}

#[tokio::test]
async fn keys_are_refreshed_without_any_request_once_there_was_one() {
    let world = World::new();
    world.clock.advance(seconds(100_000));
    settle().await;
    assert!(world.idp.fetched().is_empty(), "nothing before the first use");
    world.api.warm_up().await.unwrap();
    for round in 2..5 {
        world.clock.advance(FRESH_FOR * 69 / 100);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), round - 1, "not before 70 %");
        world.clock.advance(FRESH_FOR * 22 / 100);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), round, "by 90 %");
    }
}

/// After an idle time no request sees a key that was withdrawn meanwhile.
#[tokio::test]
async fn a_key_withdrawn_while_idle_is_not_accepted_even_once() {
    let world = World::new();
    let old = token(&world.idp);
    world.api.verify(&old).await.unwrap();
    world.idp.rotate();
    world.idp.retire();
    world.clock.advance(FRESH_FOR);
    settle().await;
    assert_eq!(error(world.api.verify(&old).await), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn an_outage_ends_without_a_request_that_waits() {
    let world = World::new();
    world.idp.go_down();
    world.api.warm_up().await.unwrap_err();
    world.idp.come_back();
    world.clock.advance(seconds(1));
    settle().await;
    assert!(world.api.is_ready());
    assert_eq!(world.idp.jwks_fetches(), 1);
}

#[tokio::test]
async fn the_timer_ends_with_the_last_handle() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    settle().await;
    let with_timer = metrics.num_alive_tasks();
    assert!(with_timer > 0, "the timer");
    let another = world.api.clone();
    drop(world.api);
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), with_timer);
    drop(another);
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), with_timer - 1);
}

/// A server that outlives its first runtime keeps time in the next one.
#[test]
fn the_timer_starts_again_in_another_runtime() {
    let world = World::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(world.api.warm_up()).unwrap();
    world.clock.advance(FRESH_FOR);
    let second = runtime();
    second.block_on(async {
        world.api.verify(&token(&world.idp)).await.unwrap();
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), 2, "started by the request");
        world.clock.advance(FRESH_FOR);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), 3, "by the timer");
    });
}

#[tokio::test]
async fn rfc9111_the_issuers_max_age_counts_within_our_bounds() {
    for (cache_control, fresh_for) in [
        ("max-age=120", seconds(120)),
        ("no-store", MIN_FRESH_FOR),
        ("max-age=0", MIN_FRESH_FOR),
        ("max-age=1000000", MAX_FRESH_FOR),
    ] {
        let (clock, idp, issuer, api) = world(&[(CACHE_CONTROL, cache_control)]);
        api.verify(&token(&idp)).await.unwrap();
        clock.advance(fresh_for * 69 / 100);
        settle().await;
        assert_eq!(issuer.asked_with().len(), 1, "{cache_control}");
        clock.advance(fresh_for * 22 / 100);
        settle().await;
        assert_eq!(issuer.asked_with().len(), 2, "{cache_control}");
    }
}

#[tokio::test]
async fn rfc5861_stale_if_error_shortens_our_bound_and_never_lengthens_it() {
    for (cache_control, stale_for) in [
        ("stale-if-error=30", seconds(30)),
        ("stale-if-error=0", seconds(0)),
        ("stale-if-error=999999", STALE_FOR),
    ] {
        let (clock, idp, issuer, api) = world(&[(CACHE_CONTROL, cache_control)]);
        let good = token(&idp);
        api.verify(&good).await.unwrap();
        issuer.fail(Some(StatusCode::BAD_GATEWAY));
        clock.advance(FRESH_FOR + stale_for - Duration::from_millis(1));
        api.verify(&good).await.unwrap_or_else(|why| panic!("{cache_control}: {why:?}"));
        clock.advance(Duration::from_millis(1));
        let refused = api.verify(&good).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Unavailable, "{cache_control}");
        issuer.fail(None);
        clock.advance(seconds(60));
        api.verify(&good).await.unwrap();
    }
}

#[tokio::test]
async fn rfc9110_13_1_2_an_unchanged_set_is_not_sent_again() {
    let (clock, idp, issuer, api) = world(&[(ETAG, "\"one\"")]);
    let old = token(&idp);
    api.verify(&old).await.unwrap();
    clock.advance(FRESH_FOR);
    settle().await;
    assert_eq!(issuer.asked_with(), [None, Some("\"one\"".to_owned())]);
    assert_eq!(api.health().issuers().next().unwrap().state(), KeyState::Fresh, "304 renews it");
    api.verify(&old).await.unwrap();
    // A new version is sent, and its key is accepted by the same request.
    idp.rotate();
    idp.retire();
    issuer.set(ETAG, "\"two\"");
    api.verify(&token(&idp)).await.unwrap();
    assert_eq!(error(api.verify(&old).await), Some(TokenError::UnknownKey));
    clock.advance(FRESH_FOR);
    settle().await;
    assert_eq!(issuer.asked_with().last().unwrap().as_deref(), Some("\"two\""));
}

/// A 304 that nobody asked for brings no keys.
#[tokio::test]
async fn a_304_to_an_unconditional_request_is_a_failed_fetch() {
    let (clock, idp, issuer, api) = world(&[]);
    issuer.fail(Some(StatusCode::NOT_MODIFIED));
    let good = token(&idp);
    assert_eq!(api.verify(&good).await.unwrap_err().kind(), RejectionKind::Unavailable);
    issuer.fail(None);
    clock.advance(seconds(1));
    api.verify(&good).await.unwrap();
}

#[tokio::test]
async fn rfc9110_10_2_3_an_issuer_that_asks_for_a_pause_has_it() {
    let (clock, idp, issuer, api) = world(&[(RETRY_AFTER, "30")]);
    issuer.fail(Some(StatusCode::TOO_MANY_REQUESTS));
    let good = token(&idp);
    let pause = |why: Rejection| why.retry_after();
    assert_eq!(api.verify(&good).await.unwrap_err().kind(), RejectionKind::Unavailable);
    let told = pause(api.verify(&good).await.unwrap_err()).unwrap();
    assert!(told >= seconds(30) && told <= seconds(33), "with up to a tenth more, at random: {told:?}");
    issuer.fail(None);
    clock.advance(seconds(29));
    settle().await;
    assert!(api.verify(&good).await.is_err());
    assert_eq!(issuer.asked_with().len(), 1);
    clock.advance(seconds(4));
    api.verify(&good).await.unwrap();

    // A day is not a pause; without keys a minute is long enough, with them a few.
    let (clock, idp, issuer, api) = world(&[(RETRY_AFTER, "86400")]);
    issuer.fail(Some(StatusCode::TOO_MANY_REQUESTS));
    api.verify(&token(&idp)).await.unwrap_err();
    issuer.fail(None);
    clock.advance(BACKOFF_MAX);
    api.verify(&token(&idp)).await.unwrap();
    issuer.fail(Some(StatusCode::SERVICE_UNAVAILABLE));
    clock.advance(FRESH_FOR);
    settle().await;
    issuer.fail(None);
    let fetches = issuer.asked_with().len();
    clock.advance(MAX_RETRY_AFTER - seconds(1));
    settle().await;
    assert_eq!(issuer.asked_with().len(), fetches);
    clock.advance(seconds(1));
    settle().await;
    assert_eq!(issuer.asked_with().len(), fetches + 1);
}

/// A key id that a fetch did not bring is refused without another fetch, and without anybody's waiting.
#[tokio::test]
async fn a_key_id_that_was_just_looked_for_is_not_looked_for_again() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let made_up = world.token().header("kid", "made up").sign();
    for _ in 0..10 {
        assert_eq!(error(world.api.verify(&made_up).await), Some(TokenError::UnknownKey));
    }
    assert_eq!(world.idp.jwks_fetches(), 2, "once for all ten");
    // The rest of the burst is there for a real rotation.
    world.idp.rotate();
    world.api.verify(&world.token().sign()).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 3);
    // It is forgotten in time.
    world.clock.advance(ABSENT_FOR.max(MISS_INTERVAL * MISS_BURST));
    assert_eq!(error(world.api.verify(&made_up).await), Some(TokenError::UnknownKey));
    assert_eq!(world.idp.jwks_fetches(), 4);
}

/// The set is asked first: a key that comes later is accepted whatever was said of its id before.
#[tokio::test]
async fn a_key_that_appears_later_is_accepted_at_once() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let before = world.idp.jwks();
    world.idp.rotate();
    let early = world.token().sign();
    world.idp.publish(before); // a cache in front of the issuer that lags behind
    assert_eq!(error(world.api.verify(&early).await), Some(TokenError::UnknownKey));
    world.idp.publish_own();
    world.api.refresh_now(ISSUER).await.unwrap();
    world.api.verify(&early).await.unwrap();
}

/// During an outage nobody can say that a key id does not exist.
#[tokio::test]
async fn a_remembered_key_id_is_503_while_fetches_fail() {
    let world = World::new();
    world.api.warm_up().await.unwrap();
    let made_up = world.token().header("kid", "made up").sign();
    assert_eq!(error(world.api.verify(&made_up).await), Some(TokenError::UnknownKey));
    world.idp.go_down();
    world.api.refresh_now(ISSUER).await.unwrap_err();
    assert_eq!(world.api.verify(&made_up).await.unwrap_err().kind(), RejectionKind::Unavailable);
    world.idp.come_back();
    world.api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(error(world.api.verify(&made_up).await), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn health_says_where_every_issuer_is() {
    let world = World::new();
    let fixed = Idp::new("https://fixed.example");
    let api = server(
        &world.clock,
        [
            world.idp.issuer().name("remote"),
            Issuer::new("https://fixed.example").name("fixed").keys(Keys::jwks(fixed.jwks())),
        ],
    );
    let state = |api: &ResourceServer| {
        let health = api.health();
        let states: Vec<_> = health
            .issuers()
            .map(|issuer| (issuer.name().to_owned(), issuer.state().name(), issuer.keys()))
            .collect();
        (states[0].1, states[0].2, states[1].1, states[1].2, health.is_ready())
    };
    assert_eq!(state(&api), ("cold", 0, "fixed", 1, false));
    assert!(world.idp.fetched().is_empty(), "looking fetches nothing");
    api.warm_up().await.unwrap();
    assert_eq!(state(&api), ("fresh", 1, "fixed", 1, true));
    let issuer = api.health().issuers().next().unwrap().clone();
    assert!(issuer.last_success().is_some() && issuer.last_error().is_none() && issuer.stale_for().is_none());
    let next = issuer.next_refresh().unwrap();
    assert!(next >= FRESH_FOR * 70 / 100 && next <= FRESH_FOR * 90 / 100, "{next:?}");

    world.idp.go_down();
    world.clock.advance(FRESH_FOR);
    settle().await;
    assert_eq!(state(&api), ("stale", 1, "fixed", 1, true));
    let issuer = api.health().issuers().next().unwrap().clone();
    assert_eq!(issuer.last_error().unwrap().1, FetchErrorKind::Connection);
    assert_eq!(issuer.stale_for(), Some(STALE_FOR));
    world.clock.advance(STALE_FOR);
    settle().await;
    assert_eq!(state(&api), ("expired", 0, "fixed", 1, false));
    world.idp.come_back();
    world.clock.advance(seconds(60));
    settle().await;
    assert_eq!(state(&api), ("fresh", 1, "fixed", 1, true));
}

#[tokio::test]
async fn a_readiness_probe_sees_it_as_json() {
    let world = World::new();
    let odd = r#"{"keys":[{"kty":"oct","k":"AA"},"#;
    world.idp.publish(world.idp.jwks().replace(r#"{"keys":["#, odd));
    let app: Router = Router::new().route_service("/readyz", world.api.health_service());
    let probe = async || {
        let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    let (status, body) = probe().await;
    assert_eq!((status, &body["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &false.into()));
    assert_eq!(body["issuers"][0]["state"], "cold");
    world.api.warm_up().await.unwrap();
    let (status, body) = probe().await;
    assert_eq!((status, &body["ready"]), (StatusCode::OK, &true.into()));
    let issuer = &body["issuers"][0];
    assert_eq!((&issuer["name"], &issuer["keys"]), (&ISSUER.into(), &1.into()));
    assert_eq!(
        issuer["left_out"],
        serde_json::json!([{"index": 0, "reason": "a symmetric key in a key set"}])
    );
    assert!(issuer["last_success"].is_u64() && issuer.get("last_error").is_none(), "{issuer}");
    let post = Request::post("/readyz").body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.oneshot(post).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_operator_refreshes_keys_at_once() {
    let world = World::new();
    let old = token(&world.idp);
    world.api.verify(&old).await.unwrap();
    world.idp.rotate();
    world.idp.retire();
    world.api.verify(&old).await.unwrap();
    world.api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(error(world.api.verify(&old).await), Some(TokenError::UnknownKey));
    world.idp.go_down();
    let failed = world.api.refresh_now(ISSUER).await.unwrap_err();
    assert_eq!(failed.issuers().collect::<Vec<_>>(), [ISSUER]);
    world.api.refresh_now("nobody").await.unwrap_err();
}

/// A leaked key is blocked by its id or its thumbprint, at once, for later sets too, and no other key with it.
#[tokio::test]
async fn a_blocked_key_never_verifies_again() {
    for by_thumbprint in [false, true] {
        let world = World::new();
        let leaked = token(&world.idp);
        world.api.verify(&leaked).await.unwrap();
        let jwks: serde_json::Value = serde_json::from_str(&world.idp.jwks()).unwrap();
        let name = if by_thumbprint {
            thumbprint(&jwks["keys"][0])
        } else {
            jwks["keys"][0]["kid"].as_str().unwrap().to_owned()
        };
        assert_eq!(world.api.block_key(ISSUER, "another"), Ok(false));
        assert!(world.api.block_key("https://id.example.com/", &name).is_err(), "nobody of that name");
        world.api.verify(&leaked).await.unwrap();
        assert_eq!(world.api.block_key(ISSUER, &name), Ok(true));
        assert_eq!(error(world.api.verify(&leaked).await), Some(TokenError::UnknownKey));
        assert_eq!(world.idp.jwks_fetches(), 1, "a blocked key is no reason to fetch");
        world.api.refresh_now(ISSUER).await.unwrap();
        assert_eq!(error(world.api.verify(&leaked).await), Some(TokenError::UnknownKey));
        world.idp.rotate();
        world.api.verify(&token(&world.idp)).await.unwrap();
        assert_eq!(error(world.api.verify(&leaked).await), Some(TokenError::UnknownKey));
        // Nor if it comes back after it was withdrawn.
        let both = world.idp.jwks();
        world.idp.retire();
        world.api.refresh_now(ISSUER).await.unwrap();
        world.idp.publish(both);
        world.api.refresh_now(ISSUER).await.unwrap();
        world.api.verify(&token(&world.idp)).await.unwrap();
        assert_eq!(error(world.api.verify(&leaked).await), Some(TokenError::UnknownKey));
    }
}

#[tokio::test]
async fn a_fixed_key_can_be_blocked_too() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let api = server(&clock, [Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()))]);
    let leaked = token(&idp);
    api.verify(&leaked).await.unwrap();
    let jwks: serde_json::Value = serde_json::from_str(&idp.jwks()).unwrap();
    assert_eq!(api.block_key(ISSUER, &thumbprint(&jwks["keys"][0])), Ok(true));
    assert!(!api.is_ready(), "no key is left");
    assert_eq!(error(api.verify(&leaked).await), Some(TokenError::UnknownKey));
}

/// RFC 7638 §3, for the key of an [`Idp`], by another implementation than ours.
fn thumbprint(jwk: &serde_json::Value) -> String {
    use base64::Engine;
    let member = |name: &str| jwk[name].as_str().unwrap();
    let json =
        format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, member("crv"), member("x"), member("y"));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// RFC 7638 §3.1, the document's own example.
#[tokio::test]
async fn rfc7638_3_1_the_thumbprint_of_the_example() {
    let jwks = r#"{"keys":[{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}"#;
    let api = server(&ManualClock::new(), [Issuer::new(ISSUER).keys(Keys::jwks(jwks))]);
    assert_eq!(api.block_key(ISSUER, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt"), Ok(false));
    assert_eq!(api.block_key(ISSUER, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"), Ok(true));
}

/// A fetch that had begun before the issuer published a key says nothing of that key.
#[tokio::test]
async fn a_fetch_that_began_too_early_does_not_hide_a_key() {
    /// Reads the set at once, and hands it over when it is let go.
    #[derive(Clone)]
    struct Slow(Idp, Arc<tokio::sync::Semaphore>);
    impl Fetch for Slow {
        fn fetch(&self, _: FetchRequest) -> FetchFuture {
            let (set, gate) = (self.0.jwks(), self.1.clone());
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(FetchResponse::new(StatusCode::OK, HeaderMap::new(), set))
            })
        }
    }
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    let slow = Slow(idp.clone(), gate.clone());
    let keys = Keys::jwks_url("https://id.example.com/jwks");
    let api = server(&clock, [Issuer::new(ISSUER).keys(keys).fetch(slow)]);
    api.verify(&token(&idp)).await.unwrap();
    clock.advance(FRESH_FOR * 90 / 100);
    settle().await; // the refresh has read the old set
    idp.rotate();
    let rotated = token(&idp);
    let early = tokio::spawn({
        let (api, rotated) = (api.clone(), rotated.clone());
        async move { api.verify(&rotated).await }
    });
    settle().await;
    gate.add_permits(1);
    assert_eq!(error(early.await.unwrap()), Some(TokenError::UnknownKey));
    gate.add_permits(1);
    api.verify(&rotated).await.expect("the next request fetches for itself");
}

/// An operator's refresh is of what the issuer has now: a fetch that was under way does not count, nor does a version.
#[tokio::test]
async fn an_operators_refresh_is_not_content_with_an_older_answer() {
    let (_, idp, issuer, api) = world(&[(ETAG, "\"never changed\"")]);
    let old = token(&idp);
    api.verify(&old).await.unwrap();
    idp.rotate();
    idp.retire();
    api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(issuer.asked_with(), [None, None], "whatever the version");
    assert_eq!(error(api.verify(&old).await), Some(TokenError::UnknownKey));
}

/// A 304 that says nothing of caching leaves what was said before.
#[tokio::test]
async fn rfc9111_4_3_4_a_304_erases_nothing() {
    let (clock, idp, issuer, api) =
        world(&[(ETAG, "\"one\""), (CACHE_CONTROL, "max-age=60, stale-if-error=0")]);
    let good = token(&idp);
    api.verify(&good).await.unwrap();
    issuer.0.lock().unwrap().headers.remove(CACHE_CONTROL);
    clock.advance(seconds(55));
    settle().await;
    assert_eq!(issuer.asked_with().len(), 2);
    issuer.fail(Some(StatusCode::BAD_GATEWAY));
    clock.advance(seconds(59));
    api.verify(&good).await.unwrap();
    clock.advance(seconds(1));
    assert_eq!(api.verify(&good).await.unwrap_err().kind(), RejectionKind::Unavailable);
}

/// The same key under a second name is blocked with it.
#[tokio::test]
async fn a_blocked_key_does_not_come_back_under_another_name() {
    let world = World::new();
    let jwks: serde_json::Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let mut other = jwks["keys"][0].clone();
    other["kid"] = "another name".into();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap();
    let renamed = world.token().expires_in(seconds(100_000)).header("kid", "another name").sign();
    world.idp.publish(serde_json::json!({"keys": [jwks["keys"][0], other]}).to_string());
    world.api.verify(&renamed).await.unwrap();
    assert_eq!(world.api.block_key(ISSUER, kid), Ok(true));
    assert_eq!(error(world.api.verify(&renamed).await), Some(TokenError::UnknownKey));
    world.idp.publish(serde_json::json!({"keys": [other]}).to_string());
    world.api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(error(world.api.verify(&renamed).await), Some(TokenError::UnknownKey));
}

/// A runtime that was used once and is kept without being driven does not keep the time of another one.
#[test]
fn a_timer_that_nobody_drives_is_replaced() {
    let world = World::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let idle = runtime();
    idle.block_on(world.api.warm_up()).unwrap();
    world.clock.advance(FRESH_FOR);
    runtime().block_on(async {
        assert_eq!(world.api.health().issuers().next().unwrap().state(), KeyState::Stale);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), 2, "a readiness probe is enough");
        world.clock.advance(FRESH_FOR);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), 3);
    });
    drop(idle);
}

/// A key that was blocked before it was ever seen does not come back under another name either.
#[tokio::test]
async fn a_key_blocked_in_advance_does_not_come_back_under_another_name() {
    let world = World::new();
    let jwks: serde_json::Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let mut other = jwks["keys"][0].clone();
    other["kid"] = "another name".into();
    let renamed = world.token().expires_in(seconds(100_000)).header("kid", "another name").sign();
    let renamed_set = serde_json::json!({"keys": [other]}).to_string();

    world.idp.publish(renamed_set.clone());
    world.api.verify(&renamed).await.expect("the same, without the block");

    let server = || {
        ResourceServer::builder(API).issuer(world.idp.issuer()).clock(world.clock.clone()).build().unwrap()
    };
    let by_thumbprint = server();
    assert_eq!(by_thumbprint.block_key(ISSUER, &thumbprint(&jwks["keys"][0])), Ok(false));
    assert_eq!(error(by_thumbprint.verify(&renamed).await), Some(TokenError::UnknownKey));

    // A name says nothing of a key that was never seen under it.
    let api = server();
    assert_eq!(api.block_key(ISSUER, jwks["keys"][0]["kid"].as_str().unwrap()), Ok(false));
    api.verify(&renamed).await.unwrap();
    world.idp.publish_own();
    assert_eq!(error(api.verify(&token(&world.idp)).await), Some(TokenError::UnknownKey));
    world.idp.publish(renamed_set);
    api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(error(api.verify(&renamed).await), Some(TokenError::UnknownKey));
}

/// Whom a token means depends on the whole set: a verdict is remembered for that set only.
#[tokio::test]
async fn a_verdict_is_forgotten_with_the_set_that_it_rests_on() {
    let world = World::new();
    let mut jwks: serde_json::Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    jwks["keys"][0].as_object_mut().unwrap().remove("kid");
    world.idp.publish(jwks.to_string());
    let named = world.token().header("kid", "x").sign();
    world.api.verify(&named).await.unwrap();
    world.api.verify(&named).await.unwrap();
    // Now a key is called so, and it is another one.
    let other = Idp::new(ISSUER);
    let mut key: serde_json::Value = serde_json::from_str(&other.jwks()).unwrap();
    key["keys"][0]["kid"] = "x".into();
    jwks["keys"].as_array_mut().unwrap().push(key["keys"][0].clone());
    world.idp.publish(jwks.to_string());
    world.api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(error(world.api.verify(&named).await), Some(TokenError::Signature));
}
