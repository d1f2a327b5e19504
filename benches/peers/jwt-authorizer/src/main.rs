use axum::body::Body;
use http::Request;
use jsonwebtoken::{Algorithm, TokenData};
use jwt_authorizer::{IntoLayer, JwtAuthorizer, Validation};
use peers_common::{API, AppClaims, Handler, ISSUER, now, run};
use tower_layer::Layer;

fn main() {
    run(|jwks, _| {
        let validation = Validation::new().iss(&[ISSUER]).aud(&[API]).nbf(true).algs(vec![Algorithm::RS256]);
        let authorizer = JwtAuthorizer::<AppClaims>::from_jwks_text(jwks)
            .validation(validation)
            .check(AppClaims::allows)
            .build();
        let authorizer = now(authorizer).expect("an authorizer");
        authorizer.into_layer().layer(Handler::<_, Body>::new(|request: &Request<()>| {
            request.extensions().get::<TokenData<AppClaims>>().is_some()
        }))
    });
}
