//! How often an endpoint is asked, by how many, and what happens when it does not answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower_bearer::manual::defaults::{
    ACTIVE_FOR, BREAKER_FAILURES, BREAKER_PAUSE, KEPT_LOOKUPS, LOOKUP_TIMEOUT, MAX_LOOKUPS,
    MAX_QUEUED_LOOKUPS,
};
use tower_bearer::{
    BearerAuthLayer, Event, LookupErrorKind, Rejection, ResourceServerBuilder, Token, TokenError,
};

use super::{OPAQUE, World, is_unavailable};
use crate::leaks::captured;
use crate::support::{app, bearer, block_on, seconds, send};

fn uncached() -> World {
    World::with(|issuer| issuer, ResourceServerBuilder::without_cache)
}

type Waits = tokio::task::JoinHandle<Result<Token, Rejection>>;

impl World {
    fn begins(&self, token: impl Into<String>) -> Waits {
        let (api, token) = (self.api.clone(), token.into());
        tokio::spawn(async move { api.verify(&token).await })
    }
}

/// Lets everybody go as far as they can.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ten_thousand_first_requests_ask_once() {
    for world in [World::new(), uncached()] {
        world.book.hang("");
        let waits: Vec<_> = (0..10_000).map(|_| world.begins(OPAQUE)).collect();
        settle().await;
        assert_eq!(world.book.asked(), [OPAQUE]);
        world.book.hang(None);
        for wait in waits {
            assert_eq!(wait.await.unwrap().unwrap().client_id(), Some("robot"));
        }
        assert_eq!(world.book.asked(), [OPAQUE]);
    }
}

/// Some find nothing remembered, and come to ask when the others have just been answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_is_late_finds_the_answer() {
    let world = World::new();
    for round in 0..500 {
        let token = format!("a-token-of-round-{round}");
        world.book.say(&token, world.claims());
        let waits: Vec<_> = (0..16).map(|_| world.begins(&*token)).collect();
        for wait in waits {
            assert!(wait.await.unwrap().is_ok());
        }
        assert_eq!(world.book.asked_about(&token), 1, "in round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_made_up_tokens_leaves_places_for_known_ones() {
    let world = uncached();
    assert!(world.accepts(OPAQUE).await);
    world.book.hang("junk");
    let junk: Vec<_> = (0..2000).map(|n| world.begins(format!("junk-{n:06}"))).collect();
    settle().await;
    let asked = world.book.asked().iter().filter(|token| token.starts_with("junk")).count();
    assert_eq!(asked, MAX_LOOKUPS - KEPT_LOOKUPS);
    // A known token is answered at once, while nobody has an answer for the others.
    for _ in 0..100 {
        assert!(world.accepts(OPAQUE).await);
    }
    // A new one would wait for its place.
    world.book.say("another-good-token", world.claims());
    let wait = world.begins("another-good-token");
    let mut told_to_come_again = 0;
    let begun = tokio::time::Instant::now();
    for wait in junk {
        told_to_come_again += usize::from(is_unavailable(&wait.await.unwrap()));
    }
    assert_eq!(told_to_come_again, 2000, "nobody knows them, and nobody has said so");
    assert!(begun.elapsed() <= LOOKUP_TIMEOUT + Duration::from_millis(100), "{:?}", begun.elapsed());
    assert!(is_unavailable(&wait.await.unwrap()), "the queue is full");
    assert!(world.book.asked().len() <= 101 + 2 * MAX_LOOKUPS + MAX_QUEUED_LOOKUPS);
}

#[tokio::test]
async fn whoever_waits_in_the_queue_has_its_turn() {
    let world = World::new();
    world.book.hang("token");
    let count = MAX_LOOKUPS - KEPT_LOOKUPS + MAX_QUEUED_LOOKUPS;
    let token = |n: usize| format!("token-{n:06}");
    for n in 0..count {
        world.book.say(&token(n), world.claims());
    }
    let waits: Vec<_> = (0..count).map(|n| world.begins(token(n))).collect();
    settle().await;
    assert_eq!(world.book.asked().len(), MAX_LOOKUPS - KEPT_LOOKUPS);
    let surplus = world.verify("token-of-another").await;
    assert!(is_unavailable(&surplus));
    world.book.hang(None);
    for wait in waits {
        assert!(wait.await.unwrap().is_ok());
    }
    assert_eq!(world.book.asked().len(), count);
    assert_eq!(world.fault("token-of-another").await, Some(TokenError::Inactive));
}

#[tokio::test]
async fn after_failures_in_a_row_it_is_left_alone_and_then_tried() {
    let world = World::new();
    for kind in [
        LookupErrorKind::Connection,
        LookupErrorKind::Credentials,
        LookupErrorKind::Status,
        LookupErrorKind::Answer,
        LookupErrorKind::Busy,
        LookupErrorKind::Timeout,
    ] {
        world.book.fail(kind);
        let before = world.book.asked().len();
        for n in 0..3 * BREAKER_FAILURES {
            assert!(is_unavailable(&world.verify(&format!("failed-{}-{n}", kind.name())).await), "{kind:?}");
        }
        assert_eq!(world.book.asked().len() - before, BREAKER_FAILURES, "{kind:?}");
        let good = format!("good-{}", kind.name());
        world.book.say(&good, world.claims());
        let refused = world.verify(&good).await.unwrap_err();
        assert_eq!(refused.retry_after(), Some(BREAKER_PAUSE), "also of good ones it is not known");
        // One is tried, and it fails.
        world.clock.advance(BREAKER_PAUSE);
        assert!(is_unavailable(&world.verify(&good).await));
        assert!(is_unavailable(&world.verify("one-more-token").await));
        assert_eq!(world.book.asked().len() - before, BREAKER_FAILURES + 1, "{kind:?}");
        // And then it answers.
        world.book.fail(None);
        assert!(is_unavailable(&world.verify(&good).await));
        world.clock.advance(BREAKER_PAUSE);
        assert!(world.accepts(&good).await);
        let another = format!("answered-{}", kind.name());
        assert_eq!(world.fault(&another).await, Some(TokenError::Inactive));
        world.clock.advance(ACTIVE_FOR);
    }
}

/// Whatever an endpoint does with tokens that somebody has made up.
#[tokio::test]
async fn failures_of_strangers_hold_up_nobody_who_is_known() {
    let world = uncached();
    let known = |n: usize| format!("known-{n:06}");
    for n in 0..3 * BREAKER_FAILURES {
        world.book.say(&known(n), world.claims());
        assert!(world.accepts(&known(n)).await);
    }
    world.book.fail(LookupErrorKind::Credentials);
    for n in 0..3 * BREAKER_FAILURES {
        assert!(is_unavailable(&world.verify(&format!("provokes-{n}")).await));
    }
    world.book.fail(None);
    let held_up = world.verify("another-stranger").await.unwrap_err();
    assert_eq!(held_up.retry_after(), Some(BREAKER_PAUSE));
    assert!(world.accepts(&known(0)).await);
    assert_eq!(world.fault("another-stranger").await, Some(TokenError::Inactive), "it does answer");
    // When it is really down, it is not asked by all who are known in turn.
    world.book.fail(LookupErrorKind::Connection);
    let before = world.book.asked().len();
    for n in 0..3 * BREAKER_FAILURES {
        assert!(is_unavailable(&world.verify(&known(n)).await));
        assert!(is_unavailable(&world.verify(&format!("one-more-{n}")).await));
    }
    // Those of strangers count for themselves alone.
    let strangers = world.book.asked()[before..].iter().filter(|token| token.starts_with("one-more")).count();
    assert_eq!(world.book.asked().len() - before - strangers, BREAKER_FAILURES);
    assert!(strangers < BREAKER_FAILURES);
}

#[tokio::test]
async fn a_token_that_the_endpoint_dislikes_is_no_outage() {
    let world = World::new();
    world.book.fail(LookupErrorKind::Rejected);
    for n in 0..3 * BREAKER_FAILURES {
        assert!(is_unavailable(&world.verify(&format!("disliked-{n}")).await));
    }
    world.book.fail(None);
    assert!(world.accepts(OPAQUE).await);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_costs_three_seconds() {
    let world = World::new();
    world.book.hang("");
    let begun = tokio::time::Instant::now();
    assert!(is_unavailable(&world.verify(OPAQUE).await));
    assert_eq!(begun.elapsed().as_secs(), LOOKUP_TIMEOUT.as_secs());
    settle().await;
    world.book.hang(None);
    assert!(world.accepts(OPAQUE).await);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_it() {
    let world = World::new();
    world.book.hang("");
    let (gone, stays) = (world.begins(OPAQUE), world.begins(OPAQUE));
    settle().await;
    gone.abort();
    settle().await;
    world.book.hang(None);
    assert!(stays.await.unwrap().is_ok());
    assert_eq!(world.book.asked().len(), 1);
}

#[test]
fn a_runtime_that_ends_leaves_nobody_behind() {
    let world = World::new();
    world.book.hang("");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ending = runtime();
    ending.block_on(async {
        // 300 look-ups: 48 run, the others wait for their turn.
        (0..300).for_each(|n| drop(world.begins(format!("token-{n:06}"))));
        drop(world.begins(OPAQUE));
        settle().await;
    });
    let waiting = {
        let api = world.api.clone();
        std::thread::spawn(move || {
            block_on(async move { (api.verify("token-000000").await, api.verify(OPAQUE).await) })
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    drop(ending);
    world.book.hang(None);
    let (one, _) = waiting.join().unwrap();
    assert!(is_unavailable(&one) || one.is_err());
    // All places are free again.
    assert!(block_on(world.accepts(OPAQUE)));
    assert_eq!(block_on(world.fault("token-000001")), Some(TokenError::Inactive));
}

#[test]
fn without_a_runtime_it_is_503() {
    let world = World::new();
    let mut verified = std::pin::pin!(world.api.verify(OPAQUE));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(refused) = verified.as_mut().poll(&mut context) else { panic!("it waits") };
    assert!(is_unavailable(&refused));
    assert!(block_on(world.accepts(OPAQUE)));
}

#[tokio::test]
async fn one_that_panics_is_one_that_fails() {
    let world = World::new();
    world.book.panic(true);
    for n in 0..2 * MAX_LOOKUPS {
        assert!(is_unavailable(&world.verify(&format!("panics-{n}")).await));
    }
    world.book.panic(false);
    assert!(world.accepts(OPAQUE).await);
}

/// A second panic while the first one unwinds would end the process.
#[tokio::test]
async fn an_observer_is_not_told_of_one_that_panics() {
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let observer = {
        let panics = panics.clone();
        move |event: &Event<'_>| {
            let is_failure = matches!(event, Event::LookupFailed { .. });
            assert!(!(is_failure && panics.load(std::sync::atomic::Ordering::Relaxed)), "told to panic");
        }
    };
    let world = World::with(|issuer| issuer, |builder| builder.observer(observer));
    assert!(world.accepts(OPAQUE).await);
    panics.store(true, std::sync::atomic::Ordering::Relaxed);
    world.book.panic(true);
    assert!(is_unavailable(&world.verify("panics-twice").await));
    world.book.panic(false);
    assert_eq!(world.fault("another-token").await, Some(TokenError::Inactive));
}

#[tokio::test]
async fn what_happens_is_told_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let told = told.clone();
        move |event: &Event<'_>| {
            let line = match *event {
                Event::LookedUp { issuer, active, .. } => format!("{issuer} active={active}"),
                Event::LookupFailed { issuer, kind, .. } => format!("{issuer} {}", kind.name()),
                Event::Accepted { cached, .. } => format!("accepted cached={cached}"),
                Event::Refused { kind, token_error, .. } => {
                    format!("{} {:?}", kind.name(), token_error.map(TokenError::name))
                }
                Event::Waiting { .. } => "waiting".to_owned(),
                Event::Waited { .. } => "waited".to_owned(),
                _ => return,
            };
            told.lock().unwrap().push(line);
        }
    };
    let world = World::with(|issuer| issuer, |builder| builder.observer(observer));
    let take = || std::mem::take(&mut *told.lock().unwrap());
    assert!(world.accepts(OPAQUE).await && world.accepts(OPAQUE).await);
    assert_eq!(
        take(),
        ["waiting", "book active=true", "waited", "accepted cached=false", "accepted cached=true"]
    );
    assert!(!world.accepts("made-up-token").await && !world.accepts("made-up-token").await);
    let inactive = "invalid_token Some(\"inactive\")";
    assert_eq!(take(), ["waiting", "book active=false", "waited", inactive, inactive]);
    world.book.fail(LookupErrorKind::Credentials);
    assert!(!world.accepts("another-token").await);
    assert_eq!(take(), ["waiting", "book credentials", "waited", "unavailable None"]);
}

#[test]
fn a_failure_is_logged_as_a_warning_once_in_a_while_and_says_nothing_of_the_token() {
    let log = captured(async || {
        let world = World::new();
        world.book.fail(LookupErrorKind::Status);
        let auth = BearerAuthLayer::new(world.api.clone());
        for n in 0..3 {
            let refused = send(&app(&auth), bearer(&format!("a-token-nobody-sees-{n}"))).await;
            assert_eq!(refused.status(), 503);
            assert!(refused.headers().contains_key("retry-after"));
            assert!(!refused.headers().contains_key("www-authenticate"));
        }
        world.clock.advance(seconds(1));
    });
    let lines: Vec<_> = log.lines().filter(|line| line.contains("tower_bearer::lookup")).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("WARN")).count(), 1, "{log}");
    assert_eq!(lines.len(), 3, "{log}");
    assert!(!log.contains("nobody-sees"), "{log}");
}
