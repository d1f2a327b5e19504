//! Two threads beside one: how much more is done in the same time.

use std::hint::black_box;
use std::sync::Arc;

use http::StatusCode;

use crate::Effort;
use crate::common::measure::{On, median};
use crate::common::requests::{now, protected, remembering, server};
use crate::common::tokens::Signer;
use crate::common::workers::Workers;
use crate::report::{Goal, Report};
use crate::requests::call;

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let samples = signer.samples(effort.fresh.min(10_000));
    let uncached = server(&signer).without_cache().build().expect("a server");
    let few = effort.batch.min(samples.len());
    let raw = in_step(few, |place| signer.verify_raw(black_box(&samples[place])));
    let new = in_step(few, |place| {
        drop(now(uncached.verify(black_box(&samples[place].token))).expect("a good token"));
    });
    let [raw, new_of_raw] = scaling(effort, [&raw, &new], |[raw, new]| [raw, new / raw]);
    report.figure("2 threads over 1: raw", raw);
    report.row("2 threads over 1: new tokens, of raw's own", new_of_raw, Goal::AtLeast(0.97));

    let server = remembering(&signer, samples.len());
    call(&mut protected(&server), &samples, StatusCode::OK);
    let known = |place: usize| {
        drop(black_box(now(server.verify(black_box(&samples[place].token))).expect("a good token")));
    };
    // The least that can be done with a token that others may forget meanwhile: compared, and counted.
    let texts: Vec<Arc<[u8]>> = samples.iter().map(|sample| sample.token.as_bytes().into()).collect();
    let control = |place: usize| {
        let text = black_box(&texts[place]).clone();
        assert_eq!(*text, *black_box(samples[place].token.as_bytes()));
    };
    let count = samples.len();
    let works: [Work<'_>; 5] = [
        &in_step(count, known),
        &in_step(count, control),
        &apart(count, known),
        &apart(count, control),
        &in_step(20 * effort.batch, |_| known(0)),
    ];
    let [known, control, known_apart, control_apart, same] = scaling(effort, works, |found| found);
    let name = format!("2 threads over 1: {count} known tokens");
    report.row(&name, known, Goal::AtLeast(1.7));
    report.figure(format!("{name}, if only compared and counted"), control);
    report.row(format!("{name}, not in step"), known_apart, Goal::AtLeast(1.7));
    report.figure(format!("{name}, not in step, if only so"), control_apart);
    report.row("2 threads over 1: the same known token", same, Goal::AtLeast(1.0));
}

/// What a worker of this number does.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// All begin with the first, and so come to each at the same time.
fn in_step(count: usize, one: impl Fn(usize) + Sync) -> impl Fn(usize) + Sync {
    move |_| (0..count).for_each(&one)
}

/// The second of them begins in the middle. Those of a server are not in step either.
fn apart(count: usize, one: impl Fn(usize) + Sync) -> impl Fn(usize) + Sync {
    move |worker| {
        let start = worker * count / 2;
        (start..count).chain(0..start).for_each(&one);
    }
}

/// Of what is `wanted` of it in each round, the medians: how much of each piece of work two threads do in the time that one
/// takes.
fn scaling<const N: usize>(
    effort: Effort<'_>,
    works: [Work<'_>; N],
    wanted: impl Fn([f64; N]) -> [f64; N],
) -> [f64; N] {
    let workers = Workers::new(2);
    // The first time shows what the work before has left in the memory near each of them, and does not count.
    let time = |busy, work: Work<'_>| [(); 2].map(|()| workers.time(busy, work))[1];
    let scaling = |work| 2.0 * time(1, work) / time(2, work);
    let rounds = effort.machine.rounds(effort.wanted, On::TwoThreads, || wanted(works.map(scaling)));
    std::array::from_fn(|place| median(rounds.iter().map(|round| round[place]).collect()))
}
