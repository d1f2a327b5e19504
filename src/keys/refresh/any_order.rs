//! Whatever happens in whatever order: budgets hold, bounds hold, and it always recovers.

#![expect(clippy::arithmetic_side_effects, reason = "a test whose times cannot overflow")]

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(u32),
    Need,
    Miss,
    Tick,
    Demand,
    Succeed { fresh: u32, stale: u32, roll: u32 },
    Fail { retry_after: Option<u32>, roll: u32 },
    Restore { usable: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_000_u32).prop_map(Step::Pass),
        1 => (0..4_000_000_u32).prop_map(Step::Pass),
        4 => Just(Step::Need),
        4 => Just(Step::Miss),
        3 => Just(Step::Tick),
        1 => Just(Step::Demand),
        3 => (60..3600_u32, 0..3600_u32, any::<u32>())
            .prop_map(|(fresh, stale, roll)| Step::Succeed { fresh, stale, roll }),
        3 => (proptest::option::of(0..1000_u32), any::<u32>())
            .prop_map(|(retry_after, roll)| Step::Fail { retry_after, roll }),
        2 => (0..3600_u32).prop_map(|usable| Step::Restore { usable }),
    ]
}

/// What may be expected, kept beside the machine in the simplest way.
#[derive(Default)]
struct Model {
    fresh_until: Option<Instant>,
    stale_until: Option<Instant>,
    /// What was told last.
    state: Option<KeyState>,
    misses: Vec<Instant>,
    /// The end of the last scheduled fetch, if it failed.
    schedule_failed: Option<Instant>,
    flying: Option<(Instant, bool)>,
    last_failed: bool,
}

impl Model {
    /// Changes follow from one another, and end where the set is.
    fn is_told(&mut self, refresh: &mut Refresh, now: Instant) {
        let state = refresh.state(now);
        let mut at_work = false;
        while let Some(change) = refresh.next_change(at_work) {
            at_work = true;
            assert_eq!(change.from, self.state.unwrap_or(KeyState::Cold));
            assert_ne!(change.from, change.to);
            self.state = Some(change.to);
        }
        let before = |end: Option<Instant>| end.is_some_and(|end| now < end);
        let expected = match self.stale_until {
            None => KeyState::Cold,
            Some(_) if before(self.fresh_until) => KeyState::Fresh,
            end if before(end) => KeyState::Stale,
            Some(_) => KeyState::Expired,
        };
        assert_eq!((state, self.state.unwrap_or(KeyState::Cold)), (expected, expected));
        let next = [self.fresh_until, self.stale_until].into_iter().flatten().find(|end| now < *end);
        assert_eq!(refresh.changes_at(), next, "the timer wakes for it");
    }

    fn starts(&mut self, now: Instant, scheduled: bool) {
        let free = self.flying.is_none_or(|(since, _)| now - since >= FLIGHT_LIMIT);
        assert!(free, "two fetches at one time");
        self.last_failed |= self.flying.is_some();
        self.flying = Some((now, scheduled));
        if scheduled {
            let early = self.schedule_failed.is_some_and(|last| now - last < BACKOFF_MIN / 2);
            assert!(!early, "no pause after a failure");
            return;
        }
        self.misses.push(now);
        for (index, first) in self.misses.iter().enumerate() {
            let count = u128::try_from(self.misses.len() - index).unwrap();
            let intervals = (now - *first).as_nanos() / MISS_INTERVAL.as_nanos();
            let budget = u128::from(MISS_BURST) + intervals;
            assert!(count <= budget, "{count} fetches for misses, {budget} allowed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn budgets_hold_bounds_hold_and_it_always_recovers(steps in proptest::collection::vec(step(), 1..200), by_timer: bool) {
        let mut now = Instant::now();
        let mut refresh = Refresh::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Pass(millis) => now += Duration::from_millis(millis.into()),
                Step::Need => {
                    let alive = model.stale_until.is_some_and(|until| now < until);
                    let supply = refresh.need(now);
                    let used = matches!(supply, Supply::Use | Supply::UseAndFetch);
                    prop_assert_eq!(used, alive, "keys are used exactly up to their bound");
                    if matches!(supply, Supply::UseAndFetch | Supply::Fetch) {
                        model.starts(now, true);
                    }
                    if let Supply::Unavailable(pause) = supply {
                        prop_assert!(pause <= MAX_RETRY_AFTER && pause > Duration::ZERO);
                    }
                }
                Step::Miss if refresh.loaded.is_some() => match refresh.miss(now) {
                    Miss::Fetch => model.starts(now, false),
                    Miss::Unknown => prop_assert!(!model.last_failed, "401 needs a good last fetch"),
                    Miss::Unavailable(pause) => {
                        prop_assert!(refresh.is_troubled(), "503 needs a failure");
                        prop_assert!(pause <= MAX_RETRY_AFTER && pause > Duration::ZERO);
                    }
                    Miss::Join => {}
                },
                Step::Miss => {}
                Step::Tick => {
                    if refresh.tick(now) {
                        model.starts(now, true);
                    }
                }
                Step::Demand => {
                    if refresh.demand(now) {
                        // Whoever may do so waits for no pause.
                        model.schedule_failed = None;
                        model.starts(now, true);
                    }
                }
                Step::Succeed { fresh, stale, roll } => {
                    if refresh.flight().is_some() && model.flying.is_some() {
                        let (fresh_for, stale_for) = (SECOND * fresh, SECOND * stale);
                        refresh.succeeded(now, Freshness { fresh_for, stale_for }, Roll(roll));
                        model.fresh_until = Some(now + fresh_for);
                        model.stale_until = Some(now + fresh_for + stale_for);
                        (model.flying, model.last_failed, model.schedule_failed) = (None, false, None);
                        prop_assert!(!refresh.tick(now + fresh_for * 69 / 100), "what is fresh is left alone");
                    }
                }
                Step::Fail { retry_after, roll } => {
                    if refresh.flight().is_some() && model.flying.is_some() {
                        refresh.failed(now, retry_after.map(|seconds| SECOND * seconds), Roll(roll));
                        if model.flying.take().is_some_and(|(_, scheduled)| scheduled) {
                            model.schedule_failed = Some(now);
                        }
                        model.last_failed = true;
                        prop_assert!(refresh.is_troubled());
                    }
                }
                Step::Restore { usable } => {
                    let restored = refresh.restored(now, SECOND * usable);
                    prop_assert_eq!(restored, model.stale_until.is_none(), "never in the place of other keys");
                    if restored {
                        model.stale_until = Some(now + SECOND * usable);
                        model.last_failed = true;
                        prop_assert!(refresh.state(now) != KeyState::Fresh);
                    }
                }
            }
            model.is_told(&mut refresh, now);
            if let Some(at) = refresh.ask_again_at() {
                prop_assert!(at <= model.stale_until.unwrap(), "nobody uses keys past their bound unasked");
            }
            if let Some(until) = refresh.unknown_until().filter(|until| now < *until) {
                for at in [now, until - Duration::from_nanos(1)] {
                    prop_assert_eq!(refresh.clone().miss(at), Miss::Unknown, "asked or not");
                }
            }
        }
        // From here on the issuer answers. However bad it was, within the longest pause there are new keys.
        let longest = MAX_RETRY_AFTER.max(BACKOFF_MAX).max(FLIGHT_LIMIT);
        let limit = now + longest + SECOND;
        while refresh.state(now) != KeyState::Fresh {
            // By the timer alone, or by requests alone.
            let starts = if by_timer { refresh.tick(now) } else { matches!(refresh.need(now), Supply::Fetch | Supply::UseAndFetch) };
            if starts {
                refresh.succeeded(now, Freshness::default(), Roll(0));
            }
            now += SECOND / 2;
            prop_assert!(now <= limit, "it has not recovered: {:?}", refresh);
        }
    }
}
