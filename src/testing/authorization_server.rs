//! [`AuthorizationServer`]: the client credentials grant over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tower_service::Service;

use super::Idp;

/// An authorization server (RFC 6749) with one grant: client credentials. A tower service for any HTTP server.
///
/// `POST /token` takes a form (RFC 6749 §4.4.2) or JSON, and the client's secret in the body or by Basic. A `resource`
/// (RFC 8707) must be the audience. `GET` serves `/jwks` and the discovery documents; if the issuer has a path, all
/// under it, and the documents also where RFC 8414 §3.1 puts them: with the path behind `/.well-known/…`.
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    idp: Idp,
    audience: Arc<str>,
    clients: Arc<BTreeMap<String, Client>>,
    lifetime: Duration,
}

#[derive(Clone, Debug)]
struct Client {
    secret: String,
    scopes: Vec<String>,
}

/// An error response of RFC 6749 §5.2.
struct TokenError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    basic: bool,
}

impl AuthorizationServer {
    /// A server that signs tokens with the keys of `idp`, for this audience. No client is known yet.
    #[must_use]
    pub fn new(idp: Idp, audience: &str) -> Self {
        Self { idp, audience: audience.into(), clients: Arc::default(), lifetime: Duration::from_secs(600) }
    }

    /// Registers a client and the scopes that it may have.
    #[must_use]
    pub fn client<I: IntoIterator<Item: Into<String>>>(mut self, id: &str, secret: &str, scopes: I) -> Self {
        let scopes = scopes.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.clients).insert(id.to_owned(), Client { secret: secret.to_owned(), scopes });
        self
    }

    /// How long its tokens live. Default: ten minutes.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    async fn answer<B>(self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        match (&head.method, self.local(head.uri.path())) {
            (&Method::POST, "/token") => {
                let body = Limited::new(body, MAX_BODY).collect().await.ok().map(|body| body.to_bytes());
                match self.grant(&head.headers, body.as_deref()) {
                    Ok(answer) => respond(StatusCode::OK, &answer.to_string()),
                    Err(error) => error.respond(),
                }
            }
            // Named in the discovery document, as OpenID Connect wants it. Nobody is authorized here (RFC 6749 §4.1.2.1).
            (&Method::GET | &Method::POST, "/authorize") => {
                respond(StatusCode::BAD_REQUEST, r#"{"error":"unsupported_response_type"}"#)
            }
            (&Method::GET | &Method::HEAD, path) => {
                let (status, document) = self.idp.answer(path).await;
                respond(status, &document)
            }
            (_, "/token") => respond(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"invalid_request"}"#),
            _ => respond(StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#),
        }
    }

    /// A path without that of the issuer; what is not under it is left as it is, and found nowhere.
    fn local<'a>(&self, path: &'a str) -> &'a str {
        let Some(base) = url::Url::parse(self.idp.identifier()).ok() else { return path };
        let base = base.path().trim_end_matches('/');
        if base.is_empty() {
            return path;
        }
        let well_known = || path.strip_suffix(base).filter(|rest| rest.starts_with("/.well-known/"));
        path.strip_prefix(base).or_else(well_known).unwrap_or("")
    }

    fn grant(&self, headers: &HeaderMap, body: Option<&[u8]>) -> Result<Value, TokenError> {
        let invalid = |description| TokenError::bad_request("invalid_request", description);
        let body = body.ok_or_else(|| invalid("the body is too long or broken"))?;
        let (parameters, resources) =
            parameters(headers, body).ok_or_else(|| invalid("the body is not a form or JSON object"))?;
        let basic = basic_credentials(headers)?;
        let with_basic = basic.is_some();
        if with_basic && parameters.contains_key("client_secret") {
            return Err(invalid("more than one client authentication"));
        }
        let from_body =
            || Some((parameters.get("client_id")?.clone(), parameters.get("client_secret")?.clone()));
        let denied = TokenError {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            description: "client authentication failed",
            basic: with_basic,
        };
        let Some((id, secret)) = basic.or_else(from_body) else { return Err(denied) };
        let client = self.clients.get(&id).filter(|client| client.secret == secret);
        let Some(client) = client else { return Err(denied) };
        match parameters.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            Some(_) => {
                return Err(TokenError::bad_request("unsupported_grant_type", "only client_credentials"));
            }
            None => return Err(invalid("grant_type is missing")),
        }
        if !resources.iter().all(|resource| **resource == *self.audience) {
            return Err(TokenError::bad_request("invalid_target", "tokens are for another resource"));
        }
        let scopes = match parameters.get("scope").filter(|scope| !scope.is_empty()) {
            None => client.scopes.clone(),
            Some(wanted) => {
                let wanted: Vec<String> = wanted.split(' ').map(ToOwned::to_owned).collect();
                if !wanted.iter().all(|scope| client.scopes.contains(scope)) {
                    return Err(TokenError::bad_request("invalid_scope", "a scope is not for this client"));
                }
                wanted
            }
        };
        let token = self.idp.token(&self.audience).client(&id).scopes(&scopes).expires_in(self.lifetime);
        Ok(json!({
            "access_token": token.sign(),
            "token_type": "Bearer",
            "expires_in": self.lifetime.as_secs(),
            "scope": scopes.join(" "),
        }))
    }
}

impl<B> Service<Request<B>> for AuthorizationServer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await) })
    }
}

impl TokenError {
    fn bad_request(error: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description, basic: false }
    }

    fn respond(self) -> Response<Full<Bytes>> {
        let body = json!({"error": self.error, "error_description": self.description});
        let mut response = respond(self.status, &body.to_string());
        if self.basic {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"token\""));
        }
        response
    }
}

fn respond(status: StatusCode, json: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(json.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The parameters of a token request, and its `resource`s, of which there may be several (RFC 8707 §2); `None` if they
/// cannot be read or another comes twice (RFC 6749 §3.2).
fn parameters(headers: &HeaderMap, body: &[u8]) -> Option<(BTreeMap<String, String>, Vec<String>)> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let pairs: Vec<(String, String)> = match content_type.split(';').next()?.trim() {
        "application/x-www-form-urlencoded" => form_urlencoded::parse(body).into_owned().collect(),
        "application/json" => {
            let Value::Object(members) = serde_json::from_slice(body).ok()? else { return None };
            let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
            members.into_iter().map(text).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let (mut parameters, mut resources) = (BTreeMap::new(), Vec::new());
    for (name, value) in pairs {
        if name == "resource" {
            resources.push(value);
        } else if parameters.insert(name, value).is_some() {
            return None;
        }
    }
    Some((parameters, resources))
}

/// `Authorization: Basic`, whose two halves are form-encoded (RFC 6749 §2.3.1).
fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, TokenError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let read = || {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        let decoded =
            STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some((form_decode(id), form_decode(secret)))
    };
    read().map(Some).ok_or(TokenError {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        description: "the Authorization header is not Basic",
        basic: true,
    })
}

/// One value of a form.
pub(super) fn form_decode(text: &str) -> String {
    // As the value of a pair, so that an `=` in it is left alone.
    let pair = format!("x={text}");
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A token request is a few hundred bytes.
pub(super) const MAX_BODY: usize = 16 * 1024;
