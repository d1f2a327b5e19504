//! How keys live here, and what an issuer's operator should do when rotating them.
//!
//! This is about keys that are fetched ([`Keys::discovery`], [`Keys::jwks_url`]). Keys that are given never change while
//! the process runs.
//!
//! # The life of a fetched set
//!
//! ```text
//! fetched
//!    ├──── in use ─────────┬─ a refresh starts in ─┬──── stale: still in use, ────┬── gone: requests wait
//!    │     nothing to do   │  the background       │     fetches are tried        │   for a fetch, or 503
//!    0          REFRESH_AT ± JITTER          FRESH_FOR                 FRESH_FOR + STALE_FOR      age
//! ```
//!
//! - Nothing is fetched before the first request or [`warm_up`]. From then on a timer refreshes the set, whether requests
//!   come or not, at [`REFRESH_AT`] ± [`REFRESH_JITTER`] percent of the time that it is fresh. Nobody waits for it. When the
//!   fetch ends well, the age starts anew.
//! - How long it is fresh is what the issuer's `Cache-Control: max-age` says, between [`MIN_FRESH_FOR`] and
//!   [`MAX_FRESH_FOR`]; else [`FRESH_FOR`]. `stale-if-error` can shorten [`STALE_FOR`]. A set with an `ETag` is asked for
//!   with it, and 304 renews it. A `Retry-After` of up to [`MAX_RETRY_AFTER`] is respected.
//! - When it fails, the next one comes after a pause, which doubles from [`BACKOFF_MIN`] up to [`BACKOFF_MAX`], each cut
//!   by up to a half at random. An issuer
//!   may be away for [`STALE_FOR`] after its keys stopped being fresh, and nobody notices but the log.
//! - After that, and before the first fetch, there is nothing to verify with. Requests wait for a fetch, up to
//!   [`COLD_WAIT`], and are then answered 503. They are never answered 401 for that: the client did nothing wrong.
//! - A fetched set without one usable key is a failed fetch. One odd key in a set is left out, and the others are used.
//!
//! # A rotation with a new `kid`
//!
//! ```text
//! issuer    publishes old + new key ──── signs with the new key ──────────────────────────▶
//! client                                      │ token with the new kid
//! we                                          ▼
//!           set with the old key ──── kid not in the set: fetch once, wait up to MISS_WAIT
//!                                             │ found ──▶ verified, and the request goes on
//!                                             │ not found ──▶ 401 invalid_token
//!                                             │ fetch failed, or too slow ──▶ 503, Retry-After
//! ```
//!
//! The first request with the new key succeeds; no restart and no setting is needed. Made-up key ids would do the same, so
//! there is a budget: [`MISS_BURST`] fetches at once, then one in [`MISS_INTERVAL`]. While it is spent, an unknown `kid` is
//! 401 if the last fetch was good, 503 if it failed. The scheduled refresh has a budget of its own, and notices a rotation
//! all the same. A key id that a fetch has not brought is refused without another one for [`ABSENT_FOR`]; a set that has it
//! by then is asked first.
//!
//! A key that is replaced under the *same* `kid` is not a miss: its tokens fail with a wrong signature until the scheduled
//! refresh. Keys without `kid` are fine: a signature that none of them verifies is a miss.
//!
//! # For the operator of the issuer
//!
//! | step | when |
//! |---|---|
//! | publish the new key beside the old one, under a new `kid` | at least [`FRESH_FOR`] before it signs: then no request waits |
//! | sign with the new key | then |
//! | stop publishing the old key | when the last token that it signed has expired, and a leeway more ([`DEFAULT_LEEWAY`]) |
//! | a key is stolen | stop publishing it at once. Here it is used until the next refresh, at the latest [`REFRESH_AT`] + [`REFRESH_JITTER`] percent of the time that the set is fresh; while the issuer cannot be reached, up to [`FRESH_FOR`] + [`STALE_FOR`]. [`refresh_now`] fetches at once, [`block_key`] ends a key here, whatever its issuer publishes |
//!
//! Never reuse a `kid`. Do not take the old key out of the set on the day that the new one comes in: tokens that are still
//! good would be refused.
//!
//! # What is told
//!
//! | [`Event`] | log, target `tower_bearer::keys` | means |
//! |---|---|---|
//! | `KeysFetched` | debug "fetched keys" | with the number of keys in use, and of those left out |
//! | `FetchFailed` | warn "could not fetch keys" | with the [kind](crate::FetchErrorKind) of error; alone it is no outage |
//! | | warn "… left out; key 1: …" | published keys that cannot be used, with reasons; said when it changes |
//! | `KeyStateChanged` | info, or warn at most once for each issuer in [`WARN_INTERVAL`]: "the state of the keys changed" | `to` is `fresh`: all is well again; `stale`: no newer keys could be had in time; `expired`: they are used no more |
//! | `Waiting`, `Waited` | | a request waits for keys: a cold start, or a new `kid` |
//! | `Refused` with `unavailable` | warn, target `tower_bearer::rejection`, at most one for each issuer in [`WARN_INTERVAL`] | this is the outage |
//!
//! # To see it
//!
//! ```
//! use tower_bearer::testing::{Idp, ManualClock};
//! use tower_bearer::manual::defaults::{FRESH_FOR, STALE_FOR};
//! use tower_bearer::{RejectionKind, TokenError};
//!
//! const API: &str = "https://api.example.com";
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let clock = ManualClock::new();
//! let idp = Idp::new("https://id.example.com").clock(clock.clone());
//! let api = idp.resource_server(API);
//!
//! // The first request fetches, a rotation is followed by the request that meets it.
//! assert!(api.verify(&idp.token(API).sign()).await.is_ok());
//! idp.rotate();
//! assert!(api.verify(&idp.token(API).sign()).await.is_ok());
//! assert_eq!(idp.jwks_fetches(), 2);
//!
//! // A key of nobody's: one more fetch, and 401.
//! let forged = idp.token(API).header("kid", "made up").sign();
//! let why = api.verify(&forged).await.unwrap_err();
//! assert_eq!(why.token_error(), Some(TokenError::UnknownKey));
//!
//! // An outage: the keys serve on while they are stale, then 503.
//! idp.go_down();
//! clock.advance(FRESH_FOR);
//! assert!(api.verify(&idp.token(API).sign()).await.is_ok());
//! clock.advance(STALE_FOR);
//! let why = api.verify(&idp.token(API).sign()).await.unwrap_err();
//! assert_eq!(why.kind(), RejectionKind::Unavailable);
//! # }
//! ```
//!
//! [`Keys::discovery`]: crate::Keys::discovery
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
//! [`warm_up`]: crate::ResourceServer::warm_up
//! [`Event`]: crate::Event
//! [`refresh_now`]: crate::ResourceServer::refresh_now
//! [`block_key`]: crate::ResourceServer::block_key
//! [`REFRESH_AT`]: super::defaults::REFRESH_AT
//! [`REFRESH_JITTER`]: super::defaults::REFRESH_JITTER
//! [`MIN_FRESH_FOR`]: super::defaults::MIN_FRESH_FOR
//! [`MAX_FRESH_FOR`]: super::defaults::MAX_FRESH_FOR
//! [`MAX_RETRY_AFTER`]: super::defaults::MAX_RETRY_AFTER
//! [`ABSENT_FOR`]: super::defaults::ABSENT_FOR
//! [`FRESH_FOR`]: super::defaults::FRESH_FOR
//! [`STALE_FOR`]: super::defaults::STALE_FOR
//! [`BACKOFF_MIN`]: super::defaults::BACKOFF_MIN
//! [`BACKOFF_MAX`]: super::defaults::BACKOFF_MAX
//! [`COLD_WAIT`]: super::defaults::COLD_WAIT
//! [`MISS_BURST`]: super::defaults::MISS_BURST
//! [`MISS_INTERVAL`]: super::defaults::MISS_INTERVAL
//! [`DEFAULT_LEEWAY`]: super::defaults::DEFAULT_LEEWAY
//! [`WARN_INTERVAL`]: super::defaults::WARN_INTERVAL
