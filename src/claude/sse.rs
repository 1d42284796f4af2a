//! An incremental splitter that tells where the events of a Claude stream end, without keeping them.
//!
//! Whoever forwards a stream must know three things about it: where an event ends (so that half an event is never passed
//! on), what it is (so that a stream that merely stops is told from one that finished), and whether its data arrived in
//! one piece. All three are decided here, from the bytes as they arrive, in one pass and in constant space: chunk
//! boundaries may fall anywhere, the bytes themselves stay with the caller.
//!
//! # Rules
//!
//! * Lines end with LF, CRLF or a lone CR, an event ends with a blank line, and a byte order mark at the very start is
//!   skipped, as the [event stream format] says. The last `event` field of an event names it; the name is compared as it is.
//! * A block with neither an `event` nor a `data` field (comments, `id`, `retry`) is no event, but it ends like one and may
//!   be forwarded like one.
//! * An event without a name is [`EventKind::Other`]: Claude names all of its events, and the official SDKs ignore those
//!   that have no name.
//! * Data is *whole* if it is one JSON object by its outline: it begins with `{`, and the brace that closes it is its
//!   last byte, with strings and escapes taken into account; what stands between is not parsed. That tells a cut at any
//!   byte. [`Splitter::with_full_parse`] parses it as well.
//! * Several `data` lines are one value, joined by a line feed.
//! * An event longer than the bound (1 MiB by default) is refused as soon as the bound is passed. Nothing of it was kept.
//!
//! [event stream format]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
//!
//! # Example
//!
//! ```
//! use tower_claude::claude::sse::{EventKind, Splitter};
//!
//! let mut splitter = Splitter::new();
//! let mut kinds = Vec::new();
//! let chunk = b"event: ping\ndata: {\"type\":\"ping\"}\n\nevent: message_st";
//! let whole = splitter.push(chunk, |event| kinds.push((event.kind, event.whole)))?;
//!
//! assert_eq!(kinds, [(EventKind::Ping, true)]);
//! assert_eq!(&chunk[whole..], b"event: message_st"); // half an event: keep it back
//! assert!(splitter.in_event());
//! # Ok::<(), tower_claude::claude::sse::EventTooLarge>(())
//! ```

mod delta;
mod event;
mod head;
#[cfg(test)]
mod tests;

pub use self::event::{EventKind, EventTooLarge, SseEvent};

use self::{
    delta::{Delta, Deltas},
    head::Head,
};
use super::outline::Outline;
use memchr::memchr2;
use std::num::NonZeroUsize;

/// Upper bound for one event unless [`Splitter::with_max_event`] says otherwise: 1 MiB.
///
/// The longest events of the API are deltas of a few KiB and tool results of some hundred.
pub const DEFAULT_MAX_EVENT: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);

/// How much of an `error` event's data is kept to be classified: 16 KiB.
pub const MAX_ERROR_DATA: usize = 16 << 10;

/// Splits a stream of chunks into events. See the [module docs](self).
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a stream, not the state of a machine"
)]
pub struct Splitter {
    max_event: NonZeroUsize,
    full_parse: bool,
    /// Bytes since the last blank line.
    block: usize,
    refused: bool,
    line: Line,
    head: Head,
    first_line: bool,
    after_cr: bool,
    kind: Option<EventKind>,
    has_data: bool,
    outline: Outline,
    /// Copy of the data, where it is needed: of an `error`, and of all events for the full parse.
    copy: Vec<u8>,
    /// Bytes that were searched, for the test that this is linear.
    #[cfg(test)]
    searched: usize,
}

/// What is known of the line that the last chunk left unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing yet: its start is in [`Head`].
    Head,
    /// A `data` line whose value has not begun: one space may still be dropped.
    DataStart,
    /// Inside the value of a `data` line.
    Data,
    /// A line that does not matter.
    Skip,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new() -> Self {
        Self {
            max_event: DEFAULT_MAX_EVENT,
            full_parse: false,
            block: 0,
            refused: false,
            line: Line::Head,
            head: Head::default(),
            first_line: true,
            after_cr: false,
            kind: None,
            has_data: false,
            outline: Outline::default(),
            copy: Vec::new(),
            #[cfg(test)]
            searched: 0,
        }
    }

    /// Refuses events longer than this many bytes, field names and line ends included. Default: [`DEFAULT_MAX_EVENT`].
    #[must_use]
    pub fn with_max_event(mut self, limit: NonZeroUsize) -> Self {
        self.max_event = limit;
        self
    }

    /// Parses the data of known events as JSON, instead of looking at its outline only. Default: `false`.
    ///
    /// Costs a copy of every event and the parse.
    #[must_use]
    pub fn with_full_parse(mut self, full_parse: bool) -> Self {
        self.full_parse = full_parse;
        self
    }

    /// Whether a block has begun whose blank line is still to come.
    pub fn in_event(&self) -> bool {
        self.block > 0
    }

    /// Takes the next chunk and reports every event that ends in it, in order.
    ///
    /// Returns the offset just after the last blank line in the chunk: bytes before it may be forwarded, those from there on
    /// are the start of an event that is not yet whole. 0 if nothing ended here.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`] once the unfinished event passes the bound. Events before it were reported.
    pub fn push(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>),
    ) -> Result<usize, EventTooLarge> {
        if self.refused {
            return Err(EventTooLarge {
                limit: self.max_event,
            });
        }
        let mut whole = 0;
        let mut rest = chunk;
        let mut deltas = Deltas::new();
        while let Some(&first) = rest.first() {
            if self.after_cr {
                self.after_cr = false;
                if first == b'\n' {
                    // The second half of a CRLF belongs to the line before it.
                    rest = rest.get(1..).unwrap_or_default();
                    if self.block == 0 {
                        whole = chunk.len() - rest.len();
                    }
                    continue;
                }
            }
            if first == b'e' && self.block == 0 && !self.full_parse {
                // The short way for the events that nearly all of a stream consists of.
                #[cfg(test)]
                self.searched(memchr::memchr_iter(b'\n', rest).nth(1), rest);
                match deltas.take(rest) {
                    Some(Delta::Whole(length)) => {
                        // Its blank line is no part of it, as below.
                        self.grow(length - 1)?;
                        rest = rest.get(length..).unwrap_or_default();
                        whole = chunk.len() - rest.len();
                        self.block = 0;
                        self.first_line = false;
                        on_event(SseEvent {
                            kind: EventKind::ContentBlockDelta,
                            end: whole,
                            whole: true,
                            error: &[],
                        });
                        continue;
                    }
                    Some(Delta::Begun { escaping }) => {
                        self.grow(rest.len())?;
                        self.begin_delta(escaping);
                        break;
                    }
                    None => {}
                }
            }
            let found = if first == b'\n' {
                Some(0)
            } else {
                memchr2(b'\n', b'\r', rest)
            };
            #[cfg(test)]
            self.searched(found, rest);
            let Some(at) = found else {
                self.grow(rest.len())?;
                self.part(rest);
                break;
            };
            let (line, after) = rest.split_at(at);
            self.after_cr = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
            if !line.is_empty() || !self.at_line_start() {
                self.grow(line.len() + 1)?;
                self.end_line(line);
                continue;
            }
            // A CR and LF in one chunk end an event together.
            if self.after_cr && rest.first() == Some(&b'\n') {
                self.after_cr = false;
                rest = rest.get(1..).unwrap_or_default();
            }
            whole = chunk.len() - rest.len();
            self.end_event(whole, &mut on_event);
        }
        Ok(whole)
    }

    #[cfg(test)]
    fn searched(&mut self, found: Option<usize>, bytes: &[u8]) {
        self.searched += found.unwrap_or(bytes.len());
    }

    fn at_line_start(&self) -> bool {
        self.line == Line::Head && self.head.is_empty()
    }

    fn grow(&mut self, by: usize) -> Result<(), EventTooLarge> {
        self.block = self.block.saturating_add(by);
        if self.block <= self.max_event.get() {
            return Ok(());
        }
        self.refused = true;
        self.copy = Vec::new();
        Err(EventTooLarge {
            limit: self.max_event,
        })
    }

    /// Goes on in the text of a delta, as if its first lines had been taken one by one.
    fn begin_delta(&mut self, escaping: bool) {
        self.kind = Some(EventKind::ContentBlockDelta);
        self.has_data = true;
        self.line = Line::Data;
        self.first_line = false;
        self.outline = Outline::in_string(2, escaping);
    }

    /// Takes a piece of a line whose end is not in this chunk.
    fn part(&mut self, piece: &[u8]) {
        match self.line {
            Line::Skip => {}
            Line::DataStart | Line::Data => self.value(piece),
            Line::Head => {
                let piece = self.head.fill(piece);
                // A copy, for it is read while `self` changes; 33 bytes, and only where a chunk ends.
                let head = self.head;
                let line = self.without_mark(head.bytes());
                if let Some(value) = line.strip_prefix(b"data:") {
                    self.begin_data();
                    self.value(value);
                    self.value(piece);
                } else if line.first() == Some(&b':') {
                    self.line = Line::Skip;
                } else if !piece.is_empty() {
                    // Longer than any name that matters.
                    self.field(line);
                    self.line = Line::Skip;
                }
            }
        }
    }

    /// Takes the last piece of a line, or all of it.
    fn end_line(&mut self, piece: &[u8]) {
        if self.at_line_start() {
            self.field(self.without_mark(piece));
        } else {
            self.part(piece);
            if self.line == Line::Head {
                let head = self.head;
                self.field(self.without_mark(head.bytes()));
            }
        }
        self.line = Line::Head;
        self.head.clear();
        self.first_line = false;
    }

    fn field(&mut self, line: &[u8]) {
        if let Some(value) = line.strip_prefix(b"data:") {
            self.begin_data();
            self.value(value);
        } else if let Some(name) = line.strip_prefix(b"event:") {
            self.kind = Some(EventKind::of(name.strip_prefix(b" ").unwrap_or(name)));
        } else if line == b"data" {
            self.begin_data();
        } else if line == b"event" {
            self.kind = Some(EventKind::Other);
        }
    }

    fn begin_data(&mut self) {
        if self.has_data {
            self.outline.line_feed();
            self.keep(b"\n");
        }
        self.has_data = true;
        self.line = Line::DataStart;
    }

    fn value(&mut self, mut piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if self.line == Line::DataStart {
            self.line = Line::Data;
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
        }
        self.outline.push(piece);
        self.keep(piece);
    }

    fn keep(&mut self, piece: &[u8]) {
        let limit = match self.kind {
            _ if self.full_parse => self.max_event.get(),
            // The name may still come, after the data.
            Some(EventKind::Error) | None => MAX_ERROR_DATA,
            Some(_) => return,
        };
        let room = limit.saturating_sub(self.copy.len());
        self.copy
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn end_event(&mut self, end: usize, on_event: &mut impl FnMut(SseEvent<'_>)) {
        self.block = 0;
        self.first_line = false;
        if self.kind.is_none() && !self.has_data {
            return;
        }
        let kind = self.kind.take().unwrap_or(EventKind::Other);
        let error = match kind {
            EventKind::Error => self.copy.get(..MAX_ERROR_DATA).unwrap_or(&self.copy),
            _ => &[],
        };
        let mut whole = self.outline.is_whole() || (kind == EventKind::Ping && !self.has_data);
        if whole && self.full_parse && self.has_data && kind.is_known() {
            whole = serde_json::from_slice::<serde_json::Value>(&self.copy).is_ok();
        }
        on_event(SseEvent {
            kind,
            end,
            whole,
            error,
        });
        self.has_data = false;
        self.outline = Outline::default();
        self.copy.clear();
    }

    /// The first line of a stream without its byte order mark; any other line as it is.
    fn without_mark<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if self.first_line => rest,
            _ => line,
        }
    }
}
