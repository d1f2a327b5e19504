//! [`Aidbox`]: opaque tokens, or tokens signed with the one key for everything.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::super::key::SigningKey;
use super::super::{Loopback, TokenBuilder};
use super::request::{Basic, Parameters, Reads, basic_credentials};
use super::serve::{Answer, Call, Served, document, empty, json, lock};
use super::sessions::Sessions;
use super::{Time, metadata, owned, uuid};
use crate::jose::Algorithm;
use crate::time::Clock;

/// Aidbox.
///
/// Tokens are opaque and hold for ever, but those of a client with `token_format: jwt`, which live for an hour. Its one
/// key signs access tokens, ID tokens and refresh tokens alike.
pub struct Aidbox {
    url: String,
    /// Empty until it is served, if none was given.
    issuer: String,
    time: Time,
    clients: BTreeMap<String, Client>,
    expiration: Option<Duration>,
    base64_tokens: bool,
    alg_in_jwks: bool,
    key: Mutex<SigningKey>,
    sessions: Sessions,
}

struct Client {
    secret: String,
    jwt: bool,
    /// What it may ask for.
    scopes: Vec<String>,
}

impl Aidbox {
    /// With a key, and nobody to use it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            url: String::new(),
            issuer: String::new(),
            time: Time::default(),
            clients: BTreeMap::new(),
            expiration: None,
            base64_tokens: false,
            alg_in_jwks: false,
            key: Mutex::new(SigningKey::generate(Algorithm::RS256)),
            sessions: Sessions::default(),
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

    /// A client whose tokens are opaque.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        let client = Client { secret: secret.to_owned(), jwt: false, scopes: Vec::new() };
        self.clients.insert(id.to_owned(), client);
        self
    }

    /// A client with `token_format: jwt`, and the scopes that it may ask for. They are in no claim.
    #[must_use]
    pub fn jwt_client<I: IntoIterator<Item: Into<String>>>(
        mut self,
        id: &str,
        secret: &str,
        scopes: I,
    ) -> Self {
        let client = Client { secret: secret.to_owned(), jwt: true, scopes: owned(scopes) };
        self.clients.insert(id.to_owned(), client);
        self
    }

    /// How long tokens live (`access_token_expiration`). Default: opaque ones for ever, others for an hour.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expiration = Some(lifetime);
        self
    }

    /// Opaque tokens are UUIDs in base64, of 48 characters. Default: bare ones.
    #[must_use]
    pub fn base64_tokens(mut self) -> Self {
        self.base64_tokens = true;
        self
    }

    /// The published key says `alg`, as that of newer versions does. Default: it does not.
    #[must_use]
    pub fn alg_in_jwks(mut self) -> Self {
        self.alg_in_jwks = true;
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

    fn token(&self, client: &str) -> TokenBuilder {
        let issued = self.time.seconds();
        self.signed(client)
            .claim("iat", issued)
            .claim("exp", issued.saturating_add(self.jwt_lifetime().as_secs()))
    }

    /// What all that it signs has in common.
    fn signed(&self, subject: &str) -> TokenBuilder {
        TokenBuilder::bare(lock(&self.key).clone(), self.time.now())
            .header("typ", "JWT")
            .claim("iss", &*self.issuer)
            .claim("sub", subject)
            .claim("jti", uuid())
    }

    fn jwt_lifetime(&self) -> Duration {
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

impl Default for Aidbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Served<Aidbox> {
    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.system.issuer
    }

    /// Where its key is.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.url())
    }

    /// Where tokens that it has handed out are looked up (RFC 7662), by Basic with the credentials of any client.
    #[must_use]
    pub fn introspection_url(&self) -> String {
        format!("{}/auth/introspect", self.url())
    }

    /// What it would sign for a client that asks for no `audience`.
    pub fn token(&self, client: &str) -> TokenBuilder {
        self.system.token(client)
    }

    /// A refresh token for a user: it has no `exp`.
    pub fn refresh_token(&self, user: &str) -> TokenBuilder {
        self.system.signed(user).claim("typ", "refresh")
    }

    /// An ID token of a user, for a client: its `aud`.
    pub fn id_token(&self, user: &str, client: &str) -> TokenBuilder {
        self.system.token(user).claim("aud", client)
    }

    /// Has another key from now on, as after a restart. Nothing tells it from the old one by name.
    pub fn rotate_key(&self) {
        *lock(&self.system.key) = SigningKey::generate(Algorithm::RS256);
    }

    /// Ends the session of a token that it has handed out: looked up, it is not active from now on.
    pub fn end_session(&self, token: &str) {
        self.system.sessions.remove(token);
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

/// Ours: no document says one.
const JWT_LIFETIME: Duration = Duration::from_secs(3600);
