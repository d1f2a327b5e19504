//! What [`ClickView`] answers, and what it signs.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::super::authorization_server::form_decode;
use super::super::super::key::SigningKey;
use super::super::request::{Basic, Parameters, Reads, basic_credentials};
use super::super::serve::{Answer, Call, document, empty, json, lock};
use super::super::{TokenBuilder, dated, metadata, random_hex};
use super::{ClickView, Resource};

impl ClickView {
    pub(super) fn answer(&self, call: &Call) -> Answer {
        match &*call.path {
            "/connect/token" => match self.grant(call) {
                Ok(answer) => json(StatusCode::OK, &answer),
                // Always 400, with no description.
                Err(error) => json(StatusCode::BAD_REQUEST, &json!({"error": error})),
            },
            "/connect/introspect" => self.introspect(call),
            "/.well-known/openid-configuration" => {
                let [keys, token] = ["/.well-known/openid-configuration/jwks", "/connect/token"];
                document(&metadata(&self.issuer, &self.url, keys, token, "/connect/introspect"))
            }
            "/.well-known/openid-configuration/jwks" => {
                let keys = lock(&self.keys);
                let all = keys.announced.iter().chain([&keys.signing]).chain(&keys.old);
                let jwks: Vec<_> = all.map(SigningKey::jwk).collect();
                document(&json!({"keys": jwks}))
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn grant(&self, call: &Call) -> Result<Value, &'static str> {
        const READS: Reads = Reads { form: true, json: false, basic: Basic::First };
        let request =
            Parameters::read(call, &READS).ok().filter(|_| call.is_post()).ok_or("invalid_request")?;
        let (id, secret) = request.client.as_ref().ok_or("invalid_client")?;
        let client = self.clients.get(id).filter(|client| Some(&client.secret) == secret.as_ref());
        let client = client.ok_or("invalid_client")?;
        if request.text("grant_type") != Some("client_credentials") {
            return Err("unsupported_grant_type");
        }
        let mut scopes = request.list("scope");
        if scopes.is_empty() {
            scopes.clone_from(&client.scopes);
        }
        if scopes.is_empty() || !scopes.iter().all(|scope| client.scopes.contains(scope)) {
            return Err("invalid_scope");
        }
        let token = self.token(id, &scopes);
        let raw =
            if client.references { format!("{}-1", random_hex(32).to_uppercase()) } else { token.sign() };
        let expires = Some(self.time.seconds().saturating_add(LIFETIME.as_secs()));
        let claims = serde_json::from_str(&token.claims_json()).unwrap_or_default();
        self.issued.insert(&raw, claims, expires);
        Ok(json!({
            "access_token": raw,
            "expires_in": LIFETIME.as_secs(),
            "token_type": "Bearer",
            "scope": scopes.join(" "),
        }))
    }

    pub(super) fn token(&self, client: &str, scopes: &[String]) -> TokenBuilder {
        let key = lock(&self.keys).signing.clone();
        let kid = key.kid.clone();
        let token = dated(TokenBuilder::bare(key, self.time.now()), self.time.seconds(), LIFETIME)
            .header("typ", "at+jwt")
            .header("kid", kid)
            .claim("iss", &*self.issuer)
            .claim("client_id", client)
            .claim("jti", random_hex(16).to_uppercase())
            .claim("scope", scopes);
        let of_these = |resource: &Resource| resource.scopes.iter().any(|scope| scopes.contains(scope));
        let mut audience: Vec<_> = self
            .resources
            .iter()
            .filter(|(_, resource)| of_these(resource))
            .map(|(name, _)| &**name)
            .collect();
        match audience.len() {
            0 => token,
            1 => token.claim("aud", audience.remove(0)),
            _ => token.claim("aud", audience),
        }
    }

    /// RFC 7662, for an API resource: it learns of its own scopes only, and of no token that has none of them.
    fn introspect(&self, call: &Call) -> Answer {
        let caller = basic_credentials(&call.headers);
        // The same parser reads both kinds of secrets (BasicAuthenticationSecretParser).
        let resource = caller.and_then(|(name, secret)| {
            let secret = form_decode(&secret);
            self.resources.get(&form_decode(&name)).filter(|resource| resource.secret == secret)
        });
        let Some(resource) = resource else { return empty(StatusCode::UNAUTHORIZED) };
        self.issued.introspect(call, self.time.seconds(), |members| {
            let scopes = members.get("scope")?.as_array()?.iter().filter_map(Value::as_str);
            let scopes: Vec<_> =
                scopes.filter(|scope| resource.scopes.iter().any(|known| known == scope)).collect();
            let list = Some(scopes.join(" ")).filter(|list| !list.is_empty())?;
            members.insert("scope".to_owned(), list.into());
            Some(())
        })
    }
}

/// A day.
const LIFETIME: Duration = Duration::from_secs(86_400);
