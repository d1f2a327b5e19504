//! What went wrong elsewhere, each shown not to go wrong here: classes of incidents, and faults of other crates.

use http::StatusCode;
use serde_json::{Value, json};
use tower_bearer::testing::Idp;
use tower_bearer::{Algorithm, BearerAuthLayer, HmacAlgorithm, Issuer, Keys, ResourceServer, TokenError};

use crate::keys::public_pem;
use crate::support::{API, ISSUER, World, app, bearer, challenge, request, seconds, send, server, status};

/// CVE-2015-9235 and its kin: the public key, as anybody can read it, used as an HMAC secret.
#[test]
fn algorithm_confusion_with_the_public_key_as_secret() {
    let world = World::of([Algorithm::RS256], |issuer| issuer);
    let good = world.token();
    world.accepts("RS256", &good.sign());
    let jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let jwk = &jwks["keys"][0];
    let pem = public_pem(jwk);
    for (name, secret) in [
        ("PEM", pem.clone()),
        ("PEM without its last newline", pem.trim_end().to_owned()),
        ("JWK", jwk.to_string()),
        ("modulus", jwk["n"].as_str().unwrap().to_owned()),
        ("nothing", String::new()),
    ] {
        for algorithm in HmacAlgorithm::ALL {
            let forged = good.sign_hmac(algorithm, secret.as_bytes());
            assert_eq!(world.refuses(name, &forged), TokenError::Algorithm, "{name} with {algorithm}");
        }
    }
}

/// A symmetric key in a key set is never a key, not even to tokens that name it.
#[test]
fn a_key_set_cannot_lead_to_hmac() {
    let secret = [7; 64];
    let world = World::new();
    let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    use base64::Engine;
    let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
    jwks["keys"].as_array_mut().unwrap().push(json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": k}));
    world.idp.publish(jwks.to_string());
    world.accepts("ES256", &world.token().sign());
    let forged = world.token().header("kid", "s").sign_hmac(HmacAlgorithm::HS256, &secret);
    assert_eq!(world.refuses("HS256", &forged), TokenError::Algorithm);
    // And where the secret is configured, it is accepted.
    let shared = World::with(|issuer| issuer.keys(Keys::hmac(secret, [HmacAlgorithm::HS256])));
    shared.accepts("HS256", &shared.token().sign_hmac(HmacAlgorithm::HS256, &secret));
}

/// Unsigned tokens, however they are spelled.
#[test]
fn unsigned_tokens() {
    let world = World::new();
    let token = world.token();
    world.accepts("signed", &token.sign());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let signed = token.clone().header("alg", alg).sign();
        let (input, _) = signed.rsplit_once('.').unwrap();
        for signature in ["", "AA", "bm9uZQ"] {
            let unsigned = format!("{input}.{signature}");
            let error = world.refuses(alg, &unsigned);
            assert!(matches!(error, TokenError::Algorithm | TokenError::Structure), "{alg}: {error:?}");
        }
    }
}

/// Six crates accept a token without `aud` or `iss` although both are configured.
#[test]
fn peer_fault_absent_aud_or_iss_is_accepted() {
    let world = World::new();
    world.accepts("with both", &world.token().sign());
    assert_eq!(world.refuses("aud", &world.token().without_claim("aud").sign()), TokenError::Audience);
    assert_eq!(world.refuses("iss", &world.token().without_claim("iss").sign()), TokenError::Issuer);
}

/// One checks `iss` only when its keys were discovered.
#[test]
fn peer_fault_iss_is_not_checked_with_a_jwks_url_or_fixed_keys() {
    let idp = Idp::new(ISSUER);
    let url = Issuer::new(ISSUER).keys(Keys::jwks_url(format!("{ISSUER}/jwks"))).fetch(idp.clone());
    let fixed = Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()));
    for (name, issuer) in [("URL", url), ("fixed", fixed)] {
        let api = ResourceServer::builder(API).issuer(issuer).build().unwrap();
        let verify = |token: String| crate::support::block_on(api.verify(&token));
        assert!(verify(idp.token(API).sign()).is_ok(), "{name}");
        assert!(verify(idp.token(API).claim("iss", "https://other").sign()).is_err(), "{name}");
        assert!(verify(idp.token(API).without_claim("iss").sign()).is_err(), "{name}");
    }
}

/// One lets requests without a token pass.
#[tokio::test]
async fn peer_fault_no_token_passes() {
    let world = World::new();
    let app = app(&world.auth());
    assert_eq!(status(&app, bearer(&world.token().sign())).await, StatusCode::OK);
    assert_eq!(status(&app, request(&[])).await, StatusCode::UNAUTHORIZED);
}

/// One panics at an unsigned header that names the algorithm of a P-521 key in the set.
#[test]
fn peer_fault_a_p521_key_and_an_es512_header_panic() {
    let world = World::of([Algorithm::ES256, Algorithm::ES512], |i| i.algorithms([Algorithm::ES256]));
    world.accepts("ES256", &world.idp.token_of(Algorithm::ES256, API).sign());
    let es512 = world.idp.token_of(Algorithm::ES512, API);
    assert_eq!(world.refuses("ES512", &es512.sign()), TokenError::Algorithm);
    let all = World::of([Algorithm::ES256, Algorithm::ES512], |issuer| issuer);
    let (input, _) = {
        let signed = all.idp.token_of(Algorithm::ES512, API).sign();
        all.accepts("ES512", &signed);
        let (input, signature) = signed.rsplit_once('.').unwrap();
        (input.to_owned(), signature.to_owned())
    };
    for signature in ["AA", "AAAA", &"A".repeat(176)] {
        all.refuses("ES512 unsigned", &format!("{input}.{signature}"));
    }
}

/// One never notices a rotation, others after minutes or an hour.
#[test]
fn peer_fault_a_rotation_is_not_noticed() {
    let world = World::new();
    world.accepts("before", &world.token().sign());
    world.idp.rotate();
    world.idp.retire();
    world.accepts("after, at once", &world.token().sign());
}

/// One fetches once for each made-up kid; one sends the kid to the issuer.
#[test]
fn peer_fault_made_up_kids_reach_the_issuer() {
    let world = World::new();
    world.accepts("known", &world.token().sign());
    for n in 0..50 {
        world.refuses("made up", &world.token().header("kid", format!("made-up-{n}")).sign());
    }
    let fetched = world.idp.fetched();
    assert!(fetched.len() <= 4, "{fetched:?}");
    assert!(fetched.iter().all(|url| !url.contains("made-up") && !url.contains('?')), "{fetched:?}");
}

/// Five lose the whole set to one key that they do not understand.
#[test]
fn peer_fault_one_odd_key_disables_the_set() {
    let world = World::new();
    let mut jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let keys = jwks["keys"].as_array_mut().unwrap();
    keys.insert(0, json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}));
    keys.insert(0, json!({"kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "n": "AQ", "e": "AQAB"}));
    world.idp.publish(jwks.to_string());
    world.accepts("the good key", &world.token().sign());
}

/// Three answer a client's mistake with 5xx.
#[tokio::test]
async fn peer_fault_client_mistakes_are_5xx() {
    let world = World::new();
    let app = app(&world.auth());
    assert_eq!(status(&app, bearer(&world.token().sign())).await, StatusCode::OK);
    for junk in ["x", "a.b.c", "..", "a.b.c.d", "eyJhbGciOiJFUzI1NiJ9.e30.AA", &"A".repeat(20_000)] {
        assert_eq!(status(&app, bearer(junk)).await, StatusCode::UNAUTHORIZED, "{junk}");
    }
    for token in
        [world.token().without_header("kid").header("alg", "RS256"), world.token().header("kid", "x")]
    {
        assert_eq!(status(&app, bearer(&token.sign())).await, StatusCode::UNAUTHORIZED);
    }
}

/// Six send no challenge, or one whose parameters have no commas.
#[tokio::test]
async fn peer_fault_missing_or_malformed_challenge() {
    let world = World::new();
    let app = app(&world.auth().scopes(["a", "b"]));
    let good = world.token().scopes(["a", "b"]).sign();
    assert_eq!(status(&app, bearer(&good)).await, StatusCode::OK);
    for request in [request(&[]), request(&["Bearer"]), bearer("x"), bearer(&world.token().sign())] {
        let response = send(&app, request).await;
        let text = challenge(&response).expect("a challenge");
        let parameters = text.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{text}"));
        for parameter in parameters.split(", ") {
            let (name, value) = parameter.split_once('=').unwrap_or_else(|| panic!("{text}"));
            assert!(["error", "error_description", "scope"].contains(&name), "{text}");
            assert!(value.len() > 2 && value.starts_with('"') && value.ends_with('"'), "{text}");
            assert!(!value[1..value.len() - 1].contains(['"', '\\']), "{text}");
        }
    }
}

/// All but two take a token that is bound to a key as a plain one.
#[test]
fn peer_fault_bound_tokens_pass_as_plain_ones() {
    let world = World::new();
    world.accepts("plain", &world.token().sign());
    let bound = world.token().claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}));
    assert_eq!(world.refuses("bound", &bound.sign()), TokenError::Confirmation);
}

/// Keys of a set that were pooled over issuers: a valid token of one issuer, renamed.
#[test]
fn pooled_keys() {
    let one = Idp::new(ISSUER);
    let two = Idp::new("https://two.example.com");
    let clock = tower_bearer::testing::ManualClock::new();
    let api = server(&clock, [one.issuer(), two.issuer()]);
    let good = two.token(API).sign();
    assert!(crate::support::block_on(api.verify(&good)).is_ok());
    let forged = two.renamed(ISSUER).token(API).sign();
    assert!(crate::support::block_on(api.verify(&forged)).is_err());
}

/// A refresh token or an ID token under the same key (the shapes of a documented system).
#[test]
fn other_tokens_of_the_same_key() {
    let world = World::new();
    world.accepts("access token", &world.token().header("typ", "JWT").without_header("kid").sign());
    let jwt = || world.token().header("typ", "JWT").without_header("kid").without_claim("client_id");
    let refresh = jwt().without_claim("exp").without_claim("aud").claim("typ", "refresh");
    assert_eq!(world.refuses("refresh token", &refresh.sign()), TokenError::Audience);
    let refresh_for_us = jwt().without_claim("exp").claim("typ", "refresh");
    assert_eq!(world.refuses("refresh token for us", &refresh_for_us.sign()), TokenError::Time);
    let id_token = jwt().claim("aud", "client");
    assert_eq!(world.refuses("ID token", &id_token.sign()), TokenError::Audience);
    let introspection = world.token().header("typ", "token-introspection+jwt");
    assert_eq!(world.refuses("introspection answer", &introspection.sign()), TokenError::Type);
}

/// The time is looked at on every request, also through one and the same layer.
#[tokio::test]
async fn a_verdict_does_not_outlive_the_token() {
    let world = World::new();
    let app = app(&BearerAuthLayer::new(world.api.clone()));
    let token = world.token().expires_in(seconds(100)).sign();
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK);
    world.clock.advance(seconds(159));
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::OK, "within the leeway");
    world.clock.advance(seconds(2));
    assert_eq!(status(&app, bearer(&token)).await, StatusCode::UNAUTHORIZED);
}

/// Parser bombs are refused before they cost anything: by length, depth, and count.
#[test]
fn parser_bombs() {
    let world = World::new();
    let token = world.token();
    world.accepts("good", &token.sign());
    for (name, bomb) in [
        ("dots", ".".repeat(1_000_000)),
        ("length", "A".repeat(10_000_000)),
        ("depth", token.sign_raw(&token.header_json(), &"[".repeat(10_000))),
        ("members", {
            let members: String = (0..1_500).map(|n| format!("\"{n}\":0,")).collect();
            token.sign_raw(
                &token.header_json(),
                &token.claims_json().replacen('{', &format!("{{\"0\":1,{members}"), 1),
            )
        }),
        ("numbers", token.sign_raw(&token.header_json(), &format!("{{\"exp\":{}}}", "9".repeat(10_000)))),
    ] {
        world.refuses(name, &bomb);
    }
}
