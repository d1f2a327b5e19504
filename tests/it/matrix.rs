//! The documented systems against one API that trusts them all, over sockets: the table of `examples/five_systems`, with the
//! API made in code and from a settings file.

#[path = "../../examples/five_systems/api.rs"]
mod api;
#[path = "../../examples/five_systems/rows.rs"]
mod rows;
#[path = "../../examples/five_systems/systems.rs"]
mod systems;
#[path = "../../examples/five_systems/wire.rs"]
mod wire;
#[path = "../../examples/five_systems/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tower_bearer::settings::{Access, Settings};
use tower_bearer::testing::ManualClock;
use tower_bearer::{
    BearerAuthLayer, Clock, Fetch, FetchError, FetchErrorKind, FetchFuture, FetchRequest, FetchResponse,
    ResourceServer, ResourceServerBuilder, SystemClock,
};

use self::rows::{Case, Expected, Row};
use self::systems::{System, Systems};
use self::world::World;
use crate::profiles::settings_of;
use crate::settings::Folder;
use crate::support::API;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The keys come over the socket whether the crate's own client is compiled or not.
struct Plain;

impl Fetch for Plain {
    fn fetch(&self, request: FetchRequest) -> FetchFuture {
        Box::pin(async move {
            let (method, form) = request.form().map_or(("GET", ""), |form| ("POST", form));
            let mut headers = vec![];
            if let Some(value) = request.authorization() {
                headers.push(format!("Authorization: {}", value.to_str().unwrap()));
            }
            if request.form().is_some() {
                headers.push("Content-Type: application/x-www-form-urlencoded".to_owned());
            }
            let reply = wire::call(method, request.url(), &headers, form).await;
            let reply = reply.map_err(|error| FetchError::new(FetchErrorKind::Connection).because(error))?;
            Ok(FetchResponse::new(StatusCode::from_u16(reply.status).unwrap(), HeaderMap::new(), reply.body))
        })
    }
}

fn build(builder: ResourceServerBuilder, clock: impl Clock) -> ResourceServer {
    let builder = if cfg!(feature = "reqwest") { builder } else { builder.fetch(Plain) };
    builder.clock(clock).build().unwrap()
}

/// How many rows are accepted and refused, by system.
type Tried = BTreeMap<System, (u32, u32)>;

async fn run(world: &World, is_there: impl Fn(&Case, &Row) -> bool) -> Tried {
    let mut tried = Tried::new();
    for case in rows::cases() {
        for row in case.rows.iter().filter(|row| is_there(&case, row)) {
            let ask = row.ask(&case);
            let name =
                format!("{:?}, {} {}: {} to {}", ask.system, ask.how, ask.path, row.sent, row.route(&case));
            let outcome = world.run(&case, row).await.unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(outcome.got, outcome.expected, "{name}");
            let (accepted, refused) = tried.entry(ask.system).or_default();
            *(if matches!(row.expected, Expected::Accepted) { accepted } else { refused }) += 1;
        }
    }
    tried
}

#[tokio::test]
async fn each_token_is_accepted_where_it_should_be_and_nowhere_else() {
    let clock = ManualClock::new();
    let systems = Systems::serve(clock.clone()).await.unwrap();
    let named = BearerAuthLayer::new(build(api::named_only(&systems), clock.clone()));
    let server = build(api::trusting(api::issuers(&systems)), clock.clone());
    let wicked = build(api::wicked(&systems, Plain).unwrap(), clock.clone());
    let sessions = build(api::sessions(&systems), clock.clone());
    let routes = api::routes(server)
        .route("/named", get(api::who).layer(named))
        .merge(api::opaque_routes(wicked, sessions));
    let world = World::serve(systems, clock, routes).await.unwrap();
    let tried = run(&world, |_, _| true).await;
    let refused: u32 = tried.values().map(|(_, refused)| refused).sum();
    assert!(tried.len() == 5 && refused > 80, "{tried:?}");
    assert!(tried.values().all(|(accepted, refused)| *accepted >= 3 && *refused >= 8), "{tried:?}");
}

/// What a deployer writes, with nothing in code but the handlers: the file that the manual shows.
#[tokio::test]
async fn the_same_from_a_settings_file() {
    let clock = ManualClock::new();
    let systems = Systems::serve(clock.clone()).await.unwrap();
    let folder = Folder::new("matrix");
    folder.write("root.pem", systems.tarkov.root_pem());
    folder.write("oauth_public.key", systems.oro.public_key_pem());
    for file in ["clickview-secret", "aidbox-secret"] {
        folder.write(file, systems::SECRET);
    }
    // Those of the manual are elsewhere, and speak TLS.
    let here = |text: &str, iss: &str, url: &str| {
        assert_eq!(text.matches(&format!("\"{iss}\"")).count(), 1);
        text.replace(&format!("\"{iss}\""), &format!("\"{url}\"\ndangerous_allow_http = true"))
    };
    let [text] = &settings_of("several")[..] else { panic!("one file") };
    let text = here(text, "https://login.clickview.example", systems.clickview.issuer());
    let text = here(&text, "https://shop.aidbox.app", systems.aidbox.issuer());
    let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
    let auth = BearerAuthLayer::new(build(settings.builder().unwrap(), clock.clone()));
    let mut paths = Vec::new();
    let mut routes = Router::new();
    for route in settings.routes().unwrap() {
        let Access::Required(rule) = route.access() else { panic!("{route:?}") };
        routes = routes.route(route.path(), get(api::who).layer(auth.require(rule.clone())));
        paths.push(route.path().to_owned());
    }
    // A client for Kong's list is not what a test can give.
    if cfg!(feature = "reqwest") {
        let [text] = &settings_of("wicked")[..] else { panic!("one file") };
        let text = text.replace("http://127.0.0.1:8001", systems.wicked.admin_url());
        let text =
            text.replace("c2b8cb62-6c5a-4e1b-8f5f-8a1f6c2b9d11", systems.wicked.service("petstore").unwrap());
        let [_, sessions] = &settings_of("aidbox")[..] else { panic!("two files") };
        let sessions = here(sessions, "https://shop.aidbox.app", systems.aidbox.issuer())
            .replace("orders-api", "opaque")
            .replace("\"web-app\"", "\"opaque\"")
            .replace("profile =", "name = \"aidbox\"\nprofile =")
            .replace("web-app =", "opaque =")
            .replace("orders:read", "patients");
        let [wicked, sessions] = [text, sessions].map(|text| {
            let settings = Settings::read(folder.write("settings.toml", text)).unwrap();
            build(settings.builder().unwrap(), clock.clone())
        });
        routes = routes.merge(api::opaque_routes(wicked, sessions));
        paths.extend(["/pets", "/pets/new", "/sessions", "/sessions/reports"].map(str::to_owned));
    }
    let world = World::serve(systems, clock, routes).await.unwrap();
    // A layer for one issuer, and a second server, are not for a file.
    let is_there = |route: &str| paths.iter().any(|path| path == route);
    let tried = run(&world, |case, row| is_there(case.route) && is_there(row.route(case))).await;
    for system in [System::ClickView, System::Wicked, System::Tarkov, System::Oro, System::Aidbox] {
        if system == System::Wicked && cfg!(not(feature = "reqwest")) {
            continue;
        }
        let (accepted, refused) = tried[&system];
        assert!(accepted >= 3 && refused >= 8, "{system:?}: {accepted}, {refused}");
    }
}

/// A server that trusts all of them, and takes their dates at their word.
fn exact(systems: &Systems, clock: impl Clock) -> ResourceServer {
    build(api::trusting(api::issuers(systems).map(|issuer| issuer.leeway(Duration::ZERO))), clock)
}

/// The first way to ask of each system whose tokens are signed.
fn asks() -> Vec<systems::Ask> {
    let mut asks: Vec<systems::Ask> = Vec::new();
    for case in rows::cases() {
        if case.system != System::Wicked && !asks.iter().any(|ask| ask.system == case.system) {
            asks.push(case.ask);
        }
    }
    assert_eq!(asks.len(), 4);
    asks
}

/// With the clock of this machine: `nbf` is the second of issue, and of Oro the microsecond.
#[tokio::test]
async fn a_token_is_accepted_in_the_second_of_its_issue() {
    let systems = Systems::serve(SystemClock::default()).await.unwrap();
    let api = exact(&systems, SystemClock::default());
    let started = SystemTime::now();
    for ask in asks() {
        for n in 0..50 {
            let token = systems.token(&ask).await.unwrap();
            let verified =
                api.verify(&token).await.unwrap_or_else(|why| panic!("{:?} {n}: {why}", ask.system));
            assert_eq!(verified.issuer_name(), ask.system.name());
            let not_before = verified.not_before().or_else(|| verified.issued_at()).unwrap();
            // It is no token of long ago.
            assert!(started.duration_since(not_before).unwrap_or_default() <= Duration::from_secs(1));
        }
    }
}

/// The same in every part of a second; and before that second it is refused.
#[tokio::test]
async fn a_token_is_accepted_in_the_instant_of_its_issue() {
    let clock = ManualClock::new();
    let systems = Systems::serve(clock.clone()).await.unwrap();
    let api = exact(&systems, clock.clone());
    for ask in asks() {
        for nanos in [0, 1, 999, 1_000, 1_999, 90_978_999, 500_000_000, 999_999_000, 999_999_999] {
            let now = UNIX_EPOCH + Duration::new(1_795_253_078, nanos);
            clock.set_time_of_day(now);
            let token = systems.token(&ask).await.unwrap();
            let name = format!("{:?} at {nanos}", ask.system);
            assert!(api.verify(&token).await.is_ok(), "{name}");
            let before =
                if ask.system == System::Oro { Duration::from_micros(1) } else { Duration::from_secs(1) };
            clock.set_time_of_day(now - before);
            assert!(api.verify(&token).await.is_err(), "{name}, before");
        }
    }
}
