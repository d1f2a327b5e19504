//! Reading `Authorization: Bearer` (RFC 6750 §2.1, RFC 9110 §11.4).

use http::HeaderMap;
use http::header::{AUTHORIZATION, Entry};

/// What the request carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials<'a> {
    /// One Bearer, and something behind it. Whether that has the form of a token is for [`is_token68`](crate::lookup::is_token68) to say, of what was
    /// refused: what was accepted has it.
    Bearer(&'a [u8]),
    /// No `Authorization`, or one of another scheme.
    None,
    /// More than one, or a Bearer without anything that could be a token.
    Malformed,
}

impl<'a> Credentials<'a> {
    /// Only the header counts: tokens in a query or a body are not looked for (OAuth 2.1 §5.1). From here on nobody's Debug
    /// output shows what it holds.
    pub(super) fn read(headers: &'a mut HeaderMap) -> Self {
        // RFC 6750 §2: one method, once. Which of two would be meant is not for us to guess.
        let some_name_comes_twice = headers.len() > headers.keys_len();
        if some_name_comes_twice && headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
            Self::hide(headers);
            return Self::Malformed;
        }
        let Some(value) = headers.get_mut(AUTHORIZATION) else { return Self::None };
        value.set_sensitive(true);
        let value = value.as_bytes();
        // As nearly everybody writes it.
        if let Some(token @ [first, ..]) = value.strip_prefix(b"Bearer ")
            && *first != b' '
        {
            return Self::Bearer(token);
        }
        let length = value.iter().take_while(|byte| is_tchar(**byte)).count();
        let (scheme, rest) = value.split_at_checked(length).unwrap_or((value, &[]));
        if scheme.is_empty() {
            return Self::Malformed;
        }
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Self::None;
        }
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        match rest.split_at_checked(spaces) {
            Some((spaces, token)) if !spaces.is_empty() && !token.is_empty() => Self::Bearer(token),
            _ => Self::Malformed,
        }
    }

    /// However many lines there are: nobody's Debug output shows them.
    pub(super) fn hide(headers: &mut HeaderMap) {
        if headers.contains_key(AUTHORIZATION)
            && let Entry::Occupied(mut lines) = headers.entry(AUTHORIZATION)
        {
            lines.iter_mut().for_each(|line| line.set_sensitive(true));
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::lookup::is_token68;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    #[test]
    fn rfc9110_11_4_scheme_and_token68() {
        use Credentials::{Bearer, Malformed, None};
        for (line, expected) in [
            (&b"Bearer abc"[..], Bearer(b"abc")),
            (b"bearer abc", Bearer(b"abc")),
            (b"BEARER   abc", Bearer(b"abc")),
            (b"Bearer a-._~+/9==", Bearer(b"a-._~+/9==")),
            (b"Basic abc", None),
            (b"Bearerabc", None),
            (b"BearerX abc", None),
            (b"DPoP abc", None),
            (b"", Malformed),
            (b"Bearer", Malformed),
            (b"Bearer ", Malformed),
            (b"Bearer\tabc", Malformed),
            (b"Bearer \tabc", Malformed),
            (b"Bearer abc def", Malformed),
            (b"Bearer abc ", Malformed),
            (b"Bearer abc,def", Malformed),
            (b"Bearer ab=c", Malformed),
            (b"Bearer =", Malformed),
            (b"Bearer \"abc\"", Malformed),
            (b"Bearer ab\xffc", Malformed),
            (b"Bearer: abc", Malformed),
            (b" Bearer abc", Malformed),
            (b"=x", Malformed),
        ] {
            let mut headers = headers(&[line]);
            // As the layer does with what is no good token.
            let read = match Credentials::read(&mut headers) {
                Bearer(text) if !is_token68(text) => Malformed,
                read => read,
            };
            assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn rfc6750_2_one_header_only() {
        assert_eq!(Credentials::read(&mut headers(&[])), Credentials::None);
        for second in [&b"Bearer abc"[..], b"Bearer def", b"Basic abc"] {
            assert_eq!(Credentials::read(&mut headers(&[b"Bearer abc", second])), Credentials::Malformed);
            assert_eq!(Credentials::read(&mut headers(&[second, b"Bearer abc"])), Credentials::Malformed);
        }
        assert_eq!(Credentials::read(&mut headers(&[b"Basic a", b"Basic a"])), Credentials::Malformed);
    }
}
