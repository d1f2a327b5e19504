//! ClickView: a form, and an IdentityServer's tokens.

use serde_json::json;
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{ClickView, Served};
use tower_bearer::{Issuer, Keys, Profile, TokenError};

use super::{
    FORM, JSON, accepts, access_token, basic, decode, fetch, is_upper_hex, members, parsed, post, refuses,
    request, trusting,
};

const SAMPLE: &str = "grant_type=client_credentials&client_id=YOUR_CLIENT_ID&client_secret=YOUR_CLIENT_SECRET\
    &scope=smartembed.viewkey";
const TOKEN: &str = "/connect/token";

async fn clickview(clock: &ManualClock) -> Served<ClickView> {
    ClickView::new()
        .clock(clock.clone())
        .client("YOUR_CLIENT_ID", "YOUR_CLIENT_SECRET", ["smartembed.viewkey", "smartembed.admin"])
        .client("nothing", "its secret", [""; 0])
        .client("looked up", "s p+a:ce", ["smartembed.viewkey"])
        .by_reference("looked up")
        .api_resource("integrations", "api secret", ["smartembed.viewkey"])
        .api_resource("other", "other secret", ["smartembed.admin"])
        .serve()
        .await
        .unwrap()
}

/// As the manual has it (`manual::providers`).
fn issuer(iss: &str, audience: &str) -> Issuer {
    Issuer::new(iss).audience(audience).profile(Profile::clickview())
}

#[tokio::test]
async fn the_token_of_the_document() {
    let clock = ManualClock::new();
    let clickview = clickview(&clock).await;
    let reply = post(clickview.url(), TOKEN, &[FORM, "User-Agent: insomnia/2023.5.8"], SAMPLE).await;
    let answer = reply.granted();
    assert_eq!(members(&answer), ["access_token", "expires_in", "scope", "token_type"]);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 86400);
    assert_eq!(answer["scope"], "smartembed.viewkey");
    let token = access_token(&answer);
    assert!(token.starts_with("eyJ"));

    let (header, claims) = parsed(token);
    assert_eq!(members(&header), ["alg", "kid", "typ"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("at+jwt")));
    assert!(is_upper_hex(header["kid"].as_str().unwrap(), 32), "{header}");
    assert_eq!(members(&claims), ["aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope"]);
    assert_eq!(claims["iss"], clickview.url());
    assert_eq!(claims["aud"], "integrations");
    assert_eq!(claims["client_id"], "YOUR_CLIENT_ID");
    assert_eq!(claims["scope"], json!(["smartembed.viewkey"]));
    assert!(is_upper_hex(claims["jti"].as_str().unwrap(), 32), "{claims}");
    let issued = claims["iat"].as_u64().unwrap();
    assert_eq!(claims["nbf"], issued);
    assert_eq!(claims["exp"], issued + 86400);

    let jwks = fetch(clickview.url(), "/.well-known/openid-configuration/jwks").await;
    assert_eq!((jwks.status, jwks.header("cache-control")), (200, None));
    let keys = jwks.json();
    assert_eq!(members(&keys["keys"][0]), ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
    let api = trusting(&clock, issuer(clickview.issuer(), "integrations").keys(Keys::jwks(jwks.body)));
    let verified = accepts(&api, token).await;
    assert_eq!((verified.client_id(), verified.subject()), (Some("YOUR_CLIENT_ID"), None));
    assert!(verified.scopes().contains("smartembed.viewkey"));
    let good = clickview.token("YOUR_CLIENT_ID");
    accepts(&api, &good.sign()).await;
    assert_eq!(refuses(&api, &good.clone().by_a_stranger().sign()).await, TokenError::Signature);
    assert_eq!(refuses(&api, &good.clone().claim("aud", "other").sign()).await, TokenError::Audience);
    assert_eq!(refuses(&api, &good.clone().header("typ", "JWT").sign()).await, TokenError::Type);
    clock.advance(std::time::Duration::from_secs(86_400 + 60));
    assert_eq!(refuses(&api, token).await, TokenError::Expired);
}

#[tokio::test]
async fn audience_and_scopes_follow_what_is_asked_for() {
    let clickview = clickview(&ManualClock::new()).await;
    let claims = async |scope: &str| {
        let body = format!("grant_type=client_credentials{scope}");
        let reply =
            post(clickview.url(), TOKEN, &[FORM, &basic("YOUR_CLIENT_ID", "YOUR_CLIENT_SECRET")], &body)
                .await;
        parsed(access_token(&reply.granted())).1
    };
    let both = json!(["smartembed.viewkey", "smartembed.admin"]);
    let all = claims("").await;
    assert_eq!((&all["scope"], &all["aud"]), (&both, &json!(["integrations", "other"])));
    assert_eq!(claims("&scope=smartembed.admin").await["aud"], "other");
    let bare =
        ClickView::new().issuer("https://auth.example.com").client("c", "s", ["x"]).serve().await.unwrap();
    let reply =
        post(bare.url(), TOKEN, &[FORM], "grant_type=client_credentials&client_id=c&client_secret=s").await;
    let (_, claims) = parsed(access_token(&reply.granted()));
    assert_eq!(members(&claims), ["client_id", "exp", "iat", "iss", "jti", "nbf", "scope"]);
    assert_eq!(claims["iss"], "https://auth.example.com");
    assert_eq!(bare.issuer(), "https://auth.example.com");
}

#[tokio::test]
async fn every_error_is_400_without_a_description() {
    let clickview = clickview(&ManualClock::new()).await;
    let right = basic("YOUR_CLIENT_ID", "YOUR_CLIENT_SECRET");
    let wrong = basic("YOUR_CLIENT_ID", "wrong");
    assert_eq!(post(clickview.url(), TOKEN, &[FORM], SAMPLE).await.status, 200);
    let rows: [(&str, &[&str], &str, &str); 10] = [
        ("wrong secret", &[FORM], &SAMPLE.replace("SECRET&", "SECRE&"), "invalid_client"),
        ("unknown client", &[FORM], &SAMPLE.replace("CLIENT_ID", "CLIENT"), "invalid_client"),
        ("nobody", &[FORM], "grant_type=client_credentials", "invalid_client"),
        ("wrong secret by Basic", &[FORM, &wrong], "grant_type=client_credentials", "invalid_client"),
        ("another grant", &[FORM, &right], "grant_type=password", "unsupported_grant_type"),
        ("no grant", &[FORM, &right], "scope=smartembed.viewkey", "unsupported_grant_type"),
        ("unknown scope", &[FORM, &right], "grant_type=client_credentials&scope=root", "invalid_scope"),
        (
            "no scope to be had",
            &[FORM, &basic("nothing", "its+secret")],
            "grant_type=client_credentials",
            "invalid_scope",
        ),
        ("JSON", &[JSON, &right], r#"{"grant_type":"client_credentials"}"#, "invalid_request"),
        ("no content type", &[], SAMPLE, "invalid_request"),
    ];
    for (name, headers, body, error) in rows {
        let reply = post(clickview.url(), TOKEN, headers, body).await;
        assert_eq!(reply.refused(400), json!({"error": error}), "{name}");
        assert_eq!(reply.header("www-authenticate"), None, "{name}");
    }
    let reply = request("GET", clickview.url(), &format!("{TOKEN}?{SAMPLE}"), &[], "").await;
    assert_eq!(reply.refused(400), json!({"error": "invalid_request"}));
    assert_eq!(fetch(clickview.url(), "/").await.status, 404);
}

#[tokio::test]
async fn a_reference_is_looked_up() {
    const INTROSPECT: &str = "/connect/introspect";
    let clock = ManualClock::new();
    let clickview = clickview(&clock).await;
    // Both halves of Basic are form-encoded.
    let client = basic("looked+up", "s+p%2Ba%3Ace");
    let reply = post(clickview.url(), TOKEN, &[FORM, &client], "grant_type=client_credentials").await;
    let answer = reply.granted();
    let token = access_token(&answer);
    assert!(is_upper_hex(token.strip_suffix("-1").unwrap(), 64), "{token}");
    let look_up = async |name: &str, secret: &str, token: &str| {
        post(clickview.url(), INTROSPECT, &[FORM, &basic(name, secret)], &format!("token={token}")).await
    };
    let found = look_up("integrations", "api secret", token).await.granted();
    assert_eq!(members(&found), ["active", "aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope"]);
    assert_eq!((&found["active"], &found["scope"]), (&json!(true), &json!("smartembed.viewkey")));
    assert_eq!(found["client_id"], "looked up");
    // An API whose scopes the token has not.
    let inactive = json!({"active": false});
    assert_eq!(look_up("other", "other secret", token).await.granted(), inactive);
    assert_eq!(look_up("integrations", "api secret", "made up").await.granted(), inactive);
    assert_eq!(look_up("integrations", "wrong", token).await.status, 401);
    let nothing = post(clickview.url(), INTROSPECT, &[FORM, &basic("integrations", "api secret")], "").await;
    assert_eq!(nothing.refused(400)["error"], "invalid_request");
    // A JWT can be looked up too, and each API sees its own scopes.
    let reply =
        post(clickview.url(), TOKEN, &[FORM], &SAMPLE.replace("viewkey", "viewkey+smartembed.admin")).await;
    let jwt = reply.granted()["access_token"].as_str().unwrap().to_owned();
    assert!(decode(&jwt).1.contains("smartembed.admin"));
    assert_eq!(look_up("other", "other secret", &jwt).await.granted()["scope"], "smartembed.admin");
    clickview.revoke(token);
    assert_eq!(look_up("integrations", "api secret", token).await.granted(), inactive);
    assert_eq!(look_up("other", "other secret", &jwt).await.granted()["active"], true);
    clock.advance(std::time::Duration::from_secs(86_400));
    assert_eq!(look_up("other", "other secret", &jwt).await.granted(), inactive);
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_after() {
    let clickview = clickview(&ManualClock::new()).await;
    let published = async || {
        let keys = fetch(clickview.url(), "/.well-known/openid-configuration/jwks").await.json();
        let kids = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
        kids.collect::<Vec<_>>()
    };
    let signing = || parsed(&clickview.token("YOUR_CLIENT_ID").sign()).0["kid"].as_str().unwrap().to_owned();
    let first = signing();
    assert_eq!(published().await, [&*first]);
    clickview.announce_key();
    let announced = published().await.into_iter().find(|kid| *kid != first).unwrap();
    assert_eq!(signing(), first);
    clickview.rotate_key();
    assert_eq!(signing(), announced);
    assert_eq!(published().await, [&*announced, &*first]);
    clickview.rotate_key();
    assert!(![&first, &announced].contains(&&signing()));
    clickview.retire_keys();
    assert_eq!(published().await, [signing()]);
}

/// The default settings of the manual, with keys found by discovery.
#[cfg(feature = "reqwest")]
#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let clock = ManualClock::new();
    let clickview = clickview(&clock).await;
    let api = trusting(&clock, issuer(clickview.issuer(), "integrations").dangerous_allow_http());
    accepts(&api, &clickview.token("YOUR_CLIENT_ID").sign()).await;
    assert_eq!(
        clickview.requests(),
        ["GET /.well-known/openid-configuration", "GET /.well-known/openid-configuration/jwks"]
    );
    let document = fetch(clickview.url(), "/.well-known/openid-configuration").await.json();
    assert_eq!(document["issuer"], clickview.url());
    assert_eq!(document["jwks_uri"], clickview.jwks_url());
    assert_eq!(document["introspection_endpoint"], clickview.introspection_url());
}
