//! [`ManualClock`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::time::Clock;

/// Two clocks that stand still until they are moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clocks: Mutex<(SystemTime, Instant)>,
    /// Wakes those who sleep.
    moved: watch::Sender<()>,
}

impl ManualClock {
    /// Starts at the present.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Starts with this time of day.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        Self(Arc::new(Inner { clocks: Mutex::new((now, Instant::now())), moved: watch::Sender::new(()) }))
    }

    /// Moves both clocks on, and wakes those who have slept long enough.
    ///
    /// # Panics
    /// If the platform cannot represent the time.
    pub fn advance(&self, by: Duration) {
        let mut clocks = self.0.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.0 = clocks.0.checked_add(by).expect("a time of day");
        clocks.1 = clocks.1.checked_add(by).expect("an instant");
        drop(clocks);
        self.0.moved.send_replace(());
    }

    /// Sets the time of day alone, as an administrator or NTP would.
    pub fn set_time_of_day(&self, now: SystemTime) {
        self.0.clocks.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.0.clocks.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn instant(&self) -> Instant {
        self.0.clocks.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let clock = self.clone();
        let mut moved = self.0.moved.subscribe();
        Box::pin(async move {
            while clock.instant() < at {
                // `clock` keeps the sender alive.
                let _ = moved.changed().await;
            }
        })
    }
}
