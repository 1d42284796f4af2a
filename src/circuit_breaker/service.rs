//! The service.

use super::{
    future::BreakerFuture,
    guard::AttemptGuard,
    shared::{Entry, Shared},
};
use crate::{
    body::guarded::{GuardedBody, Watch},
    call::Call,
    clock,
    error::BoxError,
};
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Calls the inner service while the model's circuit lets it. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct CircuitBreaker<S> {
    inner: S,
    /// `None`: switched off.
    shared: Option<Arc<Shared>>,
}

impl<S> CircuitBreaker<S> {
    pub(super) fn new(inner: S, shared: Option<Arc<Shared>>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, RB> Service<Request<B>> for CircuitBreaker<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body,
{
    type Response = Response<GuardedBody<RB, AttemptGuard>>;
    type Error = BoxError;
    type Future = BreakerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let entry = match &self.shared {
            Some(shared) => shared.enter(request.extensions().get::<Call>(), clock::now()),
            None => Entry::Unwatched,
        };
        match entry {
            Entry::Unwatched => BreakerFuture::calling(self.inner.call(request), None),
            Entry::Watched(guard) => {
                let mut watch = Watch::new(guard);
                let inner = watch.during(|| self.inner.call(request));
                BreakerFuture::calling(inner, Some(watch))
            }
            Entry::Rejected(failure) => BreakerFuture::rejected(failure),
        }
    }
}
