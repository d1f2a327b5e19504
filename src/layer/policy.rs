//! [`Policy`]: what is to be done with a request, in a straight line.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Request, Response};

use super::credentials::Credentials;
use crate::access::{Ask, MethodAccess};
use crate::keys::remote::Ended;
use crate::refusal::{Rejection, RejectionKind, RequestHead, Respond};
use crate::server::{Pending, ResourceServer, Stop, Trusted};
use crate::token::{ServerIdentity, Token};

/// What a layer asks for, shared by all its services.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) server: ResourceServer,
    pub(super) access: Access,
    pub(super) trusted: Trusted,
}

/// What the layer asks for: always the same, or by method.
#[derive(Debug, Clone)]
pub(super) enum Access {
    Always(Ask),
    ByMethod(MethodAccess),
}

/// In a request's extensions where an optional layer found no credentials: it tells a handler's
/// `Option<Token>` that a layer ran.
#[derive(Debug, Clone)]
pub(crate) struct Anonymous {
    /// Whose layer it was.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "read by the extractors"))]
    pub(crate) server: Arc<ServerIdentity>,
}

/// What is to be done with a request.
pub(super) enum Decision {
    Pass,
    Refuse(Rejection),
    Wait(Pending),
}

impl Policy {
    pub(super) fn new(server: ResourceServer, access: Access, trusted: Trusted) -> Self {
        server.0.note_scopes(match &access {
            Access::Always(ask) => ask.scopes(),
            Access::ByMethod(methods) => methods.scopes(),
        });
        Self { server, access, trusted }
    }

    /// The whole of one request: credentials, verification, the route's rule.
    ///
    /// `waited` is how the fetch ended that an earlier decision was to wait for; then the answer is final.
    pub(super) fn decide<B>(&self, request: &mut Request<B>, waited: Option<Ended>) -> Decision {
        // From here on nobody's Debug output shows it.
        if let http::header::Entry::Occupied(mut lines) = request.headers_mut().entry(AUTHORIZATION) {
            lines.iter_mut().for_each(|value| value.set_sensitive(true));
        }
        let ask = match &self.access {
            Access::Always(ask) => ask,
            Access::ByMethod(methods) => methods.at(request.uri().path()),
        };
        let Ask::Token { rule, optional, scope } = ask else {
            // Public: what another server has verified is nobody's business here.
            let ours = |token: &Token| token.was_verified_by(&self.server.0.identity);
            if request.extensions().get().is_some_and(|token| !ours(token)) {
                request.extensions_mut().remove::<Token>();
            }
            return Decision::Pass;
        };
        let refuse = |rejection| self.refuse(rejection, scope.as_ref());
        let lacks_scope = || refuse(Rejection::new(RejectionKind::InsufficientScope));
        let raw = match Credentials::read(request.headers()) {
            Credentials::Bearer(raw) => raw,
            Credentials::None if *optional => {
                request.extensions_mut().remove::<Token>();
                request.extensions_mut().insert(Anonymous { server: self.server.0.identity.clone() });
                return Decision::Pass;
            }
            Credentials::None => return refuse(Rejection::new(RejectionKind::NoCredentials)),
            Credentials::Malformed => return refuse(Rejection::new(RejectionKind::MalformedRequest)),
        };
        if let Some(token) = request.extensions().get::<Token>()
            && self.has_verified(token, raw)
        {
            return if rule.allows(token) { Decision::Pass } else { lacks_scope() };
        }
        match self.server.0.verify(raw, &self.trusted, waited) {
            Ok(token) if rule.allows(&token) => {
                request.extensions_mut().insert(token);
                Decision::Pass
            }
            Ok(_) => lacks_scope(),
            Err(Stop::Refused(rejection)) => refuse(rejection),
            Err(stop @ Stop::Pending(_)) if waited.is_some() => refuse(stop.into_rejection()),
            Err(Stop::Pending(pending)) => Decision::Wait(pending),
        }
    }

    /// Whether an outer layer of the same server has just verified this very token, and it comes from an issuer
    /// that this layer accepts too.
    fn has_verified(&self, token: &Token, raw: &str) -> bool {
        token.was_verified_by(&self.server.0.identity)
            && token.is(raw)
            && self.trusted.includes(token.issuer_name())
    }

    fn refuse(&self, rejection: Rejection, scope: Option<&Arc<str>>) -> Decision {
        tracing::debug!(
            target: "tower_bearer::rejection",
            kind = ?rejection.kind(), reason = rejection.description(), "refused a request"
        );
        Decision::Refuse(rejection.with_scope(scope.cloned()).of(&self.server.0.identity))
    }
}

/// Makes the response, and leaves the reason in its extensions for whoever is outside.
pub(super) fn respond<R, B, ResB>(respond: &R, rejection: &Rejection, request: &Request<B>) -> Response<ResB>
where
    R: Respond<ResB>,
{
    let mut response = respond.respond(rejection, &RequestHead::new(request));
    response.extensions_mut().insert(rejection.clone());
    response
}
