//! The future of a watched call.

use super::guard::AttemptGuard;
use crate::{
    body::guarded::{Ending, GuardedBody, Watch, guard_answer},
    classify::{Failure, Verdict},
    clock,
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
    type Output = Result<Response<GuardedBody<RB, AttemptGuard>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { inner, watch } => {
                let polled = match watch {
                    Some(watch) => watch.during(|| inner.poll(cx)),
                    None => inner.poll(cx),
                };
                Poll::Ready(match ready!(polled) {
                    Ok(response) => Ok(answered(response, watch.take())),
                    Err(error) => Err(failed(error.into(), watch.take())),
                })
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
fn answered<RB: Body>(
    response: Response<RB>,
    watch: Option<Watch<AttemptGuard>>,
) -> Response<GuardedBody<RB, AttemptGuard>> {
    let Some(mut watch) = watch else {
        return response.map(GuardedBody::unguarded);
    };
    let verdict = Verdict::of_answer(&response);
    let open_for = judge(&mut watch, &verdict);
    let mut response = guard_answer(response, Some(watch), &verdict);
    if let (Verdict::Failed(mut failure), Some(open_for)) = (verdict, open_for) {
        failure.mark_open(open_for);
        response.extensions_mut().insert(Verdict::Failed(failure));
    }
    response
}

/// Has the failure judged, and ends the watch.
fn failed(error: BoxError, watch: Option<Watch<AttemptGuard>>) -> BoxError {
    let Some(mut watch) = watch else {
        return error;
    };
    let mut failure = Verdict::of_error(&error);
    let open_for = judge(&mut watch, &Verdict::Failed(failure.clone()));
    watch.tell(Ending::Failed(failure.kind));
    let Some(open_for) = open_for else {
        return error;
    };
    match error.downcast::<Failure>() {
        Ok(mut own) => {
            own.mark_open(open_for);
            own
        }
        Err(foreign) => {
            failure.mark_open(open_for);
            failure.with_source(foreign).into()
        }
    }
}

/// For how long the circuit is open, where this verdict leaves it so: noted on the failure, so that nobody sleeps before an
/// attempt that would be turned away.
fn judge(watch: &mut Watch<AttemptGuard>, verdict: &Verdict) -> Option<Duration> {
    // What opens or cools down does so from now on, however long the poll has taken.
    let now = verdict
        .failure()
        .map_or_else(clock::now, |_| Instant::now());
    watch.guard_mut()?.judge(verdict, now)
}
