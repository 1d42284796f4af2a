//! The future of a watched call.

use super::guard::AttemptGuard;
use crate::{
    body::guarded::{GuardedBody, Watch, guard_response},
    classify::{Failure, Verdict},
    error::BoxError,
};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

type Answer<RB> = Result<Response<GuardedBody<RB, AttemptGuard>>, BoxError>;

pin_project! {
    /// The future of [`CircuitBreaker`](super::CircuitBreaker).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Calling {
            #[pin]
            inner: F,
            watch: Option<Watch<AttemptGuard>>,
        },
        Rejected {
            error: Option<BoxError>,
        },
    }
}

impl<F> BreakerFuture<F> {
    pub(super) fn calling(inner: F, watch: Option<Watch<AttemptGuard>>) -> Self {
        let state = State::Calling { inner, watch };
        Self { state }
    }

    pub(super) fn rejected(failure: Failure) -> Self {
        let error = Some(failure.into());
        let state = State::Rejected { error };
        Self { state }
    }
}

impl<F, RB, E> Future for BreakerFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
    E: Into<BoxError>,
    RB: Body,
{
    type Output = Answer<RB>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { inner, watch } => {
                let polled = match watch {
                    Some(watch) => watch.during(|| inner.poll(cx)),
                    None => inner.poll(cx),
                };
                let result = ready!(polled).map_err(Into::into);
                Poll::Ready(settle(result, watch.take()))
            }
            StateProj::Rejected { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                // Polled after its end.
                None => Poll::Pending,
            },
        }
    }
}

/// Has the answer judged, and hands the watch over to its body.
fn settle<RB: Body>(
    result: Result<Response<RB>, BoxError>,
    watch: Option<Watch<AttemptGuard>>,
) -> Answer<RB> {
    let Some(mut watch) = watch else {
        return guard_response(result, None, &Verdict::Complete);
    };
    let verdict = Verdict::of(&result);
    let now = Instant::now();
    let open_for = watch
        .guard_mut()
        .and_then(|guard| guard.judge(&verdict, now));
    let result = guard_response(result, Some(watch), &verdict);
    match (verdict, open_for) {
        (Verdict::Failed(failure), Some(open_for)) => mark_open(result, failure, open_for),
        _ => result,
    }
}

/// Notes on a failure that it left the circuit open, so that nobody sleeps before an attempt that would be turned away.
fn mark_open<RB>(result: Answer<RB>, mut failure: Failure, open_for: Duration) -> Answer<RB> {
    failure.mark_open(open_for);
    match result {
        Ok(mut response) => {
            response.extensions_mut().insert(Verdict::Failed(failure));
            Ok(response)
        }
        Err(error) => Err(match error.downcast::<Failure>() {
            Ok(mut own) => {
                own.mark_open(open_for);
                own
            }
            Err(foreign) => failure.with_source(foreign).into(),
        }),
    }
}
