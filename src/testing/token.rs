//! [`TokenBuilder`]: tokens of any shape, good or hostile.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::key::{SigningKey, encode};
use super::{hmac, random_hex};
use crate::jose::{Algorithm, HmacAlgorithm};

/// A token to be signed by an [`Idp`](super::Idp). It starts as RFC 9068 has it, for a client called `client`, and
/// lives for ten minutes.
#[derive(Clone)]
#[must_use]
pub struct TokenBuilder {
    key: SigningKey,
    /// Signs instead of the key.
    secret: Option<(HmacAlgorithm, Vec<u8>)>,
    now: SystemTime,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TokenBuilder {
    pub(super) fn new(key: SigningKey, now: SystemTime, issuer: &str, audience: &str) -> Self {
        let kid = key.kid.clone();
        let issued = seconds(now);
        Self::bare(key, now)
            .header("typ", "at+jwt")
            .header("kid", kid)
            .claim("iss", issuer)
            .claim("aud", audience)
            .claim("iat", issued)
            .claim("jti", random_hex(8))
            .expires_in(Duration::from_secs(600))
            .client("client")
    }

    /// With `alg` in its header and nothing else.
    pub(super) fn bare(key: SigningKey, now: SystemTime) -> Self {
        let header = Map::from_iter([("alg".to_owned(), key.algorithm.name().into())]);
        Self { key, secret: None, now, header, claims: Map::new() }
    }

    /// Sets `client_id` and `sub`, as the client credentials grant does (RFC 9068 §2.2).
    pub fn client(self, client_id: &str) -> Self {
        self.claim("client_id", client_id).claim("sub", client_id)
    }

    /// Sets `scope`.
    pub fn scopes<I: IntoIterator<Item: AsRef<str>>>(self, scopes: I) -> Self {
        let scopes: Vec<_> = scopes.into_iter().map(|scope| scope.as_ref().to_owned()).collect();
        self.claim("scope", scopes.join(" "))
    }

    /// Sets `exp` to so long after the present.
    pub fn expires_in(self, life: Duration) -> Self {
        let expires = seconds(self.now).saturating_add(life.as_secs());
        self.claim("exp", expires)
    }

    /// Sets a claim to any JSON value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header to any JSON value. The signature stays that of the key.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a member of the header out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Lets somebody else's key of the same kind sign it. What the header says stays as it is.
    pub fn by_a_stranger(self) -> Self {
        self.of_a_stranger().0
    }

    /// The signed token.
    #[must_use]
    pub fn sign(&self) -> String {
        self.sign_raw(&self.header_json(), &self.claims_json())
    }

    /// Signs any two texts, JSON or not.
    #[must_use]
    pub fn sign_raw(&self, header: &str, payload: &str) -> String {
        self.sign_bytes(header.as_bytes(), payload.as_bytes())
    }

    /// The same token under a shared secret, with `alg` set to match.
    #[must_use]
    pub fn sign_hmac(&self, algorithm: HmacAlgorithm, secret: &[u8]) -> String {
        self.clone().with_secret(algorithm, secret).sign()
    }

    /// Signs what need not even be text.
    pub(super) fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> String {
        self.sign_segments(&encode(header), &encode(payload))
    }

    /// Signs two texts that are encoded already, well or badly.
    pub(super) fn sign_segments(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let signature = match &self.secret {
            Some((algorithm, secret)) => hmac::hmac(*algorithm, secret, input.as_bytes()),
            None => self.key.sign(input.as_bytes()),
        };
        format!("{input}.{}", encode(signature))
    }

    /// Under a shared secret from now on, with `alg` set to match.
    pub(super) fn with_secret(mut self, algorithm: HmacAlgorithm, secret: &[u8]) -> Self {
        self.secret = Some((algorithm, secret.to_vec()));
        self.header("alg", algorithm.name())
    }

    /// The same token, and the key of somebody else that signs it now.
    pub(super) fn of_a_stranger(mut self) -> (Self, SigningKey) {
        let key = SigningKey::generate(self.key.algorithm);
        if let Some((_, secret)) = &mut self.secret {
            *secret = random_hex(64).into_bytes();
        }
        self.key = key.clone();
        (self, key)
    }

    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Of the key; none under a shared secret.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.secret.is_none().then_some(self.key.algorithm)
    }

    /// The present in seconds, moved by so many.
    pub(super) fn seconds_from_now(&self, by: i64) -> i64 {
        i64::try_from(seconds(self.now)).unwrap_or(i64::MAX).saturating_add(by)
    }

    /// The first audience that it names.
    pub(super) fn audience(&self) -> Option<&str> {
        let aud = self.claims.get("aud")?;
        aud.as_str().or_else(|| aud.as_array()?.first()?.as_str())
    }

    /// The header as it will be signed.
    #[must_use]
    pub fn header_json(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }

    /// The claims as they will be signed.
    #[must_use]
    pub fn claims_json(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }
}

impl std::fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("header", &self.header)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
