use http::Request;
use peers_common::{API, Handler, ISSUER, SCOPE, Tokens, run};
use tower_bearer::{BearerAuthLayer, Issuer, Keys, ResourceServer, Token};
use tower_layer::Layer;

fn main() {
    run(|jwks, tokens| {
        let issuer = Issuer::new(ISSUER).keys(Keys::jwks(jwks));
        let server = ResourceServer::builder(API).issuer(issuer);
        let server = match tokens {
            Tokens::Known(count) => server.cache_capacity(2 * count.max(5_000), 1 << 30),
            // So few that it forgets one for each that it gets to know, from the first round on.
            Tokens::New => server.cache_capacity(400, 16 << 20),
        };
        let auth = BearerAuthLayer::new(server.build().expect("a server")).scopes([SCOPE]);
        auth.layer(Handler::<_>::new(|request: &Request<()>| {
            request.extensions().get::<Token>().is_some_and(|token| token.client_id().is_some())
        }))
    });
}
