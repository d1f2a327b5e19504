use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use http::{Request, StatusCode};
use huskarl_resource_server::core::EndpointUrl;
use huskarl_resource_server::core::crypto::verifier::{JwsVerifier, JwsVerifierPlatform, MultiKeyVerifier};
use huskarl_resource_server::core::jwk::{Jwks, PublicJwks};
use huskarl_resource_server::validator::rfc9068::Rfc9068Validator;
use peers_common::{API, Body, ISSUER, answer, has_scope, now, run};

fn main() {
    run(|jwks, _| {
        let jwks: PublicJwks = serde_json::from_str::<Jwks>(jwks).expect("a key set").into();
        let keys = move |_: Option<&EndpointUrl>, platform: Arc<dyn JwsVerifierPlatform>| {
            let jwks = jwks.clone();
            let verifier = async move {
                let verifier = MultiKeyVerifier::from_jwks(&jwks, &*platform).await?;
                Ok(Arc::new(verifier) as Arc<dyn JwsVerifier>)
            };
            Box::pin(verifier) as _
        };
        let validator =
            Rfc9068Validator::builder().issuer(ISSUER).audience(API).jws_verifier_factory(keys).build();
        let validator = Arc::new(now(validator).expect("a validator"));
        tower::service_fn(move |request: Request<()>| {
            let validator = validator.clone();
            async move {
                let result = validator
                    .validate_request(request.headers(), request.method(), request.uri(), None)
                    .await;
                let metadata = || validator.validator_metadata(Some(API));
                let status = match &result.outcome {
                    Ok(Some(token)) => {
                        black_box(token.claims.client_id.as_str());
                        let allows = token.claims.scope.as_deref().is_some_and(has_scope);
                        if allows { StatusCode::OK } else { StatusCode::FORBIDDEN }
                    }
                    _ => {
                        result.rejection(&metadata(), None).map_or(StatusCode::UNAUTHORIZED, |why| why.status)
                    }
                };
                Ok::<_, Infallible>(answer::<Body>(status))
            }
        })
    });
}
