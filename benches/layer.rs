//! How many requests pass the layer in a second, with one scope asked for: `cargo bench --bench layer`.
//!
//! `noop` is the service without the layer: what is left of the others without it is the layer's. Requests are built outside
//! of the time and dropped within it. `cold` are tokens that are not remembered, with a cache that is full; `warm` are so
//! many known ones in turn; `refused` are answers 401 and 403.
//!
//! The tokens of `warm` are signed with EdDSA, so that a hundred thousand are made within seconds, and are as long as with
//! RS256: the signature is not looked at again.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a fault in a benchmark should stop it"
)]

mod common;

use std::cell::LazyCell;
use std::convert::Infallible;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use http::{Request, Response, StatusCode};
use serde_json::json;
use tower::Service;

use common::at_most;
use common::requests::{Inner, bare, now, protected, remembering, request, server};
use common::tokens::{Sample, Signer};

fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer");
    group.throughput(Throughput::Elements(1));

    let rs256 = Signer::new("RS256");
    let one = rs256.samples(1);
    bench(&mut group, BenchmarkId::from_parameter("noop"), &mut Inner, || request(&one[0]), StatusCode::OK);
    cold(&mut group);
    warm(&mut group);
    refused(&mut group, &rs256);
    group.finish();
}

fn cold(group: &mut BenchmarkGroup<'_, WallTime>) {
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "HS256"] {
        let signer = Signer::new(algorithm);
        let samples = signer.samples(at_most(1_000));
        // It forgets each before its next turn.
        let api = server(&signer).cache_capacity(samples.len() / 10, 1 << 24).build().expect("a server");
        let mut samples = samples.iter().cycle();
        let next = || request(samples.next().expect("a cycle"));
        bench(group, BenchmarkId::new("cold", algorithm), &mut protected(&api), next, StatusCode::OK);
    }
}

fn warm(group: &mut BenchmarkGroup<'_, WallTime>) {
    let signer = Signer::new("EdDSA");
    let all = LazyCell::new(|| signer.samples_as_long_as_rs256(at_most(100_000)));
    for count in [1, 100, 1_000, 10_000, 100_000] {
        let known = LazyCell::new(|| {
            let mut layer = protected(&remembering(&signer, count));
            for sample in all.iter().take(count) {
                drop(now(layer.call(request(sample))));
            }
            layer
        });
        group.bench_function(BenchmarkId::new("warm", count), |bencher| {
            let mut layer = known.clone();
            let mut samples = all.iter().take(count).cycle();
            bencher.iter_batched(
                || request(samples.next().expect("a cycle")),
                |request| answer(&mut layer, request, StatusCode::OK),
                BATCH,
            );
        });
    }
}

fn refused(group: &mut BenchmarkGroup<'_, WallTime>, signer: &Signer) {
    let api = server(signer).build().expect("a server");
    let of = |claims| signer.sample(0, &claims);
    let unauthorized = StatusCode::UNAUTHORIZED;
    for (name, sample, status) in [
        ("no token", None, unauthorized),
        ("junk", Some(Sample::unsigned("junk")), unauthorized),
        ("expired", Some(of(json!({"exp": 1_000_000_000}))), unauthorized),
        ("of another issuer", Some(of(json!({"iss": "https://other.example.com"}))), unauthorized),
        ("forged", Some(of(json!({})).forged()), unauthorized),
        ("without the scope", Some(of(json!({"scope": "reports"}))), StatusCode::FORBIDDEN),
    ] {
        let next = || sample.as_ref().map_or_else(bare, request);
        bench(group, BenchmarkId::new("refused", name), &mut protected(&api), next, status);
    }
}

/// Few enough requests at once that they are still near the processor when their turn comes, as those of a server are.
const BATCH: BatchSize = BatchSize::NumIterations(100);

fn bench<S>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: BenchmarkId,
    service: &mut S,
    mut next: impl FnMut() -> Request<()>,
    status: StatusCode,
) where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    group.bench_function(name, |bencher| {
        bencher.iter_batched(&mut next, |request| answer(service, request, status), BATCH);
    });
}

fn answer<S>(service: &mut S, request: Request<()>, expected: StatusCode)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    assert_eq!(now(service.call(request)).expect("an answer").status(), expected);
}

criterion_group!(benches, layer);
criterion_main!(benches);
