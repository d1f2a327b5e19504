//! The manual.
//!
//! | start | |
//! |---|---|
//! | [`quick_start_axum`] | from `cargo new` to a protected axum service |
//! | [`quick_start_tonic`] | the same for gRPC, with a client |
//! | [`quick_start_hyper`] | plain hyper, and what does not compose by itself |
//!
//! | go on | |
//! |---|---|
//! | [`layers`] | what goes outside of the layer and what inside; 404, 405, OPTIONS |
//! | [`refusals`] | what clients are told, in which order, and what they should do |
//! | [`providers`] | what your provider writes and the settings for it: Auth0, Okta, Entra, Cognito, Keycloak, Google and others |
//! | [`rotation`] | how keys live, and how to rotate them |
//! | [`revocation`] | how to refuse a token before its end, on one server or on all |
//! | [`faq`] | short questions, short answers |
//!
//! | look up | |
//! |---|---|
//! | [`observability`] | events, spans, metrics, alarms |
//! | [`defaults`] | every default and every limit, with its reason |
//! | [`threats`] | what is done about each known attack, and what is left to you |
//!
//! How each single thing is done is on the [front page](crate).

pub mod quick_start_axum;
pub mod quick_start_tonic;
pub mod quick_start_hyper;

pub mod layers;
pub mod refusals;
pub mod providers;
pub mod rotation;
pub mod revocation;
pub mod faq;

pub mod defaults;
pub mod observability;
pub mod threats;
