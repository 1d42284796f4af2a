//! Chunks of a body in their order, as they came.

use bytes::Bytes;
use std::{borrow::Cow, collections::VecDeque, fmt, mem};

/// So many chunks are kept as they come, however small.
const FREE: usize = 64;

/// Behind them, chunks shorter than this are put together: an event of single bytes would otherwise cost thirty times its
/// size.
const SMALL: usize = 512;

/// The length of what is put together.
const JOINED: usize = 4 * 1024;

/// A queue of chunks that allocates only from the second one on: most answers never hold more.
#[derive(Default)]
pub(super) struct Frames {
    first: Option<Bytes>,
    /// Apart, since bodies are moved from layer to layer.
    more: Option<Box<More>>,
    bytes: usize,
}

/// What is behind the first chunk.
#[derive(Default)]
struct More {
    chunks: VecDeque<Bytes>,
    /// Small chunks, behind all others.
    small: Vec<u8>,
}

impl More {
    fn push(&mut self, chunk: Bytes) {
        let joins = self.chunks.len() >= FREE || !self.small.is_empty();
        if joins && chunk.len() < SMALL {
            self.small.extend_from_slice(&chunk);
            if self.small.len() >= JOINED {
                self.flush();
            }
        } else {
            self.flush();
            self.chunks.push_back(chunk);
        }
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push_back(mem::take(&mut self.small).into());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.flush();
        }
        self.chunks.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.small.is_empty()
    }
}

impl Frames {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.bytes += chunk.len();
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.more.get_or_insert_default().push(chunk);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.first.take()?;
        self.bytes -= chunk.len();
        if let Some(more) = &mut self.more {
            self.first = more.pop();
        }
        Some(chunk)
    }

    /// Takes the chunk that is all there is.
    pub(super) fn take_only(&mut self) -> Option<Bytes> {
        match self.more {
            None => self.pop(),
            Some(_) => None,
        }
    }

    /// Moves all of `other` behind its own.
    pub(super) fn append(&mut self, other: &mut Self) {
        while let Some(chunk) = other.pop() {
            self.push(chunk);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes of data.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory, also of what a chunk itself takes: many small ones must not pass for little.
    pub(super) fn weight(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| more.chunks.len());
        self.bytes + more * size_of::<Bytes>()
    }

    /// The first bytes, at most `max`, in one piece. Copies only where they came in several.
    pub(super) fn start(&self, max: usize) -> Cow<'_, [u8]> {
        let first = self.first.as_deref().unwrap_or_default();
        let more = self.more.as_deref().filter(|more| !more.is_empty());
        let Some(more) = more.filter(|_| first.len() < max) else {
            return Cow::Borrowed(first.get(..max).unwrap_or(first));
        };
        let mut start = Vec::with_capacity(self.bytes.min(max));
        let chunks = more.chunks.iter().map(|chunk| &**chunk);
        for chunk in [first].into_iter().chain(chunks).chain([&*more.small]) {
            let room = max - start.len();
            start.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        }
        Cow::Owned(start)
    }

    /// The same, of which the rest is not wanted. A copy: a chunk, even a short one, may be a piece of far more, which it
    /// would keep alive.
    pub(super) fn into_start(self, max: usize) -> Bytes {
        self.start(max).into_owned().into()
    }
}

/// Not the text: it is somebody's.
impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&'static str]) -> Frames {
        let mut frames = Frames::default();
        for chunk in chunks {
            frames.push(Bytes::from_static(chunk.as_bytes()));
        }
        frames
    }

    #[test]
    fn chunks_come_out_in_the_order_they_went_in() {
        let mut all = frames(&["a", "", "bc"]);
        all.append(&mut frames(&["d", "e"]));
        assert_eq!(all.bytes(), 5);
        let out: Vec<Bytes> = std::iter::from_fn(|| all.pop()).collect();
        assert_eq!(out, ["a", "bc", "d", "e"]);
        assert!(all.is_empty());
        assert_eq!((all.bytes(), all.weight()), (0, 0));
    }

    #[test]
    fn the_only_chunk_is_taken_where_there_is_no_other() {
        assert_eq!(frames(&[]).take_only(), None);
        let mut one = frames(&["abc"]);
        assert_eq!(one.take_only().unwrap(), "abc");
        assert!(one.is_empty());
        assert_eq!(one.bytes(), 0);
        let mut two = frames(&["a", "b"]);
        assert_eq!(two.take_only(), None);
        assert_eq!(two.bytes(), 2);
    }

    #[test]
    fn the_start_is_joined_up_to_a_bound() {
        for (chunks, max, start) in [
            (&[][..], 9, ""),
            (&["abc"], 2, "ab"),
            (&["abc"], 9, "abc"),
            (&["abc", "d"], 3, "abc"),
            (&["ab", "cd", "ef"], 5, "abcde"),
            (&["ab", "cd"], 9, "abcd"),
        ] {
            assert_eq!(&*frames(chunks).start(max), start.as_bytes());
            assert_eq!(frames(chunks).into_start(max), start);
        }
    }

    #[test]
    fn the_start_keeps_nothing_else_alive() {
        for (len, max) in [(100, 10), (10, 100)] {
            let chunk = Bytes::from(vec![1; 1 << 20]).slice(..len);
            let mut frames = Frames::default();
            frames.push(chunk.clone());
            let start = frames.into_start(max);
            assert_eq!(start, chunk[..10]);
            assert!(chunk.is_unique(), "{len} bytes, of which {max} are kept");
        }
    }

    #[test]
    fn very_many_small_chunks_cost_little_more_than_their_bytes_and_keep_their_order() {
        let all: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut frames = Frames::default();
        let mut out = Vec::new();
        let mut popped = 0;
        for (n, part) in all.chunks(3).enumerate() {
            frames.push(Bytes::copy_from_slice(part));
            if n % 7_000 == 6_999 {
                // From a queue that is never empty.
                out.extend_from_slice(&frames.pop().unwrap());
                popped += 1;
            }
        }
        let left = all.len() - out.len();
        assert_eq!(frames.bytes(), left);
        assert!(frames.weight() < left + left / 8, "{}", frames.weight());
        assert_eq!(&*frames.start(left), &all[out.len()..]);
        frames.push(Bytes::from(vec![9; SMALL]));
        let mut moved = Frames::default();
        moved.append(&mut frames);
        while let Some(chunk) = moved.pop() {
            out.extend_from_slice(&chunk);
            popped += 1;
        }
        assert_eq!(out, [all, vec![9; SMALL]].concat());
        assert!(popped < 150, "{popped}");
    }

    #[test]
    fn many_small_chunks_weigh_more_than_their_bytes() {
        assert_eq!(frames(&["a"]).weight(), 1);
        assert_eq!(frames(&["a", "b"]).weight(), 2 + size_of::<Bytes>());
    }
}
