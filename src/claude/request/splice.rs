//! The rewrite: cut the segments where a value stands and put another one between.

use bytes::Bytes;

use super::RequestFacts;

/// Bodies up to this length are put together into one segment when they are rewritten, 16 KiB:
/// copying them costs less than carrying three pieces through the client.
const SMALL: usize = 16 * 1024;

impl RequestFacts {
    /// The same body for another model: every top-level `model` becomes `model`, and every
    /// `max_tokens` above `max_tokens_cap` becomes that cap.
    ///
    /// All other bytes are kept. Segments are shared, not copied, unless the whole body is small
    /// (16 KiB), which then comes as one segment. The length may differ from the original's.
    ///
    /// `None` if the request is not [rewritable](Self::is_rewritable), or if `segments` are not
    /// the body that was scanned, told by its length.
    pub fn rewrite(
        &self,
        segments: &[Bytes],
        model: &str,
        max_tokens_cap: Option<u64>,
    ) -> Option<Vec<Bytes>> {
        let length: usize = segments.iter().map(Bytes::len).sum();
        if !self.is_rewritable() || length as u64 != self.body_bytes {
            return None;
        }
        let name = Bytes::from(serde_json::to_string(model).ok()?);
        let mut splice = Splice::over(segments);
        for patch in self.patches.iter() {
            let value = match (patch.slot, max_tokens_cap) {
                (Slot::Model, _) => name.clone(),
                (Slot::MaxTokens(asked), Some(cap)) if asked > cap => Bytes::from(cap.to_string()),
                (Slot::MaxTokens(_), _) => continue,
            };
            splice.pass(patch.start, true);
            splice.pass(patch.end, false);
            splice.put(value);
        }
        splice.pass(length, true);
        if length <= SMALL && splice.out.len() > 1 {
            return Some(vec![Bytes::from(splice.out.concat())]);
        }
        Some(splice.out)
    }
}

/// A walk over segments that keeps or drops what it passes.
struct Splice<'a> {
    rest: std::slice::Iter<'a, Bytes>,
    /// What is left of the segment under the cursor.
    current: Bytes,
    /// The offset of the cursor in the whole body.
    at: usize,
    out: Vec<Bytes>,
}

impl<'a> Splice<'a> {
    fn over(segments: &'a [Bytes]) -> Self {
        // Each patch adds its value and one more cut; most requests have one or two.
        let out = Vec::with_capacity(segments.len() + 4);
        Self {
            rest: segments.iter(),
            current: Bytes::new(),
            at: 0,
            out,
        }
    }

    fn put(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.out.push(part);
        }
    }

    /// Go on to the offset `end`, and keep what is passed or drop it.
    fn pass(&mut self, end: usize, keep: bool) {
        while self.at < end {
            if self.current.is_empty() {
                let Some(next) = self.rest.next() else { return };
                self.current = next.clone();
            }
            let part = self.current.split_to(self.current.len().min(end - self.at));
            self.at += part.len();
            if keep {
                self.put(part);
            }
        }
    }
}

/// A value that a rewrite may replace, by its place in the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patch {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) slot: Slot,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Model,
    MaxTokens(u64),
}

/// The patches of a request in the order of the body; at most [`Patches::MAX`].
///
/// A legal request has two. Those are inline, so that it costs no allocation, and no more are, since the facts of a request
/// are moved about.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    usual: [Option<Patch>; 2],
    more: Vec<Patch>,
}

impl Patches {
    pub(super) const MAX: usize = 8;

    /// Whether there was room.
    pub(super) fn push(&mut self, patch: Patch) -> bool {
        if let Some(room) = self.usual.iter_mut().find(|room| room.is_none()) {
            *room = Some(patch);
            return true;
        }
        let has_room = self.usual.len() + self.more.len() < Self::MAX;
        if has_room {
            self.more.push(patch);
        }
        has_room
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Patch> {
        self.usual.iter().flatten().chain(&self.more)
    }
}
