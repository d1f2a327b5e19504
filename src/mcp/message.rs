//! Which tools a JSON-RPC body calls, or why nobody should be asked to read it.
//!
//! The server behind us reads the same bytes with a parser of its own. Whatever two parsers could understand in two
//! ways is refused here, so that no call is judged as one tool and carried out as another.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The method that calls a tool.
const TOOLS_CALL: &str = "tools/call";

/// What a message says, as far as access goes by it.
#[derive(Debug)]
pub(super) struct Message {
    /// `None` in a response.
    pub(super) method: Option<String>,
    /// The tool, if the method calls one.
    pub(super) tool: Option<String>,
}

/// Why a body is not handed on, as JSON-RPC has it (JSON-RPC 2.0 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    NotJson,
    NotAMessage,
    NoTool,
}

/// The messages of a body: one, or those of a batch, which protocol version 2025-03-26 has.
pub(super) fn messages(body: &[u8]) -> Result<Vec<Message>, Malformed> {
    // The whole of it: parsers differ in what they make of other bytes, and serde_json looks at strings that it skips
    // for nothing.
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotJson)?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| Malformed::NotJson)?;
    if !whole.get().starts_with('[') {
        return Ok(vec![Message::parse(whole)?]);
    }
    let batch: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(|_| Malformed::NotJson)?;
    if batch.is_empty() {
        return Err(Malformed::NotAMessage);
    }
    batch.into_iter().map(Message::parse).collect()
}

impl Message {
    fn parse(json: &RawValue) -> Result<Self, Malformed> {
        // serde would also read the members from an array, in their order.
        if !json.get().starts_with('{') {
            return Err(Malformed::NotAMessage);
        }
        let members: Members<'_> = serde_json::from_str(json.get()).map_err(|_| Malformed::NotAMessage)?;
        let is_response = members.result.is_some() || members.error.is_some();
        // A request, a notification or a response, and no two of them at once.
        if members.jsonrpc != "2.0" || members.method.is_some() == is_response {
            return Err(Malformed::NotAMessage);
        }
        let tool = match members.method.as_deref() {
            Some(TOOLS_CALL) => Some(tool(members.params)?),
            // What a server that compares or trims in another way would take for it.
            Some(method) if folded(method) == folded(TOOLS_CALL) || !is_printable(method) => {
                return Err(Malformed::NotAMessage);
            }
            _ => None,
        };
        Ok(Self { method: members.method, tool })
    }
}

/// The members that JSON-RPC 2.0 has. No other is let through: a server that ignores case would take `Method` for
/// `method`. None may come twice: which one counts differs from parser to parser.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    jsonrpc: String,
    #[serde(default, deserialize_with = "present")]
    method: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    error: Option<IgnoredAny>,
    #[serde(default, rename = "id")]
    _id: Option<IgnoredAny>,
}

/// A member that is `null` is there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn tool(params: Option<&RawValue>) -> Result<String, Malformed> {
    let params = params.ok_or(Malformed::NoTool)?;
    let mut parser = serde_json::Deserializer::from_str(params.get());
    parser.deserialize_map(Params).map_err(|_| Malformed::NoTool)
}

/// Reads the one `name` of an object, and no array in its place.
struct Params;

impl<'de> Visitor<'de> for Params {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the name of a tool")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut tool = None;
        let mut seen = HashSet::new();
        while let Some(member) = map.next_key::<String>()? {
            if !seen.insert(member.clone()) {
                return Err(Error::custom("a member that comes twice"));
            }
            if member == "name" {
                tool = Some(map.next_value()?);
            } else if folded(&member) == folded("name") {
                return Err(Error::custom("a member that could be taken for the name"));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let tool: String = tool.ok_or_else(|| Error::missing_field("name"))?;
        if tool.contains('\0') { Err(Error::custom("a name with an end inside")) } else { Ok(tool) }
    }
}

/// What a text and those that could be taken for it have in common: by a server that ignores case or white space around
/// it, or one in C, where NUL ends a text. Both cases, because `ſ` has the upper case of `s`, and the Kelvin sign the lower
/// case of `k`.
pub(super) fn folded(text: &str) -> String {
    text.split('\0').next().unwrap_or_default().trim().to_lowercase().to_uppercase()
}

/// A method is letters, digits and a few signs. What servers trim differs from language to language: control characters,
/// a byte order mark, spaces of many widths.
fn is_printable(method: &str) -> bool {
    method.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Controls and a byte order mark: what servers trim differs from language to language.
pub(super) fn has_odd_characters(name: &str) -> bool {
    name.chars().any(|c| c.is_control() || c == '\u{feff}')
}
