//! Which clients, spellings and claims an issuer's tokens may have, what we let clients do, and what rules ask besides
//! scopes.

use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use serde_json::json;
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{
    BearerAuthLayer, Clock, ConfigErrorKind, Issuer, Keys, MethodAccess, Profile, ResourceServer, Rule,
    TokenError, all_of, any_of,
};

use crate::leaks::captured;
use crate::support::{API, ISSUER, World, app, bearer, block_on, challenge, send, server, status, who};

#[test]
fn an_issuer_may_spell_its_name_in_more_than_one_way() {
    let world = World::with(|issuer| issuer.also("id.example.com").also("https://id.example.com/"));
    for iss in [ISSUER, "id.example.com", "https://id.example.com/"] {
        let token = world.accepts(iss, &world.token().claim("iss", iss).sign());
        assert_eq!(token.issuer(), ISSUER, "one issuer, whatever it calls itself");
    }
    for iss in ["ID.example.com", "id.example.com/", "http://id.example.com"] {
        assert_eq!(world.refuses(iss, &world.token().claim("iss", iss).sign()), TokenError::Issuer);
    }
    let strict = World::new();
    strict.accepts("its own", &strict.token().sign());
    let other = strict.token().claim("iss", "id.example.com").sign();
    assert_eq!(strict.refuses("only if it was said", &other), TokenError::Issuer);
}

#[test]
fn only_the_listed_clients_are_dealt_with() {
    let world = World::with(|issuer| issuer.clients(["robot"]).clients(["printer"]));
    for client in ["robot", "printer"] {
        let token = world.accepts(client, &world.token().client(client).sign());
        assert_eq!(token.client_id(), Some(client));
    }
    for (name, token) in [
        ("another", world.token().client("Robot")),
        ("the user of that name", world.token().client("other").claim("sub", "robot")),
        ("empty", world.token().client("")),
        ("none", world.token().without_claim("client_id")),
    ] {
        assert_eq!(world.refuses(name, &token.sign()), TokenError::Client, "{name}");
    }
}

/// With the client in `aud` nothing says for whom a token is, so the clients must be said.
#[test]
fn a_client_in_aud_is_expected_there() {
    let clock = ManualClock::new();
    let idp = Idp::new("-").clock(clock.clone());
    let shop = |profile: Profile| Issuer::unnamed("shop").keys(Keys::jwks(idp.jwks())).profile(profile);
    let api = server(&clock, [shop(Profile::oro()).clients(["robot", "printer"])]);
    let token = |client: &str| {
        let token = idp.token(client).header("typ", "JWT").without_claim("iss").without_claim("client_id");
        block_on(api.verify(&token.sign()))
    };
    assert_eq!(token("printer").unwrap().client_id(), Some("printer"));
    for other in ["other", API, ""] {
        assert_eq!(token(other).unwrap_err().token_error(), Some(TokenError::Audience), "{other:?}");
    }
    let build = |issuer: Issuer| ResourceServer::builder(API).issuer(issuer).build().unwrap_err();
    let error = build(shop(Profile::oro()));
    assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Claim, "issuer[0].clients"));
    let error = build(shop(Profile::oro()).clients(["robot"]).audience("x"));
    assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Audience, "issuer[0].audience"));
}

/// An issuer that gives tokens for us to anybody who asks is of no use without a list of who may come.
#[test]
fn where_anybody_can_have_a_token_the_clients_must_be_listed() {
    let idp = Idp::new(ISSUER);
    let build = |issuer: Issuer| ResourceServer::builder(API).issuer(issuer).build();
    let profiles = [Profile::google(), Profile::cognito(), Profile::kubernetes(), Profile::aidbox()];
    for profile in profiles.into_iter().chain([Profile::default().listed_clients()]) {
        let error = build(idp.issuer().profile(profile.clone())).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Claim, "issuer[0].clients"));
        assert!(build(idp.issuer().profile(profile.clone()).clients(["robot"])).is_ok());
        assert!(build(idp.issuer().profile(profile).dangerous_any_audience()).is_ok());
    }
}

#[test]
fn what_a_client_may_do_can_be_said_here() {
    let scopes = |profile: Profile, token: fn(TokenBuilder) -> TokenBuilder| {
        let world = World::with(|issuer| {
            issuer.profile(profile).grant("robot", ["b", "c"]).grant("robot", ["d"]).grant("idle", [""; 0])
        });
        world.accepts("token", &token(world.token()).sign()).scopes().to_string()
    };
    let trusted = Profile::default;
    assert_eq!(scopes(trusted(), |token| token.client("robot").scopes(["a", "b"])), "a b c d");
    assert_eq!(scopes(trusted(), |token| token.client("robot")), "b c d");
    assert_eq!(scopes(trusted(), |token| token.client("idle").scopes(["a"])), "a");
    assert_eq!(scopes(trusted(), |token| token.client("other").scopes(["a"])), "a");
    let untrusted = || Profile::default().untrusted_scopes();
    assert_eq!(scopes(untrusted(), |token| token.client("robot").scopes(["a", "admin"])), "b c d");
    assert_eq!(scopes(untrusted(), |token| token.client("other").scopes(["b", "admin"])), "");
    let nobody = |token: TokenBuilder| token.without_claim("client_id").claim("sub", "robot");
    assert_eq!(scopes(untrusted(), nobody), "", "a user called as a client is");
}

/// What keeps ID tokens out must not be lost by asking for more.
#[test]
fn what_is_required_adds_to_what_the_profile_requires() {
    let profile = Profile::default().require(["jti"]).require(["tenant"]);
    let world = World::with(|issuer| issuer.profile(profile));
    let good = || world.token().claim("tenant", "blue");
    world.accepts("both", &good().sign());
    assert_eq!(world.refuses("the first", &good().without_claim("jti").sign()), TokenError::MissingClaim);
    assert_eq!(world.refuses("the second", &world.token().sign()), TokenError::MissingClaim);
}

#[test]
fn a_claim_can_be_asked_for_with_its_value() {
    let profile = Profile::default().claim("token_use", ["access"]).claim("/app/env", ["live", "test"]);
    let world = World::with(|issuer| issuer.profile(profile));
    let good = || world.token().claim("token_use", "access").claim("app", json!({"env": "test"}));
    world.accepts("both", &good().sign());
    world.accepts("in a list", &good().claim("token_use", json!(["x", "access"])).sign());
    for (name, token, fault) in [
        ("another", good().claim("token_use", "id"), TokenError::ClaimValue),
        ("part of it", good().claim("token_use", "accessory"), TokenError::ClaimValue),
        ("no text", good().claim("token_use", true), TokenError::ClaimValue),
        ("null", good().claim("token_use", json!(null)), TokenError::ClaimValue),
        ("an empty list", good().claim("token_use", json!([])), TokenError::ClaimValue),
        ("absent", good().without_claim("token_use"), TokenError::MissingClaim),
        ("another below", good().claim("app", json!({"env": "dev"})), TokenError::ClaimValue),
        ("nothing below", good().claim("app", json!({})), TokenError::MissingClaim),
        ("no object", good().claim("app", "live"), TokenError::ClaimType),
    ] {
        assert_eq!(world.refuses(name, &token.sign()), fault, "{name}");
    }
}

#[test]
fn the_log_names_the_claim_and_says_nothing_of_the_token() {
    let profile =
        Profile::default().require(["tenant"]).claim("/app/env", ["live"]).scope_claims(["/app/roles"]);
    let world = World::with(|issuer| issuer.profile(profile));
    let good = || world.token().claim("tenant", "blue").claim("app", json!({"env": "live", "roles": ["x"]}));
    let log = |token: &TokenBuilder| captured(async || drop(world.api.verify(&token.sign()).await));
    world.accepts("as asked for", &good().sign());
    assert!(!log(&good()).contains("claim="));
    for (claim, token) in [
        ("tenant", good().without_claim("tenant")),
        ("/app/env", good().claim("app", json!({"env": "a-planted-value", "roles": ["x"]}))),
        ("/app/env", good().claim("app", json!({"roles": ["x"]}))),
        ("/app/roles", good().claim("app", json!({"env": "live", "roles": 7}))),
        ("azp", good().without_claim("client_id").claim("azp", json!(["a-planted-value"]))),
        ("sub", good().claim("sub", 7)),
    ] {
        let log = log(&token);
        assert_eq!(log.matches("claim=").count(), 1, "{claim}: {log}");
        assert!(
            log.contains(&format!("claim={claim:?}")) && !log.contains("a-planted-value"),
            "{claim}: {log}"
        );
    }
}

#[test]
fn aud_may_be_absent_where_that_was_said_and_never_wrong() {
    let world = World::with(|issuer| issuer.profile(Profile::default().optional_audience()));
    world.accepts("ours", &world.token().sign());
    world.accepts("absent", &world.token().without_claim("aud").sign());
    for (name, aud) in [
        ("another's", json!("https://other.example.com")),
        ("of nobody", json!([])),
        ("empty", json!("")),
        ("null", json!(null)),
        ("no text", json!(1)),
    ] {
        assert_eq!(world.refuses(name, &world.token().claim("aud", aud).sign()), TokenError::Audience);
    }
    let strict = World::new();
    let absent = strict.token().without_claim("aud").sign();
    assert_eq!(strict.refuses("absent", &absent), TokenError::Audience, "by default");
}

/// Roles as an object of objects, as Zitadel writes them. An object of anything else is no list of scopes.
#[test]
fn scopes_may_be_the_names_of_objects() {
    let profile = || Profile::default().scope_claims(["roles"]);
    let world = World::with(|issuer| issuer.profile(profile().scope_members()));
    let roles = json!({"reader": {"1": "a.example"}, "writer": {}});
    let token = world.accepts("roles", &world.token().claim("roles", roles).sign());
    assert_eq!(token.scopes().to_string(), "reader writer");
    let token = world.accepts("none", &world.token().claim("roles", json!({})).sign());
    assert!(token.scopes().is_empty());
    for odd in [json!({"admin": false}), json!({"reader": {}, "admin": 0}), json!({"admin": null})] {
        let token = world.token().claim("roles", odd).sign();
        assert_eq!(world.refuses("not granted", &token), TokenError::ClaimType);
    }
    let world = World::with(|issuer| issuer.profile(profile()));
    world.accepts("a list", &world.token().claim("roles", json!(["reader"])).sign());
    let token = world.token().claim("roles", json!({"reader": {}})).sign();
    assert_eq!(world.refuses("only if that was said", &token), TokenError::ClaimType);
}

#[tokio::test]
async fn one_scope_may_stand_for_others() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let server = || ResourceServer::builder(API).issuer(idp.issuer()).clock(clock.clone());
    let api =
        server().implies("admin", ["item:all"]).implies("item:all", ["item:read", "item:write"]).build();
    let (with, without) = (api.unwrap(), server().build().unwrap());
    let ask = async |api: &ResourceServer, rule: Rule, granted: &str| {
        let app = app(&BearerAuthLayer::new(api.clone()).require(rule));
        status(&app, bearer(&idp.token(API).scopes([granted]).sign())).await
    };
    let (ok, forbidden) = (StatusCode::OK, StatusCode::FORBIDDEN);
    for (asked, granted, implied, plain) in [
        ("item:read", "item:read", ok, ok),
        ("item:read", "item:all", ok, forbidden),
        ("item:read", "admin", ok, forbidden),
        ("item:all", "item:read", forbidden, forbidden),
        ("item:read", "item:write", forbidden, forbidden),
        ("other", "admin", forbidden, forbidden),
    ] {
        assert_eq!(ask(&with, all_of([asked]), granted).await, implied, "{granted} for {asked}");
        assert_eq!(ask(&without, all_of([asked]), granted).await, plain, "{granted} for {asked}");
    }
    for (broader, narrower) in [("two words", "a"), ("a", "")] {
        let error = server().implies(broader, [narrower]).build().unwrap_err();
        assert_eq!((error.kind(), error.path()), (ConfigErrorKind::Scope, "implies"));
    }
}

#[tokio::test]
async fn rules_ask_for_clients_issuers_claims_and_whatever_a_closure_says() {
    let clock = ManualClock::new();
    let (id, shop) = (Idp::new(ISSUER).clock(clock.clone()), Idp::new("-").clock(clock.clone()));
    let api = server(&clock, [id.issuer(), Issuer::unnamed("shop").keys(Keys::jwks(shop.jwks()))]);
    let auth = BearerAuthLayer::new(api);
    let of_id = |client: &str| id.token(API).client(client);
    let of_shop = |client: &str| shop.token(API).client(client).without_claim("iss");
    let by_name = |token: &tower_bearer::Token| token.client_id().is_some_and(|id| id.starts_with("robot"));
    for (name, rule, good, bad) in [
        ("clients", Rule::clients(["robot", "printer"]), of_id("printer"), of_id("other")),
        ("no client", Rule::clients(["robot"]), of_id("robot"), of_id("robot").without_claim("client_id")),
        ("issuers", Rule::issuers(["shop"]), of_shop("robot"), of_id("robot")),
        ("by iss", Rule::issuers([ISSUER]), of_id("robot"), of_shop("robot")),
        (
            "claim",
            Rule::claim("tenant", "blue"),
            of_id("robot").claim("tenant", "blue"),
            of_id("robot").claim("tenant", "red"),
        ),
        (
            "claim in a list below",
            Rule::claim("/a/b", "x"),
            of_id("robot").claim("a", json!({"b": ["y", "x"]})),
            of_id("robot").claim("a", json!({"b": {"x": "x"}})),
        ),
        ("absent claim", Rule::claim("t", "x"), of_id("robot").claim("t", "x"), of_id("robot")),
        ("closure", Rule::check(by_name), of_id("robot-7"), of_id("printer")),
        (
            "and",
            Rule::issuers(["shop"]).and(Rule::clients(["robot"])).and("orders"),
            of_shop("robot").scopes(["orders"]),
            of_shop("robot"),
        ),
        (
            "and, the other half",
            Rule::clients(["robot"]).and("o"),
            of_id("robot").scopes(["o"]),
            of_id("x").scopes(["o"]),
        ),
        ("or", Rule::clients(["robot"]).or("admin"), of_id("other").scopes(["admin"]), of_id("other")),
        (
            "nested",
            any_of([all_of(["a"]).and(Rule::issuers(["shop"])), all_of(["b"]).and(Rule::issuers([ISSUER]))]),
            of_id("robot").scopes(["b"]),
            of_id("robot").scopes(["a"]),
        ),
    ] {
        let app = app(&auth.require(rule));
        assert_eq!(status(&app, bearer(&good.sign())).await, StatusCode::OK, "{name}");
        assert_eq!(status(&app, bearer(&bad.sign())).await, StatusCode::FORBIDDEN, "{name}");
    }
}

/// One token, verified once; the rule is asked on each request.
#[tokio::test]
async fn a_rule_is_never_remembered() {
    let world = World::new();
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let switch = open.clone();
    let rule = Rule::check(move |_| switch.load(std::sync::atomic::Ordering::Relaxed));
    let app = app(&world.auth().require(rule));
    let token = world.token().sign();
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
    open.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_challenge_of_a_403_names_the_scopes_that_would_do() {
    let world = World::new();
    for (rule, scope) in [
        (all_of(["a"]).and(Rule::clients(["robot"])).and("b"), Some("a b")),
        (Rule::clients(["robot"]).or(all_of(["a", "b"])), Some("a b")),
        (any_of([all_of(["a"]), all_of(["b"])]), Some("a")),
        (Rule::clients(["robot"]), None),
        (Rule::check(|_| false), None),
    ] {
        let name = format!("{rule:?}");
        let response = send(&app(&world.auth().require(rule)), bearer(&world.token().sign())).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}");
        let challenge = challenge(&response).unwrap();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        let named = challenge.split_once("scope=\"").and_then(|(_, rest)| rest.split_once('"'));
        assert_eq!(named.map(|(scope, _)| scope), scope, "{name}");
    }
}

#[tokio::test]
async fn an_inner_layer_asks_more_of_a_verified_token() {
    let world = World::new();
    let auth = world.auth();
    let inner = auth.require(Rule::clients(["robot"]));
    let app = Router::new().route("/", get(who)).route("/robots", get(who).layer(inner)).layer(auth);
    let request = |client: &str| {
        let mut request = bearer(&world.token().client(client).sign());
        *request.uri_mut() = "/robots".parse().unwrap();
        request
    };
    assert_eq!(status(&app, request("robot")).await, StatusCode::OK);
    assert_eq!(status(&app, request("other")).await, StatusCode::FORBIDDEN);
}

#[test]
#[should_panic(expected = "no issuer is called \"stranger\"")]
fn a_rule_that_names_a_stranger_is_a_mistake() {
    let rule = all_of(["a"]).and(any_of([Rule::issuers(["stranger"]), Rule::clients(["x"])]));
    drop(World::new().auth().require(rule));
}

#[test]
#[should_panic(expected = "at least one client")]
fn a_rule_for_no_client_is_a_mistake() {
    drop(Rule::clients([""; 0]));
}

#[test]
fn a_rule_shows_what_it_asks_for_and_no_closure() {
    let rule = all_of(["a"]).and(Rule::claim("t", "x")).or(Rule::check(|_| true));
    let text = format!("{rule:?}");
    for part in ["\"a\"", "claim(\"t\", \"x\")", "check(..)"] {
        assert!(text.contains(part), "{text}");
    }
}

/// The client is told that it lacks a scope, as there is no better code.
#[test]
fn the_log_says_that_nobody_may_call_a_method_that_is_not_listed() {
    let world = World::new();
    let auth =
        world.auth().methods(MethodAccess::deny().method_rule("/orders.Orders/List", Rule::authenticated()));
    let app = Router::new().fallback(who).layer(auth);
    let token = world.token().sign();
    let call = |path: &str| {
        let mut request = bearer(&token);
        *request.uri_mut() = path.parse().unwrap();
        let mut answer = StatusCode::OK;
        let log = captured(async || answer = status(&app, request).await);
        (answer, log)
    };
    assert_eq!(call("/orders.Orders/List").0, StatusCode::OK);
    let (answer, log) = call("/orders.Orders/Delete");
    assert_eq!(answer, StatusCode::FORBIDDEN);
    assert!(log.contains("rule=nobody"), "{log}");
}

#[test]
fn mistakes_about_trust_are_found_before_the_first_request() {
    let idp = Idp::new(ISSUER);
    let named = || idp.issuer();
    let unnamed = || Issuer::unnamed("shop").keys(Keys::jwks(idp.jwks()));
    let build = |issuers: Vec<Issuer>| {
        let builder = ResourceServer::builder(API);
        issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer)).build()
    };
    assert!(
        build(vec![named().also("x").clients(["a"]).grant("a", ["s"]), unnamed().clients(["b"])]).is_ok()
    );
    for (issuers, kind, path) in [
        (vec![named().also("")], ConfigErrorKind::Issuer, "issuer[0].also"),
        (vec![unnamed().also("x")], ConfigErrorKind::Issuer, "issuer[0].also"),
        (vec![named().also(ISSUER)], ConfigErrorKind::Issuer, "issuer[0].also"),
        (
            vec![named().also("x"), Issuer::new("x").keys(Keys::jwks(idp.jwks()))],
            ConfigErrorKind::Issuer,
            "issuer[1].iss",
        ),
        (vec![named().also("shop"), unnamed()], ConfigErrorKind::Issuer, "issuer[1].name"),
        (vec![named().clients([""; 0])], ConfigErrorKind::Claim, "issuer[0].clients"),
        (vec![named().clients(["a", ""])], ConfigErrorKind::Claim, "issuer[0].clients"),
        (vec![named().grant("", ["s"])], ConfigErrorKind::Claim, "issuer[0].grants"),
        (vec![named().clients(["a"]).grant("b", ["s"])], ConfigErrorKind::Claim, "issuer[0].grants"),
        (vec![named().grant("a", ["two words"])], ConfigErrorKind::Scope, "issuer[0].grants"),
        (vec![named().profile(Profile::jwt()).clients(["a"])], ConfigErrorKind::Claim, "issuer[0].clients"),
        (vec![named().profile(Profile::default().require([""]))], ConfigErrorKind::Claim, "issuer[0].claims"),
        (
            vec![named().profile(Profile::default().claim("c", [""; 0]))],
            ConfigErrorKind::Claim,
            "issuer[0].claims",
        ),
    ] {
        let error = build(issuers).unwrap_err();
        assert_eq!((error.kind(), error.path()), (kind, path), "{error}");
    }
}

/// In the very second of its issue, with a clock that is not cut to seconds and no leeway (RFC 7519 §4.1.5).
#[test]
fn a_date_may_have_a_fraction() {
    let world = World::with(|issuer| issuer.leeway(Duration::ZERO));
    let now = Clock::now(&world.clock).duration_since(UNIX_EPOCH).unwrap();
    let micros = u32::try_from(now.as_micros() % 1_000_000).unwrap();
    // As an issuer writes it whose clock shows microseconds, in the middle of a second.
    world.clock.advance(Duration::from_micros(1_500_003 - u64::from(micros)));
    let issued = Clock::now(&world.clock).duration_since(UNIX_EPOCH).unwrap().as_micros();
    let issued = format!("{}.{:06}", issued / 1_000_000, issued % 1_000_000).parse::<f64>().unwrap();
    let token = |nbf: f64| world.token().claim("nbf", nbf).claim("iat", nbf).claim("exp", nbf + 60.0).sign();
    world.accepts("in the very instant", &token(issued));
    let early = token(issued + 0.000_01);
    assert_eq!(world.refuses("ten microseconds early", &early), TokenError::Time);
    world.clock.advance(Duration::from_micros(10));
    world.accepts("ten microseconds later", &early);
}
