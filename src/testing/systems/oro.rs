//! [`OroCommerce`]: league/oauth2-server in an Oro application.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::super::key::SigningKey;
use super::super::{Loopback, TokenBuilder, random_hex};
use super::request::{Basic, Parameters, Reads};
use super::serve::{Answer, Call, Served, empty, json};
use super::{Time, since_epoch};
use crate::jose::Algorithm;
use crate::time::Clock;

/// OroCommerce and every application of the OroPlatform, from version 5 on.
///
/// Tokens live for an hour. They hold whatever scopes the client asks for. Whether a client is one of the back office or
/// of the storefront is written in no claim.
pub struct OroCommerce {
    time: Time,
    clients: BTreeMap<String, Client>,
    key: SigningKey,
}

struct Client {
    secret: String,
    frontend: bool,
}

/// `error`, its status, and a hint.
struct Refusal(StatusCode, &'static str, &'static str, Option<&'static str>);

impl OroCommerce {
    /// With a key, and nobody to use it.
    #[must_use]
    pub fn new() -> Self {
        let key = SigningKey::generate(Algorithm::RS256);
        Self { time: Time::default(), clients: BTreeMap::new(), key }
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time(Arc::new(clock));
        self
    }

    /// A client of the back office.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.clients.insert(id.to_owned(), Client { secret: secret.to_owned(), frontend: false });
        self
    }

    /// A client of the storefront.
    #[must_use]
    pub fn frontend_client(mut self, id: &str, secret: &str) -> Self {
        self.clients.insert(id.to_owned(), Client { secret: secret.to_owned(), frontend: true });
        self
    }

    /// Serves it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub async fn serve(self) -> io::Result<Served<Self>> {
        Ok(Served::new(Loopback::bind().await?, self, Self::answer))
    }

    fn answer(&self, call: &Call) -> Answer {
        match &*call.path {
            "/oauth2-token" if call.is_post() => match self.grant(call) {
                Ok(answer) => json(StatusCode::OK, &answer),
                Err(refusal) => refusal.answer(call),
            },
            "/oauth2-token" => empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn grant(&self, call: &Call) -> Result<Value, Refusal> {
        const READS: Reads = Reads { form: true, json: true, basic: Basic::Second };
        // A body that cannot be read is one without parameters.
        let request = Parameters::read(call, &READS).unwrap_or_default();
        if request.text("grant_type") != Some("client_credentials") {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "this server does not have the grant type",
                Some("is every required parameter there?"),
            ));
        }
        let Some((id, secret)) = &request.client else {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "a required parameter is missing or malformed",
                Some("`client_id`"),
            ));
        };
        let known = self.clients.get(id).is_some_and(|client| Some(&client.secret) == secret.as_ref());
        if !known {
            let text = "Client authentication failed";
            return Err(Refusal(StatusCode::UNAUTHORIZED, "invalid_client", text, None));
        }
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": LIFETIME.as_secs(),
            "access_token": self.token(id).claim("scopes", request.list("scope")).sign(),
        }))
    }

    fn token(&self, client: &str) -> TokenBuilder {
        let now = self.time.now();
        TokenBuilder::bare(self.key.clone(), now)
            .header("typ", "JWT")
            .claim("aud", client)
            .claim("jti", random_hex(40))
            .claim("iat", date(now))
            .claim("nbf", date(now))
            .claim("exp", date(now.checked_add(LIFETIME).unwrap_or(now)))
            .claim("sub", "")
            .claim("scopes", json!([]))
    }
}

impl Default for OroCommerce {
    fn default() -> Self {
        Self::new()
    }
}

impl Served<OroCommerce> {
    /// The public key that tokens are verified with.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.system.key.public_pem()
    }

    /// The clients of the back office: the audiences of its API.
    #[must_use]
    pub fn clients(&self) -> Vec<&str> {
        self.clients_of(false)
    }

    /// The clients of the storefront: the audiences of its API.
    #[must_use]
    pub fn frontend_clients(&self) -> Vec<&str> {
        self.clients_of(true)
    }

    fn clients_of(&self, frontend: bool) -> Vec<&str> {
        let all = self.system.clients.iter();
        all.filter(|(_, client)| client.frontend == frontend).map(|(id, _)| &**id).collect()
    }

    /// What it would sign for a client that asks for no scope.
    pub fn token(&self, client: &str) -> TokenBuilder {
        self.system.token(client)
    }
}

impl Refusal {
    fn answer(self, call: &Call) -> Answer {
        let Self(status, error, description, hint) = self;
        let mut body = json!({"error": error, "error_description": description, "message": description});
        if let Some(hint) = hint {
            body["hint"] = hint.into();
        }
        let mut answer = json(status, &body);
        if status == StatusCode::UNAUTHORIZED && call.headers.contains_key(AUTHORIZATION) {
            let challenge = HeaderValue::from_static("Basic realm=\"OAuth\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

/// Seconds with the microseconds behind a point; without the point if there are none.
fn date(time: SystemTime) -> Value {
    let since = since_epoch(time);
    match since.subsec_micros() {
        0 => since.as_secs().into(),
        // The nearest double to a number of six decimals is written with these decimals again.
        micros => Duration::new(since.as_secs(), micros.saturating_mul(1000)).as_secs_f64().into(),
    }
}

const LIFETIME: Duration = Duration::from_secs(3600);
