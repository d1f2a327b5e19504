//! One token request, read as the system at hand reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::super::authorization_server::form_decode;
use super::serve::Call;

/// What an endpoint reads. The systems differ in little else.
pub(super) struct Reads {
    pub(super) form: bool,
    pub(super) json: bool,
    pub(super) basic: Basic,
}

/// What `Authorization: Basic` is worth.
pub(super) enum Basic {
    /// Nothing.
    Ignored,
    /// More than the body; both halves are form-encoded (RFC 6749 §2.3.1).
    First,
    /// Something if the body names no client; both halves are as they are.
    Second,
}

/// The parameters of a request and who sends it.
#[derive(Default)]
pub(super) struct Parameters {
    members: Map<String, Value>,
    /// Id and secret.
    pub(super) client: Option<(String, Option<String>)>,
}

/// Why a body cannot be read.
pub(super) enum Unreadable {
    ContentType,
    Syntax,
    /// JSON, but no object.
    Shape,
}

impl Parameters {
    pub(super) fn read(call: &Call, reads: &Reads) -> Result<Self, Unreadable> {
        let members = members(call, reads)?;
        let text = |name| text(&members, name).map(ToOwned::to_owned);
        let body = || Some((text("client_id")?, text("client_secret")));
        let header = || basic_credentials(&call.headers);
        let owned = |(id, secret)| (id, Some(secret));
        let client = match reads.basic {
            Basic::Ignored => body(),
            Basic::First => {
                header().map(|(id, secret)| (form_decode(&id), Some(form_decode(&secret)))).or_else(body)
            }
            Basic::Second => body().or_else(|| header().map(owned)),
        };
        Ok(Self { members, client })
    }

    /// A member that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.members, name)
    }

    /// The members of a space-separated list; none if it is absent.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.text(name)
            .map(|list| list.split_whitespace().map(ToOwned::to_owned).collect())
            .unwrap_or_default()
    }
}

/// `Authorization: Basic`, as it was encoded; `None` if there is none that can be read.
pub(super) fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded =
        STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Of a parameter that comes more than once, the last.
fn members(call: &Call, reads: &Reads) -> Result<Map<String, Value>, Unreadable> {
    let content_type =
        call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*media_type {
        "application/x-www-form-urlencoded" if reads.form => {
            let pairs = form_urlencoded::parse(&call.body).into_owned();
            Ok(pairs.map(|(name, value)| (name, Value::String(value))).collect())
        }
        "application/json" if reads.json => match serde_json::from_slice(&call.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(Unreadable::Shape),
            Err(_) => Err(Unreadable::Syntax),
        },
        _ => Err(Unreadable::ContentType),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|text| !text.is_empty())
}
