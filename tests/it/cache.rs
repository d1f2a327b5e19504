//! The memory of verified tokens: what is in it is accepted exactly as long as it would be without it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{
    DEFAULT_LEEWAY, FRESH_FOR, MAX_CACHE_BYTES, MAX_CACHED_FOR, MAX_CACHED_TOKENS, STALE_FOR,
};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    BearerAuthLayer, Event, Fetch, FetchFuture, FetchRequest, FetchResponse, HmacAlgorithm, Issuer, Keys,
    Rejection, RejectionKind, ResourceServer, Token, TokenError,
};

use crate::support::{API, ISSUER, bearer, block_on, seconds, status, who};

/// A server that counts the requests that it accepted, and those of them whose token it knew.
struct Counting {
    clock: ManualClock,
    idp: Idp,
    api: ResourceServer,
    accepted: Arc<AtomicUsize>,
    hits: Arc<AtomicUsize>,
}

impl Counting {
    fn new() -> Self {
        Self::with(|idp| vec![idp.issuer()])
    }

    fn with(issuers: impl FnOnce(&Idp) -> Vec<Issuer>) -> Self {
        let clock = ManualClock::new();
        let idp = Idp::new(ISSUER).clock(clock.clone());
        let (accepted, hits) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (accepted.clone(), hits.clone());
        let builder = ResourceServer::builder(API).clock(clock.clone()).observer(move |event: &Event<'_>| {
            if let Event::Accepted { cached, .. } = event {
                counters.0.fetch_add(1, Ordering::Relaxed);
                counters.1.fetch_add(usize::from(*cached), Ordering::Relaxed);
            }
        });
        let api = issuers(&idp).into_iter().fold(builder, |b, issuer| b.issuer(issuer)).build().unwrap();
        Self { clock, idp, api, accepted, hits }
    }

    /// A token that outlives every entry.
    fn token(&self) -> String {
        self.idp.token(API).expires_in(seconds(100_000)).sign()
    }

    /// Verifies it, and says whether it was known.
    async fn verify(&self, token: &str) -> Result<(Token, bool), Rejection> {
        let before = self.hits();
        let token = self.api.verify(token).await?;
        Ok((token, self.hits() > before))
    }

    async fn is_hit(&self, token: &str) -> bool {
        self.verify(token).await.unwrap().1
    }

    /// Makes it known: to the server and, as it comes again and again, to this thread.
    async fn learn(&self, token: &str) {
        self.verify(token).await.unwrap();
        for _ in 0..4 {
            assert!(self.is_hit(token).await, "known once it was verified");
        }
    }

    async fn error(&self, token: &str) -> Option<TokenError> {
        self.api.verify(token).await.unwrap_err().token_error()
    }

    /// Of its first key.
    fn kid(&self) -> String {
        let jwks: Value = serde_json::from_str(&self.idp.jwks()).unwrap();
        jwks["keys"][0]["kid"].as_str().unwrap().to_owned()
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

/// Lets the tasks in the background run that have something to do.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Everything that a token says in public.
fn said(token: &Token) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        [token.issuer(), token.issuer_name()].map(ToOwned::to_owned),
        [token.subject(), token.client_id(), token.token_id()].map(|text| text.map(ToOwned::to_owned)),
        token.audience().map(ToOwned::to_owned).collect::<Vec<_>>(),
        token.scopes().iter().map(ToOwned::to_owned).collect::<Vec<_>>(),
        (token.expires_at(), token.not_before(), token.issued_at()),
        token.claims::<Value>().unwrap(),
    )
}

#[tokio::test]
async fn a_token_that_comes_again_is_known_and_says_the_same() {
    let world = Counting::new();
    let raw = world.idp.token(API).scopes(["a", "b"]).claim("nbf", 1).claim("tenant", "blue").sign();
    let (first, cached) = world.verify(&raw).await.unwrap();
    assert!(!cached);
    let (second, cached) = world.verify(&raw).await.unwrap();
    assert!(cached);
    assert_eq!(said(&first), said(&second));
    for _ in 0..200 {
        let (again, cached) = world.verify(&raw).await.unwrap();
        assert!(cached);
        assert_eq!(said(&first), said(&again));
    }
    assert_eq!(second.claims::<Value>().unwrap()["tenant"], "blue");
    // A layer of the same server knows it too.
    let app = crate::support::app(&BearerAuthLayer::new(world.api.clone()));
    assert_eq!(status(&app, bearer(&raw)).await, StatusCode::OK);
    assert_eq!((world.accepted.load(Ordering::Relaxed), world.hits()), (203, 202));
}

/// Texts that are not in the claims letter by letter, several audiences, and scopes that are no list.
#[tokio::test]
async fn a_known_token_says_the_same_however_its_claims_are_written() {
    let world = Counting::with(|idp| vec![idp.issuer().grant("caf\u{e9}\"\n", ["granted"])]);
    let claims = json!({
        "aud": ["https://other.example.com", API, "", "\u{1f600}"],
        "sub": "line\nline",
        "client_id": "caf\u{e9}\"\n",
        "jti": "\\",
        "scope": ["a", "b:c"],
    });
    let members = claims.as_object().unwrap().iter();
    let raw =
        members.fold(world.idp.token(API), |token, (name, value)| token.claim(name, value.clone())).sign();
    let (first, _) = world.verify(&raw).await.unwrap();
    for _ in 0..5 {
        let (again, cached) = world.verify(&raw).await.unwrap();
        assert!(cached);
        assert_eq!(said(&first), said(&again));
    }
    assert_eq!(first.audience().collect::<Vec<_>>(), ["https://other.example.com", API, "", "\u{1f600}"]);
    let ids = [first.subject(), first.client_id(), first.token_id()];
    assert_eq!(ids, [Some("line\nline"), Some("caf\u{e9}\"\n"), Some("\\")]);
    assert_eq!(first.scopes().to_string(), "a b:c granted");
}

/// What a thread remembers for itself is its own, and no other's.
#[test]
fn every_thread_knows_what_one_has_verified_and_forgets_it_with_the_key() {
    let world = Counting::with(|idp| vec![Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()))]);
    let raw = world.token();
    let blocked = Barrier::new(3);
    let serve = || {
        for _ in 0..5 {
            assert!(block_on(world.api.verify(&raw)).is_ok());
        }
        blocked.wait();
        blocked.wait();
        assert_eq!(block_on(world.error(&raw)), Some(TokenError::UnknownKey));
    };
    block_on(world.learn(&raw));
    std::thread::scope(|scope| {
        let threads = [scope.spawn(serve), scope.spawn(serve)];
        blocked.wait();
        assert_eq!(world.api.block_key(ISSUER, &world.kid()), Ok(true));
        blocked.wait();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(block_on(world.error(&raw)), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn what_differs_in_one_byte_is_another_token() {
    let world = Counting::new();
    let good = world.token();
    world.learn(&good).await;
    let before = world.hits();
    for place in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        assert!(world.api.verify(&forged).await.is_err(), "byte {place}");
    }
    for cut in
        [&good[1..], &good[..good.len() - 1], &format!("{good}A"), &format!("{good}."), &format!(" {good}")]
    {
        assert!(world.api.verify(cut).await.is_err());
    }
    assert_eq!(world.hits(), before);
    assert!(world.is_hit(&good).await, "none of them has pushed it out");
}

#[tokio::test]
async fn a_known_token_expires_to_the_microsecond() {
    let world = Counting::new();
    let token = world.idp.token(API).expires_in(seconds(100)).sign();
    let (verified, _) = world.verify(&token).await.unwrap();
    let end = verified.expires_at().unwrap() + DEFAULT_LEEWAY;
    world.clock.set_time_of_day(end - Duration::from_micros(1));
    assert!(world.is_hit(&token).await);
    world.clock.set_time_of_day(end);
    assert_eq!(world.error(&token).await, Some(TokenError::Expired));
}

/// A wall clock that is set gives the same answers as if nothing were known.
#[tokio::test]
async fn a_clock_that_is_set_back_or_forward_is_believed() {
    let world = Counting::new();
    let now = SystemTime::now();
    world.clock.set_time_of_day(now);
    let start = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = |claims: Value| {
        let builder = world.idp.token(API).without_claim("iat").expires_in(seconds(3600));
        claims
            .as_object()
            .unwrap()
            .iter()
            .fold(builder, |b, (name, value)| b.claim(name, value.clone()))
            .sign()
    };
    let hour = seconds(3600);
    for (name, token, error) in [
        ("nbf", token(json!({"nbf": start})), TokenError::NotYetValid),
        ("iat", token(json!({"iat": start})), TokenError::Time),
    ] {
        world.learn(&token).await;
        world.clock.set_time_of_day(now - hour);
        assert_eq!(world.error(&token).await, Some(error), "{name}");
        world.clock.set_time_of_day(now);
        world.learn(&token).await;
        world.clock.set_time_of_day(now + hour * 2);
        assert_eq!(world.error(&token).await, Some(TokenError::Expired), "{name}");
        world.clock.set_time_of_day(now);
        assert!(world.api.verify(&token).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn after_five_minutes_it_is_verified_again() {
    let world = Counting::with(|idp| vec![Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()))]);
    let token = world.token();
    world.learn(&token).await;
    world.clock.advance(MAX_CACHED_FOR - Duration::from_millis(1));
    assert!(world.is_hit(&token).await);
    world.clock.advance(Duration::from_millis(1));
    assert!(!world.is_hit(&token).await);
    assert!(world.is_hit(&token).await);
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let idp = Idp::new(ISSUER);
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = hits.clone();
    let builder = ResourceServer::builder(API).issuer(idp.issuer()).observer(move |event: &Event<'_>| {
        counter
            .fetch_add(usize::from(matches!(event, Event::Accepted { cached: true, .. })), Ordering::Relaxed);
    });
    let api = builder.without_cache().build().unwrap();
    let token = idp.token(API).sign();
    for _ in 0..3 {
        api.verify(&token).await.unwrap();
    }
    assert_eq!(hits.load(Ordering::Relaxed), 0);
}

/// Of a hundred tokens, each sent twice, so many are known the second time.
#[test]
fn its_bounds_can_be_set() {
    let idp = Idp::new(ISSUER);
    let tokens: Vec<String> = (0..100).map(|n| idp.token(API).client(&n.to_string()).sign()).collect();
    let known = |tokens_at_most: usize, bytes: usize| {
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = hits.clone();
        let builder = ResourceServer::builder(API).issuer(idp.issuer()).observer(move |event: &Event<'_>| {
            let known = matches!(event, Event::Accepted { cached: true, .. });
            counter.fetch_add(usize::from(known), Ordering::Relaxed);
        });
        let api = builder.cache_capacity(tokens_at_most, bytes).build().unwrap();
        for token in tokens.iter().chain(&tokens) {
            assert!(block_on(api.verify(token)).is_ok());
        }
        hits.load(Ordering::Relaxed)
    };
    assert_eq!(known(10_000, 16 << 20), 100);
    assert!(known(16, 16 << 20) <= 16, "one in each part");
    assert!(known(10_000, 16_000) <= 16, "room for one in each part, if at all");
    assert_eq!((known(0, 16 << 20), known(10_000, 0)), (0, 0));
}

#[tokio::test]
async fn two_servers_know_nothing_of_each_other() {
    let one = Counting::new();
    let token = one.token();
    one.learn(&token).await;
    // The same identifier, the same clock; it trusts somebody else of the same name.
    let two = Counting::with(|_| vec![Idp::new(ISSUER).issuer()]);
    assert_eq!(two.error(&token).await, Some(TokenError::UnknownKey));
    let three = Counting::with(|_| vec![one.idp.issuer()]);
    assert!(!three.is_hit(&token).await);
    assert!(one.is_hit(&token).await && three.is_hit(&token).await);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_takes_its_tokens_along() {
    let world = Counting::new();
    let old = world.token();
    world.learn(&old).await;
    world.idp.rotate();
    world.api.refresh_now(ISSUER).await.unwrap();
    assert!(!world.is_hit(&old).await, "it is another set: looked at anew");
    assert!(world.is_hit(&old).await, "and accepted, as both keys are published");
    let new = world.token();
    world.learn(&new).await;
    let both = world.idp.jwks();
    world.idp.retire();
    world.api.refresh_now(ISSUER).await.unwrap();
    assert_eq!(world.error(&old).await, Some(TokenError::UnknownKey));
    world.verify(&new).await.expect("the other key stays");
    assert!(world.is_hit(&new).await);
    // A key that comes back verifies again, and nothing that was known before.
    world.idp.publish(both);
    world.api.refresh_now(ISSUER).await.unwrap();
    assert!(!world.is_hit(&old).await);
    assert!(world.is_hit(&old).await);
}

/// In the background too, by the next refresh that succeeds.
#[tokio::test]
async fn a_withdrawn_key_is_noticed_by_the_timer() {
    let world = Counting::new();
    let old = world.token();
    world.learn(&old).await;
    world.idp.rotate();
    world.idp.retire();
    world.clock.advance(seconds(120));
    settle().await;
    assert!(world.is_hit(&old).await, "nobody has asked the issuer yet");
    world.clock.advance(FRESH_FOR - seconds(240)); // the entry is young when the set is renewed
    world.verify(&old).await.unwrap();
    assert!(world.is_hit(&old).await);
    world.clock.advance(seconds(200));
    settle().await;
    assert_eq!(world.error(&old).await, Some(TokenError::UnknownKey));
}

/// A key that is published again is the same one only under the same name and for the same algorithms.
#[tokio::test]
async fn a_key_that_changes_its_name_or_algorithms_is_withdrawn() {
    let world = Counting::with(|idp| vec![idp.issuer()]);
    let rsa = Idp::with_algorithms(ISSUER, [tower_bearer::Algorithm::RS256]).clock(world.clock.clone());
    let published: Value = serde_json::from_str(&rsa.jwks()).unwrap();
    let token = rsa.token(API).expires_in(seconds(100_000)).sign();
    let publish = async |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut jwks = published.clone();
        change(jwks["keys"][0].as_object_mut().unwrap());
        world.idp.publish(jwks.to_string());
        world.api.refresh_now(ISSUER).await.unwrap();
    };
    publish(&|_| {}).await;
    world.learn(&token).await;
    publish(&|jwk| drop(jwk.insert("x5t".to_owned(), "another".into()))).await;
    assert!(world.is_hit(&token).await, "a member without a meaning to us");
    publish(&|jwk| drop(jwk.insert("alg".to_owned(), "RS512".into()))).await;
    assert_eq!(world.error(&token).await, Some(TokenError::UnknownKey), "alg");
    publish(&|_| {}).await;
    world.learn(&token).await;
    publish(&|jwk| drop(jwk.insert("kid".to_owned(), "another".into()))).await;
    assert_eq!(world.error(&token).await, Some(TokenError::UnknownKey), "kid");
}

/// Answers as an issuer does that knows which version we have.
#[derive(Clone)]
struct Versioned(Idp);

impl Fetch for Versioned {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        let known = request.etag().is_some();
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"one\""));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        let answer = if known {
            FetchResponse::new(StatusCode::NOT_MODIFIED, headers, "")
        } else {
            FetchResponse::new(StatusCode::OK, headers, self.0.jwks())
        };
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test]
async fn a_set_that_is_confirmed_or_sent_again_keeps_what_it_has_verified() {
    let sent_again = Counting::new();
    let keys = || Keys::jwks_url("https://id.example.com/jwks");
    let confirmed =
        Counting::with(|idp| vec![Issuer::new(ISSUER).keys(keys()).fetch(Versioned(idp.clone()))]);
    for world in [sent_again, confirmed] {
        let token = world.token();
        world.learn(&token).await;
        for _ in 0..3 {
            world.clock.advance(seconds(70));
            settle().await;
            world.api.refresh_now(ISSUER).await.unwrap();
            assert!(world.is_hit(&token).await);
        }
    }
}

#[tokio::test]
async fn a_blocked_key_takes_its_tokens_along_at_once() {
    let remote = Counting::new();
    let fixed = Counting::with(|idp| vec![Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()))]);
    for world in [remote, fixed] {
        let token = world.token();
        world.learn(&token).await;
        assert_eq!(world.api.block_key(ISSUER, "another"), Ok(false));
        assert!(world.is_hit(&token).await);
        assert_eq!(world.api.block_key(ISSUER, &world.kid()), Ok(true));
        assert_eq!(world.error(&token).await, Some(TokenError::UnknownKey));
        world.api.refresh_now(ISSUER).await.unwrap();
        assert_eq!(world.error(&token).await, Some(TokenError::UnknownKey), "also in a newer set");
    }
}

#[tokio::test]
async fn past_the_stale_bound_a_known_token_is_503() {
    let world = Counting::new();
    let token = world.token();
    world.api.warm_up().await.unwrap();
    world.idp.go_down();
    world.clock.advance(FRESH_FOR + STALE_FOR - seconds(60));
    settle().await;
    world.learn(&token).await;
    world.clock.advance(seconds(60) - Duration::from_millis(1));
    assert!(world.is_hit(&token).await, "stale, and in use");
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.api.verify(&token).await.unwrap_err().kind(), RejectionKind::Unavailable);
    world.idp.come_back();
    world.clock.advance(seconds(60));
    assert!(!world.is_hit(&token).await, "not 401 in between, and verified anew");
}

/// Whoever sends nothing but known tokens still drives the schedule, where no timer does.
#[test]
fn a_hit_starts_the_refresh_that_is_due() {
    let world = Counting::new();
    let token = world.token();
    block_on(world.api.warm_up()).unwrap(); // the timer ends with this runtime
    world.clock.advance(FRESH_FOR / 2);
    block_on(world.learn(&token));
    world.clock.advance(MAX_CACHED_FOR - seconds(1));
    assert_eq!(world.idp.jwks_fetches(), 1);
    block_on(async {
        assert!(world.is_hit(&token).await);
        settle().await;
        assert_eq!(world.idp.jwks_fetches(), 2);
        assert!(world.is_hit(&token).await, "the new set has the same key");
    });
}

#[tokio::test]
async fn a_layer_that_trusts_others_does_not_take_it_over() {
    let other = Idp::new("https://other.example");
    let fetch = other.clone();
    let world = Counting::with(move |idp| vec![idp.issuer().name("one"), fetch.issuer().name("other")]);
    let token = world.token();
    world.learn(&token).await;
    let auth = BearerAuthLayer::new(world.api.clone());
    let app: Router = Router::new()
        .route("/", get(who).layer(auth.issuers(["other"])))
        .route("/one", get(who).layer(auth.issuers(["one"])));
    let before = world.hits();
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.hits(), before);
    let mut request = bearer(&token);
    *request.uri_mut() = "/one".parse().unwrap();
    assert_eq!(status(&app, request).await, StatusCode::OK);
    assert_eq!(world.hits(), before + 1, "and it is still known to those who do");
}

/// Of a token without `iss` it depends on who is asked, and on what each of them publishes, whose it is.
#[tokio::test]
async fn with_several_unnamed_issuers_whose_keys_may_change_nothing_is_remembered() {
    let second = Idp::new("https://second.example");
    let (first_url, second_url) = ("https://id.example.com/jwks", "https://second.example/jwks");
    let unnamed =
        |name: &str, url: &str, idp: &Idp| Issuer::unnamed(name).keys(Keys::jwks_url(url)).fetch(idp.clone());
    // Nobody can see in the configuration that both publish the same key.
    let world = Counting::with(|idp| {
        second.publish(idp.jwks());
        vec![unnamed("first", first_url, idp), unnamed("second", second_url, &second)]
    });
    let token = world.idp.token(API).without_claim("iss").expires_in(seconds(100_000)).sign();
    let auth = BearerAuthLayer::new(world.api.clone());
    let whose = get(|token: Token| async move { token.issuer_name().to_owned() });
    let app: Router = Router::new()
        .route("/all", whose.clone().layer(auth.clone()))
        .route("/second", whose.layer(auth.issuers(["second"])));
    for (path, issuer) in [("/all", "first"), ("/all", "first"), ("/second", "second"), ("/second", "second")]
    {
        let mut request = bearer(&token);
        *request.uri_mut() = path.parse().unwrap();
        let response = crate::support::send(&app, request).await;
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!((path, &*body, world.hits()), (path, issuer.as_bytes(), 0));
    }
    // With one of them alone there is no doubt.
    let alone = Counting::with(|idp| vec![unnamed("first", first_url, idp)]);
    let token = alone.idp.token(API).without_claim("iss").sign();
    alone.learn(&token).await;
    assert!(alone.is_hit(&token).await);
}

/// What a token may do is asked on every request.
#[tokio::test]
async fn the_rule_of_the_route_is_evaluated_for_a_known_token() {
    let world = Counting::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    let app: Router = Router::new()
        .route("/", get(who).layer(auth.scopes(["a"])))
        .route("/b", get(who).layer(auth.scopes(["b"])));
    let token = world.idp.token(API).scopes(["a"]).sign();
    for _ in 0..3 {
        assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
        let mut request = bearer(&token);
        *request.uri_mut() = "/b".parse().unwrap();
        assert_eq!(status(&app, request).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(world.hits(), 2, "each 200 but the first; a 403 is no acceptance");
}

#[tokio::test]
async fn what_was_refused_is_not_remembered_and_pushes_nobody_out() {
    let world = Counting::new();
    let honest: Vec<String> = (0..20).map(|_| world.token()).collect();
    for token in &honest {
        world.learn(token).await;
    }
    let expired = world.idp.token(API).claim("exp", 1).sign();
    let forged = Idp::new(ISSUER).token(API).without_header("kid").sign();
    for n in 0..3 * MAX_CACHED_TOKENS {
        assert!(world.api.verify(&format!("e30.e30.{n}")).await.is_err());
    }
    for _ in 0..20 {
        assert_eq!(world.error(&expired).await, Some(TokenError::Expired));
        assert!(world.api.verify(&forged).await.is_err());
        assert_eq!(world.error(&"A".repeat(1_000_000)).await, Some(TokenError::TooLong));
    }
    for token in &honest {
        assert!(world.is_hit(token).await);
    }
}

/// An HMAC issuer, because its tokens are cheap to make and to verify.
fn shared_secret() -> (Counting, impl Fn(usize, usize) -> String) {
    let secret = [7; 32];
    let world =
        Counting::with(|_| vec![Issuer::new(ISSUER).keys(Keys::hmac(secret, [HmacAlgorithm::HS256]))]);
    let builder = world.idp.token(API).without_claim("jti");
    let make = move |n: usize, padding: usize| {
        builder
            .clone()
            .claim("n", n)
            .claim("padding", "x".repeat(padding))
            .sign_hmac(HmacAlgorithm::HS256, &secret)
    };
    (world, make)
}

/// How many of these are known, the last first: asking for one that is not known changes what is.
async fn known(world: &Counting, tokens: &[String]) -> usize {
    let before = world.hits();
    for token in tokens.iter().rev() {
        if !world.is_hit(token).await {
            break;
        }
    }
    world.hits() - before
}

#[tokio::test]
async fn no_more_tokens_are_remembered_than_the_bound() {
    let (world, make) = shared_secret();
    let tokens: Vec<String> = (0..50_000).map(|n| make(n, 0)).collect();
    for token in &tokens {
        world.api.verify(token).await.unwrap();
    }
    assert_eq!(world.hits(), 0);
    // One after the other from the last: a shard that has had more than its part is the first to say no.
    let known = known(&world, &tokens).await;
    assert!(known <= MAX_CACHED_TOKENS, "{known}");
    assert!(known > MAX_CACHED_TOKENS / 2, "{known}");
}

#[tokio::test]
async fn no_more_bytes_are_used_than_the_bound() {
    let (world, make) = shared_secret();
    let tokens: Vec<String> = (0..2_000).map(|n| make(n, 8_000)).collect();
    for token in &tokens {
        world.api.verify(token).await.unwrap();
    }
    let known = known(&world, &tokens).await;
    // Of each the text and the claims are kept.
    let least = tokens[0].len() + 8_000;
    assert!(known * least <= MAX_CACHE_BYTES, "{known}");
    assert!(known * least > MAX_CACHE_BYTES / 3, "{known}");
}

/// Tokens that come once do not push out one that comes all the time.
#[tokio::test]
async fn a_token_in_constant_use_stays() {
    let (world, make) = shared_secret();
    let constant = make(0, 0);
    world.learn(&constant).await;
    for n in 1..MAX_CACHED_TOKENS * 3 / 2 {
        world.api.verify(&make(n, 0)).await.unwrap();
        if n % 100 == 0 {
            assert!(world.is_hit(&constant).await, "after {n} others");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_known_token_is_in_a_debug_output() {
    let world = Counting::new();
    let raw = world.idp.token(API).claim("secret", "nobody-should-see").client("client-in-a-token").sign();
    world.learn(&raw).await;
    let (token, cached) = world.verify(&raw).await.unwrap();
    assert!(cached);
    let shown = format!("{:?} {:#?} {:?}", world.api, token, BearerAuthLayer::new(world.api.clone()));
    assert!(shown.contains(ISSUER));
    for part in raw.split('.').chain(["nobody-should-see", "client-in-a-token"]) {
        assert!(!shown.contains(part), "{shown}");
    }
}

/// Keys rotate and are blocked while many tasks send tokens: what is accepted after a key was blocked was not sent after.
#[test]
fn no_request_that_starts_after_a_block_is_accepted() {
    for round in 0..20 {
        let world = Counting::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let token = world.token();
        runtime.block_on(world.learn(&token));
        let (blocked, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let start = Barrier::new(4);
        let (accepted, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _runtime = runtime.enter();
                    start.wait();
                    while !done.load(Ordering::Acquire) {
                        let is_late = blocked.load(Ordering::Acquire);
                        let was_accepted = futures_util::FutureExt::now_or_never(world.api.verify(&token))
                            .is_some_and(|verified| verified.is_ok());
                        accepted.fetch_add(usize::from(was_accepted), Ordering::Relaxed);
                        late.fetch_add(usize::from(was_accepted && is_late), Ordering::Relaxed);
                    }
                });
            }
            scope.spawn(|| {
                start.wait();
                while !done.load(Ordering::Acquire) {
                    let _ = runtime.block_on(world.api.refresh_now(ISSUER));
                }
            });
            start.wait();
            std::thread::sleep(Duration::from_millis(round));
            assert_eq!(world.api.block_key(ISSUER, &world.kid()), Ok(true));
            blocked.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_millis(5));
            done.store(true, Ordering::Release);
        });
        assert_eq!(late.into_inner(), 0, "of {} in round {round}", accepted.into_inner());
    }
}
