//! The copy of a good answer for the cache, made as its bytes pass.
//!
//! A copy, for a reference would keep the buffer from being read into again, and pin all of it for what is kept of it.

use super::plan::caught;
use crate::{
    cache::{CacheQuery, CachedAnswer, ResponseCache},
    classify::{End, Ended},
    claude::{headers, reply},
};
use bytes::Bytes;
use http::HeaderMap;
use std::{fmt, mem, sync::Arc};

/// The longest answer that is kept, as it is sent.
pub(super) const MAX_BYTES: usize = 256 << 10;

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
    cache: Arc<dyn ResponseCache>,
    query: CacheQuery,
    form: Form,
    /// `None`: whole by its verdict.
    end: Option<End>,
    held: Vec<u8>,
    /// The body came to its end.
    ended: bool,
}

impl Tee {
    /// For an answer of `bytes` at least.
    pub(super) fn new(
        cache: Arc<dyn ResponseCache>,
        query: CacheQuery,
        form: Form,
        end: Option<End>,
        bytes: usize,
    ) -> Self {
        Self {
            cache,
            query,
            form,
            end,
            held: Vec::with_capacity(bytes.min(MAX_BYTES)),
            ended: false,
        }
    }

    /// Takes the next piece. False: the answer is too large to be kept, and what was held is let go.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let bytes = self.held.len() + piece.len();
        let fits = bytes <= MAX_BYTES;
        if fits {
            if bytes > self.held.capacity() {
                // Doubled, but never to more than may be held.
                let room = bytes.max(2 * self.held.len()).min(MAX_BYTES);
                self.held.reserve_exact(room - self.held.len());
            }
            self.held.extend_from_slice(piece);
        } else {
            self.held = Vec::new();
        }
        fits
    }

    /// The body is at its end.
    pub(super) fn finish(mut self) {
        self.ended = true;
    }

    /// How the answer ended, by the word of a layer further in that has read it; `None`: nobody's.
    fn told(&self) -> Option<Ended> {
        match &self.end {
            Some(end) => end.get(),
            // How far the caller read it is told by the body alone.
            None => self.ended.then_some(Ended::Complete),
        }
    }

    /// Callers stop reading after `message_stop`: an answer that was dropped then came whole too.
    fn is_whole(&self) -> bool {
        match self.told() {
            Some(ended) => ended == Ended::Complete,
            // What is not whole will not parse.
            None => self.ended,
        }
    }

    /// The message, in an allocation of its own.
    fn message(&mut self) -> Option<Bytes> {
        let sent = mem::take(&mut self.held);
        let message = match self.form {
            Form::Json => sent.into_boxed_slice().into(),
            Form::Events => {
                // What ended otherwise, as a call of tools does, is not worth the parse.
                reply::ended_turn(&sent)?;
                Bytes::copy_from_slice(&reply::message_from_sse(&sent)?)
            }
        };
        let keep = match self.told() {
            Some(_) => reply::worth_keeping(&message),
            None => reply::cacheable(&message),
        };
        keep.then_some(message)
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        if self.held.is_empty() || !self.is_whole() {
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
            .field("bytes", &self.held.len())
            .finish_non_exhaustive()
    }
}
