//! What [`Aidbox`] answers, and what it signs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::super::request::{Basic, Parameters, Reads, basic_credentials};
use super::super::serve::{Answer, Call, document, empty, json, lock};
use super::super::{TokenBuilder, metadata, uuid};
use super::{Aidbox, JWT_LIFETIME};

impl Aidbox {
    pub(super) fn answer(&self, call: &Call) -> Answer {
        match &*call.path {
            "/auth/token" | "/oauth2/token" if call.is_post() => match self.grant(call) {
                Ok(answer) => json(StatusCode::OK, &answer),
                Err((status, error)) => refuse(call, status, error),
            },
            "/auth/token" | "/oauth2/token" => empty(StatusCode::METHOD_NOT_ALLOWED),
            "/auth/introspect" => self.introspect(call),
            "/.well-known/jwks.json" => document(&self.jwks()),
            "/.well-known/openid-configuration"
            | "/.well-known/oauth-authorization-server"
            | "/.well-known/smart-configuration" => {
                let [keys, token] = ["/.well-known/jwks.json", "/auth/token"];
                document(&metadata(&self.issuer, &self.url, keys, token, "/auth/introspect"))
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn grant(&self, call: &Call) -> Result<Value, (StatusCode, &'static str)> {
        const READS: Reads = Reads { form: true, json: true, basic: Basic::Second };
        const DENIED: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "invalid_client");
        let bad = |error| (StatusCode::BAD_REQUEST, error);
        let request = Parameters::read(call, &READS).map_err(|_| bad("invalid_request"))?;
        let (id, secret) = request.client.as_ref().ok_or(DENIED)?;
        let client = self.clients.get(id).filter(|client| Some(&client.secret) == secret.as_ref());
        let client = client.ok_or(DENIED)?;
        match request.text("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(bad("unsupported_grant_type")),
            None => return Err(bad("invalid_request")),
        }
        let scopes = request.list("scope");
        if !scopes.iter().all(|scope| client.scopes.contains(scope)) {
            return Err(bad("invalid_scope"));
        }
        // The old endpoint writes it small.
        let token_type = if call.path == "/auth/token" { "Bearer" } else { "bearer" };
        let (token, lifetime) = if client.jwt {
            let token = self.token(id);
            let token =
                request.text("audience").into_iter().fold(token, |token, aud| token.claim("aud", aud));
            (token.sign(), Some(self.jwt_lifetime()))
        } else {
            let token = if self.base64_tokens { STANDARD.encode(uuid()) } else { uuid() };
            (token, self.expiration)
        };
        let expires = lifetime.map(|lifetime| self.time.seconds().saturating_add(lifetime.as_secs()));
        let mut session = json!({"client_id": id, "sub": id});
        let mut answer = json!({"access_token": token, "token_type": token_type});
        if let Some(expires) = expires {
            session["exp"] = expires.into();
        }
        if client.jwt {
            answer["expires_in"] = self.jwt_lifetime().as_secs().into();
        }
        if !scopes.is_empty() {
            answer["scope"] = scopes.join(" ").into();
            session["scope"] = scopes.join(" ").into();
        }
        self.sessions.insert(&token, session, expires);
        Ok(answer)
    }

    pub(super) fn token(&self, client: &str) -> TokenBuilder {
        let issued = self.time.seconds();
        self.signed(client)
            .claim("iat", issued)
            .claim("exp", issued.saturating_add(self.jwt_lifetime().as_secs()))
    }

    /// What all that it signs has in common.
    pub(super) fn signed(&self, subject: &str) -> TokenBuilder {
        TokenBuilder::bare(lock(&self.key).clone(), self.time.now())
            .header("typ", "JWT")
            .claim("iss", &*self.issuer)
            .claim("sub", subject)
            .claim("jti", uuid())
    }

    fn jwt_lifetime(&self) -> std::time::Duration {
        self.expiration.unwrap_or(JWT_LIFETIME)
    }

    /// RFC 7662, for every client by Basic.
    fn introspect(&self, call: &Call) -> Answer {
        let caller = basic_credentials(&call.headers);
        let known = |(id, secret)| self.clients.get(&id).is_some_and(|client| client.secret == secret);
        if !caller.is_some_and(known) {
            return refuse(call, StatusCode::UNAUTHORIZED, "invalid_client");
        }
        self.sessions.introspect(call, self.time.seconds(), |_| Some(()))
    }

    fn jwks(&self) -> Value {
        let mut jwk = lock(&self.key).bare_jwk();
        if self.alg_in_jwks {
            jwk["alg"] = "RS256".into();
        }
        json!({"keys": [jwk]})
    }
}

/// RFC 6749 §5.2.
fn refuse(call: &Call, status: StatusCode, error: &str) -> Answer {
    let mut answer = json(status, &json!({"error": error}));
    if status == StatusCode::UNAUTHORIZED && call.headers.contains_key(AUTHORIZATION) {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
    }
    answer
}
