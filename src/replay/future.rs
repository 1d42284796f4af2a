//! Reads the body, calls the inner service, and marks its answer.

use super::{
    body::CallBody,
    gather::Gather,
    head::{self, Opening},
    record::Record,
};
use crate::{
    body::{
        Ending, ReplayBody,
        guarded::{Watch, guard_response},
    },
    classify::{Failure, FailureKind, Verdict},
    error::{BodyTooLarge, BoxError},
};
use bytes::{Buf, Bytes};
use http::{Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;

pin_project! {
    /// The future of [`Replay`](super::Replay).
    #[must_use = "futures do nothing unless polled"]
    pub struct ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody>>,
    {
        watch: Option<Watch<Record>>,
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwned]
    enum State<S, F, B> {
        /// The body announced that it is too large.
        Refused { error: BodyTooLarge },
        Reading {
            inner: S,
            parts: request::Parts,
            opening: Opening,
            gather: Gather,
            #[pin]
            body: B,
            // Made only if the body keeps us waiting.
            deadline: Option<Pin<Box<Sleep>>>,
        },
        Calling {
            #[pin]
            answer: F,
        },
        Done,
    }
}

impl<S, B> ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody>>,
{
    pub(super) fn refused(watch: Watch<Record>, error: BodyTooLarge) -> Self {
        Self {
            watch: Some(watch),
            state: State::Refused { error },
        }
    }

    pub(super) fn reading(
        watch: Watch<Record>,
        inner: S,
        parts: request::Parts,
        opening: Opening,
        gather: Gather,
        body: B,
    ) -> Self {
        let state = State::Reading {
            inner,
            parts,
            opening,
            gather,
            body,
            deadline: None,
        };
        Self {
            watch: Some(watch),
            state,
        }
    }
}

impl<S, B, RB> Future for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>>,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
    RB: Body<Data = Bytes>,
    RB::Error: Into<BoxError>,
{
    type Output = Result<Response<CallBody<RB>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let done = match this.state.as_mut().project() {
                StateProj::Refused { error } => Err((FailureKind::Refused, (*error).into())),
                StateProj::Reading {
                    gather,
                    body,
                    deadline,
                    opening,
                    ..
                } => {
                    let read = poll_body(body, gather, cx);
                    match ready!(within(read, deadline, opening, cx)) {
                        Ok(()) => Ok(None),
                        Err(error) => Err(error),
                    }
                }
                StateProj::Calling { answer } => {
                    let polled = match this.watch {
                        Some(watch) => watch.during(|| answer.poll(cx)),
                        None => answer.poll(cx),
                    };
                    Ok(Some(ready!(polled).map_err(Into::into)))
                }
                // Polled again after its answer: nothing will ever come.
                StateProj::Done => return Poll::Pending,
            };
            // What is over is dropped before what follows begins.
            let before = this.state.as_mut().project_replace(State::Done);
            match done {
                Ok(Some(result)) => return Poll::Ready(close(this.watch.take(), result)),
                Ok(None) => {
                    let StateOwned::Reading {
                        inner,
                        parts,
                        opening,
                        gather,
                        ..
                    } = before
                    else {
                        return Poll::Pending;
                    };
                    let answer = call(inner, parts, opening, gather, this.watch.as_mut());
                    this.state.set(State::Calling { answer });
                }
                Err((kind, error)) => {
                    if let Some(watch) = this.watch.take() {
                        watch.tell(Ending::Failed(kind));
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// Why nothing was sent: for the record, and for the caller.
type Unsent = (FailureKind, BoxError);

fn poll_body<B>(
    mut body: Pin<&mut B>,
    gather: &mut Gather,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Unsent>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    // To poll a body that has ended is dear where it comes from another task.
    while !body.is_end_stream() {
        let Some(frame) = ready!(body.as_mut().poll_frame(cx)) else {
            break;
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let failure = Failure::new(FailureKind::Refused)
                    .with_detail("the request body could not be read")
                    .with_source(error);
                return Poll::Ready(Err((FailureKind::Refused, failure.into())));
            }
        };
        // The API knows no trailers.
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let segment = data.copy_to_bytes(data.remaining());
        if let Err(error) = gather.push(segment) {
            return Poll::Ready(Err((FailureKind::Refused, error.into())));
        }
    }
    Poll::Ready(Ok(()))
}

/// A read that keeps us waiting ends at the deadline of its call.
fn within(
    read: Poll<Result<(), Unsent>>,
    deadline: &mut Option<Pin<Box<Sleep>>>,
    opening: &Opening,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Unsent>> {
    if read.is_ready() {
        return read;
    }
    let until = opening.deadline.instant();
    let deadline = deadline.get_or_insert_with(|| Box::pin(sleep_until(until)));
    ready!(deadline.as_mut().poll(cx));
    let failure = Failure::new(FailureKind::DeadlineExceeded)
        .with_detail("the request body took until the deadline");
    Poll::Ready(Err((failure.kind, failure.into())))
}

/// Sends what was read.
fn call<S: Service<Request<ReplayBody>>>(
    mut inner: S,
    mut parts: request::Parts,
    opening: Opening,
    gather: Gather,
    watch: Option<&mut Watch<Record>>,
) -> S::Future {
    let (body, facts) = gather.finish();
    let (encoded, length) = (opening.encoded, opening.length);
    let call = opening.call(facts, body.len());
    head::seal(&mut parts.headers, length, body.len());
    // Of an encoded body nobody knows, so its answer is watched like that of one.
    if encoded || call.asked_model().is_some() {
        head::ask_plainly(&mut parts.headers);
    }
    parts.extensions.insert(call.clone());
    let request = Request::from_parts(parts, body);
    let Some(watch) = watch else {
        return inner.call(request);
    };
    if let Some(record) = watch.guard_mut() {
        record.call = Some(call);
    }
    watch.during(|| inner.call(request))
}

/// Marks an answer, and hands the record on to its body.
fn close<RB: Body>(
    mut watch: Option<Watch<Record>>,
    mut result: Result<Response<RB>, BoxError>,
) -> Result<Response<CallBody<RB>>, BoxError> {
    let verdict = Verdict::of(&result);
    let record = watch.as_mut().and_then(Watch::guard_mut);
    let rendering = match (&mut result, record) {
        (Ok(answer), Some(record)) => record.close(answer, &verdict),
        _ => None,
    };
    let answer = guard_response(result, watch, &verdict)?;
    Ok(answer.map(|inner| CallBody::new(inner, rendering)))
}

impl<S, B> std::fmt::Debug for ReplayFuture<S, B>
where
    S: Service<Request<ReplayBody>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayFuture").finish_non_exhaustive()
    }
}
