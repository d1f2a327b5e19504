//! The corpus of hostile tokens: all are refused by default, each for its own fault, and a weakness is found.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};
use tower_bearer::settings::Settings;
use tower_bearer::testing::{HostileToken, HostileTokens, Idp, ManualClock, NotRefused};
use tower_bearer::{
    Algorithm, HmacAlgorithm, Issuer, Keys, Profile, RejectionKind, ResourceServer, TokenError,
};

use crate::keys::public_pem;
use crate::support::{API, ISSUER, World, app, bearer, block_on, rejection, seconds, send, server, status};

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What only `dangerous_any_audience` lets pass.
const OF_ANY_AUDIENCE: [&str; 13] = [
    "aud-absent",
    "aud-other",
    "aud-others",
    "aud-empty",
    "aud-empty-array",
    "aud-prefix",
    "aud-suffix",
    "aud-slash",
    "aud-case",
    "aud-list-in-string",
    "aud-nul",
    "id-token",
    "refresh-token",
];

/// What a key without `kid` lets pass: there a `kid` is without effect.
const OF_ANY_KID: [&str; 6] = ["kid-path", "kid-sql", "kid-url", "kid-nul", "kid-unknown", "kid-empty"];

/// The faults that a token of this name may be refused for.
fn expected(name: &str) -> &'static [TokenError] {
    use TokenError::*;
    match name {
        "alg-none" | "alg-none-upper-case" | "signature-empty" => &[Structure],
        "alg-null" | "alg-absent" => &[Structure],
        // The key of an RSA issuer does another hash; its kid is known, so this is no reason to fetch.
        "alg-named-rs256" | "alg-named-rs384" | "alg-named-rs512" => &[UnknownKey],
        "alg-named-ps256" | "alg-named-ps384" | "alg-named-ps512" => &[UnknownKey],
        "alg-named-es256" | "alg-named-es384" | "alg-named-es512" | "alg-named-eddsa" => &[UnknownKey],
        "key-other" | "key-other-no-kid" | "key-jwk" | "key-jwk-no-kid" | "key-x5u" | "key-x5c" => {
            &[Signature]
        }
        "key-other-kid" | "key-jku" => &[UnknownKey],
        "kid-long" | "kid-null" | "kid-number" => &[Structure],
        "aud-absent" | "id-token" | "refresh-token" => &[Audience],
        "exp-past" | "exp-just-past" | "exp-zero" | "exp-negative" => &[Expired],
        "nbf-future" | "nbf-soon" => &[NotYetValid],
        "too-long" => &[TooLong],
        "header-changed" | "payload-changed" => &[Signature],
        "signature-der" => &[Signature],
        "cnf-null" | "cnf-string" => &[ClaimType],
        "sub-number" | "jti-number" | "client-id-number" | "scope-object" => &[ClaimType],
        _ => match name.split('-').next().unwrap() {
            "alg" => &[Algorithm],
            "kid" => &[UnknownKey],
            "crit" => &[Critical],
            "dup" | "b64" | "segments" | "segment" | "dot" | "jws" | "jwe" | "nested" | "zip" => &[Structure],
            "header" | "payload" => &[Structure],
            "signature" => &[Signature],
            "aud" => &[Audience],
            "iss" => &[Issuer],
            "exp" | "nbf" | "iat" => &[Time],
            "typ" => &[Type],
            "cnf" => &[Confirmation],
            other => panic!("what is {other}?"),
        },
    }
}

#[track_caller]
fn check_each(world: &World, tokens: &HostileTokens) {
    for hostile in tokens {
        let error = world.refuses(hostile.name(), hostile.token());
        assert!(expected(hostile.name()).contains(&error), "{hostile:?}: {error:?}");
    }
}

/// The names of the accepted ones.
#[track_caller]
fn accepted(found: &Result<usize, NotRefused>) -> BTreeSet<&str> {
    let report = found.as_ref().expect_err("something is accepted");
    assert!(report.good().is_none(), "{report}");
    assert_eq!(report.undecided().count(), 0, "{report}");
    report.accepted().map(HostileToken::name).collect()
}

fn names<const N: usize>(names: [&'static str; N]) -> BTreeSet<&'static str> {
    names.into()
}

#[test]
fn every_one_is_refused_by_default_for_its_own_fault() {
    for algorithm in
        [Algorithm::ES256, Algorithm::ES512, Algorithm::RS256, Algorithm::PS256, Algorithm::Ed25519]
    {
        let world = World::of([algorithm], |issuer| issuer);
        let tokens = HostileTokens::of(&world.token());
        let refused = block_on(tokens.check(&world.api)).unwrap();
        assert_eq!(refused, tokens.iter().count(), "{algorithm}");
        check_each(&world, &tokens);
    }
}

#[test]
fn one_of_several_keys_and_a_shared_secret_are_as_strict() {
    let world = World::of([Algorithm::RS256, Algorithm::ES256, Algorithm::ES384], |issuer| issuer);
    let tokens = HostileTokens::of(&world.idp.token_of(Algorithm::ES384, API));
    block_on(tokens.check(&world.api)).unwrap();
    check_each(&world, &tokens);

    let secret = World::with(|issuer| issuer.keys(Keys::hmac(*SECRET, HmacAlgorithm::ALL)));
    for algorithm in HmacAlgorithm::ALL {
        let tokens = HostileTokens::of_hmac(&secret.token(), algorithm, SECRET);
        assert!(tokens.iter().any(|hostile| hostile.name() == "alg-named-es256"), "{tokens:?}");
        // A secret has no kid.
        assert_eq!(accepted(&block_on(tokens.check(&secret.api))), names(OF_ANY_KID), "{algorithm}");
        block_on(tokens.except(OF_ANY_KID).check(&secret.api)).unwrap();
    }
}

#[test]
fn names_are_unique_and_reasons_are_sentences() {
    let world = World::new();
    let tokens = HostileTokens::of(&world.token());
    let mut names = BTreeSet::new();
    for hostile in &tokens {
        let name = hostile.name();
        assert!(names.insert(name), "{name} twice");
        let words: Vec<&str> = name.split('-').collect();
        let kebab = |word: &&str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        assert!(words.iter().all(kebab), "{name}");
        expected(name);
        let why = hostile.why();
        assert!(why.len() > 20 && why.ends_with('.') && !why.contains('\n'), "{name}: {why}");
        assert_eq!(format!("{hostile:?}"), name);
        assert!(!format!("{tokens:?}").contains(hostile.token()), "{name}");
    }
    assert!((150..250).contains(&names.len()), "{}", names.len());
    let texts: BTreeSet<&str> = tokens.iter().map(HostileToken::token).collect();
    assert_eq!(texts.len(), names.len(), "each is another token");
}

/// If the signature did not hold, it alone would refuse a token, and nothing would be learnt of the check in question.
#[test]
fn faults_of_claims_and_headers_lie_under_the_issuers_signature() {
    let world = World::new();
    let jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    // As lax as can be: whatever the alphabet, padding, white space or left-over bits.
    let holds = |token: &str| {
        let Some((input, signature)) = token.rsplit_once('.') else { return false };
        let signature: String = signature.chars().filter(|c| !"= ".contains(*c)).collect();
        let signature = signature.replace('-', "+").replace('_', "/");
        use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
        let lax = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone);
        let lax = GeneralPurpose::new(&base64::alphabet::STANDARD, lax);
        lax.decode(signature).is_ok_and(|signature| key.verify(input.as_bytes(), &signature).is_ok())
    };
    assert!(holds(&world.token().sign()));
    let changed_after_signing = [
        "header-changed",
        "payload-changed",
        "dot-leading",
        "dot-trailing",
        "segments-two",
        "segments-four",
        "segments-many",
        "jwe",
        "jws-json-flattened",
        "jws-json-general",
        "alg-none",
        "alg-none-upper-case",
        "alg-none-mixed-case",
    ];
    for hostile in &HostileTokens::of(&world.token()) {
        let name = hostile.name();
        let forged = ["signature-", "key-", "alg-hs"].iter().any(|prefix| name.starts_with(prefix));
        let expected = !forged && !changed_after_signing.contains(&name);
        assert_eq!(holds(hostile.token()), expected, "{name}");
    }
}

/// A PEM file as programs write it: lines of 64 characters (RFC 7468 §2).
fn file(pem: &str) -> String {
    let wrap = |line: &str| {
        let pieces: Vec<_> =
            line.as_bytes().chunks(64).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        pieces.join("\n") + "\n"
    };
    pem.lines().map(wrap).collect()
}

/// The issuer's public key, as this test writes it, is the secret of those tokens.
#[test]
fn confused_tokens_are_keyed_with_the_public_key() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES512, Algorithm::Ed25519] {
        let world = World::of([algorithm], |issuer| issuer);
        let jwks: Value = serde_json::from_str(&world.idp.jwks()).unwrap();
        let pem = file(&public_pem(&jwks["keys"][0]));
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let good = world.token();
        let tokens = HostileTokens::of(&good);
        let token = |name: &str| tokens.iter().find(|hostile| hostile.name() == name).unwrap().token();
        for (name, hmac, secret) in [
            ("alg-hs256-with-pem", HmacAlgorithm::HS256, pem.clone().into_bytes()),
            ("alg-hs384-with-pem-trimmed", HmacAlgorithm::HS384, pem.trim_end().as_bytes().to_vec()),
            ("alg-hs512-with-der", HmacAlgorithm::HS512, STANDARD.decode(&der).unwrap()),
            ("alg-hs256-with-jwk", HmacAlgorithm::HS256, jwks["keys"][0].to_string().into_bytes()),
        ] {
            assert_eq!(token(name), good.sign_hmac(hmac, &secret), "{algorithm}: {name}");
        }
        let x = jwks["keys"][0]["x"].as_str().or_else(|| jwks["keys"][0]["n"].as_str()).unwrap();
        let x = URL_SAFE_NO_PAD.decode(x).unwrap();
        let raw = match jwks["keys"][0]["y"].as_str() {
            Some(y) => [vec![4], x, URL_SAFE_NO_PAD.decode(y).unwrap()].concat(),
            None => x,
        };
        assert_eq!(token("alg-hs256-with-raw"), good.sign_hmac(HmacAlgorithm::HS256, &raw), "{algorithm}");
    }
}

#[test]
fn planted_any_audience_is_found() {
    let world = World::with(|issuer| issuer.dangerous_any_audience());
    let tokens = HostileTokens::of(&world.token());
    let found = block_on(tokens.check(&world.api));
    assert_eq!(accepted(&found), names(OF_ANY_AUDIENCE));
    let report = found.unwrap_err().to_string();
    let (first, rest) = report.split_once('\n').unwrap();
    assert_eq!(first, format!("13 of {} hostile tokens were not refused as such", tokens.iter().count()));
    assert!(rest.contains("accepted: aud-other: RFC 8725 §3.9"), "{report}");
    assert_eq!(rest.lines().count(), 13, "{report}");
    // And when it is meant.
    let count = tokens.iter().count();
    assert_eq!(block_on(tokens.except(OF_ANY_AUDIENCE).check(&world.api)).unwrap(), count - 13);
}

#[test]
fn planted_types_leeway_and_profile_are_found() {
    let types = World::with(|issuer| issuer.types(["at+jwt", "logout+jwt", "dpop+jwt", ""]));
    let found = block_on(HostileTokens::of(&types.token()).check(&types.api));
    assert_eq!(accepted(&found), names(["typ-logout", "typ-dpop"]));

    let leeway = World::with(|issuer| issuer.leeway(seconds(300)));
    let found = block_on(HostileTokens::of(&leeway.token()).check(&leeway.api));
    assert_eq!(accepted(&found), names(["exp-just-past", "nbf-soon", "iat-soon"]));

    let profile =
        World::with(|issuer| issuer.profile(Profile::default().client_claims(["azp"]).scope_claims(["scp"])));
    let found = block_on(HostileTokens::of(&profile.token()).check(&profile.api));
    assert_eq!(accepted(&found), names(["scope-object", "client-id-number"]));
}

/// A key without a kid, and a second issuer that uses the public key as its secret, as a wrong file would have it.
#[test]
fn planted_secret_that_is_the_public_key_is_found() {
    let clock = ManualClock::new();
    let idp = Idp::with_algorithms(ISSUER, [Algorithm::RS256]).clock(clock.clone());
    let jwks: Value = serde_json::from_str(&idp.jwks()).unwrap();
    let pem = file(&public_pem(&jwks["keys"][0]));
    let shop = Issuer::unnamed("shop").keys(Keys::jwks(idp.jwks()));
    let good = idp.token(API).without_claim("iss");
    let tokens = HostileTokens::of(&good);
    assert!(tokens.iter().all(|hostile| hostile.name() != "iss-absent"), "that would be the good token");
    block_on(tokens.check(&server(&clock, [shop]))).unwrap();

    let shop = Issuer::unnamed("shop").keys(Keys::jwks(idp.jwks()));
    // As PEM, JWK or DER it would not be taken for a secret.
    let raw = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["n"].as_str().unwrap()).unwrap();
    let wrong = Issuer::unnamed("wrong").keys(Keys::hmac(raw, HmacAlgorithm::ALL));
    let found = block_on(tokens.check(&server(&clock, [shop, wrong])));
    assert_eq!(accepted(&found), names(["alg-hs256-with-raw", "alg-hs384-with-raw", "alg-hs512-with-raw"]));

    let by_pem = Issuer::unnamed("shop").keys(Keys::pem(pem));
    let found = block_on(tokens.check(&server(&clock, [by_pem])));
    assert_eq!(accepted(&found), names(OF_ANY_KID));
}

/// The good token comes first and last: else a server that refuses everything would pass.
#[test]
fn a_refused_good_token_is_no_proof() {
    let world = World::new();
    let good = world.token();
    assert!(block_on(HostileTokens::of(&good).check(&world.api)).is_ok());
    let refused = |tokens: &HostileTokens, api: &ResourceServer| {
        let report = block_on(tokens.check(api)).unwrap_err();
        assert!(report.to_string().contains("the good token is refused"), "{report}");
        assert_eq!(report.to_string(), format!("{report:?}"));
        report.good().unwrap().clone()
    };
    let other = HostileTokens::of(&world.idp.token("https://other.example.com"));
    assert_eq!(refused(&other, &world.api).token_error(), Some(TokenError::Audience));
    // An HMAC issuer refuses a token of a key, whatever else it would refuse.
    let hmac = World::with(|issuer| issuer.keys(Keys::hmac(*SECRET, [HmacAlgorithm::HS256])));
    let of_key = HostileTokens::of(&hmac.token());
    assert_eq!(refused(&of_key, &hmac.api).token_error(), Some(TokenError::Algorithm));
    world.clock.advance(seconds(3600));
    assert_eq!(refused(&HostileTokens::of(&good), &world.api).token_error(), Some(TokenError::Expired));
    let cold = World::new();
    cold.idp.go_down();
    assert_eq!(refused(&HostileTokens::of(&cold.token()), &cold.api).kind(), RejectionKind::Unavailable);
}

/// An outage is no verdict.
#[test]
fn what_is_refused_for_want_of_keys_is_reported() {
    let world = World::new();
    let tokens = HostileTokens::of(&world.token());
    world.accepts("good", &world.token().sign());
    world.idp.go_down();
    let report = block_on(tokens.check(&world.api)).unwrap_err();
    assert!(report.good().is_none(), "its key is there");
    assert_eq!(report.accepted().count(), 0, "{report}");
    let undecided: BTreeSet<&str> = report.undecided().map(|(hostile, _)| hostile.name()).collect();
    assert!(undecided.contains("kid-unknown") && undecided.contains("key-other-no-kid"), "{report}");
    assert!(undecided.iter().all(|name| name.starts_with("ki") || name.starts_with("key-")), "{report}");
    assert!(report.undecided().all(|(_, why)| why.kind() == RejectionKind::Unavailable), "{report}");
    assert!(report.to_string().contains("undecided: kid-unknown: "), "{report}");
    world.idp.come_back();
    world.clock.advance(seconds(61));
    block_on(tokens.check(&world.api)).unwrap();
}

#[test]
#[should_panic(expected = "\"aud-no-such\"")]
fn an_unknown_name_is_not_left_out() {
    let _ = HostileTokens::of(&World::new().token()).except(["aud-other", "aud-no-such"]);
}

/// What follows from the audience follows from the token's own, however it is written.
#[test]
fn a_good_token_of_another_shape() {
    let world = World::of([Algorithm::ES256], |issuer| issuer.audience("orders").types(["JWT"]));
    let good = world
        .token()
        .claim("aud", json!(["orders", "https://other.example.com"]))
        .header("typ", "JWT")
        .without_header("kid")
        .without_claim("jti")
        .without_claim("iat")
        .claim("name", "Zoë \"x\"");
    let tokens = HostileTokens::of(&good);
    block_on(tokens.check(&world.api)).unwrap();
    let case = tokens.iter().find(|hostile| hostile.name() == "aud-case").unwrap().token();
    let payload = URL_SAFE_NO_PAD.decode(case.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap()["aud"], "ORDERS");
}

/// As a service's own test would do it.
#[test]
fn a_settings_file_passes_or_is_found_weak() {
    let clock = ManualClock::new();
    let idp = Idp::new(ISSUER).clock(clock.clone());
    let good = idp.token(API).scopes(["orders:read"]);
    let check = |rest: &str| {
        let text = format!("resource = \"{API}\"\n[[issuer]]\niss = \"{ISSUER}\"\n{rest}");
        let builder = Settings::from_toml(&text).unwrap().builder().unwrap();
        let api = builder.fetch(idp.clone()).clock(clock.clone()).build().unwrap();
        block_on(HostileTokens::of(&good).check(&api))
    };
    check("leeway = \"10s\"\ntypes = [\"at+jwt\"]").unwrap();
    assert_eq!(accepted(&check("dangerous_any_audience = true")), names(OF_ANY_AUDIENCE));
    assert_eq!(accepted(&check("types = [\"at+jwt\", \"kb+jwt\"]")), names(["typ-key-binding"]));
}

/// The same verdicts through the layer, but that some cannot be credentials at all.
#[tokio::test]
async fn the_layer_refuses_each_too() {
    let malformed = ["b64-space-header", "b64-space-payload", "b64-space-signature"];
    let malformed = [&malformed[..], &["b64-padding-header", "b64-padding-payload", "b64-false"]].concat();
    for algorithm in [Algorithm::ES256, Algorithm::PS256] {
        let world = World::of([algorithm], |issuer| issuer);
        let app = app(&world.auth());
        let good = world.token();
        assert_eq!(status(&app, bearer(&good.sign())).await, StatusCode::OK);
        for hostile in &HostileTokens::of(&good) {
            let name = hostile.name();
            let response = send(&app, bearer(hostile.token())).await;
            let rejection = rejection(&response);
            if malformed.contains(&name) || name.starts_with("jws-json") {
                assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}");
                assert_eq!(rejection.kind(), RejectionKind::MalformedRequest, "{name}");
            } else {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
                let error = rejection.token_error().unwrap_or_else(|| panic!("{name}: {rejection:?}"));
                assert!(expected(name).contains(&error), "{name}: {error:?}");
            }
        }
        assert_eq!(status(&app, bearer(&good.sign())).await, StatusCode::OK);
    }
}
