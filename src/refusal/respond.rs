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
    note = "`EmptyBody` needs `{B}: Default`, `ProblemJson` needs `{B}: From<Bytes> + Default`; for any other body give `respond_with` a closure `|why: &Rejection, request: &RequestHead<'_>| why.response(body)`"
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

/// No body: the status and the headers say it all. The default. A gRPC call is answered as gRPC has it.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct EmptyBody;

/// A problem document (RFC 9457), for any body that is made of bytes. A gRPC call is answered as gRPC has it.
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

    /// If this is a gRPC call (by its content type, whatever the version of HTTP): the content type to answer with,
    /// for [`Rejection::grpc_response`]. gRPC-Web is answered in its own type.
    #[must_use]
    pub fn grpc(&self) -> Option<&'static str> {
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
        let rest = content_type.strip_prefix("application/grpc")?;
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(['+', ';']);
        match (rest.strip_prefix("-web-text"), rest.strip_prefix("-web")) {
            (Some(rest), _) if ends(rest) => Some("application/grpc-web-text+proto"),
            (_, Some(rest)) if ends(rest) => Some("application/grpc-web+proto"),
            _ if ends(rest) => Some("application/grpc"),
            _ => None,
        }
    }

    /// The headers; the value of `Authorization` is marked as sensitive.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }
}

impl<B: Default> Respond<B> for EmptyBody {
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B> {
        match request.grpc() {
            Some(content_type) => rejection.grpc_response(content_type, B::default()),
            None => rejection.response(B::default()),
        }
    }
}

impl<B: From<Bytes> + Default> Respond<B> for ProblemJson {
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B> {
        if let Some(content_type) = request.grpc() {
            return rejection.grpc_response(content_type, B::default());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_the_content_type() {
        for (content_type, expected) in [
            ("application/grpc", Some("application/grpc")),
            ("application/grpc+proto", Some("application/grpc")),
            ("Application/gRPC; x=y", Some("application/grpc")),
            ("application/grpc-web", Some("application/grpc-web+proto")),
            ("application/grpc-web+proto", Some("application/grpc-web+proto")),
            ("application/grpc-web-text", Some("application/grpc-web-text+proto")),
            ("application/grpcx", None),
            ("application/grpc-webx", None),
            ("application/json", None),
            ("text/application/grpc", None),
        ] {
            let request = http::Request::builder().header(CONTENT_TYPE, content_type).body(()).unwrap();
            assert_eq!(RequestHead::new(&request).grpc(), expected, "{content_type}");
        }
        assert_eq!(RequestHead::new(&http::Request::new(())).grpc(), None);
    }

    #[test]
    fn every_phrase_needs_no_percent_encoding() {
        use crate::refusal::RejectionKind as K;
        let kinds = [
            K::NoCredentials,
            K::MalformedRequest,
            K::InvalidToken,
            K::InsufficientScope,
            K::Unavailable,
            K::Wiring,
        ];
        for kind in kinds {
            let phrase = Rejection::new(kind).description();
            assert!(phrase.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'%'), "{phrase}");
        }
    }
}
