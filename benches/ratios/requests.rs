//! Requests through the layer, net of a layer that does nothing: new tokens, known ones, and refusals.

use std::cell::Cell;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Instant, SystemTime};

use http::{Request, Response, StatusCode};
use serde_json::json;
use tower::Service;
use tower_bearer::{Found, FoundClaims, Issuer, LookupFuture, OpaqueToken, ResourceServer, TokenLookup};

use crate::Effort;
use crate::common::measure::{PerOne, rounds, time};
use crate::common::requests::{Control, Inner, bare, now, protected, remembering, request, server};
use crate::common::tokens::{API, SCOPE, Sample, Signer, Walk};
use crate::report::{Goal, Report};

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    let signer = Signer::new("RS256");
    let fresh = signer.samples(effort.fresh);
    let api = || server(&signer).build().expect("a server");

    let mut walk = Walk::new(&fresh, effort.batch);
    let mut raw = Walk::new(&fresh, effort.batch);
    let mut without = Walk::new(&fresh, effort.batch);
    let (mut cold, mut noop) = (protected(&api()), Inner);
    let taken = rounds(
        effort.machine,
        effort.wanted,
        vec![
            ("raw", Box::new(|| time(raw.next(), |sample| signer.verify_raw(black_box(sample))))),
            ("noop", Box::new(|| call(&mut noop, without.next(), StatusCode::OK))),
            ("cold", Box::new(|| call(&mut cold, walk.next(), StatusCode::OK))),
        ],
    );
    report.row(
        format!("RS256: a new token through the layer, {} in turn / raw", fresh.len()),
        taken.net_ratio("cold", "noop", "raw"),
        Goal::AtMost(1.08),
    );

    for (count, goal) in [(1, 0.010), (100, 0.014), (1_000, 0.035), (10_000, 0.065)] {
        let known = &fresh[..count.min(fresh.len())];
        let mut warm = protected(&remembering(&signer, count));
        call(&mut warm, known, StatusCode::OK);
        let batch = 4 * effort.batch;
        let mut walk = Walk::new(known, batch);
        let mut without = Walk::new(known, batch);
        let mut raw = Walk::new(known, effort.batch / 4);
        let mut noop = Inner;
        let taken = rounds(
            effort.machine,
            effort.wanted,
            vec![
                ("raw", Box::new(|| time(raw.next(), |sample| signer.verify_raw(black_box(sample))))),
                ("noop", Box::new(|| call(&mut noop, without.next(), StatusCode::OK))),
                ("warm", Box::new(|| call(&mut warm, walk.next(), StatusCode::OK))),
            ],
        );
        let net = taken.median("warm") - taken.median("noop");
        report.figure(format!("RS256: a known token, {count} in turn, ns"), net);
        let ratio = taken.net_ratio("warm", "noop", "raw");
        report.row(format!("RS256: a known token, {count} in turn / raw"), ratio, Goal::AtMost(goal));
    }
    floor(effort, &signer, report);
    looked_up(effort, &signer, report);
    refusals(effort, &signer, (&api(), &api()), report);
}

/// What a request with a known token cannot be spared.
fn floor(effort: Effort<'_>, signer: &Signer, report: &mut Report) {
    let (batch, good) = (4 * effort.batch, signer.samples(1));
    let (mut control, mut noop) = (Control::new(), Inner);
    let (mut tokens, mut without) = (Walk::new(&good, batch), Walk::new(&good, batch));
    let clocks = |()| {
        black_box((Instant::now(), SystemTime::now()));
    };
    let taken = rounds(
        effort.machine,
        effort.wanted,
        vec![
            ("noop", Box::new(|| call(&mut noop, without.next(), StatusCode::OK))),
            ("control", Box::new(|| call(&mut control, tokens.next(), StatusCode::OK))),
            ("nothing", Box::new(|| time(std::iter::repeat_n((), batch), black_box))),
            ("clocks", Box::new(|| time(std::iter::repeat_n((), batch), clocks))),
        ],
    );
    report.figure("inserting one Arc into a request, ns", taken.net("control", "noop"));
    report.figure("reading both clocks, ns", taken.net("clocks", "nothing"));
}

/// Knows one token.
struct Sessions;

impl TokenLookup for Sessions {
    fn look_up(&self, token: OpaqueToken) -> LookupFuture {
        let claims = json!({"aud": API, "client_id": "robot", "scope": SCOPE, "exp": 100_000_000_000_u64});
        assert_eq!(token.expose(), OPAQUE);
        Box::pin(async move { Ok(Found::Active(FoundClaims::parse(claims.to_string())?)) })
    }
}

const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA";

/// A token that was looked up, and comes again.
fn looked_up(effort: Effort<'_>, signer: &Signer, report: &mut Report) {
    let issuer = Issuer::unnamed("sessions").lookup(Sessions);
    let api = ResourceServer::builder(API).issuer(issuer).build().expect("a server");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(api.verify(OPAQUE)).expect("a good token");
    let (mut warm, mut noop) = (protected(&api), Inner);
    let (batch, good) = (4 * effort.batch, signer.samples(1));
    let token = [Sample::unsigned(OPAQUE)];
    let mut tokens = Walk::new(&token, batch);
    let mut without = Walk::new(&token, batch);
    let taken = rounds(
        effort.machine,
        effort.wanted,
        vec![
            ("raw", Box::new(|| time(0..batch / 16, |_| signer.verify_raw(black_box(&good[0]))))),
            ("noop", Box::new(|| call(&mut noop, without.next(), StatusCode::OK))),
            ("warm", Box::new(|| call(&mut warm, tokens.next(), StatusCode::OK))),
        ],
    );
    report.figure("a known token that was looked up, ns", taken.median("warm") - taken.median("noop"));
    let ratio = taken.net_ratio("warm", "noop", "raw");
    report.row("a known token that was looked up / raw RS256", ratio, Goal::AtMost(0.010));
}

/// `used` has met a good token of the issuer, as one in use has; `unused` has not, and so knows no header.
fn refusals(
    effort: Effort<'_>,
    signer: &Signer,
    (used, unused): (&ResourceServer, &ResourceServer),
    report: &mut Report,
) {
    let good = signer.samples(1);
    call(&mut protected(used), &good, StatusCode::OK);
    let of = |claims| vec![signer.sample(0, &claims)];
    for (name, api, lines, goal) in [
        ("no token", used, None, 0.03),
        ("junk", used, Some(vec![Sample::unsigned("junk")]), 0.03),
        ("a long junk", used, Some(vec![Sample::unsigned(&"junk".repeat(220))]), 0.03),
        ("expired", used, Some(of(json!({"exp": 1_000_000_000}))), 0.07),
        // It would have a header that nobody knows.
        ("of another issuer", unused, Some(of(json!({"iss": "https://other.example.com"}))), 0.07),
        ("for another audience", used, Some(of(json!({"aud": "https://other.example.com"}))), 0.07),
    ] {
        let (mut refusing, mut noop) = (protected(api), Inner);
        let batch = effort.batch;
        let requests = || (0..batch).map(|_| lines.as_ref().map_or_else(bare, |lines| request(&lines[0])));
        let rounds = rounds(
            effort.machine,
            effort.wanted,
            vec![
                ("raw", Box::new(|| time(0..batch / 4, |_| signer.verify_raw(black_box(&good[0]))))),
                ("noop", Box::new(|| send(&mut noop, requests(), StatusCode::OK))),
                ("refusal", Box::new(|| send(&mut refusing, requests(), StatusCode::UNAUTHORIZED))),
            ],
        );
        let ratio = rounds.net_ratio("refusal", "noop", "raw");
        report.row(format!("401: {name} / raw RS256"), ratio, Goal::AtMost(goal));
    }
}

/// Sends these tokens, and drops the answers.
pub(crate) fn call<'a, S>(
    service: &mut S,
    samples: impl IntoIterator<Item = &'a Sample>,
    expected: StatusCode,
) -> PerOne
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    send(service, samples.into_iter().map(request), expected)
}

fn send<S>(service: &mut S, requests: impl IntoIterator<Item = Request<()>>, expected: StatusCode) -> PerOne
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let others = Cell::new(0);
    let took = time(requests, |request| {
        let response = now(service.call(request)).expect("an answer");
        if response.status() != expected {
            others.set(others.get() + 1);
        }
    });
    assert_eq!(others.get(), 0, "not {expected}");
    took
}
