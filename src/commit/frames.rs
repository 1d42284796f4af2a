//! Chunks of a body in their order, as they came.

use bytes::Bytes;
use std::{borrow::Cow, collections::VecDeque};

/// Pieces of an unfinished event that are kept as they come. Further ones are joined where they are small, for each costs
/// four words besides its bytes, and may pin the buffer it was read into.
const FREE: usize = 64;

/// A queue of chunks that allocates only from the second one on: most answers never hold more.
#[derive(Debug, Default)]
pub(super) struct Frames {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
    bytes: usize,
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
            self.rest.push_back(chunk);
        }
    }

    /// The same for an event or an answer that is not whole yet. Past [`FREE`] pieces the last two are joined while the older one is no
    /// longer, so that their number grows with the logarithm of the bytes, and each byte is copied as often.
    pub(super) fn push_piece(&mut self, chunk: Bytes) {
        self.push(chunk);
        while self.rest.len() > FREE {
            let (Some(last), Some(older)) = (self.rest.pop_back(), self.rest.pop_back()) else {
                return;
            };
            if older.len() > last.len() {
                self.rest.extend([older, last]);
                return;
            }
            self.rest.push_back([older, last].concat().into());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.first.take()?;
        self.first = self.rest.pop_front();
        self.bytes -= chunk.len();
        Some(chunk)
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
        self.bytes + self.rest.len() * size_of::<Bytes>()
    }

    /// The first bytes, at most `max`, in one piece. Copies only where they came in several.
    pub(super) fn start(&self, max: usize) -> Cow<'_, [u8]> {
        let first = self.first.as_deref().unwrap_or_default();
        if self.rest.is_empty() || first.len() >= max {
            return Cow::Borrowed(first.get(..max).unwrap_or(first));
        }
        let mut start = Vec::with_capacity(self.bytes.min(max));
        for chunk in self.first.iter().chain(&self.rest) {
            let room = max - start.len();
            start.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        }
        Cow::Owned(start)
    }

    /// The same, of which the rest is not wanted.
    pub(super) fn into_start(self, max: usize) -> Bytes {
        match (self.start(max), &self.first) {
            (Cow::Owned(start), _) => start.into(),
            (Cow::Borrowed(start), Some(first)) => first.slice(..start.len()),
            (Cow::Borrowed(_), None) => Bytes::new(),
        }
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
    fn an_event_of_single_bytes_is_held_in_few_pieces() {
        let text: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut frames = Frames::default();
        for byte in &text {
            frames.push_piece(Bytes::copy_from_slice(&[*byte]));
            assert!(frames.rest.len() <= FREE + 20);
        }
        let out: Vec<Bytes> = std::iter::from_fn(|| frames.pop()).collect();
        assert_eq!(out.concat(), text);
    }

    #[test]
    fn pieces_in_a_usual_number_are_kept_as_they_came() {
        let chunk = Bytes::from_static(b"abc");
        let mut frames = Frames::default();
        for _ in 0..=FREE {
            frames.push_piece(chunk.clone());
        }
        let out: Vec<Bytes> = std::iter::from_fn(|| frames.pop()).collect();
        assert!(out.iter().all(|piece| piece.as_ptr() == chunk.as_ptr()));
    }

    #[test]
    fn many_small_chunks_weigh_more_than_their_bytes() {
        assert_eq!(frames(&["a"]).weight(), 1);
        assert_eq!(frames(&["a", "b"]).weight(), 2 + size_of::<Bytes>());
    }
}
