//! Tokens that want to choose how, or with what key, they are verified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::forge::{Forge, segments};
use crate::jose::{Algorithm, HmacAlgorithm, MAX_KID_LENGTH};
use crate::testing::random_hex;

pub(super) fn forge(forge: &mut Forge<'_>) {
    unsigned(forge);
    other_algorithms(forge);
    public_key_as_secret(forge);
    foreign_keys(forge);
    key_ids(forge);
    extensions(forge);
}

fn unsigned(forge: &mut Forge<'_>) {
    let of = |alg: &str, signature: &str| {
        let token = forge.good.clone().header("alg", alg).sign();
        let [header, payload, _] = segments(&token);
        format!("{header}.{payload}.{signature}")
    };
    let tokens = [
        ("alg-none", of("none", ""), "RFC 8725 §3.2, CVE-2015-2951: an unsecured JWT claims what it likes."),
        (
            "alg-none-upper-case",
            of("NONE", ""),
            "RFC 7515 §4.1.1: `alg` is case-sensitive, also where `none` is filtered.",
        ),
        (
            "alg-none-mixed-case",
            of("nOnE", "AA"),
            "RFC 7515 §4.1.1: `alg` is case-sensitive; a filter for `none` that knows one spelling lets this pass.",
        ),
    ];
    for (name, token, why) in tokens {
        forge.add(name, token, why);
    }
    forge.header(
        "alg-none-signed",
        "alg",
        "none",
        "RFC 8725 §3.2: a good signature does not make `none` an algorithm.",
    );
    let good = forge.good.sign();
    let [header, payload, _] = segments(&good);
    let unsigned = format!("{header}.{payload}.");
    forge.add(
        "signature-empty",
        unsigned,
        "CVE-2020-28042: `alg` is a good one, and the signature is not there.",
    );
}

fn other_algorithms(forge: &mut Forge<'_>) {
    let own = alg(forge);
    let names =
        Algorithm::ALL.map(Algorithm::name).into_iter().chain(HmacAlgorithm::ALL.map(HmacAlgorithm::name));
    for other in names.chain(["Ed448", "ES256K"]).filter(|other| *other != own) {
        let name = format!("alg-named-{}", other.to_ascii_lowercase());
        let why =
            "RFC 8725 §3.1: `alg` names another algorithm than the one that signed, which is the key's.";
        forge.signed(name, |token| token.header("alg", other), why);
    }
    let lower = own.to_ascii_lowercase();
    forge.header("alg-case", "alg", lower, "RFC 7515 §4.1.1: `alg` is case-sensitive.");
    forge.header("alg-empty", "alg", "", "RFC 7515 §4.1.1: an empty `alg` is no algorithm.");
    forge.header("alg-null", "alg", Value::Null, "RFC 7515 §4.1.1: `alg` is a string.");
    forge.signed("alg-absent", |token| token.without_header("alg"), "RFC 7515 §4.1.1: `alg` must be there.");
}

/// Whoever takes the algorithm from the token, and an HMAC secret from where a public key is, takes these.
fn public_key_as_secret(forge: &mut Forge<'_>) {
    let key = forge.good.key();
    let pem = key.public_pem();
    let forms = [
        ("pem-trimmed", pem.trim_end().as_bytes().to_vec()),
        ("pem", pem.into_bytes()),
        ("der", key.public_der().to_vec()),
        ("jwk", key.jwk().to_string().into_bytes()),
        ("raw", key.public_raw().to_vec()),
        ("kid", key.kid.clone().into_bytes()),
        ("nothing", Vec::new()),
    ];
    for algorithm in HmacAlgorithm::ALL {
        for (form, secret) in &forms {
            let name = format!("alg-{}-with-{form}", algorithm.name().to_ascii_lowercase());
            let why = "CVE-2015-9235, CVE-2022-29217: an HMAC whose secret is what everybody knows.";
            forge.add(name, forge.good.sign_hmac(algorithm, secret), why);
        }
    }
}

fn foreign_keys(forge: &mut Forge<'_>) {
    let (stranger, key) = forge.good.clone().of_a_stranger();
    let jwk = key.jwk();
    let tokens = [
        (
            "key-other",
            stranger.clone(),
            "RFC 7515 §4.1.4: another key under the same `kid`; a `kid` proves nothing.",
        ),
        (
            "key-other-kid",
            stranger.clone().header("kid", key.kid.clone()),
            "RFC 8725 §3.8: another key under its own `kid`.",
        ),
        (
            "key-other-no-kid",
            stranger.clone().without_header("kid"),
            "RFC 8725 §3.8: another key without a `kid`.",
        ),
        (
            "key-jwk",
            stranger.clone().header("jwk", jwk.clone()),
            "CVE-2018-0114: the key comes with the token (RFC 7515 §4.1.3).",
        ),
        (
            "key-jwk-no-kid",
            stranger.clone().without_header("kid").header("jwk", jwk),
            "CVE-2018-0114: the key comes with the token, and no `kid` names another.",
        ),
        (
            "key-jku",
            stranger.clone().header("kid", key.kid.clone()).header("jku", "https://attacker.example/jwks"),
            "RFC 8725 §3.10, CVE-2024-21643: the token says where its key is.",
        ),
        (
            "key-x5u",
            stranger.clone().header("x5u", "https://attacker.example/cert"),
            "RFC 8725 §3.10: the token says where its certificate is.",
        ),
        (
            "key-x5c",
            stranger.header("x5c", json!([STANDARD.encode(key.public_der())])),
            "RFC 7515 §4.1.6: the token brings a chain that nobody vouches for.",
        ),
    ];
    for (name, token, why) in tokens {
        forge.add(name, token.sign(), why);
    }
}

/// Signed by the issuer's own key: what is refused is the name of a key that does not exist.
fn key_ids(forge: &mut Forge<'_>) {
    let kid = forge.good.key().kid.clone();
    let injection = "RFC 8725 §3.10: a `kid` is a name, and never put into a path, a query or a URL.";
    forge.header("kid-path", "kid", "../../../../../../dev/null", injection);
    forge.header("kid-sql", "kid", "x' UNION SELECT 'key' --", injection);
    forge.header("kid-url", "kid", "https://attacker.example/key", injection);
    forge.header("kid-nul", "kid", format!("{kid}\0"), injection);
    forge.header("kid-unknown", "kid", random_hex(8), "RFC 7515 §4.1.4: no key is called this.");
    forge.header("kid-empty", "kid", "", "RFC 7515 §4.1.4: an empty `kid` is not an absent one.");
    forge.header(
        "kid-long",
        "kid",
        "k".repeat(MAX_KID_LENGTH + 1),
        "A `kid` that costs a comparison with every key.",
    );
    forge.header("kid-null", "kid", Value::Null, "RFC 7515 §4.1.4: `kid` is a string.");
    forge.header("kid-number", "kid", 1, "RFC 7515 §4.1.4: `kid` is a string.");
}

fn extensions(forge: &mut Forge<'_>) {
    let mut crit = |name: &'static str, crit: Value, why| {
        forge.signed(
            name,
            |token| token.header("crit", crit).header("exp", 1).header("urn:example:x", true),
            why,
        );
    };
    crit(
        "crit-unknown",
        json!(["urn:example:x"]),
        "RFC 7515 §4.1.11: an extension that must be understood and is not.",
    );
    crit("crit-empty", json!([]), "RFC 7515 §4.1.11: `crit` must not be empty.");
    crit("crit-text", json!("urn:example:x"), "RFC 7515 §4.1.11: `crit` is an array.");
    crit("crit-null", Value::Null, "RFC 7515 §4.1.11: `crit` is an array, and `null` is not its absence.");
    forge.signed(
        "crit-b64",
        |token| token.header("crit", json!(["b64"])).header("b64", false),
        "RFC 7797 §7: a JWT must not have an unencoded payload.",
    );
}

/// The `alg` of the good token.
fn alg(forge: &Forge<'_>) -> String {
    let header: Value = serde_json::from_str(&forge.good.header_json()).expect("a header");
    header["alg"].as_str().expect("an alg").to_owned()
}
