//! Two clocks, and the time in a token.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
///
/// Token times (`exp`, `nbf`, `iat`) are compared with the wall clock. Key ages, cooldowns and back-off use
/// the monotonic one, so that setting the machine's clock neither keeps a withdrawn key alive nor stops a
/// refresh.
///
/// # Security
/// A wall clock that runs late keeps expired tokens alive; one that stands still keeps them alive for ever. Without a clock of
/// your own, a server on Linux reads the system's coarse ones, which are late by up to a tick of the kernel, 10 ms at most, or
/// longer where a hypervisor holds a tick up. A token that, with its leeway, has no more than a second left, or that they find
/// too new, is held against the fine one. If a tick is held up for more than that second, tokens are accepted for as much longer.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, as fine as the platform gives it. Do not cut it to seconds: some issuers write the
    /// very instant of issue into `nbf`.
    fn now(&self) -> SystemTime;

    /// A time that never goes back.
    fn instant(&self) -> Instant;

    /// Sleeps until [`instant`](Self::instant) has come to this. Default: a tokio timer, which is right for a clock that runs
    /// as the machine's does; write your own for one that stands still or runs faster.
    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(at.saturating_duration_since(self.instant())))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }

    fn instant(&self) -> Instant {
        (**self).instant()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        (**self).sleep_until(at)
    }
}

/// The operating system's clocks: the default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Both clocks at one moment, for what is asked on each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) instant: Instant,
}

/// Where verification takes the time from at first: the clocks of the server or, if they are the system's and it has them, those that
/// it keeps for whoever asks often. They are read in about a quarter of the time, and
/// stand still between two ticks of the kernel, 1 to 10 ms apart, or longer where a hypervisor holds a tick up. Where that
/// matters to a token, the finer one decides: see [`Now`].
pub(crate) enum Ticks {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Coarse(coarse::Ticks),
    Fine(Arc<dyn Clock>),
}

impl Ticks {
    /// `None` stands for [`SystemClock`].
    pub(crate) fn of(clock: Option<&Arc<dyn Clock>>) -> Self {
        match clock {
            Some(clock) => Self::Fine(clock.clone()),
            None => Self::of_the_system().unwrap_or_else(|| Self::Fine(Arc::new(SystemClock))),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn of_the_system() -> Option<Self> {
        coarse::Ticks::now().map(Self::Coarse)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn of_the_system() -> Option<Self> {
        None
    }

    pub(crate) fn read(&self) -> Moment {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Coarse(ticks) => ticks.read(),
            Self::Fine(clock) => Moment { now: clock.now().into(), instant: clock.instant() },
        }
    }
}

/// The time of day, as exactly as a token needs it.
#[derive(Clone, Copy)]
pub(crate) struct Now<'a> {
    /// By a clock that may be [late](Ticks).
    early: Timestamp,
    clock: &'a dyn Clock,
}

impl<'a> Now<'a> {
    pub(crate) fn new(early: Timestamp, clock: &'a dyn Clock) -> Self {
        Self { early, clock }
    }

    /// Between which times it is, unless that clock is later than ever. To know more, the clock has to be read.
    pub(crate) fn bounds(self) -> [Timestamp; 2] {
        [self.early, self.early.plus(MAX_LATE)]
    }

    pub(crate) fn exactly(self) -> Timestamp {
        self.clock.now().into()
    }

    pub(crate) fn is_within(self, times: &Range<Timestamp>) -> bool {
        self.bounds().iter().all(|time| times.contains(time)) || times.contains(&self.exactly())
    }
}

/// As late as that clock is taken to be at most: a hundred ticks of 10 ms.
const MAX_LATE: Span = Span(MICROS);

#[cfg(any(target_os = "linux", target_os = "android"))]
mod coarse {
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

    use super::{Moment, Timestamp, micros};

    /// One moment on both scales: the kernel's, and that of [`Instant`], which is the same but cannot be made from it.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Ticks {
        instant: Instant,
        monotonic: Duration,
    }

    impl Ticks {
        /// `None` where there are no such clocks: some sandboxes have but the usual ones.
        pub(crate) fn now() -> Option<Self> {
            for id in [ClockId::RealtimeCoarse, ClockId::MonotonicCoarse] {
                clock_gettime_dynamic(DynamicClockId::Known(id)).ok()?;
            }
            // In this order: what lies between makes instants early rather than late, and keys older rather than younger.
            let monotonic = duration(clock_gettime(ClockId::Monotonic));
            Some(Self { instant: Instant::now(), monotonic })
        }

        pub(crate) fn read(&self) -> Moment {
            let wall = clock_gettime(ClockId::RealtimeCoarse);
            let monotonic = duration(clock_gettime(ClockId::MonotonicCoarse));
            // In the first tick nothing has passed yet.
            let passed = monotonic.saturating_sub(self.monotonic);
            Moment {
                // No token is from before 1970.
                now: Timestamp(micros(duration(wall))),
                instant: self.instant.checked_add(passed).unwrap_or(self.instant),
            }
        }
    }

    /// Since 1970, or since the machine was started. Nothing before.
    fn duration(time: Timespec) -> Duration {
        time.try_into().unwrap_or_default()
    }
}

/// Microseconds since 1970, as a NumericDate (RFC 7519 §2) may have a fraction.
///
/// Arithmetic saturates: 290 000 years either way are enough, and no claim can make it overflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(i64);

/// A duration in microseconds, for what is added to times again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(i64);

impl Timestamp {
    pub(crate) fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(MICROS).map(Self)
    }

    /// The nearest microsecond; `None` for what no clock will ever show.
    pub(crate) fn from_fractional_seconds(seconds: f64) -> Option<Self> {
        let micros = (seconds * 1e6).round();
        // 2^53: beyond it not every whole number of microseconds exists as a float.
        if micros.abs() > 9_007_199_254_740_992.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53, checked above")]
        Some(Self(micros as i64))
    }

    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) fn micros(self) -> i64 {
        self.0
    }

    pub(crate) fn plus(self, by: impl Into<Span>) -> Self {
        Self(self.0.saturating_add(by.into().0))
    }

    /// How long it is from another time to this one; nothing if it is not later.
    pub(crate) fn since(self, other: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(other.0)).unwrap_or_default())
    }

    pub(crate) fn minus(self, by: impl Into<Span>) -> Self {
        Self(self.0.saturating_sub(by.into().0))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(micros(duration))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(micros(after)),
            Err(before) => Self(micros(before.duration()).saturating_neg()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_micros(time.0.unsigned_abs());
        let there =
            if time.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        // Every platform's clock reaches further than a token's life; the epoch is the safe answer if not.
        there.unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}µs", self.0)
    }
}

/// Without 128 bits, which every request would wait for.
fn micros(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(MICROS).saturating_add(i64::from(duration.subsec_micros()))
}

const MICROS: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_survives_to_the_microsecond() {
        // The dates of an OroCommerce token.
        for (seconds, micros) in [
            (1_795_253_078.090_978, 1_795_253_078_090_978),
            (1_795_253_078.090_979, 1_795_253_078_090_979),
            (1_795_256_678.089_65, 1_795_256_678_089_650),
            (-1.5, -1_500_000),
        ] {
            assert_eq!(Timestamp::from_fractional_seconds(seconds), Some(Timestamp(micros)), "{seconds}");
        }
    }

    #[test]
    fn huge_times_are_none_and_never_overflow() {
        assert_eq!(Timestamp::from_seconds(i64::MAX), None);
        assert_eq!(Timestamp::from_fractional_seconds(1e300), None);
        assert_eq!(Timestamp::from_fractional_seconds(-1e300), None);
        assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).minus(Duration::MAX), Timestamp(i64::MIN));
        assert_eq!(Timestamp(3).since(Timestamp(1)), Duration::from_micros(2));
        assert_eq!(Timestamp(1).since(Timestamp(3)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), Duration::ZERO);
    }

    #[test]
    fn ticks_are_the_systems_clocks() {
        let ticks = Ticks::of(None);
        for _ in 0..100 {
            let before = (Timestamp::from(SystemTime::now()), Instant::now());
            std::thread::sleep(Duration::from_millis(1));
            let Moment { now, instant } = ticks.read();
            let after = (Timestamp::from(SystemTime::now()), Instant::now());
            // A tick behind, and what a virtual machine adds.
            let tick = Duration::from_millis(50);
            assert!(before.0.minus(tick) <= now && now <= after.0, "{before:?} {now:?} {after:?}");
            // What lay between two readings when it was made.
            let between = Duration::from_millis(50);
            assert!(
                before.1 - tick <= instant && instant <= after.1 + between,
                "{before:?} {instant:?} {after:?}"
            );
        }
    }

    #[test]
    fn system_time_goes_there_and_back() {
        for time in
            [UNIX_EPOCH + Duration::from_micros(1_795_253_078_090_979), UNIX_EPOCH - Duration::from_secs(5)]
        {
            assert_eq!(SystemTime::from(Timestamp::from(time)), time);
        }
    }
}
