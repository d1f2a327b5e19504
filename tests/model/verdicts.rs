//! Remembered verdicts while the keys they rest on are replaced or blocked: `Inner::verify` with its `recall` and `remember`,
//! `RemoteKeys`, `KeySet`, `Standing` and `Cache` as they are.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};

use super::{Issuer, ResourceServer, Stop, Trusted, Verified};
use crate::fetch::{Fetch, FetchFuture, FetchRequest, FetchResponse};
use crate::keys::Keys;
use crate::sync::{Runtime, Thread, block_on, explore, never, thread};
use crate::time::Clock;

const ISSUER: &str = "https://issuer.example";

/// A key: its `kid`, and the byte that it is made of.
type Key = (&'static str, u8);
const A: Key = ("a", 0x51);
const B: Key = ("b", 0x52);

/// Publishes one set after the other, and goes on with the last.
struct Publishes(Mutex<VecDeque<&'static [Key]>>);

impl Fetch for Publishes {
    fn fetch(&self, _: FetchRequest) -> FetchFuture {
        let mut sets = self.0.lock().unwrap();
        let keys = if sets.len() > 1 { sets.pop_front() } else { sets.front().copied() };
        let response = FetchResponse::new(StatusCode::OK, HeaderMap::new(), jwks(keys.unwrap_or_default()));
        Box::pin(async { Ok(response) })
    }
}

fn jwks(keys: &[Key]) -> String {
    let keys = keys.iter().map(|(kid, byte)| {
        let x = URL_SAFE_NO_PAD.encode([*byte; 32]);
        format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}"#)
    });
    format!(r#"{{"keys":[{}]}}"#, keys.collect::<Vec<_>>().join(","))
}

/// Signed with a key as the backend of the models has it.
fn token((kid, byte): Key) -> String {
    let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"https://api.example","iat":0,"exp":600,"jti":"1","sub":"c","client_id":"c"}}"#
    );
    [header.as_bytes(), claims.as_bytes(), &[byte; 32]].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// A time that does not pass.
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1)
    }

    fn instant(&self) -> Instant {
        self.0
    }

    fn sleep_until(&self, _: Instant) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// A server whose issuer publishes these sets; it has fetched the first.
fn server(runtime: &Runtime, sets: &[&'static [Key]]) -> ResourceServer {
    let publishes = Publishes(Mutex::new(sets.iter().copied().collect()));
    let issuer = Issuer::new(ISSUER).keys(Keys::jwks_url(format!("{ISSUER}/jwks")));
    let server = ResourceServer::builder("https://api.example").issuer(issuer).fetch(publishes);
    let server = server.clock(Still(Instant::now())).build().unwrap();
    assert!(matches!(answer(&server, A), Answer::Waits(_)));
    runtime.next().run();
    server
}

enum Answer {
    Remembered,
    Verified,
    Refused,
    Waits(super::Pending),
}

fn answer(server: &ResourceServer, key: Key) -> Answer {
    match server.0.verify(token(key).as_bytes(), &Trusted::All, None) {
        Ok(Verified { cached: true, .. }) => Answer::Remembered,
        Ok(Verified { cached: false, .. }) => Answer::Verified,
        Err(Stop::Refused(_)) => Answer::Refused,
        Err(Stop::Pending(pending)) => Answer::Waits(pending),
    }
}

fn accepts(server: &ResourceServer, key: Key) -> bool {
    matches!(answer(server, key), Answer::Remembered | Answer::Verified)
}

/// Asks the issuer again, and runs what is to be fetched until it has answered.
fn refresh(server: &ResourceServer, runtime: &Runtime) {
    let mut demand = std::pin::pin!(server.refresh_now(ISSUER));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(refreshed) = demand.as_mut().poll(&mut context) {
            return never(refreshed.is_err(), "a fetch failed");
        }
        runtime.next().run();
    }
}

/// A token is being verified, and remembered, while a set without its key comes into use; somebody else has seen the new set.
///
/// Catches a standing that is looked at before a verdict is stored, and not each time it is found; keys that are
/// withdrawn after the new set is in use, and not before.
#[test]
fn a_withdrawn_key_is_believed_by_nobody_who_knows() {
    explore(2, || {
        let runtime = Runtime::enter();
        let server = server(&runtime, &[&[A], &[B]]);
        let verifies = thread({
            let server = server.clone();
            move || answer(&server, A)
        });
        let watches = thread({
            let server = server.clone();
            move || {
                if accepts(&server, B) {
                    never(accepts(&server, A), "a key was believed when its successor was in use");
                }
            }
        });
        refresh(&server, &runtime);
        never(accepts(&server, A), "a key was believed after it was withdrawn");
        drop((verifies.join(), watches.join()));
        never(accepts(&server, A), "a verdict outlived its key");
        never(!accepts(&server, B), "the new key was not believed");
    });
}

/// The same with a key that is blocked.
///
/// Catches a standing that is looked at before a verdict is stored, and not each time it is found.
#[test]
fn a_blocked_key_is_believed_by_nobody_afterwards() {
    explore(3, || {
        let runtime = Runtime::enter();
        let server = server(&runtime, &[&[A]]);
        let verify = |server: &ResourceServer| {
            let server = server.clone();
            thread(move || drop((answer(&server, A), answer(&server, A))))
        };
        let verifies = [verify(&server), verify(&server)];
        never(server.block_key(ISSUER, "a") != Ok(true), "the key to be blocked was not found");
        never(accepts(&server, A), "a key was believed after it was blocked");
        verifies.into_iter().for_each(Thread::join);
        never(accepts(&server, A), "a verdict outlived its key");
    });
}

/// A key is blocked while it comes again, under another name. Who blocks it when nothing in use has its old name any more is
/// told so.
///
/// Catches a lock on the blocked names that is released before the new keys are in use.
#[test]
fn a_key_that_comes_again_while_it_is_blocked_is_blocked() {
    explore(3, || {
        const AGAIN: Key = ("again", A.1);
        let runtime = Runtime::enter();
        let server = server(&runtime, &[&[A], &[AGAIN]]);
        let blocks = thread({
            let server = server.clone();
            move || {
                let found = server.block_key(ISSUER, "a") == Ok(true);
                never(accepts(&server, A), "a key was believed after it was blocked");
                never(found && accepts(&server, AGAIN), "a blocked key was believed under another name");
                found
            }
        });
        refresh(&server, &runtime);
        let found = blocks.join();
        never(accepts(&server, A), "a blocked key was believed in the end");
        never(accepts(&server, AGAIN) == found, "a blocked key was believed under another name in the end");
    });
}

/// Two requests wait for a key that is not in the set, and the fetch brings it.
///
/// Catches waiters who are told before the keys are in use, and a second fetch where one is under way.
#[test]
fn who_waits_for_a_key_gets_it() {
    explore(2, || {
        let runtime = Runtime::enter();
        let server = server(&runtime, &[&[A], &[A, B], &[]]);
        let ask = |server: &ResourceServer| {
            let server = server.clone();
            thread(move || {
                if let Answer::Waits(pending) = answer(&server, B) {
                    let waited = block_on(pending.ended());
                    let answer = server.0.verify(token(B).as_bytes(), &Trusted::All, Some(&waited));
                    never(answer.is_err(), "a key was refused to somebody who waited for it");
                }
            })
        };
        let asks = [ask(&server), ask(&server)];
        runtime.next().run();
        asks.into_iter().for_each(Thread::join);
        never(!runtime.is_idle(), "one miss took two fetches");
        never(!accepts(&server, B), "a key that was fetched was not believed");
    });
}
