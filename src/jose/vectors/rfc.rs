//! The examples of the RFCs, each by its section.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Map;

use super::TokenError::{Algorithm as WrongAlgorithm, Signature, Structure};
use super::*;
use crate::time::{Now, SystemClock, Timestamp};

/// A key without the members that only its owner may have.
fn public_half(jwk: &Json) -> String {
    let mut jwk: Map<String, Json> = jwk.as_object().unwrap().clone();
    jwk.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    serde_json::to_string(&jwk).unwrap()
}

/// A token and its private key, from the folder of RFC 7515.
fn rfc7515(vectors: &Vectors, section: &str) -> (String, Json) {
    let file = |ending| format!("rfc7515-rfc7517/rfc7515_{section}.{ending}");
    (vectors.text(&file("jwsc")), vectors.json(&file("jwk")))
}

/// A token and its private key, from the cookbook.
fn cookbook(vectors: &Vectors, file: &str) -> (String, Json) {
    let file: Json = vectors.json(&format!("jose-cookbook/{file}.json"));
    (file["output"]["compact"].as_str().unwrap().to_owned(), file["input"]["key"].clone())
}

/// Accepted with the public half and with nothing changed; the private key is not even imported.
fn check_public((token, jwk): &(String, Json)) {
    let keys = public_keys(&public_half(jwk));
    assert_eq!(verify(&keys, token), Ok(()));
    let private = key_set(&jwk.to_string());
    assert!(private.is_empty());
    assert_eq!(private.left_out()[0].reason, "the private key is published");
    assert_eq!(verify(&keys, &altered(token)), Err(Signature));
}

fn check_shared((token, jwk): &(String, Json), algorithm: HmacAlgorithm) {
    let keys = shared_secret(&jwk.to_string(), algorithm).unwrap();
    assert_eq!(verify(&keys, token), Ok(()));
    assert_eq!(verify(&keys, &altered(token)), Err(Signature));
    assert_eq!(verify(&public_keys(&jwk.to_string()), token), Err(WrongAlgorithm));
}

/// The token with an empty payload in place of its own.
fn altered(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}..{}", parts[0], parts[2])
}

#[test]
fn rfc7515_a_1_hs256() {
    let Some(vectors) = Vectors::find() else { return };
    let example = rfc7515(&vectors, "A.1");
    check_shared(&example, HmacAlgorithm::HS256);
    // The key of the RFC names no algorithm, and without one a secret is for nothing.
    assert!(named_secret(&example.1.to_string()).is_none());
}

#[test]
fn rfc7515_a_2_rs256() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&rfc7515(&vectors, "A.2"));
}

#[test]
fn rfc7515_a_3_es256() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&rfc7515(&vectors, "A.3"));
}

#[test]
fn rfc7515_a_4_es512() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&rfc7515(&vectors, "A.4"));
}

#[test]
fn rfc7515_a_5_an_unsecured_token_is_refused() {
    let Some(vectors) = Vectors::find() else { return };
    let token = vectors.text("rfc7515-rfc7517/rfc7515_A.5.jwsc");
    assert_eq!(parse(&token, &mut SignatureBuffer::new()).unwrap_err(), Structure);
    // It is not only the missing signature that makes it worthless.
    let signed = format!("{token}c2ln");
    assert_eq!(parse(&signed, &mut SignatureBuffer::new()).unwrap().header.alg, HeaderAlgorithm::Unknown);
    let (_, public) = rfc7515(&vectors, "A.2");
    let (_, secret) = rfc7515(&vectors, "A.1");
    let secret = shared_secret(&secret.to_string(), HmacAlgorithm::HS256).unwrap();
    for keys in [public_keys(&public_half(&public)), secret] {
        assert_eq!(verify(&keys, &signed), Err(WrongAlgorithm));
    }
}

#[test]
fn rfc7517_a_1_a_public_set_without_its_encryption_key() {
    let Some(vectors) = Vectors::find() else { return };
    let set = key_set(&vectors.text("rfc7515-rfc7517/rfc7517_A.1.jwkset"));
    assert_eq!(set.len(), 1);
    let left_out: Vec<_> = set.left_out().iter().map(|key| (key.index, key.reason)).collect();
    assert_eq!(left_out, [(0, "use is not sig")]);
}

#[test]
fn rfc7517_a_2_and_a_3_private_and_symmetric_sets_are_left_out() {
    let Some(vectors) = Vectors::find() else { return };
    for (section, reasons) in [
        ("A.2", ["use is not sig", "the private key is published"]),
        ("A.3", ["a symmetric key in a key set"; 2]),
    ] {
        let set = key_set(&vectors.text(&format!("rfc7515-rfc7517/rfc7517_{section}.jwkset")));
        assert!(set.is_empty());
        let left_out: Vec<_> = set.left_out().iter().map(|key| key.reason).collect();
        assert_eq!(left_out, reasons, "{section}");
    }
}

#[test]
fn rfc7520_4_1_rs256() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&cookbook(&vectors, "jws/4_1.rsa_v15_signature"));
}

#[test]
fn rfc7520_4_2_ps384() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&cookbook(&vectors, "jws/4_2.rsa-pss_signature"));
}

#[test]
fn rfc7520_4_3_es512() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&cookbook(&vectors, "jws/4_3.ecdsa_signature"));
}

#[test]
fn rfc7520_4_4_hs256() {
    let Some(vectors) = Vectors::find() else { return };
    check_shared(&cookbook(&vectors, "jws/4_4.hmac-sha2_integrity_protection"), HmacAlgorithm::HS256);
}

/// The payload of RFC 7797 §4.2 is signed as it is, so whoever overlooks `crit` checks another message.
#[test]
fn rfc7797_4_2_an_unencoded_payload_is_refused_for_its_crit() {
    let Some(vectors) = Vectors::find() else { return };
    let file: Json = vectors.json("jose-cookbook/rfc7797/4.2.hmac-sha2_b64_false.json");
    let header = URL_SAFE_NO_PAD.encode(file["signing"]["protected"].to_string());
    let payload = file["input"]["payload"].as_str().unwrap();
    let attached = format!("{header}.{payload}.c2ln");
    assert_eq!(parse(&attached, &mut SignatureBuffer::new()).unwrap_err(), Structure);
    // The other example has only letters and blanks in its payload, and stands in the file as a compact token.
    let (token, _) = cookbook(&vectors, "rfc7797/hmac-sha2_b64_false");
    assert_eq!(parse(&token, &mut SignatureBuffer::new()).unwrap_err(), Structure);

    // Detached, or encoded, the rest of the token is well formed.
    let rules = Rules {
        algorithms: Accepted::Shared(vec![HmacAlgorithm::HS256]),
        types: vec![String::new()],
        audience: None,
        audience_optional: false,
        leeway: Duration::ZERO.into(),
    };
    let now = Now::new(Timestamp::from_seconds(0).unwrap(), &SystemClock);
    let encoded = URL_SAFE_NO_PAD.encode(payload);
    for token in [format!("{header}..c2ln"), format!("{header}.{encoded}.c2ln"), altered(&token)] {
        let mut buffer = SignatureBuffer::new();
        let token = parse(&token, &mut buffer).unwrap();
        assert!(token.header.has_crit);
        let claims = Claims::parse("{\"exp\":1}").unwrap();
        assert_eq!(rules.check(&token, &claims, now), Err(TokenError::Critical));
    }
}

#[test]
fn rfc8037_a_4_ed25519() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&cookbook(&vectors, "curve25519/jws"));
}
