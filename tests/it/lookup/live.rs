//! Routes that take a token's issuer at its word of now.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::routing::get;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tower_bearer::manual::defaults::{BREAKER_FAILURES, BREAKER_PAUSE, LIVE_ANSWER_FOR, REFUSED_FOR};
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{
    BearerAuthLayer, Clock, Denial, Event, Fetch, FetchFuture, FetchRequest, FetchResponse, Issuer, Keys,
    LookupErrorKind, MethodAccess, RejectionKind, ResourceServer, ResourceServerBuilder, TokenError,
};

use super::{Book, OPAQUE};
use crate::leaks::captured;
use crate::support::{API, ISSUER, app, bearer, challenge, rejection, request, seconds, send, status, who};

/// An issuer of both kinds, whose JWTs are verified here, and a server with a route of each kind.
struct World {
    clock: ManualClock,
    idp: Idp,
    book: Book,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(configure: impl FnOnce(ResourceServerBuilder) -> ResourceServerBuilder) -> Self {
        let (clock, book) = (ManualClock::new(), Book::new());
        let idp = Idp::new(ISSUER).clock(clock.clone());
        let issuer = idp.issuer().lookup(book.clone()).keys(Keys::discovery());
        let builder = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer);
        Self { clock, idp, book, api: configure(builder).build().unwrap() }
    }

    fn auth(&self) -> BearerAuthLayer {
        BearerAuthLayer::new(self.api.clone())
    }

    fn live(&self) -> Router {
        app(&self.auth().live())
    }

    fn others(&self) -> Router {
        app(&self.auth())
    }

    fn token(&self) -> TokenBuilder {
        self.idp.token(API).client("robot").expires_in(seconds(10_000))
    }

    /// A JWT of which its issuer says that it is active.
    fn active(&self) -> String {
        self.says(json!({"active": true}))
    }

    /// A JWT of which its issuer says this.
    fn says(&self, claims: Value) -> String {
        let jwt = self.token().sign();
        self.book.say(&jwt, claims);
        jwt
    }

    /// A moment in which no answer counts any more.
    fn a_moment_passes(&self) {
        self.clock.advance(LIVE_ANSWER_FOR);
    }
}

async fn fault(app: &Router, token: &str) -> Option<TokenError> {
    let response = send(app, bearer(token)).await;
    (response.status() != StatusCode::OK).then(|| rejection(&response).token_error().expect("a bad token"))
}

async fn body(app: &Router, token: &str) -> String {
    let response = send(app, bearer(token)).await;
    assert_eq!(response.status(), StatusCode::OK);
    String::from_utf8(to_bytes(response.into_body(), 1000).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_revoked_jwt_is_refused_at_once_where_it_matters() {
    for world in [World::new(), World::with(ResourceServerBuilder::without_cache)] {
        let (live, others, jwt) = (world.live(), world.others(), world.active());
        // Also the first request of all, which waits for the keys first.
        assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
        assert_eq!(status(&others, bearer(&jwt)).await, StatusCode::OK);
        assert_eq!(world.book.asked(), [&*jwt]);
        world.a_moment_passes();
        assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
        world.a_moment_passes();
        world.book.revoke(&jwt);
        let refused = send(&live, bearer(&jwt)).await;
        assert_eq!(rejection(&refused).token_error(), Some(TokenError::Inactive));
        assert_eq!(rejection(&refused).issuer_name(), Some(ISSUER));
        assert!(challenge(&refused).unwrap().contains("error=\"invalid_token\""));
        // As the page says.
        assert_eq!(status(&others, bearer(&jwt)).await, StatusCode::OK);
        // Not asked again so soon, and then it is.
        let asked = world.book.asked().len();
        world.clock.advance(REFUSED_FOR - seconds(1));
        assert_eq!(fault(&live, &jwt).await, Some(TokenError::Inactive));
        assert_eq!(world.book.asked().len(), asked);
        world.clock.advance(seconds(1));
        assert_eq!(fault(&live, &jwt).await, Some(TokenError::Inactive));
        assert_eq!(world.book.asked().len(), asked + 1);
    }
}

#[tokio::test]
async fn what_is_remembered_does_not_count() {
    let world = World::new();
    let (live, jwt) = (world.live(), world.active());
    for n in 1..=5 {
        for _ in 0..3 {
            assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
        }
        assert_eq!(world.book.asked().len(), n, "for a moment one answer counts");
        world.a_moment_passes();
    }
    let uncached = World::with(ResourceServerBuilder::without_cache);
    let (live, jwt) = (uncached.live(), uncached.active());
    for n in 1..=3 {
        assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
        assert_eq!(uncached.book.asked().len(), n);
    }
}

#[tokio::test]
async fn a_hundred_at_the_same_moment_share_one_call() {
    for world in [World::new(), World::with(ResourceServerBuilder::without_cache)] {
        let (live, jwt) = (world.live(), world.active());
        assert_eq!(status(&world.others(), bearer(&jwt)).await, StatusCode::OK);
        world.book.hang("ey");
        let waits: Vec<_> = (0..100)
            .map(|_| {
                let (live, request) = (live.clone(), bearer(&jwt));
                tokio::spawn(async move { status(&live, request).await })
            })
            .collect();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        world.book.hang(None);
        for wait in waits {
            assert_eq!(wait.await.unwrap(), StatusCode::OK);
        }
        assert_eq!(world.book.asked(), [jwt]);
    }
}

/// Whoever would be refused anyway costs nobody a call.
#[tokio::test]
async fn everything_else_comes_first() {
    let world = World::new();
    let live = world.auth().scopes(["pay"]).max_age(seconds(600)).live();
    let say = |token: &TokenBuilder| {
        let token = token.sign();
        world.book.say(&token, json!({"active": true, "scope": "pay"}));
        token
    };
    let good = || world.token().scopes(["pay"]).claim("sub", "somebody");
    assert_eq!(status(&app(&live), bearer(&say(&good()))).await, StatusCode::OK);
    let denied = say(&good().claim("jti", "denied"));
    assert_eq!(status(&app(&live), bearer(&denied)).await, StatusCode::OK);
    world.a_moment_passes();
    let asked = world.book.asked().len();
    world.api.deny(Denial::token(ISSUER, "denied")).await.unwrap();
    let now =
        i64::try_from(world.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for (token, kind, why) in [
        // Not even if the answer would give it the scope.
        (say(&good().scopes(["read"])), RejectionKind::InsufficientScope, None),
        (denied, RejectionKind::InvalidToken, Some(TokenError::Revoked)),
        (say(&good().claim("exp", now - 60)), RejectionKind::InvalidToken, Some(TokenError::Expired)),
        (say(&good().claim("iat", now - 700)), RejectionKind::InvalidToken, Some(TokenError::Time)),
        (
            say(&good().claim("aud", "https://other.example.com")),
            RejectionKind::InvalidToken,
            Some(TokenError::Audience),
        ),
        (say(&good().by_a_stranger()), RejectionKind::InvalidToken, Some(TokenError::Signature)),
        ("made-up".to_owned(), RejectionKind::InvalidToken, Some(TokenError::Structure)),
    ] {
        let refused = send(&app(&live), bearer(&token)).await;
        assert_eq!((rejection(&refused).kind(), rejection(&refused).token_error()), (kind, why));
        assert_eq!(world.book.asked().len(), asked, "{why:?}");
    }
}

#[tokio::test]
async fn outer_and_inner_layers() {
    let world = World::new();
    let (plain, live) = (world.auth(), world.auth().live());
    let inner = |layer: &BearerAuthLayer, outer: &BearerAuthLayer| {
        Router::new().route("/", get(who).layer(layer.clone())).layer(outer.clone())
    };
    for (app, calls) in [(inner(&live, &plain), 1), (inner(&plain, &live), 1), (inner(&live, &live), 1)] {
        let (jwt, before) = (world.active(), world.book.asked().len());
        for n in 1..=2 {
            assert_eq!(status(&app, bearer(&jwt)).await, StatusCode::OK);
            assert_eq!(world.book.asked().len() - before, n * calls);
            world.a_moment_passes();
        }
        world.book.revoke(&jwt);
        assert_eq!(fault(&app, &jwt).await, Some(TokenError::Inactive));
    }
}

#[tokio::test]
async fn it_holds_in_derived_layers_and_where_a_token_is_optional() {
    let world = World::new();
    let live = world.auth().live();
    let rules = || MethodAccess::deny().public("/a.Service/Open").method("/a.Service/Pay", ["pay"]);
    for (name, layer) in [
        ("scopes", live.scopes(["pay"])),
        ("issuers", live.issuers([ISSUER])),
        ("max_age", live.max_age(seconds(1000))),
        ("optional", live.optional()),
        ("said last", world.auth().scopes(["pay"]).optional().live()),
    ] {
        let jwt = world.token().scopes(["pay"]).sign();
        world.book.say(&jwt, json!({"active": true}));
        let app = Router::new().route("/", get(async || "")).layer(layer);
        assert_eq!(status(&app, bearer(&jwt)).await, StatusCode::OK, "{name}");
        world.a_moment_passes();
        world.book.revoke(&jwt);
        assert_eq!(fault(&app, &jwt).await, Some(TokenError::Inactive), "{name}");
        let is_optional = matches!(name, "optional" | "said last");
        assert_eq!(status(&app, request(&[])).await == StatusCode::OK, is_optional, "{name}");
    }
    for layer in [live.methods(rules()), world.auth().methods(rules()).live()] {
        let app = Router::new().fallback(async || "").layer(layer);
        let call = |method: &str, token: &str| {
            let mut request = bearer(token);
            *request.uri_mut() = format!("/a.Service/{method}").parse().unwrap();
            request
        };
        let jwt = world.token().scopes(["pay"]).sign();
        world.book.say(&jwt, json!({"active": true}));
        assert_eq!(status(&app, call("Pay", &jwt)).await, StatusCode::OK);
        world.a_moment_passes();
        world.book.revoke(&jwt);
        assert_eq!(status(&app, call("Pay", &jwt)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&app, call("Open", &jwt)).await, StatusCode::OK, "no token is looked at");
    }
}

/// An opaque token is what is said of it now, here and afterwards elsewhere.
#[tokio::test]
async fn of_an_opaque_token_the_fresh_answer_counts() {
    for world in [World::new(), World::with(ResourceServerBuilder::without_cache)] {
        let (live, others) = (app(&world.auth().scopes(["pay"]).live()), world.others());
        let say = |client: &str, scope: &str| {
            world.book.say(OPAQUE, json!({"aud": API, "client_id": client, "scope": scope}));
            world.a_moment_passes();
        };
        say("robot", "pay");
        assert_eq!(body(&live, OPAQUE).await, "robot");
        assert_eq!(world.book.asked(), [OPAQUE], "the first answer is fresh");
        say("another", "pay");
        assert_eq!(body(&live, OPAQUE).await, "another");
        assert_eq!(body(&others, OPAQUE).await, "another");
        say("another", "read");
        let refused = send(&live, bearer(OPAQUE)).await;
        assert_eq!(rejection(&refused).kind(), RejectionKind::InsufficientScope);
        world.clock.advance(seconds(60));
        say("another", "pay");
        assert_eq!(body(&live, OPAQUE).await, "another");
        // One that is for somebody else now.
        world.book.say(OPAQUE, json!({"aud": "https://other.example.com", "scope": "pay"}));
        world.a_moment_passes();
        assert_eq!(fault(&live, OPAQUE).await, Some(TokenError::Audience));
        assert_eq!(fault(&others, OPAQUE).await, Some(TokenError::Audience), "it is forgotten everywhere");
    }
}

#[tokio::test]
async fn whom_the_fresh_answer_names_may_be_denied() {
    let world = World::new();
    let live = world.live();
    world.api.deny(Denial::subject(ISSUER, "mallory")).await.unwrap();
    for (subject, expected) in [("alice", None), ("mallory", Some(TokenError::Revoked))] {
        world.book.say(OPAQUE, json!({"aud": API, "sub": subject}));
        world.a_moment_passes();
        assert_eq!(fault(&live, OPAQUE).await, expected, "{subject}");
    }
}

/// On every thread: each remembers what it is sent often.
#[test]
fn a_revoked_opaque_token_is_forgotten_on_all_routes() {
    /// As long as those that a thread keeps.
    const TOKEN: &str = "an-opaque-token-of-a-usual-length";
    let world = World::new();
    let (live, others) = (world.live(), world.others());
    world.book.say(TOKEN, json!({"aud": API, "client_id": "robot"}));
    let (known, revoked) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            crate::support::block_on(async {
                for _ in 0..10 {
                    assert_eq!(status(&others, bearer(TOKEN)).await, StatusCode::OK);
                }
                known.wait();
                revoked.wait();
                fault(&others, TOKEN).await
            })
        });
        known.wait();
        crate::support::block_on(async {
            assert_eq!(world.book.asked(), [TOKEN], "it is remembered");
            world.a_moment_passes();
            world.book.revoke(TOKEN);
            assert_eq!(fault(&live, TOKEN).await, Some(TokenError::Inactive));
        });
        revoked.wait();
        assert_eq!(thread.join().unwrap(), Some(TokenError::Inactive));
    });
    assert_eq!(world.book.asked().len(), 2);
}

#[tokio::test]
async fn an_outage_is_503_where_the_answer_is_needed() {
    let world = World::new();
    let (live, others, jwt) = (world.live(), world.others(), world.active());
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
    world.a_moment_passes();
    world.book.fail(LookupErrorKind::Connection);
    let refused = send(&live, bearer(&jwt)).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER) && !refused.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(rejection(&refused).kind(), RejectionKind::Unavailable);
    assert_eq!(status(&others, bearer(&jwt)).await, StatusCode::OK);
    world.book.fail(None);
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
}

/// Failures about those who have a good signature hold up all, those about made-up tokens hold up nobody who has one.
#[tokio::test]
async fn it_goes_by_the_breaker_of_those_who_are_known() {
    let world = World::new();
    let (live, others) = (world.live(), world.others());
    let [one, two] = [(); 2].map(|()| world.active());
    assert_eq!(status(&live, bearer(&one)).await, StatusCode::OK);
    world.a_moment_passes();
    world.book.fail(LookupErrorKind::Status);
    for n in 0..3 * BREAKER_FAILURES {
        let made_up = format!("made-up-token-{n}");
        assert_eq!(status(&others, bearer(&made_up)).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    world.book.fail(None);
    // Also one that is here for the first time.
    assert_eq!(status(&live, bearer(&two)).await, StatusCode::OK);
    assert_eq!(status(&live, bearer(&one)).await, StatusCode::OK);
    world.a_moment_passes();
    world.book.fail(LookupErrorKind::Status);
    let before = world.book.asked().len();
    for _ in 0..3 * BREAKER_FAILURES {
        let jwt = world.active();
        assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&others, bearer(&jwt)).await, StatusCode::OK);
    }
    assert_eq!(world.book.asked().len() - before, BREAKER_FAILURES);
    world.book.fail(None);
    let refused = send(&live, bearer(&one)).await;
    assert_eq!(rejection(&refused).retry_after(), Some(BREAKER_PAUSE));
    world.clock.advance(BREAKER_PAUSE);
    assert_eq!(status(&live, bearer(&one)).await, StatusCode::OK);
}

#[tokio::test]
async fn what_contradicts_the_token_is_a_reason_to_refuse_it() {
    let world = World::new();
    let (live, others) = (world.live(), world.others());
    let now =
        i64::try_from(world.clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let other = "https://other.example.com";
    for (name, fine, contradicts, fault_of) in [
        ("iss", json!(ISSUER), json!(other), TokenError::Issuer),
        ("iss", json!(ISSUER), json!(7), TokenError::Issuer),
        ("aud", json!([other, API]), json!([other]), TokenError::Audience),
        ("aud", json!(API), json!(null), TokenError::Audience),
        ("exp", json!(now - 50), json!(now - 70), TokenError::Expired),
        ("exp", json!(now + 1), json!("never"), TokenError::Time),
        ("nbf", json!(now + 50), json!(now + 100), TokenError::NotYetValid),
        ("iat", json!(now), json!(now + 100), TokenError::Time),
        ("sub", json!("somebody"), json!("somebody else"), TokenError::ClaimValue),
        ("sub", json!("somebody"), json!(["somebody"]), TokenError::ClaimType),
        ("client_id", json!("robot"), json!("printer"), TokenError::ClaimValue),
        ("client_id", json!("robot"), json!(1), TokenError::ClaimType),
        ("token_type", json!("Bearer"), json!("DPoP"), TokenError::Confirmation),
        ("token_type", json!("access_token"), json!("N_A"), TokenError::Type),
        ("cnf", json!({}), json!({"jkt": "x"}), TokenError::Confirmation),
        ("token_introspection", json!(null), json!({}), TokenError::Type),
    ] {
        let token = || world.token().claim("sub", "somebody").sign();
        let (good, bad) = (token(), token());
        if name != "token_introspection" {
            world.book.say(&good, json!({"active": true, name: fine}));
            assert_eq!(status(&live, bearer(&good)).await, StatusCode::OK, "{name} {fine}");
        }
        world.book.say(&bad, json!({"active": true, name: contradicts}));
        assert_eq!(fault(&live, &bad).await, Some(fault_of), "{name} {contradicts}");
        world.a_moment_passes();
        assert_eq!(fault(&live, &bad).await, Some(fault_of), "{name} {contradicts}");
        assert_eq!(world.book.asked_about(&bad), 1, "{name}: it is refused for a while");
        assert_eq!(status(&others, bearer(&bad)).await, StatusCode::OK, "{name}");
    }
    // A client is a client, whatever it is called.
    for name in ["azp", "cid"] {
        for (client, expected) in [("robot", None), ("printer", Some(TokenError::ClaimValue))] {
            let jwt = world.idp.token(API).without_claim("client_id").claim(name, "robot").sign();
            world.book.say(&jwt, json!({"active": true, "client_id": client}));
            assert_eq!(fault(&live, &jwt).await, expected, "{name}");
        }
    }
}

/// What the answer says besides is nothing to the handler.
#[tokio::test]
async fn a_jwt_stays_what_it_says_itself() {
    let world = World::new();
    let jwt = world.token().scopes(["read"]).sign();
    world.book.say(&jwt, json!({"active": true, "scope": "admin", "role": "admin"}));
    let show = async |token: tower_bearer::Token| {
        let claims: Value = token.claims().unwrap();
        format!("{} {}", token.has_scope("admin"), claims.get("role").is_some())
    };
    let show = Router::new().route("/", get(show));
    assert_eq!(body(&show.clone().layer(world.auth().scopes(["read"]).live()), &jwt).await, "false false");
    world.a_moment_passes();
    let admin = show.layer(world.auth().scopes(["admin"]).live());
    assert_eq!(status(&admin, bearer(&jwt)).await, StatusCode::FORBIDDEN);
}

/// Two issuers of which one can be asked.
fn mixed() -> (World, Idp) {
    let deaf = Idp::new("https://deaf.example.com");
    let world = World::with(|builder| builder.issuer(deaf.issuer()));
    (world, deaf)
}

#[test]
fn a_token_of_an_issuer_that_cannot_be_asked_is_403_and_the_operator_hears_of_it() {
    let log = captured(async || {
        let (world, deaf) = mixed();
        let (live, jwt) = (world.live(), deaf.token(API).sign());
        assert_eq!(status(&live, bearer(&world.active())).await, StatusCode::OK);
        assert_eq!(status(&world.others(), bearer(&jwt)).await, StatusCode::OK);
        for _ in 0..2 {
            let refused = send(&live, bearer(&jwt)).await;
            assert_eq!(rejection(&refused).kind(), RejectionKind::InsufficientScope);
            assert_eq!(rejection(&refused).issuer_name(), Some("https://deaf.example.com"));
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        }
        assert_eq!(world.book.asked().len(), 1);
    });
    let warnings: Vec<_> =
        log.lines().filter(|line| line.starts_with("WARN") && line.contains("live route")).collect();
    assert!(matches!(&warnings[..], [line] if line.contains("https://deaf.example.com")), "{log}");
}

#[test]
fn a_layer_that_nobody_could_meet_is_a_mistake() {
    let deaf = Idp::new("https://deaf.example.com").resource_server(API);
    let (world, _) = mixed();
    let panics = |make: &dyn Fn() -> BearerAuthLayer| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).is_err()
    };
    assert!(!panics(&|| world.auth().live().issuers([ISSUER])));
    assert!(!panics(&|| world.auth().issuers([ISSUER]).live()));
    assert!(panics(&|| BearerAuthLayer::new(deaf.clone()).live()));
    assert!(panics(&|| world.auth().issuers(["https://deaf.example.com"]).live()));
    assert!(panics(&|| world.auth().live().issuers(["https://deaf.example.com"])));
}

/// What the page says keeps an issuer's opaque tokens out.
#[tokio::test]
async fn a_prefix_that_no_token_has_leaves_live_routes_alone() {
    let (clock, book) = (ManualClock::new(), Book::new());
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let issuer = idp.issuer().lookup(book.clone()).keys(Keys::discovery()).token_prefix("opaque_");
    let api = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
    let live = app(&BearerAuthLayer::new(api).live());
    let jwt = idp.token(API).sign();
    for token in [OPAQUE, &jwt, "opaque_token"] {
        book.say(token, json!({"aud": API}));
    }
    assert_eq!(status(&live, bearer("opaque_token")).await, StatusCode::OK);
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
    assert_eq!(fault(&live, OPAQUE).await, Some(TokenError::Structure));
    assert_eq!(book.asked(), ["opaque_token", &*jwt]);
}

#[tokio::test]
async fn without_keys_a_jwt_is_what_is_said_of_it() {
    let (clock, book) = (ManualClock::new(), Book::new());
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let issuer = Issuer::new(ISSUER).lookup(book.clone());
    let api = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
    let live = app(&BearerAuthLayer::new(api).live());
    let jwt = idp.token(API).sign();
    for client in ["robot", "another"] {
        book.say(&jwt, json!({"aud": API, "client_id": client}));
        assert_eq!(body(&live, &jwt).await, client);
        clock.advance(LIVE_ANSWER_FOR);
    }
    book.revoke(&jwt);
    assert_eq!(fault(&live, &jwt).await, Some(TokenError::Inactive));
}

#[tokio::test]
async fn what_happens_is_told_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let told = told.clone();
        move |event: &Event<'_>| {
            let line = match *event {
                Event::KeysFetched { .. } => "keys".to_owned(),
                Event::LookedUp { active, .. } => format!("active={active}"),
                Event::LookupFailed { kind, .. } => kind.name().to_owned(),
                Event::Accepted { cached, .. } => format!("accepted cached={cached}"),
                Event::Refused { kind, .. } => kind.name().to_owned(),
                Event::Waiting { .. } => "waiting".to_owned(),
                Event::Waited { .. } => "waited".to_owned(),
                _ => return,
            };
            told.lock().unwrap().push(line);
        }
    };
    let world = World::with(|builder| builder.observer(observer));
    let (live, jwt) = (world.live(), world.active());
    let take = || std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
    let asked = ["waiting", "active=true", "waited"];
    assert_eq!(take(), [&["waiting", "keys", "waited"], &asked[..], &["accepted cached=false"]].concat());
    world.a_moment_passes();
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
    assert_eq!(take(), [&asked[..], &["accepted cached=true"]].concat());
    world.a_moment_passes();
    world.book.fail(LookupErrorKind::Timeout);
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(take(), ["waiting", "timeout", "waited", "unavailable"]);
    world.book.fail(None);
    world.book.revoke(&jwt);
    assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(take(), ["waiting", "active=false", "waited", "invalid_token"]);
}

/// All of it over sockets: the issuer, our API by tonic, and a client.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn over_sockets() {
    use tower_bearer::Introspection;
    use tower_bearer::testing::Loopback;

    let loopback = Loopback::bind().await.unwrap();
    let (url, revoked, calls) =
        (loopback.url().to_owned(), Arc::new(Mutex::new(false)), Arc::new(Mutex::new(0)));
    let introspect = {
        let (revoked, calls) = (revoked.clone(), calls.clone());
        async move |form: String| {
            *calls.lock().unwrap() += 1;
            let active = form.contains("token=ey") && !*revoked.lock().unwrap();
            axum::Json(json!({"active": active}))
        }
    };
    let idp = Idp::new(&*url);
    let _serving = loopback.serve(Router::new().route("/introspect", axum::routing::post(introspect)));
    let introspection = Introspection::at(format!("{url}/introspect")).basic("api", "secret");
    let issuer =
        Issuer::new(&url).keys(Keys::jwks(idp.jwks())).introspection(introspection).dangerous_allow_http();
    let api = ResourceServer::builder(API).issuer(issuer).without_cache().build().unwrap();
    let auth = BearerAuthLayer::new(api);
    let jwt = idp.token(API).sign();
    let any = MethodAccess::authenticated;
    let mut live = crate::grpc::serve_with(auth.methods(any()).live()).await;
    let mut others = crate::grpc::serve_with(auth.methods(any())).await;
    assert_eq!(crate::grpc::check_with(&mut live, &jwt).await, Ok(()));
    assert_eq!(crate::grpc::check_with(&mut others, &jwt).await, Ok(()));
    assert_eq!(*calls.lock().unwrap(), 1);
    *revoked.lock().unwrap() = true;
    let status = crate::grpc::check_with(&mut live, &jwt).await.unwrap_err();
    assert_eq!(status, (tonic::Code::Unauthenticated, TokenError::Inactive.description().to_owned()));
    assert_eq!(crate::grpc::check_with(&mut others, &jwt).await, Ok(()));
    assert_eq!(*calls.lock().unwrap(), 2);
}

/// Of a token that names no issuer, what one layer's issuers say is no answer to another layer's question.
#[tokio::test]
async fn what_one_of_several_unnamed_issuers_says_is_said_to_that_layer_alone() {
    let (book, idp) = (Book::new(), Idp::new(ISSUER));
    let asked = Issuer::unnamed("a").lookup(book.clone()).token_prefix("ey");
    let keys = Issuer::unnamed("b").keys(Keys::jwks(idp.jwks()));
    let api = ResourceServer::builder(API).issuer(asked).issuer(keys).build().unwrap();
    let auth = BearerAuthLayer::new(api);
    let (live, all) = (app(&auth.issuers(["a"]).live()), app(&auth));
    let jwt = idp.token(API).client("client of b").without_claim("iss").sign();
    book.say(&jwt, json!({"active": true, "aud": API, "client_id": "client of a"}));
    // The second time it is known.
    for _ in 0..2 {
        assert!(body(&live, &jwt).await.contains("client of a"));
    }
    assert!(body(&all, &jwt).await.contains("client of b"));
}

#[tokio::test]
async fn a_jwt_that_is_looked_up_ends_when_it_says_so() {
    for with_cache in [true, false] {
        let (clock, book) = (ManualClock::new(), Book::new());
        let idp = Idp::new(ISSUER).clock(clock.clone());
        let issuer = Issuer::new(ISSUER).lookup(book.clone()).leeway(seconds(0));
        let builder = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer);
        let api = if with_cache { builder } else { builder.without_cache() }.build().unwrap();
        let live = app(&BearerAuthLayer::new(api).live());
        let jwt = idp.token(API).expires_in(seconds(30)).sign();
        // Its issuer forgets to say when.
        book.say(&jwt, json!({"active": true, "aud": API, "client_id": "robot"}));
        for _ in 0..15 {
            assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK);
            clock.advance(seconds(2));
        }
        assert_eq!(fault(&live, &jwt).await, Some(TokenError::Expired));
    }
}

/// What is kept for those who come a moment later is bounded.
#[tokio::test]
async fn a_long_answer_is_for_those_who_wait_for_it() {
    for (length, asked) in [(16 * 1024, 1), (16 * 1024 + 1, 2)] {
        let world = World::new();
        let live = world.live();
        let mut claims = json!({"active": true, "aud": API, "padding": ""});
        claims["padding"] = json!("-".repeat(length - claims.to_string().len()));
        world.book.say(OPAQUE, claims);
        for _ in 0..2 {
            assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
        }
        assert_eq!(world.book.asked_about(OPAQUE), asked, "{length}");
    }
}

/// A request of which an outer layer has verified the token waits for its issuer.
#[tokio::test]
async fn what_happens_to_a_token_while_its_issuer_is_asked_counts() {
    enum Way {
        Ended,
        Blocked,
        Denied,
    }
    for nested in [false, true] {
        for (name, way) in [("ended", Way::Ended), ("blocked", Way::Blocked), ("denied", Way::Denied)] {
            let world = World::new();
            let inner = Router::new().route("/", get(who).layer(world.auth().live()));
            let app = if nested { inner.layer(world.auth()) } else { inner };
            let jwt = world.active();
            assert_eq!(status(&app, bearer(&jwt)).await, StatusCode::OK);
            world.a_moment_passes();
            world.book.hang("ey");
            let asked = world.book.asked_about(&jwt);
            let waits = tokio::spawn(async move { status(&app, bearer(&jwt)).await });
            while world.book.asked().len() <= asked {
                tokio::task::yield_now().await;
            }
            match way {
                Way::Ended => world.clock.advance(seconds(20_000)),
                Way::Blocked => {
                    for kid in key_ids(&world.idp) {
                        world.api.block_key(ISSUER, &kid).unwrap();
                    }
                }
                Way::Denied => world.api.deny(Denial::client(ISSUER, "robot")).await.unwrap(),
            }
            world.book.hang(None);
            assert_eq!(waits.await.unwrap(), StatusCode::UNAUTHORIZED, "nested {nested}, {name}");
        }
    }
}

/// The same at each address.
struct SameKeys(String);

impl Fetch for SameKeys {
    fn fetch(&self, _: FetchRequest) -> FetchFuture {
        let keys = self.0.clone();
        Box::pin(async move { Ok(FetchResponse::new(StatusCode::OK, HeaderMap::new(), keys)) })
    }
}

/// A token that names no issuer, and whose key two of them have, is the second one's when the first one has been asked.
#[tokio::test]
async fn whoever_has_waited_twice_waits_no_more_and_that_is_told() {
    for has_keys in [true, false] {
        let (idp, books) = (Idp::new(ISSUER), [Book::new(), Book::new()]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let observer = {
            let told = told.clone();
            move |event: &Event<'_>| {
                if let Event::Refused { kind, .. } = *event {
                    told.lock().unwrap().push(kind);
                }
            }
        };
        let mut builder = ResourceServer::builder(API).fetch(SameKeys(idp.jwks())).observer(observer);
        for (name, book) in ["first", "second"].into_iter().zip(&books) {
            let keys = Keys::jwks_url(format!("{ISSUER}/{name}"));
            builder =
                builder.issuer(Issuer::unnamed(name).keys(keys).lookup(book.clone()).token_prefix(name));
        }
        let api = builder.build().unwrap();
        let live = app(&BearerAuthLayer::new(api.clone()).live());
        let jwt = idp.token(API).without_claim("iss").sign();
        for book in &books {
            book.say(&jwt, json!({"active": true}));
        }
        if has_keys {
            api.warm_up().await.unwrap();
        }
        let [first, second] = &books;
        first.hang("ey");
        let answer = {
            let (live, request) = (live.clone(), bearer(&jwt));
            tokio::spawn(async move { send(&live, request).await })
        };
        while first.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        for kid in key_ids(&idp) {
            assert!(api.block_key("first", &kid).unwrap());
        }
        first.hang(None);
        let answer = answer.await.unwrap();
        assert_eq!(second.asked().len(), 1, "whether anybody waits for it or not");
        if has_keys {
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(told.lock().unwrap().is_empty());
        } else {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "it has waited for the keys, too");
            assert_eq!(rejection(&answer).kind(), RejectionKind::Unavailable);
            assert!(answer.headers().contains_key(RETRY_AFTER));
            assert_eq!(**told.lock().unwrap(), [RejectionKind::Unavailable]);
            assert_eq!(status(&live, bearer(&jwt)).await, StatusCode::OK, "the next time");
        }
    }
}

fn key_ids(idp: &Idp) -> Vec<String> {
    let set: Value = serde_json::from_str(&idp.jwks()).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_span_names_whom_the_answer_names() {
    use tracing::Instrument;
    let log = captured(async || {
        let (clock, book) = (ManualClock::new(), Book::new());
        let issuer = Issuer::unnamed("book").lookup(book.clone()).audience(API);
        let api = ResourceServer::builder(API).clock(clock.clone()).issuer(issuer).build().unwrap();
        let live = app(&BearerAuthLayer::new(api).live());
        for client in ["alice", "mallory"] {
            book.say(OPAQUE, json!({"active": true, "aud": API, "client_id": client}));
            let span = tracing::info_span!("call", client_id = tracing::field::Empty);
            let call = async {
                assert_eq!(status(&live, bearer(OPAQUE)).await, StatusCode::OK);
                tracing::info!("handled for {client}");
            };
            call.instrument(span).await;
            clock.advance(LIVE_ANSWER_FOR);
        }
    });
    for client in ["alice", "mallory"] {
        let (before, _) = log.split_once(&format!("handled for {client}")).unwrap();
        let last = before.rsplit("client_id=").next().unwrap();
        assert!(last.starts_with(&format!("\"{client}\"")), "{log}");
    }
}
