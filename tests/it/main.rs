//! Everything through the public API: real tokens, real services, real sockets where a socket matters.

mod axum_app;
mod backend;
mod config;
mod contract;
mod incidents;
mod issuers;
mod keys;
mod layering;
mod leaks;
mod loopback;
mod mutate;
mod packages;
mod refusals;
mod rfc;
#[cfg(feature = "reqwest")]
mod server_example;
mod settings;
mod support;
