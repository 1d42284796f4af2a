//! The copy of a good answer for the cache: references to the bytes as they pass, and one copy at the end.

use super::plan::caught;
use crate::{
    cache::{CacheQuery, CachedAnswer, ResponseCache},
    classify::{End, Ended},
    claude::{headers, reply},
};
use bytes::Bytes;
use http::HeaderMap;
use memchr::memmem;
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// The longest answer that is kept, as it is sent.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// The most pieces of one that are held: each costs the reference to it, and may pin the buffer it was read into.
const MAX_PIECES: usize = 4096;

/// How an answer that may be kept says that it ended. Made once, for it allocates.
static END_TURN: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(b"\"end_turn\""));

/// What an answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Events,
}

impl Form {
    pub(super) fn of(map: &HeaderMap) -> Option<Self> {
        if headers::is_json(map) {
            Some(Self::Json)
        } else {
            headers::is_event_stream(map).then_some(Self::Events)
        }
    }
}

/// Holds an answer until its end, and then, if it came whole, puts it into the cache.
pub(super) struct Tee {
    form: Form,
    end: End,
    cache: Arc<dyn ResponseCache>,
    query: CacheQuery,
    pieces: Vec<Bytes>,
    bytes: usize,
    /// The body came to its end.
    ended: bool,
}

impl Tee {
    pub(super) fn new(
        form: Form,
        end: End,
        cache: Arc<dyn ResponseCache>,
        query: CacheQuery,
    ) -> Self {
        Self {
            form,
            end,
            cache,
            query,
            pieces: Vec::new(),
            bytes: 0,
            ended: false,
        }
    }

    /// Takes the next piece. False: the answer is too large to be kept, and what was held is let go.
    pub(super) fn push(&mut self, piece: &Bytes) -> bool {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > MAX_BYTES || self.pieces.len() == MAX_PIECES {
            self.pieces = Vec::new();
            return false;
        }
        self.pieces.push(piece.clone());
        true
    }

    /// The body is at its end.
    pub(super) fn finish(mut self) {
        self.ended = true;
    }

    /// Callers stop reading after `message_stop`: an answer that was dropped then came whole too.
    fn is_whole(&self) -> bool {
        match self.end.get() {
            Some(Ended::Complete) => true,
            Some(Ended::Failed(_)) => false,
            // Nobody further in watches this one; what is not whole will not parse.
            None => self.ended,
        }
    }

    /// The message, in an allocation of its own.
    fn message(&self) -> Option<Bytes> {
        let sent = self.pieces.concat();
        // What ended otherwise, as a call of tools does, is not worth the parse.
        END_TURN.find(&sent)?;
        let message = match self.form {
            Form::Json => Bytes::from(sent),
            Form::Events => Bytes::copy_from_slice(&reply::message_from_sse(&sent)?),
        };
        reply::cacheable(&message).then_some(message)
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        if self.pieces.is_empty() || !self.is_whole() {
            return;
        }
        if let Some(message) = self.message() {
            // A store that panics must not take the caller's answer with it.
            let _ = caught(|| self.cache.put(&self.query, CachedAnswer::new(message)));
        }
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee")
            .field("form", &self.form)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
