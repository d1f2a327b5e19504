//! Keys: fetched on first use, one flight, a rotation that the same request survives, outages that are 503.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{
    FLIGHT_LIMIT, FRESH_FOR, MAX_CANDIDATES, MAX_KEYS, MAX_RESPONSE_LENGTH, MISS_BURST, MISS_INTERVAL,
    STALE_FOR,
};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Algorithm, ConfigErrorKind, Fetch, FetchFuture, FetchRequest, FetchResponse, HmacAlgorithm, Issuer, Keys,
    Rejection, RejectionKind, ResourceServer, Token, TokenError,
};

use crate::support::{API, ISSUER, World, seconds, server};

/// By then a set without `Cache-Control` is refreshed: 90 % of [`FRESH_FOR`].
const REFRESHED: std::time::Duration = seconds(540);

async fn verify(api: &ResourceServer, token: &str) -> Result<Token, Rejection> {
    api.verify(token).await
}

fn unavailable(result: Result<Token, Rejection>) -> bool {
    result.is_err_and(|rejection| rejection.kind() == RejectionKind::Unavailable)
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_request() {
    let world = World::new();
    assert!(world.idp.fetched().is_empty());
    verify(&world.api, "x.y.z").await.unwrap_err();
    let strangers = Idp::new("https://other.example.com").token(API).sign();
    verify(&world.api, &strangers).await.unwrap_err();
    let expired = world.token().claim("exp", 1).sign();
    verify(&world.api, &expired).await.unwrap_err();
    assert!(world.idp.fetched().is_empty(), "what is refused without keys fetches none");
    verify(&world.api, &world.token().sign()).await.unwrap();
    let config = format!("{ISSUER}/.well-known/openid-configuration");
    assert_eq!(world.idp.fetched(), [config, format!("{ISSUER}/jwks")]);
}

#[tokio::test]
async fn warm_up_fetches_ahead_and_says_who_is_missing() {
    let world = World::new();
    world.idp.go_down();
    let missing = world.api.warm_up().await.unwrap_err();
    assert_eq!(missing.issuers().collect::<Vec<_>>(), [ISSUER]);
    assert_eq!(missing.to_string(), format!("no keys yet from {ISSUER}"));
    world.idp.come_back();
    world.clock.advance(seconds(1));
    world.api.warm_up().await.unwrap();
    world.api.warm_up().await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 1);
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 1);
}

#[tokio::test]
async fn a_thousand_first_requests_fetch_once() {
    let world = World::new();
    let token = Arc::new(world.token().sign());
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (api, token) = (world.api.clone(), token.clone());
            tokio::spawn(async move { api.verify(&token).await.is_ok() })
        })
        .collect();
    for request in requests {
        assert!(request.await.unwrap());
    }
    assert_eq!(world.idp.fetched().len(), 2, "{:?}", world.idp.fetched());
}

#[tokio::test]
async fn a_rotated_key_is_accepted_by_the_same_request() {
    let world = World::new();
    let old = world.token().sign();
    verify(&world.api, &old).await.unwrap();
    world.idp.rotate();
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 2);
    verify(&world.api, &old).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 2);
}

#[tokio::test]
async fn a_rotation_without_any_kid_is_noticed_too() {
    let world = World::new();
    let without_kid = |idp: &Idp| {
        let mut jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
        jwks["keys"][0].as_object_mut().unwrap().remove("kid");
        jwks.to_string()
    };
    world.idp.publish(without_kid(&world.idp));
    verify(&world.api, &world.token().without_header("kid").sign()).await.unwrap();
    // A kid against keys that have none is without effect.
    verify(&world.api, &world.token().header("kid", "any").sign()).await.unwrap();
    let next = Idp::new(ISSUER).clock(world.clock.clone());
    world.idp.publish(without_kid(&next));
    verify(&world.api, &next.token(API).without_header("kid").sign()).await.unwrap();
    let old = verify(&world.api, &world.token().without_header("kid").sign()).await.unwrap_err();
    assert_eq!(old.token_error(), Some(TokenError::Signature));
}

#[tokio::test]
async fn made_up_kids_cost_no_more_fetches_than_the_budget() {
    let world = World::new();
    let good = world.token().sign();
    verify(&world.api, &good).await.unwrap();
    for n in 0..200 {
        let made_up = world.token().header("kid", format!("made up {n}")).sign();
        let refused = verify(&world.api, &made_up).await.unwrap_err();
        assert_eq!(
            refused.token_error(),
            Some(TokenError::UnknownKey),
            "against a set that was just fetched: 401"
        );
        verify(&world.api, &good).await.unwrap();
    }
    let burst = usize::try_from(MISS_BURST).unwrap();
    assert_eq!(world.idp.jwks_fetches(), 1 + burst);
    world.clock.advance(MISS_INTERVAL);
    world.idp.rotate();
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 2 + burst);
}

#[tokio::test]
async fn an_unknown_kid_while_fetches_fail_is_503_and_known_kids_go_on() {
    let world = World::new();
    let good = world.token().sign();
    verify(&world.api, &good).await.unwrap();
    world.idp.rotate();
    let rotated = world.token().sign();
    for outage in ["unreachable", "status"] {
        if outage == "status" {
            world.idp.answer_with(StatusCode::BAD_GATEWAY)
        } else {
            world.idp.go_down()
        }
        for _ in 0..10 {
            assert!(unavailable(verify(&world.api, &rotated).await), "{outage}");
            verify(&world.api, &good).await.unwrap();
        }
        world.clock.advance(MISS_INTERVAL);
    }
    world.idp.come_back();
    verify(&world.api, &rotated).await.unwrap();
}

#[tokio::test]
async fn an_outage_at_the_start_is_503_with_a_pause_and_then_over() {
    let world = World::new();
    let good = world.token().sign();
    world.idp.go_down();
    for _ in 0..50 {
        let refused = verify(&world.api, &good).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::Unavailable);
        assert!(refused.retry_after().unwrap() <= seconds(1));
    }
    assert_eq!(world.idp.fetched().len(), 1, "the back-off keeps the others from fetching");
    world.idp.come_back();
    world.clock.advance(seconds(1));
    verify(&world.api, &good).await.unwrap();
}

#[tokio::test]
async fn keys_are_refreshed_before_they_are_stale_without_making_anybody_wait() {
    let world = World::new();
    let long = world.token().expires_in(seconds(100_000)).sign();
    verify(&world.api, &long).await.unwrap();
    world.clock.advance(REFRESHED);
    verify(&world.api, &long).await.unwrap();
    settled(|| world.idp.jwks_fetches() == 2).await;
    verify(&world.api, &long).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_stops_at_the_next_refresh() {
    let world = World::new();
    let old = world.token().expires_in(seconds(100_000)).sign();
    verify(&world.api, &old).await.unwrap();
    world.idp.rotate();
    world.idp.retire();
    verify(&world.api, &old).await.unwrap();
    world.clock.advance(REFRESHED);
    verify(&world.api, &old).await.unwrap();
    settled(|| world.idp.jwks_fetches() == 2).await;
    world.clock.advance(MISS_INTERVAL);
    let refused = verify(&world.api, &old).await.unwrap_err();
    assert_eq!(refused.token_error(), Some(TokenError::UnknownKey));
}

#[tokio::test]
async fn stale_keys_serve_through_an_outage_up_to_their_bound() {
    let world = World::new();
    let long = world.token().expires_in(seconds(100_000)).sign();
    verify(&world.api, &long).await.unwrap();
    world.idp.go_down();
    world.clock.advance(FRESH_FOR + STALE_FOR - seconds(1));
    verify(&world.api, &long).await.unwrap();
    world.clock.advance(seconds(2));
    assert!(unavailable(verify(&world.api, &long).await));
    world.idp.come_back();
    world.clock.advance(seconds(60));
    verify(&world.api, &long).await.unwrap();
}

#[tokio::test]
async fn setting_the_time_of_day_neither_ages_nor_saves_keys() {
    let world = World::new();
    verify(&world.api, &world.token().sign()).await.unwrap();
    use tower_bearer::Clock;
    world.clock.set_time_of_day(world.clock.now() + seconds(1_000_000));
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert_eq!(world.idp.jwks_fetches(), 1);
}

#[tokio::test]
async fn an_empty_set_after_a_good_one_is_a_failed_refresh_and_a_first_one_is_503() {
    let world = World::new();
    world.idp.publish(r#"{"keys":[]}"#);
    assert!(unavailable(verify(&world.api, &world.token().sign()).await));

    let world = World::new();
    let good = world.token().sign();
    verify(&world.api, &good).await.unwrap();
    world.idp.publish(r#"{"keys":[]}"#);
    world.clock.advance(REFRESHED);
    verify(&world.api, &good).await.unwrap();
    settled(|| world.idp.jwks_fetches() == 2).await;
    verify(&world.api, &good).await.unwrap();
    world.idp.rotate();
    let rotated = world.token().sign();
    assert!(unavailable(verify(&world.api, &rotated).await), "the last fetch failed: nobody can say");
}

#[tokio::test]
async fn rfc7517_5_one_odd_key_never_costs_the_set() {
    let world = World::of([Algorithm::RS256, Algorithm::ES256], |issuer| issuer);
    let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let good = jwks["keys"][0].clone();
    let changed = |member: &str, value: Value| {
        let mut key = good.clone();
        key["kid"] = "odd".into();
        key[member] = value;
        key
    };
    let odd = [
        json!({}),
        json!(1),
        json!(null),
        json!("key"),
        json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "post-quantum"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "odd"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
        changed("kty", json!("rsa")),
        changed("kty", json!(1)),
        changed("use", json!("enc")),
        changed("use", json!(1)),
        changed("key_ops", json!(["sign"])),
        changed("key_ops", json!([])),
        changed("alg", json!("RSA-OAEP")),
        changed("alg", json!("HS256")),
        changed("alg", json!("ES256")),
        changed("kid", json!(1)),
        changed("d", json!("AQAB")),
        changed("e", json!("AQ")),
        changed("e", json!("AQAC")),
        changed("e", json!("AQAB==")),
        changed("n", json!("")),
        changed("n", json!("AQAB")),
        changed("n", json!(1)),
    ];
    let keys = jwks["keys"].as_array_mut().unwrap();
    for key in odd.iter().rev() {
        keys.insert(0, key.clone());
    }
    keys.extend(odd);
    world.idp.publish(jwks.to_string());
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        verify(&world.api, &world.idp.token_of(algorithm, API).sign()).await.unwrap();
    }
    let under_odd_kid = world.idp.token_of(Algorithm::RS256, API).header("kid", "odd").sign();
    assert!(verify(&world.api, &under_odd_kid).await.is_err());
}

#[tokio::test]
async fn rfc7517_4_4_a_key_with_alg_serves_that_algorithm_only_and_one_without_its_family() {
    let world = World::of([Algorithm::RS256], |issuer| issuer);
    let as_ps256 = world.token().header("alg", "PS256");
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert!(verify(&world.api, &as_ps256.sign()).await.is_err());

    let family = World::of([Algorithm::RS256, Algorithm::PS512], |issuer| issuer);
    let mut jwks: Value = serde_json::from_str(&family.idp.jwks()).unwrap();
    for key in jwks["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    family.idp.publish(jwks.to_string());
    for algorithm in [Algorithm::RS256, Algorithm::PS512] {
        verify(&family.api, &family.idp.token_of(algorithm, API).sign()).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_without_kid_is_tried_with_few_keys_only() {
    for (count, accepted) in [(MAX_CANDIDATES, true), (MAX_CANDIDATES + 1, false)] {
        let world = World::of([Algorithm::ES256], |issuer| issuer);
        let others = (1..count).map(|_| Idp::new("-"));
        let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
        for other in others {
            let other: Value = serde_json::from_str(&other.jwks()).unwrap();
            jwks["keys"].as_array_mut().unwrap().insert(0, other["keys"][0].clone());
        }
        world.idp.publish(jwks.to_string());
        verify(&world.api, &world.token().sign()).await.unwrap();
        let without = verify(&world.api, &world.token().without_header("kid").sign()).await;
        assert_eq!(without.is_ok(), accepted, "{count} keys");
        assert_eq!(world.idp.jwks_fetches(), 1, "newer keys are not asked for");
    }
}

#[tokio::test]
async fn two_keys_under_one_kid_are_both_tried() {
    let world = World::new();
    let other = Idp::new(ISSUER).clock(world.clock.clone());
    let (mut one, two): (Value, Value) =
        (serde_json::from_str(&world.idp.jwks()).unwrap(), serde_json::from_str(&other.jwks()).unwrap());
    let mut second = two["keys"][0].clone();
    second["kid"] = one["keys"][0]["kid"].clone();
    let kid = second["kid"].clone();
    one["keys"].as_array_mut().unwrap().push(second);
    world.idp.publish(one.to_string());
    verify(&world.api, &world.token().sign()).await.unwrap();
    verify(&world.api, &other.token(API).header("kid", kid).sign()).await.unwrap();
}

#[tokio::test]
async fn only_so_many_keys_are_imported() {
    let world = World::new();
    let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let good = jwks["keys"][0].clone();
    let keys = jwks["keys"].as_array_mut().unwrap();
    for n in 1..MAX_KEYS {
        let mut key = good.clone();
        key["kid"] = format!("filler {n}").into();
        keys.insert(0, key);
    }
    let mut last = good.clone();
    last["kid"] = "one too many".into();
    keys.push(last);
    world.idp.publish(jwks.to_string());
    verify(&world.api, &world.token().sign()).await.unwrap();
    assert!(verify(&world.api, &world.token().header("kid", "one too many").sign()).await.is_err());
}

/// Answers every URL with the same document.
struct Always(StatusCode, Vec<u8>, Arc<AtomicUsize>);

impl Fetch for Always {
    fn fetch(&self, _: FetchRequest) -> FetchFuture {
        self.2.fetch_add(1, Ordering::Relaxed);
        let response = FetchResponse::new(self.0, HeaderMap::new(), self.1.clone());
        Box::pin(async move { Ok(response) })
    }
}

#[tokio::test]
async fn answers_that_are_no_key_set_are_503() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let token = idp.token(API).sign();
    let jwks = idp.jwks();
    let padded = |length: usize| format!("{jwks}{}", " ".repeat(length - jwks.len()));
    for (name, status, body, good) in [
        ("a key set", 200, jwks.clone(), true),
        ("the largest", 200, padded(MAX_RESPONSE_LENGTH), true),
        ("too large", 200, padded(MAX_RESPONSE_LENGTH + 1), false),
        ("HTML", 200, "<html></html>".to_owned(), false),
        ("cut off", 200, jwks[..jwks.len() - 2].to_owned(), false),
        ("a list", 200, "[]".to_owned(), false),
        ("a list of a list", 200, format!("[{}]", &jwks["{\"keys\":".len()..jwks.len() - 1]), false),
        ("keys is no list", 200, r#"{"keys":{}}"#.to_owned(), false),
        ("nothing", 200, String::new(), false),
        ("204", 204, jwks.clone(), false),
        ("a redirect", 302, jwks.clone(), false),
        ("not modified", 304, jwks.clone(), false),
        ("not found", 404, jwks.clone(), false),
        ("an error", 500, jwks.clone(), false),
    ] {
        let fetch = Always(StatusCode::from_u16(status).unwrap(), body.into_bytes(), Arc::default());
        let issuer = Issuer::new(ISSUER).keys(Keys::jwks_url("https://keys.example.com/jwks")).fetch(fetch);
        let result = verify(&server(&clock, [issuer]), &token).await;
        assert!(if good { result.is_ok() } else { unavailable(result) }, "{name}");
    }
}

#[tokio::test]
async fn rfc8414_3_1_the_second_location_is_asked_after_a_404() {
    struct Rfc8414(Idp, StatusCode);
    impl Fetch for Rfc8414 {
        fn fetch(&self, request: FetchRequest) -> FetchFuture {
            if request.url().ends_with("/.well-known/openid-configuration") {
                let response = FetchResponse::new(self.1, HeaderMap::new(), "");
                return Box::pin(async move { Ok(response) });
            }
            self.0.fetch(request)
        }
    }
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    for (status, found) in [(StatusCode::NOT_FOUND, true), (StatusCode::INTERNAL_SERVER_ERROR, false)] {
        let api = server(&clock, [Issuer::new(ISSUER).fetch(Rfc8414(idp.clone(), status))]);
        assert_eq!(verify(&api, &idp.token(API).sign()).await.is_ok(), found, "{status}");
    }
}

#[tokio::test]
async fn rfc8414_3_3_a_document_of_another_issuer_is_void() {
    let clock = ManualClock::new();
    let idp = Idp::new("https://liar.example.com").clock(clock.clone());
    struct Redirected(Idp);
    impl Fetch for Redirected {
        fn fetch(&self, request: FetchRequest) -> FetchFuture {
            let document =
                if request.url().ends_with("/jwks") { self.0.jwks() } else { self.0.metadata().to_string() };
            let response = FetchResponse::new(StatusCode::OK, HeaderMap::new(), document);
            Box::pin(async move { Ok(response) })
        }
    }
    let honest = server(&clock, [Issuer::new("https://liar.example.com").fetch(Redirected(idp.clone()))]);
    verify(&honest, &idp.token(API).sign()).await.unwrap();
    let victim = server(&clock, [Issuer::new(ISSUER).fetch(Redirected(idp.clone()))]);
    assert!(unavailable(verify(&victim, &idp.token(API).claim("iss", ISSUER).sign()).await));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_fetch_for_the_others() {
    let world = World::new();
    let token = world.token().sign();
    world.idp.hang(std::time::Duration::from_millis(50));
    let leaves = tokio::spawn({
        let (api, token) = (world.api.clone(), token.clone());
        async move { api.verify(&token).await.is_ok() }
    });
    settled(|| !world.idp.fetched().is_empty()).await;
    leaves.abort();
    verify(&world.api, &token).await.unwrap();
    assert_eq!(world.idp.fetched().len(), 2, "one discovery, one key set");
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting_and_another_goes_on() {
    let world = World::new();
    let token = world.token().sign();
    let first = tokio::runtime::Runtime::new().unwrap();
    world.idp.hang(seconds(3600));
    first.spawn({
        let (api, token) = (world.api.clone(), token.clone());
        async move { api.verify(&token).await.is_ok() }
    });
    while world.idp.fetched().is_empty() {
        std::thread::yield_now();
    }
    let waiting = std::thread::spawn({
        let (api, token) = (world.api.clone(), token.clone());
        move || crate::support::block_on(async move { api.verify(&token).await })
    });
    first.shutdown_background();
    assert!(unavailable(waiting.join().unwrap()));
    world.idp.come_back();
    world.clock.advance(seconds(60));
    crate::support::block_on(async { verify(&world.api, &token).await.unwrap() });
}

/// A runtime that goes on to exist, but that nobody drives: its task never ends.
#[test]
fn a_fetch_in_a_runtime_that_nobody_drives_is_given_up() {
    let world = World::new();
    let token = world.token().sign();
    let undriven = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    undriven.block_on(async {
        let mut verify = std::pin::pin!(world.api.verify(&token));
        std::future::poll_fn(|context| {
            let _ = verify.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    });
    world.clock.advance(FLIGHT_LIMIT);
    let unknown = world.token().header("kid", "made up").sign();
    let refused =
        |token: &str| crate::support::block_on(verify(&world.api, token)).unwrap_err().token_error();
    crate::support::block_on(verify(&world.api, &token)).unwrap();
    for _ in 0..=MISS_BURST {
        assert_eq!(refused(&unknown), Some(TokenError::UnknownKey));
    }
    // The lost fetch ends after all, as a failure: it says nothing about the keys that came in since.
    drop(undriven);
    assert_eq!(refused(&unknown), Some(TokenError::UnknownKey));
    crate::support::block_on(verify(&world.api, &token)).unwrap();
}

#[tokio::test]
async fn tokens_of_one_unnamed_issuer_do_not_use_up_the_budget_of_another() {
    let clock = ManualClock::new();
    let shops =
        ["https://a.example.com", "https://b.example.com"].map(|url| Idp::new(url).clock(clock.clone()));
    let issuers = shops.each_ref().map(|idp| {
        let url = format!("{}/jwks", idp.identifier());
        Issuer::unnamed(idp.identifier()).keys(Keys::jwks_url(url)).fetch(idp.clone())
    });
    let api = server(&clock, issuers);
    let token = |idp: &Idp| idp.token(API).without_claim("iss").sign();
    for _ in 0..50 {
        for idp in &shops {
            verify(&api, &token(idp)).await.unwrap();
        }
    }
    let fetches = shops.each_ref().map(Idp::jwks_fetches);
    assert!(fetches.into_iter().all(|fetches| fetches == 1), "{fetches:?}");
    for idp in &shops {
        idp.rotate();
        verify(&api, &token(idp)).await.unwrap();
    }
}

#[test]
fn without_a_runtime_it_is_503_and_no_panic() {
    use std::task::{Context, Poll, Waker};
    let world = World::new();
    let token = world.token().sign();
    let mut future = std::pin::pin!(async { world.api.verify(&token).await });
    // Not even polled inside of a runtime.
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => assert!(unavailable(result)),
        Poll::Pending => panic!("it waits for nobody"),
    }
    world.clock.advance(seconds(60));
    crate::support::block_on(async { verify(&world.api, &token).await.unwrap() });
}

#[test]
fn fixed_keys_in_every_form() {
    let clock = ManualClock::new();
    for algorithm in
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::Ed25519]
    {
        let idp = Idp::with_algorithms(ISSUER, [algorithm]).clock(clock.clone());
        let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
        let jwk = &jwks["keys"][0];
        let text = |member: &str| jwk[member].as_str().unwrap();
        let mut sources: Vec<(&str, Keys)> = vec![("JWKS", Keys::jwks(idp.jwks()))];
        let pem = Keys::pem(public_pem(jwk));
        sources.push(("PEM", pem));
        match algorithm {
            Algorithm::RS256 => {
                let key = jsonwebtoken::DecodingKey::from_rsa_components(text("n"), text("e")).unwrap();
                sources.push(("DecodingKey", key.into()));
            }
            Algorithm::Ed25519 => {
                sources.push((
                    "DecodingKey",
                    jsonwebtoken::DecodingKey::from_ed_components(text("x")).unwrap().into(),
                ));
            }
            _ => {
                let key = jsonwebtoken::DecodingKey::from_ec_components(text("x"), text("y")).unwrap();
                sources.push(("DecodingKey", key.into()));
            }
        }
        if algorithm != Algorithm::ES512 {
            let theirs: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk.clone()).unwrap();
            sources.push(("Jwk", Keys::try_from(&theirs).unwrap()));
        }
        for (name, keys) in sources {
            let api = server(&clock, [Issuer::new(ISSUER).keys(keys)]);
            let good = crate::support::block_on(api.verify(&idp.token(API).sign()));
            assert!(good.is_ok(), "{algorithm} {name}: {good:?}");
            let forged = Idp::with_algorithms(ISSUER, [algorithm]).token(API).sign();
            assert!(crate::support::block_on(api.verify(&forged)).is_err(), "{algorithm} {name}");
        }
    }
}

/// SubjectPublicKeyInfo, put together from its DER parts.
pub(crate) fn public_pem(jwk: &Value) -> String {
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
    let (identifier, key): (&[u8], Vec<u8>) = match jwk["crv"].as_str() {
        None => {
            let integer =
                |number: Vec<u8>| tlv(2, &[if number[0] > 0x7f { &[0][..] } else { &[] }, &number].concat());
            let key = tlv(0x30, &[integer(bytes("n")), integer(bytes("e"))].concat());
            (&[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0], key)
        }
        Some("Ed25519") => (&[0x06, 3, 0x2b, 0x65, 0x70], bytes("x")),
        Some(curve) => {
            let point = [vec![4], bytes("x"), bytes("y")].concat();
            let identifier: &[u8] = match curve {
                "P-256" => {
                    &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]
                }
                "P-384" => &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22],
                _ => &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x23],
            };
            (identifier, point)
        }
    };
    let bits = tlv(3, &[&[0][..], &key].concat());
    let der = tlv(0x30, &[tlv(0x30, identifier), bits].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [&head, content].concat()
}

#[test]
fn fixed_keys_that_cannot_be_used_are_configuration_errors() {
    let idp = Idp::with_algorithms(ISSUER, [Algorithm::RS256]);
    let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
    let pem = public_pem(&jwks["keys"][0]);
    let build = |keys: Keys| ResourceServer::builder(API).issuer(Issuer::new(ISSUER).keys(keys)).build();
    assert!(build(Keys::pem(pem.clone())).is_ok());
    assert!(build(Keys::hmac([7; 32], [HmacAlgorithm::HS256])).is_ok());
    let mixed = json!({"keys": [{"kty": "AKP"}, jwks["keys"][0]]}).to_string();
    assert!(build(Keys::jwks(mixed)).is_ok(), "one bad key is left out");
    for (name, keys, hint) in [
        ("empty set", Keys::jwks(r#"{"keys":[]}"#), "it is empty"),
        ("only odd keys", Keys::jwks(r#"{"keys":[{"kty":"AKP"}]}"#), "kty is not RSA, EC or OKP"),
        ("symmetric", Keys::jwks(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#), "a symmetric key in a key set"),
        ("no set", Keys::jwks("x"), "not a JWK Set"),
        ("no PEM", Keys::pem("x"), "not a public key in PEM"),
        ("private", Keys::pem(pem.replace("PUBLIC", "PRIVATE")), "a private key"),
        ("certificate", Keys::pem(pem.replace("PUBLIC KEY", "CERTIFICATE")), "a certificate"),
        ("two", Keys::pem(format!("{pem}{pem}")), "more than one PEM block"),
        ("secret", Keys::from(jsonwebtoken::DecodingKey::from_secret(&[7; 64])), "a shared secret"),
        ("short secret", Keys::hmac([7; 31], [HmacAlgorithm::HS256]), "at least 32 random bytes"),
        ("short for one", Keys::hmac([7; 63], HmacAlgorithm::ALL), "at least 64 random bytes"),
    ] {
        let error = build(keys).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Keys, "{name}");
        assert!(error.to_string().contains(hint), "{name}: {error}");
    }
}

/// Whoever has read it could sign. The same in other bytes is a secret.
#[test]
fn what_is_published_is_no_shared_secret() {
    let build = |secret: &[u8]| {
        let keys = Keys::hmac(secret, [HmacAlgorithm::HS256]);
        ResourceServer::builder(API).issuer(Issuer::new(ISSUER).keys(keys)).build()
    };
    let accepted = |name: &str, secret: &[u8]| {
        let server = build(secret);
        assert!(server.is_ok(), "{name}: {:?}", server.err());
    };
    let refused = |name: &str, secret: &[u8]| {
        let error = build(secret).expect_err(name);
        assert_eq!(error.kind(), ConfigErrorKind::Keys, "{name}");
        assert!(error.to_string().contains("is a key or a certificate"), "{name}: {error}");
    };
    let algorithms =
        [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::Ed25519];
    let mut der: Vec<(String, Vec<u8>)> = Vec::new();
    for algorithm in algorithms {
        let idp = Idp::with_algorithms(ISSUER, [algorithm]);
        let set = idp.jwks();
        let jwk = serde_json::from_str::<Value>(&set).unwrap()["keys"][0].clone();
        let pem = public_pem(&jwk);
        for (name, text) in [
            ("PEM", pem.clone()),
            ("behind an empty line", format!("\n{pem}")),
            ("behind a preamble", format!("Bag Attributes\n{pem}")),
            ("behind a mark", format!("\u{feff}{pem}")),
            ("PEM as a JSON string", json!(pem).to_string()),
            ("JWK", jwk.to_string()),
            ("JWK as a JSON string", json!(jwk.to_string()).to_string()),
            ("a list of JWKs", json!([jwk]).to_string()),
            ("JWK Set", set),
        ] {
            let name = format!("{algorithm:?}: {name}");
            refused(&name, text.as_bytes());
            refused(&name, STANDARD.encode(&text).as_bytes());
            let other = text.replace("-----BEGIN", "-----Begin").replace("kty", "Kty");
            accepted(&name, other.as_bytes());
        }
        let body = pem.lines().find(|line| !line.starts_with('-')).unwrap();
        der.push((format!("{algorithm:?}"), STANDARD.decode(body).unwrap()));
    }
    let certificate =
        rcgen::generate_simple_self_signed(["id.example.com".to_owned()]).unwrap().cert.der().to_vec();
    let signed_data = tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2]);
    der.push(("PKCS#7".to_owned(), tlv(0x30, &[signed_data, tlv(0xa0, &certificate)].concat())));
    der.push(("RSA PUBLIC KEY".to_owned(), tlv(0x30, &[tlv(2, &[7; 200]), tlv(2, &[1, 0, 1])].concat())));
    refused("two certificates", &certificate.repeat(2));
    der.push(("certificate".to_owned(), certificate));
    for (name, der) in der {
        let mut other = der.clone();
        other[0] = b'1';
        let without_its_end = &der[..der.len() - 1];
        for (name, secret) in [
            (format!("{name}, and a line break"), [&der, &b"\r\n"[..]].concat()),
            (format!("{name}, less a line break"), without_its_end.to_vec()),
            (format!("{name} in base64"), STANDARD.encode(&der).into_bytes()),
            (format!("{name} in base64url"), URL_SAFE_NO_PAD.encode(&der).into_bytes()),
            (format!("{name} in lines of base64"), STANDARD.encode(&der).replace('A', "A\n").into_bytes()),
            (name.clone(), der),
        ] {
            refused(&name, &secret);
        }
        accepted(&name, &other);
        accepted(&name, STANDARD.encode(&other).as_bytes());
    }
    let body = STANDARD.encode([&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[7; 32]].concat());
    refused("for SSH", format!("ssh-ed25519 {body} somebody@example.com").as_bytes());
    refused("its body", body.as_bytes());
    // Inner lengths that do not fit, other tags, and texts.
    let longer = [&[0x30, 62, 0x30, 61][..], &[0; 60]].concat();
    accepted("an inner one that is too long", &longer);
    refused("an inner one that fits", &[&[0x30, 62, 0x30, 60][..], &[0; 60]].concat());
    accepted("a text", &[&b"0>00"[..], &[b'a'; 60]].concat());
    accepted("another tag", &[&[0x30, 62, 7, 7][..], &[0; 60]].concat());
    accepted("far shorter", &[&[0x30, 59, 0x30, 7][..], &[0; 60]].concat());
    accepted("looks like JSON", br#"{"k": "what only looks like JSON of a key"}"#);
}

/// What an operator needs who has written the issuer a little differently, or the wrong path.
#[test]
fn a_failed_fetch_says_what_was_answered() {
    let log = crate::leaks::captured(async || {
        for (iss, status) in [(format!("{ISSUER}/"), None), (ISSUER.to_owned(), Some(StatusCode::GONE))] {
            let idp = Idp::new(ISSUER);
            if let Some(status) = status {
                idp.answer_with(status);
            }
            let issuer = Issuer::new(&iss);
            let api = ResourceServer::builder(API).issuer(issuer).fetch(idp.clone()).build().unwrap();
            assert!(api.warm_up().await.is_err(), "{iss}");
        }
    });
    assert!(log.contains("the discovery document names another issuer"), "{log}");
    assert!(log.contains(&format!("it names {ISSUER:?}")), "{log}");
    assert!(log.contains("the status of the answer is not 200") && log.contains("it is 410"), "{log}");
}

/// Waits for a background task, without a sleep.
async fn settled(done: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never happened");
}
