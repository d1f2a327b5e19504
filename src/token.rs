//! [`Token`]: a verified access token. Holding one is proof that it was verified.

mod basis;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;

pub(crate) use self::basis::{Bases, Basis};
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::{Claims, Standing, Validity};
use crate::profile::Identity;
use crate::scope::{ScopeRef, Scopes};
use crate::secret::wipe;

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
    basis: Arc<Basis>,
    /// What was in the `Authorization` header, to see whether it still is.
    raw: Box<[u8]>,
    /// The claims as they came, as JSON; behind them what they say in other letters than it is read.
    text: Box<str>,
    claims: u32,
    proven: Proven,
    validity: Validity,
}

/// What a token says of who holds it, by the places where it says so.
#[derive(Clone)]
pub(crate) struct Proven {
    subject: Option<Place>,
    client_id: Option<Place>,
    token_id: Option<Place>,
    scopes: Option<Place>,
    audience: Audience,
}

#[derive(Clone)]
enum Audience {
    One(Place),
    Many(Box<[Place]>),
}

/// A part of a text.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    /// One past its last byte. Before it is at least the brace that opens the claims.
    end: NonZeroU32,
}

/// A text that grows by what has no place in it.
struct Places<'a> {
    claims: &'a str,
    more: String,
}

/// The claims do not have the shape that was asked for.
///
/// It says where the parser stopped, and nothing of what was there: claims are personal.
#[derive(Debug, Clone)]
pub struct ClaimsError {
    issuer: Arc<IssuerIdentity>,
    missing: bool,
    line: usize,
    column: usize,
}

impl Token {
    /// The one place where a token is made, called when everything about it has been verified.
    ///
    /// `claims` are what `proven` was made of, and `more` is what was made with it.
    pub(crate) fn verified(
        basis: Arc<Basis>,
        raw: &[u8],
        claims: String,
        (proven, more): (Proven, String),
        validity: Validity,
    ) -> Self {
        // No token is longer.
        let length = u32::try_from(claims.len()).unwrap_or_default();
        let text = if more.is_empty() {
            claims
        } else {
            // Not in place, where they would stay behind in memory that was outgrown.
            let text = [&*claims, &*more].concat();
            wipe(&mut claims.into_bytes());
            wipe(&mut more.into_bytes());
            text
        };
        let (raw, text) = (raw.into(), text.into());
        Self(Arc::new(Inner { basis, raw, text, claims: length, proven, validity }))
    }

    /// The same token in memory of its own, so that those who use the one do not wait for those who use the other.
    pub(crate) fn copy(&self) -> Self {
        let Inner { basis, raw, text, claims, proven, validity } = &*self.0;
        Self(Arc::new(Inner {
            basis: basis.clone(),
            raw: raw.clone(),
            text: text.clone(),
            claims: *claims,
            proven: proven.clone(),
            validity: *validity,
        }))
    }

    /// The issuer: its `iss` or, for a system that writes none, the name it was given in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.basis.issuer.iss.as_deref().unwrap_or(&self.0.basis.issuer.name)
    }

    /// The issuer's name in the configuration; by default the same as [`issuer`](Self::issuer).
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.0.basis.issuer.name
    }

    /// `sub`: for whom the token speaks (RFC 7519 §4.1.2). `None` if it is absent or empty.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.read(self.0.proven.subject)
    }

    /// The client that got the token, from the claim that the issuer's [`Profile`](crate::Profile) names. `None`
    /// if it is absent or empty.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.0.read(self.0.proven.client_id)
    }

    /// `jti`: the token's own identifier (RFC 7519 §4.1.7). `None` if it is absent or empty.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.0.read(self.0.proven.token_id)
    }

    /// Whether its scopes meet a rule that asks for this one: because it was granted, or one that
    /// [stands for it](crate::ResourceServerBuilder::implies).
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        ScopeRef::of(scope).is_some_and(|scope| self.meets(scope))
    }

    pub(crate) fn meets(&self, scope: ScopeRef<'_>) -> bool {
        self.server().implications.are_met(self.scopes(), scope)
    }

    /// The granted scopes: those of the token, unless they are not [trusted](crate::Profile::untrusted_scopes), and those
    /// that the issuer's configuration [grants](crate::Issuer::grant) to the client.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        Scopes::granted(self.0.read(self.0.proven.scopes).unwrap_or_default())
    }

    /// `aud`: every audience of the token, not only the one that is ours (RFC 7519 §4.1.3).
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        let places = match &self.0.proven.audience {
            Audience::One(place) => std::slice::from_ref(place),
            Audience::Many(places) => places,
        };
        places.iter().filter_map(|place| self.0.read(Some(*place)))
    }

    /// `exp`: from this moment on the token is not valid (RFC 7519 §4.1.4). The layer allows a little more, the
    /// issuer's leeway. Of a JWT that was [looked up](crate::TokenLookup) it is the earlier of its own end and the one that
    /// was said. `None` only for a token that was looked up and has no end.
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
        serde_json::from_str(self.0.claims()).map_err(|error| ClaimsError::new(&error, &self.0))
    }

    /// As they came.
    pub(crate) fn claims_json(&self) -> &str {
        self.0.claims()
    }

    /// Whether a claim is this text, or an array that holds it.
    pub(crate) fn claim_holds(&self, path: &str, text: &str) -> bool {
        Claims::parse(self.0.claims()).is_ok_and(|claims| claims.hold(path, &[text]) == Ok(Some(true)))
    }

    pub(crate) fn was_verified_by(&self, server: &Arc<ServerIdentity>) -> bool {
        Arc::ptr_eq(self.server(), server)
    }

    pub(crate) fn server(&self) -> &Arc<ServerIdentity> {
        &self.0.basis.issuer.server
    }

    pub(crate) fn trusted_issuer(&self) -> &Arc<IssuerIdentity> {
        &self.0.basis.issuer
    }

    pub(crate) fn is(&self, raw: &[u8]) -> bool {
        self.raw() == raw
    }

    /// Whether it is one and the same in memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whoever calls this answers for where it goes.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.0.raw
    }

    pub(crate) fn standing(&self) -> &Arc<Standing> {
        &self.0.basis.standing
    }

    pub(crate) fn validity(&self) -> &Validity {
        &self.0.validity
    }

    /// How many bytes this token alone takes, but for what the allocator adds.
    pub(crate) fn size(&self) -> usize {
        let Inner { raw, text, proven, .. } = &*self.0;
        let audience = match &proven.audience {
            Audience::One(_) => 0,
            Audience::Many(places) => size_of_val(&**places),
        };
        [size_of::<Inner>(), size_of::<[usize; 2]>(), raw.len(), text.len(), audience]
            .into_iter()
            .fold(0, usize::saturating_add)
    }
}

impl Inner {
    /// As JSON.
    fn claims(&self) -> &str {
        usize::try_from(self.claims).ok().and_then(|length| self.text.get(..length)).unwrap_or_default()
    }

    fn read(&self, place: Option<Place>) -> Option<&str> {
        place?.of(&self.text)
    }
}

/// What was sent gives access to whoever has it, and claims are personal.
impl Drop for Inner {
    fn drop(&mut self) {
        wipe(&mut self.raw);
        wipe(&mut std::mem::take(&mut self.text).into_boxed_bytes());
    }
}

impl Proven {
    /// With what has no place in the claims, because it is written there with escapes, or not at all.
    pub(crate) fn find<'a>(
        identity: &Identity<'_>,
        mut audience: impl Iterator<Item = &'a str>,
        claims: &str,
    ) -> (Self, String) {
        let mut places = Places { claims, more: String::new() };
        let proven = Self {
            subject: identity.subject.and_then(|text| places.of(text)),
            client_id: identity.client_id.and_then(|text| places.of(text)),
            token_id: identity.token_id.and_then(|text| places.of(text)),
            scopes: places.of(identity.scopes.as_str()),
            audience: match (audience.next().and_then(|aud| places.of(aud)), audience.next()) {
                (Some(only), None) => Audience::One(only),
                (first, second) => {
                    let others = second.into_iter().chain(audience).filter_map(|aud| places.of(aud));
                    Audience::Many(first.into_iter().chain(others).collect())
                }
            },
        };
        (proven, places.more)
    }
}

impl Places<'_> {
    /// Where it is. `None` only for what is longer than any token.
    fn of(&mut self, text: &str) -> Option<Place> {
        // What was read from the claims is a part of them as a rule. Nothing else lies at the same place at the same time.
        let start = text.as_ptr().addr().wrapping_sub(self.claims.as_ptr().addr());
        if let Some(place) = Place::new(start, text.len())
            && place.of(self.claims).is_some()
        {
            return Some(place);
        }
        let place = Place::new(self.claims.len().checked_add(self.more.len())?, text.len())?;
        self.more.push_str(text);
        Some(place)
    }
}

impl Place {
    fn new(start: usize, length: usize) -> Option<Self> {
        let end = u32::try_from(start.checked_add(length)?).ok()?;
        Some(Self { start: u32::try_from(start).ok()?, end: NonZeroU32::new(end)? })
    }

    fn of(self, text: &str) -> Option<&str> {
        text.get(usize::try_from(self.start).ok()?..usize::try_from(self.end.get()).ok()?)
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
        Self { issuer: token.basis.issuer.clone(), missing, line: error.line(), column: error.column() }
    }

    pub(crate) fn server(&self) -> &ServerIdentity {
        &self.issuer.server
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
