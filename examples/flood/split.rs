//! A machine in two parts: one processor for the client, the others for the server.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use core_affinity::CoreId;
use tokio::runtime::{Builder, Runtime};

use crate::Error;

pub(crate) struct Split {
    pub(crate) server: Runtime,
    servers: usize,
    /// `None` where there is one processor only, or nobody can tell them apart.
    client: Option<CoreId>,
}

impl Split {
    pub(crate) fn new() -> Result<Self, Error> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let (client, servers) = match cores.as_slice() {
            [client, servers @ ..] if !servers.is_empty() => (Some(*client), servers.to_vec()),
            _ => (None, Vec::new()),
        };
        let count = servers.len().max(1);
        let place = AtomicUsize::new(0);
        let server = Builder::new_multi_thread()
            .worker_threads(count)
            .on_thread_start(move || {
                let next = place.fetch_add(1, Ordering::Relaxed);
                if let Some(core) = next.checked_rem(servers.len()).and_then(|place| servers.get(place)) {
                    core_affinity::set_for_current(*core);
                }
            })
            .enable_all()
            .build()?;
        Ok(Self { server, servers: count, client })
    }

    /// In one thread, which is the only one on its processor.
    pub(crate) fn on_the_client<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T, Error> {
        let client = Builder::new_current_thread().enable_all().build()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                if let Some(core) = self.client {
                    core_affinity::set_for_current(core);
                }
                client.block_on(work())
            });
            thread.join().map_err(|_| Error::from("the client panicked"))
        })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(_) => write!(
                f,
                "a processor for the client, which never sleeps, and {} for the server",
                self.servers
            ),
            None => f.write_str("no processors to share out: what follows is also about how they are shared"),
        }
    }
}
