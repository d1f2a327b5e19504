//! [`HostileTokens`]: what an attacker would send, for a test of one's own settings.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of tokens that were made here; a fault should stop the test"
)]

mod claims;
mod form;
mod forge;
mod keys;

use std::borrow::Cow;
use std::fmt;

use self::forge::Forge;
use super::TokenBuilder;
use crate::event::RejectionKind;
use crate::jose::HmacAlgorithm;
use crate::refusal::Rejection;
use crate::server::ResourceServer;

/// Nearly two hundred tokens that no resource server should accept, made from one that it does.
///
/// Each differs from the good token in one point, and if that point is a claim or a member of the header, it is signed
/// by the issuer's own key: only the check in question can refuse it. What does not apply to the good token is left
/// out, such as the DER form of a signature that is not ECDSA.
///
/// ```
/// use tower_bearer::testing::{HostileTokens, Idp, ManualClock};
/// use tower_bearer::{Issuer, ResourceServer};
///
/// // The service's own configuration; the test passes an issuer's keys and a clock.
/// fn api(issuer: Issuer) -> tower_bearer::ResourceServerBuilder {
///     ResourceServer::builder("https://api.example.com").issuer(issuer.types(["at+jwt"]))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = ManualClock::new();
/// let idp = Idp::new("https://id.example.com").clock(clock.clone());
/// let api = api(idp.issuer()).clock(clock).build().unwrap();
///
/// let good = idp.token("https://api.example.com");
/// let refused = HostileTokens::of(&good).check(&api).await.unwrap();
/// assert!(refused > 100);
/// # }
/// ```
///
/// # What settings allow on purpose
///
/// A token is reported whenever it is accepted. Where that is meant, name it to [`except`](Self::except):
///
/// | setting | names |
/// |---|---|
/// | `dangerous_any_audience` | `id-token`, `refresh-token`, and most of `aud-…` |
/// | more `types` | those of `typ-…` |
/// | more `leeway` | `exp-just-past`, `nbf-soon`, `iat-soon` |
/// | a key without `kid`, such as a PEM file or a secret | those of `kid-…` that are strings |
/// | a `Profile` that reads other claims | `scope-object`, `client-id-number` |
///
/// # How long it takes
///
/// Most tokens are signed, which an RSA key does without optimisation in about ten seconds and any other in one or
/// two. `[profile.dev.package.num-bigint-dig]` with `opt-level = 2` shortens it.
#[derive(Clone)]
#[must_use]
pub struct HostileTokens {
    good: String,
    tokens: Vec<HostileToken>,
}

/// One of [`HostileTokens`].
#[derive(Clone)]
pub struct HostileToken {
    name: Cow<'static, str>,
    why: &'static str,
    token: String,
}

/// Not every hostile token was refused, or the good one was. `Debug` prints the same report as `Display`.
#[derive(Clone)]
pub struct NotRefused {
    good: Option<Rejection>,
    accepted: Vec<HostileToken>,
    undecided: Vec<(HostileToken, Rejection)>,
    checked: usize,
}

impl HostileTokens {
    /// Made from a token that the service accepts, as the [`Idp`](super::Idp) signs it.
    pub fn of(good: &TokenBuilder) -> Self {
        let mut forge = Forge::of(good);
        keys::forge(&mut forge);
        form::forge(&mut forge);
        claims::forge(&mut forge);
        Self { good: good.sign(), tokens: forge.into_tokens() }
    }

    /// The same for an issuer that shares this secret with the service.
    pub fn of_hmac(good: &TokenBuilder, algorithm: HmacAlgorithm, secret: &[u8]) -> Self {
        Self::of(&good.clone().with_secret(algorithm, secret))
    }

    /// Leaves out what the service's settings allow on purpose.
    ///
    /// # Panics
    /// At a name that none of these tokens has.
    #[track_caller]
    pub fn except<I: IntoIterator<Item: AsRef<str>>>(mut self, names: I) -> Self {
        for name in names {
            let name = name.as_ref();
            let place = self.tokens.iter().position(|token| token.name == name);
            assert!(
                place.is_some(),
                "no hostile token of this kind is called {name:?}, or it is left out already"
            );
            self.tokens.retain(|token| token.name != name);
        }
        self
    }

    /// Each of them: for requests to a whole service. A few cannot be credentials at all and are a malformed request
    /// there (400), the others are not acceptable (401).
    pub fn iter(&self) -> std::slice::Iter<'_, HostileToken> {
        self.tokens.iter()
    }

    /// Verifies each of them, and says how many were refused. The good token must be accepted before and after:
    /// a server that refuses everything proves nothing.
    ///
    /// # Errors
    /// If one was accepted, or not refused for what it is but because keys cannot be had; or if the good token is
    /// refused.
    pub async fn check(&self, api: &ResourceServer) -> Result<usize, NotRefused> {
        let mut report = NotRefused {
            good: None,
            accepted: Vec::new(),
            undecided: Vec::new(),
            checked: self.tokens.len(),
        };
        report.good = api.verify(&self.good).await.err();
        if report.good.is_some() {
            return Err(report);
        }
        for hostile in &self.tokens {
            match api.verify(&hostile.token).await {
                Ok(_) => report.accepted.push(hostile.clone()),
                Err(why) if why.kind() == RejectionKind::InvalidToken => {}
                Err(why) => report.undecided.push((hostile.clone(), why)),
            }
        }
        report.good = api.verify(&self.good).await.err();
        let NotRefused { good: None, accepted, undecided, checked } = &report else { return Err(report) };
        if accepted.is_empty() && undecided.is_empty() { Ok(*checked) } else { Err(report) }
    }
}

impl HostileToken {
    /// A name that stays, such as `aud-other`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with it, and where that is written.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.why
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl NotRefused {
    /// Why the good token is refused, if it is.
    #[must_use]
    pub fn good(&self) -> Option<&Rejection> {
        self.good.as_ref()
    }

    /// The hostile tokens that were accepted.
    pub fn accepted(&self) -> impl Iterator<Item = &HostileToken> {
        self.accepted.iter()
    }

    /// Those that were refused for another reason than what they are, such as keys that cannot be had.
    pub fn undecided(&self) -> impl Iterator<Item = (&HostileToken, &Rejection)> {
        self.undecided.iter().map(|(token, why)| (token, why))
    }
}

impl<'a> IntoIterator for &'a HostileTokens {
    type Item = &'a HostileToken;
    type IntoIter = std::slice::Iter<'a, HostileToken>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for NotRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.good {
            write!(f, "the good token is refused, so that of the hostile ones proves nothing: {why}")?;
        } else {
            let not = self.accepted.len() + self.undecided.len();
            write!(f, "{not} of {} hostile tokens were not refused as such", self.checked)?;
        }
        for token in &self.accepted {
            write!(f, "\n  accepted: {}: {}", token.name, token.why)?;
        }
        for (token, why) in &self.undecided {
            write!(f, "\n  undecided: {}: {why}", token.name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for NotRefused {
    /// What `unwrap` shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotRefused {}

impl fmt::Debug for HostileToken {
    /// Its name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for HostileTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.tokens).finish()
    }
}
