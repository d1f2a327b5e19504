//! The protected API: one server that trusts all of the systems, and what its routes ask for.

use axum::Router;
use axum::routing::get;
use tower_bearer::{
    Algorithm, BearerAuthLayer, ConfigError, Fetch, Introspection, Issuer, Keys, KongTokens, Profile,
    ResourceServer, ResourceServerBuilder, Rule, Token, all_of, any_of,
};

use super::API;
use super::systems::{SECRET, Systems};

/// As the manual has each of them (`manual::providers`). They are on this machine, so their keys come over plain HTTP.
pub(super) fn issuers(systems: &Systems) -> [Issuer; 4] {
    [
        Issuer::new(systems.clickview.issuer())
            .name("clickview")
            .audience("integrations")
            .keys(Keys::discovery())
            .algorithms([Algorithm::RS256])
            // Reference tokens too.
            .introspection(Introspection::discovered().basic("integrations", SECRET))
            .profile(Profile::clickview())
            .dangerous_allow_http(),
        Issuer::unnamed("tarkov")
            .keys(Keys::x5c(systems.tarkov.root_pem()))
            .algorithms([Algorithm::Ed25519])
            .profile(Profile::tarkov_database()),
        Issuer::unnamed("oro")
            .keys(Keys::pem(systems.oro.public_key_pem()))
            .algorithms([Algorithm::RS256])
            .clients(["robot", "manager", "shop"])
            .grant("robot", ["orders"])
            .grant("manager", ["orders", "reports"])
            .grant("shop", ["cart", "orders"])
            .profile(Profile::oro()),
        Issuer::new(systems.aidbox.issuer())
            .name("aidbox")
            .algorithms([Algorithm::RS256])
            .clients(["nurse", "visitor"])
            .grant("nurse", ["patients", "reports"])
            .profile(Profile::aidbox())
            .dangerous_allow_http(),
    ]
}

/// A server that trusts these.
pub(super) fn trusting(issuers: impl IntoIterator<Item = Issuer>) -> ResourceServerBuilder {
    let server = ResourceServer::builder(API).implies("read:all", ["read:item"]);
    issuers.into_iter().fold(server, ResourceServerBuilder::issuer)
}

/// The routes: each for one system, and some that show what keeps the others out.
pub(super) fn routes(api: ResourceServer) -> Router {
    let auth = BearerAuthLayer::new(api);
    let of = |issuer: &str, rule: Rule| auth.require(Rule::issuers([issuer]).and(rule));
    Router::new()
        .route("/who", get(who).layer(auth.clone()))
        .route("/embeds", get(who).layer(of("clickview", all_of(["smartembed.viewkey"]))))
        .route("/items", get(who).layer(of("tarkov", all_of(["read:item"]))))
        .route("/locations", get(who).layer(of("tarkov", any_of(["read:location", "read:all"]))))
        .route(
            "/orders",
            get(who).layer(of("oro", all_of(["orders"]).and(Rule::clients(["robot", "manager"])))),
        )
        .route("/reports", get(who).layer(of("oro", all_of(["reports"]))))
        .route("/cart", get(who).layer(of("oro", Rule::clients(["shop"]))))
        .route("/patients", get(who).layer(of("aidbox", all_of(["patients"]))))
        // A layer for one issuer does not even look at the tokens of another.
        .route("/narrowed/tarkov", get(who).layer(auth.issuers(["tarkov"])))
        .route("/narrowed/oro", get(who).layer(auth.issuers(["oro"])))
}

/// Beside it, a route of a server that trusts named issuers only.
pub(super) fn named_only(systems: &Systems) -> ResourceServerBuilder {
    let [clickview, _, _, aidbox] = issuers(systems);
    trusting([clickview, aidbox])
}

/// wicked's tokens. They look like ClickView's references, and nothing in them tells them apart: they need a server, and
/// routes, of their own.
pub(super) fn wicked(systems: &Systems, fetch: impl Fetch) -> Result<ResourceServerBuilder, ConfigError> {
    let kong = KongTokens::at(systems.wicked.admin_url(), fetch)?;
    let petstore = systems.wicked.service("petstore").unwrap_or_default();
    Ok(trusting([Issuer::unnamed("wicked").lookup(kong).audience(petstore)]))
}

/// And so do the opaque tokens of Aidbox. An answer has no `aud`, so that the clients must be listed.
pub(super) fn sessions(systems: &Systems) -> ResourceServerBuilder {
    trusting([Issuer::new(systems.aidbox.issuer())
        .name("aidbox")
        .introspection(Introspection::discovered().basic("opaque", SECRET))
        .clients(["opaque"])
        .grant("opaque", ["patients"])
        .profile(Profile::aidbox().optional_audience())
        .dangerous_allow_http()])
}

/// The routes of these two.
pub(super) fn opaque_routes(wicked: ResourceServer, sessions: ResourceServer) -> Router {
    let (wicked, sessions) = (BearerAuthLayer::new(wicked), BearerAuthLayer::new(sessions));
    Router::new()
        .route("/pets", get(who).layer(wicked.scopes(["read"])))
        .route("/pets/new", get(who).layer(wicked.scopes(["write"])))
        .route("/sessions", get(who).layer(sessions.scopes(["patients"])))
        .route("/sessions/reports", get(who).layer(sessions.scopes(["reports"])))
}

/// Issuer, client, scopes.
pub(super) async fn who(token: Token) -> String {
    format!("{} {} [{}]", token.issuer_name(), token.client_id().unwrap_or("-"), token.scopes())
}
