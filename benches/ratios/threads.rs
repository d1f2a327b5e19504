//! Two threads beside one: how much more is done in the same time.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use http::StatusCode;
use thread_local::ThreadLocal;
use tower_bearer::ResourceServer;

use crate::Effort;
use crate::common::measure::{On, median};
use crate::common::requests::{now, protected, remembering, server};
use crate::common::tokens::{Raw, Sample, Signer};
use crate::common::workers::Workers;
use crate::report::{Goal, Report};
use crate::requests::call;

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let samples = signer.samples(effort.fresh.min(10_000));
    new(effort, &signer, &samples[..(2 * effort.batch).min(samples.len())], report);
    known(effort, &signer, &samples, report);
}

fn new(effort: Effort<'_>, signer: &Signer, samples: &[Sample], report: &mut Report) {
    let uncached = server(signer).without_cache().build().expect("a server");
    // By the time one comes again it was pushed out long ago.
    let full = server(signer).cache_capacity(samples.len() / 16, 1 << 30).build().expect("a server");
    call(&mut protected(&full), samples, StatusCode::OK);
    // Each thread has a key of its own, as with ours: those who share one wait for each other.
    let keys = ThreadLocal::new();
    let raw = in_halves(samples.len(), |place| {
        keys.get_or(|| Raw::new(signer.jwk())).verify(black_box(&samples[place]));
    });
    let new = in_halves(samples.len(), |place| verify(&uncached, &samples[place]));
    let evicting = in_halves(samples.len(), |place| verify(&full, &samples[place]));
    let [raw, new, evicting] =
        scaling(effort, [&raw, &new, &evicting], |[raw, new, evicting]| [raw, new / raw, evicting / raw]);
    report.figure("2 threads over 1: raw", raw);
    report.row("2 threads over 1: new tokens, of raw's own", new, Goal::AtLeast(0.97));
    report.row(
        "2 threads over 1: the same, each pushing one out of the cache",
        evicting,
        Goal::AtLeast(0.97),
    );
}

fn known(effort: Effort<'_>, signer: &Signer, samples: &[Sample], report: &mut Report) {
    let (server, count) = (remembering(signer, samples.len()), samples.len());
    call(&mut protected(&server), samples, StatusCode::OK);
    let known = |place: usize| verify(&server, &samples[place]);
    // The least that can be done with a token that others may forget meanwhile: compared, and counted.
    let texts: Vec<Arc<[u8]>> = samples.iter().map(|sample| sample.token.as_bytes().into()).collect();
    let control = |place: usize| {
        let text = black_box(&texts[place]).clone();
        assert_eq!(*text, *black_box(samples[place].token.as_bytes()));
    };
    let pairs: [(_, [Work<'_>; 2]); 2] = [
        ("each all of them, in step", [&in_step(count, known), &in_step(count, control)]),
        ("each its own half", [&in_halves(count, known), &in_halves(count, control)]),
    ];
    for (how, works) in pairs {
        let [known, control] = scaling(effort, works, |found| found);
        let name = format!("2 threads over 1: {count} known tokens, {how}");
        report.row(&name, known, Goal::AtLeast(1.7));
        report.figure(format!("{name}, if only compared and counted"), control);
    }
    let [same] = scaling(effort, [&in_step(20 * effort.batch, |_| known(0))], |found| found);
    report.row("2 threads over 1: the same known token", same, Goal::AtLeast(1.0));
}

fn verify(server: &ResourceServer, sample: &Sample) {
    drop(black_box(now(server.verify(black_box(&sample.token))).expect("a good token")));
}

/// What a worker of this number does.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// All begin with the first, and so come to each at the same time.
fn in_step(count: usize, one: impl Fn(usize) + Sync) -> impl Fn(usize) + Sync {
    move |_| (0..count).for_each(&one)
}

/// Neither of two comes to what the other comes to.
fn in_halves(count: usize, one: impl Fn(usize) + Sync) -> impl Fn(usize) + Sync {
    let half = count / 2;
    move |worker| (worker * half..(worker + 1) * half).for_each(&one)
}

/// Of what is `wanted` of it in each round, the medians: how much of each piece of work two threads do in the time that one
/// takes.
fn scaling<const N: usize, const M: usize>(
    effort: Effort<'_>,
    works: [Work<'_>; N],
    wanted: impl Fn([f64; N]) -> [f64; M],
) -> [f64; M] {
    let workers = Workers::new(2);
    // The first time shows what the work before has left in the memory near each of them, and does not count.
    let time = |busy: Range<usize>, work: Work<'_>| {
        [(); 2].map(|()| workers.time(busy.clone(), work).as_secs_f64())[1]
    };
    let scaling = |work| (time(0..1, work) + time(1..2, work)) / time(0..2, work);
    let rounds = effort.machine.rounds(effort.wanted, On::TwoThreads, || wanted(works.map(scaling)));
    std::array::from_fn(|place| median(rounds.iter().map(|round| round[place]).collect()))
}
