//! How to find out what your provider writes into tokens, and which settings make it work.
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
//! | `iss`: which, exactly? | byte for byte that of [`Issuer::new`], a slash at the end included | write what the token says; [`Issuer::unnamed`] if there is none |
//! | `aud`: what stands for us? | our identifier | [`Issuer::audience`]; [`dangerous_any_audience`] if there is none |
//! | `typ`: which? | `at+jwt`, `JWT` or none | [`Issuer::types`] |
//! | `alg`: which? | all asymmetric ones | nothing to do; [`Issuer::algorithms`] narrows it; [`Keys::hmac`] for HS256 |
//! | where are the keys? | in the document of discovery, whose `issuer` is identical to `iss` | [`Keys::jwks_url`], [`Keys::jwks`], [`Keys::pem`] |
//! | where is the client? | `client_id`, else `azp`, else `cid` | [`Profile::client_claims`] |
//! | where are the scopes? | `scope`, else `scp`; a string or an array | [`Profile::scope_claims`]; a path such as `/realm_access/roles` |
//! | does it grant any scope that is asked for? | no | [`Profile::untrusted_scopes`] |
//! | are ID tokens signed with the same key? | they differ in `aud` | narrow [`Issuer::types`], or require a claim that only access tokens have: [`Profile::require`] |
//! | does it keep to RFC 9068? | it need not | [`Profile::rfc9068`] then holds it to that |
//!
//! The settings file has fields for all but the claims: `client_claims`, `scope_claims`, `untrusted_scopes` and `require` are
//! for code only.
//!
//! # Known systems
//!
//! What is known of five systems, from their documents and sources, not from a contract with them. Look at your own tokens.
//!
//! | system | header | who | scopes | keys | here |
//! |---|---|---|---|---|---|
//! | ClickView smart embeds (by its paths an IdentityServer; that is inferred) | RS256, `kid`, `at+jwt` | `client_id`, no `sub`; `aud` may be absent | `scope`, an array | discovery | works |
//! | Aidbox, with `token_format: jwt` | RS256, no `kid`, `JWT` | client credentials: `sub`; `aud` only if `audience` was asked for | not written for client credentials | JWKS with one key without `kid` | works |
//! | OroCommerce | RS256, no `kid`, `JWT` | no `iss`; the client is in `aud`; `sub` is empty | `scopes`: whatever the client asked for | one PEM file | works |
//! | Tarkov Database | EdDSA, no `kid`, `access`, `x5c` | no `iss`; the client's record in `sub` | `scope`, an array | a certificate chain in the header | works, with `Keys::x5c` (feature `x5c`) |
//! | wicked.haufe.io; Aidbox by default | none: the token is opaque | | | | not supported |
//!
//! ```
//! use tower_bearer::{Algorithm, Issuer, Keys, Profile};
//!
//! // ClickView: the default would do; this keeps everything but access tokens out.
//! fn clickview(iss: &str, audience: &str) -> Issuer {
//!     Issuer::new(iss).audience(audience).types(["at+jwt"])
//! }
//!
//! // Aidbox. Ask for tokens with `audience`: the same key signs ID tokens, whose `aud` is the client. `sub` is the client
//! // in the client credentials grant; do not use this where users log in.
//! fn aidbox(base_url: &str, audience: &str) -> Issuer {
//!     Issuer::new(base_url)
//!         .audience(audience)
//!         .algorithms([Algorithm::RS256])
//!         .profile(Profile::default().types(["JWT"]).client_claims(["sub"]))
//! }
//!
//! // OroCommerce. `aud` is the client, so the clients that may call us are listed. Back office and storefront do not differ
//! // in any claim: list the clients of one of them. The token's scopes count for nothing: nobody vouches for them.
//! fn oro(public_key: Keys, clients: &[&str]) -> Issuer {
//!     Issuer::unnamed("oro")
//!         .keys(public_key)
//!         .algorithms([Algorithm::RS256])
//!         .profile(Profile::oro())
//!         .clients(clients.iter().copied())
//! }
//!
//! // Tarkov Database. Its keys are `Keys::x5c(root)` (feature `x5c`); or the public key of its present certificate, until
//! // that is replaced. Its own API also takes `read:all` for `read:item`: `any_of(["read:item", "read:all"])`.
//! fn tarkov(keys: Keys, audience: &str) -> Issuer {
//!     Issuer::unnamed("tarkov")
//!         .keys(keys)
//!         .audience(audience)
//!         .algorithms([Algorithm::Ed25519])
//!         .profile(Profile::default().types(["access"]).client_claims(["sub"]))
//! }
//! # use tower_bearer::{ResourceServer, testing::Idp, TokenError};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let verify = async |issuer: Issuer, raw: &str| {
//! #     let api = ResourceServer::builder("https://api.example.com").issuer(issuer);
//! #     api.fetch(Idp::new("https://unused.example.com")).build().unwrap().verify(raw).await
//! # };
//! # let idp = Idp::with_algorithms("https://id.example.com", [Algorithm::RS256, Algorithm::Ed25519]);
//! # let shape = |typ: &str, algorithm| idp.token_of(algorithm, "api").header("typ", typ);
//! #
//! # let token = shape("at+jwt", Algorithm::RS256).without_claim("sub").claim("scope", vec!["read"]);
//! # let token = verify(clickview("https://id.example.com", "api").fetch(idp.clone()), &token.sign()).await.unwrap();
//! # assert_eq!((token.client_id(), token.subject()), (Some("client"), None));
//! # assert!(token.scopes().contains("read"));
//! #
//! # let token = shape("JWT", Algorithm::RS256).without_header("kid").without_claim("client_id");
//! # let issuer = || aidbox("https://id.example.com", "api").fetch(idp.clone());
//! # assert_eq!(verify(issuer(), &token.sign()).await.unwrap().client_id(), Some("client"));
//! # let id_token = token.clone().claim("aud", "client").sign();
//! # assert_eq!(verify(issuer(), &id_token).await.unwrap_err().token_error(), Some(TokenError::Audience));
//! # let refresh_token = token.without_claim("exp").sign();
//! # assert_eq!(verify(issuer(), &refresh_token).await.unwrap_err().token_error(), Some(TokenError::Time));
//! #
//! # let keys = || Keys::jwks(idp.jwks());
//! # let token = shape("JWT", Algorithm::RS256).without_header("kid").without_claim("iss").without_claim("client_id");
//! # let oros = token.clone().claim("aud", "robot").claim("sub", "").claim("scopes", vec!["admin"]);
//! # let token = verify(oro(keys(), &["robot", "other"]), &oros.sign()).await.unwrap();
//! # assert_eq!((token.client_id(), token.subject()), (Some("robot"), None));
//! # assert!(!token.scopes().contains("admin"));
//! # let why = verify(oro(keys(), &["other"]), &oros.sign()).await.unwrap_err();
//! # assert_eq!(why.token_error(), Some(TokenError::Audience));
//! #
//! # let token = shape("access", Algorithm::Ed25519).header("x5c", vec!["ignored"]).without_header("kid");
//! # let token = token.without_claim("iss").without_claim("client_id").claim("scope", vec!["read:item"]);
//! # let token = verify(tarkov(keys(), "api"), &token.sign()).await.unwrap();
//! # assert_eq!(token.client_id(), Some("client"));
//! # assert!(token.scopes().contains("read:item"));
//! # }
//! ```
//!
//! If ClickView's tokens have no `aud`, as with an IdentityServer without a resource defined, there is nothing to check:
//! [`dangerous_any_audience`] then, and a scope on every route that only your API has.
//!
//! The same for one issuer in a settings file:
//!
//! ```
//! # use tower_bearer::settings::Settings;
//! # let settings = Settings::from_toml(r##"
//! resource = "https://api.example.com"
//!
//! [[issuer]]
//! iss        = "https://id.example.com"
//! audience   = ["orders-api"]
//! types      = ["at+jwt"]
//! algorithms = ["RS256"]
//! # "##)?;
//! # #[cfg(feature = "reqwest")]
//! # settings.resource_server()?;
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # Not supported yet
//!
//! - **Encrypted tokens** (JWE).
//! - **Opaque tokens** (a UUID, a short random string): they must be looked up at the issuer (RFC 7662). They are refused as
//!   "not well formed".
//! - Rules on the client. Check [`Token::client_id`] in the handler.
//!
//! [`Issuer::new`]: crate::Issuer::new
//! [`Issuer::unnamed`]: crate::Issuer::unnamed
//! [`Issuer::audience`]: crate::Issuer::audience
//! [`Issuer::types`]: crate::Issuer::types
//! [`Issuer::algorithms`]: crate::Issuer::algorithms
//! [`dangerous_any_audience`]: crate::Issuer::dangerous_any_audience
//! [`Keys::hmac`]: crate::Keys::hmac
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
//! [`Keys::jwks`]: crate::Keys::jwks
//! [`Keys::pem`]: crate::Keys::pem
//! [`Profile::client_claims`]: crate::Profile::client_claims
//! [`Profile::scope_claims`]: crate::Profile::scope_claims
//! [`Profile::untrusted_scopes`]: crate::Profile::untrusted_scopes
//! [`Profile::require`]: crate::Profile::require
//! [`Profile::rfc9068`]: crate::Profile::rfc9068
//! [`Token::client_id`]: crate::Token::client_id
