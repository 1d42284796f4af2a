//! The body of an answer: the inner service's, with a copy for the cache, or one of ours.

use super::tee::Tee;
use crate::{
    body::{AnswerBody, TakeWhole},
    error::BoxError,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The body of an answer. See the [module docs](super).
    #[derive(Debug)]
    pub struct DegradeBody<B> {
        #[pin]
        body: AnswerBody<B>,
        // Boxed, for a body is moved through every layer, and most answers are not kept.
        pub(super) tee: Option<Box<Tee>>,
    }
}

impl<B> DegradeBody<B> {
    pub(super) fn inner(body: B, tee: Option<Box<Tee>>) -> Self {
        Self {
            body: AnswerBody::inner(body),
            tee,
        }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        Self {
            body: AnswerBody::own(bytes),
            tee: None,
        }
    }
}

impl<B> Body for DegradeBody<B>
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
        let mut this = self.project();
        let polled = ready!(this.body.as_mut().poll_frame(cx));
        let Some(tee) = this.tee else {
            return Poll::Ready(polled);
        };
        let keeps = match &polled {
            Some(Ok(frame)) => frame.data_ref().is_none_or(|data| tee.push(data)),
            Some(Err(_)) => false,
            None => true,
        };
        if !keeps {
            *this.tee = None;
        }
        // The last frame may never be followed by a poll that would say `None`.
        if polled.is_none() || this.body.is_end_stream() {
            if let Some(tee) = this.tee.take() {
                tee.finish();
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One that came in one piece is copied at once, whether or not its caller reads it.
impl<B: TakeWhole> TakeWhole for DegradeBody<B> {
    fn take_whole(&mut self) -> Option<Bytes> {
        let whole = self.body.take_whole()?;
        if let Some(mut tee) = self.tee.take() {
            if tee.push(&whole) {
                tee.finish();
            }
        }
        Some(whole)
    }
}
