//! No accepted token has a neighbour that is accepted: every byte changed, every segment cut short.

use tower_bearer::{Algorithm, HmacAlgorithm, Keys};

use crate::support::{API, World};

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn each_byte_changed(world: &World, name: &str, token: &str) {
    world.accepts(name, token);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
    for (place, original) in token.bytes().enumerate() {
        // Two others per place: the next letter, which differs in the lowest bits, and one far away.
        let index = alphabet.iter().position(|byte| *byte == original).unwrap();
        for other in [alphabet[index ^ 1], alphabet[(index + 33) % alphabet.len()]] {
            let mut changed = token.as_bytes().to_vec();
            changed[place] = other;
            world.refuses(&format!("{name}, byte {place}"), std::str::from_utf8(&changed).unwrap());
        }
    }
    // Every other way to write the last character.
    let (rest, _) = token.split_at(token.len() - 1);
    for last in alphabet.iter().map(|byte| char::from(*byte)).filter(|last| !token.ends_with(*last)) {
        world.refuses(&format!("{name}, ending with {last}"), &format!("{rest}{last}"));
    }
    let segments: Vec<&str> = token.split('.').collect();
    for cut in 0..segments.len() {
        for length in 0..segments[cut].len() {
            let mut shorter = segments.clone();
            shorter[cut] = &segments[cut][..length];
            world.refuses(&format!("{name}, segment {cut} cut to {length}"), &shorter.join("."));
        }
    }
    for extra in ["A", "AA", "AAAA", "=", "==", ".", ".AAAA", " "] {
        world.refuses(&format!("{name} + {extra:?}"), &format!("{token}{extra}"));
        world.refuses(&format!("{extra:?} + {name}"), &format!("{extra}{token}"));
    }
}

#[test]
fn of_every_signature_algorithm() {
    let world = World::of(Algorithm::ALL, |issuer| issuer);
    for algorithm in Algorithm::ALL {
        // A short token, so that the whole of it can be changed in reasonable time.
        let token = ["jti", "sub", "client_id", "iat"]
            .iter()
            .fold(world.idp.token_of(algorithm, API), |token, claim| token.without_claim(claim));
        each_byte_changed(&world, algorithm.name(), &token.sign());
    }
}

#[test]
fn of_every_hmac_algorithm() {
    let world = World::with(|issuer| issuer.keys(Keys::hmac(*SECRET, HmacAlgorithm::ALL)));
    for algorithm in HmacAlgorithm::ALL {
        each_byte_changed(&world, algorithm.name(), &world.token().sign_hmac(algorithm, SECRET));
    }
}

#[test]
fn signatures_of_other_algorithms_and_degenerate_ones() {
    let world = World::of(Algorithm::ALL, |issuer| issuer);
    for algorithm in Algorithm::ALL {
        let good = world.idp.token_of(algorithm, API).sign();
        world.accepts(algorithm.name(), &good);
        let (input, signature) = good.rsplit_once('.').unwrap();
        let length = signature.len();
        // r = s = 0, and all bits set (CVE-2022-21449 and its kin).
        for filler in ["A", "_"] {
            let degenerate = format!("{input}.{}", filler.repeat(length));
            world.refuses(&format!("{algorithm} of {filler}"), &degenerate);
        }
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let kid_of_other = world.idp.token_of(other, API);
            let header: serde_json::Value = serde_json::from_str(&kid_of_other.header_json()).unwrap();
            let confused = world.idp.token_of(algorithm, API).header("kid", header["kid"].clone());
            world.refuses(&format!("{algorithm} under the kid of {other}"), &confused.sign());
            let renamed = world.idp.token_of(algorithm, API).header("alg", other.name());
            world.refuses(&format!("{algorithm} called {other}"), &renamed.sign());
        }
    }
}
