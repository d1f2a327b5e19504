//! Providers and products that many have in common.

use super::{NONE, Profile};

/// Providers. What to watch for is on their pages in [`manual::providers`](crate::manual::providers).
impl Profile {
    /// [Auth0](crate::manual::providers::auth0), with its own token profile: `typ` is `JWT`, the client is in `azp`, which
    /// must be there, the scopes are in `scope`. An API that is set to the RFC 9068 token profile at Auth0 goes with
    /// [`rfc9068`](Self::rfc9068).
    ///
    /// From Auth0's page "Access Token Profiles" (docs/secure/tokens/access-tokens/access-token-profiles), and "ID Token
    /// Structure", whose tokens have no `azp`.
    #[must_use]
    pub fn auth0() -> Self {
        Self::default().types(["JWT"]).client_claims(["azp"]).scope_claims(["scope"]).require(["azp"])
    }

    /// [Okta](crate::manual::providers::okta), a custom authorization server: the client is in `cid`, which must be there,
    /// the scopes are in `scp`. Only access tokens have `cid`.
    ///
    /// From Okta's article "Validation Failed on Access Token Issued by the Org Authorization Server", a former state of its
    /// reference (oktadeveloper/okta-blog-archive#299), and a pair of tokens that a user printed on the rabbitmq-users list
    /// in 2023. The present reference was not at hand.
    #[must_use]
    pub fn okta() -> Self {
        Self::default().client_claims(["cid"]).scope_claims(["scp"]).require(["cid"])
    }

    /// [Microsoft Entra ID](crate::manual::providers::entra), access tokens of version 1.0: `ver` says so, the client is in
    /// `appid`, which must be there. Scopes are what `scp` says for a user, else `roles`, which is what an application
    /// may do on its own.
    ///
    /// From "Access token claims reference" (MicrosoftDocs/entra-docs,
    /// docs/identity-platform/access-token-claims-reference.md).
    #[must_use]
    pub fn entra_v1() -> Self {
        Self::entra("1.0", "appid")
    }

    /// [Microsoft Entra ID](crate::manual::providers::entra), access tokens of version 2.0: as
    /// [`entra_v1`](Self::entra_v1), but `ver` is `2.0` and the client is in `azp`.
    #[must_use]
    pub fn entra_v2() -> Self {
        Self::entra("2.0", "azp")
    }

    /// A token for a user has `scp`, and `roles` only says what the user is; without `scp` the application acts on its own.
    fn entra(version: &str, client: &str) -> Self {
        Self::default()
            .types(["JWT"])
            .client_claims([client])
            .scope_claims(["scp", "roles"])
            .require([client])
            .claim("ver", [version])
    }

    /// [Amazon Cognito](crate::manual::providers::cognito), access tokens of a user pool: `token_use` is `access`, the
    /// client is in `client_id`, which must be there, the scopes are in `scope`. `aud` may be absent, because it mostly is.
    ///
    /// From "Understanding the access token" (Amazon Cognito Developer Guide,
    /// amazon-cognito-user-pools-using-the-access-token).
    ///
    /// # Security
    /// A user pool's tokens do not say which API they are for, so the clients that may call this one must be listed
    /// ([`Issuer::clients`](crate::Issuer::clients)).
    #[must_use]
    pub fn cognito() -> Self {
        Self::default()
            .client_claims(["client_id"])
            .scope_claims(["scope"])
            .require(["client_id"])
            .claim("token_use", ["access"])
            .optional_audience()
            .listed_clients()
    }

    /// [Google](crate::manual::providers::google), ID tokens as service accounts and Google's own services send them: `typ`
    /// is `JWT`, who asked for the token is in `azp`, which must be there. There are no scopes.
    ///
    /// From "OpenID Connect" (developers.google.com/identity/protocols/OpenIDConnect), AIP-4116 "Identity Tokens", a token in
    /// salrashid123/google_id_token README.md, which is second-hand, and googleapis/google-auth-library-python#746.
    ///
    /// # Security
    /// Anybody with a Google service account can have a token made for any audience, so the audience alone keeps nobody
    /// out: those that may call must be listed ([`Issuer::clients`](crate::Issuer::clients)).
    #[must_use]
    pub fn google() -> Self {
        Self::default()
            .types(["JWT"])
            .client_claims(["azp"])
            .scope_claims(NONE)
            .require(["azp"])
            .listed_clients()
    }

    /// [Keycloak](crate::manual::providers::keycloak): the claim `typ` is `Bearer`, which tells access tokens from ID
    /// tokens, signed with the same keys. The client is in `azp`, the scopes are in `scope`. The header's `typ` is `JWT`,
    /// or `at+jwt` for a client that is set so.
    ///
    /// Roles are elsewhere: `.scope_claims(["/realm_access/roles"])`.
    ///
    /// From keycloak/keycloak, core/src/main/java/org/keycloak/util/TokenUtil.java and
    /// services/src/main/java/org/keycloak/jose/jws/DefaultTokenManager.java.
    #[must_use]
    pub fn keycloak() -> Self {
        Self::default()
            .types(["JWT", "at+jwt"])
            .client_claims(["azp"])
            .scope_claims(["scope"])
            .claim("typ", ["Bearer"])
    }

    /// [ZITADEL](crate::manual::providers::zitadel), with access tokens of the type JWT: the client is in `client_id`, or in
    /// `azp` in older versions, and `jti` must be there, which only access tokens have. Roles count as scopes where a claim of
    /// them is named: `.scope_claims(["urn:zitadel:iam:org:project:<id>:roles"])`, with the id of our project.
    ///
    /// From ZITADEL's page "Claims" (docs/apis/openidoauth/claims), and zitadel/zitadel, internal/api/oidc/token.go and
    /// userinfo.go.
    ///
    /// # Security
    /// The claim without an id, `urn:zitadel:iam:org:project:roles`, has the roles in the project of the client. A client of
    /// another project can have ours put into `aud`, and then these are roles over there.
    #[must_use]
    pub fn zitadel() -> Self {
        Self::default()
            .client_claims(["client_id", "azp"])
            .scope_claims(NONE)
            .scope_members()
            .require(["jti"])
    }

    /// [IdentityServer](crate::manual::providers::identity_server) by Duende: `typ` is `at+jwt`, the client is in
    /// `client_id`, which must be there, the scopes are in `scope`, an array unless set otherwise. `sub` is absent in the
    /// client credentials grant, and so this is not [`rfc9068`](Self::rfc9068).
    ///
    /// From DuendeSoftware/products, identity-server/src/IdentityServer (Options/IdentityServerOptions.cs,
    /// Services/Default/DefaultClaimsService.cs, Extensions/TokenExtensions.cs).
    #[must_use]
    pub fn identity_server() -> Self {
        Self::default()
            .types(["at+jwt"])
            .client_claims(["client_id"])
            .scope_claims(["scope"])
            .require(["client_id"])
    }

    /// [Kubernetes](crate::manual::providers::kubernetes), tokens of service accounts: the account is the client, by its
    /// full name in `sub`, such as `system:serviceaccount:shop:worker`. There are no scopes. The claim `kubernetes.io`
    /// must name the account, as it does in tokens that are made for an audience and expire. The accounts that may call
    /// must be listed ([`Issuer::clients`](crate::Issuer::clients)): whoever can start a pod gets a token for any audience.
    ///
    /// From kubernetes/kubernetes, pkg/serviceaccount/claims.go and jwt.go, and "Managing Service Accounts"
    /// (kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin).
    #[must_use]
    pub fn kubernetes() -> Self {
        Self::default()
            .types(["", "JWT"])
            .client_claims(["sub"])
            .scope_claims(NONE)
            .require(["sub", "/kubernetes.io/serviceaccount/name"])
            .listed_clients()
    }
}
