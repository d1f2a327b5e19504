//! How many tokens some threads verify in a second, together: `cargo bench --bench contention`.
//!
//! With one thread, two, and so on up to what the machine runs at once. `raw` is the signature and nothing else, by
//! aws-lc-rs; `cold` remembers nothing; `warm` knows its tokens, and all threads either send the same one or go round ten
//! thousand. Ideally two threads do twice as much as one.
//!
//! The tokens of `warm` are signed with EdDSA, to be made quickly, and are as long as with RS256.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a fault in a benchmark should stop it"
)]

mod common;

use std::hint::black_box;
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thread_local::ThreadLocal;
use tower_bearer::ResourceServer;

use common::at_most;
use common::requests::{now, remembering, server};
use common::tokens::{Raw, Sample, Signer};
use common::workers::Workers;

fn contention(criterion: &mut Criterion) {
    let rs256 = Signer::new("RS256");
    let few = rs256.samples(100);
    let uncached = server(&rs256).without_cache().build().expect("a server");
    // Each thread has a key of its own, as with ours: those who share one wait for each other.
    let keys = ThreadLocal::new();
    let raw = |sample: &Sample| keys.get_or(|| Raw::new(rs256.jwk())).verify(black_box(sample));
    let cold = |sample: &Sample| verify(&uncached, sample);
    compare(criterion, "raw RS256", &few, raw);
    compare(criterion, "cold RS256", &few, cold);

    let eddsa = Signer::new("EdDSA");
    let many = eddsa.samples_as_long_as_rs256(at_most(10_000));
    let remembers = remembering(&eddsa, many.len());
    many.iter().for_each(|sample| verify(&remembers, sample));
    let warm = |sample: &Sample| verify(&remembers, sample);
    compare(criterion, "warm, the same token", &many[..1], warm);
    compare(criterion, "warm, 10000 tokens", &many, warm);
}

fn verify(server: &ResourceServer, sample: &Sample) {
    drop(black_box(now(server.verify(black_box(&sample.token))).expect("a good token")));
}

fn compare(criterion: &mut Criterion, name: &str, samples: &[Sample], work: impl Fn(&Sample) + Sync) {
    let most = thread::available_parallelism().map_or(2, usize::from).max(2);
    // This thread is the first, so that no worker is.
    samples.iter().take(1).for_each(&work);
    let workers = Workers::new(most);
    let mut group = criterion.benchmark_group(name);
    let mut threads = 1;
    while threads <= most {
        group.throughput(Throughput::Elements(threads.try_into().expect("a count")));
        group.bench_function(BenchmarkId::new("threads", threads), |bencher| {
            bencher.iter_custom(|count| {
                workers.time(0..threads, &|number| {
                    // Each begins elsewhere in the list.
                    let skip = number * samples.len() / threads;
                    let samples = samples.iter().cycle().skip(skip);
                    for (sample, _) in samples.zip(0..count) {
                        work(sample);
                    }
                })
            });
        });
        threads *= 2;
    }
    group.finish();
}

criterion_group!(benches, contention);
criterion_main!(benches);
