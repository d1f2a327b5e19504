//! One event after the other, and what it says.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// The latest: 90 % of the fresh time, and pauses in full.
const LATE: Roll = Roll(21 * 51 - 1);
/// When a set that was loaded with it is due.
const DUE: Duration = Duration::from_secs(540);

fn loaded(at: Instant) -> Refresh {
    let mut refresh = Refresh::default();
    assert_eq!(refresh.need(at), Supply::Fetch);
    refresh.succeeded(at, Freshness::default(), LATE);
    refresh
}

#[test]
fn jitter_stays_within_its_bounds_and_reaches_them() {
    let times: Vec<_> = (0..1000).map(|n| Roll(n).between(FRESH_FOR, 70, 90)).collect();
    assert_eq!(times.iter().min(), Some(&Duration::from_secs(420)));
    assert_eq!(times.iter().max(), Some(&DUE));
    assert_eq!(LATE.between(FRESH_FOR, 70, 90), DUE);
    assert_eq!(LATE.between(BACKOFF_MAX, 50, 100), BACKOFF_MAX);
}

#[test]
fn the_first_request_fetches_and_the_others_join() {
    let now = Instant::now();
    let mut refresh = Refresh::default();
    assert_eq!(refresh.state(now), KeyState::Cold);
    assert_eq!(refresh.need(now), Supply::Fetch);
    assert_eq!(refresh.need(now), Supply::Join);
    refresh.succeeded(now, Freshness::default(), LATE);
    assert_eq!(refresh.need(now), Supply::Use);
    assert_eq!(refresh.state(now), KeyState::Fresh);
}

#[test]
fn a_refresh_starts_once_before_the_keys_are_stale() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert_eq!(refresh.need(now + DUE - SECOND), Supply::Use);
    assert_eq!(refresh.need(now + DUE), Supply::UseAndFetch);
    assert_eq!(refresh.need(now + DUE), Supply::Use);
}

#[test]
fn the_timer_does_what_a_request_would() {
    let now = Instant::now();
    assert_eq!(Refresh::default().wake_at(now), None, "the first fetch belongs to a request");
    let mut refresh = loaded(now);
    assert_eq!(refresh.wake_at(now), Some(now + DUE));
    assert!(!refresh.tick(now + DUE - SECOND));
    assert!(refresh.tick(now + DUE));
    assert!(!refresh.tick(now + DUE), "one is under way");
    assert_eq!(refresh.wake_at(now), Some(now + DUE + FLIGHT_LIMIT));
    refresh.failed(now + DUE, None, LATE);
    assert_eq!(refresh.wake_at(now), Some(now + DUE + BACKOFF_MIN));
    assert!(refresh.tick(now + DUE + BACKOFF_MIN));
}

#[test]
fn restored_keys_are_stale_and_the_schedule_goes_on() {
    let now = Instant::now();
    let mut refresh = Refresh::default();
    assert_eq!(refresh.need(now), Supply::Fetch);
    assert!(refresh.restored(now, STALE_FOR));
    refresh.failed(now, None, LATE);
    assert_eq!(refresh.state(now), KeyState::Stale);
    assert_eq!(refresh.changes_at(), Some(now + STALE_FOR));
    assert_eq!(refresh.need(now), Supply::Use);
    assert_eq!(refresh.wake_at(now), Some(now + BACKOFF_MIN));
    assert_eq!(refresh.need(now + BACKOFF_MIN), Supply::UseAndFetch);
    refresh.failed(now + BACKOFF_MIN, None, LATE);
    assert!(!refresh.restored(now + BACKOFF_MIN, STALE_FOR), "once");
    for _ in 0..MISS_BURST {
        assert_eq!(refresh.miss(now + SECOND * 2), Miss::Fetch);
        refresh.failed(now + SECOND * 2, None, LATE);
    }
    assert!(matches!(refresh.miss(now + SECOND * 2), Miss::Unavailable(_)), "no key is unknown");
    assert_eq!(refresh.state(now + STALE_FOR), KeyState::Expired);
    assert!(!refresh.restored(now + STALE_FOR, STALE_FOR), "not to be had a second time");
}

#[test]
fn stale_keys_have_an_end() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    let end = now + FRESH_FOR + STALE_FOR;
    assert_eq!(refresh.state(end - SECOND), KeyState::Stale);
    assert_eq!(refresh.changes_at(), Some(end));
    assert_eq!(refresh.need(end - SECOND), Supply::UseAndFetch);
    refresh.failed(end - SECOND, None, LATE);
    assert_eq!(refresh.need(end - SECOND / 2), Supply::Use);
    assert_eq!(refresh.need(end), Supply::Fetch);
    refresh.failed(end, None, LATE);
    assert!(matches!(refresh.need(end), Supply::Unavailable(_)));
    assert_eq!(refresh.state(end), KeyState::Expired);
    assert_eq!(refresh.changes_at(), None);
}

/// What is left to tell, as somebody would who is told nothing else.
fn told(refresh: &mut Refresh) -> Vec<(KeyState, KeyState)> {
    let mut told = Vec::new();
    while let Some(change) = refresh.next_change(!told.is_empty()) {
        told.push((change.from, change.to));
    }
    told
}

#[test]
fn each_change_is_told_once_whoever_notices_it() {
    use KeyState::{Cold, Expired, Fresh, Stale};
    type Notice = fn(&mut Refresh, Instant);
    let now = Instant::now();
    let (stale, expired) = (now + FRESH_FOR, now + FRESH_FOR + STALE_FOR);
    let notices: [(&str, Notice); 5] = [
        ("a request", |refresh, now| _ = refresh.need(now)),
        ("the timer", |refresh, now| _ = refresh.tick(now)),
        ("a look", |refresh, now| _ = refresh.state(now)),
        ("a failure", |refresh, now| refresh.failed(now, None, LATE)),
        ("a success", |refresh, now| refresh.succeeded(now, Freshness::default(), LATE)),
    ];
    for (name, notice) in notices {
        let mut refresh = loaded(now);
        assert_eq!(told(&mut refresh), [(Cold, Fresh)], "{name}");
        notice(&mut refresh, stale - SECOND);
        assert!(!refresh.has_changed(), "{name}");

        let mut refresh = loaded(now);
        notice(&mut refresh, stale);
        notice(&mut refresh, stale);
        let recovery = (name == "a success").then_some((Stale, Fresh));
        let expected: Vec<_> = [(Cold, Fresh), (Fresh, Stale)].into_iter().chain(recovery).collect();
        assert_eq!(told(&mut refresh), expected, "{name}");

        let mut refresh = loaded(now);
        notice(&mut refresh, expired);
        let recovery = (name == "a success").then_some((Expired, Fresh));
        let expected: Vec<_> =
            [(Cold, Fresh), (Fresh, Stale), (Stale, Expired)].into_iter().chain(recovery).collect();
        assert_eq!(told(&mut refresh), expected, "{name}, long after");
    }
}

#[test]
fn an_older_time_makes_nothing_younger() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert_eq!(refresh.state(now + FRESH_FOR), KeyState::Stale);
    assert_eq!(refresh.state(now + FRESH_FOR - SECOND), KeyState::Stale);
    assert_eq!(told(&mut refresh).len(), 2);
}

#[test]
fn one_at_a_time_tells_and_takes_over_what_comes_meanwhile() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert_eq!(refresh.next_change(false).map(|change| change.to), Some(KeyState::Fresh));
    assert_eq!(refresh.state(now + FRESH_FOR), KeyState::Stale);
    assert_eq!(refresh.next_change(false), None, "somebody else tells");
    let change = refresh.next_change(true).unwrap();
    assert_eq!((change.to, change.ends), (KeyState::Stale, Some(now + FRESH_FOR + STALE_FOR)));
    assert_eq!(refresh.next_change(true), None);
    assert_eq!(refresh.state(now + FRESH_FOR + STALE_FOR), KeyState::Expired);
    assert!(refresh.next_change(false).is_some(), "the next may tell");
    assert_eq!(refresh.state(now + FRESH_FOR + STALE_FOR), KeyState::Expired);
    refresh.succeeded(now + FRESH_FOR + STALE_FOR, Freshness::default(), LATE);
    assert_eq!(refresh.next_change(false), None, "it is at work");
    assert_eq!(refresh.next_change(true).map(|change| change.to), Some(KeyState::Fresh));
    assert_eq!(refresh.next_change(true), None);
}

#[test]
fn the_issuers_own_times_count() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    let times = Freshness { fresh_for: MIN_FRESH_FOR, stale_for: Duration::ZERO };
    refresh.succeeded(now, times, LATE);
    assert_eq!(refresh.need(now + SECOND * 53), Supply::Use);
    assert_eq!(refresh.need(now + SECOND * 54), Supply::UseAndFetch);
    refresh.failed(now + SECOND * 54, None, LATE);
    assert_eq!(refresh.need(now + MIN_FRESH_FOR), Supply::Fetch, "nothing stale is used");
}

#[test]
fn a_fetch_that_never_ends_is_given_up_and_its_late_end_does_not_count() {
    let now = Instant::now();
    let mut refresh = Refresh::default();
    assert_eq!(refresh.need(now), Supply::Fetch);
    let lost = refresh.flight();
    assert_eq!(refresh.need(now + FLIGHT_LIMIT - SECOND), Supply::Join);
    assert_eq!(refresh.need(now + FLIGHT_LIMIT), Supply::Fetch);
    assert!(refresh.flight() > lost);
}

#[test]
fn there_is_nothing_to_ask_before_something_can_happen() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert_eq!(refresh.ask_again_at(), Some(now + DUE));
    let due = now + DUE;
    assert_eq!(refresh.need(due), Supply::UseAndFetch);
    assert_eq!(refresh.ask_again_at(), Some(due + FLIGHT_LIMIT));
    refresh.failed(due, None, LATE);
    assert_eq!(refresh.ask_again_at(), Some(due + BACKOFF_MIN));
    let stale = now + FRESH_FOR;
    assert_eq!(refresh.need(stale - SECOND / 2), Supply::UseAndFetch);
    refresh.failed(stale - SECOND / 2, None, LATE);
    assert_eq!(refresh.ask_again_at(), Some(stale), "there is a change to tell");
    assert_eq!(refresh.need(stale), Supply::Use);
    assert_eq!(refresh.ask_again_at(), Some(stale - SECOND / 2 + BACKOFF_MIN * 2));
    let end = now + FRESH_FOR + STALE_FOR;
    assert_eq!(refresh.need(end - SECOND / 2), Supply::UseAndFetch);
    refresh.failed(end - SECOND / 2, None, LATE);
    assert_eq!(refresh.ask_again_at(), Some(end), "never past the bound");
}

#[test]
fn failures_back_off_up_to_the_maximum_and_are_cut_at_random() {
    let mut now = Instant::now();
    let mut refresh = Refresh::default();
    for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(refresh.need(now), Supply::Fetch);
        refresh.failed(now, None, LATE);
        let pause = SECOND * pause;
        assert_eq!(refresh.need(now), Supply::Unavailable(pause));
        now += pause;
    }
    assert_eq!(refresh.need(now), Supply::Fetch);
    refresh.failed(now, None, Roll(0));
    assert_eq!(refresh.need(now), Supply::Unavailable(BACKOFF_MAX / 2));
    for _ in 0..100 {
        refresh.failed(now, None, LATE);
    }
    assert_eq!(refresh.need(now), Supply::Unavailable(BACKOFF_MAX));
}

#[test]
fn misses_have_a_budget_that_failures_use_up_too() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert_eq!(refresh.miss(now), Miss::Fetch);
    assert_eq!(refresh.miss(now), Miss::Join);
    refresh.succeeded(now, Freshness::default(), LATE);
    assert_eq!(refresh.miss(now), Miss::Fetch);
    refresh.failed(now, None, LATE);
    assert!(matches!(refresh.miss(now), Miss::Unavailable(_)));
    assert_eq!(refresh.miss(now + MISS_INTERVAL), Miss::Fetch);
    refresh.succeeded(now + MISS_INTERVAL, Freshness::default(), LATE);
    assert_eq!(refresh.miss(now + MISS_INTERVAL), Miss::Unknown);
}

#[test]
fn neither_holds_back_the_other() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    for _ in 0..MISS_BURST {
        assert_eq!(refresh.miss(now + DUE), Miss::Fetch);
        refresh.failed(now + DUE, None, LATE);
    }
    assert_eq!(refresh.need(now + DUE), Supply::UseAndFetch, "a failed miss delays no refresh");
    refresh.failed(now + DUE, None, LATE);
    assert_eq!(refresh.need(now + DUE), Supply::Use);
    let later = now + DUE + MISS_INTERVAL;
    assert_eq!(refresh.need(later), Supply::UseAndFetch);
    refresh.failed(later, None, LATE);
    assert_eq!(refresh.miss(later), Miss::Fetch, "a failed refresh delays no miss");
}

#[test]
fn an_issuer_that_asks_for_peace_has_it_within_reason() {
    let now = Instant::now();
    let mut refresh = Refresh::default();
    assert_eq!(refresh.need(now), Supply::Fetch);
    refresh.failed(now, Some(SECOND * 30), Roll(0));
    assert_eq!(refresh.need(now), Supply::Unavailable(SECOND * 30));
    assert_eq!(refresh.need(now + SECOND * 30), Supply::Fetch);
    refresh.failed(now, Some(Duration::MAX), LATE);
    assert_eq!(refresh.need(now), Supply::Unavailable(BACKOFF_MAX), "nobody is locked out without keys");

    let mut refresh = loaded(now);
    assert_eq!(refresh.miss(now), Miss::Fetch);
    refresh.failed(now, Some(SECOND * 90), Roll(0));
    assert_eq!(refresh.miss(now), Miss::Unavailable(SECOND * 90));
    assert_eq!(refresh.miss(now + SECOND * 90), Miss::Fetch);
    refresh.failed(now, Some(Duration::MAX), LATE);
    assert_eq!(refresh.miss(now), Miss::Unavailable(MAX_RETRY_AFTER));
    // Nobody can make it hold back the schedule until the keys are gone.
    let short = Freshness { fresh_for: MIN_FRESH_FOR, stale_for: SECOND * 60 };
    let mut refresh = loaded(now);
    refresh.succeeded(now, short, LATE);
    assert_eq!(refresh.miss(now + SECOND * 50), Miss::Fetch);
    refresh.failed(now + SECOND * 50, Some(Duration::MAX), LATE);
    assert_eq!(refresh.need(now + SECOND * 119), Supply::Use);
    assert_eq!(refresh.need(now + SECOND * 120), Supply::Fetch);
}

#[test]
fn a_success_ends_every_pause_and_counts_failures_anew() {
    let mut now = Instant::now();
    let mut refresh = Refresh::default();
    for _ in 0..5 {
        assert_eq!(refresh.need(now), Supply::Fetch);
        refresh.failed(now, None, LATE);
        now += BACKOFF_MAX;
    }
    assert!(refresh.demand(now));
    refresh.failed(now, Some(SECOND * 50), LATE);
    assert!(refresh.demand(now), "an operator waits for no pause");
    assert!(refresh.is_troubled());
    refresh.succeeded(now, Freshness::default(), LATE);
    assert!(!refresh.is_troubled());
    assert_eq!(refresh.miss(now), Miss::Fetch, "no hold is left");
    refresh.succeeded(now, Freshness::default(), LATE);
    assert_eq!(refresh.need(now + DUE), Supply::UseAndFetch, "no pause is left");
    refresh.failed(now + DUE, None, LATE);
    assert_eq!(refresh.ask_again_at(), Some(now + DUE + BACKOFF_MIN), "the first failure again");
}

#[test]
fn a_fetch_that_is_demanded_backs_off_like_a_scheduled_one() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert!(refresh.demand(now + DUE));
    refresh.failed(now + DUE, None, LATE);
    assert_eq!(refresh.need(now + DUE), Supply::Use);
    assert_eq!(refresh.need(now + DUE + BACKOFF_MIN), Supply::UseAndFetch);
}

#[test]
fn a_lost_flight_is_noticed_by_whoever_comes() {
    let now = Instant::now();
    let lost = || {
        let mut refresh = loaded(now);
        assert!(refresh.tick(now + DUE));
        refresh
    };
    let later = now + DUE + FLIGHT_LIMIT;
    assert_eq!(lost().miss(later - SECOND), Miss::Join);
    assert_eq!(lost().miss(later), Miss::Fetch);
    assert!(!lost().demand(later - SECOND));
    assert!(lost().demand(later));
    assert!(lost().tick(later));
    let mut refresh = lost();
    assert_eq!(refresh.need(later), Supply::UseAndFetch);
    assert!(refresh.is_troubled(), "nobody knows what it would have brought");
}

#[test]
fn a_client_is_told_when_something_can_happen() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    for _ in 0..MISS_BURST {
        assert_eq!(refresh.miss(now), Miss::Fetch);
        refresh.failed(now, None, LATE);
    }
    assert_eq!(refresh.miss(now), Miss::Unavailable(MISS_INTERVAL));
    let almost_due = now + DUE - SECOND * 5;
    let mut refresh = loaded(now);
    for _ in 0..MISS_BURST {
        assert_eq!(refresh.miss(almost_due), Miss::Fetch);
        refresh.failed(almost_due, None, LATE);
    }
    assert_eq!(refresh.miss(almost_due), Miss::Unavailable(SECOND * 5));
}

#[test]
fn the_schedule_is_spread_over_time() {
    let now = Instant::now();
    let due = |roll| {
        let mut refresh = Refresh::default();
        refresh.succeeded(now, Freshness::default(), Roll(roll));
        refresh.ask_again_at()
    };
    assert_ne!(due(0), due(20));
    assert_eq!(due(0), Some(now + SECOND * 420));
}

#[test]
fn who_may_demand_keys_waits_for_no_pause() {
    let now = Instant::now();
    let mut refresh = loaded(now);
    assert!(refresh.demand(now));
    assert!(!refresh.demand(now), "one is under way");
    refresh.failed(now, Some(SECOND * 90), LATE);
    assert!(refresh.demand(now));
}
