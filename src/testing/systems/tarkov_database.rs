//! [`TarkovDatabase`]: tokens that bring their certificates along.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::super::key::{SigningKey, pem};
use super::super::{Loopback, TokenBuilder, random_hex};
use super::chain::{Authority, Leaf};
use super::request::{Basic, Parameters, Reads, Unreadable};
use super::serve::{Answer, Call, Served, empty, json, lock};
use super::{Time, dated, owned};
use crate::jose::Algorithm;
use crate::time::Clock;

/// Tarkov Database's identity service.
///
/// Tokens live for half an hour. Their header has a leaf certificate and the intermediate that issued it; the root that
/// issued this one is what a resource server trusts. Scopes are those of the client's record: none can be asked for.
///
/// ```
/// use tower_bearer::testing::systems::TarkovDatabase;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// const ROBOT: &str = "0b5e3a1c-6f2d-4a7e-9c1b-8d7f6e5a4b3c";
/// let tarkov =
///     TarkovDatabase::new(["api"]).client(ROBOT, "its secret", ["read:item"]).serve().await?;
/// assert!(tarkov.root_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// let good = tarkov.token(ROBOT).sign();
/// let bad = tarkov.token_without_intermediate(ROBOT).sign();
/// assert!(bad.len() < good.len());
/// # Ok(()) }
/// ```
pub struct TarkovDatabase {
    audience: Vec<String>,
    time: Time,
    clients: BTreeMap<String, Client>,
    authority: Authority,
    signing: Mutex<Signing>,
}

struct Client {
    secret: String,
    /// Of its record, 24 hexadecimal digits.
    record: String,
    scopes: Vec<String>,
}

#[derive(Clone)]
struct Signing {
    key: SigningKey,
    /// Leaf and intermediate, DER.
    chain: Vec<Vec<u8>>,
}

enum Refusal {
    /// Of a body that cannot be read.
    Unread(StatusCode, &'static str),
    /// RFC 6749 §5.2.
    OAuth(StatusCode, &'static str),
}

impl TarkovDatabase {
    /// For this audience, with a new root, an intermediate and a leaf.
    #[must_use]
    pub fn new<I: IntoIterator<Item: Into<String>>>(audience: I) -> Self {
        let authority = Authority::new();
        let signing = Signing::new(&authority);
        Self {
            audience: owned(audience),
            time: Time::default(),
            clients: BTreeMap::new(),
            authority,
            signing: Mutex::new(signing),
        }
    }

    /// Takes the time from this clock. The certificates hold at any time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time(Arc::new(clock));
        self
    }

    /// A client, whose `id` must be a UUID, and the scopes of its record.
    #[must_use]
    pub fn client<I: IntoIterator<Item: Into<String>>>(mut self, id: &str, secret: &str, scopes: I) -> Self {
        let client = Client { secret: secret.to_owned(), record: random_hex(12), scopes: owned(scopes) };
        self.clients.insert(id.to_ascii_lowercase(), client);
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
            "/v1/oauth/token" if call.is_post() => match self.grant(call) {
                Ok(answer) => json(StatusCode::OK, &answer),
                Err(Refusal::Unread(status, message)) => {
                    json(status, &json!({"code": status.as_u16(), "message": message}))
                }
                Err(Refusal::OAuth(status, error)) => json(status, &json!({"error": error})),
            },
            "/v1/oauth/token" => empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn grant(&self, call: &Call) -> Result<Value, Refusal> {
        const READS: Reads = Reads { form: false, json: true, basic: Basic::Ignored };
        const UNPROCESSABLE: Refusal =
            Refusal::Unread(StatusCode::UNPROCESSABLE_ENTITY, "not a token request");
        let request = Parameters::read(call, &READS).map_err(|why| match why {
            Unreadable::ContentType => {
                Refusal::Unread(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not application/json")
            }
            Unreadable::Syntax => Refusal::Unread(StatusCode::BAD_REQUEST, "not JSON"),
            Unreadable::Shape => UNPROCESSABLE,
        })?;
        let id = request.text("client_id").filter(|id| is_uuid(id)).ok_or(UNPROCESSABLE)?;
        let secret = request.text("client_secret").ok_or(UNPROCESSABLE)?;
        let grant = request.text("grant_type").ok_or(UNPROCESSABLE)?;
        if grant != "client_credentials" {
            return Err(Refusal::OAuth(StatusCode::BAD_REQUEST, "unsupported_grant_type"));
        }
        let client = self.clients.get(&id.to_ascii_lowercase()).filter(|client| client.secret == secret);
        let client = client.ok_or(Refusal::OAuth(StatusCode::UNAUTHORIZED, "invalid_client"))?;
        Ok(json!({
            "access_token": self.token(&lock(&self.signing), client).sign(),
            "token_type": "bearer",
            "expires_in": LIFETIME.as_secs(),
        }))
    }

    fn token(&self, signing: &Signing, client: &Client) -> TokenBuilder {
        let chain: Vec<_> = signing.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        // Not what RFC 7515 §4.1.8 asks for: standard base64, of the digest of the key.
        let thumbprint = STANDARD.encode(digest(&SHA256, signing.key.public_der()));
        dated(TokenBuilder::bare(signing.key.clone(), self.time.now()), self.time.seconds(), LIFETIME)
            .header("alg", "EdDSA")
            .header("typ", "access")
            .header("x5c", chain)
            .header("x5t#S256", thumbprint)
            .claim("aud", &*self.audience)
            .claim("sub", &*client.record)
            .claim("scope", &*client.scopes)
    }
}

impl Served<TarkovDatabase> {
    /// The root that a resource server trusts.
    #[must_use]
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", self.system.authority.root())
    }

    /// The public key of the leaf that signs at present.
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        lock(&self.system.signing).key.public_pem()
    }

    /// Which `sub` its tokens have for a client.
    ///
    /// # Panics
    /// If it has no such client.
    #[must_use]
    pub fn record(&self, client: &str) -> &str {
        &self.client(client).record
    }

    /// What it would sign for a client.
    ///
    /// # Panics
    /// If it has no such client. So do all that make tokens.
    pub fn token(&self, client: &str) -> TokenBuilder {
        self.token_of(client, &lock(&self.system.signing))
    }

    /// The same with the leaf alone: what leads to the root is missing.
    pub fn token_without_intermediate(&self, client: &str) -> TokenBuilder {
        let mut signing = lock(&self.system.signing).clone();
        signing.chain.truncate(1);
        self.token_of(client, &signing)
    }

    /// The same from an authority of a stranger, which has given its certificates the same names.
    pub fn token_under_a_strange_root(&self, client: &str) -> TokenBuilder {
        self.token_of(client, &Signing::new(&Authority::new()))
    }

    /// The same with a leaf that is not what it must be.
    pub fn token_with_leaf(&self, client: &str, leaf: Leaf) -> TokenBuilder {
        let mut signing = lock(&self.system.signing).clone();
        signing.chain = self.system.authority.chain(&signing.key, leaf);
        self.token_of(client, &signing)
    }

    /// Signs with a new leaf under the same root from now on.
    pub fn rotate_key(&self) {
        *lock(&self.system.signing) = Signing::new(&self.system.authority);
    }

    fn token_of(&self, client: &str, signing: &Signing) -> TokenBuilder {
        self.system.token(signing, self.client(client))
    }

    fn client(&self, id: &str) -> &Client {
        self.system.clients.get(&id.to_ascii_lowercase()).expect("a client of the system")
    }
}

impl Signing {
    fn new(authority: &Authority) -> Self {
        let key = SigningKey::generate(Algorithm::Ed25519);
        let chain = authority.chain(&key, Leaf::Good);
        Self { key, chain }
    }
}

fn is_uuid(text: &str) -> bool {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.clone().all(|byte| byte.is_ascii_hexdigit()) && digits.count() == 32
}

const LIFETIME: Duration = Duration::from_secs(1800);
