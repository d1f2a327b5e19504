//! [`BearerAuth`]: the service around the inner one.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::future::{Parked, ResponseFuture};
use super::policy::{Decision, Policy, respond};
use crate::refusal::{EmptyBody, Respond};

/// The service that [`BearerAuthLayer`](crate::BearerAuthLayer) makes.
#[derive(Clone)]
pub struct BearerAuth<S, R = EmptyBody> {
    inner: S,
    policy: Arc<Policy>,
    respond: R,
}

impl<S, R> BearerAuth<S, R> {
    pub(super) fn new(inner: S, policy: Arc<Policy>, respond: R) -> Self {
        Self { inner, policy, respond }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, ResB> Service<Request<B>> for BearerAuth<S, R>
where
    S: Service<Request<B>, Response = Response<ResB>> + Clone,
    R: Respond<ResB> + Clone,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.policy.decide(&mut request, None) {
            Decision::Pass => ResponseFuture::passed(self.inner.call(request)),
            Decision::Refuse(rejection) => {
                let response = respond(&self.respond, rejection, &request);
                // What readiness has reserved (a permit, a slot in a queue) must not stay taken by a request that
                // will never use it.
                self.inner = self.inner.clone();
                ResponseFuture::refused(response)
            }
            Decision::Wait(pending) => {
                // The service that is ready goes with the request, a clone stays.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let (policy, respond) = (self.policy.clone(), self.respond.clone());
                ResponseFuture::waiting(pending, Parked { inner, request, policy, respond, waits: 0 })
            }
        }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for BearerAuth<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
