//! What your provider writes into tokens, and which settings make it work.
//!
//! # Ready-made
//!
//! Each page has settings in code and in a file, a token, and what to watch for. A profile goes into [`Issuer::profile`], or by
//! its name into a settings file: `profile = "keycloak"`. All of it is taken from documents and sources, which each profile
//! names, and not from a contract. Look at your own tokens.
//!
//! | profile | what it reads |
//! |---|---|
//! | [`Profile::default`] | what most issuers write: `client_id`, `azp` or `cid`; `scope` or `scp`; `at+jwt`, `JWT` or no type |
//! | [`Profile::rfc9068`] | what RFC 9068 demands, and nothing else |
//! | [`Profile::jwt`] | a JWT of RFC 7519; no client and no scopes |
//! | [`Profile::auth0`] | [Auth0](auth0): the client in `azp` |
//! | [`Profile::okta`] | [Okta](okta): the client in `cid`, scopes in `scp`; custom authorization servers |
//! | [`Profile::entra_v2`], [`entra_v1`] | [Microsoft Entra ID](entra): `ver`, the client in `azp` or `appid`, scopes in `scp`, else `roles` |
//! | [`Profile::cognito`] | [Amazon Cognito](cognito): `token_use` is `access`; mostly no `aud` |
//! | [`Profile::google`] | [Google](google): ID tokens of service accounts; no scopes |
//! | [`Profile::keycloak`] | [Keycloak](keycloak): the claim `typ` is `Bearer`, the client in `azp` |
//! | [`Profile::zitadel`] | [ZITADEL](zitadel): the roles of a claim that you name for scopes |
//! | [`Profile::identity_server`] | [Duende IdentityServer](identity_server): `at+jwt`, scopes in an array, maybe no `sub` |
//! | [`Profile::kubernetes`] | [Kubernetes](kubernetes): service accounts; no scopes |
//! | [`Profile::league`] | [league/oauth2-server](league): no `iss`, the client in `aud`, `scopes` |
//! | [`Profile::oro`] | [OroCommerce](oro): the same, and the scopes mean nothing |
//! | [`Profile::clickview`] | [ClickView](clickview) smart embeds: an IdentityServer, by inference |
//! | [`Profile::tarkov_database`] | [Tarkov Database](tarkov_database): `typ` is `access`, no `iss`, the client in `sub` |
//! | [`Profile::aidbox`] | [Aidbox](aidbox): the client in `sub` |
//! | none | [wicked.haufe.io](wicked): its tokens are opaque, and looked up |
//!
//! Where one API takes tokens of several of them, see [several issuers](several).
//!
//! Every profile can be changed: `Profile::keycloak().scope_claims(["/realm_access/roles"])`. For a provider that is not here,
//! the rest of this page finds out.
//!
//! # Look at a token
//!
//! Get one as your clients do, put it into `TOKEN`, and read its first two parts. Do it on your own machine: a token that is
//! pasted into a web page is a token given away.
//!
//! ```sh
//! part() {
//!   p=$(printf '%s' "$TOKEN" | cut -d. -f"$1" | tr '_-' '/+')
//!   while [ $((${#p} % 4)) -ne 0 ]; do p="$p="; done
//!   printf '%s' "$p" | base64 -d; echo
//! }
//! part 1    # the header: alg, typ, kid
//! part 2    # the claims
//! ```
//!
//! With five parts it is encrypted (JWE), with any other number than three it is opaque: see below. Then look at what the
//! issuer publishes:
//!
//! ```sh
//! curl -s "$ISS/.well-known/openid-configuration"          # issuer, jwks_uri
//! curl -s "$ISS/.well-known/oauth-authorization-server"    # the same, if the first is 404
//! ```
//!
//! # Questions to ask
//!
//! | question | default | if it differs |
//! |---|---|---|
//! | `iss`: which, exactly? | byte for byte that of [`Issuer::new`], a slash at the end included | write what the token says; [`Issuer::also`] for another spelling; [`Issuer::unnamed`] if there is none |
//! | `aud`: what stands for us? | our identifier | [`Issuer::audience`]; [`Profile::optional_audience`] with [`Issuer::clients`] if there is none; [`Issuer::clients`] if it is the client |
//! | `typ`: which? | `at+jwt`, `JWT` or none | [`Issuer::types`] |
//! | `alg`: which? | all asymmetric ones | nothing to do; [`Issuer::algorithms`] narrows it; [`Keys::hmac`] for HS256 |
//! | where are the keys? | in the document of discovery, whose `issuer` is identical to `iss` | [`Keys::jwks_url`], [`Keys::jwks`], [`Keys::pem`]; `Keys::x5c` if tokens bring certificates |
//! | where is the client? | `client_id`, else `azp`, else `cid` | [`Profile::client_claims`] |
//! | where are the scopes? | `scope`, else `scp`; a string or an array | [`Profile::scope_claims`]; a path such as `/realm_access/roles` |
//! | does it grant any scope that is asked for? | no | [`Profile::untrusted_scopes`], and [`Issuer::grant`] |
//! | are ID tokens signed with the same key? | they differ in `aud` | narrow [`Issuer::types`], or ask for a claim that only access tokens have: [`Profile::require`], [`Profile::claim`] |
//! | does it keep to RFC 9068? | it need not | [`Profile::rfc9068`] then holds it to that |
//!
//! One's own profile, for a provider whose tokens say `"use": "access"`, the client in `app`, and roles in `access`, such as:
//!
//! ```json
//! { "alg": "ES256", "kid": "2024-05", "typ": "JWT" }
//! ```
//! ```json
//! {
//!   "iss": "https://id.example.com",
//!   "aud": "https://orders.example.com",
//!   "exp": 1800003600,
//!   "use": "access",
//!   "app": "robot",
//!   "access": { "roles": ["reader"] }
//! }
//! ```
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use tower_bearer::{Issuer, Profile};
//!
//! let profile = Profile::default()
//!     .types(["JWT"])
//!     .client_claims(["app"])
//!     .scope_claims(["/access/roles"])
//!     .claim("use", ["access"]);
//! let issuer = Issuer::new("https://id.example.com").profile(profile);
//! # use tower_bearer::{Keys, ResourceServer, TokenError, testing::Idp};
//! # let idp = Idp::new("https://id.example.com");
//! # let issuer = issuer.keys(Keys::jwks(idp.jwks()));
//! # let api = ResourceServer::builder("https://orders.example.com").issuer(issuer).build().unwrap();
//! # let token = idp.token("https://orders.example.com").header("typ", "JWT").claim("app", "robot");
//! # let roles: serde_json::Value = serde_json::from_str(r#"{"roles": ["reader"]}"#).unwrap();
//! # let token = token.claim("use", "access").claim("access", roles);
//! # let robot = api.verify(&token.sign()).await.unwrap();
//! # assert!(robot.client_id() == Some("robot") && robot.has_scope("reader"));
//! # let refused = api.verify(&token.claim("use", "id").sign()).await.unwrap_err();
//! # assert_eq!(refused.token_error(), Some(TokenError::ClaimValue));
//! # }
//! ```
//!
//! The same in a settings file:
//!
//! ```toml
//! resource = "https://orders.example.com"
//!
//! [[issuer]]
//! iss          = "https://id.example.com"
//! types        = ["JWT"]
//! client_claim = ["app"]
//! scope_claim  = ["/access/roles"]
//! claims       = { use = "access" }
//! ```
//!
//! # Not supported yet
//!
//! - **Encrypted tokens** (JWE).
//!
//! **Opaque tokens** (a UUID, a short random string), and encrypted ones, must be looked up at the issuer:
//! [`Issuer::introspection`](crate::Issuer::introspection) (RFC 7662), [`Issuer::lookup`](crate::Issuer::lookup). Without that they
//! are refused as "not well formed". Most issuers know who asks by a name and a secret; at one that takes keys of clients,
//! [`private_key_jwt`](crate::Introspection::private_key_jwt) needs no secret.
//!
//! [`Issuer::new`]: crate::Issuer::new
//! [`Issuer::also`]: crate::Issuer::also
//! [`Issuer::unnamed`]: crate::Issuer::unnamed
//! [`Issuer::audience`]: crate::Issuer::audience
//! [`Issuer::clients`]: crate::Issuer::clients
//! [`Issuer::grant`]: crate::Issuer::grant
//! [`Issuer::profile`]: crate::Issuer::profile
//! [`Issuer::types`]: crate::Issuer::types
//! [`Issuer::algorithms`]: crate::Issuer::algorithms
//! [`Keys::hmac`]: crate::Keys::hmac
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
//! [`Keys::jwks`]: crate::Keys::jwks
//! [`Keys::pem`]: crate::Keys::pem
//! [`Profile::default`]: crate::Profile::default
//! [`Profile::client_claims`]: crate::Profile::client_claims
//! [`Profile::scope_claims`]: crate::Profile::scope_claims
//! [`Profile::untrusted_scopes`]: crate::Profile::untrusted_scopes
//! [`Profile::optional_audience`]: crate::Profile::optional_audience
//! [`Profile::require`]: crate::Profile::require
//! [`Profile::claim`]: crate::Profile::claim
//! [`Profile::rfc9068`]: crate::Profile::rfc9068
//! [`Profile::jwt`]: crate::Profile::jwt
//! [`Profile::auth0`]: crate::Profile::auth0
//! [`Profile::okta`]: crate::Profile::okta
//! [`Profile::entra_v2`]: crate::Profile::entra_v2
//! [`Profile::cognito`]: crate::Profile::cognito
//! [`Profile::google`]: crate::Profile::google
//! [`Profile::keycloak`]: crate::Profile::keycloak
//! [`Profile::zitadel`]: crate::Profile::zitadel
//! [`Profile::identity_server`]: crate::Profile::identity_server
//! [`Profile::kubernetes`]: crate::Profile::kubernetes
//! [`Profile::league`]: crate::Profile::league
//! [`Profile::oro`]: crate::Profile::oro
//! [`Profile::clickview`]: crate::Profile::clickview
//! [`Profile::tarkov_database`]: crate::Profile::tarkov_database
//! [`Profile::aidbox`]: crate::Profile::aidbox
//! [`entra_v1`]: crate::Profile::entra_v1

pub mod auth0;
pub mod okta;
pub mod entra;
pub mod cognito;
pub mod google;
pub mod keycloak;
pub mod zitadel;
pub mod identity_server;
pub mod kubernetes;
pub mod league;

pub mod clickview;
pub mod wicked;
pub mod tarkov_database;
pub mod oro;
pub mod aidbox;

pub mod several;
