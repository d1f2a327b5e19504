//! Tokens that are refused before their end: by `jti`, subject, client or issuer, old or all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::{Method, StatusCode};
use tower::ServiceExt;
use tower_bearer::manual::defaults::{DENIED_FOR, MAX_DENIALS, MAX_DENIED_LENGTH};
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{Clock, Denial, DenyErrorKind, Issuer, Keys, ResourceServer, TokenError};

use crate::leaks::captured;
use crate::support::{
    API, ISSUER, World, app, bearer, block_on, challenge, rejection, seconds, send, server, status, who,
};

const OTHER: &str = "https://other.example.com";

/// Of alice's, made for a client.
fn token(world: &World) -> TokenBuilder {
    world.token().claim("sub", "alice").claim("client_id", "robot").claim("jti", "1")
}

fn deny(api: &ResourceServer, denial: Denial) {
    block_on(api.deny(denial)).unwrap();
}

fn kind(api: &ResourceServer, denial: Denial) -> Result<(), DenyErrorKind> {
    block_on(api.deny(denial)).map_err(|error| error.kind())
}

/// Seconds since 1970, with a fraction.
fn date(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[tokio::test]
async fn each_kind_of_denial_refuses_its_tokens_and_no_others() {
    type Change = fn(TokenBuilder) -> TokenBuilder;
    let old: Change = |t| t.claim("iat", 1_000_000_000);
    let undated: Change = |t| t.without_claim("iat");
    let same: Change = |t| t;
    type Case = (&'static str, fn(&World) -> Denial, Vec<Change>, Vec<Change>);
    let cases: Vec<Case> = vec![
        (
            "token",
            |_| Denial::token(ISSUER, "1"),
            vec![same, old],
            vec![|t| t.claim("jti", "2"), |t| t.without_claim("jti")],
        ),
        (
            "subject",
            |_| Denial::subject(ISSUER, "alice"),
            vec![same, |t| t.claim("client_id", "other")],
            vec![
                |t| t.claim("sub", "bob"),
                |t| t.claim("sub", "bob").claim("client_id", "alice"),
                |t| t.claim("sub", "bob").claim("jti", "alice"),
                |t| t.without_claim("sub"),
            ],
        ),
        (
            "client",
            |_| Denial::client(ISSUER, "robot"),
            vec![same, |t| t.claim("sub", "bob")],
            vec![|t| t.claim("client_id", "other"), |t| t.claim("client_id", "other").claim("sub", "robot")],
        ),
        ("issuer", |_| Denial::issuer(ISSUER), vec![same, old, undated], vec![]),
        (
            "old ones of a subject",
            |w| Denial::subject(ISSUER, "alice").issued_before(w.clock.now() - seconds(10)),
            vec![old, undated],
            vec![same, |t| t.claim("sub", "bob").claim("iat", 1_000_000_000)],
        ),
        (
            "old ones of a client",
            |w| Denial::client(ISSUER, "robot").issued_before(w.clock.now() - seconds(10)),
            vec![old, undated],
            vec![same, |t| t.claim("client_id", "other").claim("iat", 1_000_000_000)],
        ),
        (
            "old ones of the issuer",
            |w| Denial::issuer(ISSUER).issued_before(w.clock.now() - seconds(10)),
            vec![old, undated, |t| t.claim("sub", "bob").claim("client_id", "other").without_claim("iat")],
            vec![same],
        ),
    ];
    for (name, denial, denied, unharmed) in cases {
        let world = World::new();
        let cacheless = ResourceServer::builder(API).clock(world.clock.clone()).issuer(world.idp.issuer());
        let cacheless = cacheless.without_cache().build().unwrap();
        let app = app(&world.auth());
        let denied: Vec<_> = denied.iter().map(|change| change(token(&world))).collect();
        let unharmed: Vec<_> = unharmed.iter().map(|change| change(token(&world)).sign()).collect();
        // Signatures of the same text differ: each is another token.
        let (known, unseen): (Vec<_>, Vec<_>) = denied.iter().map(|t| (t.sign(), t.sign())).unzip();
        for token in known.iter().chain(&unharmed) {
            assert_eq!(status(&app, bearer(token)).await, StatusCode::OK, "{name}");
            assert!(cacheless.verify(token).await.is_ok(), "{name}");
        }
        for api in [&world.api, &cacheless] {
            api.deny(denial(&world)).await.unwrap();
        }
        for token in known.iter().chain(&unseen).chain(&known) {
            let response = send(&app, bearer(token)).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
            assert_eq!(rejection(&response).token_error(), Some(TokenError::Revoked), "{name}");
            assert_eq!(rejection(&response).issuer_name(), Some(ISSUER), "{name}");
            assert_eq!(
                challenge(&response).unwrap(),
                "Bearer error=\"invalid_token\", error_description=\"the access token was revoked\"",
                "{name}"
            );
            let cold = cacheless.verify(token).await.unwrap_err();
            assert_eq!(cold.token_error(), Some(TokenError::Revoked), "{name}");
        }
        for token in &unharmed {
            assert_eq!(status(&app, bearer(token)).await, StatusCode::OK, "{name}");
            assert!(cacheless.verify(token).await.is_ok(), "{name}");
        }
        assert!(world.api.allow(&denial(&world)).await.unwrap(), "{name}");
        assert!(!world.api.allow(&denial(&world)).await.unwrap(), "{name}: twice");
        for token in known.iter().chain(&unseen) {
            assert_eq!(status(&app, bearer(token)).await, StatusCode::OK, "{name}: allowed again");
        }
    }
}

/// The outer layer lets it pass; then it is denied; then comes the inner layer.
#[tokio::test]
async fn an_inner_layer_asks_again() {
    let world = World::new();
    let auth = world.auth();
    let run = async |denies: bool| {
        let api = world.api.clone();
        let between = from_fn(move |request: Request, next: Next| {
            let api = api.clone();
            async move {
                if denies {
                    api.deny(Denial::token(ISSUER, "1")).await.unwrap();
                }
                next.run(request).await
            }
        });
        let inner = Router::new().route("/", get(who).layer(auth.scopes(["a"])));
        let app = inner.layer(between).layer(auth.clone());
        let response = send(&app, bearer(&token(&world).scopes(["a"]).sign())).await;
        (response.status(), response.extensions().get().and_then(tower_bearer::Rejection::token_error))
    };
    assert_eq!(run(false).await, (StatusCode::OK, None));
    assert_eq!(run(true).await, (StatusCode::UNAUTHORIZED, Some(TokenError::Revoked)));
}

#[tokio::test]
async fn a_grpc_call_is_told_so_too() {
    let world = World::new();
    let app = app(&world.auth());
    let raw = token(&world).sign();
    let call = async || {
        let mut request = bearer(&raw);
        *request.method_mut() = Method::POST;
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        app.clone().oneshot(request).await.unwrap()
    };
    // A GET route: what matters is that the layer lets it pass.
    assert_eq!(call().await.status(), StatusCode::METHOD_NOT_ALLOWED);
    world.api.deny(Denial::subject(ISSUER, "alice")).await.unwrap();
    let refused = call().await;
    assert_eq!(refused.status(), StatusCode::OK);
    assert_eq!(refused.headers()["grpc-status"], "16");
    assert_eq!(refused.headers()["grpc-message"], "the access token was revoked");
}

/// It is the last thing that is said of a token, and it comes before the rule.
#[test]
fn nobody_without_a_good_token_learns_what_is_denied() {
    let world = World::new();
    let good = token(&world);
    world.accepts("unharmed", &good.sign());
    deny(&world.api, Denial::token(ISSUER, "1"));
    assert_eq!(world.refuses("denied", &good.sign()), TokenError::Revoked);
    let forged = Idp::new(ISSUER).clock(world.clock.clone()).token(API).claim("jti", "1");
    let kid = serde_json::from_str::<serde_json::Value>(&world.idp.jwks()).unwrap()["keys"][0]["kid"].clone();
    for (name, token, expected) in [
        ("forged", forged.header("kid", kid), TokenError::Signature),
        ("expired", good.clone().claim("exp", 1), TokenError::Expired),
        ("for others", good.clone().claim("aud", "https://other.example.com"), TokenError::Audience),
        ("bound", good.clone().claim("cnf", serde_json::json!({"jkt": "x"})), TokenError::Confirmation),
    ] {
        assert_eq!(world.refuses(name, &token.sign()), expected, "{name}");
        assert!(expected < TokenError::Revoked);
    }
    let scoped = app(&world.auth().scopes(["a"]));
    assert_eq!(block_on(status(&scoped, bearer(&good.sign()))), StatusCode::UNAUTHORIZED);
    assert_eq!(
        block_on(status(&scoped, bearer(&good.claim("jti", "2").sign()))),
        StatusCode::FORBIDDEN,
        "another token of the same client is refused by the rule"
    );
}

#[test]
fn a_denial_ends() {
    let world = World::new();
    let lasting = |jti: &str| token(&world).claim("jti", jti).claim("exp", 4_000_000_000_u64).sign();
    let (short, default, longer) = (lasting("short"), lasting("default"), lasting("longer"));
    let end = world.clock.now() + seconds(60);
    deny(&world.api, Denial::token(ISSUER, "short").until(end));
    deny(&world.api, Denial::token(ISSUER, "default"));
    // The later end counts, whichever comes last.
    deny(&world.api, Denial::token(ISSUER, "longer").until(end + seconds(60)));
    deny(&world.api, Denial::token(ISSUER, "longer").until(end));
    for token in [&short, &default, &longer] {
        assert_eq!(world.refuses("before", token), TokenError::Revoked);
    }
    world.clock.advance(seconds(60) - Duration::from_micros(1));
    assert_eq!(world.refuses("just before its end", &short), TokenError::Revoked);
    world.clock.advance(Duration::from_micros(1));
    world.accepts("at its end", &short);
    assert_eq!(world.refuses("longer", &longer), TokenError::Revoked);
    world.clock.advance(seconds(60));
    world.accepts("at the later end", &longer);
    world.clock.advance(DENIED_FOR - seconds(120) - Duration::from_micros(1));
    assert_eq!(world.refuses("by default", &default), TokenError::Revoked);
    world.clock.advance(Duration::from_micros(1));
    world.accepts("after the default", &default);
    assert_eq!(
        kind(&world.api, Denial::token(ISSUER, "x").until(world.clock.now())),
        Err(DenyErrorKind::Ended)
    );
}

#[test]
fn issued_before_is_compared_to_the_microsecond_and_the_later_time_counts() {
    let world = World::new();
    let bound = world.clock.now() - seconds(100);
    let issued = |at: SystemTime| token(&world).claim("iat", date(at)).sign();
    let before = issued(bound - Duration::from_millis(1));
    let (after, later) = (issued(bound + Duration::from_millis(1)), issued(bound + seconds(60)));
    for token in [&before, &after, &later] {
        world.accepts("unharmed", token);
    }
    deny(&world.api, Denial::subject(ISSUER, "alice").issued_before(bound));
    assert_eq!(world.refuses("before", &before), TokenError::Revoked);
    world.accepts("after", &after);
    // She logs out again, and a message about the first time comes late.
    deny(&world.api, Denial::subject(ISSUER, "alice").issued_before(bound + seconds(30)));
    deny(&world.api, Denial::subject(ISSUER, "alice").issued_before(bound));
    assert_eq!(world.refuses("before", &before), TokenError::Revoked);
    assert_eq!(world.refuses("between", &after), TokenError::Revoked);
    world.accepts("after both", &later);
    // One about all tokens is another.
    let all = Denial::subject(ISSUER, "alice");
    deny(&world.api, all.clone());
    assert_eq!(world.refuses("all", &later), TokenError::Revoked);
    assert!(block_on(world.api.allow(&all)).unwrap());
    world.accepts("after both", &later);
    assert_eq!(world.refuses("still", &after), TokenError::Revoked);
}

#[test]
fn another_issuer_is_another_name_space() {
    let clock = ManualClock::new();
    let (one, two) = (Idp::new(ISSUER).clock(clock.clone()), Idp::new(OTHER).clock(clock.clone()));
    let shop = Idp::new("-").clock(clock.clone());
    let unnamed = Issuer::unnamed("shop").keys(Keys::jwks(shop.jwks()));
    let api = server(&clock, [one.issuer().name("main"), two.issuer(), unnamed]);
    let alike =
        |idp: &Idp| idp.token(API).claim("jti", "1").claim("sub", "alice").claim("client_id", "robot");
    let tokens = [alike(&one).sign(), alike(&two).sign(), alike(&shop).without_claim("iss").sign()];
    let accepted = || tokens.each_ref().map(|token| block_on(api.verify(token)).is_ok());
    assert_eq!(accepted(), [true, true, true]);
    let all = |name: &str| {
        [
            Denial::token(name, "1"),
            Denial::subject(name, "alice"),
            Denial::client(name, "robot"),
            Denial::issuer(name),
        ]
    };
    for (name, left) in
        [("main", [false, true, true]), (OTHER, [true, false, true]), ("shop", [true, true, false])]
    {
        for denial in all(name) {
            deny(&api, denial.clone());
            assert_eq!(accepted(), left, "{denial:?}");
            assert!(block_on(api.allow(&denial)).unwrap());
            assert_eq!(accepted(), [true, true, true], "{denial:?}");
        }
    }
    // Its name is not its iss.
    assert_eq!(kind(&api, Denial::issuer(ISSUER)), Err(DenyErrorKind::UnknownIssuer));
}

#[test]
fn what_cannot_be_meant_is_an_error_and_changes_nothing() {
    let world = World::new();
    let long = "x".repeat(MAX_DENIED_LENGTH);
    assert_eq!(kind(&world.api, Denial::subject(ISSUER, &long)), Ok(()));
    let raw = token(&world).sign();
    for (name, denial, expected) in [
        (
            "unknown issuer",
            Denial::subject("https://nobody.example.com", "alice"),
            DenyErrorKind::UnknownIssuer,
        ),
        ("no issuer", Denial::issuer(""), DenyErrorKind::UnknownIssuer),
        ("no jti", Denial::token(ISSUER, ""), DenyErrorKind::Claim),
        ("no sub", Denial::subject(ISSUER, ""), DenyErrorKind::Claim),
        ("no client", Denial::client(ISSUER, ""), DenyErrorKind::Claim),
        ("too long", Denial::subject(ISSUER, long + "x"), DenyErrorKind::Claim),
        ("past", Denial::subject(ISSUER, "alice").until(SystemTime::UNIX_EPOCH), DenyErrorKind::Ended),
    ] {
        let error = block_on(world.api.deny(denial.clone())).unwrap_err();
        assert_eq!(error.kind(), expected, "{name}");
        assert!(std::error::Error::source(&error).is_none(), "{name}");
        if expected != DenyErrorKind::Ended {
            assert_eq!(block_on(world.api.allow(&denial)).unwrap_err().kind(), expected, "{name}");
        }
        world.accepts(name, &raw);
    }
}

#[test]
fn when_it_is_full_nothing_is_forgotten() {
    /// Of single tokens.
    const ROOM: usize = MAX_DENIALS / 10 * 9;
    let world = World::new();
    let soon = world.clock.now() + seconds(60);
    let denial = |n: usize| Denial::token(ISSUER, n.to_string());
    let refused = |n: usize| world.refuses("denied", &token(&world).claim("jti", n.to_string()).sign());
    block_on(async {
        for n in 0..ROOM {
            // One in a thousand ends soon.
            let denial = if n % 1000 == 7 { denial(n).until(soon) } else { denial(n) };
            world.api.deny(denial).await.unwrap();
        }
    });
    let another = token(&world).claim("jti", "another").sign();
    world.accepts("not denied", &another);
    for n in (0..ROOM).step_by(997).chain([7, ROOM - 1]) {
        assert_eq!(refused(n), TokenError::Revoked, "{n}");
    }
    assert_eq!(kind(&world.api, Denial::token(ISSUER, "another")), Err(DenyErrorKind::Full));
    assert_eq!(kind(&world.api, denial(0)), Ok(()), "one that is there needs no room");
    world.accepts("no room", &another);
    assert_eq!(refused(0), TokenError::Revoked);
    world.clock.advance(seconds(60));
    assert_eq!(kind(&world.api, Denial::token(ISSUER, "another")), Ok(()), "what has ended makes room");
    assert_eq!(world.refuses("denied", &another), TokenError::Revoked);
    assert_eq!(refused(0), TokenError::Revoked);
    world.accepts("ended", &token(&world).claim("jti", "7").sign());
    // One that covers more has room of its own.
    for n in 1..ROOM / 1000 + MAX_DENIALS - ROOM {
        assert_eq!(kind(&world.api, Denial::client(ISSUER, n.to_string())), Ok(()), "{n}");
    }
    assert_eq!(kind(&world.api, Denial::token(ISSUER, "one more")), Err(DenyErrorKind::Full));
    assert_eq!(kind(&world.api, Denial::client(ISSUER, "one more")), Err(DenyErrorKind::Full));
}

/// Requests run on other threads all the time; none that starts after `deny` has returned is accepted.
#[test]
fn from_the_moment_that_deny_returns_nobody_is_accepted() {
    const ROUNDS: usize = 300;
    let world = World::new();
    let tokens: Vec<_> = (0..ROUNDS)
        .map(|n| token(&world).claim("sub", format!("user {n}")).claim("jti", n.to_string()).sign())
        .collect();
    // Before this round all are denied.
    let (denied, accepted) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (denied, accepted) = (denied.clone(), &accepted);
            let (api, tokens) = (world.api.clone(), &tokens);
            scope.spawn(move || {
                block_on(async {
                    loop {
                        let before = denied.load(Ordering::SeqCst);
                        if before == ROUNDS {
                            return;
                        }
                        if before > 0 {
                            let late = api.verify(&tokens[before - 1]).await;
                            assert_eq!(
                                late.unwrap_err().token_error(),
                                Some(TokenError::Revoked),
                                "{before}"
                            );
                        }
                        if api.verify(&tokens[before]).await.is_ok() {
                            accepted.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            });
        }
        for n in 0..ROUNDS {
            // Somebody must have been let in.
            let enough = std::time::Instant::now() + seconds(10);
            while accepted.load(Ordering::SeqCst) <= n / 2 && std::time::Instant::now() < enough {
                std::thread::yield_now();
            }
            deny(
                &world.api,
                if n % 2 == 0 {
                    Denial::token(ISSUER, n.to_string())
                } else {
                    Denial::subject(ISSUER, format!("user {n}"))
                },
            );
            denied.store(n + 1, Ordering::SeqCst);
        }
    });
    assert!(accepted.into_inner() > ROUNDS / 2);
}

#[test]
fn no_claim_reaches_a_log_a_debug_output_or_an_error() {
    let world = World::new();
    let (secret, raw) = ("claim-that-nobody-should-see", std::sync::Mutex::new(String::new()));
    let denials =
        [Denial::token(ISSUER, secret), Denial::subject(ISSUER, secret), Denial::client(ISSUER, secret)];
    let mut shown = String::new();
    let log = captured(async || {
        let token = token(&world).claim("sub", secret).claim("client_id", secret).claim("jti", secret).sign();
        let app = app(&world.auth());
        assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
        for denial in &denials {
            world.api.deny(denial.clone()).await.unwrap();
            let response = send(&app, bearer(&token)).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let error = world.api.deny(denial.clone().until(SystemTime::UNIX_EPOCH)).await.unwrap_err();
            shown +=
                &format!("{denial:?} {:?} {:?} {error} {error:?}", response.headers(), rejection(&response));
            assert!(world.api.allow(denial).await.unwrap());
        }
        *raw.lock().unwrap() = token;
    });
    assert!(
        log.contains("tower_bearer::deny") && log.contains("of=\"subject\"") && log.contains(ISSUER),
        "{log}"
    );
    for text in [&log, &shown] {
        assert!(!text.contains(secret), "{text}");
        assert!(raw.lock().unwrap().split('.').all(|part| !text.contains(part)), "{text}");
    }
}
