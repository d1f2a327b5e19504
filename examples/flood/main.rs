//! What a flood costs: first requests all at once, made-up key ids, a rotation in the middle of them, what good requests
//! notice of it, and what they notice of forged tokens; and the same of tokens that must be looked up.
//!
//! `cargo run --release --example flood` measures with the clocks of this machine and ends; it takes about half an hour.
//! With `-- --paced`, `-- --forged` or `-- --opaque` it does one part only, which is described in `paced.rs`, `forged.rs` or
//! `opaque.rs`; with `-- --quick` it does less of everything, and leaves the rotation out. Keys are fetched over a real socket on loopback; where nothing else is said,
//! requests go through the layer in this process, so that the figures are its own and not those of a client.
//!
//! It ends with code 1 if a bound is broken that does not depend on how fast the machine is: a fetch beyond the budget, two
//! calls for one opaque token, a good token refused, a made-up one accepted, a request of which nobody knows what became.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

mod busy;
mod flat_out;
mod forged;
mod opaque;
mod paced;
mod seen;
mod split;
mod taken;
mod tally;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use self::world::World;

/// What one thread sends, another drops. With the allocator of glibc one waits for the other then, now and then for
/// milliseconds (seen), and that would be in the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One part alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Paced,
    Forged,
    Opaque,
}

/// How much of each.
struct Size {
    first_requests: u32,
    made_up: u64,
    /// Good requests beside the flood.
    good: u32,
    rotation: bool,
    opaque: opaque::Size,
    paced: paced::Size,
    forged: forged::Size,
}

const FULL: Size = Size {
    first_requests: 10_000,
    made_up: 1_000_000,
    good: 3_000,
    rotation: true,
    opaque: opaque::Size { first_requests: 10_000, made_up: 100_000, good: 1_000, unanswered: 2_000 },
    paced: paced::Size {
        turns: 150,
        length: Duration::from_millis(100),
        calibration: Duration::from_millis(200),
        good_per_second: 1000,
    },
    forged: forged::Size { turns: 5, length: Duration::from_secs(1), good_per_second: 500 },
};
const QUICK: Size = Size {
    first_requests: 500,
    made_up: 20_000,
    good: 200,
    rotation: false,
    opaque: opaque::Size { first_requests: 500, made_up: 1_000, good: 50, unanswered: 300 },
    paced: paced::Size {
        turns: 1,
        length: Duration::from_millis(200),
        calibration: Duration::from_millis(50),
        good_per_second: 100,
    },
    forged: forged::Size { turns: 1, length: Duration::from_millis(200), good_per_second: 100 },
};

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (size, only) = match arguments.as_slice() {
        [] => (FULL, None),
        [quick] if quick == "--quick" => (QUICK, None),
        [paced] if paced == "--paced" => (FULL, Some(Part::Paced)),
        [forged] if forged == "--forged" => (FULL, Some(Part::Forged)),
        [opaque] if opaque == "--opaque" => (FULL, Some(Part::Opaque)),
        _ => return Err("usage: flood [--quick | --paced | --forged | --opaque]".into()),
    };
    let mut broken = Vec::new();
    let wanted = |part| only.is_none_or(|only| only == part);
    if only.is_none() {
        let world = World::start().await?;
        flat_out::first_requests(&world, size.first_requests, &mut broken).await?;
        flat_out::made_up_key_ids(&world, size.made_up, size.good, &mut broken).await?;
        if size.rotation {
            flat_out::rotation(&world, &mut broken).await?;
        }
    }
    if wanted(Part::Paced) {
        broken.extend(tokio::task::spawn_blocking(|| paced::compare(size.paced)).await??);
    }
    if wanted(Part::Forged) {
        forged::compare(&size.forged, &mut broken).await?;
    }
    if wanted(Part::Opaque) {
        opaque::flood(&size.opaque, &mut broken).await?;
    }
    for what in &broken {
        println!("BROKEN: {what}");
    }
    println!("{}", if broken.is_empty() { "every bound held" } else { "bounds were broken" });
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
