//! The registered claims (RFC 7519 §4.1) that are checked before the signature, because they cost nothing.

use super::TokenError;
use super::json::{Object, Value};
use crate::time::Timestamp;

/// A claim set that nobody has vouched for yet.
#[derive(Debug)]
pub(crate) struct Claims<'a>(Object<'a>);

/// The times of a token that have been found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// `None` only for a token that was looked up.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) issued_at: Option<Timestamp>,
}

impl<'a> Claims<'a> {
    pub(crate) fn parse(payload: &'a str) -> Result<Self, TokenError> {
        Object::parse(payload).map(Self).map_err(|_| TokenError::Structure)
    }

    /// `iss`, which an issuer may leave out but must not write as anything but a string (RFC 7519 §4.1.1).
    pub(crate) fn issuer(&self) -> Result<Option<&str>, TokenError> {
        match self.0.member("iss") {
            None => Ok(None),
            Some(Value::String(iss)) => Ok(Some(iss)),
            Some(_) => Err(TokenError::Issuer),
        }
    }

    /// `aud` as a list: one string or an array of them (RFC 7519 §4.1.3). Absent is the empty list.
    pub(crate) fn audience(&self) -> Result<impl Iterator<Item = &str> + Clone, TokenError> {
        let items = match self.0.member("aud") {
            None => &[],
            Some(aud @ Value::String(_)) => std::slice::from_ref(aud),
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(TokenError::Audience),
        };
        if items.iter().any(|item| item.as_str().is_none()) {
            return Err(TokenError::Audience);
        }
        Ok(items.iter().filter_map(Value::as_str))
    }

    /// Whether there is an `aud`, whatever it is.
    pub(crate) fn has_audience(&self) -> bool {
        self.0.member("aud").is_some()
    }

    /// A NumericDate: a number, maybe with a fraction (RFC 7519 §2). What is no number, or so large that no clock
    /// will reach it, is invalid; it is never taken for absent.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, TokenError> {
        let time = match self.0.member(name) {
            None => return Ok(None),
            Some(Value::Integer(seconds)) => Timestamp::from_seconds(*seconds),
            Some(Value::Float(seconds)) => Timestamp::from_fractional_seconds(*seconds),
            Some(_) => None,
        };
        time.map(Some).ok_or(TokenError::Time)
    }

    /// `exp`, `nbf` and `iat`; whether they hold is for the clock to say.
    pub(crate) fn validity(&self) -> Result<Validity, TokenError> {
        let (expires_at, not_before) = (self.time("exp")?, self.time("nbf")?);
        Ok(Validity { expires_at, not_before, issued_at: self.time("iat")? })
    }

    /// Whether these are the claims of an answer about a token (RFC 9701 §5), and no token's.
    pub(crate) fn is_about_another_token(&self) -> bool {
        self.0.member("token_introspection").is_some()
    }

    /// A claim that must be a string if it is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, TokenError> {
        self.find(name)?.map(|value| value.as_str().ok_or(TokenError::ClaimType)).transpose()
    }

    /// Whether a claim is one of these texts, or an array that holds one; `None` if there is no such claim.
    pub(crate) fn hold(&self, path: &str, texts: &[impl AsRef<str>]) -> Result<Option<bool>, TokenError> {
        let is_it =
            |value: &Value<'_>| value.as_str().is_some_and(|is| texts.iter().any(|text| text.as_ref() == is));
        Ok(self.find(path)?.map(|value| match value {
            Value::Array(items) => items.iter().any(is_it),
            value => is_it(value),
        }))
    }

    /// A claim by its name, or, if the name starts with a slash, by a JSON Pointer (RFC 6901) through objects. A parent
    /// that is there and no object is a wrong type, not an absence.
    pub(crate) fn find(&self, path: &str) -> Result<Option<&Value<'a>>, TokenError> {
        let Some(pointer) = path.strip_prefix('/') else { return Ok(self.0.member(path)) };
        let (parents, last) = pointer.rsplit_once('/').map_or((None, pointer), |(p, last)| (Some(p), last));
        let mut object = &self.0;
        for step in parents.into_iter().flat_map(|p| p.split('/')) {
            object = match object.member(&unescape(step)) {
                None => return Ok(None),
                Some(Value::Object(child)) => child,
                Some(_) => return Err(TokenError::ClaimType),
            };
        }
        Ok(object.member(&unescape(last)))
    }
}

/// RFC 6901 §4.
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims<'_> {
        Claims::parse(json).unwrap()
    }

    #[test]
    fn rfc7519_4_1_3_audience_is_a_string_or_an_array_of_strings() {
        let audience =
            |json: &str| claims(json).audience().map(|list| list.map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(audience("{}"), Ok(vec![]));
        assert_eq!(audience(r#"{"aud":"a"}"#), Ok(vec!["a".to_owned()]));
        assert_eq!(audience(r#"{"aud":["a","b"]}"#), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for odd in ["null", "1", "true", "{}", r#"["a",1]"#, r#"[["a"]]"#, "[null]"] {
            assert_eq!(audience(&format!(r#"{{"aud":{odd}}}"#)), Err(TokenError::Audience), "{odd}");
        }
    }

    #[test]
    fn rfc7519_2_a_date_is_a_number() {
        let time = |json: &str| Claims::parse(json).unwrap().time("exp");
        assert_eq!(time("{}"), Ok(None));
        assert_eq!(time(r#"{"exp":1}"#), Ok(Timestamp::from_seconds(1)));
        assert_eq!(time(r#"{"exp":1.5}"#), Ok(Timestamp::from_fractional_seconds(1.5)));
        assert_eq!(time(r#"{"exp":-1}"#), Ok(Timestamp::from_seconds(-1)));
        for odd in ["null", "\"1\"", "[1]", "true", "1e300", "99999999999999999999", "9223372036854775807"] {
            assert_eq!(time(&format!(r#"{{"exp":{odd}}}"#)), Err(TokenError::Time), "{odd}");
        }
    }

    #[test]
    fn a_claim_holds_a_text_as_a_string_or_in_an_array() {
        let claims = claims(r#"{"s":"a","l":["a","b"],"n":1,"o":{"a":"a"},"e":[],"z":null}"#);
        for (path, text, holds) in [
            ("s", "a", Some(true)),
            ("s", "b", Some(false)),
            ("l", "b", Some(true)),
            ("l", "c", Some(false)),
            ("n", "1", Some(false)),
            ("o", "a", Some(false)),
            ("/o/a", "a", Some(true)),
            ("e", "a", Some(false)),
            ("z", "", Some(false)),
            ("nothing", "a", None),
        ] {
            assert_eq!(claims.hold(path, &["other", text]), Ok(holds), "{path} {text}");
        }
        assert_eq!(claims.hold("/s/x", &["a"]), Err(TokenError::ClaimType));
    }

    #[test]
    fn rfc6901_pointers_go_through_objects() {
        let claims = claims(r#"{"realm_access":{"roles":["r"],"a/b":{"~":1}},"https://x/roles":"plain"}"#);
        assert!(matches!(claims.find("/realm_access/roles"), Ok(Some(Value::Array(_)))));
        assert!(matches!(claims.find("/realm_access/a~1b/~0"), Ok(Some(Value::Integer(1)))));
        assert!(matches!(claims.find("https://x/roles"), Ok(Some(Value::String(_)))));
        assert!(matches!(claims.find("/nothing/at/all"), Ok(None)));
        assert!(matches!(claims.find("/realm_access/nothing"), Ok(None)));
        for odd in ["/realm_access/roles/0", "/https:~1~1x~1roles/x"] {
            assert!(matches!(claims.find(odd), Err(TokenError::ClaimType)), "{odd}");
        }
    }
}
