//! One fetch: where the set is, what has changed, and what of it can be used.

use std::sync::Arc;
use std::time::Instant;

use http::header::ETAG;
use http::{HeaderValue, StatusCode};

use super::{Place, REDISCOVER_AFTER, Shared, lock};
use crate::fetch::guard::KeyUrl;
use crate::fetch::{FetchError, FetchErrorKind, bounded};
use crate::jose::KeySet;
use crate::keys::caching::{freshness, retry_after};
use crate::keys::discovery::{self, discover};
use crate::keys::refresh::Freshness;

/// Which version of which document a set was read from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) url: KeyUrl,
    /// When discovery named the URL.
    pub(super) found_at: Instant,
    etag: Option<HeaderValue>,
    /// What was said of it when it was read.
    pub(super) freshness: Freshness,
}

/// What a fetch has brought.
pub(super) struct Fetched {
    pub(super) keys: Arc<KeySet>,
    pub(super) source: Source,
    pub(super) freshness: Freshness,
}

impl Shared {
    /// The set. `whole` asks for it even if it has not changed.
    pub(super) async fn load(&self, whole: bool) -> Result<Fetched, FetchError> {
        let (url, found_at) = self.place().await?;
        let request = url.request("application/jwk-set+json, application/json");
        let ours = self.loaded.load_full().filter(|_| !whole).and_then(|loaded| {
            let source = loaded.source.clone().filter(|source| source.url == url)?;
            Some((loaded.keys.clone(), source))
        });
        let request = match ours.as_ref().and_then(|(_, source)| source.etag.clone()) {
            Some(etag) => request.if_none_match(etag),
            None => request,
        };
        let asked_for_changes = request.etag().is_some();
        let response = bounded(&*self.remote.fetch, request).await?;
        let headers = response.headers();
        match (response.status(), ours) {
            (StatusCode::OK, _) => {}
            // RFC 9110 §15.4.5: ours is the current one. What the new answer does not say stays (RFC 9111 §4.3.4).
            (StatusCode::NOT_MODIFIED, Some((keys, ours))) if asked_for_changes => {
                let freshness = freshness(headers).unwrap_or(ours.freshness);
                let etag = headers.get(ETAG).cloned().or(ours.etag);
                return Ok(Fetched { keys, source: Source { url, found_at, etag, freshness }, freshness });
            }
            (status, _) => {
                return Err(FetchError::status(status).after(retry_after(status, headers)));
            }
        }
        let mut keys = KeySet::from_jwks(response.body(), self.remote.algorithms)
            .map_err(|_| FetchError::new(FetchErrorKind::Document))?;
        // Also after a good set: an issuer that publishes nothing has a fault, and has not withdrawn everything.
        if keys.is_empty() {
            self.report_left_out(&keys);
            return Err(FetchError::new(FetchErrorKind::NoUsableKey));
        }
        // If another set comes into use before this one does, this one will not.
        if let Some(loaded) = &*self.loaded.load() {
            keys.keep(&loaded.keys);
        }
        let freshness = freshness(headers).unwrap_or_default();
        let source = Source { url, found_at, etag: headers.get(ETAG).cloned(), freshness };
        Ok(Fetched { keys: Arc::new(keys), source, freshness })
    }

    /// Where the set is, and since when that is known.
    async fn place(&self) -> Result<(KeyUrl, Instant), FetchError> {
        let now = self.remote.clock.instant();
        let issuer = match &self.remote.place {
            Place::Fixed(url) => return Ok((url.clone(), now)),
            Place::Discovered { issuer } => issuer,
        };
        if let Some((url, at)) = &*lock(&self.discovered)
            && now.saturating_duration_since(*at) < REDISCOVER_AFTER
        {
            return Ok((url.clone(), *at));
        }
        Ok((
            discover(&*self.remote.fetch, issuer, self.remote.allow_http, discovery::Place::Keys).await?,
            now,
        ))
    }

    /// Says which published keys are not used and why, when that has changed.
    pub(super) fn report_left_out(&self, keys: &KeySet) {
        let left_out = keys.left_out();
        let some: Vec<_> =
            left_out.iter().take(5).map(|key| format!("key {}: {}", key.index, key.reason)).collect();
        let report = format!("{} left out; {}", keys.left_out_count(), some.join("; "));
        let changed = {
            let mut last = lock(&self.last_report);
            let changed = *last != report;
            last.clone_from(&report);
            changed
        };
        if changed && !left_out.is_empty() {
            tracing::warn!(
                target: "tower_bearer::keys",
                issuer = &*self.remote.label, "{report}"
            );
        }
    }
}
