//! base64url as RFC 7515 §2 has it: no padding, no white space, and no bits left over in the last character.
//!
//! The last point matters: a decoder that ignores left-over bits lets one token be written in several ways.

use base64_simd::URL_SAFE_NO_PAD;

/// Decodes; `None` for anything that is not canonical.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// Encodes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}
