//! Every default and every limit, with its reason.
//!
//! Those that are numbers are constants. They cannot be changed, but for the leeway ([`Issuer::leeway`]) and how many
//! verified tokens are remembered ([`ResourceServerBuilder::cache_capacity`]): a limit that protects is the same everywhere.
//!
//! # Tokens
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`MAX_TOKEN_LENGTH`] | 16384 | bytes | room for large claim sets and signatures; what is longer costs one comparison |
//! | [`MAX_KID_LENGTH`] | 256 | bytes | longer than any issuer's; the value is compared with every key |
//! | [`MAX_JSON_DEPTH`] | 16 | levels | deeper than any known claim set, shallow enough for every stack |
//! | [`MAX_CANDIDATES`] | 4 | keys | a token, without `kid` above all, must not choose how many signatures are checked |
//! | [`MAX_CHAIN_LENGTH`] | 4 | certificates | of a token that brings its own (feature `x5c`); each costs at most one signature for each root of the name that the last one gives as its issuer, and a chain whose names lead to no root costs none |
//! | [`BUSY_RETRY_AFTER`] | 1 | s | only with a [limit](crate::ResourceServerBuilder::max_concurrent_verifications) on signatures that are checked at the same time: none takes as long, and `Retry-After` is in seconds |
//! | [`DEFAULT_LEEWAY`] | 60 | s | clocks differ (RFC 7519 §4.1.4: "no more than a few minutes"); for `exp`, `nbf` and `iat` alike |
//! | [`MAX_LEEWAY`] | 300 | s | tokens often live for no more than five minutes; more is a configuration error |
//!
//! # Key sets
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`MAX_KEYS`] | 100 | keys | many times what issuers publish; bounds the work of an import, and the memory: that of a key is taken once more by each thread that uses it, for each algorithm |
//! | [`MAX_KNOWN_CHAINS`] | 256 | chains | (feature `x5c`) many times what one issuer signs with in turn; one that is pushed out costs its signatures again, and one in use stays; the memory of its key is taken as that of a published one |
//! | [`FRESH_FOR`] | 600 | s | an issuer that withdraws a key wants it gone in minutes; asked for less often, it is not burdened. Its `Cache-Control: max-age` counts instead, within the next two |
//! | [`MIN_FRESH_FOR`] | 60 | s | also for `no-store` and `max-age=0`: an issuer cannot make each request fetch |
//! | [`MAX_FRESH_FOR`] | 3600 | s | a day in `max-age` must not keep a withdrawn key for a day |
//! | [`REFRESH_AT`] | 80 | % | the new set is there before the old one stops being fresh, and no request waits |
//! | [`REFRESH_JITTER`] | 10 | % | a fleet that started together does not ask together |
//! | [`STALE_FOR`] | 3600 | s | an issuer's outage of an hour goes unnoticed; a longer one must not keep a withdrawn key alive. `stale-if-error` can shorten it |
//! | [`MISS_INTERVAL`] | 30 | s | made-up key ids cost the issuer at most two fetches a minute, on average |
//! | [`MISS_BURST`] | 2 | fetches | two rotations in a row are followed at once |
//! | [`MISS_WAIT`] | 2 | s | long enough for a healthy issuer's answer; the request is then answered 503 |
//! | [`MAX_MISS_WAITERS`] | 256 | requests | a flood of made-up key ids holds no more than these; the others are answered 503 at once |
//! | [`COLD_WAIT`] | 15 | s | both places of discovery and one key set at their slowest: without keys nobody can be answered |
//! | [`FLIGHT_LIMIT`] | 30 | s | twice the slowest fetch; one that has not ended by then is in a runtime that nobody drives |
//! | [`BACKOFF_MIN`] | 1 | s | the pause after a failed fetch; a short fault is over soon |
//! | [`BACKOFF_MAX`] | 60 | s | the pause doubles up to here: an issuer that comes back is noticed within a minute |
//! | [`MAX_RETRY_AFTER`] | 300 | s | an issuer that asks for a pause has it, while its keys are good; an hour's would be an outage |
//! | [`MAX_ABSENT_KIDS`] | 1024 | key ids | twice as many as the budget lets wait in the next; 40 KiB |
//! | [`ABSENT_FOR`] | 60 | s | a key id that a fetch did not bring is refused without another; a set that has it by then is asked first |
//! | [`REDISCOVER_AFTER`] | 86400 | s | a JWKS URL moves rarely; after a failed fetch it is looked up again at once |
//! | [`MAX_SNAPSHOT_AGE`] | 86400 | s | an issuer's outage over a night survives our restart in the morning; a key that was withdrawn meanwhile is gone within a day |
//! | [`SNAPSHOT_INTERVAL`] | 3600 | s | the file of a set that never changes is never much older than the set; the disk is written 24 times a day |
//! | [`MAX_SNAPSHOT_LENGTH`] | 524288 | bytes | twice the longest answer that is read, so whatever was fetched fits |
//!
//! From the first fetch on, keys are refreshed by a timer, whether requests come or not. A withdrawn key is accepted for at
//! most [`REFRESH_AT`] + [`REFRESH_JITTER`] percent of the time that the set is fresh, and, while the issuer cannot be
//! reached, up to the end of [`STALE_FOR`].
//!
//! # Fetching
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`CONNECT_TIMEOUT`] | 2 | s | a host that does not answer by then will not |
//! | [`FETCH_TIMEOUT`] | 5 | s | longer than a healthy issuer needs; a cold start holds requests no longer than it must |
//! | [`MAX_RESPONSE_LENGTH`] | 262144 | bytes | 100 keys with certificates fit; counted while it streams in |
//! | [`MAX_BEARER_FILE_LENGTH`] | 16384 | bytes | a token that is sent to us may be as long; the file is read at every fetch |
//!
//! # Verified tokens
//!
//! What was verified is remembered, and its signature not checked again, unless [`ResourceServerBuilder::without_cache`]
//! says otherwise. Times, the standing of the key and the rule of the route are looked at on every request all the same.
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`MAX_CACHED_TOKENS`] | 10000 | tokens | more than send requests to one process within minutes; one that is pushed out costs one signature |
//! | [`MAX_CACHE_BYTES`] | 16777216 | bytes | those tokens at a usual size, with their claims and the bookkeeping; tokens may be 16 KiB long |
//! | [`MAX_CACHED_BY_THREAD`] | 128 | tokens | those in constant use are few; each thread keeps them once more, so that threads do not wait for each other, in 512 KiB at most |
//! | [`MAX_CACHED_FOR`] | 300 | s | a client sends a token many times within minutes; what was verified long ago is verified again, and does not stay in memory |
//!
//! # Denied tokens
//!
//! See [`revocation`](crate::manual::revocation).
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`MAX_DENIALS`] | 100000 | denials | a fleet's log-outs of a day, in some 30 MiB; when it is full, denying is an error and nothing is forgotten; the last tenth is not for single tokens |
//! | [`MAX_DENIED_LENGTH`] | 1024 | bytes | longer than any `jti`, `sub` or client; it bounds the memory of them all |
//! | [`DENIED_FOR`] | 86400 | s | longer than access tokens usually live; a denial may end only when the tokens have |
//! | [`DENYLIST_INTERVAL`] | 1 | s | a token that is denied at one server is accepted for about a second at the others; one small question a second costs Redis nothing |
//! | [`DENYLIST_TIMEOUT`] | 2 | s | a list that has not answered by then will not; also how long a first request waits for it |
//! | [`DENYLIST_STALE_AFTER`] | 5 | s | one question that gets no answer and the next that does go unnoticed; for longer nobody shall be let in who may have been denied |
//!
//! # Tokens that are looked up
//!
//! Where an issuer's tokens are [looked up](crate::Issuer::lookup), for each issuer:
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`MIN_OPAQUE_LENGTH`] | 8 | bytes | what is shorter can be guessed, and is nobody's token: nobody is asked |
//! | [`MAX_OPAQUE_LENGTH`] | 4096 | bytes | opaque tokens are 30 to 100 bytes long, encrypted ones some thousands |
//! | [`ACTIVE_FOR`] | 60 | s | so long may a token be used that was revoked, and never past its end (RFC 7662 §4); a busy client costs one call a minute |
//! | [`ENDLESS_ACTIVE_FOR`] | 10 | s | a token without an end is got rid of only by revoking it |
//! | [`LIVE_ANSWER_FOR`] | 1 | s | on a [live](crate::BearerAuthLayer::live) route, which asks on each request; requests that come together share an answer, also when one of them is a little late |
//! | [`REFUSED_FOR`] | 10 | s | somebody who sends a bad token again and again costs six calls a minute; a token that becomes good is soon good here |
//! | [`MAX_REFUSED`] | 10000 | tokens | by their digests, 1 MiB; the oldest make room |
//! | [`LOOKUP_TIMEOUT`] | 3 | s | in the queue and for the answer: a request that waits longer is answered 503 |
//! | [`ANSWERS_TIMEOUT`] | 250 | ms | for shared answers (`Issuer::shared_answers`): Redis takes one; beyond it, asking costs no more than waiting |
//! | [`ANSWERS_PAUSE`] | 1 | s | a Redis that has failed is left alone: not every look-up is to wait for it first |
//! | [`MAX_ANSWER_AGE`] | 60 | s | of a [signed](crate::Introspection::signed) answer, besides the leeway: it is given when we ask, and one that somebody has kept is worth nothing |
//! | [`MAX_LOOKUPS`] | 64 | calls | at the same moment; at 20 ms each, 3200 a second |
//! | [`KEPT_LOOKUPS`] | 16 | calls | of these, for tokens that were accepted before: whoever makes up tokens cannot take them |
//! | [`MAX_QUEUED_LOOKUPS`] | 256 | tokens | wait for a place, and as many of those that were accepted before; more could not be served in time |
//! | [`MAX_KNOWN`] | 10000 | tokens | that were accepted are remembered as such by their digests, as many as are remembered with what they say |
//! | [`KNOWN_FOR`] | 3600 | s | the usual life of a token |
//! | [`ASSERTION_LIFETIME`] | 60 | s | a [private_key_jwt](crate::Introspection::private_key_jwt) is made for one call; the rest is for clocks that differ |
//! | [`BREAKER_FAILURES`] | 5 | tokens | that fail in a row: an endpoint that is down is not asked by everybody in turn. Made-up tokens may provoke failures, and hold up only tokens that are not known |
//! | [`BREAKER_PAUSE`] | 5 | s | before one is asked again; an outage that is over is seen soon |
//! | [`MAX_LOOKUP_RETRY_AFTER`] | 60 | s | an endpoint that asks for a pause has it; nothing is looked up meanwhile, so an hour's would be an outage |
//!
//! # Metadata
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`METADATA_MAX_AGE`] | 300 | s | the document changes with a deployment; a client that asks again after minutes is soon right |
//!
//! # Events
//!
//! | constant | value | unit | why |
//! |---|---|---|---|
//! | [`WARN_INTERVAL`] | 10 | s | an outage of ours is said at once and then often enough; neither load nor an issuer that comes and goes fills the disk as well |
//!
//! # What is no number
//!
//! | what | default | why |
//! |---|---|---|
//! | algorithms | [`Algorithm::ALL`], all asymmetric | a key fits one family only, so a longer list opens nothing; `none` does not exist, HMAC needs [`Keys::hmac`] |
//! | `iss` | required and exact, but for an unnamed issuer | RFC 8725 §3.8; keys of one issuer say nothing about another's tokens |
//! | `aud` | required; must hold the server's identifier | RFC 8725 §3.9; else a token for another service is good here |
//! | `exp` | required, but for a token that is looked up | a token without an end could never be got rid of |
//! | `nbf`, `iat` | checked if present; not in the future | RFC 7519 §4.1.5; an `iat` ahead is a wrong clock or a forgery |
//! | `typ` | `at+jwt`, `JWT` or absent | the standard's value, and what many issuers write; ID tokens with a `typ` of their own stay out (RFC 8725 §3.11) |
//! | `crit` | refused | no extension is understood (RFC 7515 §4.1.11) |
//! | `cnf` | refused, unless empty | a bound token without its proof is a stolen one (RFC 9449 §7.2, RFC 8705 §3) |
//! | client | `client_id`, else `azp`, else `cid` | RFC 9068 §2.2.1 and what issuers write instead; `sub` only if the [`Profile`] says so |
//! | scopes | `scope`, else `scp` | RFC 8693 §4.2 and what issuers write instead; string or array |
//! | signatures that are checked at the same time | as many as threads serve requests | a [limit](crate::ResourceServerBuilder::max_concurrent_verifications) turns good new tokens away together with forged ones |
//! | keys | [`Keys::discovery`] | rotation works without anybody's doing |
//! | key URLs | https | keys that somebody on the way can replace are nobody's |
//! | hosts of key URLs that are configured | any but link-local and cloud metadata, multicast and unspecified addresses | a cluster's issuer is on a private network; nobody's is where machines are given credentials |
//! | hosts of a discovered `jwks_uri` or `introspection_endpoint` | the issuer's own, or one that everybody can reach | who writes the document must not choose where this machine connects to; for a private host there is [`Keys::jwks_url`] |
//! | redirects, content decoding | none | the configured URL answers, nobody else, in the size that is counted |
//! | a snapshot of keys on the disk | none ([`Issuer::snapshot`]) | whoever can write it can forge tokens; without it a start in an outage is 503 |
//! | denied tokens | none; in memory, of one server | sharing them needs a place that all servers reach ([`ResourceServerBuilder::denylist`]) |
//! | a shared denylist that cannot be read | 503 for good tokens after [`DENYLIST_STALE_AFTER`] | a token that was taken back must not be good for as long as somebody can keep us from the list |
//! | proxy | none | one of the environment would be somebody else's choice; a configured one sees host names only |
//! | certificate authorities | the platform's | the operator's choice; a cargo feature never changes it, a call or a setting does |
//! | RSA keys | 2048 to 8192 bits, an odd exponent of at least 3 | RFC 7518 §3.3; the upper bound keeps one key from costing seconds a token |
//! | where a token may be | one `Authorization` header | RFC 6750 §2: one method, once; a query ends up in logs |
//! | body of an MCP request (feature `mcp`) | at most 1 MiB, or what `ToolAccessLayer::limit` says | room for a document among the arguments; it is held while it is read |
//! | body of a refusal | none ([`EmptyBody`]) | works with every body type |
//!
//! # Security
//! Defaults may change in a release that is otherwise compatible, if that is what it takes to protect users.
//!
//! [`Issuer::leeway`]: crate::Issuer::leeway
//! [`Issuer::snapshot`]: crate::Issuer::snapshot
//! [`Algorithm::ALL`]: crate::Algorithm::ALL
//! [`Keys::hmac`]: crate::Keys::hmac
//! [`Keys::discovery`]: crate::Keys::discovery
//! [`Keys::jwks_url`]: crate::Keys::jwks_url
//! [`Profile`]: crate::Profile
//! [`EmptyBody`]: crate::EmptyBody
//! [`ResourceServerBuilder::without_cache`]: crate::ResourceServerBuilder::without_cache
//! [`ResourceServerBuilder::denylist`]: crate::ResourceServerBuilder::denylist
//! [`ResourceServerBuilder::cache_capacity`]: crate::ResourceServerBuilder::cache_capacity

pub use crate::deny::{
    DENIED_FOR, DENYLIST_INTERVAL, DENYLIST_STALE_AFTER, DENYLIST_TIMEOUT, MAX_DENIALS, MAX_DENIED_LENGTH,
};
pub use crate::event::WARN_INTERVAL;
pub use crate::fetch::{CONNECT_TIMEOUT, FETCH_TIMEOUT, MAX_BEARER_FILE_LENGTH, MAX_RESPONSE_LENGTH};
pub use crate::jose::{
    MAX_CANDIDATES, MAX_CHAIN_LENGTH, MAX_JSON_DEPTH, MAX_KEYS, MAX_KID_LENGTH, MAX_TOKEN_LENGTH,
};
pub use crate::keys::MAX_KNOWN_CHAINS;
pub use crate::keys::absent::{ABSENT_FOR, MAX_ABSENT_KIDS};
pub use crate::keys::refresh::{
    BACKOFF_MAX, BACKOFF_MIN, FLIGHT_LIMIT, FRESH_FOR, MAX_FRESH_FOR, MAX_RETRY_AFTER, MIN_FRESH_FOR,
    MISS_BURST, MISS_INTERVAL, REFRESH_AT, REFRESH_JITTER, STALE_FOR,
};
pub use crate::keys::remote::{COLD_WAIT, MAX_MISS_WAITERS, MISS_WAIT, REDISCOVER_AFTER};
pub use crate::keys::snapshot::{MAX_SNAPSHOT_AGE, MAX_SNAPSHOT_LENGTH, SNAPSHOT_INTERVAL};
pub use crate::lookup::desk::{
    ACTIVE_FOR, BREAKER_FAILURES, BREAKER_PAUSE, ENDLESS_ACTIVE_FOR, KEPT_LOOKUPS, KNOWN_FOR,
    LIVE_ANSWER_FOR, LOOKUP_TIMEOUT, MAX_KNOWN, MAX_LOOKUP_RETRY_AFTER, MAX_LOOKUPS, MAX_QUEUED_LOOKUPS,
    MAX_REFUSED, REFUSED_FOR,
};
pub use crate::lookup::{
    ANSWERS_PAUSE, ANSWERS_TIMEOUT, ASSERTION_LIFETIME, MAX_ANSWER_AGE, MAX_OPAQUE_LENGTH, MIN_OPAQUE_LENGTH,
};
pub use crate::refusal::BUSY_RETRY_AFTER;
pub use crate::server::{
    DEFAULT_LEEWAY, MAX_CACHE_BYTES, MAX_CACHED_BY_THREAD, MAX_CACHED_FOR, MAX_CACHED_TOKENS, MAX_LEEWAY,
    METADATA_MAX_AGE,
};
