//! What goes to upstream and what comes back.

use super::{link::Link, pool::Pool};
use crate::{
    body::ReplayBody,
    classify::{Failure, FailureKind},
    error::BoxError,
    proxy::{limits::Ticket, shutdown::Stop},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of a request: held, so that it can be sent again, or streamed through.
    #[project = OutgoingProj]
    pub(in crate::proxy) enum Outgoing {
        Held { body: ReplayBody },
        Streamed { #[pin] body: UnsyncBoxBody<Bytes, BoxError> },
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            OutgoingProj::Held { body } => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            OutgoingProj::Streamed { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held { body } => body.is_end_stream(),
            Self::Streamed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Held { body } => body.size_hint(),
            Self::Streamed { body } => body.size_hint(),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Whether all of it is there.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// The body of an answer: it drives its connection, is counted while layers above hold it, and broken off when the proxy
/// ends.
#[derive(Debug)]
pub(in crate::proxy) struct UpstreamBody {
    inner: Incoming,
    // None: somebody else drives it, or it is over.
    driven: Option<(Box<Link>, Arc<Pool>)>,
    // None: nothing of it is held.
    ticket: Option<Arc<Ticket>>,
    stop: Stop,
}

impl UpstreamBody {
    pub(super) fn new(
        inner: Incoming,
        driven: Option<(Box<Link>, Arc<Pool>)>,
        ticket: Option<Arc<Ticket>>,
        stop: Stop,
    ) -> Self {
        let mut body = Self {
            inner,
            driven,
            ticket,
            stop,
        };
        // One without a body has ended already, and nobody polls it.
        if body.inner.is_end_stream() {
            body.let_go();
        }
        body
    }

    /// The answer is whole: its connection is free for another call.
    fn let_go(&mut self) {
        if let Some((link, pool)) = self.driven.take() {
            pool.keep(link);
        }
    }

    fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let inner = &mut self.inner;
        let mut poll = |cx: &mut Context<'_>| Pin::new(&mut *inner).poll_frame(cx);
        match &mut self.driven {
            Some((link, _)) => link.poll(cx, poll),
            None => poll(cx),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.stop.is_now() {
            let failure = Failure::new(FailureKind::Cancelled).with_detail("the proxy stops");
            return Poll::Ready(Some(Err(failure.into())));
        }
        let frame = match ready!(self.poll_inner(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.driven = None;
                return Poll::Ready(Some(Err(error.into())));
            }
            None => {
                self.let_go();
                return Poll::Ready(None);
            }
        };
        // Nothing comes after trailers, and who has got them may not ask.
        if frame.is_trailers() || self.inner.is_end_stream() {
            self.let_go();
        }
        if let (Some(ticket), Some(data)) = (&self.ticket, frame.data_ref()) {
            if let Err(full) = ticket.hold_answer(data.len()) {
                return Poll::Ready(Some(Err(Failure::from(full).into())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
