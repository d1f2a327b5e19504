//! What is measured.

use std::convert::Infallible;
use std::hint::black_box;
use std::task::{Context, Waker};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_service::Service;

use crate::handler::{Handler, Peer, now};
use crate::measure::{Machine, PerOne, Wanted, rounds, time};
use crate::tokens::{Raw, Sample, Walk};
use crate::{KNOWN, Tokens};

/// How much is measured, and on what.
struct Effort<'a> {
    machine: &'a Machine<'a>,
    wanted: Wanted,
    /// In one turn.
    batch: usize,
}

/// Measures the peer that `make` makes with a key set, with the tokens in the file that the command line names. `--quick`
/// takes few rounds, to see that it runs.
///
/// # Panics
/// If the peer refuses a good token, or accepts a forged one, one without the scope, or none.
pub fn run<B: Default, P: Peer<B>>(make: impl Fn(&str, Tokens) -> P) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _guard = runtime.enter();
    let file = std::env::args().nth(1).expect("the file with the tokens");
    let text = std::fs::read_to_string(file).expect("the tokens, as `tokens` wrote them");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let raw = Raw::new(&all["jwk"]);
    let jwks = json!({"keys": [all["jwk"]]}).to_string();
    let sample = |token: &Value| Sample::new(token.as_str().expect("a token").to_owned());
    let samples: Vec<Sample> = all["tokens"].as_array().expect("tokens").iter().map(sample).collect();
    let (known, fresh) = samples.split_at(KNOWN);

    let mut peer = make(&jwks, Tokens::Known(1));
    check(&mut peer, &known[0], &sample(&all["unscoped"]));
    let report = if cfg!(feature = "count") {
        allocations(&mut peer, known, fresh)
    } else {
        let quick = std::env::args().any(|argument| argument == "--quick");
        let patience = Duration::from_secs(if quick { 0 } else { 30 });
        let machine = &Machine::new(|| raw.verify(black_box(&known[0])), patience);
        let effort = |batch| match quick {
            true => Effort { machine, wanted: Wanted { rounds: 2, patience }, batch: batch / 20 },
            false => Effort { machine, wanted: Wanted { rounds: 62, patience }, batch },
        };
        let warm = |count| {
            let (mut peer, known) = (make(&jwks, Tokens::Known(count)), &known[..count]);
            send(&mut peer, known.iter());
            times(&effort(400), &raw, known, &mut peer)
        };
        // Who remembers tokens has forgotten each when it comes again.
        let cold = || times(&effort(200), &raw, fresh, &mut make(&jwks, Tokens::New));
        json!({
            "bytes": known[0].token.len(),
            "warm_1": warm(1),
            "warm_10000": warm(KNOWN),
            "cold": cold(),
            "quiet": machine.quiet(),
        })
    };
    println!("{report}");
}

/// That it does what the others do.
fn check<B>(peer: &mut impl Peer<B>, good: &Sample, unscoped: &Sample) {
    let mut status = |request| call(peer, request).status();
    assert_eq!(status(request(good)), StatusCode::OK, "a good token");
    assert_ne!(status(request(&good.forged())), StatusCode::OK, "a forged token");
    assert_ne!(status(request(unscoped)), StatusCode::OK, "a token without the scope");
    assert_ne!(status(bare()), StatusCode::OK, "no token");
    assert_eq!(status(request(good)), StatusCode::OK, "a good token again");
}

/// For one of these, sent in turn.
fn times<B: Default>(effort: &Effort<'_>, raw: &Raw, samples: &[Sample], peer: &mut impl Peer<B>) -> Value {
    let mut noop = Handler::<_, B>::new(|_: &Request<()>| true);
    let walk = || Walk::new(samples, effort.batch);
    let (mut for_raw, mut for_noop, mut for_peer) = (walk(), walk(), walk());
    let taken = rounds(
        effort.machine,
        effort.wanted,
        vec![
            ("raw", Box::new(|| time(for_raw.next(), |sample| raw.verify(black_box(sample))))),
            ("noop", Box::new(|| send(&mut noop, for_noop.next()))),
            ("peer", Box::new(|| send(peer, for_peer.next()))),
        ],
    );
    json!({
        "raw_ns": taken.median("raw"),
        "net_ns": taken.net("peer", "noop"),
        "ratio": taken.net_ratio("peer", "noop", "raw"),
    })
}

fn send<'a, B>(peer: &mut impl Peer<B>, samples: impl Iterator<Item = &'a Sample>) -> PerOne {
    time(samples.map(request), |request| {
        assert_eq!(call(peer, request).status(), StatusCode::OK);
    })
}

fn call<B>(peer: &mut impl Peer<B>, request: Request<()>) -> Response<B> {
    let ready = Service::poll_ready(peer, &mut Context::from_waker(Waker::noop()));
    assert!(matches!(ready, std::task::Poll::Ready(Ok(()))));
    let answer: Result<_, Infallible> = now(peer.call(request));
    answer.expect("an answer")
}

fn request(sample: &Sample) -> Request<()> {
    let mut request = bare();
    let value = format!("Bearer {}", sample.token).parse().expect("a header");
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// With as many headers as a client sends, and no token.
fn bare() -> Request<()> {
    Request::post("/orders?page=2")
        .header("host", "api.example.com")
        .header("user-agent", "client/1.0")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("content-length", "0")
        .header("accept-encoding", "gzip")
        .body(())
        .expect("a request")
}

/// Of Rust code, for one request: the median of some.
#[cfg(feature = "count")]
fn allocations<B: Default>(peer: &mut impl Peer<B>, known: &[Sample], fresh: &[Sample]) -> Value {
    let mut noop = Handler::<_, B>::new(|_: &Request<()>| true);
    let mut net = |sample: &Sample| {
        let [with, without] = [request(sample), request(sample)];
        let with = allocation_counter::measure(|| drop(call(peer, with))).count_total;
        with - allocation_counter::measure(|| drop(call(&mut noop, without))).count_total
    };
    let mut median = |samples: Vec<&Sample>| {
        let mut counts: Vec<u64> = samples.into_iter().map(&mut net).collect();
        counts.sort_unstable();
        counts[counts.len() / 2]
    };
    json!({
        "allocations_warm": median(vec![&known[0]; 101]),
        "allocations_cold": median(fresh.iter().take(101).collect()),
    })
}

#[cfg(not(feature = "count"))]
fn allocations<B: Default>(_: &mut impl Peer<B>, _: &[Sample], _: &[Sample]) -> Value {
    unreachable!("they are counted with the feature `count`")
}
