//! Ready-made profiles: what is known of how issuers write their tokens.

use std::fmt;
use std::str::FromStr;

use super::Profile;

/// Dialects of systems and providers. Each is plain data: what is said here can be said by anybody, and changed.
impl Profile {
    /// JWT access tokens as RFC 9068 has them: `typ` is `at+jwt` (§4), and `iss`, `exp`, `aud`, `sub`, `client_id`,
    /// `iat` and `jti` are present (§2.2).
    #[must_use]
    pub fn rfc9068() -> Self {
        Self::default().types(["at+jwt"]).client_claims(["client_id"]).scope_claims(["scope"]).require([
            "iss",
            "exp",
            "aud",
            "sub",
            "client_id",
            "iat",
            "jti",
        ])
    }

    /// league/oauth2-server, and what is built on it: `typ` is `JWT`, the client is in `aud`, the scopes are in `scopes`.
    /// It writes neither `iss` nor `kid`, so it goes with [`Issuer::unnamed`](crate::Issuer::unnamed) and
    /// [`Issuer::clients`](crate::Issuer::clients).
    #[must_use]
    pub fn league() -> Self {
        Self::default().types(["JWT"]).client_claims(["aud"]).scope_claims(["scopes"])
    }

    /// OroCommerce and OroPlatform: as [`league`](Self::league), but the scopes are whatever the client asked for, and
    /// count for nothing. What a client may do is for [`Issuer::grant`](crate::Issuer::grant).
    #[must_use]
    pub fn oro() -> Self {
        Self::league().untrusted_scopes()
    }
}

/// There is no ready-made profile of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownProfile;

type Ready = (&'static str, fn() -> Profile);

/// The ready-made profiles by the names that a settings file has for them.
const READY: &[Ready] = &[
    ("default", Profile::default),
    ("rfc9068", Profile::rfc9068),
    ("league", Profile::league),
    ("oro", Profile::oro),
];

impl FromStr for Profile {
    type Err = UnknownProfile;

    /// A ready-made profile by its name, which is that of its function, such as `rfc9068`; or `default`.
    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        READY.iter().find_map(|(known, ready)| (*known == name).then(ready)).ok_or(UnknownProfile)
    }
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no profile has this name; write one of ")?;
        for (place, (name, _)) in READY.iter().enumerate() {
            write!(f, "{}{name}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownProfile {}
