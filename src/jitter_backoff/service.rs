//! The service: keeps a copy of the request and makes the first attempt.

use super::{future::JitterBackoffFuture, layer::Shared, progress::Progress, session::Session};
use crate::{call::Call, error::BoxError, kept::KeptRequest};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// A service whose failed calls are tried again. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct JitterBackoff<S> {
    inner: S,
    /// `None`: switched off.
    shared: Option<Arc<Shared<S>>>,
}

impl<S> JitterBackoff<S> {
    pub(super) fn new(inner: S, shared: Option<Arc<Shared<S>>>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B, RB> Service<Request<B>> for JitterBackoff<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    B: Clone + 'static,
{
    type Response = Response<RB>;
    type Error = BoxError;
    type Future = JitterBackoffFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(shared) = &self.shared else {
            return JitterBackoffFuture::once(self.inner.call(request));
        };
        let mut call = request.extensions_mut().get_mut::<Call>();
        let models_left = call.as_ref().map_or(0, |call| call.models_left());
        let progress = Progress::new(shared.policy.attempts(models_left));
        if let Some(call) = &mut call {
            call.set_attempts_left(progress.attempts_left());
        }
        if progress.attempts_left() == 0 {
            return JitterBackoffFuture::once(self.inner.call(request));
        }
        let kept = KeptRequest::of(&mut request, shared.between);
        let session = Session::new(kept, progress, Arc::clone(shared));
        JitterBackoffFuture::many(self.inner.call(request), session)
    }
}
