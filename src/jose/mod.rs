//! The verification core: pure and synchronous. It never awaits, logs or sees an HTTP header, and reads no clock but
//! the one that it is handed, where that [matters](Rules::check_now).
//!
//! [`Compact::parse`] and [`Claims::parse`] take a token apart, [`Rules::check`] says everything about it that
//! needs no key, and [`Keys::verify`] checks the signature. [`SigningKey`] signs what we say of ourselves.

mod algorithm;
mod backend;
mod base64url;
#[cfg(feature = "x5c")]
mod certificate;
mod claims;
mod compact;
mod header;
mod json;
mod jwk;
mod keyset;
mod material;
mod private;
mod rules;
mod standing;
mod turns;
#[cfg(test)]
mod vectors;

use std::fmt;
use std::sync::Arc;

use crate::secret::Secret;

pub use algorithm::{Algorithm, HmacAlgorithm, UnknownAlgorithm};
pub use backend::crypto_backend;
pub use compact::{MAX_CHAIN_LENGTH, MAX_TOKEN_LENGTH};
pub use header::MAX_KID_LENGTH;
pub use json::MAX_JSON_DEPTH;
pub use keyset::{MAX_CANDIDATES, MAX_KEYS};

pub(crate) use algorithm::AlgorithmSet;
pub(crate) use backend::{HmacKey, random, sha256};
#[cfg(feature = "testing")]
pub(crate) use backend::{OtherPrivateKey, PrivateMaterial};
#[cfg(feature = "x5c")]
pub(crate) use certificate::RootKey;
pub(crate) use claims::{Claims, Validity};
pub(crate) use compact::{Compact, SignatureBuffer, begins_like_a_jwt};
pub(crate) use header::{HeaderAlgorithm, KnownHeaders};
pub(crate) use json::Value;
pub(crate) use jwk::Key;
pub(crate) use keyset::{KeySet, NotVerified};
pub(crate) use private::SigningKey;
pub(crate) use rules::{Accepted, Rules, normal_type};
pub(crate) use standing::Standing;
pub(crate) use turns::Turns;

/// Why a token is not acceptable.
///
/// The variants stand in the order in which the checks are made: a token with two faults is refused for the one
/// that comes first here. None of them holds anything from the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_LENGTH`](crate::manual::defaults).
    TooLong,
    /// Not three segments of canonical base64url with JSON objects in the first two, or a member twice.
    Structure,
    /// `alg` is `none` or unknown; or, once the issuer is known, not among those that it may use.
    Algorithm,
    /// `iss` is absent, not a string, or names nobody who is trusted.
    Issuer,
    /// `typ` says that this is another kind of token (RFC 8725 §3.11).
    Type,
    /// `crit` asks for an extension that is not understood; none is (RFC 7515 §4.1.11).
    Critical,
    /// `aud` does not hold the expected audience, or is absent and must not be.
    Audience,
    /// `exp` is absent, a time is not a number or out of all bounds, or `iat` lies in the future.
    Time,
    /// `exp` is past.
    Expired,
    /// `nbf` is still to come.
    NotYetValid,
    /// The issuer's keys come with its tokens (feature `x5c`), and the certificate chain in the header is absent, or does
    /// not lead to a trusted root now.
    Certificate,
    /// No key of the issuer fits.
    UnknownKey,
    /// The signature does not hold.
    Signature,
    /// Whoever [looked it up](crate::TokenLookup) says that it is not active: unknown, expired, revoked, or for somebody
    /// else.
    Inactive,
    /// A required claim is absent.
    MissingClaim,
    /// A claim that is read has a wrong JSON type.
    ClaimType,
    /// A claim has another value than the issuer's [`Profile`](crate::Profile::claim) asks for.
    ClaimValue,
    /// The token is bound to a key or certificate (`cnf`, RFC 7800) that was not proven.
    Confirmation,
    /// The client is not among [those](crate::Issuer::clients) whose tokens are accepted.
    Client,
    /// It was [denied](crate::ResourceServer::deny): taken back before its end.
    Revoked,
}

impl TokenError {
    /// A label for logs and metrics, such as `not_yet_valid`. Labels do not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Structure => "structure",
            Self::Algorithm => "algorithm",
            Self::Issuer => "issuer",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Audience => "audience",
            Self::Time => "time",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Certificate => "certificate",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Inactive => "inactive",
            Self::MissingClaim => "missing_claim",
            Self::ClaimType => "claim_type",
            Self::ClaimValue => "claim_value",
            Self::Confirmation => "confirmation",
            Self::Client => "client",
            Self::Revoked => "revoked",
        }
    }

    /// A fixed phrase within the characters of an `error_description` (RFC 6750 §3).
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::TooLong => "the access token is too long",
            Self::Structure => "the access token is not well formed",
            Self::Algorithm => "the algorithm of the access token is not accepted",
            Self::Issuer => "the issuer of the access token is not trusted",
            Self::Type => "the token is not of an accepted type",
            Self::Critical => "the access token needs an extension that is not supported",
            Self::Audience => "the access token is for another audience",
            Self::Time => "a time of the access token is not acceptable",
            Self::Expired => "the access token expired",
            Self::NotYetValid => "the access token is not valid yet",
            Self::Certificate => "the certificate of the access token is not accepted",
            Self::UnknownKey => "the key of the access token is not known",
            Self::Signature => "the signature of the access token is not valid",
            Self::Inactive => "the access token is not active",
            Self::MissingClaim => "the access token lacks a required claim",
            Self::ClaimType => "a claim of the access token has a wrong type",
            Self::ClaimValue => "a claim of the access token has a value that is not accepted",
            Self::Confirmation => "the access token is bound to a proof that was not given",
            Self::Client => "the client of the access token is not accepted",
            Self::Revoked => "the access token was revoked",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl std::error::Error for TokenError {}

/// The keys of an issuer, of the same kind as its [`Accepted`] algorithms.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    Public(Arc<KeySet>),
    Shared(Arc<SharedSecret>),
}

/// A shared secret, prepared for each algorithm that it may serve.
#[derive(Debug)]
pub(crate) struct SharedSecret {
    secret: Secret<Vec<u8>>,
    prepared: Vec<(HmacAlgorithm, HmacKey)>,
    /// Nobody can block or withdraw it.
    standing: Arc<Standing>,
}

impl Keys {
    /// How many are not blocked.
    pub(crate) fn usable(&self) -> usize {
        match self {
            Self::Public(set) => set.usable(),
            Self::Shared(_) => 1,
        }
    }

    /// The places of the keys that are not used, and why.
    pub(crate) fn left_out(&self) -> Vec<(usize, &'static str)> {
        match self {
            Self::Public(set) => set.left_out().iter().map(|key| (key.index, key.reason)).collect(),
            Self::Shared(_) => Vec::new(),
        }
    }

    /// Blocks the keys of this name; a shared secret has none.
    pub(crate) fn block(&self, name: &str) -> bool {
        match self {
            Self::Public(set) => !set.block(name).is_empty(),
            Self::Shared(_) => false,
        }
    }
}

impl Keys {
    /// The signature, with the keys of one issuer and nobody else's: the standing of the key that verified it. What needs no
    /// look at it needs no turn.
    pub(crate) fn verify(&self, token: &Compact<'_>, turns: &Turns) -> Result<&Arc<Standing>, NotVerified> {
        match self {
            Self::Public(set) => set.verify(token, turns),
            Self::Shared(secret) => secret.verify(token, turns),
        }
    }
}

impl SharedSecret {
    pub(crate) fn prepare(secret: &Secret<Vec<u8>>, algorithms: &[HmacAlgorithm]) -> Option<Self> {
        let prepare = |a: &HmacAlgorithm| Some((*a, HmacKey::prepare(secret.expose(), *a)?));
        let prepared = algorithms.iter().map(prepare).collect::<Option<_>>()?;
        Some(Self { secret: secret.clone(), prepared, standing: Arc::default() })
    }

    /// Compares two settings, not a secret with what a client sent.
    pub(crate) fn is_the_same_as(&self, other: &Self) -> bool {
        self.secret.expose() == other.secret.expose()
    }

    fn verify(&self, token: &Compact<'_>, turns: &Turns) -> Result<&Arc<Standing>, NotVerified> {
        let HeaderAlgorithm::Hmac(algorithm) = token.header.alg else {
            return Err(TokenError::Algorithm.into());
        };
        let _turn = turns.take().ok_or(NotVerified::Busy)?;
        let key = self.prepared.iter().find_map(|(a, key)| (*a == algorithm).then_some(key));
        if key.is_some_and(|key| key.verify(token.signing_input, token.signature)) {
            Ok(&self.standing)
        } else {
            Err(TokenError::Signature.into())
        }
    }
}
