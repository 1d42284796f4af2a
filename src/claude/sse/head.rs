//! The start of a line that a chunk leaves unfinished.

/// The first bytes of an unfinished line: enough for every field name, every event name and a byte order mark.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    bytes: [u8; 32],
    len: usize,
}

impl Head {
    /// Takes what still fits and returns the rest.
    pub(super) fn fill<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let (taken, rest) = piece.split_at(room.len().min(piece.len()));
        for (to, from) in room.iter_mut().zip(taken) {
            *to = *from;
        }
        self.len += taken.len();
        rest
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}
