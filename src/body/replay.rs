//! A request body that is there whole and can be sent again for the price of a reference count.
//!
//! A retry and a fallback send the same bytes again, and a body that is read from a socket can be
//! read only once. [`ReplayBody`] keeps its bytes in the segments in which they came: nothing is
//! copied together, and a clone shares them. Its length is known, so it goes out with a
//! `content-length`, and it has no trailers, because the Messages API knows none.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http_body::Body;
//! use tower_claude::body::replay::ReplayBody;
//!
//! let body = ReplayBody::from(vec![Bytes::from("{\"model\":"), Bytes::from("\"m\"}")]);
//! let again = body.clone();
//! assert_eq!(body.size_hint().exact(), Some(13));
//! assert_eq!(again.to_bytes(), "{\"model\":\"m\"}");
//! ```
//!
//! # Clone
//!
//! A clone goes on where its original stands: of a body that nobody has polled, it starts at the
//! beginning. [`rewound`](ReplayBody::rewound) starts there in any case.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body of segments that are shared by its clones; see the [module docs](self).
///
/// `Debug` prints lengths only, since requests hold what people wrote.
#[derive(Clone, Default)]
pub struct ReplayBody {
    segments: Segments,
    /// The segment that the next poll gives out.
    next: usize,
    /// The length of all segments.
    len: u64,
    /// The bytes that were not given out yet.
    left: u64,
}

/// No segment is empty.
#[derive(Clone, Default)]
enum Segments {
    #[default]
    None,
    /// Kept inline: the usual request costs no allocation of its own.
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl ReplayBody {
    /// The whole body in the segments in which it came, however much of it was read.
    pub fn segments(&self) -> &[Bytes] {
        match &self.segments {
            Segments::None => &[],
            Segments::One(segment) => std::slice::from_ref(segment),
            Segments::Many(segments) => segments,
        }
    }

    /// The length of the whole body in bytes, however much of it was read.
    pub fn len(&self) -> u64 {
        self.segments()
            .iter()
            .map(|segment| segment.len() as u64)
            .sum()
    }

    /// Whether the whole body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the other stands at the same place of the same bytes, not of equal ones elsewhere.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.segments(), other.segments());
        let mut pairs = ours.iter().zip(theirs);
        self.next == other.next
            && ours.len() == theirs.len()
            && pairs.all(|(one, other)| one.as_ptr_range() == other.as_ptr_range())
    }

    /// The same body from its beginning.
    #[must_use]
    pub fn rewound(&self) -> Self {
        Self {
            segments: self.segments.clone(),
            next: 0,
            len: self.len,
            left: self.len,
        }
    }

    /// The whole body in one piece, however much of it was read; copies only if it has several.
    pub fn to_bytes(&self) -> Bytes {
        match &self.segments {
            Segments::None => Bytes::new(),
            Segments::One(segment) => segment.clone(),
            Segments::Many(segments) => segments.concat().into(),
        }
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(segment) = self.segments().get(self.next).cloned() else {
            return Poll::Ready(None);
        };
        self.next += 1;
        self.left -= segment.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(segment))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.segments().len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl From<Bytes> for ReplayBody {
    fn from(segment: Bytes) -> Self {
        if segment.is_empty() {
            return Self::default();
        }
        let len = segment.len() as u64;
        Self {
            segments: Segments::One(segment),
            next: 0,
            len,
            left: len,
        }
    }
}

impl From<Vec<Bytes>> for ReplayBody {
    /// Empty segments are left out.
    fn from(mut segments: Vec<Bytes>) -> Self {
        segments.retain(|segment| !segment.is_empty());
        if segments.len() < 2 {
            return segments.pop().map(Self::from).unwrap_or_default();
        }
        let len = segments.iter().map(|segment| segment.len() as u64).sum();
        Self {
            segments: Segments::Many(segments.into()),
            next: 0,
            len,
            left: len,
        }
    }
}

impl From<&'static str> for ReplayBody {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for ReplayBody {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for ReplayBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for ReplayBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("segments", &self.segments().len())
            .field("len", &self.len)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn parts(all: &[&'static str]) -> ReplayBody {
        all.iter()
            .map(|part| Bytes::from_static(part.as_bytes()))
            .collect::<Vec<_>>()
            .into()
    }

    async fn next(body: &mut ReplayBody) -> Option<Bytes> {
        body.frame()
            .await
            .map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn segments_come_as_they_were_given_without_the_empty_ones() {
        let mut body = parts(&["ab", "", "c", "", "def"]);
        assert_eq!((body.len(), body.segments().len()), (6, 3));
        for (left, part) in [(6, "ab"), (4, "c"), (3, "def")] {
            assert_eq!(body.size_hint().exact(), Some(left));
            assert!(!body.is_end_stream());
            assert_eq!(next(&mut body).await.unwrap(), part);
        }
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(next(&mut body).await, None);
        assert_eq!(next(&mut body).await, None);
        assert_eq!(body.to_bytes(), "abcdef", "the whole is still there");
    }

    #[tokio::test]
    async fn a_clone_shares_the_bytes_and_goes_on_where_its_original_stands() {
        let mut body = parts(&["ab", "c"]);
        let unread = body.clone();
        assert_eq!(next(&mut body).await.unwrap(), "ab");
        let mut read = body.clone();
        assert_eq!(next(&mut read).await.unwrap(), "c");
        assert_eq!(body.rewound().collect().await.unwrap().to_bytes(), "abc");
        for (ours, theirs) in unread.segments().iter().zip(body.segments()) {
            assert_eq!(ours.as_ptr(), theirs.as_ptr());
        }
        assert_eq!(unread.collect().await.unwrap().to_bytes(), "abc");
    }

    #[test]
    fn one_segment_is_given_back_without_a_copy() {
        let bytes = Bytes::from(vec![b'x'; 100]);
        let body = ReplayBody::from(vec![Bytes::new(), bytes.clone()]);
        assert_eq!(body.to_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(body.segments(), [bytes]);
    }

    #[test]
    fn nothing_is_an_empty_body() {
        for body in [
            ReplayBody::default(),
            "".into(),
            String::new().into(),
            Vec::<u8>::new().into(),
            parts(&["", ""]),
        ] {
            assert!(body.is_empty() && body.is_end_stream());
            assert_eq!((body.len(), body.size_hint().exact()), (0, Some(0)));
            assert!(body.to_bytes().is_empty());
        }
    }

    #[test]
    fn debug_prints_lengths_and_no_content() {
        let body = ReplayBody::from("my diary");
        assert_eq!(
            format!("{body:?}"),
            "ReplayBody { segments: 1, len: 8, left: 8, .. }"
        );
    }
}
