//! Everything through the public API: real tokens, real services, real sockets where a socket matters.

#![cfg_attr(
    not(feature = "reqwest"),
    allow(unused_imports, reason = "what fetches over sockets is not compiled")
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a fault in a test should stop it; which helpers are compiled depends on the features"
)]

#[cfg(feature = "reqwest")]
mod addresses;
mod axum_app;
mod backend;
#[cfg(feature = "reqwest")]
mod bad_endpoints;
#[cfg(feature = "reqwest")]
mod chaos;
mod busy;
mod cache;
mod challenges;
mod config;
mod contract;
mod deny;
mod deny_faults;
mod deny_redis;
mod deny_shared;
mod events;
mod examples;
mod grpc;
mod hostile;
mod incidents;
mod issuers;
mod key_life;
mod key_states;
mod keys;
mod layering;
mod leaks;
mod long;
mod lookup;
mod loopback;
mod matrix;
mod max_age;
mod mcp;
mod metadata;
mod mutate;
#[cfg(feature = "reqwest")]
mod network;
mod packages;
mod profiles;
mod redis_server;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod redis_tls;
mod refusals;
mod rfc;
#[cfg(feature = "reqwest")]
mod server_example;
mod settings;
mod snapshot;
mod support;
mod systems;
mod testing_kit;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;
mod trust;
mod x5c;
