//! `private_key_jwt`: what we say of ourselves, signed with keys of every kind, and keys that are none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tower_bearer::manual::defaults::{ACTIVE_FOR, ASSERTION_LIFETIME, BREAKER_PAUSE};
use tower_bearer::testing::{Idp, ManualClock};
use tower_bearer::{
    Algorithm, ClientKey, ConfigError, ConfigErrorKind, Event, Fetch, Introspection, Issuer, LookupErrorKind,
    ResourceServer,
};

use super::client_key::{CLIENT, Pair, Verifier, encode};
use super::{OPAQUE, is_unavailable};
use crate::leaks::captured;
use crate::support::{API, ISSUER, block_on};

const AT: &str = "https://id.example.com/introspect";

type Told = Arc<Mutex<Vec<LookupErrorKind>>>;

fn with(key: ClientKey) -> Introspection {
    Introspection::at(AT).private_key_jwt(CLIENT, key)
}

fn server(clock: &ManualClock, issuer: Issuer, fetch: impl Fetch) -> (ResourceServer, Told) {
    let told = Told::default();
    let observer = told.clone();
    let builder = ResourceServer::builder(API).issuer(issuer).clock(clock.clone()).fetch(fetch);
    let builder = builder.observer(move |event: &Event<'_>| {
        if let Event::LookupFailed { kind, .. } = event {
            observer.lock().unwrap().push(*kind);
        }
    });
    (builder.build().unwrap(), told)
}

fn asks(clock: &ManualClock, key: ClientKey, verifier: &Verifier) -> (ResourceServer, Told) {
    server(clock, Issuer::new(ISSUER).introspection(with(key)), verifier.clone())
}

fn is_accepted(api: &ResourceServer) -> bool {
    block_on(api.verify(OPAQUE)).is_ok()
}

#[test]
fn every_kind_of_key_in_every_encoding() {
    use Algorithm as A;
    let clock = ManualClock::new();
    let rsa: &[_] = &[A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512];
    for (pair, algorithms) in [
        (Pair::rsa(), rsa),
        (Pair::ec("P-256"), &[A::ES256]),
        (Pair::ec("P-384"), &[A::ES384]),
        (Pair::ec("P-521"), &[A::ES512]),
        (Pair::ed25519(), &[A::Ed25519]),
    ] {
        let verifier = Verifier::new(&clock, ISSUER, algorithms[0], &pair.public);
        let mut calls = 0;
        // The first of its algorithms is the default.
        for (encoding, key) in pair.keys() {
            let (api, told) = asks(&clock, key, &verifier);
            assert!(is_accepted(&api), "{encoding} {:?} {:?}", verifier.faults(), told.lock().unwrap());
            calls += 1;
        }
        for algorithm in algorithms {
            verifier.knows(*algorithm, &pair.public);
            for (encoding, key) in pair.keys() {
                let (api, _) = asks(&clock, key.algorithm(*algorithm), &verifier);
                assert!(is_accepted(&api), "{algorithm} {encoding} {:?}", verifier.faults());
                calls += 1;
            }
        }
        assert_eq!(verifier.seen().len(), calls);
    }
}

#[test]
fn what_a_jwk_says_of_itself_counts() {
    let (clock, pair) = (ManualClock::new(), Pair::rsa());
    let verifier = Verifier::new(&clock, ISSUER, Algorithm::PS256, &pair.public);
    let mut jwk = pair.jwk.clone();
    for (name, value) in
        [("alg", json!("PS256")), ("kid", json!("own")), ("use", json!("sig")), ("key_ops", json!(["sign"]))]
    {
        jwk[name] = value;
    }
    verifier.wants_kid("own");
    assert!(
        is_accepted(&asks(&clock, ClientKey::jwk(jwk.to_string()), &verifier).0),
        "{:?}",
        verifier.faults()
    );
    let key = ClientKey::jwk(jwk.to_string()).kid("another").algorithm(Algorithm::PS256);
    verifier.wants_kid("another");
    assert!(is_accepted(&asks(&clock, key, &verifier).0), "{:?}", verifier.faults());
    let key = ClientKey::pem(pair.pem()).kid("a \"quoted\" \\ one").algorithm(Algorithm::PS256);
    verifier.wants_kid("a \"quoted\" \\ one");
    assert!(is_accepted(&asks(&clock, key, &verifier).0), "{:?}", verifier.faults());
}

/// A file as others write it: with parameters or a certificate beside the key, with other line ends.
#[test]
fn files_of_other_programs() {
    let certificate = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap().cert.pem();
    for (name, file) in [
        ("EC PARAMETERS", include_str!("client_keys/ec-with-parameters.pem").to_owned()),
        ("Ed25519", include_str!("client_keys/ed25519.pem").to_owned()),
        ("P-521", include_str!("client_keys/p521.pem").to_owned()),
        ("a certificate", certificate + include_str!("client_keys/ed25519.pem")),
        ("line ends", include_str!("client_keys/ed25519.pem").replace('\n', "\r\n")),
        ("no line end", include_str!("client_keys/ed25519.pem").trim_end().to_owned()),
    ] {
        assert!(built(ClientKey::pem(file)).is_ok(), "{name}");
    }
}

#[test]
fn rfc7523_3_each_call_says_it_anew() {
    let (clock, pair) = (ManualClock::new(), Pair::ec("P-256"));
    let verifier = Verifier::new(&clock, ISSUER, Algorithm::ES256, &pair.public);
    let (api, _) = asks(&clock, ClientKey::pem(pair.pem()), &verifier);
    for calls in 1..=5 {
        assert!(is_accepted(&api), "{:?}", verifier.faults());
        assert_eq!(verifier.seen().len(), calls);
        // As remembered, it is not asked about.
        assert!(is_accepted(&api));
        assert_eq!(verifier.seen().len(), calls);
        // The verifier compares iat and exp with this clock.
        clock.advance(ACTIVE_FOR + Duration::from_secs(1));
    }
    assert_eq!(ASSERTION_LIFETIME, Duration::from_secs(60));
}

#[test]
fn rfc7523_3_it_is_for_whoever_is_asked() {
    let (clock, pair) = (ManualClock::new(), Pair::ec("P-256"));
    let key = || ClientKey::pem(pair.pem());
    let accepts = |issuer: Issuer, audience: &str| {
        let verifier = Verifier::new(&clock, audience, Algorithm::ES256, &pair.public);
        let accepted = is_accepted(&server(&clock, issuer, verifier.clone()).0);
        assert_eq!(verifier.faults().is_empty(), accepted);
        accepted
    };
    let token_endpoint = "https://id.example.com/token";
    let named = |introspection: Introspection| Issuer::new(ISSUER).introspection(introspection);
    let unnamed = |introspection: Introspection| Issuer::unnamed("x").introspection(introspection);
    for (issuer, audience) in [
        (named(with(key())), ISSUER),
        (named(with(key()).audience(token_endpoint)), token_endpoint),
        (unnamed(with(key())), AT),
        (unnamed(with(key()).audience(token_endpoint)), token_endpoint),
    ] {
        assert!(accepts(issuer, audience), "{audience}");
    }
    assert!(!accepts(named(with(key())), AT));
    assert!(!accepts(unnamed(with(key())), ISSUER));
}

/// Over a socket, where the issuer says where it is.
#[tokio::test]
#[cfg(feature = "reqwest")]
async fn a_server_that_verifies_it_and_one_that_knows_another_key() {
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use tower_bearer::testing::Loopback;

    let (clock, told) = (ManualClock::new(), Told::default());
    let loopback = Loopback::bind().await.unwrap();
    let url = loopback.url().to_owned();
    let (ours, another) = (Pair::rsa(), Pair::rsa());
    let verifier = Verifier::new(&clock, &url, Algorithm::PS256, &ours.public);
    let (asked, metadata) =
        (verifier.clone(), json!({"issuer": url, "introspection_endpoint": format!("{url}/introspect")}));
    let introspect = move |form: String| async move {
        let (status, answer) = asked.answer(&form);
        (status, Json(answer))
    };
    let app = Router::new()
        .route("/introspect", post(introspect))
        .route("/.well-known/openid-configuration", get(move || async move { Json(metadata) }));
    let _serving = loopback.serve(app);

    let key = ClientKey::pem(ours.pem()).algorithm(Algorithm::PS256);
    let introspection = Introspection::discovered().private_key_jwt(CLIENT, key);
    let issuer = Issuer::new(&url).introspection(introspection).dangerous_allow_http();
    let observer = told.clone();
    let builder = ResourceServer::builder(API).issuer(issuer).clock(clock.clone());
    let api = builder
        .observer(move |event: &Event<'_>| {
            if let Event::LookupFailed { kind, .. } = event {
                observer.lock().unwrap().push(*kind);
            }
        })
        .build()
        .unwrap();
    let verified = api.verify(OPAQUE).await;
    assert_eq!(verified.unwrap().client_id(), Some("robot"), "{:?}", verifier.faults());
    assert!(told.lock().unwrap().is_empty());

    verifier.knows(Algorithm::PS256, &another.public);
    assert!(is_unavailable(&api.verify("another-token").await));
    assert_eq!(verifier.faults(), ["signature"]);
    assert_eq!(*told.lock().unwrap(), [LookupErrorKind::Credentials]);

    verifier.knows(Algorithm::PS256, &ours.public);
    clock.advance(BREAKER_PAUSE);
    assert!(api.verify("another-token").await.unwrap_err().token_error().is_some());
}

fn built(key: ClientKey) -> Result<(), ConfigError> {
    let issuer = Issuer::new(ISSUER).introspection(with(key));
    ResourceServer::builder(API).issuer(issuer).fetch(Idp::new(ISSUER)).build().map(drop)
}

#[test]
fn a_key_that_cannot_be_used_is_found_when_the_server_is_built() {
    let [rsa, p256, p384, ed25519] = [Pair::rsa(), Pair::ec("P-256"), Pair::ec("P-384"), Pair::ed25519()];
    let jwk = |pair: &Pair, name: &str, value: Value| {
        let mut jwk = pair.jwk.clone();
        jwk[name] = value;
        ClientKey::jwk(jwk.to_string())
    };
    let without = |pair: &Pair, name: &str| {
        let mut jwk = pair.jwk.clone();
        jwk.as_object_mut().unwrap().remove(name).unwrap();
        ClientKey::jwk(jwk.to_string())
    };
    let pem = |pair: &Pair| ClientKey::pem(pair.pem());
    for pair in [&rsa, &p256, &p384, &ed25519] {
        for (name, key) in pair.keys() {
            assert!(built(key.kid("a kid")).is_ok(), "{name}");
        }
    }
    let of_another = |pair: &Pair, other: &Pair, name: &str| jwk(pair, name, other.jwk[name].clone());
    for (name, key, advice) in [
        ("nothing", ClientKey::pem(""), "no private key in the file"),
        ("no PEM", ClientKey::pem("hunter2 hunter2"), "no private key in the file"),
        ("not even text", ClientKey::pem([0xff, 0xfe]), "no private key in the file"),
        ("a PEM that breaks off", ClientKey::pem(&pem_of(&rsa)[..400]), "private key in the file"),
        ("its base64 changed", ClientKey::pem(pem_of(&p256).replace("MI", "!!")), "not a PEM file"),
        (
            "a public key",
            ClientKey::pem(pem_of(&p256).replace("PRIVATE", "PUBLIC")),
            "no private key in the file",
        ),
        ("two keys", ClientKey::pem(pem_of(&p256) + p384.pem()), "more than one private key"),
        ("encrypted", ClientKey::pem(include_str!("client_keys/encrypted.pem")), "it is encrypted"),
        ("encrypted", ClientKey::pem(include_str!("client_keys/encrypted-legacy.pem")), "it is encrypted"),
        ("1024 bits", ClientKey::pem(include_str!("client_keys/rsa-1024.pem")), "2048 to 8192 bits"),
        ("1024 bits", ClientKey::pem(include_str!("client_keys/rsa-1024-pkcs8.pem")), "2048 to 8192 bits"),
        ("secp256k1", ClientKey::pem(include_str!("client_keys/secp256k1.pem")), "not an RSA, P-256, P-384"),
        ("X25519", ClientKey::pem(include_str!("client_keys/x25519.pem")), "not an RSA, P-256, P-384"),
        ("an EC key as RSA", ClientKey::pem(pem_of(&p256).replace("PRIVATE", "RSA PRIVATE")), "not an RSA"),
        ("an RSA key as EC", ClientKey::pem(pem_of(&rsa).replace("PRIVATE", "EC PRIVATE")), "not an RSA"),
        ("a DSA key", ClientKey::pem(pem_of(&rsa).replace("PRIVATE", "DSA PRIVATE")), "RSA PRIVATE KEY"),
        ("not JSON", ClientKey::jwk("hunter2"), "not a JSON object"),
        (
            "a member twice",
            ClientKey::jwk(p256.jwk.to_string().replace('{', "{\"kty\":\"EC\",")),
            "duplicate",
        ),
        ("a public JWK", without(&rsa, "d"), "a member of the private key is missing"),
        ("no factors", without(&rsa, "p"), "a member of the private key is missing"),
        ("a public JWK", without(&p256, "d"), "a member of the private key is missing"),
        ("a public JWK", without(&ed25519, "d"), "a member of the private key is missing"),
        ("half a JWK", without(&p256, "x"), "a member of the public key is missing"),
        ("no kty", without(&p256, "kty"), "kty is missing"),
        ("a secret", ClientKey::jwk(r#"{"kty":"oct","k":"c2VjcmV0"}"#), "kty is not RSA, EC or OKP"),
        ("another curve", jwk(&p256, "crv", json!("secp256k1")), "crv is not P-256"),
        ("another curve", jwk(&p256, "crv", json!("P-384")), "length of its curve"),
        ("another curve", jwk(&ed25519, "crv", json!("Ed448")), "crv is not Ed25519"),
        ("1024 bits", jwk(&rsa, "n", json!(encode(&[0xab; 128]))), "2048 to 8192 bits"),
        ("a short d", jwk(&p256, "d", json!(encode(&[1; 31]))), "length of its curve"),
        ("a short d", jwk(&ed25519, "d", json!(encode(&[1; 31]))), "32 bytes"),
        ("d is zero", jwk(&p256, "d", json!(encode(&[0; 32]))), "do not fit"),
        ("d is odd base64", jwk(&p256, "d", json!("hunter2=")), "base64url"),
        ("another's d", of_another(&rsa, &Pair::rsa(), "d"), "do not fit"),
        ("another's d", of_another(&p256, &Pair::ec("P-256"), "d"), "do not fit"),
        ("another's d", of_another(&ed25519, &Pair::ed25519(), "d"), "do not fit"),
        ("more primes", jwk(&rsa, "oth", json!([])), "more than two primes"),
        ("to encrypt", jwk(&rsa, "use", json!("enc")), "use is not sig"),
        ("to verify", jwk(&rsa, "key_ops", json!(["verify"])), "key_ops does not hold sign"),
        ("RSA-OAEP", jwk(&rsa, "alg", json!("RSA-OAEP")), "alg is not a signature algorithm"),
        ("its alg is of another kind", jwk(&rsa, "alg", json!("ES256")), "not one for this kind of key"),
        (
            "two algorithms",
            jwk(&rsa, "alg", json!("PS256")).algorithm(Algorithm::RS256),
            "its alg is another one",
        ),
        ("ES256 with RSA", pem(&rsa).algorithm(Algorithm::ES256), "not one for this kind of key"),
        ("ES256 with P-384", pem(&p384).algorithm(Algorithm::ES256), "not one for this kind of key"),
        ("PS256 with Ed25519", pem(&ed25519).algorithm(Algorithm::PS256), "not one for this kind of key"),
        ("an empty kid", pem(&p256).kid(""), "key id is empty or too long"),
        ("a long kid", pem(&p256).kid("k".repeat(257)), "key id is empty or too long"),
    ] {
        let error = built(key).expect_err(name);
        assert_eq!(
            (error.kind(), error.path()),
            (ConfigErrorKind::Lookup, "issuer[0].introspection"),
            "{name}"
        );
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(advice), "{name}: {shown}");
        assert!(!shown.contains("hunter2"), "{name}: {shown}");
        for secret in [&rsa, &p256, &p384, &ed25519].into_iter().flat_map(Pair::secrets) {
            assert!(!shown.contains(&secret), "{name}: {shown}");
        }
    }
}

fn pem_of(pair: &Pair) -> String {
    pair.pem().to_owned()
}

#[test]
fn who_we_are_and_for_whom_it_is_must_be_said() {
    let pair = Pair::ed25519();
    let key = || ClientKey::pem(pair.pem());
    let built = |introspection: Introspection| {
        let issuer = Issuer::new(ISSUER).introspection(introspection);
        let built = ResourceServer::builder(API).issuer(issuer).fetch(Idp::new(ISSUER)).build();
        built.map(drop).map_err(|error| (error.kind(), error.to_string()))
    };
    assert_eq!(built(with(key()).audience(ISSUER)), Ok(()));
    for (introspection, advice) in [
        (Introspection::at(AT).private_key_jwt("", key()), "our client id, our secret or our token is empty"),
        (with(key()).audience(""), "audience of our assertion is empty"),
        (
            Introspection::at(AT).basic("api", "secret").audience(ISSUER),
            "only a private_key_jwt has an audience",
        ),
    ] {
        let (kind, message) = built(introspection).unwrap_err();
        assert!(kind == ConfigErrorKind::Lookup && message.contains(advice), "{message}");
    }
    let unnamed =
        Issuer::unnamed("x").introspection(Introspection::discovered().private_key_jwt(CLIENT, key()));
    let error = ResourceServer::builder(API).issuer(unnamed).fetch(Idp::new(ISSUER)).build().unwrap_err();
    assert!(error.to_string().contains("cannot be discovered"), "{error}");
}

/// Whatever byte of a key is changed, it is refused or it signs; nothing panics.
#[test]
fn no_damaged_key_panics() {
    let mut refused = 0;
    for pair in [Pair::rsa(), Pair::ec("P-256"), Pair::ec("P-521"), Pair::ed25519()] {
        let texts =
            pair.pems.iter().map(|(_, pem)| (false, pem.clone())).chain([(true, pair.jwk.to_string())]);
        for (is_jwk, text) in texts {
            let steps = if text.len() > 1000 { 29 } else { 3 };
            for place in (0..text.len()).step_by(steps) {
                let mut damaged = text.clone().into_bytes();
                damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
                let damaged = String::from_utf8(damaged).unwrap();
                let cut = text[..place].to_owned();
                for text in [damaged, cut] {
                    let key = if is_jwk { ClientKey::jwk(text) } else { ClientKey::pem(text) };
                    refused += usize::from(built(key).is_err());
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn nothing_of_the_key_is_printed_or_logged() {
    let clock = ManualClock::new();
    for pair in [Pair::rsa(), Pair::ec("P-256"), Pair::ed25519()] {
        for (name, key) in pair.keys() {
            let mut shown = String::new();
            let log = captured(async || {
                shown += &format!("{key:?}");
                let introspection = with(key);
                shown += &format!("{introspection:?}");
                let issuer = Issuer::new(ISSUER).introspection(introspection);
                shown += &format!("{issuer:?}");
                // It knows another key, so that a failure is logged too.
                let algorithm = Algorithm::ES256;
                let verifier = Verifier::new(&clock, ISSUER, algorithm, &Pair::ec("P-256").public);
                let (api, told) = server(&clock, issuer, verifier.clone());
                let refused = api.verify(OPAQUE).await.unwrap_err();
                shown += &format!("{api:?} {refused:?} {refused}");
                assert_eq!(*told.lock().unwrap(), [LookupErrorKind::Credentials], "{name}");
            });
            assert!(log.contains("tower_bearer::lookup") && shown.contains("ClientKey("), "{log} {shown}");
            for secret in pair.secrets() {
                assert!(!log.contains(&secret) && !shown.contains(&secret), "{name}: {log} {shown}");
            }
            assert!(!log.contains("eyJ") && !shown.contains("eyJ"), "an assertion: {log} {shown}");
        }
    }
}
