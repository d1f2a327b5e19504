use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use peers_common::{API, AppClaims, Body, ISSUER, answer, bearer, run};

fn main() {
    run(|jwks, _| {
        let jwks: JwkSet = serde_json::from_str(jwks).expect("a key set");
        let key = DecodingKey::from_jwk(&jwks.keys[0]).expect("a key");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[API]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let made = Arc::new((key, validation));
        tower::service_fn(move |request: Request<()>| {
            let made = made.clone();
            async move {
                let (key, validation) = &*made;
                let decoded = bearer(&request).map(|token| decode::<AppClaims>(token, key, validation));
                let status = match decoded {
                    Some(Ok(token)) if token.claims.allows() => StatusCode::OK,
                    Some(Ok(_)) => StatusCode::FORBIDDEN,
                    _ => StatusCode::UNAUTHORIZED,
                };
                Ok::<_, Infallible>(answer::<Body>(status))
            }
        })
    });
}
