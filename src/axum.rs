//! Extractors for axum, on axum-core alone.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::IntoResponse;
use http::Response;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::layer::find;
use crate::refusal::{ProblemJson, Rejection};
use crate::token::Token;

/// A verified token's claims as a type of yours, for an axum handler.
///
/// ```
/// use tower_bearer::{Claims, Token};
///
/// #[derive(serde::Deserialize)]
/// struct Tenancy {
///     tenant: String,
/// }
///
/// async fn handler(token: Token, Claims(tenancy): Claims<Tenancy>) -> String {
///     format!("{} of {}", token.client_id().unwrap_or("-"), tenancy.tenant)
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(handler));
/// ```
///
/// A token without these claims is refused with 401 `invalid_token`.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "an extractor is taken apart in a handler's arguments")]
pub struct Claims<T>(pub T);

/// The token that a [`BearerAuthLayer`](crate::BearerAuthLayer) verified.
///
/// # Errors
/// [`Wiring`](crate::RejectionKind::Wiring) (500) where no layer ran: the route is not protected.
/// [`NoCredentials`](crate::RejectionKind::NoCredentials) (401) under an optional layer if no token came; take an
/// `Option<Token>` there.
impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Self::from_extensions(&parts.extensions).cloned()
    }
}

/// `None` only where an [`optional`](crate::BearerAuthLayer::optional) layer ran and no credentials came.
impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        find(&parts.extensions).map(|found| found.ok().cloned())
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Claims<T> {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        Ok(Self(Token::from_extensions(&parts.extensions)?.claims()?))
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response<Body> {
        use crate::refusal::Respond;
        let head = http::Request::new(());
        let mut response = ProblemJson::default().respond(&self, &crate::refusal::RequestHead::new(&head));
        response.extensions_mut().insert(self);
        response
    }
}
