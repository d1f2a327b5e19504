//! What verification costs, as ratios measured in one run: `cargo bench --bench ratios`.
//!
//! `raw` is aws-lc-rs with a prepared key over the same list of tokens, walked in the same order. Every row of the layer
//! is net of a layer that does nothing in the same place. Requests are built outside of the time and dropped within it.
//! Each row is the median over rounds in which all subjects take turns while nobody disturbs the machine
//! (`common/measure.rs`). The same is written to `target/ratios.json`.
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

use std::hint::black_box;
use std::time::Duration;

use common::measure::{Machine, On, Wanted};
use common::tokens::Signer;
use report::Report;

/// How much is measured, and on what.
#[derive(Clone, Copy)]
struct Effort<'a> {
    machine: &'a Machine<'a>,
    wanted: Wanted,
    /// In one turn of one subject.
    batch: usize,
    /// Distinct tokens where all should be new.
    fresh: usize,
    /// Of one server in one turn.
    serve: Duration,
    /// How many times new servers are started.
    sittings: usize,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let patience = Duration::from_secs(if quick { 0 } else { 30 });
    let signer = Signer::new("RS256");
    let sample = signer.samples(1).remove(0);
    let machine = &Machine::new(|| signer.verify_raw(black_box(&sample)), patience);
    let serve = Duration::from_millis;
    let effort = if quick {
        let wanted = Wanted { rounds: 2, patience };
        Effort { machine, wanted, batch: 20, fresh: 100, serve: serve(5), sittings: 1 }
    } else {
        let wanted = Wanted { rounds: 62, patience };
        Effort { machine, wanted, batch: 250, fresh: 12_500, serve: serve(25), sittings: serve::SITTINGS }
    };
    machine.look_for_best(On::TwoThreads, patience);
    let mut report = Report::new();
    signatures::rows(effort, &mut report);
    requests::rows(effort, &mut report);
    memory::rows(effort, &mut report);
    threads::rows(effort, &mut report);
    serve::rows(effort, &mut report);
    report.figure("rounds that nobody disturbed, of all that count", machine.quiet());
    report.figure("a signature on two threads at once, at best / on one", machine.together());
    report.write(quick);
}
