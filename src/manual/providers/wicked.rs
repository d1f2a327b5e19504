//! wicked.haufe.io: not supported yet.
//!
//! Its tokens are opaque: 32 letters and digits, made by Kong, with nothing in them to verify.
//!
//! ```text
//! Authorization: Bearer kqJ3x0S7dV2mN8bR5tY1wZ4cF6hG9pLa
//! ```
//!
//! They have to be looked up in Kong, for each of them anew, and there is no profile for that. Such a token is refused as "not
//! well formed".
//!
//! # What to do
//!
//! - Behind Kong the token was looked at already. Kong says who calls in `X-Consumer-Custom-Id`, `X-Consumer-Username` and
//!   `X-Authenticated-Scope`. Those headers are worth something only if nobody but Kong can reach the service.
//! - Have clients that can choose get their tokens from an issuer of JWTs.
