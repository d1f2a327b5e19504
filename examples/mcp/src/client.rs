//! The client: rmcp's own discovery, token requests and transport.
//!
//! What is done by hand here, because rmcp 3.9 has no function for it: nothing of the protocols, but the glue. Its
//! transport reports 401 and 403 with the challenge; it does not ask for another token by itself, and its
//! `request_scope_upgrade` starts the authorization code grant, in which a person logs in at a browser. With client
//! credentials the token request is simply made again, with the scopes that `select_scopes` puts together.

use rmcp::model::{CallToolRequestParams, ContentBlock, JsonObject};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthorizationManager, AuthorizationMetadataSource, ClientCredentialsConfig,
};
use rmcp::transport::streamable_http_client::{InsufficientScopeError, StreamableHttpClientTransportConfig};
use rmcp::{RoleClient, ServiceExt};

use crate::Error;

type Connection = RunningService<RoleClient, ()>;

pub(crate) async fn run(resource: &str, issuer: &str, secret: &str) -> Result<(), Error> {
    let challenge = connect_without_a_token(resource).await?;
    println!("401, and the client is told: {challenge}");

    // The challenge names our metadata, they name the authorization server, and its metadata name the token endpoint.
    let mut manager = AuthorizationManager::new(resource).await?;
    let found = manager.resolve_metadata_from_challenge(Some(&challenge)).await?;
    expect(found.source == AuthorizationMetadataSource::ProtectedResourceMetadata, "found by our metadata")?;
    expect(found.metadata.issuer.as_deref() == Some(issuer), "the issuer is the authorization server")?;
    println!("discovered {issuer}, which hands out tokens at {}", found.metadata.token_endpoint);
    manager.set_metadata(found.metadata);

    let credentials = |scopes| ClientCredentialsConfig::ClientSecret {
        client_id: "agent".to_owned(),
        client_secret: secret.to_owned(),
        scopes,
        resource: Some(resource.to_owned()),
    };
    let first = credentials(manager.select_initial_scopes(&[]).await);
    manager.validate_client_credentials_metadata(&first)?;
    manager.configure_client_credentials(&first)?;
    manager.exchange_client_credentials(&first).await?;
    let granted = manager.get_current_scopes().await;
    expect(granted == ["math:read"], "the first token has the scopes that our metadata name")?;
    println!("got a token with the scopes {granted:?}");

    let client = AuthClient::new(reqwest::Client::new(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(resource);
    let connection = ().serve(StreamableHttpClientTransport::with_client(client.clone(), config)).await?;
    let tools = connection.list_all_tools().await?;
    println!("connected; the tools are {:?}", tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>());

    let sum = call(&connection, "add", &[("a", 2), ("b", 3)]).await?;
    expect(sum == "5 for agent", "the sum, and who asked")?;
    println!("add(2, 3) answers {sum:?}");

    let refused = call(&connection, "reset", &[]).await;
    let why = refused.err().ok_or("reset needs a scope that the token lacks")?;
    let why = insufficient_scope(&why).ok_or("the refusal is 403 with a challenge")?;
    println!("403 for reset, and the client is told: {}", why.www_authenticate_header);
    expect(why.get_required_scope() == Some("math:write"), "the scope of reset is named")?;

    {
        let manager = client.auth_manager.lock().await;
        let more = credentials(manager.select_scopes(why.get_required_scope(), &[]));
        manager.exchange_client_credentials(&more).await?;
        let granted = manager.get_current_scopes().await;
        expect(granted == ["math:read", "math:write"], "the second token has both scopes")?;
        println!("got a token with the scopes {granted:?}");
    }
    // The same connection; it takes the token that is there.
    let done = call(&connection, "reset", &[]).await?;
    expect(done == "reset by agent", "reset, and by whom")?;
    println!("reset() answers {done:?}");

    let unknown = call(&connection, "drop", &[]).await;
    let why = unknown.err().ok_or("a tool without a rule is refused")?;
    let why = insufficient_scope(&why).ok_or("the refusal is 403 with a challenge")?;
    expect(why.get_required_scope().is_none(), "no scope would help")?;
    println!("403 for drop, which is no tool: {}", why.www_authenticate_header);

    connection.cancel().await?;
    println!("done");
    Ok(())
}

/// What the server says to a client that has no token yet.
async fn connect_without_a_token(resource: &str) -> Result<String, Error> {
    let refused = ().serve(StreamableHttpClientTransport::from_uri(resource)).await;
    let why: ClientInitializeError = refused.err().ok_or("connected without a token")?;
    let challenge = why.auth_challenge().map(ToOwned::to_owned);
    challenge.ok_or_else(|| format!("no challenge, but: {why}").into())
}

/// Calls a tool with numbers, and takes its answer as text.
async fn call(
    connection: &Connection,
    tool: &'static str,
    arguments: &[(&str, i64)],
) -> Result<String, ServiceError> {
    let arguments: JsonObject =
        arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let result = connection.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?;
    let text = result.content.iter().filter_map(ContentBlock::as_text).map(|content| content.text.as_str());
    Ok(text.collect())
}

/// The 403 in what a call ended with.
fn insufficient_scope(why: &ServiceError) -> Option<&InsufficientScopeError> {
    let ServiceError::TransportSend(why) = why else { return None };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(why.error.as_ref());
    while let Some(why) = cause {
        if let Some(found) = why.downcast_ref() {
            return Some(found);
        }
        cause = why.source();
    }
    None
}

fn expect(holds: bool, what: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(format!("expected: {what}").into()) }
}
