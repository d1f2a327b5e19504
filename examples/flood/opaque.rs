//! Opaque tokens, which somebody must be asked about: first requests all at once, made-up tokens beside a good one that is
//! asked about every time, and an endpoint that accepts connections and says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tower_bearer::manual::defaults::LOOKUP_TIMEOUT;
use tower_bearer::testing::Loopback;
use tower_bearer::testing::systems::{ClickView, Served};
use tower_bearer::{
    BearerAuthLayer, Fetch, FetchRequest, Introspection, Issuer, Profile, ReqwestFetch, ResourceServer,
};

use crate::Error;
use crate::tally::{Expected, Tally};
use crate::world::Way;

const SECRET: &str = "its-secret";

/// More than may be asked about or queue at the same moment.
const SENDERS: u64 = 512;

/// What a machine that is busy with all of them may take longer.
const SLACK: Duration = Duration::from_secs(3);

pub(crate) struct Size {
    pub(crate) first_requests: u32,
    pub(crate) made_up: u64,
    /// Good requests beside the flood.
    pub(crate) good: u32,
    /// Requests to the endpoint that says nothing.
    pub(crate) unanswered: u32,
}

pub(crate) async fn flood(size: &Size, broken: &mut Vec<String>) -> Result<(), Error> {
    let issuer = ClickView::new()
        .client("robot", SECRET, ["read"])
        .by_reference("robot")
        .api_resource("integrations", SECRET, ["read"])
        .serve()
        .await?;
    let token = reference(&issuer).await?;
    first_requests(&issuer, &token, size.first_requests, broken).await?;
    made_up_tokens(&issuer, &token, size, broken).await?;
    silent_endpoint(size.unanswered, broken).await
}

/// All at once, before anybody was asked.
async fn first_requests(
    issuer: &Served<ClickView>,
    token: &Arc<str>,
    count: u32,
    broken: &mut Vec<String>,
) -> Result<(), Error> {
    let way = Way::Called(BearerAuthLayer::new(server(issuer.url(), true)?));
    let (tally, start) = (Arc::new(Tally::default()), Instant::now());
    at_once(&way, &tally, (0..count).map(|_| token.clone())).await?;
    let asked = calls(issuer);
    println!("first requests at once with one opaque token: {tally}, in {:?}; {asked} call", start.elapsed());
    tally.check(Expected::Ok, broken);
    if asked != 1 {
        broken.push(format!("{asked} calls for one token"));
    }
    Ok(())
}

/// Made-up tokens as fast as they go, each asked about, and a good one beside them of which nothing is remembered but that
/// it was good.
async fn made_up_tokens(
    issuer: &Served<ClickView>,
    token: &Arc<str>,
    size: &Size,
    broken: &mut Vec<String>,
) -> Result<(), Error> {
    let way = Way::Called(BearerAuthLayer::new(server(issuer.url(), false)?));
    let (good, made_up, start) = (Tally::default(), Arc::new(Tally::default()), Instant::now());
    good.send(&way, token).await;
    let before = calls(issuer);
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (way, tally, stop, next) = (way.clone(), made_up.clone(), stop.clone(), next.clone());
        senders.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                tally.send(&way, &format!("{number:064X}-1")).await;
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..size.good {
        good.send(&way, token).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while made_up.sent() < size.made_up {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(sender) = senders.join_next().await {
        sender?;
    }
    let asked = calls(issuer).saturating_sub(before);
    println!("made-up opaque tokens: {made_up}, in {:?}; {asked} calls meanwhile", start.elapsed());
    println!("one good token beside them, asked about each time: {good}");
    good.check(Expected::Ok, broken);
    made_up.check(Expected::Refused, broken);
    Ok(())
}

/// A connection, and no answer.
async fn silent_endpoint(count: u32, broken: &mut Vec<String>) -> Result<(), Error> {
    let silent = Loopback::bind().await?;
    let way = Way::Called(BearerAuthLayer::new(server(silent.url(), true)?));
    let (tally, start) = (Arc::new(Tally::default()), Instant::now());
    at_once(&way, &tally, (0..count).map(|n| format!("{n:064X}-1").into())).await?;
    let took = start.elapsed();
    println!("an endpoint that says nothing: {tally}, in {took:?} (bound {LOOKUP_TIMEOUT:?})");
    if tally.unavailable() != u64::from(count) {
        broken.push(format!("not all were told to come again: {tally}"));
    }
    if took > LOOKUP_TIMEOUT.saturating_add(SLACK) {
        broken.push(format!("{took:?} for an endpoint that says nothing"));
    }
    Ok(())
}

async fn at_once(way: &Way, tally: &Arc<Tally>, tokens: impl Iterator<Item = Arc<str>>) -> Result<(), Error> {
    let mut requests = JoinSet::new();
    for token in tokens {
        let (way, tally) = (way.clone(), tally.clone());
        requests.spawn(async move { tally.send(&way, &token).await });
    }
    while let Some(done) = requests.join_next().await {
        done?;
    }
    Ok(())
}

fn server(url: &str, remembers: bool) -> Result<ResourceServer, Error> {
    let endpoint = Introspection::at(format!("{url}/connect/introspect")).basic("integrations", SECRET);
    let issuer = Issuer::new(url)
        .introspection(endpoint)
        .audience("integrations")
        .profile(Profile::clickview())
        .dangerous_allow_http();
    let server = ResourceServer::builder("https://api.example.com").issuer(issuer);
    Ok(if remembers { server } else { server.without_cache() }.build()?)
}

/// A token that the issuer has handed out.
async fn reference(issuer: &Served<ClickView>) -> Result<Arc<str>, Error> {
    let form = format!("grant_type=client_credentials&client_id=robot&client_secret={SECRET}");
    let request = FetchRequest::new(format!("{}/connect/token", issuer.url()), "application/json").post(form);
    let answer = ReqwestFetch::new()?.fetch(request).await?;
    let answer: serde_json::Value = serde_json::from_slice(answer.body())?;
    Ok(answer.get("access_token").and_then(serde_json::Value::as_str).ok_or("no token")?.into())
}

fn calls(issuer: &Served<ClickView>) -> usize {
    issuer.requests().iter().filter(|request| request.ends_with("/connect/introspect")).count()
}
