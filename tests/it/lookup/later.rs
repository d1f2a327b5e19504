//! What is remembered of a token, wherever and by whomever, ends with the later answer about it.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{KNOWN_FOR, LIVE_ANSWER_FOR, MAX_KNOWN, REFUSED_FOR};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{BearerAuthLayer, Clock, Issuer, ResourceServer, Token};

use super::races::everything_else_goes_on;
use super::{Book, OPAQUE, World};
use crate::support::{API, ISSUER, app, bearer, seconds, status};

/// As long as those that a thread keeps.
const TOKEN: &str = "an-opaque-token-of-a-usual-length";

impl World {
    /// A server that remembers few tokens, and one more for each thread that it comes to often.
    fn small() -> Self {
        Self::with(|issuer| issuer, |builder| builder.cache_capacity(16, 1 << 20))
    }

    /// What is said of a token with this scope, for some hours.
    fn lasting(&self, scope: &str) -> Value {
        let mut claims = self.claims();
        claims["exp"] = json!(self.at(10_000));
        claims["scope"] = json!(scope);
        claims
    }

    /// So many others come, each once.
    async fn others_come(&self, count: usize) {
        for number in 0..count {
            let other = format!("another-opaque-token-{number:08}");
            self.book.say(&other, self.lasting("a b"));
            assert!(self.accepts(&other).await);
        }
    }

    /// A JWT that names no issuer: what is said of it is remembered for those who have asked the same issuers.
    fn unnamed_jwt(&self) -> String {
        let idp = Idp::new(ISSUER).clock(self.clock.clone());
        let jwt = idp.token(API).without_claim("iss").expires_in(seconds(10_000)).sign();
        self.book.say(&jwt, self.lasting("a b"));
        jwt
    }
}

/// One layer asks while another remembers.
#[tokio::test]
async fn a_token_is_forgotten_also_if_it_is_not_known_any_more() {
    for others in [0, MAX_KNOWN] {
        let world = World::new();
        let jwt = world.unnamed_jwt();
        let auth = BearerAuthLayer::new(world.api.clone());
        let (all, one) = (app(&auth), app(&auth.issuers(["book"])));
        assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::OK);
        if others == 0 {
            world.clock.advance(KNOWN_FOR - seconds(10));
            assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::OK);
            world.clock.advance(seconds(10));
        } else {
            world.others_come(others / 2).await;
            assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::OK);
            world.others_come(others).await;
            world.clock.advance(LIVE_ANSWER_FOR);
        }
        assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::OK);
        let asked = world.book.asked_about(&jwt);
        world.book.revoke(&jwt);
        assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::OK, "nobody knows yet");
        assert_eq!(status(&one, bearer(&jwt)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(world.book.asked_about(&jwt), asked + 1);
        assert_eq!(status(&all, bearer(&jwt)).await, StatusCode::UNAUTHORIZED, "{others}");
    }
}

#[test]
fn no_copy_of_a_thread_outlives_a_token_that_is_not_known_any_more() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::small();
    world.book.say(TOKEN, world.lasting("a b"));
    runtime().block_on(async {
        assert!(world.accepts(TOKEN).await);
        world.clock.advance(KNOWN_FOR - seconds(10));
        for _ in 0..10 {
            assert!(world.accepts(TOKEN).await);
        }
        world.others_come(200).await;
    });
    assert_eq!(world.book.asked_about(TOKEN), 2);
    world.clock.advance(seconds(10));
    world.book.revoke(TOKEN);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(!runtime().block_on(world.accepts(TOKEN))));
    });
    assert!(!runtime().block_on(world.accepts(TOKEN)), "it was this thread's");
    assert_eq!(world.book.asked_about(TOKEN), 3);
}

/// Also if what it was copied from was pushed out before.
#[tokio::test]
async fn no_copy_of_a_thread_outlives_a_later_answer() {
    for others_come in [0, 200] {
        let world = World::small();
        let auth = BearerAuthLayer::new(world.api.clone());
        let (live, others) = (app(&auth.live()), app(&auth.scopes(["b"])));
        world.book.say(TOKEN, world.lasting("a b"));
        for _ in 0..10 {
            assert_eq!(status(&others, bearer(TOKEN)).await, StatusCode::OK);
        }
        world.others_come(others_come).await;
        world.book.say(TOKEN, world.lasting("a"));
        world.clock.advance(LIVE_ANSWER_FOR);
        assert_eq!(status(&live, bearer(TOKEN)).await, StatusCode::OK);
        for _ in 0..100 {
            assert_eq!(status(&others, bearer(TOKEN)).await, StatusCode::FORBIDDEN, "{others_come}");
        }
    }
}

/// It is over already, and good within the leeway.
#[tokio::test]
async fn an_answer_that_is_not_remembered_ends_an_older_one() {
    let world = World::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    let (live, others) = (app(&auth.live()), app(&auth.scopes(["b"])));
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK);
    let mut claims = world.claims();
    claims["scope"] = json!("a");
    claims["exp"] = json!(world.at(0));
    world.book.say(OPAQUE, claims);
    world.clock.advance(LIVE_ANSWER_FOR);
    assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::FORBIDDEN);
}

/// Nobody knows any more whether there was a later one.
#[tokio::test]
async fn an_answer_that_comes_too_late_to_be_remembered_ends_an_older_one() {
    let world = World::new();
    let auth = BearerAuthLayer::new(world.api.clone());
    let (live, others) = (app(&auth.live()), app(&auth.scopes(["b"])));
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK);
    let mut claims = world.claims();
    claims["scope"] = json!("a");
    world.book.say(OPAQUE, claims);
    world.clock.advance(LIVE_ANSWER_FOR);
    let mut late = pin!(status(&live, bearer(OPAQUE)));
    assert!(late.as_mut().now_or_never().is_none());
    everything_else_goes_on().await;
    world.clock.advance(REFUSED_FOR);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::OK, "nobody has been told yet");
    assert_eq!(late.await, StatusCode::OK);
    assert_eq!(status(&others, bearer(OPAQUE)).await, StatusCode::FORBIDDEN);
}

/// It goes on when it is not remembered any more that the token was refused.
#[tokio::test]
async fn an_older_answer_is_not_remembered_however_late_it_is() {
    let world = World::new();
    let mut early = pin!(world.verify(OPAQUE));
    assert!(early.as_mut().now_or_never().is_none());
    everything_else_goes_on().await;
    world.clock.advance(LIVE_ANSWER_FOR);
    world.book.revoke(OPAQUE);
    assert!(!world.accepts(OPAQUE).await);
    world.clock.advance(REFUSED_FOR);
    assert!(early.await.is_ok(), "it was told so");
    assert!(!world.accepts(OPAQUE).await, "everybody else was told otherwise");
}

/// A clock at which, when it is looked at, something else happens.
#[derive(Clone)]
struct Interrupted(ManualClock, Arc<Mutex<Option<Interruption>>>);

/// After so many looks.
type Interruption = (usize, Box<dyn FnOnce() + Send>);

impl Clock for Interrupted {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn instant(&self) -> Instant {
        let now = {
            let mut planned = self.1.lock().unwrap();
            match &mut *planned {
                Some((0, _)) => planned.take(),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, happens)) = now {
            happens();
        }
        self.0.instant()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep_until(at)
    }
}

/// Two requests go on at the same time, each with an answer of its own.
#[tokio::test]
async fn at_no_moment_does_an_older_answer_take_a_newer_ones_place() {
    let said =
        |scope: &str| json!({"aud": API, "client_id": "robot", "scope": scope, "exp": 99_999_999_999_i64});
    for moment in 0.. {
        let (manual, book) = (ManualClock::new(), Book::new());
        let clock = Interrupted(manual.clone(), Arc::default());
        let issuer = Issuer::unnamed("book").lookup(book.clone());
        let api = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
        let verify = || {
            let api = api.clone();
            let mut request = Box::pin(async move { api.verify(OPAQUE).await });
            assert!(request.as_mut().now_or_never().is_none());
            request
        };
        let has_b = |token: &Token| token.has_scope("b");
        book.say(OPAQUE, said("a b"));
        let early = verify();
        everything_else_goes_on().await;
        manual.advance(LIVE_ANSWER_FOR);
        book.say(OPAQUE, said("a"));
        let late = verify();
        everything_else_goes_on().await;
        let goes_on = move || assert!(!has_b(&late.now_or_never().unwrap().unwrap()));
        *clock.1.lock().unwrap() = Some((moment, Box::new(goes_on)));
        assert!(has_b(&early.now_or_never().unwrap().unwrap()) || moment == 0, "it was told so");
        let left = clock.1.lock().unwrap().take();
        if left.is_some() {
            assert!(moment > 3, "it was interrupted at {moment} moments only");
            break;
        }
        assert_eq!(book.asked_about(OPAQUE), 2);
        assert!(!has_b(&api.verify(OPAQUE).await.unwrap()), "at moment {moment}");
    }
}
