//! [`Sessions`]: the tokens that were handed out, for those who look them up.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::request::{Basic, Parameters, Reads};
use super::serve::{Answer, Call, json, lock};

/// Tokens and what they say.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

struct Session {
    claims: Map<String, Value>,
    /// In seconds; `None` for ever.
    expires: Option<u64>,
}

impl Sessions {
    pub(super) fn insert(&self, token: &str, claims: Value, expires: Option<u64>) {
        let Value::Object(claims) = claims else { return };
        lock(&self.0).insert(token.to_owned(), Session { claims, expires });
    }

    pub(super) fn remove(&self, token: &str) {
        lock(&self.0).remove(token);
    }

    /// The answer of RFC 7662 §2.2 to a caller that has been authenticated. `view` is what this caller sees of a token
    /// that holds; `None` if it must not know of it.
    pub(super) fn introspect(
        &self,
        call: &Call,
        now: u64,
        view: impl FnOnce(&mut Map<String, Value>) -> Option<()>,
    ) -> Answer {
        const READS: Reads = Reads { form: true, json: false, basic: Basic::Ignored };
        let request = Parameters::read(call, &READS).ok().filter(|_| call.is_post());
        let Some(token) = request.as_ref().and_then(|request| request.text("token")) else {
            return json(StatusCode::BAD_REQUEST, &json!({"error": "invalid_request"}));
        };
        let found = lock(&self.0).get(token).and_then(|session| {
            let mut members = session.claims.clone();
            view(&mut members).filter(|()| session.expires.is_none_or(|expires| now < expires))?;
            members.insert("active".to_owned(), true.into());
            Some(Value::Object(members))
        });
        json(StatusCode::OK, &found.unwrap_or_else(|| json!({"active": false})))
    }
}
