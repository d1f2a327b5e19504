//! [`Metrics`]: an [`Observer`] for the `metrics` facade.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::event::{Event, Observer};

/// Counts what happens with the [`metrics`](https://docs.rs/metrics) facade, for Prometheus and others.
///
/// | name | kind | labels | what it counts |
/// |---|---|---|---|
/// | `tower_bearer_accepted_total` | counter | `issuer` | requests with a token that was verified and met the rule of the layer that verified it; an inner layer may still refuse them, and then they count in both |
/// | `tower_bearer_cache_hits_total` | counter | `issuer` | how many of these had a token that was known from an earlier request |
/// | `tower_bearer_refused_total` | counter | `kind`, `reason`, `issuer` | refusals; `reason` is [`TokenError::name`](crate::TokenError::name) or empty, `issuer` is empty if the token names none that is trusted |
/// | `tower_bearer_waiting` | gauge | | requests that wait for keys or a look-up |
/// | `tower_bearer_wait_seconds` | histogram | | how long they waited |
/// | `tower_bearer_key_fetches_total` | counter | `issuer`, `outcome` | fetches of keys; `outcome` is `ok` or [`FetchErrorKind::name`](crate::FetchErrorKind::name) |
/// | `tower_bearer_key_fetch_seconds` | histogram | `issuer` | how long they took, discovery included |
/// | `tower_bearer_keys_restored_total` | counter | `issuer` | starts with the keys of a [snapshot](crate::Issuer::snapshot), for want of others |
/// | `tower_bearer_key_state` | gauge | `issuer`, `state` | 1 for the state that the keys are in, 0 for those that they were in before; `state` is [`KeyState::name`](crate::KeyState::name). Fixed keys have none |
/// | `tower_bearer_lookups_total` | counter | `issuer`, `outcome` | tokens that were looked up; `outcome` is `active`, `inactive` or [`LookupErrorKind::name`](crate::LookupErrorKind::name) |
/// | `tower_bearer_lookup_seconds` | histogram | `issuer` | how long that took |
/// | `tower_bearer_keys` | gauge | `issuer` | keys in use |
/// | `tower_bearer_keys_left_out` | gauge | `issuer` | published keys that cannot be used |
/// | `tower_bearer_denylist_state` | gauge | `state` | 1 for the state that a shared denylist is in, 0 for those that it was in before; `state` is [`DenylistState::name`](crate::DenylistState::name) |
///
/// Every label is from a closed set or from our configuration: nobody can make up series.
///
/// Install a recorder first; with none, nothing is counted. An alarm is best set on `tower_bearer_refused_total` with
/// `kind="unavailable"`, on fetches whose `outcome` is not `ok`, and on `tower_bearer_key_state` with `state="stale"`.
///
/// ```
/// use tower_bearer::{Issuer, Metrics, ResourceServer};
///
/// let api = ResourceServer::builder("https://api.example.com")
///     .issuer(Issuer::new("https://id.example.com"))
///     .observer(Metrics::new())
/// #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
///     .build()?;
/// # let _ = api;
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Metrics;

impl Metrics {
    /// Describes the metrics to the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        describe_counter!(ACCEPTED, "Requests with a token that was verified and met the rule");
        describe_counter!(HITS, "Accepted requests with a token that was known from an earlier request");
        describe_counter!(REFUSED, "Requests that were refused");
        describe_gauge!(WAITING, "Requests that wait for keys or a look-up");
        describe_histogram!(WAIT, metrics::Unit::Seconds, "How long requests waited for keys or a look-up");
        describe_counter!(FETCHES, "Fetches of keys");
        describe_histogram!(FETCH, metrics::Unit::Seconds, "How long fetches of keys took");
        describe_counter!(RESTORED, "Starts with the keys of a snapshot");
        describe_counter!(LOOKUPS, "Tokens that were looked up");
        describe_histogram!(LOOKUP, metrics::Unit::Seconds, "How long look-ups took");
        describe_gauge!(STATE, "Whether the keys are in this state");
        describe_gauge!(KEYS, "Keys in use");
        describe_gauge!(DENYLIST, "Whether the shared denylist is in this state");
        describe_gauge!(LEFT_OUT, "Published keys that cannot be used");
        Self
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Accepted { issuer, cached } => {
                counter!(ACCEPTED, "issuer" => issuer.to_owned()).increment(1);
                if cached {
                    counter!(HITS, "issuer" => issuer.to_owned()).increment(1);
                }
            }
            Event::Refused { kind, token_error, issuer } => {
                let reason = token_error.map_or("", |error| error.name());
                let issuer = issuer.unwrap_or_default().to_owned();
                counter!(REFUSED, "kind" => kind.name(), "reason" => reason, "issuer" => issuer).increment(1);
            }
            Event::Waiting {} => gauge!(WAITING).increment(1),
            Event::Waited { took } => {
                gauge!(WAITING).decrement(1);
                histogram!(WAIT).record(took);
            }
            Event::KeysFetched { issuer, keys, left_out, took } => {
                let issuer = issuer.to_owned();
                counter!(FETCHES, "issuer" => issuer.clone(), "outcome" => "ok").increment(1);
                histogram!(FETCH, "issuer" => issuer.clone()).record(took);
                gauge!(KEYS, "issuer" => issuer.clone()).set(count(keys));
                gauge!(LEFT_OUT, "issuer" => issuer).set(count(left_out));
            }
            Event::FetchFailed { issuer, kind, took } => {
                let issuer = issuer.to_owned();
                counter!(FETCHES, "issuer" => issuer.clone(), "outcome" => kind.name()).increment(1);
                histogram!(FETCH, "issuer" => issuer).record(took);
            }
            Event::KeysRestored { issuer, keys, .. } => {
                let issuer = issuer.to_owned();
                counter!(RESTORED, "issuer" => issuer.clone()).increment(1);
                gauge!(KEYS, "issuer" => issuer).set(count(keys));
            }
            Event::LookedUp { issuer, active, took } => {
                looked_up(issuer, if active { "active" } else { "inactive" }, took);
            }
            Event::LookupFailed { issuer, kind, took } => looked_up(issuer, kind.name(), took),
            Event::KeyStateChanged { issuer, from, to } => {
                let issuer = issuer.to_owned();
                gauge!(STATE, "issuer" => issuer.clone(), "state" => from.name()).set(0);
                gauge!(STATE, "issuer" => issuer, "state" => to.name()).set(1);
            }
            Event::DenylistStateChanged { from, to } => {
                gauge!(DENYLIST, "state" => from.name()).set(0);
                gauge!(DENYLIST, "state" => to.name()).set(1);
            }
        }
    }
}

fn looked_up(issuer: &str, outcome: &'static str, took: Duration) {
    let issuer = issuer.to_owned();
    counter!(LOOKUPS, "issuer" => issuer.clone(), "outcome" => outcome).increment(1);
    histogram!(LOOKUP, "issuer" => issuer).record(took);
}

/// At most [`MAX_KEYS`](crate::manual::defaults::MAX_KEYS) are in use; how many a lying issuer publishes is its affair.
fn count(keys: usize) -> u32 {
    u32::try_from(keys).unwrap_or(u32::MAX)
}

const ACCEPTED: &str = "tower_bearer_accepted_total";
const HITS: &str = "tower_bearer_cache_hits_total";
const REFUSED: &str = "tower_bearer_refused_total";
const WAITING: &str = "tower_bearer_waiting";
const WAIT: &str = "tower_bearer_wait_seconds";
const FETCHES: &str = "tower_bearer_key_fetches_total";
const FETCH: &str = "tower_bearer_key_fetch_seconds";
const RESTORED: &str = "tower_bearer_keys_restored_total";
const LOOKUPS: &str = "tower_bearer_lookups_total";
const LOOKUP: &str = "tower_bearer_lookup_seconds";
const STATE: &str = "tower_bearer_key_state";
const KEYS: &str = "tower_bearer_keys";
const DENYLIST: &str = "tower_bearer_denylist_state";
const LEFT_OUT: &str = "tower_bearer_keys_left_out";
