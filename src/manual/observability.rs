//! What an operator is told: events in logs, who calls in spans, and what happens in numbers.
//!
//! Everything is opt-in: without a `tracing` subscriber and without an [`Observer`], nothing is said. The program
//! `examples/telemetry` shows all of it with Prometheus and OpenTelemetry.
//!
//! # Events
//!
//! `tracing` events have five targets.
//!
//! | target | level | what happened |
//! |---|---|---|
//! | `tower_bearer::config` | WARN | a dangerous switch is on, at `build()`; a [live](crate::BearerAuthLayer::live) route refuses an issuer's tokens, because it cannot be asked |
//! | `tower_bearer::keys` | DEBUG | keys were fetched |
//! | | INFO | an issuer's keys are fresh: for the first time, or again |
//! | | WARN | keys could not be fetched; they became stale, or expired; published or configured keys were left out, with the reason |
//! | `tower_bearer::deny` | INFO | tokens were denied or allowed again, by issuer and kind and without the claim; a shared denylist is read, for the first time or again |
//! | | WARN | a shared denylist cannot be read or written, once in each [`WARN_INTERVAL`], the others at DEBUG; it was not read for too long; an entry was left out |
//! | `tower_bearer::lookup` | WARN | a token could not be looked up, once in each [`WARN_INTERVAL`] for each issuer, the others at DEBUG; shared answers cannot be read or written |
//! | `tower_bearer::rejection` | DEBUG | a request was refused |
//! | | WARN | the same, and the fault is ours: `kind` is `unavailable` or `busy` |
//! | | ERROR | an extractor ran where no layer did: `kind` is `wiring` |
//!
//! A refusal is one event, `refused a request`, with the fields `kind` ([`RejectionKind::name`]), `reason`
//! ([`Rejection::description`]), `issuer` (our name for it, if the token names one that is trusted) and `rule` (what the
//! route asks for; `nobody` for a gRPC method or a tool that is not listed). Most refusals are a client's affair: to see them, the filter must let
//! `tower_bearer::rejection=debug` through.
//!
//! Where a claim of a verified token is absent, or not what the issuer's [`Profile`](crate::Profile) asks for, an event of its own says
//! which, `a claim is not what the profile asks for`: its field `claim` is the name that the profile has for it. The refusal
//! follows, unless another issuer takes the token.
//!
//! Of those that are our fault one refusal for each issuer in each [`WARN_INTERVAL`] is a warning, and the field `held_back` says how many were not since
//! the last; those are at debug level. An outage under load does not fill the disk as well.
//!
//! A change of an issuer's key state is one event, `the state of the keys changed`, with the fields `issuer`, `from` and `to`
//! ([`KeyState::name`]) and, for stale keys, `usable_for`. Of those for the worse one for each issuer in each
//! [`WARN_INTERVAL`] is a warning, with `held_back` as above, and the others are at debug level; so is one that was over before it
//! was said. Keys cannot become fresh twice within [`MIN_FRESH_FOR`].
//!
//! # Spans
//!
//! The layer opens no span. Once a token is verified it records `client_id`, `sub` and `issuer` in the current one, if
//! that has declared these fields: `tracing` drops what was not declared. So declare them empty, and open the span
//! outside of the layer. The `TraceLayer` of tower-http does it with
//! `make_span_with(|_: &Request<_>| info_span!("request", client_id = Empty, sub = Empty, issuer = Empty))`; this is the same by hand:
//!
//! ```
//! use axum::Router;
//! use axum::extract::Request;
//! use axum::middleware::{Next, from_fn};
//! use axum::response::Response;
//! use tower_bearer::{BearerAuthLayer, ResourceServer};
//! use tracing::Instrument;
//! use tracing::field::Empty;
//!
//! async fn traced(request: Request, next: Next) -> Response {
//!     let path = request.uri().path();
//!     let span = tracing::info_span!("request", path, client_id = Empty, sub = Empty, issuer = Empty);
//!     next.run(request).instrument(span).await
//! }
//!
//! fn app(api: ResourceServer) -> Router {
//!     Router::new()
//!         .route("/orders", axum::routing::get(|| async { "orders" }))
//!         .layer(BearerAuthLayer::new(api))
//!         .layer(from_fn(traced)) // last: it sees the request first
//! }
//! # let _ = app;
//! ```
//!
//! A request without a verified token leaves them empty. A good token that lacks a scope fills them, and is refused.
//! `sub` may be a person: leave it undeclared where it must not be stored. The event of a refusal is in the same span.
//!
//! # Observers
//!
//! An [`Observer`] is told of each [`Event`]: a verdict, a wait for keys, a fetch, a change of an issuer's key state or of a
//! shared denylist's. It is called on the path of each request, so it should count and return.
//!
//! ```
//! use tower_bearer::{Event, Issuer, ResourceServer};
//!
//! fn tell(event: &Event<'_>) {
//!     match event {
//!         Event::Refused { kind, .. } if kind.is_ours() => eprintln!("an outage of ours: {}", kind.name()),
//!         Event::FetchFailed { issuer, kind, .. } => eprintln!("no keys of {issuer}: {}", kind.name()),
//!         Event::KeyStateChanged { issuer, to, .. } => eprintln!("the keys of {issuer} are {}", to.name()),
//!         _ => {}
//!     }
//! }
//!
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::new("https://id.example.com"))
//!     .observer(tell)
//! #   .fetch(tower_bearer::testing::Idp::new("https://id.example.com"))
//!     .build()?;
//! # let _ = api;
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! [`KeyStateChanged`] says where keys are in their life:
//!
//! | from | to | when |
//! |---|---|---|
//! | `cold` | `fresh` | the first keys were fetched |
//! | `cold` | `stale` | they could not be, and those of the snapshot are used |
//! | `fresh` | `stale` | they were not replaced in time, [`FRESH_FOR`] after the fetch or when its `Cache-Control` says |
//! | `stale` | `expired` | nor by the end of [`STALE_FOR`]: from now on it is 503 |
//! | `fresh` | `expired` | the same, and the issuer forbids stale use |
//! | `stale`, `expired` | `fresh` | newer keys were fetched |
//!
//! Each is told once, those of one issuer in order. Time passes without requests: then the timer tells, which runs from
//! the first fetch on. Where it does not run, because its runtime has ended or is not driven, the change is told when keys are
//! next needed, when a fetch ends, or when somebody looks at [`health`]. Nothing is told of fixed keys, nor of an issuer from
//! which there never were keys: it stays `cold`, and its fetches fail.
//!
//! # Metrics
//!
//! With the feature `metrics`, [`Metrics`] is an observer that counts for the `metrics` facade. Its page has the names and
//! labels. Install a recorder before the server is built. Give the histograms, `tower_bearer_*_seconds`, buckets up to
//! [`COLD_WAIT`]. A label that does not apply is empty, which Prometheus takes for absent.
//!
//! # Alarms
//!
//! | what | means | do |
//! |---|---|---|
//! | `tower_bearer_refused_total{kind="unavailable"}` rises | requests are answered 503; together with failing fetches of the same issuer it is an outage. (Alone it may be junk: whether a token is good is not known without keys.) | wake somebody |
//! | `tower_bearer_refused_total{kind="busy"}` rises | new tokens, good ones too, are turned away at the [limit](crate::ResourceServerBuilder::max_concurrent_verifications): forged ones take the turns, which `reason="signature"` of the same counter then says, or it is too low | look; if it lasts, wake somebody: known tokens do not stay known |
//! | an event at ERROR of `tower_bearer::rejection` | a route has no layer; it is told to no observer, as none is there | wake somebody |
//! | `tower_bearer_key_fetches_total` rises, and never with `outcome="ok"`, for ten minutes | an issuer is down; its keys serve on up to [`STALE_FOR`] | wake somebody before that |
//! | `tower_bearer_key_state{state="stale"}` is 1 | an issuer's keys could not be replaced in time; they serve on up to [`STALE_FOR`] | wake somebody before that |
//! | `tower_bearer_key_state{state="expired"}` is 1 | they serve no more: tokens of this issuer are answered 503 | wake somebody |
//! | [`health`](crate::ResourceServer::health) says `expired` of an issuer with certificates (`x5c`), which no event tells | none of its roots is valid now | pin the new root; alarm on the dates of the certificates, long before |
//! | `tower_bearer_denylist_state{state="stale"}` is 1 | a shared denylist was not read for [`DENYLIST_STALE_AFTER`]: requests are answered 503, or denials of others are not known | wake somebody |
//! | [`health`](crate::ResourceServer::health) says `failing` of an issuer's look-ups of `known` tokens | its endpoint does not answer: tokens that must be looked up are answered 503. (`failing` for `strangers` alone may be junk.) | wake somebody |
//! | `tower_bearer_keys_left_out` is not 0 | an issuer publishes keys that cannot be used | look, by day |
//! | `tower_bearer_refused_total{kind="invalid_token"}`, by `reason`, is many times its usual | a client, a clock or an issuer has changed; or an attack | look |
//!
//! The series of a counter begins with its first event, at 1; `increase` and `rate` see what comes after.
//!
//! # What is never said
//!
//! - A token, or a part of one, in whatever form.
//! - A claim of a token that was not verified, but for which trusted issuer it names: and that by our own name for it.
//! - A key, a secret, a key id that a client has sent.
//! - A label that a client has chosen: nobody can make up series.
//!
//! [`Observer`]: crate::Observer
//! [`Event`]: crate::Event
//! [`Rejection::description`]: crate::Rejection::description
//! [`RejectionKind::name`]: crate::RejectionKind::name
//! [`KeyState::name`]: crate::KeyState::name
//! [`KeyStateChanged`]: crate::Event::KeyStateChanged
//! [`health`]: crate::ResourceServer::health
//! [`WARN_INTERVAL`]: super::defaults::WARN_INTERVAL
//! [`COLD_WAIT`]: super::defaults::COLD_WAIT
//! [`FRESH_FOR`]: super::defaults::FRESH_FOR
//! [`MIN_FRESH_FOR`]: super::defaults::MIN_FRESH_FOR
//! [`STALE_FOR`]: super::defaults::STALE_FOR
//! [`DENYLIST_STALE_AFTER`]: super::defaults::DENYLIST_STALE_AFTER
#![cfg_attr(feature = "metrics", doc = "[`Metrics`]: crate::Metrics")]
#![cfg_attr(not(feature = "metrics"), doc = "[`Metrics`]: https://docs.rs/tower-bearer")]
