//! [`Scope`] and [`Scopes`]: the grammar of RFC 6749 §3.3, parsed once.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One scope: one or more of `%x21 / %x23-5B / %x5D-7E` (RFC 6749 §3.3), compared byte by byte.
///
/// ```
/// use tower_bearer::Scope;
///
/// let scope: Scope = "orders:read".parse()?;
/// assert_eq!(scope.as_str(), "orders:read");
/// assert!("two words".parse::<Scope>().is_err());
/// # Ok::<(), tower_bearer::InvalidScope>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Arc<str>);

/// The scopes of a token, in the order in which the issuer wrote them.
///
/// Absent, `""` and `[]` are the same: no scope. A value that does not follow the grammar of RFC 6749 §3.3
/// (scopes separated by exactly one space) grants nothing at all.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes<'a> {
    /// Well formed, and so separated by single spaces.
    text: &'a str,
}

/// What may be looked for in a list: neither nothing nor several, which would be found as a part of it.
#[derive(Clone, Copy)]
pub(crate) struct ScopeRef<'a>(&'a str);

/// What is granted, before there is a token that holds it: a list that is well formed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Granted<'a>(Cow<'a, str>);

/// Which scopes will do where another is asked for.
#[derive(Debug, Default)]
pub(crate) struct Implications {
    /// From a scope to every other that stands for it, whether at once or through others.
    broader: HashMap<Scope, BTreeSet<Scope>>,
}

/// The text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidScope;

impl Scope {
    /// The scope as it is written in a token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn borrowed(&self) -> ScopeRef<'_> {
        ScopeRef(&self.0)
    }
}

impl<'a> ScopeRef<'a> {
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        (!text.is_empty() && !text.contains(' ')).then_some(Self(text))
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        if is_scope_token(text) { Ok(Self(text.into())) } else { Err(InvalidScope) }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Scope {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scope is one or more printable ASCII characters without space, quote and backslash")
    }
}

impl std::error::Error for InvalidScope {}

impl<'a> Granted<'a> {
    /// Reads a space-separated list. What is not well formed grants nothing.
    pub(crate) fn from_list(text: &'a str) -> Self {
        if is_scope_list(text) { Self(text.into()) } else { Self::default() }
    }

    /// Joins single scopes. If one of them is not well formed, none is granted.
    pub(crate) fn from_items<'i>(items: impl IntoIterator<Item = &'i str>) -> Self {
        let mut text = String::new();
        for item in items {
            if !is_scope_token(item) {
                return Self::default();
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(item);
        }
        Self(text.into())
    }

    /// These and those.
    pub(crate) fn and(&self, other: &Granted<'_>) -> Self {
        let (ours, theirs) = (Scopes::granted(self.as_str()), Scopes::granted(other.as_str()));
        let more = theirs.iter().filter(|scope| !ours.contains(scope));
        Self::from_items(ours.iter().chain(more))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> Scopes<'a> {
    /// Those of a [list that is well formed](Granted).
    pub(crate) fn granted(text: &'a str) -> Self {
        Self { text }
    }

    /// Whether exactly this scope was granted.
    #[must_use]
    pub fn contains(self, scope: &str) -> bool {
        ScopeRef::of(scope).is_some_and(|scope| self.include(scope))
    }

    fn include(self, ScopeRef(scope): ScopeRef<'_>) -> bool {
        let (mut granted, scope) = (self.text.as_bytes(), scope.as_bytes());
        // That it is the first is seen without a search for its end.
        while !matches!(granted.strip_prefix(scope), Some([] | [b' ', ..])) {
            let rest = memchr::memchr(b' ', granted).and_then(|space| granted.get(space..));
            let Some([_, rest @ ..]) = rest else { return false };
            granted = rest;
        }
        true
    }

    /// The scopes, one by one.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.text.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether no scope was granted.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.text.is_empty()
    }
}

impl Implications {
    /// Keeps the whole relation: looking it up must not walk chains.
    pub(crate) fn add(&mut self, broader: &Scope, narrower: &Scope) {
        let mut above = self.broader.get(broader).cloned().unwrap_or_default();
        above.insert(broader.clone());
        let below = self.broader.iter().filter(|(_, above)| above.contains(narrower)).map(|(scope, _)| scope);
        let below: Vec<Scope> = below.chain([narrower]).cloned().collect();
        for scope in below {
            self.broader.entry(scope).or_default().extend(above.iter().cloned());
        }
    }

    /// Whether these scopes meet a rule that asks for this one.
    pub(crate) fn are_met(&self, granted: Scopes<'_>, scope: ScopeRef<'_>) -> bool {
        let stands_for_it = || self.broader.get(scope.0).into_iter().flatten();
        granted.include(scope) || stands_for_it().any(|broader| granted.include(broader.borrowed()))
    }
}

impl fmt::Debug for Scopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Scopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

fn is_scope_token(text: &str) -> bool {
    !text.contains(' ') && is_scope_list(text)
}

/// `scope-token *( SP scope-token )`.
fn is_scope_list(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Every byte is looked at, wherever the first odd one is: that is many at a time.
    let plain = |all, byte: &u8| all & matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let apart = |all, (one, next): (&u8, &u8)| all & !(*one == b' ' && *next == b' ');
    bytes.iter().fold(true, plain)
        && bytes.iter().zip(bytes.iter().skip(1)).fold(true, apart)
        && bytes.first().is_some_and(|first| *first != b' ')
        && bytes.last().is_some_and(|last| *last != b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6749_3_3_only_single_spaces_separate() {
        for (text, granted) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a b:c", &["a", "b:c"]),
            ("a  b", &[]),
            (" a", &[]),
            ("a ", &[]),
            ("a\tb", &[]),
            ("a\u{a0}b", &[]),
            ("a\"b c", &[]),
            ("a\\ c", &[]),
        ] {
            let list = Granted::from_list(text);
            assert_eq!(Scopes::granted(list.as_str()).iter().collect::<Vec<_>>(), granted, "{text:?}");
        }
    }

    #[test]
    fn an_odd_item_grants_nothing() {
        assert_eq!(Granted::from_items(["a", "b"]).as_str(), "a b");
        for odd in ["", "x y", "é", "\"", " "] {
            assert_eq!(Granted::from_items(["a", odd]).as_str(), "", "{odd:?}");
        }
    }

    #[test]
    fn implication_is_transitive_in_whatever_order_it_was_said() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let steps = [("admin", "item:all"), ("item:all", "item:read"), ("item:read", "item:list")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut implications = Implications::default();
            for step in order {
                implications.add(&scope(steps[step].0), &scope(steps[step].1));
            }
            let ladder = ["admin", "item:all", "item:read", "item:list"];
            for (height, granted) in ladder.iter().enumerate() {
                let granted = Scopes::granted(granted);
                for (depth, asked) in ladder.iter().enumerate() {
                    let is_met = implications.are_met(granted, scope(asked).borrowed());
                    assert_eq!(is_met, height <= depth, "{granted} {asked}");
                }
                assert!(!implications.are_met(granted, scope("other").borrowed()));
            }
        }
    }

    #[test]
    fn scopes_that_imply_each_other_are_the_same() {
        let [a, b] = ["a", "b"].map(|text| text.parse::<Scope>().unwrap());
        let mut implications = Implications::default();
        implications.add(&a, &b);
        implications.add(&b, &a);
        for (granted, asked) in [("a", &b), ("b", &a), ("a", &a)] {
            assert!(implications.are_met(Scopes::granted(granted), asked.borrowed()));
        }
        assert!(!implications.are_met(Scopes::granted("c"), a.borrowed()));
    }

    #[test]
    fn no_scope_is_part_of_another() {
        let scopes = Scopes::granted("orders:read orders");
        assert!(scopes.contains("orders") && scopes.contains("orders:read"));
        for other in
            ["orders:", "order", "rders", "read", "orders:read orders", "orders:read ", " orders", " ", ""]
        {
            assert!(!scopes.contains(other), "{other:?}");
        }
        assert!(!Scopes::granted("").contains(""));
    }

    #[test]
    fn what_is_contained_is_what_splitting_finds() {
        let mut texts = vec![String::new()];
        for length in 0..6 {
            let longest: Vec<_> = texts.iter().filter(|text| text.len() == length).cloned().collect();
            texts.extend(longest.iter().flat_map(|text| ["a", "b", " "].map(|end| text.clone() + end)));
        }
        let mut found = 0_u32;
        for list in texts.iter().filter(|text| is_scope_list(text)) {
            for scope in &texts {
                let is_there = list.split(' ').any(|granted| granted == scope);
                assert_eq!(Scopes::granted(list).contains(scope), is_there, "{scope:?} in {list:?}");
                found += u32::from(is_there);
            }
        }
        assert!(found > 500, "{found}");
    }
}
