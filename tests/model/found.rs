//! Tokens that were looked up while their issuer takes them back: `Inner::verify`, `confirm` and what they remember, `Desk`,
//! `Cache` and the copies of each thread as they are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::{Pending, Sought, Stop, Trusted, Verified, Waited};
use crate::lookup::desk::LIVE_ANSWER_FOR;
use crate::lookup::{Found, FoundClaims, LookupFuture, OpaqueToken, TokenLookup};
use crate::server::{Issuer, ResourceServer};
use crate::sync::{Runtime, Thread, block_on, explore, never, thread};
use crate::time::Clock;

const TOKEN: &str = "an-opaque-token-of-somebody";

/// What an issuer says of it.
#[derive(Clone, Copy)]
enum Word {
    Good,
    Inactive,
    /// It is active, and not for us.
    NotOurs,
}

/// Says one after the other.
struct Says(Mutex<VecDeque<Word>>);

impl TokenLookup for Says {
    fn look_up(&self, _: OpaqueToken) -> LookupFuture {
        let word = self.0.lock().unwrap().pop_front().unwrap();
        Box::pin(async move {
            let audience = match word {
                Word::Good => "https://api.example",
                Word::NotOurs => "https://other.example",
                Word::Inactive => return Ok(Found::Inactive),
            };
            let claims = format!(r#"{{"aud":"{audience}","client_id":"c","exp":600}}"#);
            FoundClaims::parse(claims).map(Found::Active)
        })
    }
}

/// A time that passes when the model says so.
#[derive(Clone)]
struct Told(Instant, Arc<AtomicU64>);

impl Told {
    /// So long that each who comes asks for himself.
    fn passes(&self) {
        self.1.fetch_add(LIVE_ANSWER_FOR.as_secs(), Ordering::Relaxed);
    }
}

impl Clock for Told {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }

    fn instant(&self) -> Instant {
        self.0 + Duration::from_secs(self.1.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, _: Instant) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

fn server<const N: usize>(says: [Word; N]) -> (ResourceServer, Told) {
    let clock = Told(Instant::now(), Arc::default());
    let issuer = Issuer::unnamed("sessions").lookup(Says(Mutex::new(says.into())));
    let server = ResourceServer::builder("https://api.example").issuer(issuer).clock(clock.clone());
    (server.build().unwrap(), clock)
}

/// A route.
type Route = fn(&ResourceServer, Option<&Waited>) -> Result<Verified, Stop>;

fn plain(server: &ResourceServer, waited: Option<&Waited>) -> Result<Verified, Stop> {
    server.0.verify(TOKEN.as_bytes(), &Trusted::All, waited)
}

fn live(server: &ResourceServer, waited: Option<&Waited>) -> Result<Verified, Stop> {
    server.0.confirm(plain(server, waited)?, &Trusted::All, waited).unwrap()
}

fn asks(server: &ResourceServer, route: Route) -> Pending {
    match route(server, None) {
        Err(Stop::Pending(pending)) => pending,
        _ => panic!("nobody was asked"),
    }
}

/// Asks, and has the answer.
fn hears(server: &ResourceServer, route: Route, runtime: &Runtime) -> Waited {
    let pending = asks(server, route);
    runtime.next().run();
    block_on(pending.ended())
}

/// Whether this thread would believe it, without asking anybody.
fn remembers(server: &ResourceServer) -> bool {
    let mut sought = Sought::now(&server.0.identity);
    server.0.recall(TOKEN.as_bytes(), &Trusted::All, &mut sought).is_some()
}

/// A request goes on with an old answer while the newer one comes to this thread, which then looks what it remembers.
fn is_taken_back(server: &ResourceServer, route: Route, older: Waited, runtime: &Runtime, waits: bool) {
    let pending = Some(asks(server, route)).filter(|_| waits);
    let late = thread({
        let server = server.clone();
        move || drop(route(&server, Some(&older)))
    });
    let refused = pending.map(|pending| {
        let server = server.clone();
        thread(move || {
            let newer = block_on(pending.ended());
            never(
                route(&server, Some(&newer)).is_ok(),
                "a token was accepted by who heard that it is not good",
            );
        })
    });
    runtime.next().run();
    // By now this thread keeps a copy.
    let _ = (remembers(server), remembers(server));
    late.join();
    refused.map(Thread::join);
    never(remembers(server), "a token was remembered after it was taken back");
}

/// Everybody knows the token, and live routes ask once more.
///
/// Catches a token that is remembered and not looked at again; a refusal that is noted after the token was forgotten; copies
/// of threads that are not forgotten; one who asks, goes away, and leaves it to nobody to forget.
#[test]
fn what_live_routes_hear_is_believed() {
    for (word, waits) in [(Word::Inactive, true), (Word::NotOurs, true), (Word::Inactive, false)] {
        explore(2, move || {
            let runtime = Runtime::enter();
            let (server, clock) = server([Word::Good, Word::Good, word]);
            let first = hears(&server, plain, &runtime);
            never(plain(&server, Some(&first)).is_err(), "a good token was refused");
            clock.passes();
            let older = hears(&server, live, &runtime);
            clock.passes();
            never(!remembers(&server) || !remembers(&server), "a good token was not remembered");
            is_taken_back(&server, live, older, &runtime, waits);
        });
    }
}

/// Nobody knows it yet, and two other routes have asked, one after the other.
///
/// Catches the same, copies that are forgotten before what they are made of, and a request that believes what is remembered
/// more than what it has heard.
#[test]
fn what_other_routes_hear_is_believed() {
    for (word, waits) in [(Word::Inactive, true), (Word::NotOurs, true), (Word::Inactive, false)] {
        explore(2, move || {
            let runtime = Runtime::enter();
            let (server, clock) = server([Word::Good, word]);
            let older = hears(&server, plain, &runtime);
            clock.passes();
            is_taken_back(&server, plain, older, &runtime, waits);
        });
    }
}
