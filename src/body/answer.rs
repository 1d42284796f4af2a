//! The body of an answer that may be the inner service's or one of ours.

use super::TakeWhole;
use crate::error::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The inner service's body, or bytes in its place. Its length is known where theirs is.
    ///
    /// `Debug` prints lengths only, since answers hold what was said to people.
    pub struct AnswerBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProj]
    enum Source<B> {
        Inner { #[pin] body: B },
        // Never empty.
        Own { bytes: Option<Bytes> },
    }
}

impl<B> AnswerBody<B> {
    /// The inner service's.
    pub(crate) fn inner(body: B) -> Self {
        Self {
            source: Source::Inner { body },
        }
    }

    /// One of ours.
    pub(crate) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            source: Source::Own { bytes },
        }
    }
}

impl<B> Body for AnswerBody<B>
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
        match self.project().source.project() {
            SourceProj::Inner { body } => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            SourceProj::Own { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Inner { body } => body.is_end_stream(),
            Source::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Inner { body } => body.size_hint(),
            Source::Own { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
        }
    }
}

impl<B: TakeWhole> TakeWhole for AnswerBody<B> {
    fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.source {
            Source::Inner { body } => body.take_whole(),
            Source::Own { bytes } => bytes.take(),
        }
    }
}

impl<B> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = match &self.source {
            Source::Inner { .. } => None,
            Source::Own { bytes } => Some(bytes.as_ref().map_or(0, Bytes::len)),
        };
        f.debug_struct("AnswerBody")
            .field("own", &own)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    type Either = AnswerBody<Full<Bytes>>;

    #[tokio::test]
    async fn both_know_their_length_and_their_end() {
        for mut body in [
            Either::inner(Full::new(Bytes::from("abc"))),
            Either::own(Bytes::from("abc")),
        ] {
            assert_eq!(body.size_hint().exact(), Some(3));
            assert!(!body.is_end_stream());
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "abc");
            assert!(body.is_end_stream());
            assert_eq!(body.size_hint().exact(), Some(0));
            assert!(body.frame().await.is_none());
        }
    }

    #[test]
    fn debug_prints_no_text() {
        let body = Either::own(Bytes::from("my diary"));
        assert_eq!(format!("{body:?}"), "AnswerBody { own: Some(8), .. }");
    }

    #[tokio::test]
    async fn nothing_of_ours_is_an_empty_body() {
        let mut body = Either::own(Bytes::new());
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }
}
