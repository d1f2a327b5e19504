//! The MCP server: two tools, each with a scope of its own.

use axum::Router;
use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use tower_bearer::mcp::{ToolAccess, ToolAccessLayer};
use tower_bearer::testing::Idp;
use tower_bearer::{BearerAuthLayer, ResourceServer, Token};

use crate::Error;

pub(crate) fn app(resource: &str, idp: &Idp) -> Result<Router, Error> {
    // Here the keys come from memory and no TLS is built in, so that this runs where there are no certificates. With the
    // feature `reqwest`, `Issuer::new("https://…")` alone discovers them.
    let issuer = idp.issuer().dangerous_allow_http();
    let api = ResourceServer::builder(resource)
        .issuer(issuer)
        // What a client asks for to begin with. It learns of the rest when a tool needs it.
        .metadata_member("scopes_supported", vec!["math:read"])
        .build()?;
    let metadata = api.metadata().ok_or("a URL as identifier has metadata")?;

    let tools = ToolAccess::deny().tool("add", ["math:read"]).tool("reset", ["math:write"]);
    let mcp = StreamableHttpService::new(
        || Ok(Math),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    Ok(Router::new()
        .route_service("/mcp", mcp)
        .layer(ToolAccessLayer::new(tools))
        .layer(BearerAuthLayer::new(api))
        // Outside of the layers: whoever reads it has no token yet.
        .route_service(metadata.path(), metadata.clone()))
}

struct Math;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Addends {
    a: i64,
    b: i64,
}

#[tool_router]
impl Math {
    #[tool(description = "Adds two numbers. Needs the scope math:read.")]
    fn add(
        &self,
        Parameters(Addends { a, b }): Parameters<Addends>,
        Extension(head): Extension<Parts>,
    ) -> String {
        format!("{} for {}", a.saturating_add(b), caller(&head))
    }

    #[tool(description = "Forgets everything. Needs the scope math:write.")]
    fn reset(&self, Extension(head): Extension<Parts>) -> String {
        format!("reset by {}", caller(&head))
    }
}

#[tool_handler]
impl ServerHandler for Math {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// rmcp hands the head of the request to its tools, and with it the token that the layer has verified.
fn caller(head: &Parts) -> &str {
    head.extensions.get::<Token>().and_then(Token::client_id).unwrap_or("nobody")
}
