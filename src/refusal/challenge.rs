//! Writing a `WWW-Authenticate` challenge (RFC 9110 §11.6.1).

use http::HeaderValue;

/// One challenge of the `Bearer` scheme.
pub(super) struct Challenge(String);

impl Challenge {
    pub(super) fn bearer() -> Self {
        Self("Bearer".to_owned())
    }

    /// Adds a parameter as a quoted string. The first follows a space, the others a comma.
    pub(super) fn parameter(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(if self.0.ends_with('"') { ", " } else { " " });
        self.0.push_str(name);
        self.0.push_str("=\"");
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
        self.0.push('"');
        self
    }

    /// `None` if a value holds what no header can.
    pub(super) fn into_header(self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_11_6_1_parameters_are_quoted_and_separated_by_commas() {
        let header =
            Challenge::bearer().parameter("error", "a").parameter("x", r#"say "\" twice"#).into_header();
        assert_eq!(header.unwrap(), r#"Bearer error="a", x="say \"\\\" twice""#);
        assert_eq!(Challenge::bearer().into_header().unwrap(), "Bearer");
        assert!(Challenge::bearer().parameter("x", "a\r\nb").into_header().is_none());
    }
}
