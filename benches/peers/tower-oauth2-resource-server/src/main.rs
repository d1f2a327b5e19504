use http::Request;
use jsonwebtoken::Algorithm;
use peers_common::{API, AppClaims, Handler, ISSUER, now, run};
use tower_layer::Layer;
use tower_oauth2_resource_server::server::OAuth2ResourceServer;
use tower_oauth2_resource_server::tenant::TenantConfiguration;
use tower_oauth2_resource_server::validation::ClaimsValidationSpec;

fn main() {
    run(|jwks, _| {
        let tenant = TenantConfiguration::static_builder(jwks)
            .audiences(&[API])
            .claims_validation(ClaimsValidationSpec::recommended(ISSUER, &vec![API.to_owned()]))
            .allowed_algorithms(&[Algorithm::RS256])
            .build()
            .expect("a tenant");
        let server = OAuth2ResourceServer::<AppClaims>::builder().add_tenant(tenant).build();
        let server = now(server).expect("a server");
        server.into_layer().layer(Handler::<_>::new(|request: &Request<()>| {
            request.extensions().get::<AppClaims>().is_some_and(AppClaims::allows)
        }))
    });
}
