//! Short questions, short answers.
//!
//! **How do I see why a token is refused?** The `error_description` of the challenge says it in a fixed phrase.
//! [`Rejection::token_error`] is the same as a value, in the extensions of the response. For logs, turn
//! `tower_bearer::rejection` on at debug level. Then look at the token: [`providers`](super::providers) shows how.
//!
//! **Why 401 and not 403?** 401: there is no token, or not a good one; another one may do. 403: the token is good, and does
//! not have the scopes of the route. Who is unknown is never told 403.
//!
//! **Why is my audience refused?** `aud` must hold, character for character, the identifier given to
//! [`ResourceServer::builder`], or one given to [`Issuer::audience`]. A slash at the end counts. Many providers write an
//! audience of ours only if the client asks for one, by `resource`, `audience` or a scope.
//!
//! **Why are ID tokens refused?** They tell a client who logged in; they are no permission for an API. Their `aud` is the
//! client, so the audience check refuses them. Send the access token.
//!
//! **Why no token in the query or in a form?** URLs end up in logs, histories and `Referer` headers; RFC 6750 §2.3 advises
//! against it. A token there is not looked at: without a header it is 401.
//!
//! **How do I protect WebSockets?** The upgrade is a GET: put the layer on its route, and end the connection when
//! [`Token::expired`] does. A browser's script cannot set `Authorization` there. Then leave the route open, take the token as
//! the first message, and verify it with [`ResourceServer::verify`]:
//!
//! ```
//! use tower_bearer::{Rejection, ResourceServer, Token, all_of};
//!
//! async fn first_message(api: &ResourceServer, text: &str) -> Result<Token, Rejection> {
//!     let token = api.verify(text).await?;
//!     token.require(&all_of(["feed:read"]))?;
//!     Ok(token)
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let idp = tower_bearer::testing::Idp::new("https://id.example.com");
//! # let api = idp.resource_server("https://api.example.com");
//! # let token = idp.token("https://api.example.com");
//! # assert!(first_message(&api, &token.clone().scopes(["feed:read"]).sign()).await.is_ok());
//! # assert!(first_message(&api, &token.sign()).await.is_err());
//! # }
//! ```
//!
//! **How long does a revoked token live?** Until `exp`, and the leeway more: nobody is asked about a JWT. Have the issuer give
//! short lives, and where that is too long, tell the server which tokens to refuse, or let single routes ask:
//! [`revocation`](super::revocation).
//!
//! **What if clocks differ?** 60 seconds of tolerance ([`DEFAULT_LEEWAY`]) for `exp`, `nbf` and `iat`; [`Issuer::leeway`] changes
//! it, up to 300. More than that is a clock to be set.
//!
//! **Does the cache of verified tokens keep a verdict too long?** No. Only the signature is remembered. The times, the key (not
//! withdrawn, not blocked, not too old) and the rule of the route are looked at for each request.
//!
//! **What happens when the issuer is down at our start?** [`build`] does no network I/O, so the process starts. Requests wait
//! for the keys, up to [`COLD_WAIT`], and are then answered 503 with `Retry-After`. When the issuer is back, so are we. No
//! restart is needed. Have the readiness probe not depend on it, or all replicas go at once.
//!
//! **And later?** Keys that were fetched serve on: [`rotation`](super::rotation).
//!
//! **Can I accept tokens of several issuers?** Yes, `.issuer(…)` once for each. Which one is chosen by the exact `iss`.
//! [`BearerAuthLayer::issuers`] narrows a layer to some of them.
//!
//! **Our issuer's certificate is from our own CA.** [`Issuer::fetch`] with a client that knows it; `ca_file` in a settings file.
//!
//! ```no_run
//! # #[cfg(feature = "reqwest")] {
//! use tower_bearer::{Issuer, ReqwestFetch};
//!
//! let ca = std::fs::read("ca.pem")?;
//! let issuer = Issuer::new("https://id.internal.example").fetch(ReqwestFetch::builder().ca_pem(ca).build()?);
//! # let _ = issuer;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Large tokens fail over HTTP/2 only. Why?** We take 16 KiB ([`MAX_TOKEN_LENGTH`]); hyper takes 16 KiB for *all* headers of
//! an HTTP/2 request by default, and answers 431 before we see it. Raise it: `max_header_list_size` of hyper's HTTP/2
//! builder, `http2_max_header_list_size` of tonic's server.
//!
//! **Basic beside Bearer on the same route?** An [`optional`] layer takes another scheme for no credentials and lets it pass.
//! What is inside must then check Basic itself, and refuse who has neither. Two `Authorization` headers are 400.
//!
//! ```
//! use http::{HeaderMap, StatusCode};
//! use tower_bearer::Token;
//!
//! /// Behind `.layer(auth.optional())`.
//! async fn orders(token: Option<Token>, headers: HeaderMap) -> Result<String, StatusCode> {
//!     match token {
//!         Some(token) => Ok(format!("for {}", token.client_id().unwrap_or("-"))),
//!         None if is_our_basic(&headers) => Ok("for a legacy client".to_owned()),
//!         None => Err(StatusCode::UNAUTHORIZED),
//!     }
//! }
//! # fn is_our_basic(_: &HeaderMap) -> bool { false }
//! # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(orders));
//! ```
//!
//! **We have roles, not scopes.** Name the claim: [`Profile::scope_claims`] with `"roles"`, or a path such as
//! `"/realm_access/roles"`. Its values are then the scopes of the rules, and `scope` counts for nothing: of several claims the first
//! that is there counts. If one of them is no scope, because of a space or a quote in it, none of the token's counts. For "role or scope"
//! leave the scopes where they are, and ask for `Rule::claim("/realm_access/roles", "admin").or("admin")`.
//!
//! **Our issuer is `http://keycloak:8080`, in a network of containers.** HTTP is for this machine alone, also where it is allowed
//! ([`Issuer::dangerous_allow_http`](crate::Issuer::dangerous_allow_http)): whoever answers in the issuer's place makes tokens. Give
//! the issuer an https URL in front, or its keys from a file. The `iss` of its tokens may be http all the same, with an https
//! URL for its keys ([`Keys::jwks_url`](crate::Keys::jwks_url)).
//!
//! **How do I check the user or the client?** In the handler, with [`Token::subject`] and [`Token::client_id`]. Compare them
//! together with the issuer.
//!
//! **How do I test?** With the feature `testing` in `[dev-dependencies]`: an [`Idp`] signs tokens of any shape, and they are
//! verified as in production. [`Idp::authorize`] puts a verified token into a request for a handler without a layer.
//!
//! **May I use a shared secret (HS256)?** [`Keys::hmac`], for one issuer of your own. Whoever can verify can then also sign.
//!
//! **Why does an unknown path answer 401?** The layer covers the fallback. It tells nothing to who has no token:
//! [`layers`](super::layers).
//!
//! **A handler answers 500, "no BearerAuthLayer around this handler".** It takes a [`Token`], and its route was added after
//! the layer, or has none.
//!
//! **Are DPoP and mutual TLS supported?** No. A token that is bound to a key (`cnf`) is refused.
//!
//! [`Rejection::token_error`]: crate::Rejection::token_error
//! [`ResourceServer::builder`]: crate::ResourceServer::builder
//! [`ResourceServer::verify`]: crate::ResourceServer::verify
//! [`build`]: crate::ResourceServerBuilder::build
//! [`Issuer::audience`]: crate::Issuer::audience
//! [`Issuer::leeway`]: crate::Issuer::leeway
//! [`Issuer::fetch`]: crate::Issuer::fetch
//! [`BearerAuthLayer::issuers`]: crate::BearerAuthLayer::issuers
//! [`optional`]: crate::BearerAuthLayer::optional
//! [`Profile::scope_claims`]: crate::Profile::scope_claims
//! [`Keys::hmac`]: crate::Keys::hmac
//! [`Token`]: crate::Token
//! [`Token::expired`]: crate::Token::expired
//! [`Token::subject`]: crate::Token::subject
//! [`Token::client_id`]: crate::Token::client_id
//! [`DEFAULT_LEEWAY`]: super::defaults::DEFAULT_LEEWAY
//! [`COLD_WAIT`]: super::defaults::COLD_WAIT
//! [`MAX_TOKEN_LENGTH`]: super::defaults::MAX_TOKEN_LENGTH
#![cfg_attr(feature = "testing", doc = "[`Idp`]: crate::testing::Idp")]
#![cfg_attr(feature = "testing", doc = "[`Idp::authorize`]: crate::testing::Idp::authorize")]
#![cfg_attr(not(feature = "testing"), doc = "[`Idp`]: crate")]
#![cfg_attr(not(feature = "testing"), doc = "[`Idp::authorize`]: crate")]
