//! The small buffer for what is read across segments.

use std::borrow::Cow;
use std::{fmt, str};

/// A key or value as it is written, up to 256 bytes; enough for every key and name of a model.
pub(super) struct Held {
    bytes: [u8; 256],
    len: usize,
    over: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            bytes: [0; 256],
            len: 0,
            over: false,
        }
    }
}

impl Held {
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.over = false;
    }

    pub(super) fn push(&mut self, part: &[u8]) {
        let end = self.len + part.len();
        match self.bytes.get_mut(self.len..end) {
            Some(room) if !self.over => {
                room.copy_from_slice(part);
                self.len = end;
            }
            _ => self.over = true,
        }
    }

    /// All that was pushed, unless it was too much.
    pub(super) fn raw(&self) -> Option<&[u8]> {
        if self.over {
            None
        } else {
            self.bytes.get(..self.len)
        }
    }

    /// The string that was pushed with its closing quote.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let text = str::from_utf8(self.raw()?).ok()?.strip_suffix('"')?;
        if text.bytes().all(|byte| byte >= b' ' && byte != b'\\') {
            return Some(Cow::Borrowed(text));
        }
        serde_json::from_str(&format!("\"{text}\""))
            .ok()
            .map(Cow::Owned)
    }

    /// The whole number that was pushed.
    pub(super) fn number(&self) -> Option<u64> {
        let digits = str::from_utf8(self.raw()?).ok()?;
        // JSON knows no leading zeros, and `parse` would take a sign.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain && (digits == "0" || !digits.starts_with('0')) {
            digits.parse().ok()
        } else {
            None
        }
    }
}

impl fmt::Debug for Held {
    /// Not the bytes: they are a caller's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
