//! [`ClickView`]: an IdentityServer.

mod endpoints;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::key::SigningKey;
use super::super::{Loopback, TokenBuilder, random_hex};
use super::serve::{Served, lock};
use super::sessions::Sessions;
use super::{Time, owned};
use crate::jose::Algorithm;
use crate::time::Clock;

/// ClickView's authorization server, which by its paths is an IdentityServer.
///
/// Tokens live for a day. `aud` is the name of each API resource that one of the token's scopes belongs to; with no
/// such resource there is no `aud`.
///
/// ```
/// use tower_bearer::testing::systems::ClickView;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let clickview = ClickView::new()
///     .client("robot", "its secret", ["smartembed.viewkey"])
///     .api_resource("integrations", "the API's secret", ["smartembed.viewkey"])
///     .serve()
///     .await?;
/// let token = clickview.token("robot");
/// assert!(token.claims_json().contains(r#""aud":"integrations""#));
/// # Ok(()) }
/// ```
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
