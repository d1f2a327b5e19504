//! Answers that servers share in a real Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower_bearer::manual::defaults::{
    ACTIVE_FOR, BREAKER_FAILURES, ENDLESS_ACTIVE_FOR, KEPT_LOOKUPS, LIVE_ANSWER_FOR, MAX_LOOKUPS,
    MAX_REFUSED, REFUSED_FOR,
};
use tower_bearer::settings::Settings;
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Algorithm, BearerAuthLayer, Clock, ConfigErrorKind, Denial, Fetch, FetchFuture, FetchRequest,
    FetchResponse, Found, FoundClaims, Introspection, Issuer, Keys, LookupErrorKind, LookupFuture,
    OpaqueToken, RedisAnswers, ResourceServer, TokenError, TokenLookup,
};

use super::{Book, OPAQUE, World, is_unavailable};
use crate::deny_redis::within;
use crate::leaks::captured;
use crate::redis_server::{PASSWORD, Redis};
use crate::settings::Folder;
use crate::support::{API, ISSUER, app, bearer, seconds, status};

const SECRET: &[u8] = b"a secret of the fleet, at random";

/// Servers with one book, one clock and one Redis.
struct Fleet {
    first: World,
    url: String,
}

impl Fleet {
    fn new(redis: &Redis) -> Self {
        let first = World::with(|issuer| issuer.shared_answers(answers(&redis.url())), |builder| builder);
        Self { first, url: redis.url() }
    }

    fn another(&self) -> World {
        self.with(API, answers(&self.url))
    }

    fn with(&self, identifier: &str, answers: RedisAnswers) -> World {
        let (clock, book) = (self.first.clock.clone(), self.first.book.clone());
        let issuer = Issuer::unnamed("book").lookup(book.clone()).audience(API).shared_answers(answers);
        let api = ResourceServer::builder(identifier).clock(clock.clone()).issuer(issuer).build().unwrap();
        World { clock, book, api }
    }
}

pub(super) fn answers(url: &str) -> RedisAnswers {
    RedisAnswers::new(url, SECRET).unwrap()
}

fn held(redis: &Redis) -> Vec<String> {
    redis.cli(&["--raw", "KEYS", "*"]).lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

/// They are written when nobody waits any more.
pub(super) async fn shared(redis: &Redis, count: usize) {
    within(seconds(5), "they are shared", async || held(redis).len() >= count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_asks_once_about_a_token() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let others = [fleet.another(), fleet.another()];
    assert_eq!(fleet.first.verify(OPAQUE).await.unwrap().client_id(), Some("robot"));
    shared(&redis, 1).await;
    for other in &others {
        let token = other.verify(OPAQUE).await.unwrap();
        assert_eq!((token.client_id(), token.subject()), (Some("robot"), Some("somebody")));
        assert_eq!(other.fault("made-up-token").await, Some(TokenError::Inactive));
        shared(&redis, 2).await;
    }
    assert_eq!(fleet.first.book.asked(), [OPAQUE, "made-up-token"]);
    let last_answer = |world: &World| {
        let health = world.api.health();
        health.issuers().next().and_then(|issuer| issuer.lookups()?.last_success())
    };
    assert!(last_answer(&others[0]).is_some(), "about the made-up one");
    assert_eq!(last_answer(&others[1]), None, "it has asked nobody");
    // What is denied here is denied, whoever was told what.
    others[0].api.deny(Denial::token("book", "1")).await.unwrap();
    assert_eq!(others[0].fault(OPAQUE).await, Some(TokenError::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_live_route_the_word_of_another_server_does_not_count() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let book = &fleet.first.book;
    fleet.first.verify(OPAQUE).await.unwrap();
    shared(&redis, 1).await;
    let (one, two) = (fleet.another().api, fleet.another().api);
    let [live, others] = [app(&BearerAuthLayer::new(one.clone()).live()), app(&BearerAuthLayer::new(one))];
    // What the fleet was told would do elsewhere; here the endpoint is asked, once.
    assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(book.asked_about(OPAQUE), 2);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(book.asked_about(OPAQUE), 2);
    // A server that has just taken it over from the fleet has not asked either.
    let [live, others] = [app(&BearerAuthLayer::new(two.clone()).live()), app(&BearerAuthLayer::new(two))];
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(book.asked_about(OPAQUE), 2);
    book.revoke(OPAQUE);
    assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(book.asked_about(OPAQUE), 3);
    // It has forgotten what it took over.
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_since_is_refused_by_the_first_live_request_of_a_server() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    fleet.first.verify(OPAQUE).await.unwrap();
    shared(&redis, 1).await;
    let live = || app(&BearerAuthLayer::new(fleet.another().api).live());
    assert_eq!(status(&live(), bearer(OPAQUE)).await, StatusCode::OK);
    fleet.first.book.revoke(OPAQUE);
    assert_eq!(status(&live(), bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn first_live_requests_that_come_together_ask_once() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    fleet.first.verify(OPAQUE).await.unwrap();
    shared(&redis, 1).await;
    let api = fleet.another().api;
    let [live, others] = [app(&BearerAuthLayer::new(api.clone()).live()), app(&BearerAuthLayer::new(api))];
    let requests = (0..6).map(|number| {
        let app = if number == 5 { others.clone() } else { live.clone() };
        tokio::spawn(async move { status(&app, bearer(OPAQUE)).await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    // And so do those that come in the same moment.
    for _ in 0..5 {
        assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
    }
    assert_eq!(fleet.first.book.asked_about(OPAQUE), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_earlier_question_brings_no_token_back() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    fleet.first.verify(OPAQUE).await.unwrap();
    shared(&redis, 1).await;
    let place = held(&redis).remove(0);
    let active = redis.cli(&["--raw", "GET", &place]);
    let two = fleet.another().api;
    let [live, others] =
        [app(&BearerAuthLayer::new(two.clone()).live()), app(&BearerAuthLayer::new(two.clone()))];
    assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
    fleet.first.clock.advance(seconds(2));
    fleet.first.book.revoke(OPAQUE);
    assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
    within(seconds(5), "the later answer is shared", async || redis.cli(&["--raw", "GET", &place]) != active)
        .await;
    // Somebody puts the earlier one back, and it is no later one.
    redis.cli(&["SET", &place, active.trim_end(), "PX", "50000"]);
    fleet.first.clock.advance(REFUSED_FOR);
    // A server that was never told believes it, as long as it would have been remembered.
    assert!(fleet.another().accepts(OPAQUE).await);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
    // Nor can made-up tokens bring it back, however many are refused.
    redis.cli(&["SET", &place, active.trim_end(), "PX", "50000"]);
    fleet.first.clock.advance(REFUSED_FOR);
    let made_up: Vec<String> = (0..MAX_REFUSED).map(|number| format!("made-up-{number}")).collect();
    for some in made_up.chunks(MAX_LOOKUPS - KEPT_LOOKUPS) {
        let refused = futures_util::future::join_all(some.iter().map(|token| two.verify(token))).await;
        assert!(refused.iter().all(Result::is_err));
    }
    assert_eq!(fleet.first.book.asked_about(made_up.last().unwrap()), 1);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_times_that_a_token_was_taken_back_the_later_one_counts() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (api, book, clock) = (fleet.another().api, &fleet.first.book, &fleet.first.clock);
    let [live, others] = [app(&BearerAuthLayer::new(api.clone()).live()), app(&BearerAuthLayer::new(api))];
    let good = fleet.first.claims();
    let mut said = Vec::new();
    for expected in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::OK, StatusCode::UNAUTHORIZED] {
        if expected == StatusCode::OK {
            book.say(OPAQUE, good.clone());
        } else {
            book.revoke(OPAQUE);
        }
        assert_eq!(status(&live, bearer(OPAQUE)).await, expected);
        let before = said.last().cloned().unwrap_or_default();
        within(seconds(5), "it is shared", async || {
            held(&redis).first().is_some_and(|place| redis.cli(&["--raw", "GET", place]) != before)
        })
        .await;
        said.push(redis.cli(&["--raw", "GET", &held(&redis)[0]]));
        clock.advance(REFUSED_FOR);
    }
    // Somebody puts back what was said between the two.
    redis.cli(&["SET", &held(&redis)[0], said[2].trim_end(), "PX", "35000"]);
    assert!(fleet.another().accepts(OPAQUE).await, "it would be believed");
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
}

/// That another server was answered does not mean that the endpoint answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_server_does_not_close_a_breaker() {
    let Some(redis) = Redis::start() else { return };
    for between in [false, true] {
        let fleet = Fleet::new(&redis);
        fleet.first.verify(OPAQUE).await.unwrap();
        shared(&redis, 1).await;
        let two = fleet.another();
        let asked = || two.book.asked().len();
        let before = asked();
        two.book.fail(LookupErrorKind::Timeout);
        for number in 0..BREAKER_FAILURES {
            assert!(is_unavailable(&two.verify(&format!("another-token-{number}")).await));
            if between && number == 1 {
                assert!(two.accepts(OPAQUE).await);
            }
        }
        assert_eq!(asked(), before + BREAKER_FAILURES);
        assert!(is_unavailable(&two.verify("one-more-token").await));
        assert_eq!(asked(), before + BREAKER_FAILURES, "it is left alone");
        redis.cli(&["FLUSHALL"]);
    }
}

/// Of the answers of two servers the one to the later question stays, whichever comes last.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_takes_no_later_ones_place() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (one, two) = (fleet.another(), fleet.another());
    let slow = Slow::default();
    let issuer =
        Issuer::unnamed("book").lookup(slow.clone()).audience(API).shared_answers(answers(&fleet.url));
    let clock = one.clock.clone();
    let late = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
    let first = tokio::spawn(async move { late.verify(OPAQUE).await.is_ok() });
    within(seconds(5), "it was asked", async || slow.is_asked()).await;
    clock.advance(seconds(1));
    two.book.revoke(OPAQUE);
    assert_eq!(two.fault(OPAQUE).await, Some(TokenError::Inactive));
    shared(&redis, 1).await;
    let place = held(&redis).remove(0);
    let later = redis.cli(&["--raw", "GET", &place]);
    slow.answer(json!({"active": true, "aud": API, "client_id": "robot"}));
    assert!(first.await.unwrap());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(redis.cli(&["--raw", "GET", &place]), later);
}

/// Answers when it is told to.
#[derive(Clone)]
struct Slow {
    asked: watch::Sender<bool>,
    said: watch::Sender<Option<Value>>,
}

impl Default for Slow {
    fn default() -> Self {
        Self { asked: watch::Sender::new(false), said: watch::Sender::new(None) }
    }
}

impl Slow {
    fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    fn answer(&self, claims: Value) {
        self.said.send_replace(Some(claims));
    }
}

impl TokenLookup for Slow {
    fn look_up(&self, _: OpaqueToken) -> LookupFuture {
        self.asked.send_replace(true);
        let mut said = self.said.subscribe();
        Box::pin(async move {
            let said = said.wait_for(Option::is_some).await.map(|said| said.clone()).ok().flatten();
            Ok(Found::Active(FoundClaims::parse(said.unwrap_or_default().to_string())?))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_jwt_that_is_verified_here_is_not_shared() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (idp, book) = (Idp::new(ISSUER).clock(fleet.first.clock.clone()), &fleet.first.book);
    let issuer =
        idp.issuer().lookup(book.clone()).keys(Keys::discovery()).shared_answers(answers(&fleet.url));
    let api = ResourceServer::builder(API).clock(fleet.first.clock.clone()).issuer(issuer).build().unwrap();
    let live = app(&BearerAuthLayer::new(api).live());
    let jwt = idp.token(API).sign();
    book.say(&jwt, json!({"active": true}));
    book.say(OPAQUE, json!({"active": true, "aud": API, "client_id": "robot"}));
    for token in [&*jwt, OPAQUE] {
        assert_eq!(status(&live, bearer(token)).await, StatusCode::OK);
    }
    shared(&redis, 1).await;
    assert_eq!(held(&redis).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_time_in_redis_and_in_memory_together_are_bounded() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (one, two) = (&fleet.first, fleet.another());
    let mut endless = one.claims();
    endless.as_object_mut().unwrap().remove("exp");
    one.book.say("an-endless-token", endless);
    let mut short = one.claims();
    short["exp"] = json!(one.at(30));
    one.book.say("a-short-token", short);
    let cases =
        [(OPAQUE, ACTIVE_FOR), ("an-endless-token", ENDLESS_ACTIVE_FOR), ("a-short-token", seconds(30))];
    for (count, (token, _)) in (1..).zip(cases) {
        assert!(one.accepts(token).await, "{token}");
        shared(&redis, count).await;
    }
    // Each on its own: they end one after the other.
    let mut passed = Duration::ZERO;
    let mut advance_to = |to: Duration| {
        one.clock.advance(to - passed);
        passed = to;
    };
    for (token, bound) in [cases[1], cases[2], cases[0]] {
        let asked = one.book.asked_about(token);
        advance_to(bound - seconds(2));
        assert!(two.accepts(token).await, "{token}");
        assert_eq!(one.book.asked_about(token), asked, "{token}: shared");
        one.book.revoke(token);
        advance_to(bound - seconds(1));
        assert!(two.accepts(token).await, "{token}");
        advance_to(bound);
        assert_eq!(two.fault(token).await, Some(TokenError::Inactive), "{token}");
        assert_eq!(one.book.asked_about(token), asked + 1, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_bounded_too() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (one, two) = (&fleet.first, fleet.another());
    one.book.say(
        "for-another-api",
        json!({"active": true, "aud": "https://other.example.com", "exp": one.at(600)}),
    );
    assert_eq!(one.fault("made-up-token").await, Some(TokenError::Inactive));
    assert_eq!(one.fault("for-another-api").await, Some(TokenError::Audience));
    shared(&redis, 2).await;
    one.clock.advance(REFUSED_FOR - seconds(1));
    assert_eq!(two.fault("made-up-token").await, Some(TokenError::Inactive));
    one.book.say("made-up-token", one.claims());
    assert_eq!(two.fault("made-up-token").await, Some(TokenError::Inactive));
    one.clock.advance(seconds(1));
    assert!(two.accepts("made-up-token").await);
    assert_eq!(one.book.asked_about("made-up-token"), 2);
    // That it is active was said; it is for others.
    one.clock.advance(ACTIVE_FOR - REFUSED_FOR - seconds(1));
    assert_eq!(two.fault("for-another-api").await, Some(TokenError::Audience));
    assert_eq!(one.book.asked_about("for-another-api"), 1);
    one.book.say("for-another-api", one.claims());
    one.clock.advance(seconds(1));
    assert!(two.accepts("for-another-api").await);
}

/// By its clock, wherever ours is.
#[tokio::test(flavor = "multi_thread")]
async fn redis_forgets_by_itself() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    assert!(fleet.first.accepts(OPAQUE).await);
    shared(&redis, 1).await;
    let key = held(&redis).remove(0);
    let left: u128 = redis.cli(&["PTTL", &key]).parse().unwrap();
    assert!((50_000..=ACTIVE_FOR.as_millis()).contains(&left), "{left}");
    // Most of its time has passed there, and none here.
    redis.cli(&["PEXPIRE", &key, "20000"]);
    let two = fleet.another();
    assert!(two.accepts(OPAQUE).await);
    assert_eq!(fleet.first.book.asked().len(), 1);
    two.book.revoke(OPAQUE);
    two.clock.advance(seconds(19));
    assert!(two.accepts(OPAQUE).await, "remembered");
    two.clock.advance(seconds(1));
    redis.cli(&["DEL", &key]);
    assert!(!two.accepts(OPAQUE).await);
    // What has no end there is none of ours.
    let three = fleet.another();
    three.book.say(OPAQUE, three.claims());
    assert!(fleet.with("https://third.example.com", answers(&fleet.url)).accepts(OPAQUE).await);
    shared(&redis, 2).await;
    let good = |key: &String| redis.cli(&["--raw", "GET", key]).contains("robot");
    let key = held(&redis).into_iter().find(good).unwrap();
    redis.cli(&["PERSIST", &key]);
    let asked = three.book.asked().len();
    assert!(fleet.with("https://third.example.com", answers(&fleet.url)).accepts(OPAQUE).await);
    assert_eq!(three.book.asked().len(), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_of_us_wrote_is_no_answer() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let book = &fleet.first.book;
    assert!(fleet.first.accepts(OPAQUE).await);
    assert_eq!(fleet.first.fault("made-up-token").await, Some(TokenError::Inactive));
    shared(&redis, 2).await;
    let keys = held(&redis);
    let values = keys.clone().into_iter().map(|key| redis.cli(&["--raw", "GET", &key]));
    let values: Vec<_> = values.collect();
    let active = values.iter().position(|value| value.contains("robot")).unwrap();
    let (good, inactive) = (&values[active], &values[1 - active]);
    let put = |key: &str, value: &str| assert_eq!(redis.cli(&["SET", key, value, "PX", "50000"]), "OK");

    put(&keys[active], good);
    assert!(fleet.another().accepts(OPAQUE).await);
    assert_eq!(book.asked().len(), 2, "unharmed");
    let parts: Vec<_> = good.splitn(4, ' ').collect();
    let later: i64 = parts[0].parse::<i64>().unwrap() + 1_000_000;
    for (n, forged) in [
        good.replace("robot", "admin"),
        good.replacen(parts[0], &later.to_string(), 1),
        good.replacen(parts[1], "90000000", 1),
        good.replacen(parts[2], "", 1),
        good.replacen(parts[2], &parts[2][1..], 1),
        format!("{} {} {} -", parts[0], parts[1], parts[2]),
        inactive.clone(),
        format!("{good} "),
        good[..good.len() - 1].to_owned(),
        String::new(),
        "   ".to_owned(),
        "x".repeat(100_000),
    ]
    .into_iter()
    .enumerate()
    {
        put(&keys[active], &forged);
        let asked = book.asked().len();
        assert_eq!(fleet.another().verify(OPAQUE).await.unwrap().client_id(), Some("robot"), "{n}");
        assert_eq!(book.asked().len(), asked + 1, "{n}");
        within(seconds(5), "it is put right", async || {
            redis.cli(&["--raw", "GET", &keys[active]]).contains("robot")
        })
        .await;
    }
    // An active one in the place of one that is not.
    put(&keys[1 - active], good);
    assert_eq!(fleet.another().fault("made-up-token").await, Some(TokenError::Inactive));
    // What is no text at all.
    redis.cli(&["DEL", &keys[active]]);
    redis.cli(&["RPUSH", &keys[active], "x"]);
    assert!(fleet.another().accepts(OPAQUE).await);

    // An old one put back, when it is over.
    fleet.first.clock.advance(ACTIVE_FOR);
    redis.cli(&["DEL", &keys[active]]);
    put(&keys[active], good);
    book.revoke(OPAQUE);
    assert!(!fleet.another().accepts(OPAQUE).await);
}

/// One whose clock is a little ahead is believed, for no longer than others; one that is far ahead is not.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_make_no_answer_last_longer() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let (one, ahead) = (&fleet.first, ManualClock::new());
    ahead.set_time_of_day(one.clock.now() + seconds(60));
    let issuer = Issuer::unnamed("book").lookup(one.book.clone()).shared_answers(answers(&fleet.url));
    let early = ResourceServer::builder(API).clock(ahead.clone()).issuer(issuer).build().unwrap();
    assert!(early.verify(OPAQUE).await.is_ok());
    shared(&redis, 1).await;
    assert!(one.accepts(OPAQUE).await);
    assert_eq!(one.book.asked().len(), 1);
    let key = held(&redis).remove(0);
    redis.cli(&["PEXPIRE", &key, "5000"]);
    let two = fleet.another();
    assert!(two.accepts(OPAQUE).await);
    // As long as Redis says, wherever the clocks are.
    redis.cli(&["DEL", &key]);
    two.clock.advance(seconds(5));
    two.book.revoke(OPAQUE);
    assert!(!two.accepts(OPAQUE).await);

    two.book.say("another-token", two.claims());
    ahead.set_time_of_day(one.clock.now() + seconds(90));
    assert!(early.verify("another-token").await.is_ok());
    shared(&redis, 2).await;
    assert!(one.accepts("another-token").await);
    assert_eq!(one.book.asked_about("another-token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_differ_share_nothing() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    assert!(fleet.first.accepts(OPAQUE).await);
    shared(&redis, 1).await;
    let other_secret = RedisAnswers::new(&fleet.url, *b"another secret of 32 bytes or so").unwrap();
    let others = [
        fleet.with(API, other_secret),
        fleet.with(API, answers(&fleet.url).key("staging")),
        fleet.with("https://other.example.com", answers(&fleet.url)),
    ];
    for (count, other) in (2..).zip(&others) {
        assert!(other.accepts(OPAQUE).await);
        assert_eq!(fleet.first.book.asked().len(), count);
        shared(&redis, count).await;
    }
    assert!(fleet.another().accepts(OPAQUE).await);
    assert_eq!(fleet.first.book.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_never_needed() {
    let Some(mut redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    assert!(fleet.first.accepts(OPAQUE).await);
    shared(&redis, 1).await;
    let (book, clock) = (&fleet.first.book, &fleet.first.clock);
    redis.stop();
    let two = fleet.another();
    assert!(two.accepts(OPAQUE).await);
    assert_eq!(book.asked().len(), 2, "asked as without it");
    assert_eq!(two.fault("made-up-token").await, Some(TokenError::Inactive));
    redis.start_again();
    // Left alone for a moment, and then it is used again.
    clock.advance(ACTIVE_FOR);
    assert!(two.accepts(OPAQUE).await);
    let is_active = |key: &String| redis.cli(&["--raw", "GET", key]).contains("robot");
    within(seconds(5), "it is shared", async || held(&redis).iter().any(is_active)).await;
    assert!(fleet.another().accepts(OPAQUE).await);
    assert_eq!(book.asked_about(OPAQUE), 3);
    // The other way round: the endpoint's fault is no answer, and nobody is told one.
    book.fail(LookupErrorKind::Status);
    assert!(is_unavailable(&fleet.another().verify("a-third-token").await));
    book.fail(None);
    book.say("a-third-token", two.claims());
    assert!(fleet.another().accepts("a-third-token").await);
}

/// It takes connections and answers nothing.
#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn a_redis_that_hangs_costs_a_quarter_of_a_second_and_goes_on() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    assert!(fleet.first.accepts(OPAQUE).await);
    shared(&redis, 1).await;
    redis.signal("-STOP");
    fleet.first.clock.advance(ACTIVE_FOR);
    let two = fleet.another();
    for world in [&fleet.first, &two] {
        let begin = Instant::now();
        assert!(world.accepts(OPAQUE).await);
        assert!(begin.elapsed() < seconds(2), "{:?}", begin.elapsed());
    }
    assert_eq!(fleet.first.book.asked().len(), 3);
    // It is left alone: the next one does not wait.
    let begin = Instant::now();
    assert_eq!(two.fault("made-up-token").await, Some(TokenError::Inactive));
    assert!(begin.elapsed() < Duration::from_millis(240), "{:?}", begin.elapsed());
    redis.signal("-CONT");
    fleet.first.clock.advance(ACTIVE_FOR);
    within(seconds(5), "it is used again", async || {
        fleet.first.clock.advance(ACTIVE_FOR);
        assert!(two.accepts(OPAQUE).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = two.book.asked().len();
        fleet.another().accepts(OPAQUE).await && two.book.asked().len() == asked
    })
    .await;
}

/// A long answer is asked for by each server.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_16_kib_are_shared_of_an_answer() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let book = &fleet.first.book;
    let of_length = |length: usize| {
        let mut claims = fleet.first.claims();
        claims["note"] = json!("");
        let short = claims.to_string().len();
        claims["note"] = json!("n".repeat(length - short));
        claims
    };
    for (token, length, asked) in [("said-too-much-of", 16 * 1024 + 1, 2), ("said-much-of", 16 * 1024, 1)] {
        book.say(token, of_length(length));
        assert!(fleet.first.accepts(token).await, "{token}");
        // What was to be shared before this is there, too.
        assert!(fleet.first.accepts(OPAQUE).await);
        within(seconds(5), "what can be is shared", async || held(&redis).len() == 3 - asked).await;
        assert!(fleet.another().accepts(token).await, "{token}");
        assert_eq!(book.asked_about(token), asked, "{token}");
    }
}

/// Why, in our words: what Redis says may quote what it was sent.
#[test]
fn a_warning_tells_why_no_answer_was_shared() {
    let Some(redis) = Redis::start() else { return };
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("redis://{}/0", listener.local_addr().unwrap());
    for (url, why) in [
        (&*redis.url(), "it has answered with an error"),
        ("redis://127.0.0.1:1/0", "it cannot be reached"),
        (&silent, "no answer in time"),
    ] {
        let log = captured(async || {
            let fleet = Fleet::new(&redis);
            assert!(fleet.first.accepts(OPAQUE).await);
            shared(&redis, 1).await;
            let place = held(&redis).remove(0);
            redis.cli(&["DEL", &place]);
            redis.cli(&["RPUSH", &place, "a list is no answer"]);
            assert!(fleet.with(API, answers(url)).accepts(OPAQUE).await);
            assert_eq!(fleet.first.book.asked_about(OPAQUE), 2);
        });
        assert!(log.contains("could not share answers") && log.contains(why), "{why}: {log}");
        redis.cli(&["FLUSHALL"]);
    }
}

/// Neither in Redis, nor in what is logged and shown.
#[test]
fn no_token_and_no_secret_is_anywhere() {
    let Some(redis) = Redis::start() else { return };
    let mut shown = String::new();
    let log = captured(async || {
        let fleet = Fleet::new(&redis);
        shown += &format!("{:?} {:?}", answers(&redis.url()), fleet.first.api);
        assert!(fleet.first.accepts(OPAQUE).await);
        assert_eq!(fleet.first.fault("made-up-token").await, Some(TokenError::Inactive));
        shared(&redis, 2).await;
        let nobody = format!("redis://:{PASSWORD}@127.0.0.1:1/0");
        assert!(fleet.with(API, answers(&nobody)).accepts(OPAQUE).await);
    });
    assert!(log.contains("could not share answers"), "{log}");
    assert!(shown.contains(r#"RedisAnswers { key: "tower-bearer:answers", .. }"#), "{shown}");
    let all = held(&redis).into_iter().map(|key| format!("{key} {}", redis.cli(&["--raw", "GET", &key])));
    let all: String = all.collect();
    assert!(all.contains("tower-bearer:answers:") && all.contains("robot"), "{all}");
    let secret = std::str::from_utf8(SECRET).unwrap();
    for text in [&all, &log, &shown] {
        for hidden in [OPAQUE, "made-up-token", secret, PASSWORD] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
    // Nor the digest that anybody could make of a guess.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, OPAQUE.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!all.contains(&hex), "{all}");
}

#[test]
fn every_mistake_about_shared_answers_is_said_at_once() {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:1/0");
    let build = |issuer: Issuer, cache: bool| {
        let builder = ResourceServer::builder(API).clock(ManualClock::new()).issuer(issuer);
        if cache { builder } else { builder.without_cache() }.build()
    };
    let looked_up = || Issuer::unnamed("book").lookup(Book::new());
    assert!(build(looked_up().shared_answers(answers(&url)), true).is_ok());
    let idp = Idp::with_algorithms("-", [Algorithm::ES256]);
    let with_keys = Issuer::unnamed("keys").keys(Keys::jwks(idp.jwks()));
    for (name, issuer, cache, advice) in [
        ("not looked up", with_keys.shared_answers(answers(&url)), true, "its tokens are not looked up"),
        ("each request asks", looked_up().shared_answers(answers(&url)), false, "contradicts without_cache"),
    ] {
        let error = build(issuer, cache).expect_err(name);
        assert_eq!(
            (error.kind(), error.path()),
            (ConfigErrorKind::Lookup, "issuer[0].shared_answers"),
            "{name}"
        );
        assert!(error.to_string().contains(advice), "{error}");
    }
    for (url, secret, advice) in
        [(&*url, &SECRET[..31], "32 random bytes"), ("http://hunter2", SECRET, "not the URL of a Redis")]
    {
        let error = RedisAnswers::new(url, secret).unwrap_err();
        assert_eq!(error.kind(), ConfigErrorKind::Lookup);
        assert!(error.to_string().contains(advice), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

/// A server by a file and one by the builder share what was said, and with another secret or key nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_names_the_redis_and_the_secret() {
    let Some(redis) = Redis::start() else { return };
    let (folder, clock) = (Folder::new("shared-answers"), ManualClock::new());
    folder.write("redis-url", redis.url() + "\n");
    folder.write("answers-secret", [SECRET, b"\r\n"].concat());
    folder.write("other-secret", SECRET.repeat(2));
    folder.write("our-secret", "hunter2");
    let endpoint = Answering::default();
    let text = |answers: &str| {
        format!(
            "resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\nintrospection = {{ endpoint = \"{ISSUER}/introspect\", client_id = \"api\", client_secret_file = \"our-secret\" }}\nshared_answers = {{ {answers} }}\n"
        )
    };
    let server = |answers: &str| {
        let settings = Settings::read(folder.write("settings.toml", text(answers))).unwrap();
        settings.builder().unwrap().fetch(endpoint.clone()).clock(clock.clone()).build().unwrap()
    };
    let url = "redis = { url_file = \"redis-url\" }";
    let ours = format!("{url}, secret_file = \"answers-secret\"");
    let staging = ours.replace(" }", ", key = \"staging\" }");
    let by_hand = Introspection::at(format!("{ISSUER}/introspect")).basic("api", "hunter2");
    let by_hand = Issuer::new(ISSUER).introspection(by_hand).shared_answers(answers(&redis.url()));
    let by_hand = ResourceServer::builder(API).issuer(by_hand).fetch(endpoint.clone()).clock(clock.clone());
    for (api, asked, kept) in [
        (server(&ours), 1, 1),
        (server(&ours), 1, 1),
        (by_hand.build().unwrap(), 1, 1),
        (server(&format!("{url}, secret_file = \"other-secret\"")), 2, 2),
        (server(&staging), 3, 3),
        (server(&staging), 3, 3),
    ] {
        assert_eq!(api.verify(OPAQUE).await.unwrap().client_id(), Some("robot"));
        assert_eq!(endpoint.asked(), asked);
        shared(&redis, kept).await;
    }
    let staged = held(&redis).iter().filter(|key| key.starts_with("staging:")).count();
    assert_eq!((staged, held(&redis).len()), (1, 3));
}

/// As when a copy of the Redis takes over that has not heard of the later one.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_older_than_ours_is_for_one_request() {
    let Some(redis) = Redis::start() else { return };
    for later in [false, true] {
        let fleet = Fleet::new(&redis);
        let (two, book) = (fleet.another(), &fleet.first.book);
        fleet.first.verify(OPAQUE).await.unwrap();
        shared(&redis, 1).await;
        let key = held(&redis).remove(0);
        two.clock.advance(seconds(5));
        if later {
            redis.cli(&["RENAME", &key, "older"]);
            let mut claims = two.claims();
            claims["exp"] = json!(two.at(10));
            book.say(OPAQUE, claims);
            two.verify(OPAQUE).await.unwrap();
            shared(&redis, 2).await;
            redis.cli(&["RENAME", "older", &key]);
        }
        let asked = book.asked_about(OPAQUE);
        two.clock.advance(seconds(11));
        assert!(two.accepts(OPAQUE).await);
        assert_eq!(book.asked_about(OPAQUE), asked, "the Redis has an answer");
        redis.cli(&["DEL", &key]);
        two.clock.advance(LIVE_ANSWER_FOR);
        assert!(two.accepts(OPAQUE).await);
        assert_eq!(book.asked_about(OPAQUE), asked + usize::from(later));
        redis.cli(&["FLUSHALL"]);
    }
}

/// An introspection endpoint to which every token is active.
#[derive(Clone, Default)]
struct Answering(Arc<AtomicUsize>);

impl Answering {
    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Fetch for Answering {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        assert!(request.form().unwrap().contains(OPAQUE));
        self.0.fetch_add(1, Ordering::SeqCst);
        let said = json!({"active": true, "aud": API, "client_id": "robot", "exp": 4_102_444_800_u64});
        Box::pin(async move { Ok(FetchResponse::new(StatusCode::OK, HeaderMap::new(), said.to_string())) })
    }
}

/// In front of a Redis. Connections from before a call of `silence` stay open, and nothing comes through them any more: as
/// when another primary has taken over the address.
struct Way {
    port: u16,
    silenced: watch::Sender<usize>,
}

impl Way {
    async fn to(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (way, to) = (
            Self { port: listener.local_addr().unwrap().port(), silenced: watch::Sender::new(0) },
            redis.port,
        );
        let silenced = way.silenced.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut silenced = silenced.clone();
                silenced.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = silenced.changed() => std::future::pending().await,
                    }
                });
            }
        });
        way
    }

    fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port)
    }

    fn silence(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_any_more_is_given_up() {
    let Some(redis) = Redis::start() else { return };
    let fleet = Fleet::new(&redis);
    let way = Way::to(&redis).await;
    let two = fleet.with(API, answers(&way.url()));
    assert!(two.accepts(OPAQUE).await);
    shared(&redis, 1).await;
    way.silence();
    two.book.say("another-token", two.claims());
    assert!(two.accepts("another-token").await);
    assert_eq!(held(&redis).len(), 1, "it is left alone");
    two.clock.advance(seconds(1));
    two.book.say("a-third-token", two.claims());
    assert!(two.accepts("a-third-token").await);
    shared(&redis, 2).await;
}
