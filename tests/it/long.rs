//! Answers that last longer than the token they were begun with.

use std::time::Duration;

use tower_bearer::manual::defaults::DEFAULT_LEEWAY;
use tower_bearer::testing::ManualClock;
use tower_bearer::{RejectionKind, SystemClock, TokenError};

use crate::support::{API, World, seconds, server};

/// Whether it is done without the time moving on.
async fn done(future: &mut (impl Future + Unpin)) -> bool {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::select! {
        biased;
        _ = future => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test]
async fn a_token_expires_when_a_new_request_with_it_would_be_refused() {
    let world = World::new();
    let raw = world.token().expires_in(seconds(300)).sign();
    let token = world.api.verify(&raw).await.unwrap();
    let waiting = token.clone();
    let mut expired = std::pin::pin!(waiting.expired());

    world.clock.advance(seconds(300));
    assert!(!done(&mut expired).await, "the leeway counts");
    assert!(world.api.verify(&raw).await.is_ok());
    world.clock.advance(DEFAULT_LEEWAY - seconds(1));
    assert!(!done(&mut expired).await);
    assert!(world.api.verify(&raw).await.is_ok());
    world.clock.advance(seconds(1));
    let why = expired.await;
    assert_eq!((why.kind(), why.token_error()), (RejectionKind::InvalidToken, Some(TokenError::Expired)));
    assert_eq!(why.token_error(), world.api.verify(&raw).await.unwrap_err().token_error());
    assert_eq!(why.challenge(), world.api.verify(&raw).await.unwrap_err().challenge());
    // At once for one that is over.
    assert_eq!(token.expired().await.kind(), RejectionKind::InvalidToken);
}

/// The wall clock decides, as it does for requests: when it is set, the end moves with it within a minute.
#[tokio::test]
async fn a_wall_clock_that_is_set_moves_the_end() {
    let world = World::new();
    let token = world.api.verify(&world.token().expires_in(seconds(300)).sign()).await.unwrap();
    let mut expired = std::pin::pin!(token.expired());
    assert!(!done(&mut expired).await);
    world.clock.set_time_of_day(token.expires_at().unwrap() + DEFAULT_LEEWAY);
    world.clock.advance(seconds(60));
    assert_eq!(expired.await.token_error(), Some(TokenError::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_never_ends_keeps_nobody_busy() {
    let clock = ManualClock::new();
    let idp = tower_bearer::testing::Idp::new(crate::support::ISSUER).clock(clock.clone());
    let api = server(&clock, [idp.issuer()]);
    let token = api.verify(&idp.token(API).claim("exp", 9_000_000_000_000_i64).sign()).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(3600), token.expired()).await;
    assert!(waited.is_err());
}

/// With the machine's own clocks, by a tokio timer.
#[tokio::test]
async fn the_system_clock_sleeps_too() {
    use tower_bearer::Clock;
    let (clock, before) = (SystemClock::default(), std::time::Instant::now());
    clock.sleep_until(before + Duration::from_millis(30)).await;
    assert!(before.elapsed() >= Duration::from_millis(30));
}
