//! How busy the processors of this machine were, with this process and with others.

use std::time::Duration;

use cpu_time::ProcessTime;

/// What processors did in one turn.
pub(crate) struct Busy {
    elapsed: Duration,
    /// For this process: servers, clients and senders.
    ours: Duration,
    /// How many were busy with whatever else runs on this machine, or with other machines on the same hardware. It should be
    /// next to nothing, or the figures are about that. `None` where the system does not say.
    pub(crate) others: Option<f64>,
}

impl Busy {
    pub(crate) fn our_cores(&self) -> f64 {
        self.ours.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// What they have done so far.
pub(crate) struct Processors {
    ours: ProcessTime,
    /// For anybody, where Linux says so: in hundredths of a second (proc(5)).
    all: Option<u64>,
}

impl Processors {
    pub(crate) fn now() -> Self {
        Self { ours: ProcessTime::now(), all: Self::all() }
    }

    /// All of the first line but what was idle (the fourth and the fifth), and guests, which are counted twice.
    fn all() -> Option<u64> {
        let machine = std::fs::read_to_string("/proc/stat").ok()?;
        let all = machine.lines().next()?.split_whitespace().skip(1).take(8);
        all.enumerate()
            .filter(|(place, _)| !matches!(place, 3 | 4))
            .map(|(_, field)| field.parse::<u64>().ok())
            .sum()
    }

    pub(crate) fn since(&self, before: &Self, elapsed: Duration) -> Busy {
        let mut busy = Busy { elapsed, ours: self.ours.duration_since(before.ours), others: None };
        busy.others = self.all.zip(before.all).map(|(now, before)| {
            let ticks = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
            (f64::from(ticks) / 100.0 / elapsed.as_secs_f64() - busy.our_cores()).max(0.0)
        });
        busy
    }
}
