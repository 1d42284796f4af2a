//! The body of an answer after its commit.

use super::{
    fault::Fault,
    frames::Frames,
    idle::Idle,
    layer::Settings,
    source::{Read, Source},
};
use crate::{
    body::TakeWhole,
    call::Call,
    classify::{End, Ended, Failure, FailureKind},
    claude::{headers::REQUEST_ID, reply},
    error::BoxError,
    event::Event,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long the end of the body may stay away after `message_stop`. The answer is complete; the end is awaited only so that
/// the connection can be used again.
const LINGER: Duration = Duration::from_secs(1);

/// The body of an answer that passed [`Commit`](super::Commit).
///
/// Yields what was held back, then whole events as they come, or chunks, if the answer is no stream. It ends as the answer
/// does; when that breaks off, with a [`Failure`] as its error or with one `error` event, as the [module docs](super) say.
#[derive(Debug)]
pub struct CommitBody<RB> {
    answer: Answer<RB>,
}

#[derive(Debug)]
enum Answer<RB> {
    /// All of it is here, and its end is told.
    Whole {
        out: Frames,
        trailers: Option<Box<HeaderMap>>,
    },
    /// Boxed, for a body is moved from layer to layer, and this one is large.
    Going(Box<Going<RB>>),
}

/// An answer that goes on, or that has broken off.
#[derive(Debug)]
struct Going<RB> {
    source: Source<RB>,
    /// What ended it, until that is told. Boxed, since hardly any answer has one.
    failure: Option<Box<Failure>>,
    idle: Idle,
    end: End,
    watch: Watch,
}

/// What is known of the call while its answer goes out.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) settings: Arc<Settings>,
    pub(super) call: Option<Call>,
    pub(super) request_id: Option<HeaderValue>,
    /// The longest silence.
    pub(super) idle: Duration,
}

impl Watch {
    fn failure(&self, fault: Fault) -> Failure {
        let (mut head, ()) = Response::new(()).into_parts();
        if let Some(id) = &self.request_id {
            head.headers.insert(REQUEST_ID, id.clone());
        }
        fault.after_commit(&*self.settings.classify, &head)
    }

    fn tell(&self, kind: FailureKind) {
        let Some(call) = &self.call else { return };
        if let Some(model) = call.model() {
            self.settings.observers.tell(&Event::StreamFailed {
                feature: call.feature(),
                model,
                kind,
            });
        }
    }
}

impl<RB> CommitBody<RB> {
    /// All of an answer.
    pub(super) fn whole(source: Source<RB>) -> Self {
        let (out, trailers) = source.into_whole();
        Self {
            answer: Answer::Whole { out, trailers },
        }
    }
}

impl<RB> CommitBody<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    /// An answer that goes on, or that has broken off behind what was held, and the cell that will tell its end.
    pub(super) fn committed(
        mut source: Source<RB>,
        watch: Watch,
        fault: Option<Fault>,
    ) -> (Self, End) {
        source.commit();
        let end = End::new();
        let mut going = Box::new(Going {
            source,
            failure: None,
            idle: Idle::default(),
            end: end.clone(),
            watch,
        });
        let read = fault.map(Read::Broken);
        if let Some(read) = read.or_else(|| going.source.read_empty()) {
            going.take(read);
        }
        let answer = Answer::Going(going);
        (Self { answer }, end)
    }
}

impl<RB> Going<RB> {
    fn take(&mut self, read: Read) {
        match read {
            Read::More { alive: true } => self.idle.alive(),
            Read::More { alive: false } => {}
            Read::Complete => self.settle(),
            Read::Broken(fault) => self.fail(fault),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.source.close();
        let failure = self.watch.failure(fault);
        self.end.set(Ended::Failed(failure.kind));
        self.watch.tell(failure.kind);
        self.failure = Some(Box::new(failure));
    }

    /// Tells a complete end as soon as the caller has all of the answer.
    fn settle(&mut self) {
        let is_over = self.source.is_stopped() || self.source.is_closed();
        if is_over && !self.source.has_out() && self.failure.is_none() {
            self.end.set(Ended::Complete);
        }
    }

    /// The end of an answer that broke off: an error for a layer further out that renders it, else its `error` event.
    fn last_word(&self, failure: Failure) -> Result<Frame<Bytes>, BoxError> {
        let call = self.watch.call.as_ref();
        if !self.source.is_stream() || call.is_some_and(Call::renders) {
            return Err(failure.into());
        }
        let (_, error_type) = failure.as_answer();
        let event = reply::error_event(
            error_type,
            failure.message().unwrap_or(&failure.to_string()),
            failure.request_id.as_deref(),
        );
        Ok(Frame::data(event))
    }
}

impl<RB> Going<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut came = false;
        loop {
            if let Some(chunk) = self.source.out().pop() {
                self.settle();
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Some(self.last_word(*failure)));
            }
            if self.source.is_closed() {
                let trailers = self.source.trailers.take();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(*trailers))));
            }
            match self.source.poll_read(cx) {
                Poll::Ready(read) => {
                    came = true;
                    self.take(read);
                }
                Poll::Pending => {
                    let limit = if self.source.is_stopped() {
                        LINGER
                    } else {
                        self.watch.idle
                    };
                    ready!(self.idle.poll_stalled(limit, came, cx));
                    if self.source.is_stopped() {
                        self.source.close();
                    } else {
                        self.fail(Fault::Stall);
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_closed()
            && !self.source.has_out()
            && self.failure.is_none()
            && self.source.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // The event that tells a failure is still to come.
        if self.failure.is_some() {
            return SizeHint::default();
        }
        self.source.size_hint()
    }
}

impl<RB> Body for CommitBody<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().answer {
            Answer::Whole { out, trailers } => {
                let data = out.pop().map(Frame::data);
                let frame = data.or_else(|| Some(Frame::trailers(*trailers.take()?)));
                Poll::Ready(frame.map(Ok))
            }
            Answer::Going(going) => going.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Whole { out, trailers } => out.is_empty() && trailers.is_none(),
            Answer::Going(going) => going.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Whole { out, .. } => SizeHint::with_exact(out.bytes() as u64),
            Answer::Going(going) => going.size_hint(),
        }
    }
}

impl<RB> TakeWhole for CommitBody<RB> {
    fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.answer {
            Answer::Whole {
                out,
                trailers: None,
            } => out.take_only(),
            Answer::Whole { .. } | Answer::Going(_) => None,
        }
    }
}
