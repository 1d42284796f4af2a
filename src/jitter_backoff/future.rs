//! The response future: an attempt, a sleep, readiness, the next attempt.

use super::session::Session;
use crate::{classify::Verdict, clock, error::BoxError};
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

pin_project! {
    /// The future of a [`JitterBackoff`](super::JitterBackoff). Dropped while it sleeps, it makes no further attempt.
    #[must_use = "futures do nothing unless polled"]
    pub struct JitterBackoffFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        kind: Kind<S, B, S::Future>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, B, F> {
        // Nothing is kept where nothing can follow.
        Once { #[pin] future: F },
        Many { #[pin] step: Step<S, F>, session: Session<S, B> },
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, F> {
        Calling { #[pin] future: F },
        Sleeping { #[pin] sleep: Sleep },
        Readying { service: S },
    }
}

impl<S, B> JitterBackoffFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn once(future: S::Future) -> Self {
        Self {
            kind: Kind::Once { future },
        }
    }

    pub(super) fn many(future: S::Future, session: Session<S, B>) -> Self {
        Self {
            kind: Kind::Many {
                step: Step::Calling { future },
                session,
            },
        }
    }
}

impl<S, B, RB> Future for JitterBackoffFuture<S, B>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    B: Clone + 'static,
{
    type Output = Result<Response<RB>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut step, session) = match self.project().kind.project() {
            KindProj::Once { future } => return future.poll(cx).map_err(Into::into),
            KindProj::Many { step, session } => (step, session),
        };
        loop {
            let result = match step.as_mut().project() {
                StepProj::Calling { future } => ready!(future.poll(cx)).map_err(Into::into),
                StepProj::Sleeping { sleep } => {
                    ready!(sleep.poll(cx));
                    let service = session.service();
                    step.set(Step::Readying { service });
                    continue;
                }
                StepProj::Readying { service } => match ready!(service.poll_ready(cx)) {
                    Ok(()) => {
                        let future = service.call(session.request());
                        step.set(Step::Calling { future });
                        continue;
                    }
                    Err(error) => Err(error.into()),
                },
            };
            let failure = Verdict::failure_of(&result);
            // What is waited for begins now, however long the poll has taken.
            let now = failure.as_ref().map_or_else(clock::now, |_| Instant::now());
            match session.attempt_ended(failure.as_ref(), now) {
                None => return Poll::Ready(result),
                // The failed answer goes before the sleep, with all it holds.
                Some(until) => step.set(Step::Sleeping {
                    sleep: sleep_until(until),
                }),
            }
        }
    }
}

impl<S, B> fmt::Debug for JitterBackoffFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JitterBackoffFuture")
            .finish_non_exhaustive()
    }
}
