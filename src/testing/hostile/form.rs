//! Tokens that are written so that two readers read two things.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::forge::{Forge, segments, with_member};
use crate::jose::{Algorithm, MAX_TOKEN_LENGTH};
use crate::testing::TokenBuilder;
use crate::testing::key::encode;

pub(super) fn forge(forge: &mut Forge<'_>) {
    duplicates(forge);
    lax_base64(forge);
    structure(forge);
    signatures(forge);
    headers(forge);
    payloads(forge);
}

fn duplicates(forge: &mut Forge<'_>) {
    const WHY: &str =
        "RFC 7519 §4, RFC 7515 §4: a name twice; which of the values counts depends on the reader.";
    const ESCAPED: &str =
        "RFC 7519 §4, RFC 8259 §8.3: a name twice, once with an escape that hides it from a search.";
    let headers = [
        ("dup-alg", r#""alg":"none""#, WHY),
        ("dup-alg-escaped", r#""\u0061lg":"none""#, ESCAPED),
        ("dup-kid", r#""kid":"x","kid":"x""#, WHY),
        ("dup-typ", r#""typ":"dpop+jwt","typ":"at+jwt""#, WHY),
        ("dup-header-member", r#""x":1,"x":2"#, WHY),
    ];
    for (name, member, why) in headers {
        forge.header_text(name, |json| with_member(&json, member), why);
    }
    let payloads = [
        ("dup-iss", r#""iss":"https://attacker.example","iss":"https://attacker.example""#, WHY),
        ("dup-aud", r#""aud":"https://other.example","aud":"https://other.example""#, WHY),
        ("dup-aud-escaped", r#""\u0061ud":"https://other.example","aud":"https://other.example""#, ESCAPED),
        ("dup-exp", r#""exp":1,"exp":1"#, WHY),
        ("dup-claim", r#""x":1,"x":2"#, WHY),
        ("dup-claim-nested", r#""x":{"y":1,"y":2}"#, WHY),
    ];
    for (name, member, why) in payloads {
        forge.payload_text(name, |json| with_member(&json, member), why);
    }
}

/// The signature is made over the text as it is sent, so that a lax reader finds nothing else wrong.
fn lax_base64(forge: &mut Forge<'_>) {
    let shaped = shaped(forge.good);
    let (header, payload) = (encode(shaped.header_json()), encode(shaped.claims_json()));
    let ways: [(&str, Way, &str); 4] = [
        ("padding", pad, "RFC 7515 §2: base64url without padding."),
        ("alphabet", standard_alphabet, "RFC 7515 §2: base64url, not base64."),
        ("space", space, "RFC 7515 §2: base64url without white space; a layer refuses it as malformed."),
        (
            "tail-bits",
            tail_bits,
            "RFC 4648 §3.5: bits left over in the last character; one token, several texts.",
        ),
    ];
    for (way, change, why) in ways {
        if let Some(lax) = change(&header) {
            forge.add(format!("b64-{way}-header"), shaped.sign_segments(&lax, &payload), why);
        }
        if let Some(lax) = change(&payload) {
            forge.add(format!("b64-{way}-payload"), shaped.sign_segments(&header, &lax), why);
        }
        // A signature is as long as it is, and holds what it holds: some need more than one try, some cannot be.
        let lax = (0..64).find_map(|attempt| {
            let token = forge.good.clone().claim("x", attempt).sign();
            let [header, payload, signature] = segments(&token);
            Some(format!("{header}.{payload}.{}", change(signature)?))
        });
        if let Some(lax) = lax {
            forge.add(format!("b64-{way}-signature"), lax, why);
        }
    }
}

type Way = fn(&str) -> Option<String>;

fn pad(segment: &str) -> Option<String> {
    Some(segment.to_owned() + ["====", "===", "==", "="][segment.len() % 4])
}

fn standard_alphabet(segment: &str) -> Option<String> {
    segment.contains(['-', '_']).then(|| segment.replace('-', "+").replace('_', "/"))
}

fn space(segment: &str) -> Option<String> {
    let (start, end) = segment.split_at(segment.len() / 2);
    Some(format!("{start} {end}"))
}

fn tail_bits(segment: &str) -> Option<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let spare_bits = matches!(segment.len() % 4, 2 | 3);
    let (rest, last) = segment.split_at(segment.len() - 1);
    let next = ALPHABET.find(last).filter(|_| spare_bits)? + 1;
    Some(format!("{rest}{}", &ALPHABET[next..=next]))
}

/// The good token with a member that nobody reads: both segments then have a `_` and bits to spare.
fn shaped(good: &TokenBuilder) -> TokenBuilder {
    let filler = |more: usize| "?".repeat(5 + more);
    let fits = |json: String| !json.len().is_multiple_of(3);
    let of_header = (0..3).map(filler).find(|x| fits(good.clone().header("x", x.clone()).header_json()));
    let of_claims = (0..3).map(filler).find(|x| fits(good.clone().claim("x", x.clone()).claims_json()));
    good.clone().header("x", of_header.expect("a length")).claim("x", of_claims.expect("a length"))
}

fn structure(forge: &mut Forge<'_>) {
    let good = forge.good.sign();
    let [header, payload, signature] = segments(&good);
    let (header_json, claims_json) = (forge.good.header_json(), forge.good.claims_json());
    let empty_header = forge.good.sign_segments("", payload);
    let empty_payload = forge.good.sign_segments(header, "");
    let unencoded = forge.good.clone().header("b64", false).header_json();
    let unencoded = forge.good.sign_segments(&encode(unencoded), &claims_json);
    let jwe = json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "typ": "at+jwt"}).to_string();
    let flat = json!({"payload": payload, "protected": header, "signature": signature});
    let general = json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
    let three = "RFC 7515 §7.1: three segments, none of them empty.";
    let compact = "RFC 7519 §1: a JWT has the compact serialization; a layer refuses braces as malformed.";
    for (name, token, why) in [
        ("segments-two", format!("{header}.{payload}"), three),
        ("segments-four", format!("{good}.{signature}"), three),
        (
            "segments-many",
            ".".repeat(10_000),
            "CVE-2025-30204, CVE-2025-27144: dots that cost an allocation each.",
        ),
        ("segment-header-empty", empty_header, three),
        ("segment-payload-empty", empty_payload, three),
        ("dot-leading", format!(".{good}"), three),
        ("dot-trailing", format!("{good}."), three),
        ("jws-json-flattened", flat.to_string(), compact),
        ("jws-json-general", general.to_string(), compact),
        (
            "b64-false",
            unencoded,
            "RFC 7797 §7: a JWT must not have an unencoded payload, not even without `crit`.",
        ),
        (
            "jwe",
            [&encode(jwe), signature, "AAAAAAAAAAAAAAAA", payload, "AAAAAAAAAAAAAAAAAAAAAA"].join("."),
            "RFC 7516 §9: five segments are an encrypted token, whose sender is not proven.",
        ),
        (
            "nested",
            forge.good.clone().header("cty", "JWT").sign_raw(&header_json, &good),
            "RFC 7519 §5.2: the payload is another token, whose claims are not this one's.",
        ),
        (
            "too-long",
            forge.good.clone().claim("x", "x".repeat(MAX_TOKEN_LENGTH)).sign(),
            "A token that nobody issues, for what it costs to read it.",
        ),
    ] {
        forge.add(name, token, why);
    }
}

fn signatures(forge: &mut Forge<'_>) {
    let good = forge.good.sign();
    let [header, payload, signature] = segments(&good);
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let length = bytes.len();
    let mut flipped = bytes.clone();
    flipped[length / 2] ^= 1;
    let exact = "RFC 7518 §3: a signature of this key has one length.";
    let mut variants = vec![
        ("signature-cut", bytes[..length - 1].to_vec(), exact),
        ("signature-extended", [&bytes[..], &[0]].concat(), exact),
        ("signature-zeroed", vec![0; length], "CVE-2022-21449: r and s are zero."),
        ("signature-ones", vec![0xff; length], "RFC 7518 §3: numbers beyond the order or the modulus."),
        ("signature-flipped", flipped, "RFC 7515 §5.2: one bit is another."),
        (
            "signature-swapped",
            [&bytes[length / 2..], &bytes[..length / 2]].concat(),
            "RFC 7518 §3.4: the halves are in one order.",
        ),
    ];
    if matches!(forge.good.algorithm(), Some(Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512)) {
        let der = ecdsa_der(&bytes);
        variants.push(("signature-der", der, "RFC 7518 §3.4: R and S side by side, not in DER."));
    }
    for (name, bytes, why) in variants {
        forge.add(name, format!("{header}.{payload}.{}", encode(bytes)), why);
    }
    let other = forge.good.clone().claim("x", 1);
    let [other_header, other_payload] =
        [other.clone().header("x", 1).header_json(), other.claims_json()].map(encode);
    let signed = "RFC 7515 §5.2: the signature covers header and payload, each as it was sent.";
    let other = other.sign();
    let [.., of_another] = segments(&other);
    forge.add("signature-of-another", format!("{header}.{payload}.{of_another}"), signed);
    forge.add("header-changed", format!("{other_header}.{payload}.{signature}"), signed);
    forge.add("payload-changed", format!("{header}.{other_payload}.{signature}"), signed);
}

fn headers(forge: &mut Forge<'_>) {
    let object = "RFC 7515 §4: the header is one JSON object in UTF-8.";
    forge.header_text("header-array", |json| format!("[{json}]").into(), object);
    forge.header_text("header-bom", |json| format!("\u{feff}{json}").into(), object);
    forge.header_text("header-trailing", |json| format!("{json}{json}").into(), object);
    forge.header_text("header-deep", |json| deep(&json), "CVE-2025-53864: nesting that costs a stack.");
}

fn payloads(forge: &mut Forge<'_>) {
    let object = "RFC 7519 §7.2: the claims are one JSON object and nothing else.";
    let utf8 = "RFC 8725 §3.7: the claims are UTF-8.";
    forge.payload_text("payload-array", |json| format!("[{json}]").into(), object);
    forge.payload_text("payload-string", |json| json!(json).to_string().into(), object);
    forge.payload_text("payload-null", |_| "null".into(), object);
    forge.payload_text("payload-trailing", |json| format!("{json}x").into(), object);
    forge.payload_text("payload-twice", |json| format!("{json}{json}").into(), object);
    forge.payload_text("payload-comma", |json| with_member(&json, r#""x":1,"#), object);
    forge.payload_text("payload-nan", |json| with_member(&json, r#""x":NaN"#), object);
    forge.payload_text("payload-nul", |json| with_member(&json, "\"x\":\"\0\""), object);
    forge.payload_text("payload-nul-after", |json| format!("{json}\0").into(), object);
    forge.payload_text("payload-bom", |json| format!("\u{feff}{json}").into(), utf8);
    forge.payload_text("payload-utf8", |json| with_bad_utf8(&json), utf8);
    forge.payload_text(
        "payload-utf16",
        |json| json.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        utf8,
    );
    forge.payload_text("payload-surrogate", |json| with_member(&json, r#""x":"\ud800""#), utf8);
    forge.payload_text("payload-deep", |json| deep(&json), "CVE-2025-53864: nesting that costs a stack.");
    let why =
        "RFC 7516 §4.1.3: `zip` is for encrypted tokens; unpacking is a bomb to be lit (CVE-2024-28176).";
    let compressed = deflate_stored(forge.good.claims_json().as_bytes());
    let header = forge.good.clone().header("zip", "DEF").header_json();
    forge.add("zip", forge.good.sign_bytes(header.as_bytes(), &compressed), why);
}

fn with_bad_utf8(json: &str) -> Vec<u8> {
    let mut bytes = with_member(json, r#""x":"?""#);
    let place = bytes.iter().position(|byte| *byte == b'?').expect("the member put in front");
    bytes[place] = 0xff;
    bytes
}

/// Deeper than any stack of a recursive reader may be trusted with, far from the limit of a token's length.
fn deep(json: &str) -> Vec<u8> {
    let depth = 1_000;
    with_member(json, &format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth)))
}

/// DEFLATE (RFC 1951 §3.2.4) of one stored block.
fn deflate_stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("claims of less than 64 KiB");
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), data].concat()
}

/// Two numbers side by side, as the sequence of two integers that X.509 has.
fn ecdsa_der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let integer = |number: &[u8]| {
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
        let digits = &number[start..];
        let sign: &[u8] = if digits[0] > 0x7f { &[0] } else { &[] };
        tlv(2, &[sign, digits].concat())
    };
    tlv(0x30, &[integer(r), integer(s)].concat())
}

/// DER of less than 256 bytes.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("two integers of a curve");
    let long: &[u8] = if length > 0x7f { &[0x81] } else { &[] };
    [&[tag][..], long, &[length], content].concat()
}
