//! OroCommerce: JSON, and tokens whose audience is the client.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{OroCommerce, Served};
use tower_bearer::{Algorithm, Issuer, Keys, Profile, TokenError};

use super::{
    FORM, JSON, accepts, access_token, basic, decode, is_lower_hex, members, parsed, post, refuses, request,
    trusting,
};

const SAMPLE: &str = r#"{
    "grant_type": "client_credentials",
    "client_id": "your client identifier",
    "client_secret": "your client secret"
}"#;
const TOKEN: &str = "/oauth2-token";

async fn oro(clock: &ManualClock) -> Served<OroCommerce> {
    OroCommerce::new()
        .clock(clock.clone())
        .client("your client identifier", "your client secret")
        .frontend_client("shop", "its secret")
        .serve()
        .await
        .unwrap()
}

/// As the manual has it (`manual::providers`), for the clients of one side.
fn issuer(pem: &str, clients: &[&str]) -> Issuer {
    Issuer::unnamed("oro")
        .keys(Keys::pem(pem))
        .algorithms([Algorithm::RS256])
        .clients(clients.iter().copied())
        .profile(Profile::oro())
}

#[tokio::test]
async fn the_token_of_the_document() {
    let clock = ManualClock::new();
    let oro = oro(&clock).await;
    let answer = post(oro.url(), TOKEN, &[JSON], SAMPLE).await.granted();
    assert_eq!(members(&answer), ["access_token", "expires_in", "token_type"]);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = access_token(&answer);

    let (header, claims) = parsed(token);
    assert_eq!(header, json!({"typ": "JWT", "alg": "RS256"}));
    assert_eq!(members(&claims), ["aud", "exp", "iat", "jti", "nbf", "scopes", "sub"]);
    assert_eq!(claims["aud"], "your client identifier");
    assert_eq!((&claims["sub"], &claims["scopes"]), (&json!(""), &json!([])));
    assert!(is_lower_hex(claims["jti"].as_str().unwrap(), 80), "{claims}");

    let pem = oro.public_key_pem();
    let api = trusting(&clock, issuer(&pem, &oro.clients()));
    let verified = accepts(&api, token).await;
    assert_eq!((verified.client_id(), verified.subject()), (Some("your client identifier"), None));
    assert_eq!(
        refuses(&api, &oro.token("your client identifier").by_a_stranger().sign()).await,
        TokenError::Signature
    );
    // Back office and storefront differ in nothing but the client.
    let shop = oro.token("shop").sign();
    assert_eq!(refuses(&api, &shop).await, TokenError::Audience);
    let storefront = trusting(&clock, issuer(&pem, &oro.frontend_clients()));
    accepts(&storefront, &shop).await;
    assert_eq!(refuses(&storefront, token).await, TokenError::Audience);
    clock.advance(Duration::from_secs(3600 + 60));
    assert_eq!(refuses(&api, token).await, TokenError::Expired);
}

/// As league/oauth2-server wrote them: a point and microseconds, no zeros behind, and no point at a whole second.
#[tokio::test]
async fn dates_have_microseconds() {
    let clock = ManualClock::new();
    let oro = oro(&clock).await;
    let api = issuer(&oro.public_key_pem(), &oro.clients()).leeway(Duration::ZERO);
    let api = trusting(&clock, api);
    for (nanos, text) in [
        (90_978_999, "1795253078.090978"),
        (89_650_000, "1795253078.08965"),
        (999_999_999, "1795253078.999999"),
        (1_000, "1795253078.000001"),
        (500_000_000, "1795253078.5"),
        (0, "1795253078"),
    ] {
        let now = UNIX_EPOCH + Duration::new(1_795_253_078, nanos);
        clock.set_time_of_day(now);
        let answer = post(oro.url(), TOKEN, &[JSON], SAMPLE).await.granted();
        let token = access_token(&answer);
        let (_, claims) = decode(token);
        for name in ["iat", "nbf"] {
            assert!(claims.contains(&format!(r#""{name}":{text},"#)), "{claims}");
        }
        let later = text.replacen("1795253078", "1795256678", 1);
        assert!(claims.contains(&format!(r#""exp":{later},"#)), "{claims}");
        // `nbf` is the very instant of issue, to be accepted in this instant and without leeway.
        accepts(&api, token).await;
        clock.set_time_of_day(now - Duration::from_micros(2));
        assert_eq!(refuses(&api, token).await, TokenError::Time, "{text}"); // `iat` is ahead
    }
}

#[tokio::test]
async fn whatever_scope_is_asked_for_is_granted_and_nobody_trusts_it() {
    let clock = ManualClock::new();
    let oro = oro(&clock).await;
    let client = basic("your client identifier", "your client secret");
    let api = trusting(&clock, issuer(&oro.public_key_pem(), &oro.clients()));
    let bodies = [
        (FORM, "grant_type=client_credentials&scope=admin+all"),
        (JSON, r#"{"grant_type": "client_credentials", "scope": "admin all"}"#),
    ];
    for (content_type, body) in bodies {
        let answer = post(oro.url(), TOKEN, &[content_type, &client], body).await.granted();
        assert_eq!(members(&answer), ["access_token", "expires_in", "token_type"]);
        assert_eq!(parsed(access_token(&answer)).1["scopes"], json!(["admin", "all"]), "{content_type}");
        assert!(!accepts(&api, access_token(&answer)).await.scopes().contains("admin"));
    }
}

#[tokio::test]
async fn errors() {
    let oro = oro(&ManualClock::new()).await;
    assert_eq!(post(oro.url(), TOKEN, &[JSON], SAMPLE).await.status, 200);
    let failed = json!({
        "error": "invalid_client",
        "error_description": "Client authentication failed",
        "message": "Client authentication failed",
    });
    let wrong = SAMPLE.replace("your client secret", "wrong");
    let unknown = SAMPLE.replace("your client identifier", "nobody");
    let secretless = r#"{"grant_type": "client_credentials", "client_id": "your client identifier"}"#;
    for body in [&*wrong, &unknown, secretless] {
        let reply = post(oro.url(), TOKEN, &[JSON], body).await;
        assert_eq!(reply.refused(401), failed, "{body}");
        assert_eq!(reply.header("www-authenticate"), None, "{body}");
    }
    let reply =
        post(oro.url(), TOKEN, &[FORM, &basic("shop", "wrong")], "grant_type=client_credentials").await;
    assert_eq!(reply.refused(401), failed);
    assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"OAuth\""));

    let with_hint = ["error", "error_description", "hint", "message"];
    for (body, error) in [
        ("{}", "unsupported_grant_type"),
        ("", "unsupported_grant_type"),
        (r#"{"grant_type": "authorization_code"}"#, "unsupported_grant_type"),
        (r#"{"grant_type": "client_credentials"}"#, "invalid_request"),
    ] {
        let refused = post(oro.url(), TOKEN, &[JSON], body).await.refused(400);
        assert_eq!(
            (members(&refused), refused["error"].as_str()),
            (with_hint.to_vec(), Some(error)),
            "{body}"
        );
        assert_eq!(refused["message"], refused["error_description"]);
    }
    assert_eq!(request("GET", oro.url(), TOKEN, &[], "").await.status, 405);
    assert_eq!(post(oro.url(), "/token", &[JSON], SAMPLE).await.status, 404);
}
