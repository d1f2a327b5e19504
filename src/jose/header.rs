//! The header of a token (RFC 7515 §4): the few members that decide anything.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::TokenError;
use super::algorithm::{Algorithm, HmacAlgorithm};
use super::base64url;
use super::json::{Object, Value};

/// The longest `kid` that is looked at, in bytes.
pub const MAX_KID_LENGTH: usize = 256;

/// So many headers are known by heart. Tokens of one key have one header as a rule, and an issuer has few keys.
const MAX_KNOWN: usize = 16;

/// The longest that is, as it is written. One with a certificate chain is parsed each time.
const MAX_KNOWN_LENGTH: usize = 512;

/// The members of a header that decide anything. `jku`, `jwk` and `x5u` are not among them: key material from a token is
/// never used (RFC 8725 §3.10). Nor is `x5c`, but for an issuer with roots of its own, who asks for it.
#[derive(Clone)]
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

/// Headers that need not be parsed again, because tokens with the very same ones were verified.
///
/// Nothing is believed for it: what a header says follows from its bytes alone, whoever sends them. That only verified
/// tokens add to it keeps strangers from pushing the others out.
#[derive(Default)]
pub(crate) struct KnownHeaders(ArcSwap<Vec<KnownHeader>>);

/// As it is written, and what it says.
pub(crate) type KnownHeader = (Arc<[u8]>, Arc<Header>);

impl Header {
    /// By heart, or by reading a first segment.
    pub(super) fn read<'a>(segment: &[u8], known: &'a [KnownHeader]) -> Result<Cow<'a, Self>, TokenError> {
        match known.iter().find(|(text, _)| **text == *segment) {
            Some((_, header)) => Ok(Cow::Borrowed(header)),
            None => Self::parse(segment).map(Cow::Owned),
        }
    }

    fn parse(segment: &[u8]) -> Result<Self, TokenError> {
        let json = base64url::decode_text(segment).ok_or(TokenError::Structure)?;
        let object = Object::parse(&json).map_err(|_| TokenError::Structure)?;
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

impl KnownHeaders {
    /// Those of now. Who reads them waits for nobody, and does not even count himself, so that threads share nothing here.
    pub(crate) fn load(&self) -> Guard<Arc<Vec<KnownHeader>>> {
        self.0.load()
    }

    /// To be called for a token that was verified.
    pub(super) fn learn(&self, segment: &[u8], header: &Header) {
        let known = self.0.load();
        // Somebody may have learned it meanwhile.
        if segment.len() > MAX_KNOWN_LENGTH || known.iter().any(|(text, _)| **text == *segment) {
            return;
        }
        // An issuer whose headers are all different is not worth an order of eviction.
        let keep = if known.len() < MAX_KNOWN { known.as_slice() } else { &[] };
        let mut more = Vec::with_capacity(keep.len().saturating_add(1));
        more.extend_from_slice(keep);
        more.push((segment.into(), Arc::new(header.clone())));
        // Of two who learn at the same time one has to learn again.
        self.0.store(Arc::new(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(kid: usize) -> String {
        base64url::encode(format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#).as_bytes())
    }

    /// What it says, if it is known by heart.
    fn by_heart(known: &KnownHeaders, text: &str) -> Option<Header> {
        match Header::read(text.as_bytes(), &known.load()).unwrap() {
            Cow::Borrowed(header) => Some(header.clone()),
            Cow::Owned(_) => None,
        }
    }

    fn learn(known: &KnownHeaders, text: &str) {
        known.learn(text.as_bytes(), &Header::read(text.as_bytes(), &known.load()).unwrap());
    }

    #[test]
    fn what_was_learned_is_not_parsed_again_and_says_the_same() {
        let known = KnownHeaders::default();
        let texts = [segment(1), segment(2)];
        assert!(by_heart(&known, &texts[0]).is_none(), "nobody has vouched for it");
        for _ in 0..2 {
            texts.iter().for_each(|text| learn(&known, text));
            assert_eq!(known.load().len(), texts.len());
        }
        let kids = texts.map(|text| by_heart(&known, &text).unwrap().kid);
        assert_eq!(kids.map(|kid| kid.unwrap().into_string()), ["1", "2"]);
        assert!(by_heart(&known, &segment(3)).is_none());
    }

    #[test]
    fn they_are_few_and_short() {
        let known = KnownHeaders::default();
        for kid in 0..100 {
            learn(&known, &segment(kid));
            assert!(by_heart(&known, &segment(kid)).is_some());
            assert!(known.load().len() <= MAX_KNOWN);
        }
        let long =
            base64url::encode(format!(r#"{{"alg":"RS256","x5c":["{}"]}}"#, "A".repeat(400)).as_bytes());
        learn(&known, &long);
        assert!(by_heart(&known, &long).is_none());
    }
}
