//! [`Aidbox`]: opaque tokens, or tokens signed with the one key for everything.

mod endpoints;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::key::SigningKey;
use super::super::{Loopback, TokenBuilder};
use super::serve::{Served, lock};
use super::sessions::Sessions;
use super::{Time, owned};
use crate::jose::Algorithm;
use crate::time::Clock;

/// Aidbox.
///
/// Tokens are opaque and hold for ever, but those of a client with `token_format: jwt`, which live for an hour. Its one
/// key signs access tokens, ID tokens and refresh tokens alike.
///
/// ```
/// use tower_bearer::testing::systems::Aidbox;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let aidbox = Aidbox::new().jwt_client("robot", "its secret", ["system/*.read"]).serve().await?;
/// let token = aidbox.token("robot").claim("aud", "api");
/// assert!(!aidbox.refresh_token("user").claims_json().contains("exp"));
/// aidbox.rotate_key(); // what was signed is worth nothing now
/// # let _ = token.sign();
/// # Ok(()) }
/// ```
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

/// Ours: no document says one.
const JWT_LIFETIME: Duration = Duration::from_secs(3600);
