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

    /// All of it with this last part, unless it is too much. Where there was nothing before, the part itself: most are whole
    /// in their segment.
    pub(super) fn with<'a>(&'a mut self, part: &'a [u8]) -> Option<&'a [u8]> {
        if self.len == 0 && !self.over {
            return (part.len() <= self.bytes.len()).then_some(part);
        }
        self.push(part);
        if self.over {
            None
        } else {
            self.bytes.get(..self.len)
        }
    }
}

/// The string that is written so, its closing quote included.
pub(super) fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = str::from_utf8(raw).ok()?.strip_suffix('"')?;
    if text.bytes().all(|byte| byte >= b' ' && byte != b'\\') {
        return Some(Cow::Borrowed(text));
    }
    serde_json::from_str(&format!("\"{text}\""))
        .ok()
        .map(Cow::Owned)
}

/// The whole number that is written so.
pub(super) fn number(raw: &[u8]) -> Option<u64> {
    // JSON knows no leading zeros.
    if matches!(raw, [] | [b'0', _, ..]) {
        return None;
    }
    raw.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

impl fmt::Debug for Held {
    /// Not the bytes: they are a caller's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
