//! The part of a request body that decides its answer: all of it but white space between tokens and the top-level
//! `stream`.
//!
//! One pass over the segments as they are; what is kept is handed on as slices of them, as long as they can be: a compact
//! body without `stream` is one. The order of keys and the spelling of strings and numbers stay as they are, so two
//! spellings of one request may differ here, but two different requests never agree. That holds for malformed bodies too:
//! white space that parts two numbers or names is kept as one space, and what is no object at the top level has no
//! canonical form.

use crate::claude::request::close_of;
use bytes::Bytes;
use std::ops::Range;

/// The key that is left out, after its opening quote.
const STREAM: &[u8] = b"stream\"";

/// Gives the canonical form of a body to `emit`, piece by piece: its members, each with a comma at its end. `None`: it has
/// none.
pub(super) fn canonical(segments: &[Bytes], emit: impl FnMut(&[u8])) -> Option<()> {
    let mut scan = Scan {
        emit,
        segment: &[],
        run: 0..0,
        at: At::Start,
        depth: 0,
        escaped: false,
        dropped: false,
        last: Last::Other,
    };
    for segment in segments {
        scan.segment = segment;
        scan.run = 0..0;
        let mut from = 0;
        while let Some(rest @ [_, ..]) = segment.get(from..) {
            from += scan.step(from, rest)?;
        }
        scan.flush();
    }
    matches!(scan.at, At::End).then_some(())
}

#[derive(Clone, Copy)]
enum At {
    /// Before the object.
    Start,
    /// After `{`.
    FirstKey,
    /// After a top-level comma.
    NextKey,
    /// Within a key that is `stream` so far, for so many bytes.
    MaybeStream(usize),
    /// Within any other key.
    Key,
    /// After a key.
    Colon,
    /// Within a value, at any depth.
    Value,
    /// Within a string of a value.
    Text,
    /// After the object.
    End,
}

struct Scan<'a, F> {
    emit: F,
    segment: &'a [u8],
    /// What was kept of the segment and is not handed on yet.
    run: Range<usize>,
    at: At,
    /// Open brackets of the value.
    depth: usize,
    /// The next byte of a string is escaped by a backslash.
    escaped: bool,
    /// This member is left out.
    dropped: bool,
    last: Last,
}

/// What came last in a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A byte of a number or a name.
    Scalar,
    /// White space after one.
    ScalarAndSpace,
    Other,
}

impl<F: FnMut(&[u8])> Scan<'_, F> {
    /// Takes the start of `rest`, which is not empty and lies `from` so far in the segment; says how much of it. `None`:
    /// malformed.
    fn step(&mut self, from: usize, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self.at {
            At::MaybeStream(_) | At::Key | At::Text => Some(self.string(from, rest)),
            _ if is_space(first) => {
                if self.last == Last::Scalar {
                    self.last = Last::ScalarAndSpace;
                }
                Some(1)
            }
            At::Value => self.value(from, rest),
            _ => {
                self.at = match (self.at, first) {
                    (At::Start, b'{') => At::FirstKey,
                    (At::FirstKey, b'}') => At::End,
                    (At::FirstKey | At::NextKey, b'"') => At::MaybeStream(0),
                    (At::Colon, b':') => {
                        self.keep(from..from + 1);
                        self.last = Last::Other;
                        At::Value
                    }
                    _ => return None,
                };
                Some(1)
            }
        }
    }

    /// The rest of a string, as far as it is here.
    fn string(&mut self, from: usize, rest: &[u8]) -> usize {
        let close = close_of(rest, &mut self.escaped);
        let used = close.unwrap_or(rest.len());
        let mut kept = from..from + used;
        if let At::MaybeStream(matched) = self.at {
            let (before, wanted) = STREAM.split_at(matched);
            if wanted.starts_with(rest.get(..used).unwrap_or_default()) {
                self.dropped = close.is_some();
                self.at = if self.dropped {
                    At::Colon
                } else {
                    At::MaybeStream(matched + used)
                };
                return used;
            }
            self.dropped = false;
            if from > 0 {
                // With its quote.
                kept.start -= 1;
            } else {
                self.insert(b"\"");
                self.insert(before);
            }
            self.at = At::Key;
        }
        self.keep(kept);
        if close.is_some() {
            self.at = if matches!(self.at, At::Key) {
                At::Colon
            } else {
                At::Value
            };
        }
        used
    }

    /// A value up to the next white space, quote, or its end.
    fn value(&mut self, from: usize, rest: &[u8]) -> Option<usize> {
        let scalar = rest.first().copied().is_some_and(is_scalar);
        if scalar && self.last == Last::ScalarAndSpace {
            self.insert(b" ");
        }
        for (at, &byte) in rest.iter().enumerate() {
            let (used, kept, next) = match byte {
                _ if is_space(byte) => (at, at, At::Value),
                b'"' => (at + 1, at + 1, At::Text),
                b',' if self.depth == 0 => (at + 1, at + 1, At::NextKey),
                b'}' if self.depth == 0 => (at + 1, at, At::End),
                b']' if self.depth == 0 => return None,
                _ => {
                    match byte {
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth -= 1,
                        _ => {}
                    }
                    self.last = if is_scalar(byte) {
                        Last::Scalar
                    } else {
                        Last::Other
                    };
                    continue;
                }
            };
            self.keep(from..from + kept);
            match next {
                At::Text => self.last = Last::Other,
                At::End => self.insert(b","),
                _ => {}
            }
            self.at = next;
            return Some(used);
        }
        self.keep(from..from + rest.len());
        Some(rest.len())
    }

    /// Keeps a part of the segment.
    fn keep(&mut self, part: Range<usize>) {
        if self.dropped || part.is_empty() {
            return;
        }
        if self.run.end != part.start {
            self.flush();
            self.run.start = part.start;
        }
        self.run.end = part.end;
    }

    /// Puts in what does not stand there.
    fn insert(&mut self, part: &[u8]) {
        if !self.dropped && !part.is_empty() {
            self.flush();
            (self.emit)(part);
        }
    }

    /// Hands on what was kept.
    fn flush(&mut self) {
        let run = self.segment.get(self.run.clone()).unwrap_or_default();
        if !run.is_empty() {
            (self.emit)(run);
        }
        self.run.start = self.run.end;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether the byte belongs to a number or a name, so that white space beside it may mean something.
fn is_scalar(byte: u8) -> bool {
    !matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"')
}

#[cfg(test)]
mod tests;
