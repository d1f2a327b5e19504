#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The `mod` lines are the layering, top to bottom: a room imports only from rooms above it.
// `tests/it/layering.rs` reads them.

// Vocabulary.
mod sync;
mod error;
mod time;
mod secret;
mod scope;
// The pure core: synchronous, no I/O, no clock, no log, no header.
mod jose;
// Documents from elsewhere.
mod fetch;
#[cfg(feature = "redis")]
mod redis;
// What happens, and who is told.
mod event;
// What a refused client is told of the token that it needs.
mod challenge;
// What a token says, what it proves, and what a route asks of it.
mod identity;
mod profile;
mod token;
mod access;
// What is not accepted any more although it was issued.
mod deny;
// Where keys come from.
mod keys;
// Tokens that say nothing to us: whoever issued them is asked.
mod lookup;
// What is said to a client that is refused.
mod refusal;
// One server, its trusted issuers, and the straight line of one verification.
mod server;
mod layer;
// Edges.
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tonic")]
mod tonic;
#[cfg(feature = "reflection")]
mod reflection;
#[cfg(feature = "mcp")]
pub mod mcp;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "settings")]
pub mod settings;
#[cfg(feature = "testing")]
pub mod testing;
pub mod manual;

#[cfg(feature = "axum")]
pub use self::axum::Claims;
#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "reqwest")]
pub use fetch::{ReqwestFetch, ReqwestFetchBuilder};

#[cfg(all(feature = "redis", any(feature = "rustls", feature = "native-tls")))]
pub use self::redis::RedisTls;
pub use access::{IntoRule, MethodAccess, Rule, all_of, any_of};
#[cfg(feature = "redis")]
pub use deny::RedisDenylist;
pub use deny::{
    Changes, Denial, DenyError, DenyErrorKind, Denylist, DenylistError, DenylistErrorKind, DenylistFuture,
    Mark,
};
pub use error::{ConfigError, ConfigErrorKind};
pub use event::{DenylistState, Event, KeyState, LookupErrorKind, LookupState, Observer, RejectionKind};
pub use fetch::{Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse};
pub use jose::{Algorithm, HmacAlgorithm, TokenError, UnknownAlgorithm, crypto_backend};
pub use keys::Keys;
pub use layer::{BearerAuth, BearerAuthLayer, ResponseFuture};
#[cfg(feature = "redis")]
pub use lookup::RedisAnswers;
pub use lookup::{
    ClientKey, Found, FoundClaims, Introspection, KongTokens, LookupError, LookupFuture, OpaqueToken,
    TokenLookup,
};
pub use profile::{Profile, UnknownProfile};
pub use refusal::{EmptyBody, ProblemJson, Rejection, RequestHead, Respond};
pub use scope::{InvalidScope, Scope, Scopes};
pub use server::{
    DenylistHealth, Health, HealthService, Issuer, IssuerHealth, LookupHealth, NotReady, ResourceMetadata,
    ResourceServer, ResourceServerBuilder, UnknownIssuer,
};
pub use time::{Clock, SystemClock};
pub use token::{ClaimsError, Token};
