//! Test vectors made by others: Project Wycheproof and the examples of the RFCs.
//!
//! They go through what a request goes through: [`Compact::parse`], the import of a key set, [`Keys::verify`].
//! The tables say where our verdict is another than Wycheproof's, and why we refuse. They know nothing of
//! backends: every backend must answer the same.
#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use super::TokenError::{Algorithm as WrongAlgorithm, Signature, Structure, UnknownKey};
use super::*;
use crate::jose::jwk::Key;

/// The folder that TOWER_BEARER_VECTORS names, else the one beside the package.
struct Vectors(PathBuf);

impl Vectors {
    /// `None` if there are no vectors here. A build that has to have them says so in TOWER_BEARER_REQUIRE.
    fn find() -> Option<Self> {
        static SAID: Once = Once::new();
        let folder = env::var_os("TOWER_BEARER_VECTORS")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"), PathBuf::from);
        if folder.is_dir() {
            return Some(Self(folder));
        }
        let why = format!("{} is not a folder; set TOWER_BEARER_VECTORS", folder.display());
        let required = env::var("TOWER_BEARER_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == "vectors"), "required: vectors ({why})");
        // libtest captures what print! and eprint! write, and nobody would see that nothing was tested.
        SAID.call_once(|| writeln!(std::io::stderr(), "skipped: vectors ({why})").unwrap());
        None
    }

    fn text(&self, path: &str) -> String {
        let path = self.0.join(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_str(&self.text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn tests<G: DeserializeOwned>(&self, name: &str) -> Vec<G> {
        self.json::<File<G>>(&format!("wycheproof/{name}_test.json")).groups
    }
}

#[derive(Deserialize)]
struct File<G> {
    #[serde(rename = "testGroups")]
    groups: Vec<G>,
}

/// Keys stay as they are written, so that the import sees every byte of them.
#[derive(Deserialize)]
struct JwsGroup {
    public: Option<Box<RawValue>>,
    private: Option<Box<RawValue>>,
    tests: Vec<JwsTest>,
}

#[derive(Deserialize)]
struct JwsTest {
    #[serde(rename = "tcId")]
    id: u32,
    comment: String,
    jws: String,
    result: Verdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureGroup {
    #[serde(alias = "keyJwk")]
    public_key_jwk: Option<Box<RawValue>>,
    public_key: Json,
    tests: Vec<SignatureTest>,
}

#[derive(Deserialize)]
struct SignatureTest {
    #[serde(rename = "tcId")]
    id: u32,
    comment: String,
    msg: String,
    sig: String,
    result: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Valid,
    Invalid,
    /// Left to the implementation, so it has to stand in the table of exceptions.
    Acceptable,
}

type Outcome = Result<(), TokenError>;

/// By its id, what we answer where the file says something else or leaves it open.
type Exceptions = &'static [(u32, Outcome)];

/// The answers to one file.
struct Answers {
    exceptions: Exceptions,
    accepted: BTreeMap<u32, bool>,
    wrong: Vec<String>,
}

impl Answers {
    fn new(exceptions: Exceptions) -> Self {
        Self { exceptions, accepted: BTreeMap::new(), wrong: Vec::new() }
    }

    fn add(&mut self, id: u32, comment: &str, verdict: Verdict, ours: Outcome) {
        let exception = self.exceptions.iter().find_map(|(tc, outcome)| (*tc == id).then_some(*outcome));
        let right = match (exception, verdict) {
            // An exception that the file agrees with is none any more.
            (Some(expected), _) => ours == expected && (verdict == Verdict::Valid) != expected.is_ok(),
            (None, Verdict::Valid) => ours.is_ok(),
            (None, Verdict::Invalid) => ours.is_err(),
            (None, Verdict::Acceptable) => false,
        };
        if !right {
            let expected = exception.map_or_else(|| format!("{verdict:?}"), |outcome| format!("{outcome:?}"));
            self.wrong.push(format!("{id} ({comment}): expected {expected}, got {ours:?}"));
        }
        if self.accepted.insert(id, ours.is_ok()).is_some() {
            self.wrong.push(format!("{id} ({comment}): the id comes twice"));
        }
    }

    /// `total` tests, numbered from 1, of which `accepted` were accepted, and no surprises.
    fn check(self, file: &str, total: u32, accepted: usize) {
        let wrong = self.wrong;
        assert!(wrong.is_empty(), "{file}: {} wrong answers\n{}", wrong.len(), wrong.join("\n"));
        assert!(self.accepted.keys().copied().eq(1..=total), "{file}: not the ids 1 to {total}");
        assert_eq!(
            self.accepted.values().filter(|accepted| **accepted).count(),
            accepted,
            "{file}: accepted"
        );
    }
}

fn everything() -> AlgorithmSet {
    Algorithm::ALL.into_iter().collect()
}

/// A key set as it is; one key as a set of one.
fn key_set(jwk_or_set: &str) -> KeySet {
    let has_keys = serde_json::from_str::<Json>(jwk_or_set).unwrap().get("keys").is_some();
    let set = if has_keys { jwk_or_set.to_owned() } else { format!("{{\"keys\":[{jwk_or_set}]}}") };
    KeySet::from_jwks(set.as_bytes(), everything()).unwrap()
}

fn public_keys(jwk_or_set: &str) -> Keys {
    Keys::Public(Arc::new(key_set(jwk_or_set)))
}

/// A secret as an operator configures it, for one algorithm and long enough for it.
fn shared_secret(jwk: &str, algorithm: HmacAlgorithm) -> Option<Keys> {
    let jwk: Json = serde_json::from_str(jwk).unwrap();
    let secret = base64url::decode(jwk["k"].as_str()?)?;
    if secret.len() < algorithm.min_secret_length() {
        return None;
    }
    SharedSecret::prepare(&Secret::new(secret), &[algorithm]).map(|secret| Keys::Shared(Arc::new(secret)))
}

/// A shared secret whose JWK names its algorithm. One that names none, or no HMAC, is no key: an operator has
/// to say what a secret is for, and the token must not.
fn named_secret(jwk: &str) -> Option<Keys> {
    let algorithm = serde_json::from_str::<Json>(jwk).unwrap()["alg"].as_str()?.parse().ok()?;
    shared_secret(jwk, algorithm)
}

fn verify(keys: &Keys, token: &str) -> Outcome {
    keys.verify(&Compact::parse(token)?).map_err(|not_verified| not_verified.fault)
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// A key without the members that only its owner may have.
fn public_half(jwk: &Json) -> String {
    let mut jwk: Map<String, Json> = jwk.as_object().unwrap().clone();
    jwk.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    serde_json::to_string(&jwk).unwrap()
}

/// Five tokens that the file calls valid contradict the RFCs, or the key that they come with; see the README
/// of the vectors. Two that it calls invalid have lost the padding that was to make them so: they are the valid
/// token 357, byte by byte.
const JWS_EXCEPTIONS: Exceptions = &[
    // The key is for PS256 (`alg`), and the header says PS384.
    (346, Err(UnknownKey)),
    (350, Err(UnknownKey)),
    // The key is for "ES521", which is no algorithm.
    (347, Err(UnknownKey)),
    (351, Err(UnknownKey)),
    (367, Ok(())),
    (370, Ok(())),
    // A question mark in a segment is no base64url.
    (372, Err(Structure)),
    (373, Err(Structure)),
];

#[test]
fn wycheproof_json_web_signature() {
    let Some(vectors) = Vectors::find() else { return };
    let mut answers = Answers::new(JWS_EXCEPTIONS);
    for group in vectors.tests::<JwsGroup>("json_web_signature") {
        let keys = match (&group.public, &group.private) {
            (Some(public), _) => Some(public_keys(public.get())),
            (None, Some(secret)) => named_secret(secret.get()),
            (None, None) => None,
        };
        for test in group.tests {
            let outcome = keys.as_ref().map_or(Err(UnknownKey), |keys| verify(keys, &test.jws));
            answers.add(test.id, &test.comment, test.result, outcome);
        }
    }
    answers.check("json_web_signature", 401, 42);
}

#[test]
fn wycheproof_json_web_signature_367_and_370_are_the_valid_token_357() {
    let Some(vectors) = Vectors::find() else { return };
    let groups = vectors.tests::<JwsGroup>("json_web_signature");
    let tests: BTreeMap<u32, &JwsTest> = groups.iter().flat_map(|g| &g.tests).map(|t| (t.id, t)).collect();
    assert_eq!(tests[&357].result, Verdict::Valid);
    for id in [367, 370] {
        assert_eq!(tests[&id].result, Verdict::Invalid);
        assert_eq!(tests[&id].jws, tests[&357].jws);
    }
}

/// The four HMAC tokens that are valid with a key of the set: no set leads to a symmetric key here.
const JWK_EXCEPTIONS: Exceptions = &[
    (2, Err(WrongAlgorithm)),
    (13, Err(WrongAlgorithm)),
    (14, Err(WrongAlgorithm)),
    (15, Err(WrongAlgorithm)),
];

#[test]
fn wycheproof_json_web_key() {
    let Some(vectors) = Vectors::find() else { return };
    let mut answers = Answers::new(JWK_EXCEPTIONS);
    for group in vectors.tests::<JwsGroup>("json_web_key") {
        // Where there is no public set, the private one is symmetric.
        let keys = public_keys(group.public.or(group.private).unwrap().get());
        for test in group.tests {
            answers.add(test.id, &test.comment, test.result, verify(&keys, &test.jws));
        }
    }
    answers.check("json_web_key", 26, 1);
}

#[test]
fn wycheproof_json_web_key_sets_are_imported_without_their_faulty_keys() {
    let Some(vectors) = Vectors::find() else { return };
    const SYMMETRIC: &str = "a symmetric key in a key set";
    // For the id of a group's first test, why each key that is left out is.
    let expected: BTreeMap<u32, &[&str]> = BTreeMap::from([
        (1, &[SYMMETRIC][..]),
        (2, &[SYMMETRIC, SYMMETRIC]),
        (4, &[SYMMETRIC, SYMMETRIC]),
        (5, &[]),
        (6, &["use is not sig"]),
        (7, &["the RSA modulus has the ROCA fingerprint"]),
        (8, &["the RSA modulus does not have 2048 to 8192 bits"]),
        (9, &["the RSA exponent is not an odd number from 3 to 2^33"]),
        (10, &[SYMMETRIC]),
        (11, &[SYMMETRIC]),
        (12, &[SYMMETRIC]),
        (13, &[SYMMETRIC]),
        (14, &[SYMMETRIC]),
        (15, &[SYMMETRIC]),
        (16, &[SYMMETRIC]),
        (17, &[SYMMETRIC]),
        (18, &[SYMMETRIC]),
        (19, &["alg is not a signature algorithm in use"]),
        (20, &["alg is not a signature algorithm in use"]),
        (21, &["use is not sig"]),
        (22, &["not a valid public key"]),
        (23, &["a coordinate does not have the length of its curve"]),
        (24, &["a member of the public key is missing"]),
        (25, &[SYMMETRIC]),
        (26, &[SYMMETRIC]),
    ]);
    let groups = vectors.tests::<JwsGroup>("json_web_key");
    assert_eq!(groups.len(), expected.len());
    for group in groups {
        let id = group.tests.first().unwrap().id;
        let set = key_set(group.public.or(group.private).unwrap().get());
        let reasons: Vec<&str> = set.left_out().iter().map(|key| key.reason).collect();
        assert_eq!(reasons, expected[&id], "{id}");
    }
}

/// The same secrets where an operator has configured them. RFC 7518 §3.2: as long as the hash.
#[test]
fn wycheproof_json_web_key_secrets_are_long_enough_for_their_algorithm() {
    let Some(vectors) = Vectors::find() else { return };
    let mut outcomes = BTreeMap::new();
    for group in vectors.tests::<JwsGroup>("json_web_key") {
        let Some(Json::Array(keys)) = group.private.map(|set| {
            let mut set: Json = serde_json::from_str(set.get()).unwrap();
            set["keys"].take()
        }) else {
            continue;
        };
        if let [jwk] = keys.as_slice()
            && jwk["kty"] == "oct"
        {
            let keys = named_secret(&jwk.to_string());
            for test in group.tests {
                outcomes.insert(test.id, keys.as_ref().map(|keys| verify(keys, &test.jws)));
            }
        }
    }
    let refused = [10, 11, 12, 16, 17, 18, 25, 26].map(|id| (id, None));
    let accepted = [13, 14, 15].map(|id| (id, Some(Ok(()))));
    assert_eq!(outcomes, refused.into_iter().chain(accepted).collect());
}

/// The JWK of a group; where the file has none, out of the numbers that it gives.
fn jwk(group: &SignatureGroup, algorithm: Algorithm) -> String {
    if let Some(jwk) = &group.public_key_jwk {
        return jwk.get().to_owned();
    }
    let crv = match algorithm {
        Algorithm::ES256 => "P-256",
        Algorithm::ES384 => "P-384",
        Algorithm::ES512 => "P-521",
        _ => panic!("a {algorithm} key without a JWK"),
    };
    let point = hex(group.public_key["uncompressed"].as_str().unwrap());
    let (tag, xy) = point.split_first().unwrap();
    assert_eq!(*tag, 4);
    let (x, y) = xy.split_at(xy.len().div_euclid(2));
    json!({"kty": "EC", "crv": crv, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
        .to_string()
}

fn check_signatures(file: &str, algorithm: Algorithm, total: u32, accepted: usize, exceptions: Exceptions) {
    let Some(vectors) = Vectors::find() else { return };
    let mut answers = Answers::new(exceptions);
    for group in vectors.tests::<SignatureGroup>(file) {
        let key = Key::from_jwk(jwk(&group, algorithm).as_bytes(), everything());
        let prepared = key.as_ref().map(|key| key.prepared_for(algorithm));
        for test in group.tests {
            let outcome = match prepared {
                Ok(Some(key)) if key.verify(&hex(&test.msg), &hex(&test.sig)) => Ok(()),
                Ok(Some(_)) => Err(Signature),
                Ok(None) | Err(_) => Err(UnknownKey),
            };
            answers.add(test.id, &test.comment, test.result, outcome);
        }
    }
    answers.check(file, total, accepted);
}

#[test]
fn wycheproof_ed25519() {
    check_signatures("ed25519", Algorithm::Ed25519, 151, 88, &[]);
}

#[test]
fn wycheproof_ecdsa_p256() {
    check_signatures("ecdsa_secp256r1_sha256_p1363", Algorithm::ES256, 262, 173, &[]);
}

#[test]
fn wycheproof_ecdsa_p384() {
    check_signatures("ecdsa_secp384r1_sha384_p1363", Algorithm::ES384, 280, 193, &[]);
}

#[test]
fn wycheproof_ecdsa_p521() {
    check_signatures("ecdsa_secp521r1_sha512_p1363", Algorithm::ES512, 318, 231, &[]);
}

/// The DigestInfo lacks the NULL that RFC 8017 §9.2 puts there. A verifier may let it pass; we compare whole.
const MISSING_NULL: Exceptions = &[(8, Err(Signature))];

#[test]
fn wycheproof_rsa_pkcs1() {
    check_signatures("rsa_signature_2048_sha256", Algorithm::RS256, 259, 9, MISSING_NULL);
    check_signatures("rsa_signature_2048_sha384", Algorithm::RS384, 258, 7, MISSING_NULL);
    check_signatures("rsa_signature_2048_sha512", Algorithm::RS512, 259, 8, MISSING_NULL);
}

#[test]
fn wycheproof_rsa_pss() {
    check_signatures("rsa_pss_2048_sha256_mgf1_32", Algorithm::PS256, 108, 63, &[]);
    check_signatures("rsa_pss_4096_sha384_mgf1_48", Algorithm::PS384, 141, 95, &[]);
    check_signatures("rsa_pss_4096_sha512_mgf1_64", Algorithm::PS512, 179, 132, &[]);
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
    assert_eq!(Compact::parse(&token).unwrap_err(), Structure);
    // It is not only the missing signature that makes it worthless.
    let signed = format!("{token}c2ln");
    assert_eq!(Compact::parse(&signed).unwrap().header.alg, HeaderAlgorithm::Unknown);
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
    assert_eq!(Compact::parse(&attached).unwrap_err(), Structure);
    // The other example has only letters and blanks in its payload, and stands in the file as a compact token.
    let (token, _) = cookbook(&vectors, "rfc7797/hmac-sha2_b64_false");
    assert_eq!(Compact::parse(&token).unwrap_err(), Structure);

    // Detached, or encoded, the rest of the token is well formed.
    let rules = Rules {
        algorithms: Accepted::Shared(vec![HmacAlgorithm::HS256]),
        types: vec![String::new()],
        audience: None,
        leeway: Duration::ZERO,
    };
    let now = Timestamp::from_seconds(0).unwrap();
    let encoded = URL_SAFE_NO_PAD.encode(payload);
    for token in [format!("{header}..c2ln"), format!("{header}.{encoded}.c2ln"), altered(&token)] {
        let token = Compact::parse(&token).unwrap();
        assert!(token.header.has_crit);
        let claims = Claims::parse(b"{\"exp\":1}").unwrap();
        assert_eq!(rules.check(&token, &claims, now), Err(TokenError::Critical));
    }
}

#[test]
fn rfc8037_a_4_ed25519() {
    let Some(vectors) = Vectors::find() else { return };
    check_public(&cookbook(&vectors, "curve25519/jws"));
}
