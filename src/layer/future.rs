//! [`ResponseFuture`]: named, and boxed only while it waits for keys or for a token's issuer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::policy::{Decision, Policy, respond};
use crate::refusal::Respond;
use crate::server::{Pending, Waited};

pin_project! {
    /// The future of [`BearerAuth`](crate::BearerAuth).
    pub struct ResponseFuture<S, R, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, R, B, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, B, F, Res> {
        Passed { #[pin] inner: F },
        Refused { response: Option<Res> },
        Waiting { waiting: Box<Waiting<S, R, B>> },
    }
}

/// A request that waits. Boxed: it is rare, and inline it would double the size of every future.
struct Waiting<S, R, B> {
    waited: Pin<Box<dyn Future<Output = Waited> + Send>>,
    parked: Option<Parked<S, R, B>>,
}

/// The request, with the service that is ready for it.
pub(super) struct Parked<S, R, B> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) policy: Arc<Policy>,
    pub(super) respond: R,
    /// How often it has waited before.
    pub(super) waits: u8,
}

/// For what it takes to verify the token, and on a live layer for what its issuer says of it.
const MAX_WAITS: u8 = 2;

impl<S: Service<Request<B>>, R, B> ResponseFuture<S, R, B> {
    pub(super) fn passed(inner: S::Future) -> Self {
        Self { state: State::Passed { inner } }
    }

    pub(super) fn refused(response: S::Response) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(super) fn waiting(pending: Pending, parked: Parked<S, R, B>) -> Self {
        Self { state: parked.wait(pending) }
    }
}

impl<S, R, B, ResB> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    R: Respond<ResB>,
{
    type Output = Result<Response<ResB>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProj::Passed { inner } => return inner.poll(cx),
                StateProj::Refused { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response)),
                    // Polled after its end.
                    None => return Poll::Pending,
                },
                StateProj::Waiting { waiting } => {
                    let waited = ready!(waiting.waited.as_mut().poll(cx));
                    match waiting.parked.take() {
                        Some(parked) => parked.resume(&waited),
                        None => return Poll::Pending,
                    }
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S, R, B> Parked<S, R, B> {
    fn wait<F, Res>(mut self, pending: Pending) -> State<S, R, B, F, Res> {
        self.waits = self.waits.saturating_add(1);
        let waiting = Box::new(Waiting { waited: Box::pin(pending.ended()), parked: Some(self) });
        State::Waiting { waiting }
    }

    /// The second decision, or the third on a live layer. There is no fourth.
    fn resume<ResB>(mut self, waited: &Waited) -> State<S, R, B, S::Future, S::Response>
    where
        S: Service<Request<B>, Response = Response<ResB>>,
        R: Respond<ResB>,
    {
        let rejection = match self.policy.decide(&mut self.request, Some(waited)) {
            Decision::Pass => return State::Passed { inner: self.inner.call(self.request) },
            Decision::Refuse(rejection) => rejection,
            Decision::Wait(pending) if self.waits < MAX_WAITS => return self.wait(pending),
            Decision::Wait(_) => self.policy.undecided(),
        };
        State::Refused { response: Some(respond(&self.respond, rejection, &self.request)) }
    }
}

impl<S: Service<Request<B>>, R, B> fmt::Debug for ResponseFuture<S, R, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
