//! [`ClientKey`]: a private key in place of a secret, and what we sign with it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::LookupErrorKind;
use crate::jose::{Algorithm, SigningKey, crypto_backend, random};
use crate::lookup::LookupError;
use crate::secret::Secret;
use crate::time::Clock;

/// What we sign of ourselves is good for so long: enough for one call and clocks that differ a little.
pub const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// A private key of ours, whose public half the authorization server knows. For [`Introspection::private_key_jwt`].
///
/// ```
/// use tower_bearer::{Algorithm, ClientKey, Introspection};
///
/// # fn read() -> Vec<u8> { Vec::new() }
/// let key = ClientKey::pem(read()).kid("2026-01").algorithm(Algorithm::PS256);
/// let introspection = Introspection::at("https://id.example.com/introspect").private_key_jwt("orders-api", key);
/// # let _ = introspection;
/// ```
///
/// RSA with 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519. It is checked when the server is built. It prints nothing, and
/// is wiped when it is dropped.
///
/// # Security
/// With the feature `rust-crypto` and without `aws-lc-rs`, signing with RSA does not take the same time whatever the key is
/// (RUSTSEC-2023-0071). It is blinded; an EC or Ed25519 key has no such fault.
///
/// [`Introspection::private_key_jwt`]: crate::Introspection::private_key_jwt
#[must_use]
pub struct ClientKey {
    source: Source,
    kid: Option<String>,
    algorithm: Option<Algorithm>,
}

enum Source {
    Pem(Secret<Vec<u8>>),
    Jwk(Secret<String>),
}

impl ClientKey {
    /// The private key in a PEM file (RFC 7468): `PRIVATE KEY` (PKCS #8), `EC PRIVATE KEY` (SEC 1) or `RSA PRIVATE KEY`
    /// (PKCS #1), not encrypted. A certificate beside it is not looked at.
    pub fn pem(pem: impl Into<Vec<u8>>) -> Self {
        Self::from(Source::Pem(Secret::new(pem.into())))
    }

    /// A private JWK (RFC 7517), as JSON. Its `kid` and `alg` count.
    pub fn jwk(json: impl Into<String>) -> Self {
        Self::from(Source::Jwk(Secret::new(json.into())))
    }

    /// The name under which the authorization server knows it. Default: the `kid` of the JWK, or none.
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// How it signs. Default: the `alg` of the JWK; else RS256, or the one algorithm that an EC or Ed25519 key has.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    pub(crate) fn import(&self) -> Result<SigningKey, ConfigError> {
        if crypto_backend().is_none() {
            return Err(ConfigError::new(
                ConfigErrorKind::Feature,
                "nothing can be signed in this build; turn on the feature aws-lc-rs or rust-crypto",
            ));
        }
        let kid = self.kid.as_deref();
        let key = match &self.source {
            Source::Pem(pem) => SigningKey::from_pem(pem.expose(), kid, self.algorithm),
            Source::Jwk(json) => SigningKey::from_jwk(json.expose(), kid, self.algorithm),
        };
        key.map_err(|why| {
            let message = format!(
                "our private key cannot be used: {why}; write an RSA, EC or Ed25519 key in PEM or as a JWK, and an algorithm of its kind"
            );
            ConfigError::new(ConfigErrorKind::Lookup, message)
        })
    }
}

impl From<Source> for ClientKey {
    fn from(source: Source) -> Self {
        Self { source, kid: None, algorithm: None }
    }
}

/// Says who we are, anew for each call (RFC 7523 §2.2).
pub(super) struct Assertion {
    pub(super) key: SigningKey,
    pub(super) client_id: String,
    pub(super) audience: String,
    pub(super) clock: Arc<dyn Clock>,
}

/// RFC 7523 §3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    /// One string: an array of one is another JSON type, and with several a server could use it at another.
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

impl Assertion {
    /// The value of `client_assertion_type`.
    pub(super) const TYPE: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    pub(super) fn sign(&self) -> Result<Secret<String>, LookupError> {
        let stopped = || LookupError::new(LookupErrorKind::Runtime);
        let iat = self.clock.now().duration_since(UNIX_EPOCH).map_err(|_| stopped())?.as_secs();
        let jti: [u8; 16] = random().ok_or_else(stopped)?;
        let claims = Claims {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: &self.audience,
            jti: format!("{:032x}", u128::from_be_bytes(jti)),
            iat,
            exp: iat.saturating_add(ASSERTION_LIFETIME.as_secs()),
        };
        let claims = serde_json::to_string(&claims).map_err(|_| stopped())?;
        self.key.sign(&claims).ok_or_else(stopped)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Pem(_) => "ClientKey(PEM)",
            Source::Jwk(_) => "ClientKey(JWK)",
        })
    }
}
