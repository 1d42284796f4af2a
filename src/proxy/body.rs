//! The body of an answer of the proxy.

use super::{limits::Ticket, pass::PassBody, upstream::UpstreamBody};
use crate::{error::BoxError, stack::ResilientBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

type StackBody = ResilientBody<UpstreamBody>;

pin_project! {
    /// The body of an answer: of the stack, passed through, or of the proxy itself. Its call is in flight until it has
    /// ended or is dropped.
    pub struct ProxyBody {
        #[pin]
        source: Source,
        // Gone with the last frame.
        ticket: Option<Arc<Ticket>>,
        // Bytes that the caller is given and that are held all the same.
        kept: u64,
    }
}

pin_project! {
    #[project = SourceProj]
    enum Source {
        Stack { #[pin] body: StackBody },
        Pass { #[pin] body: PassBody },
        // Never empty.
        Own { bytes: Option<Bytes> },
    }
}

impl ProxyBody {
    /// Of the answer so many bytes are kept until it is whole, for a cache.
    pub(super) fn stack(body: StackBody, ticket: Option<Arc<Ticket>>, kept: u64) -> Self {
        Self {
            source: Source::Stack { body },
            ticket,
            kept,
        }
    }

    pub(super) fn pass(body: PassBody, ticket: Option<Arc<Ticket>>) -> Self {
        Self {
            source: Source::Pass { body },
            ticket,
            kept: 0,
        }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            source: Source::Own { bytes },
            ticket: None,
            kept: 0,
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(match this.source.project() {
            SourceProj::Stack { body } => body.poll_frame(cx),
            SourceProj::Pass { body } => body.poll_frame(cx),
            SourceProj::Own { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        });
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(ticket), Some(data)) = (&this.ticket, frame.data_ref()) {
                    let given = data.len() as u64;
                    let kept = given.min(*this.kept);
                    *this.kept -= kept;
                    ticket.release(given - kept);
                }
            }
            Some(Err(_)) | None => *this.ticket = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stack { body } => body.is_end_stream(),
            Source::Pass { body } => body.is_end_stream(),
            Source::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stack { body } => body.size_hint(),
            Source::Pass { body } => body.size_hint(),
            Source::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
        }
    }
}

impl fmt::Debug for ProxyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyBody").finish_non_exhaustive()
    }
}
