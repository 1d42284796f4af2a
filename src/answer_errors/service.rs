use super::future::AnswerErrorsFuture;
use crate::{body::AnswerBody, error::BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    convert::Infallible,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Answers instead of failing. See the [module docs](super).
#[derive(Debug)]
pub struct AnswerErrors<S> {
    inner: S,
    /// What the inner service said when it was asked whether it is ready.
    unready: Option<BoxError>,
}

impl<S> AnswerErrors<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            unready: None,
        }
    }
}

/// Readiness is of one instance; so is the lack of it.
impl<S: Clone> Clone for AnswerErrors<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S, B, RB> Service<Request<B>> for AnswerErrors<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body<Data = Bytes>,
    RB::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody<RB>>;
    type Error = Infallible;
    type Future = AnswerErrorsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.unready.is_none() {
            self.unready = ready!(self.inner.poll_ready(cx)).err().map(Into::into);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.unready.take() {
            Some(error) => AnswerErrorsFuture::unready(error),
            None => AnswerErrorsFuture::called(self.inner.call(request)),
        }
    }
}
