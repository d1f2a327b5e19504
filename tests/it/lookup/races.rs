//! Requests that are asked about, and answered, while others are: of two answers the later one counts.

use std::pin::pin;

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::json;
use tower_bearer::manual::defaults::LIVE_ANSWER_FOR;
use tower_bearer::{BearerAuthLayer, TokenError};

use super::{OPAQUE, World};
use crate::support::{app, bearer, status};

/// Whatever was started goes on until it waits for the book.
pub(super) async fn everything_else_goes_on() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// The request that was answered first goes on when the other has asked.
#[tokio::test]
async fn an_older_answer_does_not_stand_in_for_a_newer_one() {
    for (revoked, fault) in [(true, TokenError::Inactive), (false, TokenError::Audience)] {
        let world = World::new();
        let (mut early, mut late) = (pin!(world.verify(OPAQUE)), pin!(world.verify(OPAQUE)));
        assert!(early.as_mut().now_or_never().is_none());
        everything_else_goes_on().await;
        world.clock.advance(LIVE_ANSWER_FOR);
        world.book.hang(&OPAQUE[..2]);
        assert!(late.as_mut().now_or_never().is_none());
        everything_else_goes_on().await;
        assert_eq!(world.book.asked_about(OPAQUE), 2);
        assert!(early.await.is_ok(), "it was told so");
        if revoked {
            world.book.revoke(OPAQUE);
        } else {
            let mut claims = world.claims();
            claims["aud"] = json!("https://other.example.com");
            world.book.say(OPAQUE, claims);
        }
        world.book.hang(None);
        let refused = late.await.map(|_| ()).unwrap_err();
        assert_eq!(refused.token_error(), Some(fault), "it was told so, too");
        assert_eq!(world.fault(OPAQUE).await, Some(fault), "and everybody else afterwards");
    }
}

#[tokio::test]
async fn a_token_is_forgotten_also_if_nobody_waits_for_the_answer_any_more() {
    let world = World::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    let (live, others) = (app(&auth.live()), app(&auth));
    for app in [&live, &others] {
        assert_eq!(status(app, bearer(OPAQUE)).await, StatusCode::OK);
    }
    world.clock.advance(LIVE_ANSWER_FOR);
    world.book.revoke(OPAQUE);
    world.book.hang(&OPAQUE[..2]);
    let asked = world.book.asked_about(OPAQUE);
    {
        let mut asking = pin!(status(&live, bearer(OPAQUE)));
        assert!(asking.as_mut().now_or_never().is_none());
        everything_else_goes_on().await;
        assert_eq!(world.book.asked_about(OPAQUE), asked + 1);
    }
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK, "nobody knows yet");
    world.book.hang(None);
    everything_else_goes_on().await;
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.book.asked_about(OPAQUE), asked + 1, "that was the answer");
}

/// The one that was told that the token is good goes on when it has been revoked, and somebody has heard of it.
#[tokio::test]
async fn an_older_answer_does_not_help_against_a_refusal() {
    for revoked in [false, true] {
        let world = World::new();
        let mut early = pin!(world.verify(OPAQUE));
        assert!(early.as_mut().now_or_never().is_none());
        everything_else_goes_on().await;
        world.clock.advance(LIVE_ANSWER_FOR);
        if revoked {
            world.book.revoke(OPAQUE);
        }
        let expected = revoked.then_some(TokenError::Inactive);
        assert_eq!(world.fault(OPAQUE).await, expected);
        assert_eq!(world.book.asked_about(OPAQUE), 2);
        assert_eq!(early.await.err().map(|refused| refused.token_error()), revoked.then_some(expected));
    }
}

/// Both are good, and the one that asked first goes on last.
#[tokio::test]
async fn an_older_answer_does_not_take_a_newer_ones_place() {
    let world = World::new();
    let mut early = pin!(world.verify(OPAQUE));
    assert!(early.as_mut().now_or_never().is_none());
    everything_else_goes_on().await;
    world.clock.advance(LIVE_ANSWER_FOR);
    let mut claims = world.claims();
    claims["scope"] = json!("a");
    world.book.say(OPAQUE, claims);
    assert!(!world.verify(OPAQUE).await.unwrap().has_scope("b"));
    assert_eq!(world.book.asked_about(OPAQUE), 2);
    assert!(early.await.unwrap().has_scope("b"), "it was told so");
    assert!(!world.verify(OPAQUE).await.unwrap().has_scope("b"), "everybody else was told otherwise");
    assert_eq!(world.book.asked_about(OPAQUE), 2);
}

/// Also what a thread keeps for itself of a token in constant use.
#[tokio::test]
async fn what_a_live_route_hears_counts_on_all_routes() {
    /// As long as those that a thread keeps.
    const TOKEN: &str = "an-opaque-token-of-a-usual-length";
    let world = World::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    let (live, others) = (app(&auth.live()), app(&auth.scopes(["b"])));
    world.book.say(TOKEN, world.claims());
    for _ in 0..10 {
        assert_eq!(status(&others, bearer(TOKEN)).await, StatusCode::OK);
    }
    let mut claims = world.claims();
    claims["scope"] = json!("a");
    world.book.say(TOKEN, claims);
    world.clock.advance(LIVE_ANSWER_FOR);
    assert_eq!(status(&live, bearer(TOKEN)).await, StatusCode::OK);
    assert_eq!(status(&others, bearer(TOKEN)).await, StatusCode::FORBIDDEN);
    assert_eq!(world.book.asked_about(TOKEN), 2);
}
