//! [`ManualClock`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::time::Clock;

/// Two clocks that stand still until they are moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<(SystemTime, Instant)>>);

impl ManualClock {
    /// Starts at the present.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Starts with this time of day.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self(Arc::new(Mutex::new((now, Instant::now()))))
    }

    /// Moves both clocks on.
    ///
    /// # Panics
    /// If the platform cannot represent the time.
    pub fn advance(&self, by: Duration) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.0 = clocks.0.checked_add(by).expect("a time of day");
        clocks.1 = clocks.1.checked_add(by).expect("an instant");
    }

    /// Sets the time of day alone, as an administrator or NTP would.
    pub fn set_time_of_day(&self, now: SystemTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn instant(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
