//! Who we are, and whom we trust, as tokens and refusals remember it.

use std::sync::Arc;
use std::time::Duration;

use crate::challenge::Hints;
use crate::event::{Observers, Warnings};
use crate::scope::Implications;
use crate::time::{Clock, Ticks};

/// Which resource server verified a token. Compared by address: two servers with one identifier are two servers.
pub(crate) struct ServerIdentity {
    pub(crate) identifier: Box<str>,
    /// What its challenges say where no scopes are asked for: where our metadata are (RFC 9728).
    pub(crate) hints: Arc<Hints>,
    /// Which scopes stand for others.
    pub(crate) implications: Implications,
    pub(crate) clock: Arc<dyn Clock>,
    /// The same clocks, as known tokens read them.
    pub(crate) ticks: Ticks,
    pub(crate) observers: Observers,
    /// For refusals that are nobody's in particular.
    pub(crate) warnings: Warnings,
}

/// An issuer as it is configured. The counts of its `Arc`, which refusals raise, lie apart from what others read.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct IssuerIdentity {
    /// Who trusts it.
    pub(crate) server: Arc<ServerIdentity>,
    /// Its place among the issuers of its server.
    pub(crate) place: usize,
    /// Our label.
    pub(crate) name: Box<str>,
    /// What its tokens say; `None` where they say nothing.
    pub(crate) iss: Option<Box<str>>,
    /// How far its clock and ours may differ.
    pub(crate) leeway: Duration,
    pub(crate) warnings: Warnings,
}

impl std::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerIdentity").field("identifier", &self.identifier).finish_non_exhaustive()
    }
}
