//! The routes of a settings file, each with its own rule.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any_service};
use http::StatusCode;
use http::header::ALLOW;
use serde_json::{Value, json};
use tower::Layer;
use tower::util::BoxCloneSyncService;
use tower_bearer::settings::{Access, Route};
use tower_bearer::{BearerAuthLayer, ProblemJson, Rejection, ResourceServer, Token};

type Endpoint = BoxCloneSyncService<Request, Response, std::convert::Infallible>;

/// Every route under its own layer; what no route names needs a token before it is 404 or 405.
pub(crate) fn protected(api: ResourceServer, routes: &[Route]) -> Result<Router, String> {
    let metadata = api.metadata();
    let auth = BearerAuthLayer::new(api).respond_with(ProblemJson::default());
    let mut paths: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    let mut known = matchit::Router::new();
    for (index, route) in routes.iter().enumerate() {
        let at_path = paths.entry(route.path()).or_default();
        if at_path.is_empty() {
            check_path(&mut known, route.path()).map_err(|why| format!("route[{index}].path: {why}"))?;
        }
        at_path.push(route);
    }
    let mut app = Router::new();
    // Unless a route of the settings has its place, or axum cannot route it.
    if let Some(metadata) = metadata.filter(|metadata| check_path(&mut known, metadata.path()).is_ok()) {
        app = app.route_service(metadata.path(), metadata.clone());
    }
    for (path, routes) in paths {
        app = app.route(path, methods(&auth, &routes)?);
    }
    Ok(app.fallback_service(auth.layer(no_such_path.with_state(()))))
}

fn methods(auth: &BearerAuthLayer<ProblemJson>, routes: &[&Route]) -> Result<MethodRouter, String> {
    let mut methods = match routes.iter().find(|route| route.method().is_none()) {
        Some(any) => any_service(endpoint(auth, any)),
        None => {
            let allowed = allowed(routes);
            let no_such_method = || async move { (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed)]) };
            MethodRouter::new().fallback_service(auth.layer(no_such_method.with_state(())))
        }
    };
    for route in routes {
        if let Some(method) = route.method() {
            let filter = MethodFilter::try_from(method.clone()).map_err(|error| error.to_string())?;
            methods = methods.on_service(filter, endpoint(auth, route));
        }
    }
    Ok(methods)
}

fn endpoint(auth: &BearerAuthLayer<ProblemJson>, route: &Route) -> Endpoint {
    let auth = if route.is_live() { auth.live() } else { auth.clone() };
    match route.access() {
        Access::Public => BoxCloneSyncService::new(anonymous.with_state(())),
        Access::Optional(rule) => {
            let layer = auth.require(rule.clone()).optional();
            BoxCloneSyncService::new(layer.layer(who_if_any.with_state(())))
        }
        Access::Required(rule) => {
            BoxCloneSyncService::new(auth.require(rule.clone()).layer(who.with_state(())))
        }
        _ => BoxCloneSyncService::new(auth.layer(no_such_path.with_state(()))),
    }
}

/// axum panics at a path that it cannot route; a settings file must not.
fn check_path(known: &mut matchit::Router<()>, path: &str) -> Result<(), String> {
    if path.split('/').any(|segment| segment.starts_with([':', '*'])) {
        return Err("a parameter is written {name}, and the rest of a path {*name}".to_owned());
    }
    // The router numbers parameters by letters, and panics when they run out.
    if path.matches('{').count() > 25 {
        return Err("more than 25 parameters; write fewer".to_owned());
    }
    known
        .insert(path, ())
        .map_err(|error| format!("{error}; write a path in axum's syntax").replace('\n', " "))
}

async fn who(token: Token) -> Result<Json<Value>, Rejection> {
    let since =
        |end: std::time::SystemTime| end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires_at = token.expires_at().map(since);
    Ok(Json(json!({
        "issuer": token.issuer(),
        "subject": token.subject(),
        "client_id": token.client_id(),
        "scopes": token.scopes().iter().collect::<Vec<_>>(),
        "audience": token.audience().collect::<Vec<_>>(),
        "expires_at": expires_at,
        "token_id": token.token_id(),
        "claims": token.claims::<Value>()?,
    })))
}

async fn who_if_any(token: Option<Token>) -> Response {
    match token {
        Some(token) => who(token).await.into_response(),
        None => anonymous().await.into_response(),
    }
}

async fn anonymous() -> Json<Value> {
    Json(json!({"anonymous": true}))
}

async fn no_such_path() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The methods of a path, as a 405 must name them (RFC 9110 §15.5.6). HEAD follows GET.
fn allowed(routes: &[&Route]) -> String {
    let methods = routes.iter().filter_map(|route| route.method()).flat_map(|method| match method.as_str() {
        "GET" => vec!["GET", "HEAD"],
        other => vec![other],
    });
    methods.collect::<Vec<_>>().join(", ")
}
