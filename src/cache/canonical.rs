//! The part of a request body that decides its answer: all of it but white space between tokens and the top-level
//! `stream`.
//!
//! One pass over the segments as they are; what is kept is handed on as slices of them. The order of keys and the
//! spelling of strings and numbers stay as they are, so two spellings of one request may differ here, but two different
//! requests never agree. That holds for malformed bodies too: white space that parts two numbers or names is kept as one
//! space, and what is no object at the top level has no canonical form.

use crate::claude::request::close_of;
use bytes::Bytes;

/// The key that is left out, after its opening quote.
const STREAM: &[u8] = b"stream\"";

/// Gives the canonical form of a body to `emit`, piece by piece. `None`: it has none.
pub(super) fn canonical(segments: &[Bytes], emit: impl FnMut(&[u8])) -> Option<()> {
    let mut scan = Scan {
        emit,
        at: At::Start,
        depth: 0,
        escaped: false,
        dropped: false,
        last: Last::Other,
    };
    for segment in segments {
        let mut rest: &[u8] = segment;
        while !rest.is_empty() {
            let used = scan.step(rest)?;
            rest = rest.get(used..)?;
        }
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

struct Scan<F> {
    emit: F,
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

impl<F: FnMut(&[u8])> Scan<F> {
    /// Takes the start of `rest`, which is not empty; says how much of it. `None`: malformed.
    fn step(&mut self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self.at {
            At::MaybeStream(_) | At::Key | At::Text => Some(self.string(rest)),
            _ if is_space(first) => {
                if self.last == Last::Scalar {
                    self.last = Last::ScalarAndSpace;
                }
                Some(1)
            }
            At::Value => self.value(rest),
            _ => {
                self.at = match (self.at, first) {
                    (At::Start, b'{') => At::FirstKey,
                    (At::FirstKey, b'}') => At::End,
                    (At::FirstKey | At::NextKey, b'"') => At::MaybeStream(0),
                    (At::Colon, b':') => {
                        self.keep(b":");
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
    fn string(&mut self, rest: &[u8]) -> usize {
        let close = close_of(rest, &mut self.escaped);
        let used = close.unwrap_or(rest.len());
        let part = rest.get(..used).unwrap_or_default();
        if let At::MaybeStream(matched) = self.at {
            let (before, wanted) = STREAM.split_at(matched);
            if wanted.starts_with(part) {
                self.dropped = close.is_some();
                self.at = if self.dropped {
                    At::Colon
                } else {
                    At::MaybeStream(matched + used)
                };
                return used;
            }
            self.dropped = false;
            self.keep(b",\"");
            self.keep(before);
            self.at = At::Key;
        }
        self.keep(part);
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
    fn value(&mut self, rest: &[u8]) -> Option<usize> {
        let scalar = rest.first().copied().is_some_and(is_scalar);
        if scalar && self.last == Last::ScalarAndSpace {
            self.keep(b" ");
        }
        for (at, &byte) in rest.iter().enumerate() {
            let next = match byte {
                _ if is_space(byte) => Some((at, At::Value)),
                b'"' => Some((at + 1, At::Text)),
                b',' if self.depth == 0 => Some((at, At::NextKey)),
                b'}' if self.depth == 0 => Some((at, At::End)),
                b']' if self.depth == 0 => return None,
                b'{' | b'[' => {
                    self.depth += 1;
                    None
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    None
                }
                _ => None,
            };
            let Some((end, next)) = next else {
                self.last = if is_scalar(byte) {
                    Last::Scalar
                } else {
                    Last::Other
                };
                continue;
            };
            self.keep(rest.get(..end)?);
            match next {
                At::Text => self.last = Last::Other,
                // The byte that ends the member is neither part of it nor needed: each member begins with a comma.
                At::NextKey | At::End => {
                    self.at = next;
                    return Some(at + 1);
                }
                _ => {}
            }
            self.at = next;
            return Some(end);
        }
        self.keep(rest);
        Some(rest.len())
    }

    fn keep(&mut self, part: &[u8]) {
        if !self.dropped && !part.is_empty() {
            (self.emit)(part);
        }
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
