//! [`Token`]: a verified access token. Holding one is proof that it was verified.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::{Claims, Validity};
use crate::profile::Identity;
use crate::scope::Scopes;
use crate::secret::Secret;

/// An access token that was verified: its signature, its issuer, its audience and its times; or that was
/// [looked up](crate::TokenLookup), and whose issuer, audience and times were verified.
///
/// Only this crate can make one. Cloning is cheap (one reference count). It prints neither the token nor a claim.
///
/// Handlers find it in the request's extensions, or take it as an argument with the `axum` feature.
///
/// # Security
/// `sub` and `client_id` are two name spaces: a client may be called like a user (RFC 9700 §4.15). Compare like
/// with like, and together with the [`issuer`](Self::issuer).
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    server: Arc<ServerIdentity>,
    issuer: Arc<IssuerIdentity>,
    /// What was in the `Authorization` header, to see whether it still is.
    raw: Secret<String>,
    payload: Vec<u8>,
    subject: Option<Box<str>>,
    client_id: Option<Box<str>>,
    token_id: Option<Box<str>>,
    audience: Box<[Box<str>]>,
    scopes: Scopes,
    validity: Validity,
}

/// The claims do not have the shape that was asked for.
///
/// It says where the parser stopped, and nothing of what was there: claims are personal.
#[derive(Debug, Clone)]
pub struct ClaimsError {
    server: Arc<ServerIdentity>,
    issuer: Arc<IssuerIdentity>,
    missing: bool,
    line: usize,
    column: usize,
}

impl Token {
    /// The one place where a token is made, called when everything about it has been verified.
    pub(crate) fn verified(
        server: Arc<ServerIdentity>,
        issuer: Arc<IssuerIdentity>,
        raw: &str,
        payload: Vec<u8>,
        audience: Box<[Box<str>]>,
        identity: Proven,
        validity: Validity,
    ) -> Self {
        let Proven { subject, client_id, token_id, scopes } = identity;
        let raw = Secret::new(raw.to_owned());
        Self(Arc::new(Inner {
            server,
            issuer,
            raw,
            payload,
            subject,
            client_id,
            token_id,
            audience,
            scopes,
            validity,
        }))
    }

    /// The issuer: its `iss` or, for a system that writes none, the name it was given in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.issuer.iss.as_deref().unwrap_or(&self.0.issuer.name)
    }

    /// The issuer's name in the configuration; by default the same as [`issuer`](Self::issuer).
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.0.issuer.name
    }

    /// `sub`: for whom the token speaks (RFC 7519 §4.1.2). `None` if it is absent or empty.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// The client that got the token, from the claim that the issuer's [`Profile`](crate::Profile) names. `None`
    /// if it is absent or empty.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.client_id.as_deref()
    }

    /// `jti`: the token's own identifier (RFC 7519 §4.1.7). `None` if it is absent or empty.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id.as_deref()
    }

    /// Whether its scopes meet a rule that asks for this one: because it was granted, or one that
    /// [stands for it](crate::ResourceServerBuilder::implies).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.0.server.implications.are_met(&self.0.scopes, scope)
    }

    /// The granted scopes: those of the token, unless they are not [trusted](crate::Profile::untrusted_scopes), and those
    /// that the issuer's configuration [grants](crate::Issuer::grant) to the client.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    /// `aud`: every audience of the token, not only the one that is ours (RFC 7519 §4.1.3).
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.0.audience.iter().map(AsRef::as_ref)
    }

    /// `exp`: from this moment on the token is not valid (RFC 7519 §4.1.4). The layer allows a little more, the
    /// issuer's leeway. `None` only for a token that was [looked up](crate::TokenLookup) and has no end.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.validity.expires_at.map(Into::into)
    }

    /// `nbf`: before this moment the token was not valid (RFC 7519 §4.1.5).
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.validity.not_before.map(Into::into)
    }

    /// `iat`: when it was issued (RFC 7519 §4.1.6).
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.validity.issued_at.map(Into::into)
    }

    /// The claims, as a type of yours.
    ///
    /// ```
    /// # use tower_bearer::testing::Idp;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let idp = Idp::new("https://id.example.com");
    /// # let api = idp.resource_server("https://api.example.com");
    /// # let raw = idp.token("https://api.example.com").claim("tenant", "blue").sign();
    /// # let token = api.verify(&raw).await?;
    /// #[derive(serde::Deserialize)]
    /// struct Tenancy {
    ///     tenant: String,
    /// }
    ///
    /// let Tenancy { tenant } = token.claims()?;
    /// assert_eq!(tenant, "blue");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If a claim is missing that `T` needs or has another type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        serde_json::from_slice(&self.0.payload).map_err(|error| ClaimsError::new(&error, &self.0))
    }

    /// Whether a claim is this text, or an array that holds it.
    pub(crate) fn claim_holds(&self, path: &str, text: &str) -> bool {
        Claims::parse(&self.0.payload).is_ok_and(|claims| claims.hold(path, &[text]) == Ok(Some(true)))
    }

    pub(crate) fn was_verified_by(&self, server: &Arc<ServerIdentity>) -> bool {
        Arc::ptr_eq(&self.0.server, server)
    }

    pub(crate) fn server(&self) -> &Arc<ServerIdentity> {
        &self.0.server
    }

    pub(crate) fn trusted_issuer(&self) -> &Arc<IssuerIdentity> {
        &self.0.issuer
    }

    pub(crate) fn is(&self, raw: &[u8]) -> bool {
        self.raw().as_bytes() == raw
    }

    /// Whoever calls this answers for where it goes.
    pub(crate) fn raw(&self) -> &str {
        self.0.raw.expose()
    }

    pub(crate) fn validity(&self) -> &Validity {
        &self.0.validity
    }

    /// How many bytes this token alone takes, but for what the allocator adds.
    pub(crate) fn size(&self) -> usize {
        let Inner { raw, payload, subject, client_id, token_id, audience, scopes, .. } = &*self.0;
        let texts =
            [subject, client_id, token_id].into_iter().flatten().chain(audience).map(|text| text.len());
        [
            size_of::<Inner>(),
            size_of::<[usize; 2]>(),
            raw.expose().capacity(),
            payload.capacity(),
            size_of_val(&**audience),
            scopes.len(),
        ]
        .into_iter()
        .chain(texts)
        .fold(0, usize::saturating_add)
    }
}

/// An [`Identity`] that has stopped borrowing.
#[derive(Debug)]
pub(crate) struct Proven {
    subject: Option<Box<str>>,
    client_id: Option<Box<str>>,
    token_id: Option<Box<str>>,
    scopes: Scopes,
}

impl From<Identity<'_>> for Proven {
    fn from(identity: Identity<'_>) -> Self {
        Self {
            subject: identity.subject.map(Into::into),
            client_id: identity.client_id.map(Into::into),
            token_id: identity.token_id.map(Into::into),
            scopes: identity.scopes,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("issuer", &self.issuer_name()).finish_non_exhaustive()
    }
}

impl ClaimsError {
    fn new(error: &serde_json::Error, token: &Inner) -> Self {
        // serde has no kind for it; its text starts like this for every format.
        let missing = error.to_string().starts_with("missing field");
        let (server, issuer) = (token.server.clone(), token.issuer.clone());
        Self { server, issuer, missing, line: error.line(), column: error.column() }
    }

    pub(crate) fn server(&self) -> &ServerIdentity {
        &self.server
    }

    pub(crate) fn trusted_issuer(&self) -> &Arc<IssuerIdentity> {
        &self.issuer
    }

    /// Whether a claim is absent, rather than of another type.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.missing
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.missing { "a claim is missing" } else { "a claim has another type than expected" };
        write!(f, "{what} (line {}, column {})", self.line, self.column)
    }
}

impl std::error::Error for ClaimsError {}
