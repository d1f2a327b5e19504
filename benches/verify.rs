//! Verification throughput: the bare signature, the verifier, and the whole layer, for each common algorithm.
//!
//! `cargo bench --bench verify`. `raw` is aws-lc-rs with a prepared key over the same bytes; `verify` adds parsing and
//! every check; `known` is the same for a token that is remembered; `layer` adds to `verify` the header, the route's rule
//! and the request's extensions.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a fault in a benchmark should stop it")]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use serde_json::Value;
use tower::{Layer, Service};
use tower_bearer::testing::Idp;
use tower_bearer::{Algorithm, BearerAuthLayer, Issuer, Keys, ResourceServer};

const ISSUER: &str = "https://id.example.com";
const API: &str = "https://api.example.com";

fn verification(criterion: &mut Criterion) {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::Ed25519] {
        let idp = Idp::with_algorithms(ISSUER, [algorithm]);
        let token = idp
            .token(API)
            .scopes([
                "orders:read",
                "orders:write",
                "reports",
                "invoices:read",
                "customers:read",
                "stock:read",
            ])
            .claim("tenant", "0123456789abcdef0123456789abcdef")
            .sign();
        let issuer = Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()));
        let api = ResourceServer::builder(API).issuer(issuer).without_cache().build().expect("a server");
        let issuer = Issuer::new(ISSUER).keys(Keys::jwks(idp.jwks()));
        let remembers = ResourceServer::builder(API).issuer(issuer).build().expect("a server");

        let mut group = criterion.benchmark_group(algorithm.name());
        group.throughput(Throughput::Elements(1));

        let key = prepared(algorithm, &idp.jwks());
        let (input, signature) = token.rsplit_once('.').expect("a token");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        group.bench_function("raw", |bencher| {
            bencher
                .iter(|| key.verify_sig(black_box(input.as_bytes()), &signature).expect("a good signature"));
        });

        group.bench_function("verify", |bencher| {
            bencher.iter(|| now(api.verify(black_box(&token))).expect("a good token"));
        });

        group.bench_function("known", |bencher| {
            bencher.iter(|| now(remembers.verify(black_box(&token))).expect("a good token"));
        });

        let mut service = BearerAuthLayer::new(api).scopes(["orders:read"]).layer(Inner);
        let header = format!("Bearer {token}");
        group.bench_function("layer", |bencher| {
            let request = || Request::builder().header("authorization", &header).body(()).expect("a request");
            bencher.iter_batched(
                request,
                |request| {
                    let response = now(service.call(request)).expect("an answer");
                    assert!(response.status().is_success());
                    response
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// The key as `raw` uses it.
fn prepared(algorithm: Algorithm, jwks: &str) -> ParsedPublicKey {
    let jwks: Value = serde_json::from_str(jwks).expect("JSON");
    let bytes = |member: &str| {
        let encoded = jwks["keys"][0][member].as_str().expect("a member");
        URL_SAFE_NO_PAD.decode(encoded).expect("base64url")
    };
    match algorithm {
        Algorithm::RS256 => RsaPublicKeyComponents { n: bytes("n"), e: bytes("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .expect("a key"),
        Algorithm::ES256 => {
            let point = [vec![4], bytes("x"), bytes("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).expect("a key")
        }
        _ => ParsedPublicKey::new(&ED25519, bytes("x")).expect("a key"),
    }
}

/// The keys are fixed, so nothing ever waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("fixed keys are there"),
    }
}

#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::new(())))
    }
}

criterion_group!(benches, verification);
criterion_main!(benches);
