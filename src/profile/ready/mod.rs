//! Ready-made profiles: what is known of how issuers write their tokens.
//!
//! Each names the document or the source that it was taken from. None is a contract with an issuer.

mod providers;
mod systems;

use std::fmt;
use std::str::FromStr;

use super::Profile;

/// What the standards say. Each profile is plain data: what is said here can be said by anybody, and changed.
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

    /// A JWT as RFC 7519 has it, and no more: `typ` is `JWT` (§5.1) or absent, and no claim counts but the registered ones
    /// (§4.1). Those know of a subject, and neither of a client nor of scopes, so a token has none: what other claims
    /// mean is between an issuer and its own, and here nobody has said. [`client_claims`](Self::client_claims) and
    /// [`scope_claims`](Self::scope_claims) say it.
    ///
    /// The [`default`](Self::default) takes `scope`, `client_id` and the like for what the OAuth documents mean by them, and
    /// refuses a token in which they cannot be that. Use this for an issuer that does not speak OAuth.
    #[must_use]
    pub fn jwt() -> Self {
        Self::default().types(["JWT", ""]).client_claims(NONE).scope_claims(NONE)
    }
}

/// No claim.
const NONE: [&str; 0] = [];

/// There is no ready-made profile of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownProfile;

type Ready = fn() -> Profile;

/// The ready-made profiles by the names that a settings file has for them.
const READY: &[(&str, Ready)] = &[
    ("default", Profile::default),
    ("rfc9068", Profile::rfc9068),
    ("jwt", Profile::jwt),
    ("auth0", Profile::auth0),
    ("okta", Profile::okta),
    ("entra_v1", Profile::entra_v1),
    ("entra_v2", Profile::entra_v2),
    ("cognito", Profile::cognito),
    ("google", Profile::google),
    ("keycloak", Profile::keycloak),
    ("zitadel", Profile::zitadel),
    ("identity_server", Profile::identity_server),
    ("kubernetes", Profile::kubernetes),
    ("league", Profile::league),
    ("oro", Profile::oro),
    ("clickview", Profile::clickview),
    ("tarkov_database", Profile::tarkov_database),
    ("aidbox", Profile::aidbox),
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
