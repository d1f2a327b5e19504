//! wicked.haufe.io.
//!
//! Its tokens are opaque: 32 letters and digits, made by Kong, with nothing in them to verify. They are looked up in Kong's list
//! of tokens, by [`KongTokens`], over the admin port.
//!
//! ```
//! # #[cfg(feature = "reqwest")] {
//! use tower_bearer::{ConfigError, Issuer, KongTokens, ReqwestFetch, ResourceServer};
//!
//! # fn api() -> Result<ResourceServer, ConfigError> {
//! let kong = KongTokens::at("http://127.0.0.1:8001", ReqwestFetch::new()?)?;
//! let issuer = Issuer::unnamed("wicked")
//!     .lookup(kong)
//!     .audience("c2b8cb62-6c5a-4e1b-8f5f-8a1f6c2b9d11"); // the id of the API's service in Kong
//! let api = ResourceServer::builder("https://petstore.example.com").issuer(issuer).build()?;
//! # Ok(api) }
//! # let _ = api;
//! # }
//! ```
//!
//! ```toml
//! resource = "https://petstore.example.com"
//!
//! [[issuer]]
//! name     = "wicked"
//! kong     = { admin_url = "http://127.0.0.1:8001" }
//! audience = ["c2b8cb62-6c5a-4e1b-8f5f-8a1f6c2b9d11"]
//! ```
//!
//! ```text
//! Authorization: Bearer kqJ3x0S7dV2mN8bR5tY1wZ4cF6hG9pLa
//! ```
//!
//! # What to watch for
//!
//! - `aud` is the id of the service that a token is for. A token of a bundle of APIs is for none in particular; it is refused
//!   unless the profile says [`optional_audience`](crate::Profile::optional_audience), and then
//!   [`clients`](crate::Issuer::clients) must say who may call.
//! - The client is the `client_id` of the subscription, one for each application and API.
//! - A token may live for ever. It is asked about again after
//!   [`ENDLESS_ACTIVE_FOR`](crate::manual::defaults::ENDLESS_ACTIVE_FOR), others after
//!   [`ACTIVE_FOR`](crate::manual::defaults::ACTIVE_FOR).
//! - The admin port gives away everything and asks for no credentials: nobody but the gateway's own and this service may reach
//!   it, over https or on the same machine.
//! - Behind Kong the token was looked at already. Kong says who calls in `X-Consumer-Custom-Id`, `X-Consumer-Username` and
//!   `X-Authenticated-Scope`. Those headers are worth something only if nobody but Kong can reach the service.
//!
//! [`KongTokens`]: crate::KongTokens
