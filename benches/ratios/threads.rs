//! Two threads beside one: how much more is done in the same time.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use http::StatusCode;

use crate::Effort;
use crate::common::measure::median;
use crate::common::requests::{now, protected, remembering, server};
use crate::common::tokens::{Signer, Walk};
use crate::report::{Goal, Report};
use crate::requests::call;

pub(crate) fn rows(effort: Effort, report: &mut Report) {
    let signer = Signer::new("RS256");
    let samples = signer.samples(effort.fresh.min(10_000));
    let few = &samples[..effort.batch.min(samples.len())];
    let rounds = effort.rounds.div_ceil(3);

    let uncached = server(&signer).without_cache().build().expect("a server");
    let raw = scaling(rounds, || few.iter().for_each(|sample| signer.verify_raw(black_box(sample))));
    let cold = scaling(rounds, || {
        for sample in few {
            drop(now(uncached.verify(black_box(&sample.token))).expect("a good token"));
        }
    });
    report.figure("2 threads over 1: raw", raw);
    report.row("2 threads over 1: new tokens, of raw's own", cold / raw, Goal::AtLeast(0.97));

    let server = remembering(&signer, samples.len());
    call(&mut protected(&server), &samples, StatusCode::OK);
    let warm = |walk: &mut Walk<'_>| {
        for sample in walk.next() {
            drop(black_box(now(server.verify(black_box(&sample.token))).expect("a good token")));
        }
    };
    let many = scaling(rounds, || warm(&mut Walk::new(&samples, samples.len())));
    report.row(format!("2 threads over 1: {} known tokens", samples.len()), many, Goal::AtLeast(1.7));
    let same = scaling(rounds, || warm(&mut Walk::new(&samples[..1], 20 * effort.batch)));
    report.row("2 threads over 1: the same known token", same, Goal::AtLeast(1.0));
}

/// Work done by two in the time that one takes for its own.
fn scaling(rounds: usize, work: impl Fn() + Sync) -> f64 {
    let alone = || {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let together = || {
        let barrier = Barrier::new(2);
        let one = || {
            barrier.wait();
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(one);
            let ours = one();
            ours.max(other.join().expect("a thread"))
        })
    };
    work();
    median((0..rounds).map(|_| 2.0 * alone() / together()).collect())
}
