//! A machine in two parts: one processor for the client, and one for the server.

use std::fmt;

use core_affinity::CoreId;
use tokio::runtime::{Builder, Runtime};

use crate::Error;

pub(crate) struct Split {
    /// It has one thread, which never sleeps.
    pub(crate) server: Runtime,
    /// `None` where there is one processor only, or nobody can tell them apart.
    client: Option<CoreId>,
}

impl Split {
    pub(crate) fn new() -> Result<Self, Error> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let (client, server) = match *cores.as_slice() {
            [client, server, ..] => (Some(client), Some(server)),
            _ => (None, None),
        };
        let pin = move || pin(server);
        let server =
            Builder::new_multi_thread().worker_threads(1).on_thread_start(pin).enable_all().build()?;
        // One task always has something to do.
        server.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        Ok(Self { server, client })
    }

    /// In one thread, which is the only one on its processor.
    pub(crate) fn on_the_client<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T, Error> {
        let client = Builder::new_current_thread().enable_all().build()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                pin(self.client);
                client.block_on(work())
            });
            thread.join().map_err(|_| Error::from("the client panicked"))
        })
    }
}

fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        core_affinity::set_for_current(core);
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.client {
            Some(_) => "a processor for the client and one for the server, and neither ever sleeps",
            None => "no processors to share out: what follows is also about how they are shared",
        })
    }
}
