//! Tarkov Database: JSON alone, and a chain of certificates in the header.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tower_bearer::testing::ManualClock;
use tower_bearer::testing::systems::{Leaf, Served, TarkovDatabase};
use tower_bearer::{Algorithm, Issuer, Keys, Profile, TokenError};

use super::{
    FORM, JSON, accepts, access_token, basic, is_lower_hex, members, parsed, post, refuses, request, trusting,
};
use crate::support::API;

const CLIENT: &str = "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c";
/// The document's own sample: with a comma behind the last member it is no JSON.
const BROKEN_SAMPLE: &str = r#"{
    "client_id": "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c",
    "client_secret": "<CLIENT-SECRET>",
    "grant_type": "client_credentials",
}"#;
const TOKEN: &str = "/v1/oauth/token";

fn sample() -> String {
    BROKEN_SAMPLE.replace("credentials\",", "credentials\"")
}

async fn tarkov(clock: &ManualClock) -> Served<TarkovDatabase> {
    TarkovDatabase::new([API, "https://other.example.com"])
        .clock(clock.clone())
        .client(CLIENT, "<CLIENT-SECRET>", ["read:item", "read:location"])
        .serve()
        .await
        .unwrap()
}

/// As the manual has it (`manual::providers`), but with the leaf's key; the module `matrix` has the chain.
fn issuer(pem: &str) -> Issuer {
    Issuer::unnamed("tarkov")
        .keys(Keys::pem(pem))
        .audience(API)
        .algorithms([Algorithm::Ed25519])
        .profile(Profile::tarkov_database())
}

#[tokio::test]
async fn the_token_of_the_document_with_its_sample_mended() {
    let clock = ManualClock::new();
    let tarkov = tarkov(&clock).await;
    let answer = post(tarkov.url(), TOKEN, &[JSON], &sample()).await.granted();
    assert_eq!(members(&answer), ["access_token", "expires_in", "token_type"]);
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("bearer"), &json!(1800)));
    let token = access_token(&answer);

    let (header, claims) = parsed(token);
    assert_eq!(members(&header), ["alg", "typ", "x5c", "x5t#S256"]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("access")));
    assert_eq!(members(&claims), ["aud", "exp", "iat", "nbf", "scope", "sub"]);
    assert_eq!(claims["aud"], json!([API, "https://other.example.com"]));
    assert_eq!(claims["scope"], json!(["read:item", "read:location"]));
    assert_eq!(claims["sub"], tarkov.record(CLIENT));
    assert!(is_lower_hex(tarkov.record(CLIENT), 24));
    let issued = claims["iat"].as_u64().unwrap();
    assert_eq!((claims["nbf"].as_u64(), claims["exp"].as_u64()), (Some(issued), Some(issued + 1800)));

    // Standard base64 with padding, of the digest of the leaf's SubjectPublicKeyInfo.
    let pem = tarkov.public_key_pem();
    let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = STANDARD.decode(key).unwrap();
    assert_eq!(header["x5t#S256"], STANDARD.encode(digest(&SHA256, &key)));
    assert!(certificates(&header)[0].windows(key.len()).any(|window| window == key));

    let api = trusting(&clock, issuer(&pem));
    let verified = accepts(&api, token).await;
    assert_eq!(verified.client_id(), Some(tarkov.record(CLIENT)));
    assert!(verified.scopes().contains("read:item"));
    let good = tarkov.token(CLIENT);
    accepts(&api, &good.sign()).await;
    assert_eq!(refuses(&api, &good.clone().by_a_stranger().sign()).await, TokenError::Signature);
    assert_eq!(refuses(&api, &good.claim("aud", json!(["other"])).sign()).await, TokenError::Audience);
    // Another root's leaf has another key, and so has the next leaf.
    let strange = tarkov.token_under_a_strange_root(CLIENT).sign();
    assert_eq!(refuses(&api, &strange).await, TokenError::Signature);
    tarkov.rotate_key();
    assert_eq!(refuses(&api, &tarkov.token(CLIENT).sign()).await, TokenError::Signature);
    accepts(&trusting(&clock, issuer(&tarkov.public_key_pem())), &tarkov.token(CLIENT).sign()).await;
    clock.advance(Duration::from_secs(1800 + 60));
    assert_eq!(refuses(&api, token).await, TokenError::Expired);
}

/// Judged by somebody else's path validation.
#[tokio::test]
async fn the_chain_leads_to_the_root_unless_it_must_not() {
    let tarkov = tarkov(&ManualClock::new()).await;
    let root = CertificateDer::from_pem_slice(tarkov.root_pem().as_bytes()).unwrap();
    let good = tarkov.token(CLIENT);
    let chain = certificates(&parsed(&good.sign()).0);
    assert_eq!(chain.len(), 2);
    assert!(!chain.contains(&root));
    assert!(leads_to(&root, &chain));
    tarkov.rotate_key();
    let rotated = certificates(&parsed(&tarkov.token(CLIENT).sign()).0);
    assert!(rotated[0] != chain[0] && rotated[1] == chain[1] && leads_to(&root, &rotated));
    for (name, token, length) in [
        ("incomplete", tarkov.token_without_intermediate(CLIENT), 1),
        ("strange root", tarkov.token_under_a_strange_root(CLIENT), 2),
        ("expired", tarkov.token_with_leaf(CLIENT, Leaf::Expired), 2),
        ("not yet valid", tarkov.token_with_leaf(CLIENT, Leaf::NotYetValid), 2),
        ("authority", tarkov.token_with_leaf(CLIENT, Leaf::Authority), 2),
    ] {
        let chain = certificates(&parsed(&token.sign()).0);
        assert_eq!(chain.len(), length, "{name}");
        assert!(!leads_to(&root, &chain), "{name}");
    }
    // These differ in the leaf alone; the last in what webpki does not look at.
    let good = certificates(&parsed(&tarkov.token_with_leaf(CLIENT, Leaf::Good).sign()).0);
    assert!(leads_to(&root, &good));
    let other_usage = certificates(&parsed(&tarkov.token_with_leaf(CLIENT, Leaf::OtherUsage).sign()).0);
    assert_ne!(key_usage(&other_usage[0]), key_usage(&good[0]));
    assert_eq!(key_usage(&good[0]), [0x03, 0x02, 0x07, 0x80], "digitalSignature alone");
}

#[tokio::test]
async fn errors() {
    let tarkov = tarkov(&ManualClock::new()).await;
    assert_eq!(post(tarkov.url(), TOKEN, &[JSON], &sample()).await.status, 200);
    // A member that nobody knows is ignored, `scope` too.
    let more = sample().replacen('{', r#"{"scope": "write:item", "other": [1],"#, 1);
    let answer = post(tarkov.url(), TOKEN, &[JSON], &more).await.granted();
    assert_eq!(parsed(access_token(&answer)).1["scope"], json!(["read:item", "read:location"]));

    // A UUID may be written large.
    let large = sample().replace(CLIENT, &CLIENT.to_uppercase());
    assert_eq!(post(tarkov.url(), TOKEN, &[JSON], &large).await.status, 200);

    let form = format!("grant_type=client_credentials&client_id={CLIENT}&client_secret=%3CCLIENT-SECRET%3E");
    let credentials = basic(CLIENT, "<CLIENT-SECRET>");
    let rows: [(&str, &[&str], &str, u16); 9] = [
        ("the sample as it is printed", &[JSON], BROKEN_SAMPLE, 400),
        ("nothing", &[JSON], "", 400),
        ("a form", &[FORM], &form, 415),
        ("no content type", &[], &sample(), 415),
        ("no object", &[JSON], "[]", 422),
        ("no members", &[JSON], "{}", 422),
        ("no secret", &[JSON], &sample().replace("client_secret", "secret"), 422),
        ("no UUID", &[JSON], &sample().replace(CLIENT, "robot"), 422),
        ("Basic", &[JSON, &credentials], r#"{"grant_type": "client_credentials"}"#, 422),
    ];
    for (name, headers, body, status) in rows {
        let refused = post(tarkov.url(), TOKEN, headers, body).await.refused(status);
        assert_eq!(
            (members(&refused), &refused["code"]),
            (vec!["code", "message"], &json!(status)),
            "{name}"
        );
    }
    let denied = json!({"error": "invalid_client"});
    for body in [sample().replace("<CLIENT-SECRET>", "wrong"), sample().replace("0b5e", "0b5f")] {
        let reply = post(tarkov.url(), TOKEN, &[JSON], &body).await;
        assert_eq!(reply.refused(401), denied);
        assert_eq!(reply.header("www-authenticate"), None);
    }
    let other_grant = sample().replace("client_credentials", "password");
    let refused = post(tarkov.url(), TOKEN, &[JSON], &other_grant).await.refused(400);
    assert_eq!(refused, json!({"error": "unsupported_grant_type"}));
    assert_eq!(request("GET", tarkov.url(), TOKEN, &[], "").await.status, 405);
}

/// Those of `x5c`.
fn certificates(header: &Value) -> Vec<CertificateDer<'static>> {
    let texts = header["x5c"].as_array().unwrap().iter();
    texts.map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap().into()).collect()
}

fn leads_to(root: &CertificateDer<'static>, chain: &[CertificateDer<'static>]) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_ok()
}

/// The bit string behind the extension's identifier (RFC 5280 §4.2.1.3).
fn key_usage(certificate: &[u8]) -> &[u8] {
    const OID: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x0f];
    let at = certificate.windows(5).position(|window| window == OID).unwrap() + OID.len();
    // A BOOLEAN, "critical", and the head of an OCTET STRING of four bytes.
    assert_eq!(certificate[at..at + 5], [0x01, 0x01, 0xff, 0x04, 0x04]);
    &certificate[at + 5..at + 9]
}
