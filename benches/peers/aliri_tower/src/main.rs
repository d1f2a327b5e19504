use std::hint::black_box;

use aliri::jwt::{Audience, Audiences, CoreClaims, CoreValidator, Issuer, IssuerRef, Subject, SubjectRef};
use aliri::{Jwks, jwa};
use aliri_clock::UnixTime;
use aliri_oauth2::{Authority, HasScope, Scope, ScopePolicy};
use aliri_tower::Oauth2Authorizer;
use http::Request;
use peers_common::{API, Handler, ISSUER, SCOPE, run};
use serde::Deserialize;
use tower_layer::Layer;

#[derive(Clone, Deserialize)]
struct Claims {
    iss: Issuer,
    sub: Subject,
    aud: Audiences,
    exp: UnixTime,
    nbf: UnixTime,
    client_id: String,
    scope: Scope,
}

impl CoreClaims for Claims {
    fn nbf(&self) -> Option<UnixTime> {
        Some(self.nbf)
    }

    fn exp(&self) -> Option<UnixTime> {
        Some(self.exp)
    }

    fn aud(&self) -> &Audiences {
        &self.aud
    }

    fn iss(&self) -> Option<&IssuerRef> {
        Some(&self.iss)
    }

    fn sub(&self) -> Option<&SubjectRef> {
        Some(&self.sub)
    }
}

impl HasScope for Claims {
    fn scope(&self) -> &Scope {
        &self.scope
    }
}

fn main() {
    run(|jwks, _| {
        let jwks: Jwks = serde_json::from_str(jwks).expect("a key set");
        let validator = CoreValidator::default()
            .add_approved_algorithm(jwa::Algorithm::RS256)
            .add_allowed_audience(Audience::from_static(API))
            .require_issuer(Issuer::from_static(ISSUER))
            .check_expiration()
            .check_not_before();
        let authorizer = Oauth2Authorizer::new().with_claims::<Claims>().with_terse_error_handler();
        let handler = Handler::<_>::new(|request: &Request<()>| {
            let claims = request.extensions().get::<Claims>();
            claims.is_some_and(|claims| !black_box(claims.client_id.as_str()).is_empty())
        });
        let scoped = authorizer.scope_layer(ScopePolicy::allow_one_from_static(SCOPE)).layer(handler);
        authorizer.jwt_layer(Authority::new(jwks, validator)).layer(scoped)
    });
}
