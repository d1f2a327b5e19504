//! Writing a `WWW-Authenticate` challenge (RFC 9110 §11.6.1).

use http::HeaderValue;
use smallvec::SmallVec;

/// One challenge of the `Bearer` scheme.
#[derive(Default)]
pub(super) struct Challenge<'a>(SmallVec<[(&'a str, &'a str); 4]>);

impl<'a> Challenge<'a> {
    /// Adds a parameter, whose value will be a quoted string.
    pub(super) fn parameter(mut self, name: &'a str, value: &'a str) -> Self {
        self.0.push((name, value));
        self
    }

    /// `None` if a value holds what no header can.
    pub(super) fn into_header(self) -> Option<HeaderValue> {
        let length = |(name, value): &(&str, &str)| name.len().saturating_add(value.len()).saturating_add(5);
        // Exactly, so that it need not move.
        let mut text = String::with_capacity(self.0.iter().map(length).fold(5, usize::saturating_add));
        text.push_str("Bearer");
        for (place, (name, value)) in self.0.into_iter().enumerate() {
            text.push_str(if place == 0 { " " } else { ", " });
            text.push_str(name);
            text.push_str("=\"");
            push_quoted(&mut text, value);
            text.push('"');
        }
        HeaderValue::try_from(text).ok()
    }
}

/// With a backslash before what would end the string (RFC 9110 §5.6.4).
fn push_quoted(text: &mut String, mut value: &str) {
    let next = |value: &str| memchr::memchr2(b'"', b'\\', value.as_bytes());
    while let Some((plain, rest)) = next(value).and_then(|place| value.split_at_checked(place)) {
        text.push_str(plain);
        text.push('\\');
        let mut rest = rest.chars();
        text.extend(rest.next());
        value = rest.as_str();
    }
    text.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_11_6_1_parameters_are_quoted_and_separated_by_commas() {
        let header =
            Challenge::default().parameter("error", "a").parameter("x", r#"say "\" twice"#).into_header();
        assert_eq!(header.unwrap(), r#"Bearer error="a", x="say \"\\\" twice""#);
        assert_eq!(Challenge::default().into_header().unwrap(), "Bearer");
        assert!(Challenge::default().parameter("x", "a\r\nb").into_header().is_none());
    }
}
