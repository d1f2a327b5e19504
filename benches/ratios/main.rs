//! What verification costs, as ratios measured in one run: `cargo bench --bench ratios`.
//!
//! `raw` is aws-lc-rs with a prepared key over the same list of tokens, walked in the same order. Every row of the layer
//! is net of a layer that does nothing in the same place. Requests are built outside of the time and dropped within it.
//! Each row is the median over rounds in which all subjects take turns. The same is written to `target/ratios.json`.
//!
//! It is a report: it ends with 0 whatever it finds. `--quick` takes few rounds, to see that it runs.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a fault in a benchmark should stop it, and it is read by people"
)]

#[path = "../common/mod.rs"]
mod common;
mod memory;
mod report;
mod requests;
mod serve;
mod signatures;
mod threads;

use report::Report;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    /// In one turn of one subject.
    batch: usize,
    /// Distinct tokens where all should be new.
    fresh: usize,
    /// Of one server in one turn, in milliseconds.
    serve: u64,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let effort = if quick {
        Effort { rounds: 2, batch: 20, fresh: 100, serve: 5 }
    } else {
        Effort { rounds: 31, batch: 500, fresh: 12_500, serve: 50 }
    };
    let mut report = Report::new();
    signatures::rows(effort, &mut report);
    requests::rows(effort, &mut report);
    memory::rows(effort, &mut report);
    threads::rows(effort, &mut report);
    serve::rows(effort, &mut report);
    report.write(quick);
}
