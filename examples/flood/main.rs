//! What a flood costs: first requests all at once, made-up key ids, a rotation in the middle of them, and what good
//! requests notice of it; and the same of tokens that must be looked up.
//!
//! `cargo run --release --example flood` measures with the clocks of this machine and ends; it takes about two minutes.
//! With `-- --paced` it does the last part only, which is described in `paced.rs`; with `-- --opaque` what is in
//! `opaque.rs`; with `-- --quick` it does less of
//! everything, and leaves the rotation out. Keys are fetched over a real socket on loopback; where nothing else is said,
//! requests go through the layer in this process, so that the figures are its own and not those of a client.
//!
//! It ends with code 1 if a bound is broken that does not depend on how fast the machine is: a fetch beyond the budget, two
//! calls for one opaque token, a good token refused, a made-up one accepted, a request of which nobody knows what became.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

mod flat_out;
mod opaque;
mod paced;
mod tally;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use self::world::World;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How much of each.
struct Size {
    first_requests: u32,
    made_up: u64,
    /// Good requests beside the flood.
    good: u32,
    rotation: bool,
    opaque: opaque::Size,
    paced: paced::Size,
}

const FULL: Size = Size {
    first_requests: 10_000,
    made_up: 1_000_000,
    good: 3_000,
    rotation: true,
    opaque: opaque::Size { first_requests: 10_000, made_up: 100_000, good: 1_000, unanswered: 2_000 },
    paced: paced::Size {
        rounds: 5,
        length: Duration::from_secs(1),
        calibration: Duration::from_millis(500),
        good_per_second: 1000,
    },
};
const QUICK: Size = Size {
    first_requests: 500,
    made_up: 20_000,
    good: 200,
    rotation: false,
    opaque: opaque::Size { first_requests: 500, made_up: 1_000, good: 50, unanswered: 300 },
    paced: paced::Size {
        rounds: 1,
        length: Duration::from_millis(200),
        calibration: Duration::from_millis(50),
        good_per_second: 100,
    },
};

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (size, all) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => (FULL, true),
        ["--quick"] => (QUICK, true),
        ["--paced"] => (FULL, false),
        ["--opaque"] => {
            let mut broken = Vec::new();
            opaque::flood(&FULL.opaque, &mut broken).await?;
            return Ok(verdict(&broken));
        }
        _ => return Err("usage: flood [--quick | --paced | --opaque]".into()),
    };
    let mut broken = Vec::new();
    let world = World::start().await?;
    if all {
        flat_out::first_requests(&world, size.first_requests, &mut broken).await?;
        flat_out::made_up_key_ids(&world, size.made_up, size.good, &mut broken).await?;
    }
    if all && size.rotation {
        flat_out::rotation(&world, &mut broken).await?;
    }
    if all {
        opaque::flood(&size.opaque, &mut broken).await?;
    }
    paced::compare(&world, &size.paced, &mut broken).await?;
    world.check_budget(&mut broken)?;
    Ok(verdict(&broken))
}

fn verdict(broken: &[String]) -> ExitCode {
    for what in broken {
        println!("BROKEN: {what}");
    }
    println!("{}", if broken.is_empty() { "every bound held" } else { "bounds were broken" });
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
