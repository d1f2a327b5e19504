//! What is done about each known attack on a service that accepts tokens, and what is left to you.
//!
//! # Forged tokens
//!
//! | attack | what stops it |
//! |---|---|
//! | `alg: none`, in any spelling | [`Algorithm`] has no such variant; names are exact and case-sensitive |
//! | a public key used as an HMAC secret (RFC 8725 §2.1) | [`HmacAlgorithm`] is another type; no key set leads to it, and an issuer has either public keys or a secret |
//! | the header chooses the algorithm | it is compared with the issuer's list and with the family of the key; it chooses nothing (RFC 8725 §3.1) |
//! | a key in the header: `jwk`, `jku`, `x5u`, `x5c` | these are not read (RFC 8725 §3.10). `x5c` is, for an issuer with pinned roots (feature `x5c`), and its key is used only if the chain leads to one of them |
//! | a chain that almost leads to a pinned root: expired, out of order, with a gap, through a certificate that is no authority's | webpki validates it (RFC 5280 §6); every certificate must be valid now, and the signer's have `digitalSignature` |
//! | a certificate that the same root has given out for something else, such as TLS | refused if its `extKeyUsage` says so; if it says nothing, it signs tokens. The root must be one for signers of tokens alone |
//! | a chain that was good, remembered | its key is used while the whole path is valid, and no longer; so is what it has verified |
//! | made-up chains, to have many signatures checked or good chains forgotten | [`MAX_CHAIN_LENGTH`], after all that needs no key; names must lead straight to a root before a signature is looked at, so there is one path, and at most one signature for each certificate and root of the fitting name; only chains of accepted signatures are remembered, [`MAX_KNOWN_CHAINS`] of them |
//! | a `kid` that is a path, a URL or a query | it is compared, and nothing else: never opened, fetched or sent |
//! | another issuer's key | the issuer is selected first, by exact `iss`; only its own keys are tried (RFC 8725 §3.8) |
//! | weak keys: short or even moduli, an exponent of 1, moduli with the ROCA fingerprint, points of small order | checked at import, before a backend sees the key; what fails is left out |
//! | degenerate signatures, such as ECDSA with zeros | left to the backends, and tested with vectors made by others for each of them |
//! | a token rewritten with the same meaning | the signature covers every byte of header and payload; base64url must be canonical. An ECDSA signature has a valid twin all the same: tell tokens apart by `jti`, not by their text |
//!
//! # Tokens for something else
//!
//! | attack | what stops it |
//! |---|---|
//! | a token for another service, passed on | `aud` must hold the expected audience; [`dangerous_any_audience`] turns that off |
//! | an ID token, refresh token or logout token | `typ`, where the issuer writes one; [`Profile::rfc9068`] demands `at+jwt` |
//! | a stolen token that is bound to a key | any `cnf` but an empty one is refused: no proof is supported |
//! | a token without `iss` at an issuer that writes it | it only meets unnamed issuers |
//! | a user called like a client | not stopped here: `sub` and `client_id` are two name spaces (RFC 9700 §4.15); compare like with like |
//!
//! # Confused parsers
//!
//! | attack | what stops it |
//! |---|---|
//! | a member twice; nesting without end; huge numbers; many dots | refused, at every depth; bounds come before any decoding |
//! | a claim with a wrong JSON type, to have it taken for absent | a wrong type is invalid, and so is `null` where a claim is read |
//! | two `Authorization` headers, or a token in the query | 400 for the first; the second is not looked for |
//! | a call of a tool that the MCP server reads in another way (feature `mcp`) | what two JSON parsers could understand in two ways is refused, and so are headers that do not say what the body says |
//! | a scope that looks like another: other separators, prefixes | scopes follow RFC 6749 §3.3 or grant nothing; they are compared whole |
//!
//! # Around a protected service
//!
//! | attack | what stops it |
//! |---|---|
//! | a path that a proxy or pattern reads in another way than the router | there are no path patterns: the rule is on the route itself |
//! | a handler that was left unprotected | [`Token`] as an argument answers 500 there; nobody else can make a `Token` |
//! | a token exchanged between two layers | the inner layer takes over a verdict only for the very same token, server and issuer |
//! | a verdict that outlives the token, its key or the rule | a remembered verdict is about the very bytes of a token; its times, the standing of its key, and the rule are checked for each request. See [`without_cache`] |
//! | a stolen token, or one of a user who was dismissed | [`ResourceServer::deny`]: at the next request, whatever was verified before; see [`revocation`](super::revocation) |
//! | a shared denylist that is kept away from us, so that a denied token lives on | after [`DENYLIST_STALE_AFTER`] good tokens are 503, unless [stale is fine](crate::ResourceServerBuilder::dangerous_stale_denylist) |
//! | log-outs without end, to push denials out | of one subject there are two at most; when there is no room, denying is an error, and nothing is forgotten |
//! | asking which tokens are denied | it is said of a token with a good signature only, last of all |
//! | tokens made up to push others out of the memory of verified ones | only what was verified comes in, within [`MAX_CACHED_TOKENS`] and [`MAX_CACHE_BYTES`]; places are chosen by a hash with a random seed |
//! | tokens in logs | the header value is marked sensitive; no `Debug`, error or event of the crate holds token bytes |
//!
//! # Against the processor
//!
//! | attack | what stops it |
//! |---|---|
//! | forged tokens that name a real key, to keep every thread busy with signatures | what needs no key is checked first, known tokens need no signature, and [`MAX_CANDIDATES`] bounds what one costs. [`max_concurrent_verifications`] leaves threads to known tokens, and turns good new ones away meanwhile. To tell who floods is left to what is in front |
//!
//! # Against the keys
//!
//! | attack | what stops it |
//! |---|---|
//! | made-up key ids, to have keys fetched | a budget for each issuer, a bound on those who wait, and one fetch at a time: [`MISS_INTERVAL`], [`MISS_BURST`], [`MAX_MISS_WAITERS`] |
//! | made-up key ids, to use up what a rotation needs | the scheduled refresh has a budget of its own |
//! | an outage of the issuer, to have everybody refused or anybody accepted | keys serve on up to [`STALE_FOR`], then 503; never 401, never without keys |
//! | a discovery document of another issuer | its `issuer` must be identical (RFC 8414 §3.3) |
//! | a key URL for a place where machines answer with credentials: link-local addresses and the cloud's own, in any spelling and within IPv6 | refused, whether configured, discovered, or what a name leads to |
//! | a discovery document that points inside: private, shared and loopback addresses | `jwks_uri` may name the issuer's own host, which the operator wrote, or one on the internet; every address that its name leads to is looked at |
//! | a name that leads elsewhere once it was looked at (DNS rebinding) | what is looked at is what is connected to |
//! | a key URL with plain HTTP; a redirect | refused, whether configured or discovered; redirects are not followed |
//! | an endless or huge answer | bounded in time and bytes while it streams in: [`FETCH_TIMEOUT`], [`MAX_RESPONSE_LENGTH`] |
//! | one odd key, to have a whole set refused | keys are read one by one; an odd one is left out with its reason |
//! | the machine's clock set back, to keep a withdrawn key | key ages use a monotonic clock |
//! | a snapshot of keys ([`Issuer::snapshot`]) that somebody else wrote | on Unix it must be a regular file of ours or root's that nobody else can write; it must be of this issuer and key source, and not old. Whoever can write as we do can forge |
//! | an old snapshot put back, to keep a withdrawn key | it is read only when the first fetch fails, and is used until it is [`MAX_SNAPSHOT_AGE`] old at most, by the time of day |
//!
//! # What is left to you
//!
//! - TLS in front of the service: a bearer token is good for whoever reads it.
//! - Short lives of tokens. A token is accepted until it expires, also if the issuer has withdrawn it in the meantime, unless
//!   you [deny](crate::ResourceServer::deny) it.
//! - The Redis of a shared denylist, and the way to it unless that is TLS: whoever can write there can deny, and undo it.
//! - The Redis of shared answers (`Issuer::shared_answers`; `shared_answers` in a settings file) and their secret: whoever can write there and knows the secret can
//!   make a token good. Without the secret an older answer can be put back, as long as that may be believed; claims can be read.
//! - Hosts that you configure. Those of issuers and key sets may be private, and their names may lead inside.
//! - Names, where it is not our client that resolves them: over a proxy, with a `reqwest::Client` of your own, or a
//!   [`Fetch`] of your own. There addresses in URLs are looked at, and what names lead to is not.
//! - Networks that only you know to be inside: public addresses behind your firewall, or a NAT64 prefix of your own.
//! - The folder of a snapshot: nobody else may write there, and it is not shared between machines.
//! - Certificates that were revoked (feature `x5c`): no list is fetched. Keep them short-lived, or block their keys.
//! - Limits on requests. An invalid signature costs as much as a valid one.
//! - What a handler logs. [`Token::claims`] gives personal data to whoever asks for it.
//!
//! [`Algorithm`]: crate::Algorithm
//! [`HmacAlgorithm`]: crate::HmacAlgorithm
//! [`Fetch`]: crate::Fetch
//! [`dangerous_any_audience`]: crate::Issuer::dangerous_any_audience
//! [`Profile::rfc9068`]: crate::Profile::rfc9068
//! [`Token`]: crate::Token
//! [`Token::claims`]: crate::Token::claims
//! [`Issuer::snapshot`]: crate::Issuer::snapshot
//! [`MAX_SNAPSHOT_AGE`]: super::defaults::MAX_SNAPSHOT_AGE
//! [`ResourceServer::deny`]: crate::ResourceServer::deny
//! [`DENYLIST_STALE_AFTER`]: super::defaults::DENYLIST_STALE_AFTER
//! [`max_concurrent_verifications`]: crate::ResourceServerBuilder::max_concurrent_verifications
//! [`MAX_CANDIDATES`]: super::defaults::MAX_CANDIDATES
//! [`without_cache`]: crate::ResourceServerBuilder::without_cache
//! [`MAX_CHAIN_LENGTH`]: super::defaults::MAX_CHAIN_LENGTH
//! [`MAX_KNOWN_CHAINS`]: super::defaults::MAX_KNOWN_CHAINS
//! [`MAX_CACHED_TOKENS`]: super::defaults::MAX_CACHED_TOKENS
//! [`MAX_CACHE_BYTES`]: super::defaults::MAX_CACHE_BYTES
//! [`MISS_INTERVAL`]: super::defaults::MISS_INTERVAL
//! [`MISS_BURST`]: super::defaults::MISS_BURST
//! [`MAX_MISS_WAITERS`]: super::defaults::MAX_MISS_WAITERS
//! [`STALE_FOR`]: super::defaults::STALE_FOR
//! [`FETCH_TIMEOUT`]: super::defaults::FETCH_TIMEOUT
//! [`MAX_RESPONSE_LENGTH`]: super::defaults::MAX_RESPONSE_LENGTH
