//! [`Respond`]: what the body of a refusal looks like.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use super::Rejection;

/// Makes the response to a refused request.
///
/// Implemented by [`EmptyBody`], by [`ProblemJson`], and by closures
/// `Fn(&Rejection, &RequestHead<'_>) -> Response<B>`. Start from [`Rejection::answer`], which also
/// speaks gRPC, or from [`Rejection::response`]: they have the status, the challenge and `Retry-After` that the standards
/// ask for. The rejection itself is put into the response's
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

/// A problem document (RFC 9457), for any body that is made of bytes. A gRPC call is answered as gRPC has it. (tonic's
/// own body is not made of bytes: put this on a router around it, and [`EmptyBody`] directly on tonic.)
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

    /// The URI, as the layer sees it: without what axum's `nest` has taken off.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.uri
    }

    /// If this is a gRPC call (a POST with its content type, whatever the version of HTTP): the content type to answer
    /// with. gRPC-Web is answered in its own type.
    ///
    /// # Security
    /// A refused gRPC call is HTTP 200. It must be a POST, so that no header of a client's choice turns a refused GET
    /// into something that a cache keeps.
    #[must_use]
    pub fn grpc(&self) -> Option<&'static str> {
        if self.method != Method::POST {
            return None;
        }
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let rest = strip_prefix(content_type, "application/grpc")?;
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(['+', ';']);
        match (strip_prefix(rest, "-web-text"), strip_prefix(rest, "-web")) {
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

/// In whatever case it is written, as media types are (RFC 9110 §8.3.1).
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl<B: Default> Respond<B> for EmptyBody {
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B> {
        rejection.answer(request, B::default())
    }
}

impl<B: From<Bytes> + Default> Respond<B> for ProblemJson {
    fn respond(&self, rejection: &Rejection, request: &RequestHead<'_>) -> Response<B> {
        if request.grpc().is_some() {
            return rejection.answer(request, B::default());
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
            let request = |method: Method| {
                http::Request::builder().method(method).header(CONTENT_TYPE, content_type).body(()).unwrap()
            };
            assert_eq!(RequestHead::new(&request(Method::POST)).grpc(), expected, "{content_type}");
            for method in [Method::GET, Method::PUT, Method::OPTIONS] {
                assert_eq!(RequestHead::new(&request(method)).grpc(), None, "a call is a POST");
            }
        }
        assert_eq!(RequestHead::new(&http::Request::new(())).grpc(), None);
    }

    #[test]
    fn every_phrase_needs_no_percent_encoding() {
        use crate::event::RejectionKind as K;
        use crate::jose::TokenError as T;
        let kinds = [
            K::NoCredentials,
            K::MalformedRequest,
            K::InvalidToken,
            K::InsufficientScope,
            K::Unavailable,
            K::Busy,
            K::Wiring,
        ];
        let errors = [
            T::TooLong,
            T::Structure,
            T::Algorithm,
            T::Issuer,
            T::Type,
            T::Critical,
            T::Audience,
            T::Time,
            T::Expired,
            T::NotYetValid,
            T::Certificate,
            T::UnknownKey,
            T::Signature,
            T::MissingClaim,
            T::ClaimType,
            T::Confirmation,
        ];
        let kinds = kinds.map(|kind| Rejection::new(kind).description());
        for phrase in kinds.into_iter().chain(errors.map(T::description)) {
            let plain = |byte: u8| matches!(byte, 0x20..=0x7e) && !b"%\"\\".contains(&byte);
            assert!(phrase.bytes().all(plain), "{phrase}");
        }
    }
}
