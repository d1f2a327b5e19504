//! [`Respond`]: what the body of a refusal looks like.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use super::Rejection;

/// Makes the response to a refused request.
///
/// Implemented by [`EmptyBody`], by [`ProblemJson`], and by closures
/// `Fn(&Rejection, &RequestHead<'_>) -> Response<B>`. Start from [`Rejection::response`]: it has the status, the
/// challenge and `Retry-After` that the standards ask for. The rejection itself is put into the response's
/// extensions afterwards, whoever made the response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot make a refusing response with the body `{B}`",
    note = "`EmptyBody` needs `{B}: Default`, `ProblemJson` needs `{B}: From<Bytes>`; for any other body give `respond_with` a closure `|why: &Rejection, request: &RequestHead<'_>| why.response(body)`"
)]
pub trait Respond<B> {
    /// Makes the response.
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B>;
}

/// The head of the refused request.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

/// No body: the status and the headers say it all. The default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct EmptyBody;

/// A problem document (RFC 9457), for any body that is made of bytes.
///
/// ```json
/// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"the access token expired"}
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ProblemJson;

impl<'a> RequestHead<'a> {
    pub(crate) fn new<B>(request: &'a http::Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.method
    }

    /// The URI.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.uri
    }

    /// The headers; the value of `Authorization` is marked as sensitive.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }
}

impl<B: Default> Respond<B> for EmptyBody {
    fn respond(&self, rejection: &Rejection, _: &RequestHead<'_>) -> Response<B> {
        rejection.response(B::default())
    }
}

impl<B: From<Bytes>> Respond<B> for ProblemJson {
    fn respond(&self, rejection: &Rejection, _: &RequestHead<'_>) -> Response<B> {
        let status = rejection.status();
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": rejection.description(),
        });
        let mut response = rejection.response(Bytes::from(problem.to_string()).into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl<F, B> Respond<B> for F
where
    F: Fn(&Rejection, &RequestHead<'_>) -> Response<B>,
{
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B> {
        self(rejection, request)
    }
}
