//! The answer as the caller reads it: a stream that fails says so as its last event.

use super::record::Record;
use crate::{
    body::{GuardedBody, TakeWhole},
    call::{Call, Served},
    classify::{End, Ended, Failure, FailureKind},
    claude::{headers, reply},
    error::BoxError,
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of an answer that came through [`Replay`](super::Replay).
    ///
    /// A stream of events never breaks off and never ends as if it were whole when it is not: what failed is its last
    /// event, `error`, which the official SDKs raise. Any other body keeps its error.
    #[derive(Debug)]
    pub struct CallBody<B> {
        #[pin]
        inner: GuardedBody<B, Record>,
        rendering: Option<Box<Rendering>>,
    }
}

impl<B> CallBody<B> {
    pub(super) fn new(inner: GuardedBody<B, Record>, rendering: Option<Rendering>) -> Self {
        let rendering = rendering.map(Box::new);
        Self { inner, rendering }
    }
}

/// What is needed to write the end of a stream.
#[derive(Debug)]
pub(super) struct Rendering {
    end: End,
    request_id: Option<Box<str>>,
    /// The last byte passed on.
    last: u8,
    over: bool,
}

impl Rendering {
    /// For the answer of a Messages call that is a stream of events.
    pub(super) fn of(map: &mut HeaderMap, call: &Call, served: &Served) -> Option<Self> {
        // Text of ours in an encoded stream could not be read by anybody: that one keeps its error.
        let readable = headers::is_event_stream(map) && !headers::is_encoded(map);
        if call.asked_model().is_none() || !readable {
            return None;
        }
        // An event more or an end too early would make it a lie.
        map.remove(CONTENT_LENGTH);
        Some(Self {
            end: served.end.clone(),
            request_id: headers::request_id(map).map(Into::into),
            last: b'\n',
            over: false,
        })
    }

    /// The event that ends the stream.
    fn error(&mut self, error: Option<&(dyn Error + 'static)>) -> Bytes {
        self.over = true;
        let truncated = Failure::new(FailureKind::Truncated);
        let failure = error.and_then(Failure::find).unwrap_or(&truncated);
        let (_, error_type) = failure.as_answer();
        let request_id = failure.request_id.as_deref().or(self.request_id.as_deref());
        let broke_off = || format!("the answer broke off ({})", failure.kind);
        let message = failure.message().map_or_else(broke_off, str::to_owned);
        let event = reply::error_event(error_type, &message, request_id);
        if matches!(self.last, b'\n' | b'\r') {
            return event;
        }
        // Half an event that was passed on becomes part of this one, so that nobody takes it for whole.
        [b"\n", &*event].concat().into()
    }
}

impl<B> Body for CallBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if this
            .rendering
            .as_ref()
            .is_some_and(|rendering| rendering.over)
        {
            return Poll::Ready(None);
        }
        let read = ready!(this.inner.poll_frame(cx));
        let Some(rendering) = this.rendering else {
            return Poll::Ready(read);
        };
        let last_event = match read {
            Some(Ok(frame)) => {
                if let Some(last) = frame.data_ref().and_then(|data| data.last()) {
                    rendering.last = *last;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            // The caller has all of it.
            Some(Err(_)) if rendering.end.get() == Some(Ended::Complete) => {
                rendering.over = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => rendering.error(Some(&*error)),
            // Cut, though it looks like an end.
            None if rendering.end.get() == Some(Ended::Failed(FailureKind::Truncated)) => {
                rendering.error(None)
            }
            None => {
                rendering.over = true;
                return Poll::Ready(None);
            }
        };
        Poll::Ready(Some(Ok(Frame::data(last_event))))
    }

    fn is_end_stream(&self) -> bool {
        // A stream may yet need its last event.
        match &self.rendering {
            Some(rendering) => rendering.over,
            None => self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rendering {
            Some(_) => SizeHint::default(),
            None => self.inner.size_hint(),
        }
    }
}

impl<B: TakeWhole> TakeWhole for CallBody<B> {
    fn take_whole(&mut self) -> Option<Bytes> {
        match self.rendering {
            None => self.inner.take_whole(),
            Some(_) => None,
        }
    }
}
