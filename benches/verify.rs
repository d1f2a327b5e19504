//! How many tokens are verified in a second: `cargo bench --bench verify`.
//!
//! For each algorithm, over a hundred tokens in turn: `raw` is the signature and nothing else, by aws-lc-rs with a prepared
//! key; `cold` is the verifier and remembers nothing; `warm` knows the tokens; `refused` are tokens with another bit in
//! their signature. With `--no-default-features --features rust-crypto` the verifier is the portable one, and `raw` is
//! aws-lc-rs all the same.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a fault in a benchmark should stop it"
)]

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use common::requests::{now, server};
use common::tokens::{Sample, Signer};

fn verification(criterion: &mut Criterion) {
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "HS256"] {
        let signer = Signer::new(algorithm);
        let samples = signer.samples(100);
        let forged: Vec<Sample> = samples.iter().map(Sample::forged).collect();
        let cold = server(&signer).without_cache().build().expect("a server");
        let warm = server(&signer).build().expect("a server");

        let mut group = criterion.benchmark_group(algorithm);
        group.throughput(Throughput::Elements(1));
        group.bench_function("raw", |bencher| {
            let mut samples = samples.iter().cycle();
            bencher.iter(|| samples.next().map(|sample| signer.verify_raw(black_box(sample))));
        });
        for (name, server, samples, accepted) in [
            ("cold", &cold, &samples, true),
            ("warm", &warm, &samples, true),
            ("refused", &warm, &forged, false),
        ] {
            group.bench_function(name, |bencher| {
                let mut samples = samples.iter().cycle();
                bencher.iter(|| {
                    let sample = samples.next().expect("a cycle");
                    let verdict = now(server.verify(black_box(&sample.token)));
                    assert_eq!(verdict.is_ok(), accepted);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, verification);
criterion_main!(benches);
