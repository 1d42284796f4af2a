//! An answer as it is read: chunks in, what may be passed on out. The same before its commit and after.

use super::{
    events::{self, Events},
    fault::Fault,
    frames::Frames,
    hold::Over,
};
use crate::{claude::outline::Outline, error::BoxError};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// How much may follow `message_stop` before the rest is not waited for.
const MAX_REST: usize = 64 << 10;

/// A body and what has been read of it.
#[derive(Debug)]
pub(super) struct Source<RB> {
    /// Dropped as soon as there is nothing more to read.
    inner: Option<RB>,
    content: Content,
    /// Boxed, as what few answers have: bodies and the futures that hold them are moved from layer to layer.
    pub(super) trailers: Option<Box<HeaderMap>>,
}

#[derive(Debug)]
enum Content {
    /// A stream. `rest`: bytes that came after its `message_stop`.
    Events {
        events: Box<Events>,
        rest: Option<usize>,
    },
    /// Anything else.
    Chunks(Chunks),
}

/// An answer that is no stream.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// The length its head announced.
    announced: Option<u64>,
    received: u64,
    /// Where it must be a whole JSON object.
    outline: Option<Outline>,
    out: Frames,
}

impl Chunks {
    /// An answer of this length, which is a JSON object if `object`.
    pub(super) fn new(announced: Option<u64>, object: bool) -> Self {
        Self {
            announced,
            outline: object.then(Outline::default),
            ..Self::default()
        }
    }

    fn take(&mut self, chunk: Bytes) {
        self.received += chunk.len() as u64;
        if let Some(outline) = &mut self.outline {
            outline.push(&chunk);
        }
        self.out.push(chunk);
    }

    fn is_cut(&self) -> bool {
        self.announced.is_some_and(|length| self.received < length)
            || self.outline.is_some_and(|outline| !outline.is_whole())
    }
}

/// What reading on has brought.
#[derive(Debug)]
pub(super) enum Read {
    /// More of it. `alive`: and that was a sign of life.
    More { alive: bool },
    /// The end of it.
    Complete,
    /// A fault, and nothing more.
    Broken(Fault),
}

impl<RB> Source<RB> {
    pub(super) fn events(inner: RB, events: Events) -> Self {
        let events = Box::new(events);
        Self::new(Some(inner), Content::Events { events, rest: None })
    }

    pub(super) fn chunks(inner: RB, chunks: Chunks) -> Self {
        Self::new(Some(inner), Content::Chunks(chunks))
    }

    /// All of it is here.
    pub(super) fn owned(bytes: Bytes) -> Self {
        let mut chunks = Chunks::default();
        chunks.take(bytes);
        Self::new(None, Content::Chunks(chunks))
    }

    fn new(inner: Option<RB>, content: Content) -> Self {
        Self {
            inner,
            content,
            trailers: None,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.content, Content::Events { .. })
    }

    /// Whether `message_start` came.
    pub(super) fn has_started(&self) -> bool {
        matches!(&self.content, Content::Events { events, .. } if events.hold.has_started())
    }

    /// Whether its content commits it.
    pub(super) fn is_committed(&self) -> bool {
        matches!(&self.content, Content::Events { events, .. } if events.hold.is_committed())
    }

    pub(super) fn commit(&mut self) {
        if let Content::Events { events, .. } = &mut self.content {
            events.hold.commit();
        }
    }

    /// Whether `message_stop` came.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.content, Content::Events { rest: Some(_), .. })
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.is_none()
    }

    /// Reads no more: drops the body.
    pub(super) fn close(&mut self) {
        self.inner = None;
    }

    /// What may be passed on.
    pub(super) fn out(&mut self) -> &mut Frames {
        match &mut self.content {
            Content::Events { events, .. } => &mut events.out,
            Content::Chunks(chunks) => &mut chunks.out,
        }
    }

    pub(super) fn has_out(&self) -> bool {
        match &self.content {
            Content::Events { events, .. } => !events.out.is_empty(),
            Content::Chunks(chunks) => !chunks.out.is_empty(),
        }
    }

    /// Whether it is the start of an error object, of which no more than `max` bytes have come: it is judged when it is whole.
    pub(super) fn may_yet_be_error(&self, max: usize) -> bool {
        let Content::Chunks(chunks) = &self.content else {
            return false;
        };
        let is_half = chunks.outline.is_some_and(|outline| !outline.is_whole());
        is_half && chunks.out.bytes() < max && begins_an_error(&chunks.out.start(64))
    }

    /// What is left of it, where all of it was read.
    pub(super) fn into_whole(self) -> (Frames, Option<Box<HeaderMap>>) {
        let out = match self.content {
            Content::Events { events, .. } => events.out,
            Content::Chunks(chunks) => chunks.out,
        };
        (out, self.trailers)
    }

    /// How much is held: memory of a stream, whose events may be many and small; bytes of anything else, in few pieces.
    pub(super) fn held(&self) -> usize {
        match &self.content {
            Content::Events { events, .. } => events.weight(),
            Content::Chunks(chunks) => chunks.out.bytes(),
        }
    }

    fn take(&mut self, chunk: Bytes) -> Read {
        let (events, rest) = match &mut self.content {
            Content::Events { events, rest } => (events, rest),
            Content::Chunks(chunks) => {
                chunks.take(chunk);
                return Read::More { alive: true };
            }
        };
        if let Some(rest) = rest {
            // An answer ends with its `message_stop`. The end of the body is read for the sake of the connection only.
            *rest += chunk.len();
            if *rest == chunk.len() {
                events.take_line_end(chunk);
            }
            return if *rest > MAX_REST {
                Read::Complete
            } else {
                Read::More { alive: false }
            };
        }
        let taken = events.take(chunk);
        match taken.over {
            None => Read::More { alive: taken.alive },
            Some(events::Ended::By(Over::Stop)) => {
                *rest = Some(taken.behind);
                Read::More { alive: true }
            }
            Some(ended) => Read::Broken(Fault::from(ended)),
        }
    }

    fn ended(&self, error: Option<BoxError>) -> Read {
        let is_whole = match &self.content {
            Content::Events { rest, .. } => rest.is_some(),
            Content::Chunks(chunks) => error.is_none() && !chunks.is_cut(),
        };
        if is_whole {
            Read::Complete
        } else {
            Read::Broken(Fault::Cut(error))
        }
    }
}

/// Whether a JSON text begins as the API writes errors, as far as it is here. A message has another type.
fn begins_an_error(start: &[u8]) -> bool {
    let mut error = br#"{"type":"error""#.iter();
    start
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .all(|byte| error.next().is_none_or(|wanted| wanted == byte))
}

impl<RB> Source<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(Read::Complete);
        };
        let polled = ready!(Pin::new(&mut *inner).poll_frame(cx));
        // The last frame may never be followed by a poll that would say `None`.
        let is_last = inner.is_end_stream();
        let mut read = match polled {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => self.take(chunk),
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok().map(Box::new);
                    Read::More { alive: true }
                }
            },
            Some(Err(error)) => self.ended(Some(error.into())),
            None => self.ended(None),
        };
        if is_last && matches!(read, Read::More { .. }) {
            read = self.ended(None);
        }
        self.close_after(&read);
        Poll::Ready(read)
    }

    /// The end of a body that is known to be empty before it is read.
    pub(super) fn read_empty(&mut self) -> Option<Read> {
        let is_empty = self.inner.as_ref().is_some_and(Body::is_end_stream);
        let read = is_empty.then(|| self.ended(None))?;
        self.close_after(&read);
        Some(read)
    }

    fn close_after(&mut self, read: &Read) {
        match read {
            Read::More { .. } => {}
            Read::Complete => self.close(),
            Read::Broken(_) => {
                self.close();
                self.trailers = None;
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let held = match &self.content {
            Content::Events { events, .. } => events.out.bytes(),
            Content::Chunks(chunks) => chunks.out.bytes(),
        };
        let held = held as u64;
        match (&self.inner, &self.content) {
            (None, _) => SizeHint::with_exact(held),
            // What will be kept back or added is not known.
            (Some(_), Content::Events { .. }) => SizeHint::default(),
            (Some(inner), Content::Chunks(_)) => {
                let inner = inner.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(inner.lower().saturating_add(held));
                if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(held)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}
