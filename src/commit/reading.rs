//! What happens between the head of an answer and its commit: good ones are held back, failed ones are read and let go.

use super::{
    attempt::Attempt,
    body::{CommitBody, Watch},
    expect::Ask,
    fault::Fault,
    limits::{Due, far},
    source::{Chunks, Read, Source},
    timer::Timer,
};
use crate::{
    classify::{Classify, Failure, FailureKind, Verdict},
    claude::headers::REQUEST_ID,
    error::BoxError,
};
use bytes::Bytes;
use http::{Response, StatusCode, header, response};
use http_body::Body;
use std::{
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// How much is read of a failed answer, and how much of a whole one is judged.
const JUDGED: usize = 64 << 10;

/// How long the body of a failed answer is waited for: its head has told nearly all.
const REJECTED_WAIT: Duration = Duration::from_secs(5);

type Answered<RB> = Result<Response<CommitBody<RB>>, BoxError>;

/// An answer of success that is not committed yet.
#[derive(Debug)]
pub(super) struct Held<RB> {
    /// Until it is committed.
    answer: Option<(response::Parts, Source<RB>)>,
    /// Committed when so much is held.
    limit: usize,
    /// Committed from this instant on; known once it has started.
    until: Option<Instant>,
}

impl<RB> Held<RB> {
    pub(super) fn new(head: response::Parts, source: Source<RB>, limit: usize) -> Self {
        Self {
            answer: Some((head, source)),
            limit,
            until: None,
        }
    }
}

impl<RB> Held<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    pub(super) fn poll(
        &mut self,
        attempt: &Attempt,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Answered<RB>> {
        let Some((head, source)) = &mut self.answer else {
            return Poll::Pending;
        };
        let read = Reading {
            attempt,
            head,
            source,
            limit: self.limit,
            until: &mut self.until,
        };
        let read = ready!(read.poll(timer, cx));
        let Some((head, source)) = self.answer.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match read {
            Decided::Commit(fault) => Ok(commit(attempt, head, source, fault)),
            Decided::Whole => Ok(whole(attempt, head, source)),
            Decided::Failed(error) => Err(error),
        })
    }
}

/// What is to become of an answer.
enum Decided {
    /// Passed on as far as it is here, whatever comes.
    Commit(Option<Fault>),
    /// Passed on, and there is no more of it.
    Whole,
    Failed(BoxError),
}

/// A held answer where it lies: it is large, and most polls find nothing new.
struct Reading<'a, RB> {
    attempt: &'a Attempt,
    head: &'a response::Parts,
    source: &'a mut Source<RB>,
    limit: usize,
    until: &'a mut Option<Instant>,
}

impl<RB> Reading<'_, RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    fn poll(self, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<Decided> {
        let Self {
            attempt,
            head,
            source,
            limit,
            until,
        } = self;
        let judge = &*attempt.settings.classify;
        loop {
            let enough = source.held() >= limit && !source.may_yet_be_error(JUDGED);
            if enough || source.is_committed() {
                return Poll::Ready(match error_object(judge, head, source) {
                    Some(failure) => Decided::Failed(attempt.failed(failure).into()),
                    None => Decided::Commit(None),
                });
            }
            match source.poll_read(cx) {
                Poll::Ready(Read::More { .. }) => {
                    if until.is_none() && source.has_started() {
                        *until = Some(far(Instant::now(), attempt.settings.hold_for));
                    }
                }
                Poll::Ready(Read::Complete) => {
                    return Poll::Ready(match error_object(judge, head, source) {
                        Some(failure) => Decided::Failed(attempt.failed(failure).into()),
                        None => Decided::Whole,
                    });
                }
                // In one chunk with the content that commits it: where chunks end must not decide what is resent.
                Poll::Ready(Read::Broken(fault)) if source.is_committed() => {
                    return Poll::Ready(Decided::Commit(Some(fault)));
                }
                Poll::Ready(Read::Broken(fault)) => {
                    let failure = fault.before_commit(judge, head);
                    return Poll::Ready(Decided::Failed(attempt.failed(failure).into()));
                }
                Poll::Pending => {
                    let (at, due) = attempt.limits.due(*until);
                    ready!(timer.poll(at, cx));
                    return Poll::Ready(match due {
                        Due::Commit => Decided::Commit(None),
                        Due::Fail(kind) => Decided::Failed(attempt.timed_out(kind)),
                    });
                }
            }
        }
    }
}

/// What is held of an answer that is no stream, if it is an error: under a status of success an SDK would take it for a
/// message.
fn error_object<RB>(
    judge: &dyn Classify,
    head: &response::Parts,
    source: &mut Source<RB>,
) -> Option<Failure> {
    if source.is_stream() {
        return None;
    }
    match judge.body(head, &source.out().start(JUDGED)) {
        Verdict::Failed(failure) => Some(failure),
        Verdict::Complete | Verdict::Committed(_) => None,
    }
}

/// An answer that was judged when all of it was here.
fn whole<RB>(
    attempt: &Attempt,
    mut head: response::Parts,
    source: Source<RB>,
) -> Response<CommitBody<RB>> {
    attempt.committed();
    forget_length(&mut head, &source);
    head.extensions.insert(Verdict::Complete);
    Response::from_parts(head, CommitBody::whole(source))
}

fn commit<RB>(
    attempt: &Attempt,
    mut head: response::Parts,
    source: Source<RB>,
    fault: Option<Fault>,
) -> Response<CommitBody<RB>>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    attempt.committed();
    forget_length(&mut head, &source);
    let watch = Watch {
        settings: attempt.settings.clone(),
        call: attempt.call.clone(),
        request_id: head.headers.get(REQUEST_ID).cloned(),
        idle: attempt.idle(&head.headers),
    };
    let (body, end) = CommitBody::committed(source, watch, fault);
    head.extensions.insert(Verdict::Committed(end));
    Response::from_parts(head, body)
}

/// A stream may end sooner or later than announced: with `message_stop`, or with an `error` event.
fn forget_length<RB>(head: &mut response::Parts, source: &Source<RB>) {
    if source.is_stream() {
        head.headers.remove(header::CONTENT_LENGTH);
    }
}

/// A failed answer, of which the start is read.
#[derive(Debug)]
pub(super) struct Rejected<RB> {
    head: Option<response::Parts>,
    source: Source<RB>,
    /// What its head says; `None` for an answer of success that is not what was asked for.
    failure: Option<Failure>,
    /// How long its body is waited for.
    until: Instant,
}

impl<RB> Rejected<RB> {
    pub(super) fn new(head: response::Parts, body: RB, failure: Option<Failure>) -> Self {
        Self {
            until: Instant::now() + REJECTED_WAIT,
            head: Some(head),
            source: Source::chunks(body, Chunks::default()),
            failure,
        }
    }
}

impl<RB> Rejected<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    pub(super) fn poll(
        &mut self,
        attempt: &Attempt,
        timer: &mut Timer,
        cx: &mut Context<'_>,
    ) -> Poll<Answered<RB>> {
        while self.source.out().bytes() < JUDGED {
            match self.source.poll_read(cx) {
                Poll::Ready(Read::More { .. }) => {}
                Poll::Ready(Read::Complete | Read::Broken(_)) => break,
                Poll::Pending => {
                    ready!(timer.poll(self.until.min(attempt.limits.due(None).0), cx));
                    break;
                }
            }
        }
        let Some(mut head) = self.head.take() else {
            return Poll::Pending;
        };
        let start = std::mem::take(self.source.out()).into_start(JUDGED);
        let judged = match attempt.settings.classify.body(&head, &start) {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Complete | Verdict::Committed(_) => None,
        };
        let Some(failure) = self.failure.take() else {
            // Under a status of success: nothing that could be passed on as what it is.
            let failure = judged.unwrap_or_else(|| {
                Failure::new(FailureKind::ServerError)
                    .with_detail("not the kind of answer asked for")
            });
            return Poll::Ready(Err(attempt.failed(failure).into()));
        };
        let failure = attempt.failed(judged.unwrap_or(failure));
        // Under a HEAD request and in a 304 it is the length that another answer would have.
        let has_body = attempt.ask != Ask::Nothing && head.status != StatusCode::NOT_MODIFIED;
        if head.headers.contains_key(header::CONTENT_LENGTH) && has_body {
            head.headers
                .insert(header::CONTENT_LENGTH, start.len().into());
        }
        head.extensions.insert(Verdict::Failed(failure));
        let body = CommitBody::whole(Source::owned(start));
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}
