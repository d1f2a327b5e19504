//! [`Hints`]: what a refused client is told of the token that it needs, and the `WWW-Authenticate` challenges (RFC 9110
//! §11.6.1) that tell it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use smallvec::SmallVec;

/// What a refused client is told of the token that it needs: the same in every challenge of one route.
pub(crate) struct Hints {
    /// The scopes of one token that would do, separated by spaces.
    scope: Option<Arc<str>>,
    /// Where to find our metadata (RFC 9728).
    metadata_url: Option<Arc<str>>,
    /// The challenges that were written, if they are kept.
    written: Option<ArcSwap<Vec<Written>>>,
}

/// A challenge, and what makes it another one than the others of its route.
#[derive(Clone)]
struct Written {
    error: Option<&'static str>,
    description: &'static str,
    header: Option<HeaderValue>,
}

impl Hints {
    /// For one refusal.
    pub(crate) fn new(scope: Option<Arc<str>>, metadata_url: Option<Arc<str>>) -> Self {
        Self { scope, metadata_url, written: None }
    }

    /// For many refusals: a challenge is written once as a rule. There are as many as there are phrases, and a client chooses none
    /// of the words.
    pub(crate) fn kept(scope: Option<Arc<str>>, metadata_url: Option<Arc<str>>) -> Self {
        Self { written: Some(ArcSwap::default()), ..Self::new(scope, metadata_url) }
    }

    pub(crate) fn scope(&self) -> Option<&Arc<str>> {
        self.scope.as_ref()
    }

    pub(crate) fn metadata_url(&self) -> Option<&Arc<str>> {
        self.metadata_url.as_ref()
    }

    /// With the code of RFC 6750 §3.1 and a phrase for people, which goes with it. `None` if something of it is what no
    /// header can hold.
    pub(crate) fn challenge(
        &self,
        error: Option<&'static str>,
        description: &'static str,
    ) -> Option<HeaderValue> {
        let Some(written) = &self.written else { return self.write(error, description) };
        let known = written.load();
        if let Some(same) =
            known.iter().find(|known| known.description == description && known.error == error)
        {
            return same.header.clone();
        }
        let header = self.write(error, description);
        let mut more = Vec::with_capacity(known.len().saturating_add(1));
        more.extend_from_slice(&known);
        more.push(Written { error, description, header: header.clone() });
        // Of two who write at the same time one will have to write again.
        written.store(Arc::new(more));
        header
    }

    fn write(&self, error: Option<&str>, description: &str) -> Option<HeaderValue> {
        let mut challenge = Challenge::default();
        if let Some(error) = error {
            challenge = challenge.parameter("error", error).parameter("error_description", description);
        }
        if let Some(scope) = &self.scope {
            challenge = challenge.parameter("scope", scope);
        }
        if let Some(url) = &self.metadata_url {
            challenge = challenge.parameter("resource_metadata", url);
        }
        challenge.into_header()
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hints")
            .field("scope", &self.scope)
            .field("metadata_url", &self.metadata_url)
            .finish_non_exhaustive()
    }
}

/// One challenge of the `Bearer` scheme.
#[derive(Default)]
struct Challenge<'a>(SmallVec<[(&'a str, &'a str); 4]>);

impl<'a> Challenge<'a> {
    /// Adds a parameter, whose value will be a quoted string.
    fn parameter(mut self, name: &'a str, value: &'a str) -> Self {
        self.0.push((name, value));
        self
    }

    /// `None` if a value holds what no header can.
    fn into_header(self) -> Option<HeaderValue> {
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

    #[test]
    fn what_no_header_can_hold_is_no_challenge_however_often_it_is_asked_for() {
        let kept = |scope: &str| Hints::kept(Some(scope.into()), None);
        let (good, bad) = (kept("a"), kept("a\r\nb"));
        for _ in 0..2 {
            assert_eq!(good.challenge(None, "x").unwrap(), "Bearer scope=\"a\"");
            assert_eq!(bad.challenge(None, "x"), None);
        }
    }
}
