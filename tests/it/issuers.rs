//! Several issuers: selected by exact `iss`, never sharing keys; unnamed ones for tokens without `iss`.

use http::StatusCode;
use serde_json::json;
use tower_bearer::testing::{Idp, ManualClock, TokenBuilder};
use tower_bearer::{BearerAuthLayer, Issuer, Keys, Profile, RejectionKind, TokenError};

use crate::support::{API, ISSUER, World, app, bearer, block_on, server, status};

#[test]
fn rfc8725_3_8_keys_of_one_issuer_never_verify_tokens_of_another() {
    let clock = ManualClock::new();
    let (one, two) =
        (Idp::new(ISSUER).clock(clock.clone()), Idp::new("https://two.example.com").clock(clock.clone()));
    let api = server(&clock, [one.issuer(), two.issuer()]);
    let verify = |token: TokenBuilder| block_on(api.verify(&token.sign()));
    assert_eq!(verify(one.token(API)).unwrap().issuer(), ISSUER);
    assert_eq!(verify(two.token(API)).unwrap().issuer(), "https://two.example.com");
    // Signed by two, in the name of one: without a kid, and with the kid of a key that two has.
    for token in [two.token(API).without_header("kid"), two.token(API)] {
        let refused = verify(token.claim("iss", ISSUER)).unwrap_err();
        assert!(matches!(refused.token_error(), Some(TokenError::Signature | TokenError::UnknownKey)));
    }
}

#[test]
fn each_issuer_has_rules_of_its_own() {
    let clock = ManualClock::new();
    let (one, two) =
        (Idp::new(ISSUER).clock(clock.clone()), Idp::new("https://two.example.com").clock(clock.clone()));
    let api = server(&clock, [one.issuer().audience("orders"), two.issuer().types(["x"])]);
    let verify = |token: TokenBuilder| block_on(api.verify(&token.sign())).map_err(|r| r.token_error());
    assert!(verify(one.token("orders")).is_ok());
    assert!(verify(two.token(API).header("typ", "x")).is_ok());
    assert_eq!(verify(two.token("orders").header("typ", "x")).unwrap_err(), Some(TokenError::Audience));
    assert_eq!(verify(one.token("orders").header("typ", "x")).unwrap_err(), Some(TokenError::Type));
}

fn unnamed(name: &str, idp: &Idp) -> Issuer {
    Issuer::unnamed(name).keys(Keys::jwks(idp.jwks()))
}

#[test]
fn a_token_without_iss_only_meets_unnamed_issuers_and_one_with_iss_never() {
    let clock = ManualClock::new();
    let (named, shop, office) = (Idp::new(ISSUER), Idp::new("-"), Idp::new("-"));
    let api = server(&clock, [named.issuer(), unnamed("shop", &shop), unnamed("office", &office)]);
    let verify = |token: TokenBuilder| block_on(api.verify(&token.sign())).map_err(|r| r.token_error());
    let without_iss = |idp: &Idp| idp.token(API).without_claim("iss");

    assert_eq!(verify(without_iss(&shop)).unwrap().issuer(), "shop");
    assert_eq!(verify(without_iss(&office)).unwrap().issuer(), "office");
    assert_eq!(verify(without_iss(&shop).without_header("kid")).unwrap().issuer_name(), "shop");
    assert_eq!(verify(named.token(API)).unwrap().issuer(), ISSUER);

    assert_eq!(verify(without_iss(&named)).unwrap_err(), Some(TokenError::UnknownKey));
    assert_eq!(verify(shop.token(API).claim("iss", "shop")).unwrap_err(), Some(TokenError::Issuer));
    assert_eq!(verify(shop.token(API).claim("iss", "")).unwrap_err(), Some(TokenError::Issuer));
    assert_eq!(verify(shop.token(API).claim("iss", ISSUER)).unwrap_err(), Some(TokenError::UnknownKey));
    // Nobody's token is refused for the fault with which it came furthest.
    assert_eq!(verify(without_iss(&shop).claim("exp", 1)).unwrap_err(), Some(TokenError::Expired));
    assert_eq!(verify(without_iss(&shop).claim("aud", "x")).unwrap_err(), Some(TokenError::Audience));
}

#[test]
fn without_unnamed_issuers_iss_is_required() {
    let world = World::new();
    world.accepts("with", &world.token().sign());
    assert_eq!(world.refuses("without", &world.token().without_claim("iss").sign()), TokenError::Issuer);
}

#[tokio::test]
async fn a_layer_can_be_narrowed_to_some_issuers() {
    let clock = ManualClock::new();
    let (shop, office) = (Idp::new("-"), Idp::new("-"));
    let api = server(&clock, [unnamed("shop", &shop), unnamed("office", &office)]);
    let auth = BearerAuthLayer::new(api);
    let token = |idp: &Idp| bearer(&idp.token(API).without_claim("iss").sign());
    let shop_only = app(&auth.issuers(["shop"]));
    assert_eq!(status(&shop_only, token(&shop)).await, StatusCode::OK);
    assert_eq!(status(&shop_only, token(&office)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&app(&auth), token(&office)).await, StatusCode::OK);
    // What an outer layer has verified is not taken over by an inner one that does not trust the issuer.
    let nested = axum::Router::new()
        .route("/", axum::routing::get(crate::support::who).layer(auth.issuers(["shop"])))
        .layer(auth.clone());
    assert_eq!(status(&nested, token(&shop)).await, StatusCode::OK);
    assert_eq!(status(&nested, token(&office)).await, StatusCode::UNAUTHORIZED);
}

#[test]
#[should_panic(expected = "no issuer is called \"other\"")]
fn a_layer_cannot_be_narrowed_to_a_stranger() {
    drop(World::new().auth().issuers(["other"]));
}

#[test]
fn an_unnamed_issuer_whose_keys_are_fetched() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let remote = || Issuer::unnamed("shop").keys(Keys::jwks_url(format!("{ISSUER}/jwks"))).fetch(idp.clone());
    let api = server(&clock, [remote()]);
    let token = || idp.token(API).without_claim("iss");
    assert!(block_on(api.verify(&token().sign())).is_ok());
    idp.rotate();
    assert!(block_on(api.verify(&token().sign())).is_ok(), "the same request, after a rotation");

    let other = Idp::new("-");
    let api = server(&clock, [remote(), unnamed("office", &other)]);
    idp.go_down();
    let refused = block_on(api.verify(&token().sign())).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Unavailable);
    let token = other.token(API).without_claim("iss").sign();
    assert_eq!(
        block_on(api.verify(&token)).unwrap().issuer(),
        "office",
        "one that is down never affects another"
    );
}

#[test]
fn dialects_are_data() {
    let profile = Profile::default()
        .client_claims(["aud_client", "sub"])
        .scope_claims(["/realm_access/roles", "scopes"])
        .types(["access"]);
    let world = World::with(|issuer| issuer.profile(profile));
    let token = || world.token().header("typ", "access");

    let nested = token().claim("realm_access", serde_json::json!({"roles": ["a", "b"]})).sign();
    let accepted = world.accepts("nested", &nested);
    assert_eq!(accepted.scopes().iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(accepted.client_id(), Some("client"), "from sub");

    let array = token().claim("scopes", serde_json::json!(["c"])).claim("aud_client", "x").sign();
    let accepted = world.accepts("array", &array);
    assert!(accepted.scopes().contains("c") && !accepted.scopes().contains("a"));
    assert_eq!(accepted.client_id(), Some("x"), "the first that is present");
    assert_eq!(world.refuses("typ", &world.token().sign()), TokenError::Type);

    for parent in [json!("x"), json!(null), json!([])] {
        // A parent of a wrong type is not an absence that lets the next claim count.
        let token = token().claim("realm_access", parent).claim("scopes", "admin").sign();
        assert_eq!(world.refuses("parent", &token), TokenError::ClaimType);
    }

    let untrusted = World::with(|issuer| issuer.profile(Profile::default().untrusted_scopes()));
    let token = untrusted.token().scopes(["admin"]).sign();
    assert!(untrusted.accepts("whatever was asked for", &token).scopes().is_empty());
    let trusted = World::new();
    assert!(trusted.accepts("trusted", &trusted.token().scopes(["admin"]).sign()).scopes().contains("admin"));
}

#[test]
fn an_empty_string_is_no_identity_and_the_first_that_is_present_counts() {
    let world = World::new();
    let token =
        world.token().claim("client_id", "").claim("azp", "x").claim("sub", "").claim("jti", "").sign();
    let token = world.accepts("empty", &token);
    assert_eq!((token.client_id(), token.subject(), token.token_id()), (None, None, None));
    for (claim, value) in [("azp", "a"), ("cid", "c")] {
        let token = world.token().without_claim("client_id").claim(claim, value).sign();
        assert_eq!(world.accepts(claim, &token).client_id(), Some(value));
    }
    let only_sub = world.token().without_claim("client_id").sign();
    assert_eq!(world.accepts("sub is not the client", &only_sub).client_id(), None);
}

#[test]
fn what_a_token_tells() {
    let world = World::new();
    let raw = world
        .token()
        .client("robot")
        .scopes(["a", "b"])
        .claim("aud", serde_json::json!(["x", API]))
        .claim("jti", "t1")
        .claim("exp", 4_102_444_800.25)
        .claim("nbf", 1_000_000_000)
        .sign();
    let token = world.accepts("good", &raw);
    let at = |seconds: f64| std::time::UNIX_EPOCH + std::time::Duration::from_secs_f64(seconds);
    assert_eq!((token.issuer(), token.issuer_name()), (ISSUER, ISSUER));
    assert_eq!(
        (token.subject(), token.client_id(), token.token_id()),
        (Some("robot"), Some("robot"), Some("t1"))
    );
    assert_eq!(token.scopes().to_string(), "a b");
    assert_eq!(token.audience().collect::<Vec<_>>(), ["x", API]);
    assert_eq!(
        (token.expires_at(), token.not_before()),
        (Some(at(4_102_444_800.25)), Some(at(1_000_000_000.0)))
    );
    assert!(token.issued_at().is_some());
    let claims: serde_json::Value = token.claims().unwrap();
    assert_eq!(claims["exp"], serde_json::json!(4_102_444_800.25));
    assert!(token.claims::<Vec<u8>>().is_err());

    let named = World::with(|issuer| issuer.name("main"));
    let token = named.accepts("named", &named.token().sign());
    assert_eq!((token.issuer(), token.issuer_name()), (ISSUER, "main"));
}

/// A fetch of one unnamed issuer says nothing of the keys of another one.
#[tokio::test]
async fn one_issuers_fetch_does_not_speak_for_another_whose_keys_cannot_be_had() {
    use tower_bearer::manual::defaults::{FRESH_FOR, MISS_BURST, MISS_INTERVAL};
    use tower_bearer::testing::ManualClock;
    let clock = ManualClock::new();
    let (one, two) = ("https://one.example", "https://two.example");
    let idps = [Idp::new(one).clock(clock.clone()), Idp::new(two).clock(clock.clone())];
    let issuer = |idp: &Idp, iss: &str| {
        Issuer::unnamed(iss).keys(Keys::jwks_url(format!("{iss}/jwks"))).fetch(idp.clone())
    };
    let api = server(&clock, [issuer(&idps[0], one), issuer(&idps[1], two)]);
    let good = |idp: &Idp| idp.token(API).without_claim("iss").expires_in(crate::support::seconds(10_000));
    for idp in &idps {
        api.verify(&good(idp).sign()).await.unwrap();
    }
    // The second has rotated, is down, and has no budget left.
    idps[1].rotate();
    idps[1].go_down();
    let rotated = good(&idps[1]).sign();
    for n in 0..2 * MISS_BURST {
        let _ = api.verify(&good(&idps[0]).header("kid", format!("made up {n}")).sign()).await;
    }
    // The first has budget again, so that there is a fetch to wait for.
    clock.advance(MISS_INTERVAL);
    let second_has_none = api.verify(&good(&idps[0]).header("kid", "one more").sign()).await.unwrap_err();
    assert_eq!(second_has_none.kind(), RejectionKind::Unavailable);
    let fetches = idps[0].jwks_fetches();
    clock.advance(MISS_INTERVAL);
    let refused = api.verify(&rotated).await.unwrap_err();
    assert!(idps[0].jwks_fetches() >= fetches);
    assert_eq!(refused.kind(), RejectionKind::Unavailable, "an outage is never the client's fault");
    idps[1].come_back();
    clock.advance(FRESH_FOR);
    api.verify(&rotated).await.unwrap();
}
