//! A token that was never seen: verification beside the bare signature.

use std::hint::black_box;

use tower_bearer::Algorithm;

use crate::Effort;
use crate::measure::{rounds, time};
use crate::report::{Goal, Report};
use crate::requests::now;
use crate::tokens::Signer;

pub(crate) fn rows(effort: Effort, report: &mut Report) {
    for (algorithm, goal) in [
        (Algorithm::RS256, 1.05),
        (Algorithm::PS256, 1.05),
        (Algorithm::ES256, 1.015),
        (Algorithm::ES384, 1.01),
        (Algorithm::Ed25519, 1.03),
    ] {
        let signer = Signer::new(algorithm);
        let samples = signer.samples(effort.batch / 2);
        let api = signer.server().without_cache().build().expect("a server");
        let rounds = rounds(
            effort.rounds,
            vec![
                ("raw", Box::new(|| time(&samples, |sample| signer.verify_raw(black_box(sample))))),
                (
                    "verify",
                    Box::new(|| {
                        time(&samples, |sample| {
                            drop(now(api.verify(black_box(&sample.token))).expect("a good token"));
                        })
                    }),
                ),
            ],
        );
        let name = algorithm.name();
        report.figure(
            format!("{name}: raw, ns, token of {} bytes", samples[0].token.len()),
            rounds.median("raw"),
        );
        report.row(
            format!("{name}: verify, no cache / raw"),
            rounds.ratio("verify", "raw"),
            Goal::AtMost(goal),
        );
    }
}
