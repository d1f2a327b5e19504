use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::IntoResponse;
use axum_jwt_auth::{Claims, Decoder, LocalDecoder};
use http::{Request, StatusCode};
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use peers_common::{API, AppClaims, ISSUER, answer, run};

fn main() {
    aws_lc::DEFAULT_PROVIDER.install_default().expect("none is installed yet");
    run(|jwks, _| {
        let jwks: JwkSet = serde_json::from_str(jwks).expect("a key set");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[API]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let key = DecodingKey::from_jwk(&jwks.keys[0]).expect("a key");
        let decoder = LocalDecoder::builder().keys(vec![key]).validation(validation).build();
        let decoder: Decoder<AppClaims> = Arc::new(decoder.expect("a decoder"));
        tower::service_fn(move |request: Request<()>| {
            let decoder = decoder.clone();
            async move {
                let (mut parts, ()) = request.into_parts();
                let response = match Claims::<AppClaims>::from_request_parts(&mut parts, &decoder).await {
                    Ok(user) if user.claims.allows() => answer::<Body>(StatusCode::OK),
                    Ok(_) => answer(StatusCode::FORBIDDEN),
                    Err(error) => error.into_response(),
                };
                Ok::<_, Infallible>(response)
            }
        })
    });
}
