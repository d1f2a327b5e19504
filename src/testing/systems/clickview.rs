//! [`ClickView`]: an IdentityServer.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::super::key::SigningKey;
use super::super::{Loopback, TokenBuilder, random_hex};
use super::request::{Basic, Parameters, Reads, basic_credentials};
use super::serve::{Answer, Call, Served, document, empty, json, lock};
use super::sessions::Sessions;
use super::{Time, dated, metadata, owned};
use crate::jose::Algorithm;
use crate::time::Clock;

/// ClickView's authorization server, which by its paths is an IdentityServer.
///
/// Tokens live for a day. `aud` is the name of each API resource that one of the token's scopes belongs to; with no
/// such resource there is no `aud`.
pub struct ClickView {
    url: String,
    /// Empty until it is served, if none was given.
    issuer: String,
    time: Time,
    clients: BTreeMap<String, Client>,
    resources: BTreeMap<String, Resource>,
    keys: Mutex<Published>,
    /// The tokens that were handed out.
    issued: Sessions,
}

struct Client {
    secret: String,
    scopes: Vec<String>,
    references: bool,
}

struct Resource {
    secret: String,
    scopes: Vec<String>,
}

struct Published {
    announced: Vec<SigningKey>,
    signing: SigningKey,
    old: Vec<SigningKey>,
}

impl ClickView {
    /// With one key, and nobody to use it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            url: String::new(),
            issuer: String::new(),
            time: Time::default(),
            clients: BTreeMap::new(),
            resources: BTreeMap::new(),
            keys: Mutex::new(Published { announced: Vec::new(), signing: new_key(), old: Vec::new() }),
            issued: Sessions::default(),
        }
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time(Arc::new(clock));
        self
    }

    /// What its tokens and its discovery document call it. Default: its URL.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        issuer.clone_into(&mut self.issuer);
        self
    }

    /// A client and the scopes that it may have. It has all of them unless it asks for some.
    #[must_use]
    pub fn client<I: IntoIterator<Item: Into<String>>>(mut self, id: &str, secret: &str, scopes: I) -> Self {
        let client = Client { secret: secret.to_owned(), scopes: owned(scopes), references: false };
        self.clients.insert(id.to_owned(), client);
        self
    }

    /// The tokens of this client are references, to be looked up: 64 hexadecimal digits and `-1`.
    #[must_use]
    pub fn by_reference(mut self, id: &str) -> Self {
        self.clients.entry(id.to_owned()).and_modify(|client| client.references = true);
        self
    }

    /// An API resource: its name, which is the audience, its secret for introspection, and its scopes.
    #[must_use]
    pub fn api_resource<I: IntoIterator<Item: Into<String>>>(
        mut self,
        name: &str,
        secret: &str,
        scopes: I,
    ) -> Self {
        let resource = Resource { secret: secret.to_owned(), scopes: owned(scopes) };
        self.resources.insert(name.to_owned(), resource);
        self
    }

    /// Serves it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is none.
    pub async fn serve(mut self) -> io::Result<Served<Self>> {
        let loopback = Loopback::bind().await?;
        loopback.url().clone_into(&mut self.url);
        if self.issuer.is_empty() {
            self.issuer.clone_from(&self.url);
        }
        Ok(Served::new(loopback, self, Self::answer))
    }

    fn answer(&self, call: &Call) -> Answer {
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

    fn token(&self, client: &str, scopes: &[String]) -> TokenBuilder {
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
        let resource = caller.and_then(|(name, secret)| {
            self.resources.get(&name).filter(|resource| resource.secret == secret)
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

impl Default for ClickView {
    fn default() -> Self {
        Self::new()
    }
}

impl Served<ClickView> {
    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.system.issuer
    }

    /// Where its keys are.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/openid-configuration/jwks", self.url())
    }

    /// Where tokens that it has handed out are looked up (RFC 7662), by Basic with an API resource's name and secret.
    #[must_use]
    pub fn introspection_url(&self) -> String {
        format!("{}/connect/introspect", self.url())
    }

    /// What it would sign for a client, with all scopes of the client.
    pub fn token(&self, client: &str) -> TokenBuilder {
        let scopes = self.system.clients.get(client).map(|client| &*client.scopes).unwrap_or_default();
        self.system.token(client, scopes)
    }

    /// Publishes a key that does not sign yet; the real one does this two weeks before it signs.
    pub fn announce_key(&self) {
        lock(&self.system.keys).announced.push(new_key());
    }

    /// Signs with the key that was announced first, else with a new one. The old one stays published.
    pub fn rotate_key(&self) {
        let mut keys = lock(&self.system.keys);
        let new = if keys.announced.is_empty() { new_key() } else { keys.announced.remove(0) };
        let old = std::mem::replace(&mut keys.signing, new);
        keys.old.push(old);
    }

    /// Withdraws the old keys.
    pub fn retire_keys(&self) {
        lock(&self.system.keys).old.clear();
    }

    /// Forgets a token that it has handed out: as a reference it is worth nothing from now on.
    pub fn revoke(&self, token: &str) {
        self.system.issued.remove(token);
    }
}

fn new_key() -> SigningKey {
    let mut key = SigningKey::generate(Algorithm::RS256);
    key.kid = random_hex(16).to_uppercase();
    key
}

const LIFETIME: Duration = Duration::from_secs(86_400);
