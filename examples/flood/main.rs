//! What a flood costs: first requests all at once, made-up key ids, a rotation in the middle of them, what good requests
//! notice of it, and what they notice of forged tokens.
//!
//! `cargo run --release --example flood` measures with the clocks of this machine and ends; it takes about three minutes.
//! With `-- --paced` or `-- --forged` it does one of the last two parts only, which are described in `paced.rs` and
//! `forged.rs`; with `-- --quick` it does less of everything, and leaves the rotation out. Keys are fetched over a real socket on loopback; where nothing else is said,
//! requests go through the layer in this process, so that the figures are its own and not those of a client.
//!
//! It ends with code 1 if a bound is broken that does not depend on how fast the machine is: a fetch beyond the budget, a
//! good token refused, a made-up one accepted, a request of which nobody knows what became.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

mod flat_out;
mod forged;
mod paced;
mod tally;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use self::world::World;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One part alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Paced,
    Forged,
}

/// How much of each.
struct Size {
    first_requests: u32,
    made_up: u64,
    /// Good requests beside the flood.
    good: u32,
    rotation: bool,
    paced: paced::Size,
    forged: forged::Size,
}

const FULL: Size = Size {
    first_requests: 10_000,
    made_up: 1_000_000,
    good: 3_000,
    rotation: true,
    paced: paced::Size {
        rounds: 5,
        length: Duration::from_secs(1),
        calibration: Duration::from_millis(500),
        good_per_second: 1000,
    },
    forged: forged::Size { rounds: 5, length: Duration::from_secs(1), good_per_second: 500 },
};
const QUICK: Size = Size {
    first_requests: 500,
    made_up: 20_000,
    good: 200,
    rotation: false,
    paced: paced::Size {
        rounds: 1,
        length: Duration::from_millis(200),
        calibration: Duration::from_millis(50),
        good_per_second: 100,
    },
    forged: forged::Size { rounds: 1, length: Duration::from_millis(200), good_per_second: 100 },
};

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (size, only) = match arguments.as_slice() {
        [] => (FULL, None),
        [quick] if quick == "--quick" => (QUICK, None),
        [paced] if paced == "--paced" => (FULL, Some(Part::Paced)),
        [forged] if forged == "--forged" => (FULL, Some(Part::Forged)),
        _ => return Err("usage: flood [--quick | --paced | --forged]".into()),
    };
    let mut broken = Vec::new();
    if only != Some(Part::Forged) {
        let world = World::start().await?;
        if only.is_none() {
            flat_out::first_requests(&world, size.first_requests, &mut broken).await?;
            flat_out::made_up_key_ids(&world, size.made_up, size.good, &mut broken).await?;
        }
        if only.is_none() && size.rotation {
            flat_out::rotation(&world, &mut broken).await?;
        }
        paced::compare(&world, &size.paced, &mut broken).await?;
        world.check_budget(&mut broken)?;
    }
    if only != Some(Part::Paced) {
        forged::compare(&size.forged, &mut broken).await?;
    }
    for what in &broken {
        println!("BROKEN: {what}");
    }
    println!("{}", if broken.is_empty() { "every bound held" } else { "bounds were broken" });
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
