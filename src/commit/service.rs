//! The service.

use super::{body::CommitBody, future::CommitFuture, layer::Settings};
use crate::error::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Reads each answer as far as it must be read to know what it is. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct Commit<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Commit<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The client.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, RB> Service<Request<B>> for Commit<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Response = Response<CommitBody<RB>>;
    type Error = BoxError;
    type Future = CommitFuture<S, B, RB>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A clone that nobody has driven yet: its readiness is polled inside the attempt, under the attempt's timer.
        CommitFuture::new(self.inner.clone(), request, self.settings.clone())
    }
}
