//! A call through a compartment: in the line, then in flight.

use crate::{
    body::guarded::{Ending, GuardedBody, Watch, guard_answer},
    call::Call,
    classify::{Failure, FailureKind, Verdict},
    error::BoxError,
};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    admission::Shared,
    permit::Permit,
    queue::{Place, Seat},
};

pin_project! {
    /// The future of [`Bulkhead`](super::Bulkhead).
    #[must_use = "futures do nothing unless polled"]
    pub struct BulkheadFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        // Boxed: a call that waits can afford it, and one that does not is smaller to move.
        Waiting { waiting: Option<Pin<Box<Waiting<S, B>>>> },
        Calling {
            // Before the permit, so that what it holds is gone when the next call is let in.
            #[pin]
            future: F,
            watch: Option<Watch<Permit>>,
        },
        TurnedAway { failure: Option<BoxError> },
    }
}

pin_project! {
    struct Waiting<S, B> {
        // Leaves the line when its seat is there or the wait is over.
        line: Option<Waiter<S, B>>,
        #[pin]
        end_of_wait: Sleep,
        // What the end of the wait is.
        then: FailureKind,
    }
}

/// A call that has its seat.
type Called<F> = Result<(F, Watch<Permit>), Failure>;

/// A call in the line.
struct Waiter<S, B> {
    place: Place,
    /// Was ready when the call came, and has not been called since.
    ready: S,
    request: Request<B>,
    shared: Arc<Shared>,
}

impl<S: Service<Request<B>>, B> Waiter<S, B> {
    /// Calls with the seat; without one, fails as `then`, or as full where the compartment was closed before the end of
    /// the wait.
    fn sit_down(self, turn: Poll<Option<Seat>>, then: FailureKind) -> Called<S::Future> {
        let Self {
            place,
            mut ready,
            request,
            shared,
        } = self;
        let waited = turn.is_pending();
        let seat = match turn {
            Poll::Ready(seat) => seat,
            Poll::Pending => place.give_up(),
        };
        let Some(seat) = seat else {
            let kind = if waited {
                then
            } else {
                FailureKind::BulkheadFull
            };
            return Err(shared.turn_away(request.extensions().get::<Call>(), kind, waited));
        };
        let mut watch = Watch::new(Permit::new(seat));
        let future = watch.during(|| ready.call(request));
        Ok((future, watch))
    }
}

impl<S, B> BulkheadFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn calling(future: S::Future, watch: Option<Watch<Permit>>) -> Self {
        Self {
            state: State::Calling { future, watch },
        }
    }

    pub(super) fn waiting(
        ready: S,
        request: Request<B>,
        place: Place,
        (until, then): (Instant, FailureKind),
        shared: Arc<Shared>,
    ) -> Self {
        let line = Waiter {
            place,
            ready,
            request,
            shared,
        };
        let waiting = Waiting {
            line: Some(line),
            end_of_wait: sleep_until(until),
            then,
        };
        Self {
            state: State::Waiting {
                waiting: Some(Box::pin(waiting)),
            },
        }
    }

    pub(super) fn turned_away(failure: Failure) -> Self {
        Self {
            state: State::TurnedAway {
                failure: Some(failure.into()),
            },
        }
    }
}

impl<S, B, RB> Future for BulkheadFuture<S, B>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body,
{
    type Output = Result<Response<GuardedBody<RB, Permit>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Waiting { waiting } => {
                    let Some(line) = waiting else {
                        return Poll::Pending;
                    };
                    let called = ready!(line.as_mut().poll_call(cx));
                    *waiting = None;
                    let (future, watch) = called?;
                    let watch = Some(watch);
                    state.set(State::Calling { future, watch });
                }
                StateProj::Calling { future, watch } => {
                    let polled = match watch {
                        Some(watch) => watch.during(|| future.poll(cx)),
                        None => future.poll(cx),
                    };
                    return Poll::Ready(match ready!(polled) {
                        Ok(response) => {
                            let verdict = Verdict::of_answer(&response);
                            Ok(guard_answer(response, watch.take(), &verdict))
                        }
                        Err(error) => {
                            let error = error.into();
                            if let Some(watch) = watch.take() {
                                watch.tell(Ending::Failed(Verdict::of_error(&error).kind));
                            }
                            Err(error)
                        }
                    });
                }
                StateProj::TurnedAway { failure } => match failure.take() {
                    Some(failure) => return Poll::Ready(Err(failure)),
                    None => return Poll::Pending,
                },
            }
        }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    /// Waits for the seat, and calls with it.
    fn poll_call(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Called<S::Future>> {
        let this = self.project();
        let Some(waiter) = this.line else {
            return Poll::Pending;
        };
        // The seat first: one that is there at the very end of the wait is taken.
        let turn = waiter.place.poll_seat(cx);
        if turn.is_pending() {
            ready!(this.end_of_wait.poll(cx));
        }
        match this.line.take() {
            Some(waiter) => Poll::Ready(waiter.sit_down(turn, *this.then)),
            None => Poll::Pending,
        }
    }
}

/// By hand, because neither services nor their futures have to be `Debug`.
impl<S, B> fmt::Debug for BulkheadFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
            State::TurnedAway { .. } => "turned away",
        };
        f.debug_tuple("BulkheadFuture").field(&state).finish()
    }
}
