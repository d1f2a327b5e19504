//! What a public key is made of, and whether that is sound, but for one thing: whether a point lies on its curve is the
//! backend's to say.
//!
//! The cryptography underneath would accept more than is safe (an RSA modulus of 1024 bits or an even one, an
//! exponent of 1, a point of small order), so the checks are here, before a backend sees the key.

use super::algorithm::Algorithm;
use super::backend::{Curve, Material, RSA_SIZE};

/// Why a key was left out.
pub(crate) type Reason = &'static str;

/// What a key like this can be used for.
pub(super) fn family(material: &Material) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, ES512, Ed25519, PS256, PS384, PS512, RS256, RS384, RS512};
    match material {
        Material::Rsa { .. } => &[RS256, RS384, RS512, PS256, PS384, PS512],
        Material::Ec { curve: Curve::P256, .. } => &[ES256],
        Material::Ec { curve: Curve::P384, .. } => &[ES384],
        Material::Ec { curve: Curve::P521, .. } => &[ES512],
        Material::Ed25519(_) => &[Ed25519],
    }
}

/// RFC 7518 §3.3: at least 2048 bits. The upper bounds keep one hostile key from costing seconds a token.
pub(super) fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Material, Reason> {
    // Some issuers write the sign byte of ASN.1 in front; more than that is a fault.
    let n = n.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(n);
    let e = e.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(e);
    match bits(&n) {
        None => return Err("the RSA modulus has leading zeros"),
        Some(2048..=8192) => {}
        Some(_) => return Err(RSA_SIZE),
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !odd(&n) {
        return Err("the RSA modulus is even");
    }
    if has_roca_fingerprint(&n) {
        return Err("the RSA modulus has the fingerprint of ROCA");
    }
    if !odd(&e) || !matches!(bits(&e), Some(2..=33)) {
        return Err("the RSA exponent is not an odd number from 3 to 2^33");
    }
    Ok(Material::Rsa { n, e })
}

/// ROCA (CVE-2017-15361; Nemec et al., "The Return of Coppersmith's Attack", CCS 2017): the library of a maker of
/// smart cards chose primes of the form `k * M + (65537^a mod M)`, where M is a product of small primes. Such a
/// modulus can be factored, and is known by this: modulo each of those primes it is a power of 65537.
///
/// One sound modulus in 240 million looks like that by chance and is refused with them.
fn has_roca_fingerprint(n: &[u8]) -> bool {
    ROCA_PRIMES.into_iter().all(|prime| is_power_of_65537(remainder(n, prime), prime))
}

/// The primes in the M of every size of key modulo which 65537 has not all powers. The others up to 167 would tell
/// nothing.
const ROCA_PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

#[expect(
    clippy::arithmetic_side_effects,
    reason = "a remainder is below the prime, and no prime is above 157"
)]
fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "a remainder is below the prime, and no prime is above 157"
)]
fn is_power_of_65537(residue: u32, prime: u32) -> bool {
    // The powers come round in fewer than `prime` steps (Fermat).
    (1..prime)
        .scan(1, |power, _| {
            *power = *power * 65_537 % prime;
            Some(*power)
        })
        .any(|power| power == residue)
}

pub(super) fn ec(crv: Option<&str>, x: &[u8], y: &[u8]) -> Result<Material, Reason> {
    let (curve, length) = match crv {
        Some("P-256") => (Curve::P256, 32),
        Some("P-384") => (Curve::P384, 48),
        Some("P-521") => (Curve::P521, 66),
        _ => return Err("crv is not P-256, P-384 or P-521"),
    };
    if x.len() != length || y.len() != length {
        return Err("a coordinate does not have the length of its curve");
    }
    Ok(Material::Ec { curve, point: [&[4], x, y].concat() })
}

/// An uncompressed point; its length tells the curve.
pub(super) fn ec_point(point: &[u8]) -> Result<Material, Reason> {
    let curve = match point {
        [4, xy @ ..] => match xy.len() {
            64 => Curve::P256,
            96 => Curve::P384,
            132 => Curve::P521,
            _ => return Err("not a point on P-256, P-384 or P-521"),
        },
        _ => return Err("not an uncompressed point"),
    };
    Ok(Material::Ec { curve, point: point.to_vec() })
}

pub(super) fn ed25519(x: &[u8]) -> Result<Material, Reason> {
    let key: [u8; 32] = x.try_into().map_err(|_| "an Ed25519 key does not have 32 bytes")?;
    if SMALL_ORDER.contains(&without_sign(key)) {
        return Err("the Ed25519 point has a small order");
    }
    if !is_canonical(key) {
        return Err("the Ed25519 point is not encoded canonically");
    }
    Ok(Material::Ed25519(key))
}

/// The number of bits, `None` if the first byte is zero.
fn bits(number: &[u8]) -> Option<usize> {
    let first = number.first().filter(|first| **first != 0)?;
    let unused = usize::try_from(first.leading_zeros()).ok()?;
    number.len().checked_mul(8)?.checked_sub(unused)
}

/// `n` and `e` of an RSAPublicKey (RFC 8017 A.1.1).
pub(super) fn rsa_public_key(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    use simple_asn1::ASN1Block::{Integer, Sequence};
    let blocks = simple_asn1::from_der(der).ok()?;
    let [Sequence(_, members)] = blocks.as_slice() else { return None };
    let [Integer(_, n), Integer(_, e)] = members.as_slice() else { return None };
    // Two's complement: a set first bit is a negative number.
    let unsigned = |bytes: Vec<u8>| bytes.first().is_some_and(|first| first & 0x80 == 0).then_some(bytes);
    Some((unsigned(n.to_signed_bytes_be())?, unsigned(e.to_signed_bytes_be())?))
}

/// The y coordinate, whatever the sign of x.
fn without_sign(mut key: [u8; 32]) -> [u8; 32] {
    key[31] &= 0x7f;
    key
}

/// Whether y is less than 2^255 - 19. The larger ones (RFC 8032 §5.1.3 refuses them) start, read from the top,
/// with 7f ff … ff and end with ed to ff.
fn is_canonical(key: [u8; 32]) -> bool {
    let y = without_sign(key);
    let [lowest, middle @ .., highest] = y;
    !(highest == 0x7f && lowest >= 0xed && middle.iter().all(|byte| *byte == 0xff))
}

/// The y coordinates, little-endian, of the eight points whose order divides 8: with such a key one signature
/// verifies for many messages. (Their non-canonical spellings fail `is_canonical`.)
const SMALL_ORDER: [[u8; 32]; 5] = [
    // Order 4.
    [0; 32],
    // The neutral element.
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    // Order 2: y = -1.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
pub(in crate::jose) mod tests {
    use super::*;

    /// Big-endian; to multiply by 65537 is to add the number to itself, two bytes further up.
    fn times_65537(number: &[u8]) -> Vec<u8> {
        let low = [&[0, 0], number].concat();
        let high = [number, &[0, 0]].concat();
        let mut carry = 0;
        let mut sum: Vec<u8> = low
            .iter()
            .zip(&high)
            .rev()
            .map(|(a, b)| {
                let [.., above, digit] =
                    [u32::from(*a), u32::from(*b), carry].iter().sum::<u32>().to_be_bytes();
                carry = u32::from(above);
                digit
            })
            .collect();
        sum.push(u8::try_from(carry).unwrap());
        sum.reverse();
        let zeros = sum.iter().take_while(|digit| **digit == 0).count();
        sum.split_off(zeros)
    }

    /// An odd number of so many bits.
    pub(in crate::jose) fn odd(bits: usize) -> Vec<u8> {
        let mut number = vec![0xb5; bits.div_ceil(8)];
        number[0] = 1 << (bits.wrapping_sub(1) % 8);
        number
    }

    #[test]
    fn rfc7518_3_3_an_rsa_key_has_a_sound_size_and_shape() {
        let good = || odd(2048);
        assert!(rsa(good(), vec![1, 0, 1]).is_ok());
        assert!(rsa(good(), vec![3]).is_ok());
        assert!(rsa(odd(8192), vec![1, 0, 1]).is_ok());
        assert_eq!(
            rsa([vec![0], good()].concat(), vec![0, 3]),
            rsa(good(), vec![3]),
            "one leading zero is stripped"
        );
        let even = {
            let mut n = good();
            n[255] ^= 1;
            n
        };
        for (name, n, e) in [
            ("2047 bits", odd(2047), vec![3]),
            ("8193 bits", odd(8193), vec![3]),
            ("even", even, vec![3]),
            ("empty", vec![], vec![3]),
            ("two leading zeros", [vec![0, 0], good()].concat(), vec![3]),
            ("e = 0", good(), vec![0]),
            ("e = 1", good(), vec![1]),
            ("e = 2", good(), vec![2]),
            ("even e", good(), vec![1, 0, 0]),
            ("no e", good(), vec![]),
            ("e over 33 bits", good(), vec![2, 0, 0, 0, 1]),
            ("e with two leading zeros", good(), vec![0, 0, 3]),
        ] {
            assert!(rsa(n, e).is_err(), "{name}");
        }
    }

    #[test]
    fn an_ed25519_key_is_canonical_and_of_full_order() {
        // The key of RFC 8037 A.2.
        let good = [
            0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
            0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
        ];
        assert!(ed25519(&good).is_ok());
        for short in [&good[1..], &[], &[good.as_slice(), &[0]].concat()] {
            assert!(ed25519(short).is_err());
        }
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = y;
                key[31] |= sign;
                assert_eq!(ed25519(&key), Err("the Ed25519 point has a small order"));
            }
        }
        // y = p, p + 1, … 2^255 - 1: the same points as 0, 1, … in another spelling.
        for lowest in 0xed..=0xff_u8 {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (lowest, 0x7f);
            assert_eq!(ed25519(&key), Err("the Ed25519 point is not encoded canonically"));
        }
        let mut largest = [0xff; 32];
        (largest[0], largest[31]) = (0xeb, 0x7f);
        assert!(is_canonical(largest));
    }

    #[test]
    fn an_ec_point_has_the_length_of_its_curve() {
        for (crv, length) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
            let part = vec![1; length];
            assert!(ec(Some(crv), &part, &part).is_ok());
            assert!(ec(Some(crv), &part[1..], &part).is_err());
            assert!(ec(Some(crv), &part, &[&[0], &*part].concat()).is_err());
            let point = [&[4], &*part, &part].concat();
            assert_eq!(ec_point(&point), ec(Some(crv), &part, &part));
            assert!(ec_point(&[&[2], &*part].concat()).is_err(), "compressed");
        }
        assert!(ec(Some("secp256k1"), &[1; 32], &[1; 32]).is_err());
        assert!(ec(None, &[1; 32], &[1; 32]).is_err());
    }

    #[test]
    fn cve_2017_15361_a_modulus_with_the_fingerprint_of_roca_is_refused() {
        let mut n = vec![1];
        for _ in 0..128 {
            n = times_65537(&n);
            assert!(has_roca_fingerprint(&n));
        }
        assert_eq!(bits(&n), Some(2049));
        assert_eq!(rsa(n.clone(), vec![3]), Err("the RSA modulus has the fingerprint of ROCA"));

        // The same but for a bit is only a number.
        *n.last_mut().unwrap() ^= 2;
        assert!(!has_roca_fingerprint(&n));
        assert!(rsa(n, vec![3]).is_ok());
    }

    #[test]
    fn the_primes_of_the_fingerprint_are_those_that_tell_something() {
        let is_prime = |number: &u32| !(2..*number).any(|divisor| number.is_multiple_of(divisor));
        let tells = |prime: &u32| (1..*prime).any(|residue| !is_power_of_65537(residue, *prime));
        assert!((3..=167).filter(is_prime).filter(tells).eq(ROCA_PRIMES));
    }

    #[test]
    fn remainders_of_big_endian_numbers() {
        assert_eq!(remainder(&[], 11), 0);
        assert_eq!(remainder(&[10], 11), 10);
        // 2^16 = 5957 * 11 + 9.
        assert_eq!(remainder(&[1, 0, 0], 11), 9);
    }
}
