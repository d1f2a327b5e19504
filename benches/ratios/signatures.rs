//! A token that was never seen: verification beside the bare signature.

use std::hint::black_box;

use crate::Effort;
use crate::common::measure::{rounds, time};
use crate::common::requests::{now, server};
use crate::common::tokens::Signer;
use crate::report::{Goal, Report};

pub(crate) fn rows(effort: Effort<'_>, report: &mut Report) {
    for (name, goal) in [("RS256", 1.05), ("PS256", 1.05), ("ES256", 1.015), ("ES384", 1.01), ("EdDSA", 1.03)]
    {
        let signer = Signer::new(name);
        let samples = signer.samples(effort.batch / 5);
        let api = server(&signer).without_cache().build().expect("a server");
        let rounds = rounds(
            effort.machine,
            effort.wanted,
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
