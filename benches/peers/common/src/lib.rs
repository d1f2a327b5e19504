//! Drives a peer with the tokens that `tokens` made, and prints what it took as one line of JSON.
//!
//! A peer is a tower service around a handler that answers an empty 200, asks for one scope, and can tell who calls. It is
//! measured beside its handler alone, and beside the bare verification of the signatures of the same tokens in the same
//! order, by aws-lc-rs with a prepared key. All take turns in each round, on one thread. Requests are built outside of the
//! time and dropped within it.

#[allow(dead_code, reason = "the benchmarks of the crate take the rest")]
#[path = "../../../common/measure.rs"]
mod measure;
#[allow(dead_code, reason = "the benchmarks of the crate take the rest")]
#[path = "../../../common/tokens.rs"]
mod tokens;

mod handler;
mod report;

use serde_json::{Value, json};

pub use handler::{AppClaims, Body, Handler, Peer, answer, bearer, has_scope, now};
pub use report::run;
use tokens::Signer;

pub const ISSUER: &str = tokens::ISSUER;
pub const API: &str = tokens::API;
pub const SCOPE: &str = tokens::SCOPE;

/// Tokens that are sent again and again.
const KNOWN: usize = 10_000;
/// Tokens that are sent in turn: more than anybody remembers.
const FRESH: usize = 12_800;

/// How many distinct tokens a service is about to get.
#[derive(Debug, Clone, Copy)]
pub enum Tokens {
    /// So many, again and again.
    Known(usize),
    /// New ones, without end.
    New,
}

/// Makes tokens and writes them to the file that the command line names. Takes about ten seconds.
///
/// # Panics
/// If it cannot.
pub fn write_tokens() {
    let file = std::env::args().nth(1).expect("the file to write to");
    let signer = Signer::new("RS256");
    let tokens: Vec<String> = signer.samples(KNOWN + FRESH).into_iter().map(|sample| sample.token).collect();
    let unscoped = signer.sample(0, &json!({"scope": "reports"})).token;
    let all: Value = json!({"jwk": signer.jwk(), "tokens": tokens, "unscoped": unscoped});
    std::fs::write(file, all.to_string()).expect("the tokens are written");
}
