//! base64url as RFC 7515 §2 has it: no padding, no white space, and no bits left over in the last character.
//!
//! The last point matters: a decoder that ignores left-over bits lets one token be written in several ways.

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use smallvec::SmallVec;

/// Decodes; `None` for anything that is not canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Decodes what must be UTF-8.
pub(crate) fn decode_text(text: &[u8]) -> Option<String> {
    String::from_utf8(decode(text)?).ok()
}

/// Decodes what is short as a rule into memory that is there already.
pub(crate) fn decode_into<'a, const N: usize>(
    text: &[u8],
    bytes: &'a mut SmallVec<[u8; N]>,
) -> Option<&'a [u8]> {
    bytes.resize(URL_SAFE_NO_PAD.decoded_length(text).ok()?, 0);
    Some(URL_SAFE_NO_PAD.decode(text, bytes.as_mut_slice().as_out()).ok()?)
}

/// Encodes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// A second opinion on every length around the width of vectors, and on every byte in every place.
    #[test]
    fn another_decoder_accepts_the_same() {
        let decode = |text: &str| {
            let bytes = decode(text.as_bytes());
            // Some of these need memory of their own, and some do not.
            let mut memory = SmallVec::<[u8; 64]>::new();
            assert_eq!(decode_into(text.as_bytes(), &mut memory).map(<[u8]>::to_vec), bytes);
            bytes
        };
        for length in 0..200_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(151).wrapping_add(length)).collect();
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!((encode(&bytes), decode(&text)), (text.clone(), Some(bytes)));
            for place in (0..text.len()).filter(|_| length % 13 == 0) {
                for byte in 0..128_u8 {
                    let mut other = text.clone().into_bytes();
                    other[place] = byte;
                    let other = String::from_utf8(other).unwrap();
                    assert_eq!(decode(&other), URL_SAFE_NO_PAD.decode(&other).ok(), "{other:?}");
                }
            }
            for end in ["=", "A", "\n", "ä"] {
                let other = format!("{text}{end}");
                assert_eq!(decode(&other), URL_SAFE_NO_PAD.decode(&other).ok(), "{other:?}");
            }
        }
    }
}
