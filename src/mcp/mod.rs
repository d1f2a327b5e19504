//! Scopes by tool of the Model Context Protocol (MCP), over its Streamable HTTP transport.
//!
//! A [`BearerAuthLayer`](crate::BearerAuthLayer) asks for a token; a [`ToolAccessLayer`] inside of it asks, for a call of
//! a tool, for the scopes of that tool. A client that lacks them gets 403 with a challenge that names them, as for any
//! route, and may come back with more.
//!
//! ```
//! use axum::Router;
//! use axum::routing::post;
//! use tower_bearer::BearerAuthLayer;
//! use tower_bearer::mcp::{ToolAccess, ToolAccessLayer};
//! # let idp = tower_bearer::testing::Idp::new("https://id.example.com");
//! # let api = idp.resource_server("https://api.example.com/mcp");
//! # let server = post(|| async {});
//!
//! let tools = ToolAccess::deny()
//!     .tool("add", ["math:read"])
//!     .tool("reset", ["math:write"]);
//! let app: Router = Router::new()
//!     .route("/mcp", server) // such as the Streamable HTTP service of an MCP library
//!     .layer(ToolAccessLayer::new(tools))
//!     .layer(BearerAuthLayer::new(api)); // last: it sees the request first
//! # let _ = app;
//! ```
//!
//! The scopes of tools are not in our metadata: a client that reads them there would ask for all of them at once. It
//! learns from the challenge which ones it needs. `metadata_member("scopes_supported", …)` names those to start with.

mod message;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tower_layer::Layer;
use tower_service::Service;

use self::message::{Malformed, Message, folded, has_odd_characters, messages};
use crate::access::{IntoRule, Rule, all_of};
use crate::event::{Event, RejectionKind};
use crate::layer::{Anonymous, find, respond};
use crate::refusal::{EmptyBody, Rejection, Respond};
use crate::token::Token;

/// How much of a body is read to find the tool that it calls, in bytes. Room for a document among the arguments; each
/// request that is being read holds as much.
pub const MAX_TOOL_CALL: usize = 1024 * 1024;

/// Rules by tool, for [`ToolAccessLayer`].
///
/// ```
/// use tower_bearer::any_of;
/// use tower_bearer::mcp::ToolAccess;
///
/// let tools = ToolAccess::deny()
///     .tool("add", ["math:read"])
///     .tool_rule("reset", any_of(["math:write", "admin"]));
/// # let _ = tools;
/// ```
///
/// Names are exact, as `tools/list` has them.
///
/// # Security
/// Start with [`deny`](Self::deny): a tool that is added to the server later, or one whose name is mistyped here, is
/// then refused instead of being open to every client that has a token.
#[derive(Clone, Debug)]
#[must_use]
pub struct ToolAccess {
    tools: HashMap<Box<str>, Rule>,
    otherwise: Rule,
    /// What the listed names are like; for a name that could be taken for one of them there is `never`.
    folded: HashSet<String>,
    never: Rule,
}

impl ToolAccess {
    /// A tool that is not listed is refused.
    pub fn deny() -> Self {
        Self::otherwise(Rule::never())
    }

    /// A tool that is not listed may be called with any valid token. Not so if its name could be taken for a listed one: if
    /// it differs in case or in white space at the ends only, or if it has a control character in it.
    pub fn authenticated() -> Self {
        Self::otherwise(Rule::authenticated())
    }

    fn otherwise(otherwise: Rule) -> Self {
        Self { tools: HashMap::new(), otherwise, folded: HashSet::new(), never: Rule::never() }
    }

    /// A tool that asks for all of these scopes; of none, for any valid token.
    ///
    /// # Panics
    /// If the tool is listed already, or if a literal is not a scope.
    #[track_caller]
    pub fn tool<I: IntoIterator<Item: IntoRule>>(self, name: &str, scopes: I) -> Self {
        self.tool_rule(name, all_of(scopes))
    }

    /// A tool that asks for a rule.
    ///
    /// # Panics
    /// If the tool is listed already.
    #[track_caller]
    pub fn tool_rule(mut self, name: &str, rule: Rule) -> Self {
        let before = self.tools.insert(name.into(), rule);
        assert!(before.is_none(), "{name:?} is listed twice");
        self.folded.insert(folded(name));
        self
    }

    fn at(&self, tool: &str) -> &Rule {
        match self.tools.get(tool) {
            Some(rule) => rule,
            None if self.folded.contains(&folded(tool)) || has_odd_characters(tool) => &self.never,
            None => &self.otherwise,
        }
    }
}

/// Asks for the scopes of the tool that a request calls.
///
/// It goes inside a [`BearerAuthLayer`](crate::BearerAuthLayer), whose [`Token`] it looks at, and outside the MCP server.
/// Without such a layer every request is answered 500. It reads the bodies of requests with a JSON-RPC message, up to
/// [`limit`](Self::limit): each call of a tool (`tools/call`) must meet the tool's rule, in a batch every one of them;
/// all other messages pass. GET, HEAD, DELETE and OPTIONS without a body pass. What goes over an upgraded connection
/// (WebSocket) is not looked at.
///
/// | status | when |
/// |---|---|
/// | 403 | the token does not meet the rule of the tool; with the challenge that names the scopes |
/// | 401 | a call without a token, where the layer outside is [`optional`](crate::BearerAuthLayer::optional) |
/// | 400 | the body is no JSON-RPC message, or could be read in two ways; the answer is a JSON-RPC error |
/// | 413 | the body is longer than the limit |
/// | 415 | the body is compressed, or in another character set than UTF-8 |
/// | 500 | no layer outside has verified a token |
///
/// To observers and to the log 400, 413 and 415 are [`MalformedRequest`](crate::RejectionKind::MalformedRequest)s.
///
/// # Security
/// The server behind reads the body with a parser of its own. What two parsers could understand in two ways is refused:
/// members of the message or of its `params` that come twice, members that JSON-RPC does not have or that differ from its
/// own in case only, methods with other characters than printable ASCII, calls without a name, bytes after the message, a byte order mark, `Mcp-Method` and `Mcp-Name` headers that do not say what the body says. A server
/// that takes the tool from elsewhere, such as the query, needs rules of its own.
///
/// How slowly a client may send its body is up to the HTTP server: put a timeout outside.
#[derive(Clone)]
#[must_use]
pub struct ToolAccessLayer<R = EmptyBody> {
    access: Arc<ToolAccess>,
    limit: usize,
    respond: R,
}

impl ToolAccessLayer {
    /// A refusal for want of scopes has an empty body.
    pub fn new(rules: ToolAccess) -> Self {
        Self { access: Arc::new(rules), limit: MAX_TOOL_CALL, respond: EmptyBody::default() }
    }
}

impl<R> ToolAccessLayer<R> {
    /// Reads bodies of up to this many bytes. Default: [`MAX_TOOL_CALL`].
    pub fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    /// A layer whose [`Rejection`]s look like this. See [`Respond`]. Answers to malformed bodies are JSON-RPC errors all
    /// the same.
    pub fn respond_with<R2>(self, respond: R2) -> ToolAccessLayer<R2> {
        ToolAccessLayer { access: self.access, limit: self.limit, respond }
    }
}

impl<S, R: Clone> Layer<S> for ToolAccessLayer<R> {
    type Service = ToolScopes<S, R>;

    fn layer(&self, inner: S) -> ToolScopes<S, R> {
        ToolScopes { inner, layer: self.clone() }
    }
}

/// The service that [`ToolAccessLayer`] makes.
#[derive(Clone)]
pub struct ToolScopes<S, R = EmptyBody> {
    inner: S,
    layer: ToolAccessLayer<R>,
}

impl<S, R, B, ResB> Service<Request<B>> for ToolScopes<S, R>
where
    S: Service<Request<B>, Response = Response<ResB>, Future: Send> + Clone + Send + 'static,
    R: Respond<ResB> + Clone + Send + 'static,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    ResB: From<Bytes>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResB>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that is ready goes with the request, a clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let ToolAccessLayer { access, limit, respond } = self.layer.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            match admit(&head, body, &access, limit).await {
                Ok(body) => inner.call(Request::from_parts(head, body)).await,
                Err(refusal) => {
                    refusal.tell(&head);
                    Ok(refusal.response(&respond, head))
                }
            }
        })
    }
}

/// Why a request does not get through.
enum Refusal {
    Rejected(Rejection),
    Malformed(Malformed),
    /// The headers say something else than the body.
    Mismatch,
    TooLong,
    Encoded,
    Broken,
}

/// The body as it came, once all that it calls has been allowed.
async fn admit<B>(head: &Parts, body: B, access: &ToolAccess, limit: usize) -> Result<B, Refusal>
where
    B: Body<Data = Bytes> + From<Bytes>,
{
    let caller = Caller::of(head).map_err(Refusal::Rejected)?;
    // These carry no message. If there is a body all the same, somebody behind might read it.
    let is_silent = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    if is_silent && body.is_end_stream() {
        return Ok(body);
    }
    if is_encoded(&head.headers) {
        return Err(Refusal::Encoded);
    }
    let body = read(body, limit).await?;
    for message in messages(&body).map_err(Refusal::Malformed)? {
        if !agrees(&head.headers, &message) {
            return Err(Refusal::Mismatch);
        }
        if let Some(tool) = message.tool {
            caller.may(access.at(&tool)).map_err(Refusal::Rejected)?;
        }
    }
    Ok(body.into())
}

/// Whom the layer outside has let through.
enum Caller {
    Known(Token),
    /// Nobody, under an optional layer.
    Anonymous(Anonymous),
}

impl Caller {
    fn of(head: &Parts) -> Result<Self, Rejection> {
        let found = find(&head.extensions)?;
        Ok(found
            .map_or_else(|anonymous| Self::Anonymous(anonymous.clone()), |token| Self::Known(token.clone())))
    }

    fn may(&self, rule: &Rule) -> Result<(), Rejection> {
        match self {
            Self::Known(token) => token.require(rule),
            Self::Anonymous(Anonymous { server }) => Err(Rejection::new(RejectionKind::NoCredentials)
                .asking(rule, server)
                .told(server, Some(rule))),
        }
    }
}

/// The whole body, counted while it comes in: `Content-Length` may be absent.
async fn read<B: Body<Data = Bytes>>(body: B, limit: usize) -> Result<Bytes, Refusal> {
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that JSON-RPC knows of.
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else { continue };
        if read.len().saturating_add(data.len()) > limit {
            return Err(Refusal::TooLong);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// Whether the server behind might decode the body into something else than what is read here.
fn is_encoded(headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let codings = headers.get_all(CONTENT_ENCODING).iter().map(text);
    let types = headers.get_all(CONTENT_TYPE).iter().map(text);
    let is_identity = |coding: &str| matches!(coding.trim(), "" | "identity");
    let is_utf8 = |parameter: &str| {
        let charset = parameter.split_once('=').filter(|(name, _)| name.trim() == "charset");
        charset
            .is_none_or(|(_, value)| matches!(value.trim().trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
    };
    codings.into_iter().any(|line| !line.split(',').all(is_identity))
        || types.into_iter().any(|line| !line.split(';').all(is_utf8))
}

/// Whether `Mcp-Method` and `Mcp-Name`, which protocol version 2026-07-28 has for whoever routes without reading, say
/// what the body says. Where they are left out, the server behind decides.
fn agrees(headers: &HeaderMap, message: &Message) -> bool {
    let method = message.method.as_deref().unwrap_or_default();
    let encoded = |text: &str| format!("=?base64?{}?=", STANDARD.encode(text));
    // A text that looks encoded has one reading only: the decoded one.
    let plain = |text: &str| !text.to_ascii_lowercase().starts_with("=?base64?");
    let says = |value: &HeaderValue, text: &str| (plain(text) && *value == text) || *value == encoded(text);
    headers.get_all("mcp-method").iter().all(|value| *value == method)
        && message.tool.as_ref().is_none_or(|tool| headers.get_all("mcp-name").iter().all(|v| says(v, tool)))
}

impl Refusal {
    /// Tells of a refusal that is no [`Rejection`], which has been told already.
    fn tell(&self, head: &Parts) {
        let reason = match self {
            Self::Rejected(_) => return,
            Self::Malformed(Malformed::NotJson) => "not JSON",
            Self::Malformed(Malformed::NotAMessage) => "not a message, or not only one way",
            Self::Malformed(Malformed::NoTool) => "no tool, or not only one",
            Self::Mismatch => "headers and body differ",
            Self::Broken => "the body broke off",
            Self::TooLong => "too long",
            Self::Encoded => "encoded",
        };
        let token = head.extensions.get::<Token>();
        let issuer = token.map(Token::issuer_name);
        let kind = RejectionKind::MalformedRequest;
        tracing::debug!(
            target: "tower_bearer::rejection",
            kind = kind.name(), reason, issuer, "refused a call of the Model Context Protocol"
        );
        let anonymous = head.extensions.get::<Anonymous>();
        let server = token.map(Token::server).or_else(|| anonymous.map(|anonymous| &anonymous.server));
        if let Some(server) = server {
            server.observers.tell(&Event::Refused { kind, token_error: None, issuer });
        }
    }

    fn response<R: Respond<B>, B: From<Bytes>>(self, respond_with: &R, head: Parts) -> Response<B> {
        let error = |status, code, message| json_rpc_error(status, code, message);
        match self {
            Self::Rejected(rejection) => respond(respond_with, rejection, &Request::from_parts(head, ())),
            Self::Malformed(Malformed::NotJson) => {
                error(StatusCode::BAD_REQUEST, -32700, "the body is not JSON in UTF-8")
            }
            Self::Malformed(Malformed::NotAMessage) => error(
                StatusCode::BAD_REQUEST,
                -32600,
                "the body is not a JSON-RPC message, or not only one way",
            ),
            Self::Malformed(Malformed::NoTool) => error(
                StatusCode::BAD_REQUEST,
                -32602,
                "params must be an object with one name, which is a string",
            ),
            Self::Mismatch => error(
                StatusCode::BAD_REQUEST,
                -32020,
                "Mcp-Method or Mcp-Name does not say what the body says",
            ),
            Self::Broken => error(StatusCode::BAD_REQUEST, -32700, "the body could not be read"),
            Self::TooLong => error(StatusCode::PAYLOAD_TOO_LARGE, -32600, "the body is too long"),
            Self::Encoded => error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                -32600,
                "the body must be UTF-8, and not compressed",
            ),
        }
    }
}

/// An answer for a body that names no request to answer (JSON-RPC 2.0 §5).
fn json_rpc_error<B: From<Bytes>>(status: StatusCode, code: i32, message: &str) -> Response<B> {
    let error =
        serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": message}});
    let mut response = Response::new(Bytes::from(error.to_string()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl<R> fmt::Debug for ToolAccessLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolAccessLayer")
            .field("access", &self.access)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, R> fmt::Debug for ToolScopes<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolScopes")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
