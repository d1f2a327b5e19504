//! [`Policy`]: what is to be done with a request, in a straight line.

use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap, Request, Response};
use tracing::level_filters::LevelFilter;

use super::credentials::Credentials;
use crate::access::{Ask, MethodAccess};
use crate::event::{Event, RejectionKind, Warnings};
use crate::identity::{IssuerIdentity, ServerIdentity};
use crate::jose::TokenError;
use crate::keys::refresh::BACKOFF_MIN;
use crate::lookup::is_token68;
use crate::refusal::{Rejection, RequestHead, Respond};
use crate::server::{Pending, ResourceServer, Stop, Trusted, Verified, Waited};
use crate::time::Timestamp;
use crate::token::Token;

/// What a layer asks for, shared by all its services.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) server: ResourceServer,
    pub(super) access: Access,
    pub(super) trusted: Trusted,
    /// How long ago tokens may have been issued.
    pub(super) max_age: Option<Duration>,
    /// Whether their issuers are asked on each request.
    pub(super) live: bool,
    /// Of tokens whose issuers cannot be.
    pub(super) warnings: Warnings,
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
    pub(crate) server: Arc<ServerIdentity>,
}

/// What is to be done with a request.
pub(super) enum Decision {
    Pass,
    Refuse(Rejection),
    Wait(Pending),
}

impl Policy {
    #[track_caller]
    pub(super) fn new(server: ResourceServer, access: Access, trusted: Trusted) -> Self {
        let (scopes, issuers) = match &access {
            Access::Always(ask) => (ask.scopes(), ask.issuer_names()),
            Access::ByMethod(methods) => (methods.scopes(), methods.issuer_names()),
        };
        // A rule that nobody can meet.
        for name in issuers {
            assert!(server.has_issuer(name), "no issuer is called {name:?}");
        }
        server.0.note_scopes(scopes);
        let access = match access {
            Access::Always(ask) => Access::Always(ask.of(&server.0.identity)),
            Access::ByMethod(methods) => Access::ByMethod(methods.of(&server.0.identity)),
        };
        let warnings = Warnings::new(server.0.identity.clock.instant());
        Self { server, access, trusted, max_age: None, live: false, warnings }
    }

    /// The whole of one request: credentials, verification, the route's rule.
    ///
    /// `waited` is how that ended which an earlier decision was to wait for: what it takes to verify the token, or on a live
    /// layer what its issuer says of it.
    pub(super) fn decide<B>(&self, request: &mut Request<B>, waited: Option<&Waited>) -> Decision {
        let ask = match &self.access {
            Access::Always(ask) => ask,
            Access::ByMethod(methods) => methods.at(request.uri().path()),
        };
        // Apart for as long as the token is read where it is, among the headers.
        let mut extensions = std::mem::take(request.extensions_mut());
        let decision = self.decide_on(ask, request.headers_mut(), &mut extensions, waited);
        *request.extensions_mut() = extensions;
        decision
    }

    fn decide_on(
        &self,
        ask: &Ask,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        waited: Option<&Waited>,
    ) -> Decision {
        let Ask::Token { rule, optional, hints } = ask else {
            Credentials::hide(headers);
            // Public: what another server has verified is nobody's business here.
            let ours = |token: &Token| token.was_verified_by(&self.server.0.identity);
            if extensions.get().is_some_and(|token| !ours(token)) {
                extensions.remove::<Token>();
            }
            return Decision::Pass;
        };
        let refuse = |rejection: Rejection| {
            Decision::Refuse(rejection.with_hints(hints.clone()).told(&self.server.0.identity, Some(rule)))
        };
        let lacks_scope = |token: &Token| {
            let issuer = Some(token.trusted_issuer().clone());
            refuse(Rejection::new(RejectionKind::InsufficientScope).with_issuer(issuer))
        };
        let allow = |token: &Token| match self.check_age(token) {
            Ok(()) if rule.allows(token) => None,
            Ok(()) => Some(lacks_scope(token)),
            Err(fault) => {
                Some(refuse(Rejection::from(fault).with_issuer(Some(token.trusted_issuer().clone()))))
            }
        };
        // The last question, and the only one that costs its issuer a call. Its answer may be another token to the rule.
        let confirm = |verified: Verified| {
            if !self.live {
                return Ok(verified);
            }
            let issuer = verified.token.trusted_issuer().clone();
            match self.server.0.confirm(verified, &self.trusted, waited) {
                Some(Ok(verified)) => allow(&verified.token).map_or(Ok(verified), Err),
                Some(Err(Stop::Refused(rejection))) => Err(refuse(rejection)),
                Some(Err(Stop::Pending(pending))) => Err(Decision::Wait(pending)),
                None => {
                    self.warn_of(&issuer);
                    Err(refuse(Rejection::new(RejectionKind::InsufficientScope).with_issuer(Some(issuer))))
                }
            }
        };
        let raw = match Credentials::read(headers) {
            Credentials::Bearer(raw) => raw,
            Credentials::None if *optional => {
                extensions.remove::<Token>();
                extensions.insert(Anonymous { server: self.server.0.identity.clone() });
                return Decision::Pass;
            }
            Credentials::None => return refuse(Rejection::new(RejectionKind::NoCredentials)),
            Credentials::Malformed => return refuse(Rejection::new(RejectionKind::MalformedRequest)),
        };
        if let Some(token) = extensions.get::<Token>()
            && self.has_verified(token, raw)
            && (waited.is_none() || self.server.0.still_holds(token))
        {
            // It may have been denied since.
            match self.server.0.check_denied(token, waited) {
                Ok(()) => {}
                Err(Stop::Pending(pending)) => return Decision::Wait(pending),
                Err(Stop::Refused(rejection)) => return refuse(rejection),
            }
            // The span was told by whoever verified it; some exporters keep what is said twice.
            if let Some(refused) = allow(token) {
                return refused;
            }
            if self.live {
                match confirm(Verified { token: token.clone(), cached: true }) {
                    Ok(Verified { token, .. }) => extensions.insert(token),
                    Err(decision) => return decision,
                };
            }
            return Decision::Pass;
        }
        match self.server.0.verify(raw, &self.trusted, waited) {
            Ok(verified) => {
                if waited.is_none_or(|waited| waited.verified(raw).is_none()) {
                    record(&verified.token);
                }
                if let Some(refused) = allow(&verified.token) {
                    return refused;
                }
                let before = self.live.then(|| verified.token.clone());
                let Verified { token, cached } = match confirm(verified) {
                    Ok(verified) => verified,
                    Err(decision) => return decision,
                };
                // It may be of somebody else now.
                if before.is_some_and(|before| !token.is_same(&before)) {
                    record(&token);
                }
                let issuer = token.issuer_name();
                self.server.0.identity.observers.tell(&Event::Accepted { issuer, cached });
                extensions.insert(token);
                Decision::Pass
            }
            Err(Stop::Refused(rejection)) if rejection.is_unread() && !is_token68(raw) => {
                refuse(Rejection::new(RejectionKind::MalformedRequest))
            }
            Err(Stop::Refused(rejection)) => refuse(rejection),
            Err(Stop::Pending(pending)) => Decision::Wait(pending),
        }
    }

    /// When it has waited as often as it may. A third wait takes another server's answer that came before ours to a question of
    /// ours, or a token without `iss` that another issuer verifies by then.
    pub(super) fn undecided(&self) -> Rejection {
        Rejection::unavailable(BACKOFF_MIN).told(&self.server.0.identity, None)
    }

    /// An operator must hear of it: the clients can do nothing about it.
    fn warn_of(&self, issuer: &IssuerIdentity) {
        if let Some(held_back) = self.warnings.pass(self.server.0.identity.clock.instant()) {
            tracing::warn!(
                target: "tower_bearer::config", issuer = &*issuer.name, held_back,
                "a live route refuses every token of this issuer, because it cannot be asked; give it an introspection or a lookup, or narrow the layer to other issuers"
            );
        }
    }

    fn check_age(&self, token: &Token) -> Result<(), TokenError> {
        let Some(max_age) = self.max_age else { return Ok(()) };
        let issued = token.validity().issued_at.ok_or(TokenError::MissingClaim)?;
        let now: Timestamp = self.server.0.identity.clock.now().into();
        let leeway = token.trusted_issuer().leeway;
        if now > issued.plus(max_age).plus(leeway) { Err(TokenError::Time) } else { Ok(()) }
    }

    /// Whether an outer layer of the same server has just verified this very token, and it comes from an issuer
    /// that this layer accepts too.
    fn has_verified(&self, token: &Token, raw: &[u8]) -> bool {
        token.was_verified_by(&self.server.0.identity)
            && token.is(raw)
            && self.trusted.includes(token.issuer_name())
    }
}

/// Says in the current span who calls, if the span has declared these fields. All of it was verified.
fn record(token: &Token) {
    // Nobody listens, so there are no spans.
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    let span = tracing::Span::current();
    if span.is_none() {
        return;
    }
    span.record("issuer", token.issuer_name());
    if let Some(client_id) = token.client_id() {
        span.record("client_id", client_id);
    }
    if let Some(subject) = token.subject() {
        span.record("sub", subject);
    }
}

impl Token {
    /// The token in the extensions of a request that a layer let pass, for handlers without extractors.
    ///
    /// ```
    /// # #[cfg(feature = "tonic")] {
    /// use tonic::{Request, Response, Status};
    /// use tower_bearer::Token;
    ///
    /// async fn call(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let token = Token::from_extensions(request.extensions())?;
    ///     Ok(Response::new(token.client_id().unwrap_or("-").to_owned()))
    /// }
    /// # let _ = call;
    /// # }
    /// ```
    ///
    /// A refusal is told at once, to observers and to the log; without a layer to the log alone, as an error.
    ///
    /// # Errors
    /// [`Wiring`](RejectionKind::Wiring) where no layer ran, [`NoCredentials`](RejectionKind::NoCredentials) under an
    /// optional layer if no token came.
    pub fn from_extensions(extensions: &Extensions) -> Result<&Self, Rejection> {
        find(extensions)?
            .map_err(|anonymous| Rejection::new(RejectionKind::NoCredentials).told(&anonymous.server, None))
    }
}

/// The token, or the sign of an optional layer that found none.
pub(crate) fn find(extensions: &Extensions) -> Result<Result<&Token, &Anonymous>, Rejection> {
    match (extensions.get::<Token>(), extensions.get::<Anonymous>()) {
        (Some(token), _) => Ok(Ok(token)),
        (None, Some(anonymous)) => Ok(Err(anonymous)),
        (None, None) => {
            tracing::error!(target: "tower_bearer::rejection", kind = "wiring", "no BearerAuthLayer ran");
            Err(Rejection::new(RejectionKind::Wiring))
        }
    }
}

/// Makes the response, and leaves the reason in its extensions for whoever is outside.
pub(crate) fn respond<R, B, ResB>(respond: &R, rejection: Rejection, request: &Request<B>) -> Response<ResB>
where
    R: Respond<ResB>,
{
    let mut response = respond.respond(&rejection, &RequestHead::new(request));
    response.extensions_mut().insert(rejection);
    response
}
