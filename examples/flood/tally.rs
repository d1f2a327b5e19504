//! What became of requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::world::Way;

/// How long requests may take that are still under way when the last has been sent. Longer than the layer ever waits.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Every request that was sent is counted once more when it ends, by how it ended.
#[derive(Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    ok: AtomicU64,
    unauthorized: AtomicU64,
    unavailable: AtomicU64,
    others: AtomicU64,
    /// Without an answer: the connection broke.
    failed: AtomicU64,
}

/// Which answers a good token, a made-up one, and a good one that may be turned away may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Ok,
    Refused,
    OkOrUnavailable,
}

impl Tally {
    /// Counts one and sends it; says whether the answer was 200.
    pub(crate) async fn send(&self, way: &Way, token: &str) -> bool {
        self.begin();
        self.finish(way, token).await
    }

    /// Counts one that is about to be sent.
    pub(crate) fn begin(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one that was counted, and says whether the answer was 200.
    pub(crate) async fn finish(&self, way: &Way, token: &str) -> bool {
        let status = way.status(token).await;
        match status {
            Ok(StatusCode::OK) => &self.ok,
            Ok(StatusCode::UNAUTHORIZED) => &self.unauthorized,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => &self.unavailable,
            Ok(_) => &self.others,
            Err(_) => &self.failed,
        }
        .fetch_add(1, Ordering::Relaxed);
        status.is_ok_and(|status| status == StatusCode::OK)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Answered 503.
    pub(crate) fn unavailable(&self) -> u64 {
        self.unavailable.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> u64 {
        let counts = [&self.ok, &self.unauthorized, &self.unavailable, &self.others, &self.failed];
        counts.iter().fold(0, |sum, count| sum.saturating_add(count.load(Ordering::Relaxed)))
    }

    /// Counts what another has counted, which is settled.
    pub(crate) fn add(&self, other: &Self) {
        for (ours, theirs) in [
            (&self.sent, &other.sent),
            (&self.ok, &other.ok),
            (&self.unauthorized, &other.unauthorized),
            (&self.unavailable, &other.unavailable),
            (&self.others, &other.others),
            (&self.failed, &other.failed),
        ] {
            ours.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Waits for those that are under way. To be called when no more are sent.
    pub(crate) async fn settle(&self) {
        let start = Instant::now();
        while self.ended() < self.sent() && start.elapsed() < LAST_ANSWERS {
            // Not asleep: what a machine takes from who sleeps cannot be told.
            tokio::task::yield_now().await;
        }
    }

    /// Whether each was answered, and as it should be. To be called when it is settled.
    pub(crate) fn check(&self, expected: Expected, broken: &mut Vec<String>) {
        let wrong: &[&AtomicU64] = match expected {
            Expected::Ok => &[&self.unauthorized, &self.unavailable, &self.others],
            Expected::Refused => &[&self.ok, &self.others],
            Expected::OkOrUnavailable => &[&self.unauthorized, &self.others],
        };
        if wrong.iter().any(|count| count.load(Ordering::Relaxed) > 0) {
            broken.push(format!("{expected:?} was expected: {self}"));
        }
        if self.ended() != self.sent() {
            broken.push(format!("the answers do not add up: {self}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ended, sent) = (self.ended(), self.sent());
        write!(f, "{sent} sent")?;
        for (count, what) in [
            (sent.saturating_sub(ended), "still under way"),
            (self.ok.load(Ordering::Relaxed), "answered 200"),
            (self.unauthorized.load(Ordering::Relaxed), "answered 401"),
            (self.unavailable.load(Ordering::Relaxed), "answered 503"),
            (self.others.load(Ordering::Relaxed), "answered otherwise"),
            (self.failed.load(Ordering::Relaxed), "broken off"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
