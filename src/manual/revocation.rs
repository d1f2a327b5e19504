//! How to refuse a token before its end: on one server, or on all of a fleet.
//!
//! A JWT is good until its `exp`, whatever happens to the user or the client. Short lives are the first remedy. Where minutes
//! are too long, tell the server which tokens it must not accept any more:
//!
//! | what has happened | what to deny |
//! |---|---|
//! | one token was stolen, or its session ended | [`Denial::token`] with its `jti` |
//! | a user was dismissed | [`Denial::subject`] |
//! | a user logged out everywhere, or changed the password | [`Denial::subject`] with [`issued_before`](crate::Denial::issued_before) now: the next token is good |
//! | a client's secret leaked | [`Denial::client`] with `issued_before` now, when the secret was changed |
//! | the issuer was broken into | [`Denial::issuer`] with `issued_before`; for a key that leaked, [`block_key`] |
//!
//! ```
//! use axum::extract::State;
//! use tower_bearer::{Denial, DenyError, ResourceServer, Token};
//!
//! /// Ends every session of whoever asks for it.
//! async fn log_out_everywhere(State(api): State<ResourceServer>, token: Token) -> Result<(), DenyError> {
//!     let Some(subject) = token.subject() else { return Ok(()) };
//!     let mine = Denial::subject(token.issuer_name(), subject);
//!     api.deny(mine.issued_before(std::time::SystemTime::now())).await
//! }
//! # let _ = async |api: ResourceServer, token: Token| log_out_everywhere(State(api), token).await;
//! ```
//!
//! A denied token is refused like any that is not valid: 401, `invalid_token`, [`TokenError::Revoked`]. It is so from the
//! moment that [`deny`] is done, on every route and at inner layers too, whether the token was verified before or not. It is
//! asked last: whoever has no good token learns nothing of what is denied. Requests that have passed the layer go on.
//!
//! Denials are compared with what tokens say, by issuer: the same `jti` of another issuer is another token. An issuer is
//! called by its [name](crate::Issuer::name), which is its `iss` unless you gave it another.
//!
//! # Ask the issuer
//!
//! Where the issuer knows which of its tokens are revoked, and says so by introspection (RFC 7662), a route can ask on each
//! request: [`live`]. It is for the few routes where one call more is worth it, such as payments and administration. JWTs are
//! verified here all the same, and everywhere else by their signatures alone:
//!
//! | a JWT is revoked at its issuer | and then |
//! |---|---|
//! | a route that is live | refused at once, or at most [`LIVE_ANSWER_FOR`] after the last answer about it |
//! | any other route | good until its end, as if nothing had happened; [`deny`] it there |
//! | the issuer does not answer | a live route is 503, others go on |
//!
//! | an opaque token is revoked at its issuer | and then |
//! |---|---|
//! | a route that is live | the same |
//! | any other route | good for [`ACTIVE_FOR`] at most, [`ENDLESS_ACTIVE_FOR`] if it has no end, and no more once a live route of the same server was told |
//!
//! In a settings file it is `live = true` in a `[[route]]`.
//!
//! # How long
//!
//! A denial is forgotten at its [end](crate::Denial::until), [`DENIED_FOR`] after it was made if you say nothing. **It must outlive
//! the longest-lived token that it is about, with the leeway**: after it the token would be good again. Nothing else makes room: when there are
//! [`MAX_DENIALS`], [`deny`] is an error, and the right answer is a denial that covers more. For those there is room: the last tenth
//! is not for single tokens.
//!
//! # Where nothing is shared
//!
//! By default denials are in the memory of one process. They are gone when it ends, and others do not know of them. That is
//! enough for one server whose tokens live shorter than its deployments take.
//!
//! # In a fleet
//!
//! ```no_run
//! use tower_bearer::{Issuer, RedisDenylist, ResourceServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let list = RedisDenylist::new(&std::env::var("REDIS_URL")?)?; // feature `redis`: Redis or Valkey
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::new("https://id.example.com"))
//!     .denylist(list)
//!     .build()?;
//! # let _ = api;
//! # Ok(()) }
//! ```
//!
//! Or in a settings file, where the URL with its password is not:
//!
//! ```toml
//! [denylist]
//! redis = { url_env = "REDIS_URL" }   # or url_file = "redis-url"; key = "tower-bearer:denylist"
//! dangerous_stale = false
//! ```
//!
//! A URL with `rediss:` is TLS, by the feature `rustls` (a default one) or `native-tls`, with the platform's certificate
//! authorities. A private one is `ca_file` in the settings and `RedisTls::ca_only` in a program, and is trusted alone; a Redis that
//! asks for certificates, as one of your own does by default, is shown `client_certificate_file` and `client_key_file`. The tests
//! run with Redis 7.0, with TLS and without, and, without TLS, with Valkey 8.1 and 9.1.
//!
//! No request waits for Redis. Each server has all denials of its issuers in memory, writes its own to the list, and asks every
//! [`DENYLIST_INTERVAL`] for what is new. Another place for the list is a [`Denylist`] of yours; its page has one.
//!
//! | | what happens |
//! |---|---|
//! | [`deny`] returns `Ok` | here it holds, and it is in the list; the other servers know within a second or two |
//! | [`deny`] returns [`NotShared`] | here it holds all the same; it is written as soon as that can be done, but the others do not know yet: tell an operator |
//! | before the list was read for the first time | the first request waits for it, as it does for keys; [`warm_up`] does so before |
//! | it could not be read for [`DENYLIST_STALE_AFTER`] | good tokens: 503 with `Retry-After`. Denied ones: 401 |
//! | the same with [`dangerous_stale_denylist`] | what is known counts, as if nothing were new |
//! | it can be read again | at most a second later everything is as before |
//! | Redis comes back without its data, or with a part of it | each server writes again what it knows |
//! | it holds more than [`MAX_DENIALS`] of our issuers, with those that are not written yet | what there is room for is denied; other tokens as if it could not be read, until some have ended or are allowed |
//!
//! So a token that one server has denied is accepted by no other for longer than [`DENYLIST_STALE_AFTER`], unless you said
//! otherwise. The price is that Redis is needed: [`health`] is not ready without it, and [`DenylistStateChanged`] and a
//! warning of the target `tower_bearer::deny` tell of it. Redis itself may lose what it has acknowledged, when a replica
//! takes over: servers that have seen it by then keep it, others never see it.
//!
//! [`Denial::token`]: crate::Denial::token
//! [`Denial::subject`]: crate::Denial::subject
//! [`Denial::client`]: crate::Denial::client
//! [`Denial::issuer`]: crate::Denial::issuer
//! [`Denylist`]: crate::Denylist
//! [`TokenError::Revoked`]: crate::TokenError::Revoked
//! [`NotShared`]: crate::DenyErrorKind::NotShared
//! [`DenylistStateChanged`]: crate::Event::DenylistStateChanged
//! [`block_key`]: crate::ResourceServer::block_key
//! [`deny`]: crate::ResourceServer::deny
//! [`live`]: crate::BearerAuthLayer::live
//! [`LIVE_ANSWER_FOR`]: crate::manual::defaults::LIVE_ANSWER_FOR
//! [`ACTIVE_FOR`]: crate::manual::defaults::ACTIVE_FOR
//! [`ENDLESS_ACTIVE_FOR`]: crate::manual::defaults::ENDLESS_ACTIVE_FOR
//! [`warm_up`]: crate::ResourceServer::warm_up
//! [`health`]: crate::ResourceServer::health
//! [`dangerous_stale_denylist`]: crate::ResourceServerBuilder::dangerous_stale_denylist
//! [`DENIED_FOR`]: crate::manual::defaults::DENIED_FOR
//! [`MAX_DENIALS`]: crate::manual::defaults::MAX_DENIALS
//! [`DENYLIST_INTERVAL`]: crate::manual::defaults::DENYLIST_INTERVAL
//! [`DENYLIST_STALE_AFTER`]: crate::manual::defaults::DENYLIST_STALE_AFTER
