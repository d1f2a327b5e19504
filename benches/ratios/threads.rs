//! Two threads beside one: how much more is done in the same time.

use std::hint::black_box;

use http::StatusCode;

use crate::Effort;
use crate::common::measure::{On, median, seconds, together};
use crate::common::requests::{now, protected, remembering, server};
use crate::common::tokens::{Signer, Walk};
use crate::report::{Goal, Report};
use crate::requests::call;

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let samples = signer.samples(effort.fresh.min(10_000));
    let few = &samples[..effort.batch.min(samples.len())];
    let uncached = server(&signer).without_cache().build().expect("a server");
    let raw = || few.iter().for_each(|sample| signer.verify_raw(black_box(sample)));
    let cold = || {
        for sample in few {
            drop(now(uncached.verify(black_box(&sample.token))).expect("a good token"));
        }
    };
    let scaling = scaling(effort, &[&raw, &cold]);
    report.figure("2 threads over 1: raw", median(scaling.iter().map(|of| of[0]).collect()));
    let cold = median(scaling.iter().map(|of| of[1] / of[0]).collect());
    report.row("2 threads over 1: new tokens, of raw's own", cold, Goal::AtLeast(0.97));

    let server = remembering(&signer, samples.len());
    call(&mut protected(&server), &samples, StatusCode::OK);
    let warm = |walk: &mut Walk<'_>| {
        for sample in walk.next() {
            drop(black_box(now(server.verify(black_box(&sample.token))).expect("a good token")));
        }
    };
    let many = || warm(&mut Walk::new(&samples, samples.len()));
    // Threads that begin together walk in step, and come to each token at the same time. Those of a server do not.
    let ours = std::thread::current().id();
    let apart = || {
        let mut walk = Walk::new(&samples, samples.len().div_ceil(2));
        if std::thread::current().id() != ours {
            let _half = walk.next();
        }
        warm(&mut walk);
        warm(&mut walk);
    };
    let same = || warm(&mut Walk::new(&samples[..1], 20 * effort.batch));
    let scaling = self::scaling(effort, &[&many, &apart, &same]);
    let [many, apart, same] = [0, 1, 2].map(|place| median(scaling.iter().map(|of| of[place]).collect()));
    report.row(format!("2 threads over 1: {} known tokens", samples.len()), many, Goal::AtLeast(1.7));
    let name = format!("2 threads over 1: {} known tokens, not in step", samples.len());
    report.row(name, apart, Goal::AtLeast(1.7));
    report.row("2 threads over 1: the same known token", same, Goal::AtLeast(1.0));
}

type Work<'a> = &'a (dyn Fn() + Sync);

/// In each round for each piece of work: how much of it two threads do in the time that one takes.
fn scaling(effort: Effort<'_>, works: &[Work<'_>]) -> Vec<Vec<f64>> {
    let scaling = |work: &Work<'_>| 2.0 * seconds(work) / together(work);
    effort.machine.rounds(effort.wanted, On::TwoThreads, || works.iter().map(scaling).collect())
}
