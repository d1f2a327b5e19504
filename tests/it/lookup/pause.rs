//! An endpoint that asks for a pause, and what operators see of its state.

use std::time::Duration;

use serde_json::json;
use tower_bearer::manual::defaults::{BREAKER_FAILURES, BREAKER_PAUSE, MAX_LOOKUP_RETRY_AFTER};
use tower_bearer::testing::Idp;
use tower_bearer::{
    Clock, LookupErrorKind, LookupHealth, LookupState, ResourceServer, ResourceServerBuilder, TokenError,
};

use super::{OPAQUE, World, is_unavailable};
use crate::support::{API, ISSUER, seconds};

const PAUSE: Duration = Duration::from_secs(30);

fn uncached() -> World {
    World::with(|issuer| issuer, ResourceServerBuilder::without_cache)
}

impl World {
    /// After what time whoever sends this may come again.
    async fn pause(&self, token: &str) -> Option<Duration> {
        self.verify(token).await.unwrap_err().retry_after()
    }

    fn lookups(&self) -> LookupHealth {
        self.api.health().issuers().next().unwrap().lookups().unwrap().clone()
    }

    /// Of those who are known, and of strangers.
    fn states(&self) -> (LookupState, LookupState) {
        (self.lookups().known(), self.lookups().strangers())
    }
}

/// A rate limit is reached by made-up tokens, and holds up made-up tokens.
#[tokio::test]
async fn a_pause_that_a_stranger_is_told_is_for_strangers() {
    for kind in [LookupErrorKind::Busy, LookupErrorKind::Status] {
        let world = uncached();
        assert!(world.accepts(OPAQUE).await);
        world.book.ask_for_a_pause(kind, PAUSE);
        assert_eq!(world.pause("made-up-token").await, Some(PAUSE));
        world.book.fail(None);
        let asked = world.book.asked().len();
        assert_eq!(world.pause("another-made-up-token").await, Some(PAUSE));
        assert_eq!(world.book.asked().len(), asked);
        // Who is known is served, and that does not let the others in.
        assert!(world.accepts(OPAQUE).await);
        world.clock.advance(PAUSE - seconds(1));
        assert_eq!(world.pause("made-up-token").await, Some(seconds(1)));
        world.clock.advance(seconds(1));
        assert_eq!(world.fault("made-up-token").await, Some(TokenError::Inactive));
    }
}

#[tokio::test]
async fn a_pause_that_somebody_known_is_told_is_for_all() {
    let world = uncached();
    world.book.say("another-known-token", world.claims());
    assert!(world.accepts(OPAQUE).await && world.accepts("another-known-token").await);
    world.book.ask_for_a_pause(LookupErrorKind::Busy, PAUSE);
    assert_eq!(world.pause(OPAQUE).await, Some(PAUSE));
    world.book.fail(None);
    let asked = world.book.asked().len();
    for token in [OPAQUE, "another-known-token", "made-up-token"] {
        assert_eq!(world.pause(token).await, Some(PAUSE));
    }
    assert_eq!(world.book.asked().len(), asked);
    // Then one goes first; if it is told so again, it is for as long again.
    world.clock.advance(PAUSE);
    world.book.ask_for_a_pause(LookupErrorKind::Busy, Duration::MAX);
    assert_eq!(world.pause(OPAQUE).await, Some(MAX_LOOKUP_RETRY_AFTER));
    world.book.fail(None);
    world.clock.advance(MAX_LOOKUP_RETRY_AFTER);
    assert!(world.accepts("another-known-token").await && world.accepts(OPAQUE).await);
    assert_eq!(world.fault("made-up-token").await, Some(TokenError::Inactive));
}

/// An odd token is no reason for a pause, whatever comes with it.
#[tokio::test]
async fn what_is_about_one_token_is_no_pause() {
    let world = uncached();
    world.book.ask_for_a_pause(LookupErrorKind::Rejected, PAUSE);
    assert!(is_unavailable(&world.verify("disliked-token").await));
    world.book.fail(None);
    assert!(world.accepts(OPAQUE).await);
}

#[tokio::test]
async fn the_state_of_look_ups() {
    use LookupState::{Answering, Failing};
    let world = uncached();
    let known = |n: usize| format!("known-{n:06}");
    assert_eq!(world.states(), (Answering, Answering));
    assert_eq!((world.lookups().last_success(), world.lookups().last_error()), (None, None));
    for n in 0..BREAKER_FAILURES {
        world.book.say(&known(n), world.claims());
        assert!(world.accepts(&known(n)).await);
    }
    let answered_at = world.clock.now();
    assert_eq!(world.lookups().last_success(), Some(answered_at));
    // Strangers alone.
    world.clock.advance(seconds(7));
    world.book.fail(LookupErrorKind::Status);
    for n in 0..BREAKER_FAILURES {
        assert_eq!(world.states(), (Answering, Answering));
        assert!(is_unavailable(&world.verify(&format!("made-up-{n}")).await));
    }
    assert_eq!(world.states(), (Answering, Failing));
    assert!(world.api.is_ready());
    // And those who are known.
    world.book.fail(LookupErrorKind::Credentials);
    for n in 0..BREAKER_FAILURES {
        assert!(is_unavailable(&world.verify(&known(n)).await));
    }
    assert_eq!(world.states(), (Failing, Failing));
    assert_eq!(world.lookups().last_success(), Some(answered_at));
    let failed_at = world.clock.now();
    assert_eq!(world.lookups().last_error(), Some((failed_at, LookupErrorKind::Credentials)));
    assert!(world.api.is_ready(), "it does not depend on what clients send");
    // It is so until there is an answer, and not only for as long as nobody is asked.
    world.clock.advance(BREAKER_PAUSE * 2);
    assert_eq!(world.states(), (Failing, Failing));
    let at = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let health = world.api.health().to_json();
    assert_eq!(
        health["issuers"][0]["lookups"],
        json!({
            "known": "failing", "strangers": "failing", "last_success": at(answered_at),
            "last_error": {"at": at(failed_at), "kind": "credentials"},
        })
    );
    world.book.fail(None);
    assert!(world.accepts(&known(0)).await);
    assert_eq!(world.states(), (Answering, Answering));
    assert_eq!(world.lookups().last_success(), Some(world.clock.now()));
    assert_eq!(world.lookups().last_error(), Some((failed_at, LookupErrorKind::Credentials)));
}

#[tokio::test]
async fn a_pause_is_a_state_of_failing() {
    let world = uncached();
    assert!(world.accepts(OPAQUE).await);
    world.book.ask_for_a_pause(LookupErrorKind::Busy, PAUSE);
    assert!(is_unavailable(&world.verify("made-up-token").await));
    assert_eq!(world.states(), (LookupState::Answering, LookupState::Failing));
    assert!(is_unavailable(&world.verify(OPAQUE).await));
    assert_eq!(world.states(), (LookupState::Failing, LookupState::Failing));
}

#[test]
fn without_look_ups_nothing_is_said_of_them() {
    let api: ResourceServer = Idp::new(ISSUER).resource_server(API);
    assert!(api.health().issuers().next().unwrap().lookups().is_none());
    assert!(api.health().to_json()["issuers"][0].get("lookups").is_none());
}
