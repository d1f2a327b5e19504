//! Several issuers at one API.
//!
//! A service that trusts [ClickView](super::clickview), [Tarkov Database](super::tarkov_database), [OroCommerce](super::oro) and
//! [Aidbox](super::aidbox) at once. Each has its profile ([`Profile::clickview`], [`Profile::tarkov_database`], [`Profile::oro`],
//! [`Profile::aidbox`]), its own keys and its own clients; the pages say why each field is there.
//!
//! ```toml
//! resource = "https://api.example.com"
//!
//! [implies]
//! "read:all" = ["read:item"]
//!
//! [[issuer]]
//! iss        = "https://login.clickview.example"
//! name       = "clickview"
//! audience   = ["integrations"]
//! algorithms = ["RS256"]
//! profile    = "clickview"
//! discovery  = true
//! introspection = { client_id = "integrations", client_secret_file = "clickview-secret" }
//!
//! [[issuer]]
//! name          = "tarkov"
//! x5c_root_file = "root.pem"
//! algorithms    = ["Ed25519"]
//! profile       = "tarkov_database"
//!
//! [[issuer]]
//! name       = "oro"
//! pem_file   = "oauth_public.key"
//! algorithms = ["RS256"]
//! profile    = "oro"
//! clients    = ["robot", "manager", "shop"]
//!
//! [issuer.grants]
//! robot   = ["orders"]
//! manager = ["orders", "reports"]
//! shop    = ["cart", "orders"]
//!
//! [[issuer]]
//! iss        = "https://shop.aidbox.app"
//! name       = "aidbox"
//! algorithms = ["RS256"]
//! profile    = "aidbox"
//! clients    = ["nurse", "visitor"]
//!
//! [issuer.grants]
//! nurse = ["patients", "reports"]
//!
//! [[route]]
//! path = "/who"
//!
//! [[route]]
//! path    = "/embeds"
//! issuers = ["clickview"]
//! scopes  = ["smartembed.viewkey"]
//!
//! [[route]]
//! path    = "/items"
//! issuers = ["tarkov"]
//! scopes  = ["read:item"]
//!
//! [[route]]
//! path       = "/locations"
//! issuers    = ["tarkov"]
//! any_scopes = ["read:location", "read:all"]
//!
//! [[route]]
//! path    = "/orders"
//! issuers = ["oro"]
//! scopes  = ["orders"]
//! clients = ["robot", "manager"]
//!
//! [[route]]
//! path    = "/reports"
//! issuers = ["oro"]
//! scopes  = ["reports"]
//!
//! [[route]]
//! path    = "/cart"
//! issuers = ["oro"]
//! clients = ["shop"]
//!
//! [[route]]
//! path    = "/patients"
//! issuers = ["aidbox"]
//! scopes  = ["patients"]
//! ```
//!
//! `cargo run --example five_systems` serves these systems and such an API on loopback, and prints what becomes of good and
//! bad tokens of each. `examples/five_systems/api.rs` is the file above in code.
//!
//! # What to watch for
//!
//! - **Name the issuers of a route.** A scope says something only together with who granted it: above, clients of two issuers
//!   may have `reports`. So does the id of a client: another issuer may have a `robot` of its own.
//! - A token with `iss` is a matter of that issuer alone. One without is tried with each issuer that has none, here two. What
//!   keeps them apart is their keys; `typ` and `alg` do before that.
//! - A token of a good issuer on a route of another is 403: it is valid, and not enough. A layer that is narrowed in code,
//!   [`BearerAuthLayer::issuers`], does not even try the keys of others, and answers 401.
//! - What is opaque is asked about at ClickView, whoever it comes from: here nobody else looks tokens up, and nothing in such a
//!   token says whose it is. So the tokens of [wicked](super::wicked) and the sessions of Aidbox need a server of their own,
//!   with routes of their own, unless they start with something that is theirs alone ([`Issuer::token_prefix`]). Their pages
//!   have the files.
//! - On a layer that is narrowed to others by [`BearerAuthLayer::issuers`], nobody is asked, and an opaque token is 401 "not well
//!   formed".
//!
//! [`Profile::clickview`]: crate::Profile::clickview
//! [`Profile::tarkov_database`]: crate::Profile::tarkov_database
//! [`Profile::oro`]: crate::Profile::oro
//! [`Profile::aidbox`]: crate::Profile::aidbox
//! [`Issuer::token_prefix`]: crate::Issuer::token_prefix
//! [`BearerAuthLayer::issuers`]: crate::BearerAuthLayer::issuers
