//! Allocations for one request, and memory for one remembered token.

use allocation_counter::{AllocationInfo, measure};
use http::StatusCode;
use tower::Service;

use crate::Effort;
use crate::common::measure::as_f64;
use crate::common::requests::{Control, Inner, now, protected, request, server};
use crate::common::tokens::{Sample, Signer};
use crate::report::{Goal, Report};
use crate::requests::call;

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let samples = signer.samples(effort.batch);
    let api = server(&signer).build().expect("a server");
    let mut layer = protected(&api);
    let noop = {
        let request = request(&samples[1]);
        of(|| drop(now(Inner.call(request)).expect("an answer")))
    };
    let net =
        |info: AllocationInfo| as_f64((info.count_total - noop.count_total).try_into().expect("a count"));
    let mut one = |sample: &Sample| {
        let request = request(sample);
        of(|| drop(now(layer.call(request)).expect("an answer")))
    };
    // What tables take as they grow is part of it, so it is the mean of many.
    let cold: f64 = samples.iter().map(|sample| net(one(sample))).sum();
    // A token in constant use is kept by the thread as well, from its second time on.
    let _ = (one(&samples[1]), one(&samples[1]));
    let warm = one(&samples[1]);
    let control = {
        let (request, mut control) = (request(&samples[1]), Control::new());
        of(|| drop(now(control.call(request)).expect("an answer")))
    };
    report.figure("allocations: a control that inserts one Arc", net(control));
    report.row("allocations: a known token", net(warm), Goal::AtMost(net(control)));
    report.row(
        "allocations: a new token, mean",
        cold / as_f64(samples.len()),
        Goal::AtMost(net(control) + 5.0),
    );

    // Both halves grow the tables alike, so the second is what a token takes and not what they keep ready.
    let api = server(&signer).cache_capacity(4 * effort.batch, 128 << 20).build().expect("a server");
    let mut layer = protected(&api);
    let kept = of(|| {
        call(&mut layer, &samples, StatusCode::OK);
    });
    let payload = |sample: &Sample| sample.token.split('.').nth(1).map_or(0, |part| part.len() * 3 / 4);
    let texts: usize = samples.iter().map(|sample| sample.token.len() + payload(sample)).sum();
    let each = (kept.bytes_current as f64 - as_f64(texts)) / as_f64(samples.len());
    report.row(
        "memory: bytes for a remembered token besides itself and its claims",
        each,
        Goal::AtMost(256.0),
    );
}

fn of(work: impl FnOnce()) -> AllocationInfo {
    let mut work = Some(work);
    measure(|| {
        if let Some(work) = work.take() {
            work();
        }
    })
}
