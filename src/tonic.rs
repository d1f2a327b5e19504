//! For tonic: a refusal as a `Status`, services that keep their name, and rules by generated service.

use http::HeaderValue;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::access::{IntoRule, MethodAccess, all_of};
use crate::layer::BearerAuth;
use crate::refusal::{Rejection, pushback};
use crate::token::ClaimsError;

impl From<Rejection> for Status {
    /// The same answer as the layer gives, so that `token.require(..)?` works in a method.
    fn from(rejection: Rejection) -> Self {
        let mut metadata = MetadataMap::new();
        let challenge = rejection.challenge();
        let challenge = challenge.as_ref().map(HeaderValue::as_bytes).map(MetadataValue::try_from);
        if let Some(Ok(challenge)) = challenge {
            metadata.insert("www-authenticate", challenge);
        }
        if let Some(pause) = rejection.retry_after() {
            metadata.insert("grpc-retry-pushback-ms", pushback(pause).into());
        }
        let code = Code::from_i32(rejection.grpc_code().into());
        Self::with_metadata(code, rejection.description(), metadata)
    }
}

impl From<ClaimsError> for Status {
    /// A token without the claims that the method needs is not a token for it.
    fn from(error: ClaimsError) -> Self {
        Rejection::from(error).into()
    }
}

impl<S: NamedService, R> NamedService for BearerAuth<S, R> {
    const NAME: &'static str = S::NAME;
}

impl MethodAccess {
    /// Every method of a generated service that is not listed itself asks for all of these scopes.
    ///
    /// # Panics
    /// If a literal is not a scope, or the service is listed already.
    #[track_caller]
    pub fn service<S: NamedService>(self, scopes: impl IntoIterator<Item: IntoRule>) -> Self {
        self.service_rule(S::NAME, all_of(scopes))
    }

    /// A method of a generated service asks for all of these scopes; of none, for any valid token. The name of the
    /// service is that of the generated code, so only the method's can be mistyped.
    ///
    /// # Panics
    /// If the name is not one of a method or listed already, or if a literal is not a scope.
    #[track_caller]
    pub fn method_of<S: NamedService>(self, method: &str, scopes: impl IntoIterator<Item: IntoRule>) -> Self {
        self.method(&format!("/{}/{method}", S::NAME), scopes)
    }
}
