//! Takes a permit for each call before the inner service sees it.

use crate::{
    body::guarded::{GuardedBody, Watch},
    call::Call,
    error::BoxError,
};
use http::{Request, Response};
use http_body::Body;
use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

use super::{
    admission::{Admission, Shared},
    future::BulkheadFuture,
    permit::Permit,
};

/// Bounds the calls in flight per feature and model. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct Bulkhead<S> {
    inner: S,
    /// Shared by clones: a permit belongs to a call, never to a service. `None`: switched off.
    shared: Option<Arc<Shared>>,
}

impl<S> Bulkhead<S> {
    pub(super) fn new(inner: S, shared: Option<Arc<Shared>>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, RB> Service<Request<B>> for Bulkhead<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    RB: Body,
{
    type Response = Response<GuardedBody<RB, Permit>>;
    type Error = BoxError;
    type Future = BulkheadFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(shared) = &self.shared else {
            return BulkheadFuture::calling(self.inner.call(request), None);
        };
        match shared.admit(request.extensions().get::<Call>()) {
            Admission::In(seat) => {
                let mut watch = Watch::new(Permit::new(seat));
                let future = watch.during(|| self.inner.call(request));
                BulkheadFuture::calling(future, Some(watch))
            }
            Admission::Line { place, until, then } => {
                // The service that is ready is the one to call, so it goes with the call, and its clone stays.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                BulkheadFuture::waiting(ready, request, place, (until, then), shared.clone())
            }
            Admission::Out(failure) => BulkheadFuture::turned_away(failure),
        }
    }
}
