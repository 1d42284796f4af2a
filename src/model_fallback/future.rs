//! The response future: one model after the other.

use super::{failed::Failed, hops::Hops};
use crate::{body::ReplayBody, classify::Verdict, error::BoxError};
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

pin_project! {
    /// The future of a [`ModelFallback`](super::ModelFallback).
    #[must_use = "futures do nothing unless polled"]
    pub struct ModelFallbackFuture<S>
    where
        S: Service<Request<ReplayBody>>,
    {
        #[pin]
        kind: Kind<S, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, F, R>
    where
        S: Service<Request<ReplayBody>>,
    {
        // Nothing is kept where nothing can follow.
        Once { #[pin] future: F },
        Many {
            #[pin] hop: Hop<S, F>,
            hops: Hops<S>,
            // Of the models before the one that is asked. Boxed, since mostly there is none.
            failed: Option<Box<Failed<R>>>,
        },
    }
}

pin_project! {
    #[project = HopProj]
    enum Hop<S, F>
    where
        S: Service<Request<ReplayBody>>,
    {
        First { #[pin] future: F },
        // Ready first, then the call. Boxed: it holds a request, and almost every call ends with its first model.
        Later { future: Pin<Box<Oneshot<S, Request<ReplayBody>>>> },
    }
}

impl<S> ModelFallbackFuture<S>
where
    S: Service<Request<ReplayBody>>,
{
    pub(super) fn once(future: S::Future) -> Self {
        Self {
            kind: Kind::Once { future },
        }
    }

    pub(super) fn many(future: S::Future, hops: Hops<S>) -> Self {
        Self {
            kind: Kind::Many {
                hop: Hop::First { future },
                hops,
                failed: None,
            },
        }
    }
}

impl<S, RB> Future for ModelFallbackFuture<S>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<RB>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut hop, hops, failed) = match self.project().kind.project() {
            KindProj::Once { future } => return future.poll(cx).map_err(Into::into),
            KindProj::Many { hop, hops, failed } => (hop, hops, failed),
        };
        loop {
            let result = match hop.as_mut().project() {
                HopProj::First { future } => ready!(future.poll(cx)).map_err(Into::into),
                HopProj::Later { future } => ready!(future.as_mut().poll(cx)).map_err(Into::into),
            };
            let Some(failure) = Verdict::failure_of(&result) else {
                return Poll::Ready(result);
            };
            let now = Instant::now();
            let is_back = hops.is_back();
            let next = hops.next(&failure, now);
            let this = Failed::new(result, failure, now);
            let told = match failed.take() {
                Some(first) => first.or(this, is_back),
                None => this,
            };
            let Some(request) = next else {
                return Poll::Ready(told.into_result(now));
            };
            *failed = Some(Box::new(told));
            hop.set(Hop::Later {
                future: Box::pin(hops.service().oneshot(request)),
            });
        }
    }
}

impl<S> fmt::Debug for ModelFallbackFuture<S>
where
    S: Service<Request<ReplayBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFallbackFuture")
            .finish_non_exhaustive()
    }
}
