//! Single systems, and the library that one of them is built on.

use super::Profile;

/// Systems. What to watch for is on their pages in [`manual::providers`](crate::manual::providers).
impl Profile {
    /// [league/oauth2-server](crate::manual::providers::league), and what is built on it: `typ` is `JWT`, the client is in
    /// `aud`, the scopes are in `scopes`. It writes neither `iss` nor `kid`, so it goes with
    /// [`Issuer::unnamed`](crate::Issuer::unnamed) and [`Issuer::clients`](crate::Issuer::clients).
    ///
    /// From thephpleague/oauth2-server 8.5.3, src/Entities/Traits/AccessTokenTrait.php.
    #[must_use]
    pub fn league() -> Self {
        Self::default().types(["JWT"]).client_claims(["aud"]).scope_claims(["scopes"])
    }

    /// [OroCommerce and OroPlatform](crate::manual::providers::oro): as [`league`](Self::league), but the scopes are
    /// whatever the client asked for, and count for nothing. What a client may do is for
    /// [`Issuer::grant`](crate::Issuer::grant).
    ///
    /// From oroinc/oauth2-server, League/Repository/ScopeRepository.php.
    #[must_use]
    pub fn oro() -> Self {
        Self::league().untrusted_scopes()
    }

    /// [ClickView smart embeds](crate::manual::providers::clickview): as [`identity_server`](Self::identity_server). If its
    /// tokens have no `aud`, [`optional_audience`](Self::optional_audience) accepts them.
    ///
    /// That it is an IdentityServer is inferred: from the path of its token endpoint (clickviewapp/Docs,
    /// smart-embed/v1.0/authentication.md) and from its own libraries for .NET (clickviewapp/Extensions).
    #[must_use]
    pub fn clickview() -> Self {
        Self::identity_server()
    }

    /// [Tarkov Database](crate::manual::providers::tarkov_database): `typ` is `access`, the client's record is in `sub`,
    /// which must be there, the scopes are in `scope`, an array. It writes neither `iss` nor `kid`, so it goes with
    /// [`Issuer::unnamed`](crate::Issuer::unnamed).
    ///
    /// From tarkov-database/identity, src/auth/token/sign.rs and src/services/token/mod.rs.
    #[must_use]
    pub fn tarkov_database() -> Self {
        Self::default().types(["access"]).client_claims(["sub"]).scope_claims(["scope"]).require(["sub"])
    }

    /// [Aidbox](crate::manual::providers::aidbox), client credentials with `token_format: jwt`: `typ` is `JWT`, the client
    /// is in `sub`, which must be there. There mostly are no scopes.
    ///
    /// From tokens printed in Aidbox's documents (Aidbox/documentation, access-control/authorization/smart-on-fhir). Its
    /// source is closed.
    ///
    /// # Security
    /// Where users log in, `sub` is the user and not the client. A client chooses the audience itself, so those that may
    /// call must be listed ([`Issuer::clients`](crate::Issuer::clients)).
    #[must_use]
    pub fn aidbox() -> Self {
        Self::default()
            .types(["JWT"])
            .client_claims(["sub"])
            .scope_claims(["scope"])
            .require(["sub"])
            .listed_clients()
    }
}
