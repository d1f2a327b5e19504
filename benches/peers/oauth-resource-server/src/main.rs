use std::hint::black_box;
use std::sync::Arc;

use http::Request;
use oauth_resource_server::http_layer::HttpAuthLayer;
use oauth_resource_server::{AuthorizedToken, KeyNaming, OAuthConfig, OAuthValidator};
use peers_common::{API, Handler, ISSUER, SCOPE, run};
use tower_layer::Layer;

fn main() {
    run(|jwks, _| {
        let config = OAuthConfig {
            enabled: true,
            issuer: ISSUER.to_owned(),
            // Never asked: the key set below is there from the start.
            jwks_uri: Some("http://127.0.0.1:9/jwks".to_owned()),
            audience: API.to_owned(),
            resource: API.to_owned(),
            required_scope: Some(SCOPE.to_owned()),
            algorithms: vec!["RS256".to_owned()],
            require_at_jwt: true,
            ..OAuthConfig::default()
        };
        let config = config.resolve(KeyNaming::Dotted("oauth")).expect("a configuration").expect("enabled");
        let validator = OAuthValidator::builder(&config).initial_jwks(jwks).build().expect("a validator");
        let auth = HttpAuthLayer::builder().oauth(Arc::new(validator)).build().expect("a layer");
        auth.layer(Handler::<_>::new(|request: &Request<()>| {
            let token = request.extensions().get::<AuthorizedToken>();
            token.is_some_and(|token| black_box(token.client_id.as_deref()).is_some())
        }))
    });
}
