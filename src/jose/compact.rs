//! The compact serialization (RFC 7515 §7.1), bounded before anything is decoded, and taken apart.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

use super::TokenError;
use super::base64url;
use super::header::{Header, KnownHeader, KnownHeaders};
#[cfg(feature = "x5c")]
use super::json::{Object, Value};

/// The longest token that is looked at, in bytes. Enough for an RSA certificate chain or an ML-DSA signature,
/// and four times what most servers let through in one header.
pub const MAX_TOKEN_LENGTH: usize = 16 * 1024;

/// The longest certificate chain that is looked at, with the token's own certificate. A root, one authority below it and
/// another below that are more than is in use.
pub const MAX_CHAIN_LENGTH: usize = 4;

/// A signed token, taken apart. Nothing in it is proven yet.
pub(crate) struct Compact<'a> {
    /// What the signature covers: header and payload as they were sent.
    pub(crate) signing_input: &'a [u8],
    pub(crate) header: Cow<'a, Header>,
    header_segment: &'a [u8],
    pub(super) payload_segment: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// Room for a signature. Those of RSA keys with up to 4096 bits, and of all curves, fit without memory of their own.
pub(crate) type SignatureBuffer = SmallVec<[u8; 512]>;

impl fmt::Debug for Compact<'_> {
    /// Nothing of the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(
        token: &'a [u8],
        known: &'a [KnownHeader],
        buffer: &'a mut SignatureBuffer,
    ) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenError::TooLong);
        }
        Self::parse_long(token, known, buffer)
    }

    /// Of any length: for what no client has sent, and was bounded before.
    pub(crate) fn parse_long(
        token: &'a [u8],
        known: &'a [KnownHeader],
        buffer: &'a mut SignatureBuffer,
    ) -> Result<Self, TokenError> {
        let (signing_input, signature) =
            memchr::memrchr(b'.', token).and_then(|dot| around(token, dot)).ok_or(TokenError::Structure)?;
        let (header_segment, payload_segment) = memchr::memchr(b'.', signing_input)
            .and_then(|dot| around(signing_input, dot))
            .ok_or(TokenError::Structure)?;
        // A third dot lands in the payload, and base64url has no dots. An empty signature is no signature.
        if signature.is_empty() {
            return Err(TokenError::Structure);
        }
        let header = Header::read(header_segment, known)?;
        let signature = base64url::decode_into(signature, buffer).ok_or(TokenError::Structure)?;
        Ok(Self { signing_input, header, header_segment, payload_segment, signature })
    }

    /// The second segment, which is JSON as a rule.
    pub(crate) fn payload(&self) -> Result<String, TokenError> {
        base64url::decode_text(self.payload_segment).ok_or(TokenError::Structure)
    }

    /// Its header will be met again: the token was verified.
    pub(crate) fn is_verified(&self, headers: &KnownHeaders) {
        if let Cow::Owned(header) = &self.header {
            headers.learn(self.header_segment, header);
        }
    }

    /// `x5c` (RFC 7515 §4.1.6): certificates as they are written, at least one and no more than [`MAX_CHAIN_LENGTH`].
    ///
    /// The header is read once more for them, so that all other tokens pay nothing.
    #[cfg(feature = "x5c")]
    pub(crate) fn chain(&self) -> Option<Vec<String>> {
        let header = base64url::decode_text(self.header_segment)?;
        let header = Object::parse(&header).ok()?;
        match header.member("x5c")? {
            Value::Array(chain) if (1..=MAX_CHAIN_LENGTH).contains(&chain.len()) => {
                chain.iter().map(|certificate| certificate.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        }
    }
}

/// Whether a text that is no token in our sense was meant to be one: it starts with a header (RFC 7515 §3.3), and has more
/// than that, whatever it is. It is never taken for opaque, unless it is encrypted: with its five segments (RFC 7516 §3.3)
/// only its issuer can read it.
///
/// This is the border: a first segment that is, as a whole, a JSON object in base64url. Some opaque tokens have dots too, and
/// by chance one in some thousands starts like a header, but none is one to its end. A JWT with a damaged header is opaque
/// then; it is good for nothing, and whoever is asked about it says so.
pub(crate) fn begins_like_a_jwt(text: &str) -> bool {
    let Some((header, rest)) = text.split_once('.') else { return false };
    if rest.split('.').count() == 4 {
        return false;
    }
    // Members may come twice here: a bad header is one, too.
    let is_object = |json: String| serde_json::from_str::<serde_json::Map<_, _>>(&json).is_ok();
    base64url::decode_text(header.as_bytes()).is_some_and(is_object)
}

/// What is before a place and what is behind it.
fn around(text: &[u8], place: usize) -> Option<(&[u8], &[u8])> {
    Some((text.get(..place)?, text.get(place.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::super::header::MAX_KID_LENGTH;
    use super::*;

    /// Taken apart as far as it is for every request.
    fn parse(token: &str) -> Result<Header, TokenError> {
        let mut buffer = SignatureBuffer::new();
        let token = Compact::parse(token.as_bytes(), &[], &mut buffer)?;
        token.payload()?;
        Ok(token.header.into_owned())
    }

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn rfc7515_7_1_three_segments_of_canonical_base64url() {
        let good = token(r#"{"alg":"RS256"}"#);
        assert!(parse(&good).is_ok());
        let header = good.split('.').next().unwrap();
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            header.into(),
            format!("{header}.e30"),
            format!("{header}.e30."),
            format!("{header}.e30.c2ln.c2ln"),
            format!("{header}.e30.c2ln.c2ln.c2ln"),
            format!("{header}.e30.c2ln="),
            format!("{header}.e30.c2 n"),
            format!("{header}.e30.c2l+"),
            format!("{header}.e30.c2l/"),
            format!("{header}.e30.c2l\n"),
            // `c2k` and `c2l` hold the same two bytes; only the first is canonical.
            format!("{header}.e30.c2l"),
            format!("{header}.e30.c2lnA"),
            format!("{good} "),
        ] {
            assert_eq!(parse(&bad).err(), Some(TokenError::Structure), "{bad}");
        }
        assert!(parse(&format!("{header}.e30.c2k")).is_ok());
    }

    #[test]
    fn the_signature_is_what_was_written_however_long() {
        for length in [1, 32, 256, 512, 513, 4096] {
            let signature: Vec<u8> = (0..length).map(|n: u16| n.to_le_bytes()[0]).collect();
            let token = token(r#"{"alg":"RS256"}"#).replace("c2ln", &URL_SAFE_NO_PAD.encode(&signature));
            let mut buffer = SignatureBuffer::new();
            let token = Compact::parse(token.as_bytes(), &[], &mut buffer).unwrap();
            assert_eq!(token.signature, signature);
        }
    }

    #[test]
    fn what_begins_like_a_jwt_is_not_opaque() {
        let good = token(r#"{"alg":"RS256"}"#);
        let header = good.split('.').next().unwrap();
        for text in [
            good.clone(),
            good.replace(".e30.", "."),
            format!("{header}.e30."),
            format!("{header}.a.b.c"),
            format!("{header}.a.b.c.d.e"),
            format!("{header}."),
            token(" \n{}"),
            token("{ }"),
            token(r#"{"alg":"RS256","alg":"none"}"#),
            token(r#"{"alg":1}"#),
        ] {
            assert!(begins_like_a_jwt(&text), "{text}");
        }
        for text in [
            "",
            ".",
            "..",
            header,
            "a.b.c",
            "v4.public.x",
            "e30",
            "2YotnFZFEjr1zCsicMWpAA",
            "ey.",
            "ewqPx93kfZ_mXvbl2K3nR5tYu7iOpAsDfGhJkLzXcVb.NmQ1We3Rt5Yu7Io9Pa2Sd4Fg6Hj8Kl0Zx1Cv3Bn5Mq",
            &format!("{header}=.e30.c2ln"),
            &format!("{header}!.e30.c2ln"),
            &token("[]"),
            &token(r#"{"alg":"RS256""#),
            &token(r#"{"alg":"RS256"}}"#),
            &format!("{header}.a.b.c.d"),
        ] {
            assert!(!begins_like_a_jwt(text), "{text}");
        }
    }

    #[test]
    fn a_token_longer_than_the_limit_is_not_looked_at() {
        let mut long = token(r#"{"alg":"RS256"}"#);
        long.push_str(&"A".repeat(MAX_TOKEN_LENGTH - long.len()));
        assert_ne!(parse(&long).err(), Some(TokenError::TooLong));
        long.push('A');
        assert_eq!(parse(&long).err(), Some(TokenError::TooLong));
    }

    #[test]
    fn members_of_a_wrong_type() {
        for header in [
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"["RS256"]"#,
        ] {
            assert_eq!(parse(&token(header)).err(), Some(TokenError::Structure), "{header}");
        }
        let kid = |n| token(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(n)));
        assert!(parse(&kid(MAX_KID_LENGTH)).is_ok());
        assert_eq!(parse(&kid(MAX_KID_LENGTH + 1)).err(), Some(TokenError::Structure));
        assert!(parse(&token(r#"{"alg":"RS256","typ":7}"#)).unwrap().odd_typ);
    }
}
