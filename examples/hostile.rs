//! A service's own settings, tried with nearly two hundred hostile tokens.
//!
//! `cargo run --example hostile` needs no network. In a service this is a test.

#![expect(clippy::print_stdout, reason = "a program talks to people")]

use tower_bearer::settings::Settings;
use tower_bearer::testing::{HostileToken, HostileTokens, Idp, ManualClock};

const API: &str = "https://api.example.com";

/// In a service: `Settings::read("settings.toml")`.
const SETTINGS: &str = r#"
resource = "https://api.example.com"

[[issuer]]
iss = "https://id.example.com"
"#;

/// The same, with a mistake: tokens for anybody are accepted.
const LAX: &str = r#"
resource = "https://api.example.com"

[[issuer]]
iss = "https://id.example.com"
dangerous_any_audience = true
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, text) in [("as it should be", SETTINGS), ("with any audience", LAX)] {
        // The issuer of the settings, with keys and a clock of the test.
        let clock = ManualClock::new();
        let idp = Idp::new("https://id.example.com").clock(clock.clone());
        let api = Settings::from_toml(text)?.builder()?.fetch(idp.clone()).clock(clock).build()?;
        match HostileTokens::of(&idp.token(API)).check(&api).await {
            Ok(refused) if refused > 100 => println!("{name}: every hostile token is refused"),
            Ok(refused) => println!("{name}: only {refused} were tried"),
            Err(report) => {
                let accepted: Vec<_> = report.accepted().map(HostileToken::name).collect();
                println!("{name}: accepted are {}", accepted.join(", "));
            }
        }
    }
    Ok(())
}
