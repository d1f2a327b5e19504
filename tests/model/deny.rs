//! Denials while several threads change and read them.

use std::sync::Arc;

use super::{Said, Table};
use crate::deny::Denial;
use crate::sync::{Thread, explore, never, thread};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(0);
const END: Timestamp = Timestamp::from_micros(1);

fn denies(table: &Table, subject: &str) -> bool {
    let said =
        Said { issuer: "issuer", token_id: None, subject: Some(subject), client_id: None, issued_at: None };
    table.denies(&said, NOW)
}

fn deny(table: &Table, subject: &str) {
    never(table.deny(Denial::subject("issuer", subject), END, NOW).is_err(), "there was no room");
}

fn allow(table: &Table, subject: &str) {
    let known = table.known(&Denial::subject("issuer", subject));
    never(known.is_none(), "it was not there");
    known.iter().for_each(|known| table.allow(known));
}

/// Two threads deny, one of them what another allows again.
///
/// Catches a change that is made of what was there before another.
#[test]
fn what_was_denied_is_denied_for_whoever_looks_later() {
    explore(3, || {
        let table = Arc::new(Table::new());
        deny(&table, "old");
        let denying = |subject: &'static str| {
            let table = table.clone();
            thread(move || {
                deny(&table, subject);
                never(!denies(&table, subject), "a token was accepted after it was denied");
            })
        };
        let threads = [denying("one"), denying("two")];
        allow(&table, "old");
        never(denies(&table, "old"), "a token was denied after it was allowed");
        threads.into_iter().for_each(Thread::join);
        never(!denies(&table, "one") || !denies(&table, "two"), "a denial was lost");
        never(denies(&table, "old"), "a denial came back");
    });
}

/// The shared list says that a denial was taken back, as it was before it was denied here again.
///
/// Catches an answer that counts more than what was denied since it was asked for.
#[test]
fn an_old_answer_of_the_list_takes_back_nothing_new() {
    explore(3, || {
        let table = Arc::new(Table::new());
        deny(&table, "one");
        let asked = table.written();
        let listing = {
            let table = table.clone();
            thread(move || {
                let ended = (Denial::subject("issuer", "one"), NOW);
                never(table.take_over([ended].into_iter(), asked, NOW).is_err(), "there was no room");
            })
        };
        deny(&table, "one");
        never(!denies(&table, "one"), "an old answer has taken back a new denial");
        listing.join();
        never(!denies(&table, "one"), "an old answer has taken back a new denial");
    });
}

/// It is allowed again, which takes a while, and is denied again meanwhile.
///
/// Catches an `allow` that takes back whatever is there.
#[test]
fn to_allow_takes_back_nothing_that_came_later() {
    explore(3, || {
        let table = Arc::new(Table::new());
        deny(&table, "one");
        let known = table.known(&Denial::subject("issuer", "one"));
        let denying = {
            let table = table.clone();
            thread(move || {
                deny(&table, "one");
                never(!denies(&table, "one"), "a token was accepted after it was denied");
            })
        };
        known.iter().for_each(|known| table.allow(known));
        denying.join();
        never(!denies(&table, "one"), "a later denial was taken back");
    });
}
