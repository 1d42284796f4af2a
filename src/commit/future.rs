//! One attempt, from the client's readiness to an answer that is committed or failed.

use super::{
    attempt::Attempt,
    body::CommitBody,
    events::Events,
    expect::{Answer, announced_length},
    layer::Settings,
    limits::Due,
    reading::{Held, Rejected},
    source::{Chunks, Source},
    timer::Timer,
};
use crate::{
    classify::{FailureKind, Verdict},
    error::BoxError,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The answer of one attempt. See the [module docs](super).
///
/// Boxed where it is made: every layer further out moves the future it gets, and each of them the answer that comes of it.
#[must_use = "futures do nothing unless polled"]
pub struct CommitFuture<S, B, RB>
where
    S: Service<Request<B>>,
{
    running: Pin<Box<RunningAs<S, Request<B>, RB>>>,
}

type RunningAs<S, R, RB> = Running<S, R, <S as Service<R>>::Future, RB>;

pin_project! {
    struct Running<S, R, F, RB> {
        attempt: Attempt,
        timer: Timer,
        #[pin]
        state: State<S, R, F, RB>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R, F, RB> {
        /// The client is not ready yet.
        Ready { service: S, request: Option<R> },
        /// The request is sent.
        Head { #[pin] future: F },
        /// An answer of success is held back. Taken apart when it is committed.
        Hold { held: Held<RB> },
        /// The start of a failed answer is read. Boxed, so that it makes no good one larger.
        Rejected { rejected: Box<Rejected<RB>> },
        Done,
    }
}

impl<S, B, RB> CommitFuture<S, B, RB>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(service: S, request: Request<B>, settings: Arc<Settings>) -> Self {
        let attempt = Attempt::new(&request, settings);
        Self {
            running: Box::pin(Running {
                attempt,
                timer: Timer::default(),
                state: State::Ready {
                    service,
                    request: Some(request),
                },
            }),
        }
    }
}

type Answered<RB> = Result<Response<CommitBody<RB>>, BoxError>;

impl<S, B, RB> Future for CommitFuture<S, B, RB>
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Output = Answered<RB>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered<RB>> {
        let mut this = self.running.as_mut().project();
        let attempt = &*this.attempt;
        let answered = loop {
            match this.state.as_mut().project() {
                StateProj::Ready { service, request } => {
                    if attempt.is_too_late() {
                        break Err(Attempt::too_late());
                    }
                    match service.poll_ready(cx).map_err(Into::into) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => break Err(attempt.client_failed(error)),
                        Poll::Pending => break Err(ready!(poll_due(attempt, this.timer, cx))),
                    }
                    // Taken once: the state changes right here.
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    attempt.sent();
                    let future = service.call(request);
                    this.state.set(State::Head { future });
                }
                StateProj::Head { future } => match future.poll(cx).map_err(Into::into) {
                    Poll::Ready(Ok(response)) => {
                        let next = judge(attempt, response);
                        this.state.set(next);
                    }
                    Poll::Ready(Err(error)) => break Err(attempt.client_failed(error)),
                    Poll::Pending => break Err(ready!(poll_due(attempt, this.timer, cx))),
                },
                StateProj::Hold { held } => break ready!(held.poll(attempt, this.timer, cx)),
                StateProj::Rejected { rejected } => {
                    break ready!(rejected.poll(attempt, this.timer, cx));
                }
                StateProj::Done => return Poll::Pending,
            }
        };
        // What is left of a failed attempt, its connection first of all, is let go here and not with the future.
        this.state.set(State::Done);
        Poll::Ready(answered)
    }
}

/// Without the request: alone, nobody has marked its credentials as secrets.
impl<S, B, RB> fmt::Debug for CommitFuture<S, B, RB>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitFuture")
            .field("attempt", &self.running.attempt)
            .finish_non_exhaustive()
    }
}

/// Waits until the time of an attempt without an answer is up.
fn poll_due(attempt: &Attempt, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<BoxError> {
    let (at, due) = attempt.limits.due(None);
    ready!(timer.poll(at, cx));
    let kind = match due {
        Due::Fail(kind) => kind,
        Due::Commit => FailureKind::Timeout,
    };
    Poll::Ready(attempt.timed_out(kind))
}

/// Reads on as the head says.
fn judge<S, R, F, RB>(attempt: &Attempt, response: Response<RB>) -> State<S, R, F, RB> {
    let settings = &attempt.settings;
    let (head, body) = response.into_parts();
    let failure = match settings.classify.head(&head) {
        Verdict::Failed(failure) => Some(failure),
        Verdict::Complete | Verdict::Committed(_) => None,
    };
    let answer = attempt.ask.answered_by(&head.headers);
    if failure.is_some() || answer == Answer::Wrong {
        let rejected = Box::new(Rejected::new(head, body, failure));
        return State::Rejected { rejected };
    }
    // Where nothing could act on a failure, nothing is held back: only the first chunk of a JSON answer, which may show
    // that there is no answer at all, or begin to.
    let hold = |limit: usize, at_least: usize| if attempt.can_act() { limit } else { at_least };
    let announced = announced_length(attempt.ask, &head.headers);
    let (source, limit) = match answer {
        Answer::Events => {
            let events = Events::new(settings.splitter(), settings.timeouts.pings_are_life());
            (Source::events(body, events), hold(settings.hold_bytes, 0))
        }
        Answer::Json { object } => {
            let chunks = Chunks::new(announced, object);
            (
                Source::chunks(body, chunks),
                hold(settings.hold_json.saturating_add(1), 1),
            )
        }
        Answer::Opaque | Answer::Wrong => (Source::chunks(body, Chunks::new(announced, false)), 0),
    };
    State::Hold {
        held: Held::new(head, source, limit),
    }
}
