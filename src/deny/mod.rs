//! What is not accepted any more although it was issued, and is not over: [`Denials`], which every request asks.
//!
//! A request asks the memory of this process and nothing else. Where servers share a list, [`fleet`] keeps the memory in
//! step with it.

mod denial;
mod fleet;
mod list;
#[cfg(feature = "redis")]
mod redis;
mod table;

use std::sync::Arc;
use std::time::Duration;

pub use self::denial::{Denial, DenyError, DenyErrorKind, MAX_DENIED_LENGTH};
use self::fleet::{Asked, Fleet};
pub use self::fleet::{DENYLIST_INTERVAL, DENYLIST_STALE_AFTER, DENYLIST_TIMEOUT};
pub(crate) use self::fleet::{Flight, Report};
pub use self::list::{Changes, Denylist, DenylistError, DenylistErrorKind, DenylistFuture, Mark};
#[cfg(feature = "redis")]
pub use self::redis::RedisDenylist;
pub use self::table::MAX_DENIALS;
use self::table::{Said, Table};
use crate::event::Observers;
use crate::time::Clock;
use crate::token::Token;

/// How long a denial holds that says nothing else: longer than access tokens usually live.
pub const DENIED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What one server denies.
pub(crate) struct Denials {
    table: Arc<Table>,
    fleet: Option<Arc<Fleet>>,
    /// Goes on with what is known when the shared list cannot be read.
    stale_is_fine: bool,
    /// Whom denials can be about.
    issuers: Arc<[Box<str>]>,
    clock: Arc<dyn Clock>,
}

/// What is known of a token.
pub(crate) enum Standing {
    Good,
    Denied,
    /// The shared list is being read.
    Wait(Flight),
    /// It could not be read for too long.
    Unknown,
}

impl Denials {
    pub(crate) fn new(
        list: Option<Arc<dyn Denylist>>,
        stale_is_fine: bool,
        issuers: Arc<[Box<str>]>,
        clock: Arc<dyn Clock>,
        observers: Observers,
    ) -> Self {
        let table = Arc::new(Table::new());
        let fleet = list
            .map(|list| Arc::new(Fleet::new(list, table.clone(), issuers.clone(), clock.clone(), observers)));
        Self { table, fleet, stale_is_fine, issuers, clock }
    }

    /// Whether nothing is denied, and nobody else could have: as it is for most servers at most times.
    pub(crate) fn are_none(&self) -> bool {
        self.fleet.is_none() && self.table.is_empty()
    }

    /// Asked of every token on every request, last.
    pub(crate) fn standing(&self, token: &Token) -> Standing {
        // First: what is read from here on is found in the table, or was not needed.
        let asked = self.fleet.as_ref().map(Fleet::ask);
        if !self.table.is_empty() {
            let said = Said {
                issuer: token.issuer_name(),
                token_id: token.token_id(),
                subject: token.subject(),
                client_id: token.client_id(),
                issued_at: token.validity().issued_at,
            };
            if self.table.denies(&said, self.clock.now().into()) {
                return Standing::Denied;
            }
        }
        match asked {
            None | Some(Asked::InStep) => Standing::Good,
            Some(Asked::Wait(flight)) => Standing::Wait(flight),
            Some(Asked::Lost) if self.stale_is_fine => Standing::Good,
            Some(Asked::Lost) => Standing::Unknown,
        }
    }

    /// What a request that waits for keys should wait for too.
    pub(crate) fn flight(&self) -> Option<Flight> {
        match Fleet::ask(self.fleet.as_ref()?) {
            Asked::Wait(flight) => Some(flight),
            Asked::InStep | Asked::Lost => None,
        }
    }

    /// After waiting: whether to go on with what is known.
    pub(crate) fn stale_is_fine(&self) -> bool {
        self.stale_is_fine
    }

    /// Here at once, then in the shared list.
    pub(crate) async fn deny(&self, denial: Denial) -> Result<(), DenyError> {
        self.check(&denial)?;
        let now = self.clock.now();
        let until = denial.ends_at().or_else(|| now.checked_add(DENIED_FOR)).unwrap_or(now);
        if until <= now {
            return Err(DenyError::new(DenyErrorKind::Ended));
        }
        let (denial, written) = self
            .table
            .deny(denial, until.into(), now.into())
            .map_err(|_| DenyError::new(DenyErrorKind::Full))?;
        tracing::info!(
            target: "tower_bearer::deny",
            issuer = denial.issuer_name(), of = denial.claim().name(), "denied tokens"
        );
        match &self.fleet {
            Some(fleet) => fleet.add(denial, written).await.map_err(DenyError::not_shared),
            None => Ok(()),
        }
    }

    /// In the shared list, then here. What was denied again meanwhile stays so.
    pub(crate) async fn allow(&self, denial: &Denial) -> Result<bool, DenyError> {
        self.check(denial)?;
        let known = self.table.known(denial);
        if let Some(fleet) = &self.fleet {
            fleet.remove(denial.clone()).await.map_err(DenyError::not_shared)?;
        }
        known.iter().for_each(|known| self.table.allow(known));
        let known = known.is_some();
        tracing::info!(
            target: "tower_bearer::deny",
            issuer = denial.issuer_name(), of = denial.claim().name(), known, "allowed tokens again"
        );
        Ok(known)
    }

    fn check(&self, denial: &Denial) -> Result<(), DenyError> {
        let known = self.issuers.iter().any(|name| **name == *denial.issuer_name());
        let fault = if known { denial.fault() } else { Some(DenyErrorKind::UnknownIssuer) };
        fault.map_or(Ok(()), |fault| Err(DenyError::new(fault)))
    }

    /// Begins to keep in step, and waits for the first time that the list was read. Says whether it was.
    pub(crate) async fn warm_up(&self) -> bool {
        let Some(fleet) = &self.fleet else { return true };
        if let Asked::Wait(flight) = fleet.ask() {
            flight.ended().await;
        }
        matches!(fleet.ask(), Asked::InStep)
    }

    /// For people; `None` if nothing is shared.
    pub(crate) fn report(&self) -> Option<Report> {
        Some(self.fleet.as_ref()?.report())
    }

    /// How many denials are held.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
