//! Aidbox: JSON or Basic with a form, opaque tokens or JWTs without a key id.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{Aidbox, Served};
use tower_bearer::{Algorithm, Issuer, Keys, Profile, TokenError};

use super::{
    FORM, JSON, accepts, access_token, basic, fetch, members, parsed, post, refuses, request, trusting,
};
use crate::support::API;

const SAMPLE: &str =
    r#"{"client_id":"web-app","client_secret":"client-secret", "grant_type":"client_credentials"}"#;
const BASIC_SAMPLE: [&str; 2] =
    ["Authorization: Basic d2ViLWFwcDpjbGllbnQtc2VjcmV0", "Content-Type: application/x-www-form-urlencoded"];
const GRANT: &str = "grant_type=client_credentials";
const OLD: &str = "/oauth2/token";
const NEW: &str = "/auth/token";

fn aidbox(clock: &ManualClock) -> Aidbox {
    Aidbox::new().clock(clock.clone()).client("web-app", "client-secret").jwt_client(
        "robot",
        "its secret",
        ["system/*.read"],
    )
}

async fn serve(aidbox: Aidbox) -> Served<Aidbox> {
    aidbox.serve().await.unwrap()
}

/// As the manual has it (`manual::providers`).
fn issuer(base_url: &str) -> Issuer {
    let issuer = Issuer::new(base_url).audience(API).algorithms([Algorithm::RS256]);
    issuer.profile(Profile::aidbox()).clients(["robot"])
}

async fn jwt(aidbox: &Served<Aidbox>, more: &str) -> Value {
    let body = format!("{GRANT}{more}");
    post(aidbox.url(), NEW, &[FORM, &basic("robot", "its secret")], &body).await.granted()
}

#[tokio::test]
async fn the_tokens_of_the_document() {
    let aidbox = serve(aidbox(&ManualClock::new())).await;
    let mut seen = Vec::new();
    for (path, token_type) in [(OLD, "bearer"), (NEW, "Bearer")] {
        let by_json = post(aidbox.url(), path, &["content-type: application/json"], SAMPLE).await.granted();
        let by_basic = post(aidbox.url(), path, &BASIC_SAMPLE, GRANT).await.granted();
        for answer in [by_json, by_basic] {
            assert_eq!(members(&answer), ["access_token", "token_type"]);
            assert_eq!(answer["token_type"], token_type);
            let token = access_token(&answer).to_owned();
            assert!(is_uuid(&token) && !seen.contains(&token), "{token}");
            seen.push(token);
        }
    }
}

#[tokio::test]
async fn opaque_tokens_may_be_in_base64() {
    let aidbox = serve(aidbox(&ManualClock::new()).base64_tokens()).await;
    let answer = post(aidbox.url(), NEW, &[JSON], SAMPLE).await.granted();
    let token = access_token(&answer);
    assert_eq!(token.len(), 48);
    assert!(is_uuid(&String::from_utf8(STANDARD.decode(token).unwrap()).unwrap()), "{token}");
}

#[tokio::test]
async fn a_jwt_client_gets_a_jwt() {
    let clock = ManualClock::new();
    let aidbox = serve(aidbox(&clock)).await;
    let answer = jwt(&aidbox, &format!("&audience={API}&scope=system/*.read")).await;
    assert_eq!(members(&answer), ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!((&answer["expires_in"], &answer["scope"]), (&json!(3600), &json!("system/*.read")));
    let token = access_token(&answer);
    let (header, claims) = parsed(token);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(members(&claims), ["aud", "exp", "iat", "iss", "jti", "sub"]);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(aidbox.url()), &json!("robot")));
    assert_eq!(claims["aud"], API);
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|issued| issued + 3600));
    // `aud` only if it was asked for.
    let plain = jwt(&aidbox, "").await;
    assert_eq!(members(&plain), ["access_token", "expires_in", "token_type"]);
    assert_eq!(members(&parsed(access_token(&plain)).1), ["exp", "iat", "iss", "jti", "sub"]);

    let jwks = fetch(aidbox.url(), "/.well-known/jwks.json").await;
    assert_eq!(members(&jwks.json()["keys"][0]), ["e", "kty", "n"]);
    let api = trusting(&clock, issuer(aidbox.issuer()).keys(Keys::jwks(jwks.body)));
    let verified = accepts(&api, token).await;
    assert_eq!(verified.client_id(), Some("robot"));
    assert_eq!(verified.scopes().iter().count(), 0);
    let good = aidbox.token("robot").claim("aud", API);
    accepts(&api, &good.sign()).await;
    assert_eq!(refuses(&api, &good.by_a_stranger().sign()).await, TokenError::Signature);
    assert_eq!(refuses(&api, access_token(&plain)).await, TokenError::Audience);
    // The same key signs these.
    let id_token = aidbox.id_token("user", "robot");
    assert_eq!(refuses(&api, &id_token.sign()).await, TokenError::Audience);
    let refresh_token = aidbox.refresh_token("user");
    assert_eq!(members(&parsed(&refresh_token.sign()).1), ["iss", "jti", "sub", "typ"]);
    assert_eq!(refuses(&api, &refresh_token.sign()).await, TokenError::Audience);
    assert_eq!(refuses(&api, &refresh_token.claim("aud", API).sign()).await, TokenError::Time);
    // Were it for us, it would still be of nobody who is listed.
    assert_eq!(refuses(&api, &id_token.claim("aud", API).sign()).await, TokenError::Client);
    clock.advance(Duration::from_secs(3600 + 60));
    assert_eq!(refuses(&api, token).await, TokenError::Expired);
}

#[tokio::test]
async fn the_key_has_no_id_and_changes() {
    let clock = ManualClock::new();
    let aidbox = serve(aidbox(&clock).alg_in_jwks().issuer("https://aidbox.example.com")).await;
    let before = fetch(aidbox.url(), "/.well-known/jwks.json").await;
    assert_eq!(before.header("cache-control"), None);
    let before = before.json();
    assert_eq!(
        (members(&before["keys"][0]), &before["keys"][0]["alg"]),
        (vec!["alg", "e", "kty", "n"], &json!("RS256"))
    );
    let old = aidbox.token("robot").claim("aud", API).sign();
    let api = |keys: &Value| {
        trusting(&clock, issuer("https://aidbox.example.com").keys(Keys::jwks(keys.to_string())))
    };
    accepts(&api(&before), &old).await;
    aidbox.rotate_key();
    let new = aidbox.token("robot").claim("aud", API).sign();
    let after = fetch(aidbox.url(), "/.well-known/jwks.json").await.json();
    assert_eq!(after["keys"].as_array().unwrap().len(), 1);
    accepts(&api(&after), &new).await;
    assert_eq!(refuses(&api(&before), &new).await, TokenError::Signature);
    assert_eq!(refuses(&api(&after), &old).await, TokenError::Signature);
    for name in ["openid-configuration", "oauth-authorization-server", "smart-configuration"] {
        let document = fetch(aidbox.url(), &format!("/.well-known/{name}")).await.json();
        assert_eq!(document["issuer"], "https://aidbox.example.com", "{name}");
        assert_eq!(document["jwks_uri"], aidbox.jwks_url(), "{name}");
        assert_eq!(document["introspection_endpoint"], aidbox.introspection_url(), "{name}");
    }
}

/// The settings of the manual, with keys found by discovery: a signature that no key verifies has them fetched again.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn a_resource_server_follows_a_rotation_without_key_ids() {
    let clock = ManualClock::new();
    let aidbox = serve(aidbox(&clock)).await;
    let api = trusting(&clock, issuer(aidbox.issuer()).dangerous_allow_http());
    let token = || aidbox.token("robot").claim("aud", API).sign();
    let old = token();
    accepts(&api, &old).await;
    aidbox.rotate_key();
    accepts(&api, &token()).await;
    assert_eq!(refuses(&api, &old).await, TokenError::Signature);
}

#[tokio::test]
async fn introspection_says_what_still_holds() {
    let clock = ManualClock::new();
    let aidbox = serve(aidbox(&clock)).await;
    let credentials = basic("web-app", "client-secret");
    let look_up = async |token: &str| {
        let form = format!("token={token}");
        post(aidbox.url(), "/auth/introspect", &[FORM, &credentials], &form).await.granted()
    };
    let opaque = post(aidbox.url(), NEW, &[JSON], SAMPLE).await.granted();
    let opaque = access_token(&opaque);
    let signed = jwt(&aidbox, "&scope=system/*.read").await;
    let signed = access_token(&signed);
    assert_eq!(look_up(opaque).await, json!({"active": true, "client_id": "web-app", "sub": "web-app"}));
    let found = look_up(signed).await;
    assert_eq!(members(&found), ["active", "client_id", "exp", "scope", "sub"]);
    assert_eq!((&found["scope"], &found["exp"]), (&json!("system/*.read"), &parsed(signed).1["exp"]));
    let inactive = json!({"active": false});
    assert_eq!(look_up("made-up").await, inactive);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(look_up(signed).await, inactive);
    // Without an expiration a session does not end by itself.
    clock.advance(Duration::from_secs(365 * 86_400));
    assert_eq!(look_up(opaque).await["active"], true);
    aidbox.end_session(opaque);
    assert_eq!(look_up(opaque).await, inactive);
    let stranger = post(aidbox.url(), "/auth/introspect", &[FORM], "token=x").await;
    assert_eq!(stranger.refused(401)["error"], "invalid_client");
}

#[tokio::test]
async fn sessions_end_where_an_expiration_is_set() {
    let clock = ManualClock::new();
    let aidbox = serve(aidbox(&clock).expires_in(Duration::from_secs(60))).await;
    let answer = post(aidbox.url(), NEW, &[JSON], SAMPLE).await.granted();
    assert_eq!(members(&answer), ["access_token", "token_type"]);
    assert_eq!(jwt(&aidbox, "").await["expires_in"], 60);
    let look_up = async || {
        let form = format!("token={}", access_token(&answer));
        let credentials = basic("robot", "its secret");
        post(aidbox.url(), "/auth/introspect", &[FORM, &credentials], &form).await.granted()["active"].clone()
    };
    assert_eq!(look_up().await, true);
    clock.advance(Duration::from_secs(60));
    assert_eq!(look_up().await, false);
}

/// As RFC 6749 §5.2 has it: Aidbox does not document its own.
#[tokio::test]
async fn errors() {
    let aidbox = serve(aidbox(&ManualClock::new())).await;
    let wrong = basic("web-app", "wrong");
    let right = BASIC_SAMPLE[0];
    assert_eq!(post(aidbox.url(), NEW, &[JSON], SAMPLE).await.status, 200);
    let rows: [(&str, &[&str], &str, u16, &str); 8] = [
        ("wrong secret", &[JSON], &SAMPLE.replace("client-secret", "wrong"), 401, "invalid_client"),
        ("unknown client", &[JSON], &SAMPLE.replace("web-app", "nobody"), 401, "invalid_client"),
        ("nobody", &[FORM], GRANT, 401, "invalid_client"),
        (
            "another grant",
            &[JSON],
            &SAMPLE.replace("client_credentials", "magic"),
            400,
            "unsupported_grant_type",
        ),
        ("no grant", &[FORM, right], "scope=x", 400, "invalid_request"),
        ("unknown scope", &[FORM, right], "grant_type=client_credentials&scope=x", 400, "invalid_scope"),
        ("no JSON", &[JSON], "{", 400, "invalid_request"),
        ("no content type", &[right], GRANT, 400, "invalid_request"),
    ];
    for (name, headers, body, status, error) in rows {
        let reply = post(aidbox.url(), NEW, headers, body).await;
        assert_eq!(reply.refused(status), json!({"error": error}), "{name}");
        assert_eq!(reply.header("www-authenticate"), None, "{name}");
    }
    let reply = post(aidbox.url(), OLD, &[FORM, &wrong], GRANT).await;
    assert_eq!(reply.refused(401), json!({"error": "invalid_client"}));
    assert_eq!(reply.header("www-authenticate"), Some("Basic"));
    assert_eq!(request("GET", aidbox.url(), NEW, &[], "").await.status, 405);
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
