//! [`Place`]: where an issuer is asked about its tokens.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use crate::error::{ConfigError, ConfigErrorKind};
use crate::event::LookupErrorKind;
use crate::fetch::guard::KeyUrl;
use crate::fetch::{Fetch, FetchErrorKind};
use crate::keys::discovery::{self, discover};
use crate::keys::forbidden;
use crate::keys::remote::REDISCOVER_AFTER;
use crate::lookup::LookupError;
use crate::lookup::desk::BREAKER_PAUSE;
use crate::sync::Mutex;
use crate::time::Clock;

pub(super) enum Place {
    At(KeyUrl),
    Discovered { issuer: Box<str>, allow_http: bool, clock: Arc<dyn Clock>, found: Mutex<Option<Discovery>> },
}

/// What the issuer has said, or is being asked, since when.
#[derive(Clone)]
pub(super) struct Discovery {
    url: Arc<OnceCell<KeyUrl>>,
    since: Instant,
}

impl Place {
    /// `url` is where; without it the issuer says so.
    pub(super) fn resolve(
        url: Option<String>,
        iss: Option<&str>,
        allow_http: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        match (url, iss) {
            (Some(url), _) => {
                let url = KeyUrl::parse(&url, allow_http);
                Ok(Self::At(url.map_err(|why| forbidden("the introspection endpoint", why))?))
            }
            (None, Some(issuer)) => {
                // Only to say at once what would fail later.
                KeyUrl::parse(issuer, allow_http).map_err(|why| forbidden("the issuer", why))?;
                Ok(Self::Discovered { issuer: issuer.into(), allow_http, clock, found: Mutex::new(None) })
            }
            (None, None) => {
                let message = "an issuer without iss cannot be discovered; write Introspection::at";
                Err(ConfigError::new(ConfigErrorKind::Lookup, message))
            }
        }
    }

    pub(super) async fn url(&self, fetch: &dyn Fetch) -> Result<KeyUrl, LookupError> {
        let (issuer, allow_http, clock, found) = match self {
            Self::At(url) => return Ok(url.clone()),
            Self::Discovered { issuer, allow_http, clock, found } => (issuer, *allow_http, clock, found),
        };
        let now = clock.instant();
        let is_old = |known: &Discovery| now.saturating_duration_since(known.since) >= REDISCOVER_AFTER;
        let discovery = {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match &*found {
                Some(known) if !is_old(known) => known.clone(),
                _ => found.insert(Discovery { url: Arc::default(), since: now }).clone(),
            }
        };
        // Once for all who ask meanwhile.
        let ask = || discover(fetch, issuer, allow_http, discovery::Place::Introspection);
        let url = discovery.url.get_or_try_init(ask).await.map_err(|error| {
            let kind = match error.kind() {
                FetchErrorKind::Document | FetchErrorKind::Status => LookupErrorKind::Discovery,
                _ => return LookupError::from(error),
            };
            LookupError { retry_after: error.retry_after(), ..LookupError::new(kind) }.because(error)
        })?;
        Ok(url.clone())
    }

    /// It may have moved. What was found out a moment ago is kept: made-up tokens may provoke failures, and each would ask
    /// the issuer.
    pub(super) fn forget(&self) {
        if let Self::Discovered { found, clock, .. } = self {
            let now = clock.instant();
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            *found = found.take().filter(|known| now.saturating_duration_since(known.since) < BREAKER_PAUSE);
        }
    }
}
