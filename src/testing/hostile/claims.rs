//! Tokens of the issuer, well signed, that are not for here, not for now, or not access tokens.

use serde_json::{Value, json};

use super::forge::Forge;
use crate::testing::TokenBuilder;

pub(super) fn forge(forge: &mut Forge<'_>) {
    audiences(forge);
    issuers(forge);
    times(forge);
    types(forge);
    other_tokens(forge);
    confirmations(forge);
    identities(forge);
}

fn audiences(forge: &mut Forge<'_>) {
    let ours = text(forge.good, "aud").unwrap_or_else(|| "https://api.example.com".to_owned());
    let ours = ours.as_str();
    let held = "RFC 7519 §4.1.3: `aud` must hold our identifier.";
    let exact = "RFC 7519 §4.1.3: an audience is compared as a whole and byte by byte.";
    let strings = "RFC 7519 §4.1.3: `aud` is a string or an array of strings.";
    forge.signed(
        "aud-absent",
        |token| token.without_claim("aud"),
        "RFC 8725 §3.9: a token for nobody in particular.",
    );
    for (name, aud, why) in [
        (
            "aud-other",
            json!("https://other.example"),
            "RFC 8725 §3.9, CVE-2023-22482: a token for another service.",
        ),
        ("aud-others", json!(["https://other.example", "https://third.example"]), held),
        ("aud-empty", json!(""), held),
        ("aud-empty-array", json!([]), "CVE-2020-26160: an empty list of audiences is not everybody."),
        ("aud-prefix", json!(without_last(ours)), exact),
        ("aud-suffix", json!(format!("{ours}.attacker.example")), exact),
        ("aud-slash", json!(other_slash(ours)), exact),
        ("aud-case", json!(other_case(ours)), exact),
        ("aud-list-in-string", json!(format!("{ours} https://other.example")), exact),
        ("aud-nul", json!(format!("{ours}\0")), exact),
        ("aud-null", Value::Null, strings),
        ("aud-number", json!(1), strings),
        ("aud-object", json!({ours: true}), strings),
        ("aud-mixed-array", json!([ours, 1]), strings),
        ("aud-nested-array", json!([[ours]]), strings),
    ] {
        forge.claim(name, "aud", aud, why);
    }
}

fn issuers(forge: &mut Forge<'_>) {
    let theirs = text(forge.good, "iss").unwrap_or_else(|| "https://id.example.com".to_owned());
    let theirs = theirs.as_str();
    let exact = "RFC 8725 §3.8, CVE-2024-53861: `iss` is compared as a whole and byte by byte.";
    let string = "RFC 7519 §4.1.1: `iss` is a string.";
    forge.signed(
        "iss-absent",
        |token| token.without_claim("iss"),
        "RFC 8725 §3.8: the key must belong to the `iss`, and there is none.",
    );
    for (name, iss, why) in [
        (
            "iss-other",
            json!("https://attacker.example"),
            "RFC 8725 §3.8: the key does not belong to this issuer.",
        ),
        ("iss-empty", json!(""), exact),
        ("iss-suffix", json!(format!("{theirs}.attacker.example")), exact),
        ("iss-slash", json!(other_slash(theirs)), exact),
        ("iss-case", json!(other_case(theirs)), exact),
        ("iss-nul", json!(format!("{theirs}\0")), exact),
        ("iss-null", Value::Null, string),
        ("iss-number", json!(1), string),
        ("iss-array", json!([theirs]), string),
    ] {
        forge.claim(name, "iss", iss, why);
    }
}

fn times(forge: &mut Forge<'_>) {
    let from_now = |seconds| json!(forge.good.seconds_from_now(seconds));
    let number = "RFC 7519 §2, CVE-2026-25537: a time is a number; what is none is not absent.";
    let huge = "RFC 7519 §2: a time that no clock reaches must not overflow into one that is always ahead.";
    let rows = [
        ("exp-past", "exp", from_now(-3600), "RFC 7519 §4.1.4: it expired an hour ago."),
        // Fixed to the defaults: 61 s is one more than the leeway, and a token only gets older.
        ("exp-just-past", "exp", from_now(-61), "RFC 7519 §4.1.4: it expired more than a minute ago."),
        ("exp-zero", "exp", json!(0), "RFC 7519 §4.1.4: zero is a time, not the absence of one."),
        ("exp-negative", "exp", json!(-1), "RFC 7519 §4.1.4: it expired before there were tokens."),
        ("exp-null", "exp", Value::Null, number),
        ("exp-string", "exp", json!(from_now(3600).to_string()), number),
        ("exp-bool", "exp", json!(true), number),
        ("exp-huge", "exp", json!(1e300), huge),
        ("exp-overflow", "exp", json!(u64::MAX), huge),
        ("nbf-future", "nbf", from_now(3600), "RFC 7519 §4.1.5: it is good in an hour."),
        ("nbf-soon", "nbf", from_now(200), "RFC 7519 §4.1.5: it is good in three minutes."),
        ("nbf-string", "nbf", json!(from_now(-1).to_string()), number),
        ("nbf-null", "nbf", Value::Null, number),
        ("iat-future", "iat", from_now(3600), "RFC 7519 §4.1.6: nobody has issued it yet."),
        ("iat-soon", "iat", from_now(200), "RFC 7519 §4.1.6: it is issued in three minutes."),
        ("iat-string", "iat", json!(from_now(-1).to_string()), number),
        ("iat-null", "iat", Value::Null, number),
    ];
    forge.signed(
        "exp-absent",
        |token| token.without_claim("exp"),
        "RFC 9068 §2.2: a token without an end is good for ever.",
    );
    for (name, claim, value, why) in rows {
        forge.claim(name, claim, value, why);
    }
}

/// The same key often signs more than access tokens (RFC 8725 §2.8).
fn types(forge: &mut Forge<'_>) {
    let string = "RFC 7515 §4.1.9: `typ` is a string.";
    for (name, typ, why) in [
        ("typ-logout", json!("logout+jwt"), "OpenID Connect Back-Channel Logout 1.0 §2.4: a logout token."),
        ("typ-secevent", json!("secevent+jwt"), "RFC 8417 §2.3: a security event."),
        ("typ-dpop", json!("dpop+jwt"), "RFC 9449 §4.2: a proof, which its client signs."),
        (
            "typ-introspection",
            json!("token-introspection+jwt"),
            "RFC 9701 §8.1: an answer about a token, not a token.",
        ),
        ("typ-request", json!("oauth-authz-req+jwt"), "RFC 9101 §10.8: an authorization request."),
        ("typ-key-binding", json!("kb+jwt"), "RFC 8725 §3.11: a `typ` of another kind of token."),
        (
            "typ-unknown",
            json!("x+jwt"),
            "RFC 8725 §3.11: a `typ` that nobody knows is not an access token's.",
        ),
        ("typ-space", json!(" at+jwt"), "RFC 7515 §4.1.9: `typ` is compared as a whole."),
        ("typ-null", Value::Null, string),
        ("typ-number", json!(1), string),
    ] {
        forge.header(name, "typ", typ, why);
    }
}

/// Other tokens of the issuer, as many of them write them: with the `typ` of the good token.
fn other_tokens(forge: &mut Forge<'_>) {
    let plain = |token: TokenBuilder| token.without_claim("client_id").without_claim("scope");
    forge.signed(
        "id-token",
        |token| {
            plain(token)
                .claim("aud", "client")
                .claim("nonce", "n")
                .claim("auth_time", 1)
                .claim("azp", "client")
        },
        "RFC 9068 §5: an ID token, whose audience is the client.",
    );
    let iss = text(forge.good, "iss").unwrap_or_else(|| "https://id.example.com".to_owned());
    forge.signed(
        "refresh-token",
        |token| plain(token).claim("aud", iss).claim("typ", "Refresh"),
        "RFC 8725 §3.12: a refresh token, whose audience is its issuer.",
    );
}

fn confirmations(forge: &mut Forge<'_>) {
    let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let object = "RFC 7800 §3.1: `cnf` is an object; what is none binds to something unknown.";
    for (name, cnf, why) in [
        (
            "cnf-jkt",
            json!({"jkt": thumbprint}),
            "RFC 9449 §7.2: bound to a key, and comes without its proof.",
        ),
        (
            "cnf-x5t",
            json!({"x5t#S256": thumbprint}),
            "RFC 8705 §3: bound to a certificate, and comes without it.",
        ),
        ("cnf-unknown", json!({"x": "y"}), "RFC 7800 §3.1: bound in a way that is not understood."),
        ("cnf-null", Value::Null, object),
        ("cnf-string", json!(thumbprint), object),
    ] {
        forge.claim(name, "cnf", cnf, why);
    }
}

fn identities(forge: &mut Forge<'_>) {
    let string = "RFC 7519 §4.1: a claim of a wrong type is invalid, not absent.";
    forge.claim("sub-number", "sub", 1, string);
    forge.claim("jti-number", "jti", 1, string);
    forge.claim("client-id-number", "client_id", 1, "RFC 9068 §2.2: `client_id` is a string.");
    forge.claim("scope-object", "scope", json!({"admin": true}), "RFC 8693 §4.2: `scope` is a string.");
}

/// The claim, or the first of several, as text.
fn text(token: &TokenBuilder, claim: &str) -> Option<String> {
    let claims: Value = serde_json::from_str(&token.claims_json()).ok()?;
    let value = claims.get(claim)?;
    value.as_str().or_else(|| value.get(0)?.as_str()).map(ToOwned::to_owned)
}

fn without_last(text: &str) -> &str {
    let mut characters = text.chars();
    characters.next_back();
    characters.as_str()
}

fn other_slash(text: &str) -> String {
    text.strip_suffix('/').map_or_else(|| format!("{text}/"), ToOwned::to_owned)
}

/// The same in capitals, or in small letters if it is in capitals already.
fn other_case(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if upper == text { text.to_ascii_lowercase() } else { upper }
}
