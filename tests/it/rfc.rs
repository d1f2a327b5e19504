//! The requirements of the standards on a token, by section. Each refusal stands beside the token unharmed.

use serde_json::json;
use tower_bearer::manual::defaults::{DEFAULT_LEEWAY, MAX_JSON_DEPTH, MAX_KID_LENGTH, MAX_TOKEN_LENGTH};
use tower_bearer::testing::{Idp, TokenBuilder};
use tower_bearer::{Algorithm, HmacAlgorithm, Keys, Profile, TokenError};

use crate::support::{API, ISSUER, World, seconds};

/// What a changed token is refused for.
struct Case {
    name: &'static str,
    change: fn(TokenBuilder) -> TokenBuilder,
    error: TokenError,
}

const fn case(name: &'static str, change: fn(TokenBuilder) -> TokenBuilder, error: TokenError) -> Case {
    Case { name, change, error }
}

#[track_caller]
fn check(world: &World, cases: &[Case]) {
    world.accepts("unharmed", &world.token().sign());
    for Case { name, change, error } in cases {
        assert_eq!(world.refuses(name, &change(world.token()).sign()), *error, "{name}");
    }
}

#[test]
fn rfc7515_4_1_1_alg_is_known_exact_and_allowed() {
    check(
        &World::new(),
        &[
            case("none", |t| t.header("alg", "none"), TokenError::Algorithm),
            case("None", |t| t.header("alg", "None"), TokenError::Algorithm),
            case("nOnE", |t| t.header("alg", "nOnE"), TokenError::Algorithm),
            case("empty", |t| t.header("alg", ""), TokenError::Algorithm),
            case("lower case", |t| t.header("alg", "es256"), TokenError::Algorithm),
            case("space", |t| t.header("alg", "ES256 "), TokenError::Algorithm),
            case("ES256K", |t| t.header("alg", "ES256K"), TokenError::Algorithm),
            case("HS256", |t| t.header("alg", "HS256"), TokenError::Algorithm),
            case("absent", |t| t.without_header("alg"), TokenError::Structure),
            case("null", |t| t.header("alg", json!(null)), TokenError::Structure),
            case("array", |t| t.header("alg", json!(["ES256"])), TokenError::Structure),
        ],
    );
}

#[test]
fn rfc8725_3_1_only_the_algorithms_of_the_issuer() {
    let all = World::of([Algorithm::ES256, Algorithm::Ed25519], |issuer| issuer);
    let one = World::of([Algorithm::ES256, Algorithm::Ed25519], |i| i.algorithms([Algorithm::ES256]));
    for world in [&all, &one] {
        world.accepts("ES256", &world.idp.token_of(Algorithm::ES256, API).sign());
    }
    all.accepts("EdDSA", &all.idp.token_of(Algorithm::Ed25519, API).sign());
    let eddsa = one.idp.token_of(Algorithm::Ed25519, API).sign();
    assert_eq!(one.refuses("EdDSA", &eddsa), TokenError::Algorithm);
}

#[test]
fn rfc9864_ed25519_has_two_names() {
    let world = World::of([Algorithm::Ed25519], |issuer| issuer.algorithms(["EdDSA".parse().unwrap()]));
    for name in ["EdDSA", "Ed25519"] {
        world.accepts(name, &world.token().header("alg", name).sign());
    }
    assert_eq!(world.refuses("Ed448", &world.token().header("alg", "Ed448").sign()), TokenError::Algorithm);
}

#[test]
fn rfc7515_4_1_9_typ_ignores_case_and_application() {
    let world = World::new();
    for typ in
        ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "JWT", "jwt", "application/jwt", ""]
    {
        world.accepts(typ, &world.token().header("typ", typ).sign());
    }
    world.accepts("absent", &world.token().without_header("typ").sign());
    check(
        &world,
        &[
            case("access", |t| t.header("typ", "access"), TokenError::Type),
            case("dpop+jwt", |t| t.header("typ", "dpop+jwt"), TokenError::Type),
            case("logout+jwt", |t| t.header("typ", "logout+jwt"), TokenError::Type),
            case("secevent+jwt", |t| t.header("typ", "secevent+jwt"), TokenError::Type),
            // RFC 9701 §8.1: never an access token.
            case("introspection", |t| t.header("typ", "token-introspection+jwt"), TokenError::Type),
            case("at+jwt with a space", |t| t.header("typ", " at+jwt"), TokenError::Type),
            case("text/at+jwt", |t| t.header("typ", "text/at+jwt"), TokenError::Type),
            case("application/", |t| t.header("typ", "application/"), TokenError::Type),
            case("number", |t| t.header("typ", 1), TokenError::Type),
            case("null", |t| t.header("typ", json!(null)), TokenError::Type),
        ],
    );
    let strict = World::with(|issuer| issuer.types(["at+jwt"]));
    check(
        &strict,
        &[
            case("JWT", |t| t.header("typ", "JWT"), TokenError::Type),
            case("empty", |t| t.header("typ", ""), TokenError::Type),
            case("absent", |t| t.without_header("typ"), TokenError::Type),
        ],
    );
}

#[test]
fn rfc7515_4_1_11_every_crit_is_refused() {
    check(
        &World::new(),
        &[
            case("exp", |t| t.header("crit", json!(["exp"])).header("exp", 1), TokenError::Critical),
            case("b64", |t| t.header("crit", json!(["b64"])).header("b64", false), TokenError::Critical),
            case("empty", |t| t.header("crit", json!([])), TokenError::Critical),
            case("null", |t| t.header("crit", json!(null)), TokenError::Critical),
            case("text", |t| t.header("crit", "x"), TokenError::Critical),
        ],
    );
}

#[test]
fn rfc7515_4_1_4_kid_is_an_opaque_name() {
    let world = World::new();
    world.accepts("absent", &world.token().without_header("kid").sign());
    check(
        &world,
        &[
            case("unknown", |t| t.header("kid", "other"), TokenError::UnknownKey),
            case("empty", |t| t.header("kid", ""), TokenError::UnknownKey),
            case("path", |t| t.header("kid", "../../etc/passwd"), TokenError::UnknownKey),
            case("SQL", |t| t.header("kid", "' OR 1=1 --"), TokenError::UnknownKey),
            case("URL", |t| t.header("kid", "https://evil.example.com/key"), TokenError::UnknownKey),
            case("longest", |t| t.header("kid", "k".repeat(MAX_KID_LENGTH)), TokenError::UnknownKey),
            case("too long", |t| t.header("kid", "k".repeat(MAX_KID_LENGTH + 1)), TokenError::Structure),
            case("number", |t| t.header("kid", 1), TokenError::Structure),
            case("null", |t| t.header("kid", json!(null)), TokenError::Structure),
        ],
    );
    // No kid was ever sent anywhere: only discovery and the key set were fetched.
    assert!(world.idp.fetched().iter().all(|url| url.ends_with("/jwks") || url.contains("/.well-known/")));
}

#[test]
fn rfc7515_4_1_key_material_in_the_header_is_ignored() {
    let world = World::new();
    let attacker = Idp::new(ISSUER);
    let jwks: serde_json::Value = serde_json::from_str(&attacker.jwks()).unwrap();
    let jwk = jwks["keys"][0].clone();
    world.accepts("a good token may say anything", &world.token().header("jku", "https://x/").sign());
    let forged = || attacker.token(API).header("kid", kid_of(&world));
    for (name, token) in [
        ("plain", forged()),
        ("jwk", forged().header("jwk", jwk)),
        ("jku", forged().header("jku", "https://evil.example.com/jwks")),
        ("x5u", forged().header("x5u", "https://evil.example.com/cert")),
        ("x5c", forged().header("x5c", json!(["MIIB"]))),
    ] {
        assert_eq!(world.refuses(name, &token.sign()), TokenError::Signature, "{name}");
    }
    assert!(world.idp.fetched().iter().all(|url| url.starts_with(ISSUER)));
}

fn kid_of(world: &World) -> String {
    let jwks: serde_json::Value = serde_json::from_str(&world.idp.jwks()).unwrap();
    jwks["keys"][0]["kid"].as_str().unwrap().to_owned()
}

#[test]
fn rfc7519_4_1_1_iss_is_present_a_string_and_exact() {
    check(
        &World::new(),
        &[
            case("absent", |t| t.without_claim("iss"), TokenError::Issuer),
            case("other", |t| t.claim("iss", "https://evil.example.com"), TokenError::Issuer),
            case("slash", |t| t.claim("iss", "https://id.example.com/"), TokenError::Issuer),
            case("case", |t| t.claim("iss", "https://ID.example.com"), TokenError::Issuer),
            case("part", |t| t.claim("iss", "https://id.example.co"), TokenError::Issuer),
            case("longer", |t| t.claim("iss", "https://id.example.com.evil"), TokenError::Issuer),
            case("empty", |t| t.claim("iss", ""), TokenError::Issuer),
            case("null", |t| t.claim("iss", json!(null)), TokenError::Issuer),
            case("array", |t| t.claim("iss", json!([ISSUER])), TokenError::Issuer),
            case("two", |t| t.claim("iss", json!([ISSUER, "https://evil"])), TokenError::Issuer),
            case("object", |t| t.claim("iss", json!({"a": ISSUER})), TokenError::Issuer),
        ],
    );
}

#[test]
fn rfc7519_4_1_3_aud_is_present_and_holds_ours() {
    let world = World::new();
    world.accepts("array", &world.token().claim("aud", json!(["https://other", API])).sign());
    check(
        &world,
        &[
            case("absent", |t| t.without_claim("aud"), TokenError::Audience),
            case("other", |t| t.claim("aud", "https://other.example.com"), TokenError::Audience),
            case("slash", |t| t.claim("aud", "https://api.example.com/"), TokenError::Audience),
            case("part", |t| t.claim("aud", "https://api.example.co"), TokenError::Audience),
            case("list in a string", |t| t.claim("aud", "https://api.example.com x"), TokenError::Audience),
            case("empty", |t| t.claim("aud", ""), TokenError::Audience),
            case("empty array", |t| t.claim("aud", json!([])), TokenError::Audience),
            case("null", |t| t.claim("aud", json!(null)), TokenError::Audience),
            case("number", |t| t.claim("aud", 1), TokenError::Audience),
            case("object", |t| t.claim("aud", json!({"a": API})), TokenError::Audience),
            case("mixed array", |t| t.claim("aud", json!([API, 1])), TokenError::Audience),
            case("nested array", |t| t.claim("aud", json!([[API]])), TokenError::Audience),
        ],
    );
}

#[test]
fn an_issuer_has_audiences_of_its_own_or_by_a_dangerous_switch_any() {
    let own = World::with(|issuer| issuer.audience("orders").audience("shipping"));
    for audience in ["orders", "shipping"] {
        own.accepts(audience, &own.idp.token(audience).sign());
    }
    assert_eq!(own.refuses("identifier", &own.token().sign()), TokenError::Audience);

    let any = World::with(|issuer| issuer.dangerous_any_audience());
    any.accepts("another", &any.idp.token("https://other.example.com").sign());
    any.accepts("absent", &any.token().without_claim("aud").sign());
    assert_eq!(any.refuses("wrong type", &any.token().claim("aud", 1).sign()), TokenError::Audience);
}

#[test]
fn rfc7519_4_1_4_exp_is_present_a_number_and_ahead() {
    check(
        &World::new(),
        &[
            case("absent", |t| t.without_claim("exp"), TokenError::Time),
            case("null", |t| t.claim("exp", json!(null)), TokenError::Time),
            case("text", |t| t.claim("exp", "4102444800"), TokenError::Time),
            case("boolean", |t| t.claim("exp", true), TokenError::Time),
            case("array", |t| t.claim("exp", json!([4_102_444_800_u64])), TokenError::Time),
            case("1e300", |t| t.claim("exp", 1e300), TokenError::Time),
            case("2^63", |t| t.claim("exp", 9_223_372_036_854_775_808_u64), TokenError::Time),
            case("2^63 - 1", |t| t.claim("exp", i64::MAX), TokenError::Time),
            case("long ago", |t| t.claim("exp", 1), TokenError::Expired),
            case("zero", |t| t.claim("exp", 0), TokenError::Expired),
            case("negative", |t| t.claim("exp", -1), TokenError::Expired),
            case("fraction", |t| t.claim("exp", 0.5), TokenError::Expired),
        ],
    );
}

#[test]
fn times_are_compared_to_the_microsecond_with_the_leeway() {
    let world = World::with(|issuer| issuer.leeway(seconds(0)));
    let now = world.clock_seconds();
    let micro = 0.000_001;
    let with = |name: &str, at: f64| world.token().claim(name, at).sign();
    world.accepts("exp", &with("exp", now + 2.0 * micro));
    assert_eq!(world.refuses("exp now", &with("exp", now)), TokenError::Expired);
    world.accepts("nbf now", &with("nbf", now));
    assert_eq!(world.refuses("nbf", &with("nbf", now + 2.0 * micro)), TokenError::NotYetValid);
    world.accepts("iat now", &with("iat", now));
    assert_eq!(world.refuses("iat", &with("iat", now + 2.0 * micro)), TokenError::Time);

    let world = World::new();
    let now = world.clock_seconds();
    let leeway = DEFAULT_LEEWAY.as_secs_f64();
    let with = |name: &str, at: f64| world.token().claim(name, at).sign();
    world.accepts("exp", &with("exp", now - leeway + micro * 2.0));
    assert_eq!(world.refuses("exp", &with("exp", now - leeway)), TokenError::Expired);
    world.accepts("nbf", &with("nbf", now + leeway));
    assert_eq!(world.refuses("nbf", &with("nbf", now + leeway + 2.0 * micro)), TokenError::NotYetValid);
    assert_eq!(world.refuses("iat", &with("iat", now + leeway + 2.0 * micro)), TokenError::Time);
}

impl World {
    /// The time of day as a NumericDate, cut to microseconds as a float holds them.
    fn clock_seconds(&self) -> f64 {
        use std::time::{Duration, UNIX_EPOCH};
        use tower_bearer::Clock;
        let micros = self.clock.now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let micros = u64::try_from(micros).unwrap();
        self.clock.set_time_of_day(UNIX_EPOCH + Duration::from_micros(micros));
        micros as f64 / 1e6
    }
}

#[test]
fn rfc7519_4_1_5_and_6_nbf_and_iat_are_numbers() {
    check(
        &World::new(),
        &[
            case("nbf null", |t| t.claim("nbf", json!(null)), TokenError::Time),
            case("nbf text", |t| t.claim("nbf", "1"), TokenError::Time),
            case("nbf far", |t| t.claim("nbf", 4_102_444_800_u64), TokenError::NotYetValid),
            case("iat text", |t| t.claim("iat", "1"), TokenError::Time),
            case("iat far", |t| t.claim("iat", 4_102_444_800_u64), TokenError::Time),
        ],
    );
}

#[test]
fn rfc7519_4_members_are_not_repeated() {
    let world = World::new();
    let token = world.token();
    world.accepts("unharmed", &token.sign_raw(&token.header_json(), &token.claims_json()));
    let twice = |json: &str, member: &str| json.replacen('{', &format!("{{{member},"), 1);
    for (name, header, payload) in [
        ("alg", twice(&token.header_json(), r#""alg":"ES256""#), token.claims_json()),
        ("kid", twice(&token.header_json(), r#""kid":"x""#), token.claims_json()),
        ("iss", token.header_json(), twice(&token.claims_json(), &format!(r#""iss":"{ISSUER}""#))),
        ("exp", token.header_json(), twice(&token.claims_json(), r#""exp":4102444800"#)),
        ("with an escape", token.header_json(), twice(&token.claims_json(), r#""\u0061ud":"x""#)),
        ("deep", token.header_json(), twice(&token.claims_json(), r#""x":[{"a":1,"a":1}]"#)),
    ] {
        assert_eq!(world.refuses(name, &token.sign_raw(&header, &payload)), TokenError::Structure, "{name}");
    }
}

#[test]
fn rfc7519_7_2_the_claims_are_one_json_object() {
    let world = World::new();
    let token = world.token();
    let header = token.header_json();
    let claims = token.claims_json();
    world.accepts("white space", &token.sign_raw(&header, &format!(" {claims}\n")));
    let deep = |depth| {
        let nested = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        claims.replacen('{', &format!("{{\"x\":{nested},"), 1)
    };
    world.accepts("as deep as allowed", &token.sign_raw(&header, &deep(MAX_JSON_DEPTH)));
    for (name, payload) in [
        ("array", format!("[{claims}]")),
        ("string", format!("{:?}", claims)),
        ("null", "null".to_owned()),
        ("empty", String::new()),
        ("two", format!("{claims}{claims}")),
        ("rubbish behind", format!("{claims}x")),
        ("byte order mark", format!("\u{feff}{claims}")),
        ("comment", format!("/**/{claims}")),
        ("NaN", claims.replacen('{', "{\"x\":NaN,", 1)),
        ("1e999", claims.replacen('{', "{\"x\":1e999,", 1)),
        ("too deep", deep(MAX_JSON_DEPTH + 1)),
        ("far too deep", deep(4000)),
    ] {
        assert_eq!(world.refuses(name, &token.sign_raw(&header, &payload)), TokenError::Structure, "{name}");
    }
    assert_eq!(world.refuses("header", &token.sign_raw("[]", &claims)), TokenError::Structure);
}

#[test]
fn a_token_has_a_length_limit() {
    let world = World::new();
    let padded = |length: usize| world.token().claim("padding", "x".repeat(length)).sign();
    let shortest = padded(0).len();
    let fits = padded((MAX_TOKEN_LENGTH - shortest) * 3 / 4 - 4);
    assert!(fits.len() <= MAX_TOKEN_LENGTH && fits.len() > MAX_TOKEN_LENGTH - 16, "{}", fits.len());
    world.accepts("at the limit", &fits);
    assert_eq!(world.refuses("over it", &padded(MAX_TOKEN_LENGTH)), TokenError::TooLong);
}

#[test]
fn rfc9068_4_and_2_2_the_strict_profile() {
    let world = World::with(|issuer| issuer.profile(Profile::rfc9068()));
    check(
        &world,
        &[
            case("typ JWT", |t| t.header("typ", "JWT"), TokenError::Type),
            case("no typ", |t| t.without_header("typ"), TokenError::Type),
            case("no sub", |t| t.without_claim("sub"), TokenError::MissingClaim),
            case("no client_id", |t| t.without_claim("client_id"), TokenError::MissingClaim),
            case("no iat", |t| t.without_claim("iat"), TokenError::MissingClaim),
            case("no jti", |t| t.without_claim("jti"), TokenError::MissingClaim),
            case("jti null", |t| t.claim("jti", json!(null)), TokenError::MissingClaim),
        ],
    );
    let lenient = World::new();
    for claim in ["sub", "client_id", "iat", "jti"] {
        lenient.accepts(claim, &lenient.token().without_claim(claim).sign());
    }
}

#[test]
fn claims_that_are_read_have_their_type() {
    check(
        &World::new(),
        &[
            case("sub", |t| t.claim("sub", 1), TokenError::ClaimType),
            case("sub null", |t| t.claim("sub", json!(null)), TokenError::ClaimType),
            case("jti", |t| t.claim("jti", json!(["x"])), TokenError::ClaimType),
            case("client_id", |t| t.claim("client_id", 1), TokenError::ClaimType),
            case("client_id null", |t| t.claim("client_id", json!(null)), TokenError::ClaimType),
            case("scope", |t| t.claim("scope", 1), TokenError::ClaimType),
            case("scope null", |t| t.claim("scope", json!(null)), TokenError::ClaimType),
        ],
    );
}

#[test]
fn rfc9449_7_2_and_rfc8705_3_a_bound_token_is_no_bearer_token() {
    let world = World::new();
    world.accepts("bound to nothing", &world.token().claim("cnf", json!({})).sign());
    check(
        &world,
        &[
            case("DPoP", |t| t.claim("cnf", json!({"jkt": "x"})), TokenError::Confirmation),
            case("mTLS", |t| t.claim("cnf", json!({"x5t#S256": "x"})), TokenError::Confirmation),
            case("unknown", |t| t.claim("cnf", json!({"new": 1})), TokenError::Confirmation),
            case("text", |t| t.claim("cnf", "x"), TokenError::ClaimType),
            case("null", |t| t.claim("cnf", json!(null)), TokenError::ClaimType),
        ],
    );
}

#[test]
fn two_faults_have_one_answer_the_first_in_the_documented_order() {
    let world = World::new();
    let everything_wrong = || {
        world
            .token()
            .header("typ", "x")
            .header("crit", json!(["x"]))
            .claim("aud", "x")
            .claim("iat", "x")
            .claim("exp", 1)
            .claim("nbf", 4_102_444_800_u64)
            .header("kid", "x")
            .claim("cnf", json!({"jkt": "x"}))
    };
    let steps: [(TokenError, TokenBuilder); 9] = [
        (TokenError::Algorithm, everything_wrong().claim("iss", "x").header("alg", "none")),
        (TokenError::Issuer, everything_wrong().claim("iss", "x")),
        (TokenError::Type, everything_wrong()),
        (TokenError::Critical, everything_wrong().header("typ", "JWT")),
        (TokenError::Audience, everything_wrong().header("typ", "JWT").without_header("crit")),
        (TokenError::Time, everything_wrong().header("typ", "JWT").without_header("crit").claim("aud", API)),
        (
            TokenError::Expired,
            everything_wrong()
                .header("typ", "JWT")
                .without_header("crit")
                .claim("aud", API)
                .without_claim("iat"),
        ),
        (
            TokenError::NotYetValid,
            everything_wrong()
                .header("typ", "JWT")
                .without_header("crit")
                .claim("aud", API)
                .without_claim("iat")
                .expires_in(seconds(600)),
        ),
        (
            TokenError::UnknownKey,
            everything_wrong()
                .header("typ", "JWT")
                .without_header("crit")
                .claim("aud", API)
                .without_claim("iat")
                .without_claim("nbf")
                .expires_in(seconds(600)),
        ),
    ];
    let mut last = TokenError::TooLong;
    for (expected, token) in steps {
        let found = world.refuses(&format!("{expected:?}"), &token.sign());
        assert_eq!(found, expected);
        assert!(last < found, "{last:?} before {found:?}");
        last = found;
    }
    let bound = world.token().claim("cnf", json!({"jkt": "x"})).without_header("kid");
    let forged = Idp::new(ISSUER).token(API).claim("cnf", json!({"jkt": "x"})).header("kid", kid_of(&world));
    assert_eq!(world.refuses("bound", &bound.sign()), TokenError::Confirmation);
    assert_eq!(world.refuses("bound and forged", &forged.sign()), TokenError::Signature);
    assert!(
        TokenError::UnknownKey < TokenError::Signature && TokenError::Signature < TokenError::Confirmation
    );
}

#[test]
fn rfc7518_3_2_a_shared_secret_verifies_hmac_and_nothing_else() {
    let secret = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let world =
        World::with(|issuer| issuer.keys(Keys::hmac(*secret, [HmacAlgorithm::HS256, HmacAlgorithm::HS512])));
    world.accepts("HS256", &world.token().sign_hmac(HmacAlgorithm::HS256, secret));
    world.accepts("HS512", &world.token().sign_hmac(HmacAlgorithm::HS512, secret));
    let not_listed = world.token().sign_hmac(HmacAlgorithm::HS384, secret);
    assert_eq!(world.refuses("HS384", &not_listed), TokenError::Algorithm);
    assert_eq!(world.refuses("ES256", &world.token().sign()), TokenError::Algorithm);
    let other = world.token().sign_hmac(HmacAlgorithm::HS256, &secret[1..]);
    assert_eq!(world.refuses("another secret", &other), TokenError::Signature);
    let mut cut = world.token().sign_hmac(HmacAlgorithm::HS256, secret);
    cut.truncate(cut.len() - 22);
    assert!(matches!(world.refuses("a truncated tag", &cut), TokenError::Signature | TokenError::Structure));
    assert!(world.idp.fetched().is_empty());
}
