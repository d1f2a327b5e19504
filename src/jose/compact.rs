//! The compact serialization (RFC 7515 §7.1), taken apart and bounded before anything is decoded.

use std::fmt;

use super::TokenError;
use super::algorithm::{Algorithm, HmacAlgorithm};
use super::base64url;
use super::json::{Object, Value};

/// The longest token that is looked at, in bytes. Enough for an RSA certificate chain or an ML-DSA signature,
/// and four times what most servers let through in one header.
pub const MAX_TOKEN_LENGTH: usize = 16 * 1024;

/// The longest `kid` that is looked at, in bytes.
pub const MAX_KID_LENGTH: usize = 256;

/// The longest certificate chain that is looked at, with the token's own certificate. A root, one authority below it and
/// another below that are more than is in use.
pub const MAX_CHAIN_LENGTH: usize = 4;

/// A signed token, taken apart. Nothing in it is proven yet.
pub(crate) struct Compact<'a> {
    /// What the signature covers: header and payload as they were sent.
    pub(crate) signing_input: &'a str,
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The members of a header that decide anything. `jku`, `jwk` and `x5u` are not among them: key material from a token is
/// never used (RFC 8725 §3.10). Nor is `x5c`, but for an issuer with roots of its own, who asks for it.
pub(crate) struct Header {
    pub(crate) alg: HeaderAlgorithm,
    /// `""` where there is none.
    pub(crate) typ: Box<str>,
    pub(crate) kid: Option<Box<str>>,
    /// Whether `typ` has a value of a wrong JSON type.
    pub(crate) odd_typ: bool,
    pub(crate) has_crit: bool,
}

/// What `alg` names. The name is compared with what the issuer may use; it chooses nothing (RFC 8725 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderAlgorithm {
    Signature(Algorithm),
    Hmac(HmacAlgorithm),
    /// `none` and everything else.
    Unknown,
}

impl fmt::Debug for Compact<'_> {
    /// Nothing of the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenError::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::Structure)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Structure)?;
        // A third dot lands in the payload, and base64url has no dots. An empty signature is no signature.
        if signature.is_empty() {
            return Err(TokenError::Structure);
        }
        let decode = |segment| base64url::decode(segment).ok_or(TokenError::Structure);
        let header = decode(header)?;
        let header = Object::parse(&header).map_err(|_| TokenError::Structure)?;
        Ok(Self {
            signing_input,
            header: Header::read(&header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// `x5c` (RFC 7515 §4.1.6): certificates as they are written, at least one and no more than [`MAX_CHAIN_LENGTH`].
    ///
    /// The header is read once more for them, so that all other tokens pay nothing.
    #[cfg(feature = "x5c")]
    pub(crate) fn chain(&self) -> Option<Vec<String>> {
        let (header, _) = self.signing_input.split_once('.')?;
        let header = base64url::decode(header)?;
        let header = Object::parse(&header).ok()?;
        match header.member("x5c")? {
            Value::Array(chain) if (1..=MAX_CHAIN_LENGTH).contains(&chain.len()) => {
                chain.iter().map(|certificate| certificate.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        }
    }
}

impl Header {
    fn read(object: &Object<'_>) -> Result<Self, TokenError> {
        let alg = object.member("alg").and_then(Value::as_str).ok_or(TokenError::Structure)?;
        let kid = match object.member("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_LENGTH => Some(kid.as_ref().into()),
            Some(_) => return Err(TokenError::Structure),
        };
        let (typ, odd_typ) = match object.member("typ") {
            None => (Box::default(), false),
            Some(Value::String(typ)) => (typ.as_ref().into(), false),
            Some(_) => (Box::default(), true),
        };
        Ok(Self {
            alg: HeaderAlgorithm::named(alg),
            typ,
            kid,
            odd_typ,
            has_crit: object.member("crit").is_some(),
        })
    }
}

/// Whether a text that is no token in our sense was meant to be one: it starts with a header (RFC 7515 §3.3), or with what
/// such a header starts with, and has more than that. It is never taken for opaque, unless it is encrypted: with its five
/// segments (RFC 7516 §3.3) only its issuer can read it.
pub(crate) fn begins_like_a_jwt(text: &str) -> bool {
    let Some((header, rest)) = text.split_once('.') else { return false };
    if rest.split('.').count() == 4 {
        return false;
    }
    let begins_an_object = |bytes: &[u8]| bytes.trim_ascii_start().first() == Some(&b'{');
    // `{"` and `{ `, in base64url.
    header.starts_with("ey")
        || header.starts_with("ew")
        || base64url::decode(header).is_some_and(|bytes| begins_an_object(&bytes))
}

impl HeaderAlgorithm {
    fn named(name: &str) -> Self {
        if let Ok(algorithm) = name.parse() {
            Self::Signature(algorithm)
        } else if let Ok(algorithm) = name.parse() {
            Self::Hmac(algorithm)
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn rfc7515_7_1_three_segments_of_canonical_base64url() {
        let good = token(r#"{"alg":"RS256"}"#);
        assert!(Compact::parse(&good).is_ok());
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
            assert_eq!(Compact::parse(&bad).unwrap_err(), TokenError::Structure, "{bad}");
        }
        assert!(Compact::parse(&format!("{header}.e30.c2k")).is_ok());
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
            format!("{header}=.e30.c2ln"),
            format!("{header}!.e30.c2ln"),
            token(" \n{}"),
            token("{ }"),
            "ey.".into(),
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
            &token("[]"),
            &format!("{header}.a.b.c.d"),
        ] {
            assert!(!begins_like_a_jwt(text), "{text}");
        }
    }

    #[test]
    fn a_token_longer_than_the_limit_is_not_looked_at() {
        let mut long = token(r#"{"alg":"RS256"}"#);
        long.push_str(&"A".repeat(MAX_TOKEN_LENGTH - long.len()));
        assert_ne!(Compact::parse(&long).err(), Some(TokenError::TooLong));
        long.push('A');
        assert_eq!(Compact::parse(&long).unwrap_err(), TokenError::TooLong);
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
            assert_eq!(Compact::parse(&token(header)).unwrap_err(), TokenError::Structure, "{header}");
        }
        let kid = |n| token(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(n)));
        assert!(Compact::parse(&kid(MAX_KID_LENGTH)).is_ok());
        assert_eq!(Compact::parse(&kid(MAX_KID_LENGTH + 1)).unwrap_err(), TokenError::Structure);
        assert!(Compact::parse(&token(r#"{"alg":"RS256","typ":7}"#)).unwrap().header.odd_typ);
    }
}
