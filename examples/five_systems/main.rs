//! Five documented authorization servers and one API that trusts them all: how their clients ask for tokens, what the API
//! accepts, and what it refuses.
//!
//! `cargo run --example five_systems` serves all of them on loopback, calls the API with every token of the table in
//! `rows.rs`, and ends; with code 1 if an answer is another than the table says. `api.rs` is what a service would have.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

mod api;
mod rows;
mod systems;
mod wire;
mod world;

use std::process::ExitCode;

use axum::routing::get;
use tower_bearer::testing::ManualClock;
use tower_bearer::{BearerAuthLayer, ReqwestFetch};

use self::systems::{EVERYTHING, READER, Systems};
use self::world::World;

const API: &str = "https://api.example.com";

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let clock = ManualClock::new();
    let systems = Systems::serve(clock.clone()).await?;
    let server = api::trusting(api::issuers(&systems)).clock(clock.clone()).build()?;
    let named = BearerAuthLayer::new(api::named_only(&systems).clock(clock.clone()).build()?);
    let wicked = api::wicked(&systems, ReqwestFetch::new()?)?.clock(clock.clone()).build()?;
    let sessions = api::sessions(&systems).clock(clock.clone()).build()?;
    let routes = api::routes(server)
        .route("/named", get(api::who).layer(named))
        .merge(api::opaque_routes(wicked, sessions));
    let world = World::serve(systems, clock, routes).await?;

    line(["system", "asked for", "sent", "to", "expected", "got"]);
    let (mut tried, mut wrong) = (0_u32, 0_u32);
    for case in rows::cases() {
        for row in &case.rows {
            let outcome = world.run(&case, row).await?;
            tried = tried.saturating_add(1);
            wrong = wrong.saturating_add(u32::from(outcome.got != outcome.expected));
            let ask = row.ask(&case);
            let [expected, got] = [&outcome.expected, &outcome.got].map(|text| short(text));
            line([
                ask.system.name(),
                &format!("{}, {}", ask.path, ask.how),
                row.sent,
                row.route(&case),
                &expected,
                &got,
            ]);
        }
    }
    println!("\n{tried} rows, {wrong} of them not as expected");
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first part of an UUID is enough for a person.
fn short(text: &str) -> String {
    [READER, EVERYTHING].into_iter().fold(text.to_owned(), |text, client| {
        text.replace(client, client.split('-').next().unwrap_or(client))
    })
}

fn line([system, asked, sent, route, expected, got]: [&str; 6]) {
    println!("{system:<10}{asked:<46}{sent:<44}{route:<20}{expected:<44}{got}");
}
