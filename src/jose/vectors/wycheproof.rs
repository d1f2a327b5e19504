//! Project Wycheproof: every verdict by its id, and the tables of those that are not ours, with our reason.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::TokenError::{Algorithm as WrongAlgorithm, Signature, Structure, UnknownKey};
use super::*;

#[derive(Deserialize)]
struct File<G> {
    #[serde(rename = "testGroups")]
    groups: Vec<G>,
}

fn groups<G: DeserializeOwned>(vectors: &Vectors, name: &str) -> Vec<G> {
    vectors.json::<File<G>>(&format!("wycheproof/{name}_test.json")).groups
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
            (Some(expected), Verdict::Acceptable) => ours == expected,
            // An exception that the file agrees with is none any more.
            (Some(expected), _) => ours == expected && expected.is_ok() != (verdict == Verdict::Valid),
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

fn hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// Six tokens that the file calls valid contradict the RFCs, or the key that they come with. Two that it calls invalid have lost the padding that was to make them so: they are the valid
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
    for group in groups::<JwsGroup>(&vectors, "json_web_signature") {
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
    let groups = groups::<JwsGroup>(&vectors, "json_web_signature");
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
    for group in groups::<JwsGroup>(&vectors, "json_web_key") {
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
        (7, &["the RSA modulus has the fingerprint of ROCA"]),
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
    let groups = groups::<JwsGroup>(&vectors, "json_web_key");
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
    for group in groups::<JwsGroup>(&vectors, "json_web_key") {
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
    for group in groups::<SignatureGroup>(&vectors, file) {
        let key = Key::from_jwk(&jwk(&group, algorithm), everything());
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
