//! What a machine takes from two threads that never sleep.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use tokio::runtime::Handle;

use crate::Error;

/// What the clock says, and how long processors have worked for these threads.
pub(crate) struct Had([(Instant, Duration); 2]);

impl Had {
    /// This thread, which is the client's, and the server's.
    pub(crate) async fn now(server: &Handle) -> Result<Self, Error> {
        let here = || (Instant::now(), ThreadTime::now().as_duration());
        let server = server.spawn(async move { here() }).await?;
        Ok(Self([here(), server]))
    }

    /// How much of one processor was taken from both together.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let taken = |(now, before): (&(Instant, Duration), &(Instant, Duration))| {
            let elapsed = now.0.duration_since(before.0).as_secs_f64();
            (elapsed - now.1.saturating_sub(before.1).as_secs_f64()).max(0.0) / elapsed
        };
        self.0.iter().zip(&before.0).map(taken).sum()
    }
}
