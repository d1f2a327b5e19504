//! JSON as a token may hold it: objects without duplicate members (RFC 7519 §4), at most [`MAX_JSON_DEPTH`] deep.
//!
//! serde_json parses; this module only says what it may find. Strings are borrowed from the input unless
//! they have escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deeper than any claim set seen in the wild, shallow enough for every stack.
pub const MAX_JSON_DEPTH: usize = 16;

/// A JSON object, its members in the order in which they came.
#[derive(Default)]
pub(crate) struct Object<'a>(Vec<Member<'a>>);

struct Member<'a> {
    name: Cow<'a, str>,
    look: Look,
    value: Value<'a>,
}

/// The first byte of a name, its last one, and its length, of which as much as one byte holds. Names that differ look
/// different as a rule, and then their texts are not compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look(u32);

pub(crate) enum Value<'a> {
    Null,
    Bool,
    Integer(i64),
    /// With a fraction, an exponent, or too large for the variant above.
    Float(f64),
    String(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// Not a single well-formed JSON object, or too deep, or with a member twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnObject;

impl fmt::Debug for Object<'_> {
    /// Nothing of the claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'a> Object<'a> {
    pub(crate) fn parse(json: &'a str) -> Result<Self, NotAnObject> {
        let mut parser = serde_json::Deserializer::from_str(json);
        let mut value = Value::Null;
        Place { value: &mut value, depth: 0 }.deserialize(&mut parser).map_err(|_| NotAnObject)?;
        parser.end().map_err(|_| NotAnObject)?;
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(NotAnObject),
        }
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Value<'a>> {
        let look = Look::of(name);
        self.0.iter().find(|member| member.is_called(name, look)).map(|member| &member.value)
    }

    /// The members' names, if all are objects.
    pub(crate) fn names_of_objects(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|m| matches!(m.value, Value::Object(_)).then_some(&*m.name)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Value<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Where the value that is read next belongs, and how deep that lies. It is written there at once: what is handed up is copied on
/// the way, and a copy of what was written in smaller parts just before makes the processor wait (a fifth of the whole time).
struct Place<'p, 'a> {
    value: &'p mut Value<'a>,
    depth: usize,
}

impl<'a> Place<'_, 'a> {
    fn put(self, value: Value<'a>) {
        // What was there is null. To find out that it needs no drop takes time.
        std::mem::forget(std::mem::replace(self.value, value));
    }

    /// How deep what this value holds lies, if it may hold anything.
    fn below<E: Error>(&self) -> Result<usize, E> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_JSON_DEPTH { Err(E::custom("nested too deeply")) } else { Ok(depth) }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Value::Null);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.put(Value::Bool);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put(Value::Integer(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "beyond i64 only the magnitude matters: it is refused"
        )]
        let value = i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer);
        self.put(value);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put(Value::Float(number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.put(Value::String(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Value::String(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.below()?;
        let (mut items, mut item) = (Vec::new(), Value::Null);
        while seq.next_element_seed(Place { value: &mut item, depth })?.is_some() {
            items.push(std::mem::replace(&mut item, Value::Null));
        }
        self.put(Value::Array(items));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Room for a usual claim set; thousands of small nested objects must not reserve as much.
        let mut members: Vec<Member<'de>> = Vec::with_capacity(if self.depth == 0 { 16 } else { 0 });
        loop {
            let is_first = members.is_empty();
            members.push(Member::EMPTY);
            let Some(member) = members.last_mut() else { break };
            if map.next_key_seed(&mut *member)?.is_none() {
                members.pop();
                break;
            }
            if ARBITRARY_PRECISION && is_first && member.name == NUMBER_IN_DISGUISE {
                let number = number(&map.next_value::<Cow<'_, str>>()?);
                self.put(number.ok_or_else(|| A::Error::custom("number out of range"))?);
                return Ok(());
            }
            let depth = self.below()?;
            map.next_value_seed(Place { value: &mut member.value, depth })?;
        }
        self.below::<A::Error>()?;
        // Thousands of empty ones must not keep what was reserved.
        if members.is_empty() {
            members = Vec::new();
        }
        if has_duplicates(&members) {
            return Err(A::Error::custom("duplicate member"));
        }
        self.put(Value::Object(Object(members)));
        Ok(())
    }
}

impl Member<'static> {
    /// Not read yet. As a constant it is copied as it is.
    const EMPTY: Self = Self { name: Cow::Borrowed(""), look: Look(0), value: Value::Null };
}

impl<'a> Member<'a> {
    fn is_called(&self, name: &str, look: Look) -> bool {
        self.look == look && self.name == name
    }
}

/// Its name is read first, which is borrowed unless it is written with escapes.
impl<'de> DeserializeSeed<'de> for &mut Member<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for &mut Member<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        (self.name, self.look) = (Cow::Borrowed(text), Look::of(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.name, self.look) = (Cow::Owned(text.to_owned()), Look::of(text));
        Ok(())
    }
}

/// Whether some crate of the application turned on serde_json's `arbitrary_precision`: numbers then arrive as maps with
/// one member. What tokens are accepted must not depend on that, so they are read back. (A number is then a string
/// inside, and larger.)
const ARBITRARY_PRECISION: bool = size_of::<serde_json::Number>() > 16;

/// The name of that member.
const NUMBER_IN_DISGUISE: &str = "$serde_json::private::Number";

/// As serde_json reads a number without that feature.
fn number<'a>(text: &str) -> Option<Value<'a>> {
    if let Ok(integer) = text.parse() {
        return Some(Value::Integer(integer));
    }
    text.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float)
}

/// Compares those with each other that look alike while that is the cheapest way, and sorts beyond: thousands of members in
/// a hostile token must not cost millions of comparisons.
fn has_duplicates(members: &[Member<'_>]) -> bool {
    if members.len() <= 32 {
        let mut seen = 0_u64;
        return members.iter().enumerate().any(|(place, Member { name, look, .. })| {
            let bit = look.bit();
            let again = seen & bit != 0;
            seen |= bit;
            again && members.iter().take(place).any(|other| other.is_called(name, *look))
        });
    }
    let mut names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair.first() == pair.last())
}

impl Look {
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (first, last) = bytes.first().zip(bytes.last()).unwrap_or((&0, &0));
        let [length, ..] = bytes.len().to_le_bytes();
        Self(u32::from_le_bytes([*first, *last, length, 0]))
    }

    /// One of 64.
    fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9E37_79B1) >> 26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(json: &str) -> bool {
        Object::parse(json).is_ok()
    }

    #[test]
    fn only_one_whole_object() {
        assert!(parses(r#" {"a":1,"b":[1.5,"x",null,true,{}]} "#));
        for json in [
            "",
            "[]",
            "1",
            "null",
            "\"x\"",
            "{}x",
            "{} {}",
            "{",
            r#"{"a":01}"#,
            r#"{"a":1e999}"#,
            "\u{feff}{}",
        ] {
            assert!(!parses(json), "{json}");
        }
        assert!(!parses(r#"{"a":"\ud800"}"#), "a lone surrogate");
    }

    #[test]
    fn rfc7519_4_duplicate_members_are_refused_at_every_depth() {
        assert!(parses(r#"{"a":{"b":1},"b":1}"#));
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"b":1,"b":2}}"#,
            r#"{"x":[{"b":1,"b":2}]}"#,
        ] {
            assert!(!parses(json), "{json}");
        }
        let mut many: String = (0..100).map(|i| format!("\"m{i}\":0,")).collect();
        assert!(parses(&format!("{{{many}\"last\":0}}")));
        many.push_str("\"m7\":0");
        assert!(!parses(&format!("{{{many}}}")));
    }

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let (short, long) = ("a".repeat(3), "a".repeat(259));
        for (one, other) in [("sub", "s_b"), ("", "\\u0000"), (&short, &long)] {
            let json = format!(r#"{{"{other}":"other","{one}":"one"}}"#);
            let object = Object::parse(&json).unwrap();
            assert_eq!(object.member(one).and_then(Value::as_str), Some("one"), "{json}");
            assert!(Object::parse(&format!(r#"{{"{other}":1}}"#)).unwrap().member(one).is_none());
            assert!(!parses(&format!(r#"{{"{other}":1,"{one}":1,"{one}":2}}"#)));
        }
    }

    #[test]
    fn depth_ends_at_the_limit() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(parses(&nested(MAX_JSON_DEPTH)));
        assert!(!parses(&nested(MAX_JSON_DEPTH + 1)));
        assert!(!parses(&nested(100_000)));
        // With `arbitrary_precision` such a number arrives as a map, which is no deeper for it.
        let around = |inner: &str, depth: usize| {
            format!("{{\"a\":{}{inner}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
        };
        for number in ["1.5", "-0", "1e3", "99999999999999999999"] {
            assert!(parses(&around(number, MAX_JSON_DEPTH)), "{number}");
        }
        assert!(parses(&around("{}", MAX_JSON_DEPTH - 1)));
        for empty in ["{}", "[]"] {
            assert!(!parses(&around(empty, MAX_JSON_DEPTH)), "{empty}");
        }
    }
}
