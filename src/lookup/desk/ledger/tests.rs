//! The ledger, step by step, and in any order.

#![expect(clippy::arithmetic_side_effects, reason = "a test whose times cannot overflow")]

use proptest::prelude::*;

use super::*;

fn token(number: u16) -> Digest {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    digest
}

/// Its number, if it is a new one, and whether it runs.
fn ask(ledger: &mut Ledger<u16>, of: u16, now: Instant) -> Option<(u64, bool)> {
    match ledger.ask(token(of), now, || of) {
        Asked::New { number, runs, with } => {
            assert_eq!(*with, of);
            Some((number, runs))
        }
        _ => None,
    }
}

#[test]
fn one_token_is_looked_up_once() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    let (number, runs) = ask(&mut ledger, 1, now).unwrap();
    assert!(runs);
    assert!(matches!(ledger.ask(token(1), now, || 2), Asked::Joined(1)));
    assert_eq!(ledger.end(&token(1), number, Outcome::Answered, now), Some(1));
    assert_eq!(ledger.end(&token(1), number, Outcome::Answered, now), None);
    assert!(ask(&mut ledger, 1, now).is_some());
    ledger.refuse(token(1), TokenError::Inactive, now, REFUSED_FOR);
    assert!(matches!(ledger.ask(token(1), now, || 1), Asked::Refused(TokenError::Inactive)));
}

#[test]
fn strangers_leave_places_for_those_who_are_known() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    for known in 60_000..60_300 {
        ledger.accept(token(known), now);
    }
    let mut strangers = Vec::new();
    for of in 0..1000 {
        strangers.extend(ask(&mut ledger, of, now));
    }
    let free = MAX_LOOKUPS - KEPT_LOOKUPS;
    assert_eq!(strangers.iter().filter(|(_, runs)| *runs).count(), free);
    assert_eq!(strangers.len(), free + MAX_QUEUED_LOOKUPS);
    let known: Vec<_> = (60_000..60_300).filter_map(|of| ask(&mut ledger, of, now)).collect();
    assert_eq!(known.iter().filter(|(_, runs)| *runs).count(), KEPT_LOOKUPS);
    assert_eq!(known.len(), KEPT_LOOKUPS + MAX_QUEUED_LOOKUPS);
    // Whoever is known goes first, also to the place of a stranger.
    assert_eq!(ledger.end(&token(0), strangers[0].0, Outcome::Answered, now), Some(0));
    assert_eq!(ledger.next().copied(), Some(60_000 + u16::try_from(KEPT_LOOKUPS).unwrap()));
    assert_eq!(ledger.next(), None);
    // A token that was revoked is a stranger.
    ledger.refuse(token(60_299), TokenError::Inactive, now, REFUSED_FOR);
    assert_eq!(ledger.accepted.find(&token(60_299), now), None);
}

#[test]
fn a_token_that_was_accepted_is_known_for_an_hour() {
    let (mut ledger, now) = (Ledger::<u16>::new(), Instant::now());
    let hour = Duration::from_secs(3600);
    assert!(!ledger.is_known(&token(1), now));
    ledger.accept(token(1), now);
    assert!(ledger.is_known(&token(1), now + hour - Duration::from_secs(1)));
    assert!(!ledger.is_known(&token(1), now + hour));
}

#[test]
fn after_failures_in_a_row_nothing_is_asked_and_then_one() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    let mut next = 0;
    let mut fails = |ledger: &mut Ledger<u16>, outcome, now| {
        next += 1;
        let number = ask(ledger, next, now)?.0;
        ledger.end(&token(next), number, outcome, now)
    };
    for _ in 1..BREAKER_FAILURES {
        assert!(fails(&mut ledger, Outcome::Failed, now).is_some());
    }
    // Others than failures do not count, an answer starts anew.
    for outcome in [Outcome::Neither, Outcome::Answered] {
        assert!(fails(&mut ledger, outcome, now).is_some());
    }
    for _ in 0..BREAKER_FAILURES {
        assert!(fails(&mut ledger, Outcome::Failed, now).is_some());
    }
    assert_eq!(ledger.for_strangers.pause(now), Some(BREAKER_PAUSE));
    assert!(fails(&mut ledger, Outcome::Answered, now).is_none());
    let now = now + BREAKER_PAUSE;
    let (probe, _) = ask(&mut ledger, 1000, now).unwrap();
    assert!(ask(&mut ledger, 1001, now).is_none(), "one at a time");
    ledger.end(&token(1000), probe, Outcome::Failed, now);
    assert_eq!(ledger.for_strangers.pause(now), Some(BREAKER_PAUSE));
    let now = now + BREAKER_PAUSE;
    let (probe, _) = ask(&mut ledger, 1000, now).unwrap();
    ledger.end(&token(1000), probe, Outcome::Neither, now);
    let (probe, _) = ask(&mut ledger, 1000, now).unwrap();
    ledger.end(&token(1000), probe, Outcome::Answered, now);
    assert_eq!(ledger.for_strangers.pause(now), None);
}

#[test]
fn failures_of_strangers_hold_up_nobody_who_is_known() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    (60_000..60_010).for_each(|known| ledger.accept(token(known), now));
    let fails = |ledger: &mut Ledger<u16>, of| {
        let number = ask(ledger, of, now).map(|(number, _)| number);
        number.is_some_and(|number| ledger.end(&token(of), number, Outcome::Failed, now).is_some())
    };
    // One token may fail as often as it likes.
    assert!((0..100).all(|_| fails(&mut ledger, 0) && fails(&mut ledger, 60_000)));
    assert_eq!((0..100).filter(|of| fails(&mut ledger, *of)).count(), BREAKER_FAILURES - 1);
    assert_eq!(ledger.pause(&token(0), now), Some(BREAKER_PAUSE));
    assert_eq!(ledger.pause(&token(60_000), now), None);
    assert!(fails(&mut ledger, 60_000));
    // An answer about one who is known is good news for all.
    let (number, _) = ask(&mut ledger, 60_000, now).unwrap();
    ledger.end(&token(60_000), number, Outcome::Answered, now);
    assert_eq!(ledger.pause(&token(0), now), None);
    // Their failures hold up everybody.
    assert_eq!((60_000..60_010).filter(|of| fails(&mut ledger, *of)).count(), BREAKER_FAILURES);
    for of in [0, 60_000] {
        assert_eq!(ledger.pause(&token(of), now), Some(BREAKER_PAUSE));
    }
}

#[test]
fn a_pause_that_is_asked_for_is_given() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    (60_000..60_010).for_each(|known| ledger.accept(token(known), now));
    let (pause, short) = (Duration::from_secs(20), Duration::from_secs(1));
    let begin = |ledger: &mut Ledger<u16>, of, now| ask(ledger, of, now).map(|(number, _)| number);
    let earlier = begin(&mut ledger, 1, now).unwrap();
    let busy = begin(&mut ledger, 2, now).unwrap();
    ledger.end(&token(2), busy, Outcome::Held(pause), now);
    // One stranger's is for strangers.
    assert_eq!(ledger.pause(&token(1), now), Some(pause));
    assert_eq!(ledger.pause(&token(60_000), now), None);
    // Neither an answer to an earlier question nor one about somebody who is known ends it.
    ledger.end(&token(1), earlier, Outcome::Answered, now);
    let known = begin(&mut ledger, 60_000, now).unwrap();
    ledger.end(&token(60_000), known, Outcome::Answered, now);
    assert_eq!(ledger.pause(&token(1), now), Some(pause));
    // That of one who is known is for all, and none makes another shorter.
    let [one, other] = [60_001, 60_002].map(|of| begin(&mut ledger, of, now).unwrap());
    ledger.end(&token(60_001), one, Outcome::Held(pause * 2), now);
    ledger.end(&token(60_002), other, Outcome::Held(short), now);
    for of in [1, 60_000] {
        assert_eq!(ledger.pause(&token(of), now), Some(pause * 2));
    }
    // And then one goes first.
    let now = now + pause * 2;
    let probe = begin(&mut ledger, 60_003, now).unwrap();
    assert_eq!(begin(&mut ledger, 60_004, now), None);
    ledger.end(&token(60_003), probe, Outcome::Held(Duration::MAX), now);
    assert_eq!(ledger.pause(&token(60_000), now), Some(MAX_LOOKUP_RETRY_AFTER));
    let now = now + MAX_LOOKUP_RETRY_AFTER;
    let probe = begin(&mut ledger, 60_005, now).unwrap();
    ledger.end(&token(60_005), probe, Outcome::Answered, now);
    for of in [1, 60_000] {
        assert_eq!(ledger.pause(&token(of), now), None);
    }
}

#[test]
fn what_never_ends_is_given_up() {
    let (mut ledger, now) = (Ledger::new(), Instant::now());
    let first: Vec<_> = (0..1000).filter_map(|of| ask(&mut ledger, of, now)).collect();
    let now = now + LOST_AFTER;
    let (_, runs) = ask(&mut ledger, 0, now).unwrap();
    assert!(runs);
    assert_eq!(ledger.end(&token(0), first[0].0, Outcome::Failed, now), None, "it came too late");
    assert_eq!((ledger.running, ledger.lookups.len()), (1, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u16),
    Accept(u16),
    Refuse(u16),
    /// Of those that were started, this one, in this way.
    End(usize, Outcome),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let held = (0..100_u64).prop_map(|seconds| Outcome::Held(Duration::from_secs(seconds)));
    let outcome = prop_oneof![
        6 => Just(Outcome::Answered), 4 => Just(Outcome::Failed), 2 => Just(Outcome::Neither), 1 => held,
    ];
    prop_oneof![
        20 => (0..900_u16).prop_map(Step::Ask),
        2 => (0..900_u16).prop_map(Step::Accept),
        1 => (0..900_u16).prop_map(Step::Refuse),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::End(which, outcome)),
        1 => (0..4_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_any_order_the_bounds_hold(steps in prop::collection::vec(step(), 1..1500)) {
        let (mut ledger, mut now) = (Ledger::new(), Instant::now());
        let mut started: Vec<(u16, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask(of) => {
                    let free = ledger.pause(&token(of), now).is_none() && !ledger.lookups.contains_key(&token(of));
                    let swept_at = ledger.swept_at;
                    if let Some((number, _)) = ask(&mut ledger, of, now) {
                        prop_assert!(free || ledger.swept_at != swept_at);
                        started.push((of, number));
                    }
                }
                Step::Accept(of) => ledger.accept(token(of), now),
                Step::Refuse(of) => ledger.refuse(token(of), TokenError::Inactive, now, REFUSED_FOR),
                Step::End(which, outcome) if !started.is_empty() => {
                    let (of, number) = started.swap_remove(which % started.len());
                    let counts = ledger.lookups.get(&token(of)).filter(|entry| entry.number == number);
                    let is_stranger = counts.is_some_and(|entry| !entry.is_known);
                    let (before, waiting) = (ledger.for_known.pause(now), ledger.known.clone());
                    let held = |ledger: &Ledger<u16>| match ledger.for_known {
                        Breaker::Open { until, wanted: true } if now < until => Some(until),
                        _ => None,
                    };
                    let wanted = held(&ledger);
                    ledger.end(&token(of), number, outcome, now);
                    prop_assert!(held(&ledger) >= wanted, "a pause that was asked for ended early");
                    if is_stranger && outcome != Outcome::Answered {
                        prop_assert_eq!(ledger.for_known.pause(now), before);
                        prop_assert_eq!(&ledger.known, &waiting);
                    }
                    while ledger.next().is_some() {}
                }
                Step::End(..) => {}
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            let runs = |known: Option<bool>| {
                let fits = |entry: &&Entry<u16>| entry.runs && known.is_none_or(|known| entry.is_known == known);
                ledger.lookups.values().filter(fits).count()
            };
            for breaker in [&ledger.for_strangers, &ledger.for_known] {
                match breaker {
                    Breaker::Closed { failed } => prop_assert!(failed.len() < BREAKER_FAILURES),
                    Breaker::Open { until, wanted } => {
                        let longest = if *wanted { MAX_LOOKUP_RETRY_AFTER } else { BREAKER_PAUSE };
                        prop_assert!(*until <= now + longest);
                    }
                    Breaker::Probing { number } => {
                        prop_assert!(ledger.lookups.values().any(|entry| entry.number == *number));
                    }
                }
            }
            prop_assert_eq!(ledger.running, runs(None));
            prop_assert_eq!(ledger.running_strangers, runs(Some(false)));
            prop_assert!(ledger.running <= MAX_LOOKUPS);
            prop_assert!(ledger.running_strangers <= MAX_LOOKUPS - KEPT_LOOKUPS);
            for (queue, known) in [(&ledger.strangers, false), (&ledger.known, true)] {
                prop_assert!(queue.len() <= MAX_QUEUED_LOOKUPS);
                let waits = ledger.lookups.values().filter(|e| !e.runs && e.is_known == known).count();
                prop_assert_eq!(queue.len(), waits);
                prop_assert!(queue.iter().all(|token| !ledger.lookups[token].runs));
            }
        }
    }
}
