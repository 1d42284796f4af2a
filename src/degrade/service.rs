use super::{body::DegradeBody, future::DegradeFuture, plan::Plan, policy::Settings};
use crate::error::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Answers in place of a model that does not. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct Degrade<S> {
    inner: S,
    settings: Option<Arc<Settings>>,
}

impl<S> Degrade<S> {
    pub(super) fn new(inner: S, settings: Option<Arc<Settings>>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, RB> Service<Request<B>> for Degrade<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    // So that a `ReplayBody` can be told from others: only of that a cache key is made.
    B: 'static,
    RB: Body<Data = Bytes>,
    RB::Error: Into<BoxError>,
{
    type Response = Response<DegradeBody<RB>>;
    type Error = BoxError;
    type Future = DegradeFuture<S::Future, RB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let plan = self
            .settings
            .as_ref()
            .map(|settings| Plan::of(settings.clone(), &mut request));
        DegradeFuture::new(self.inner.call(request), plan)
    }
}
