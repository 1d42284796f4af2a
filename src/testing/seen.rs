//! What the fake Claude was asked.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, request};
use serde_json::Value;
use tokio::time::Instant;

use super::gauge::Gauge;

/// Bodies kept for assertions take no more than this together.
const MAX_KEPT_BYTES: usize = 256 << 20;
/// Models counted by name; calls of further ones count only in the total.
const MAX_COUNTED_MODELS: usize = 10_000;
const SECRETS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
];

/// A request as the fake Claude read it.
///
/// `Debug` shows neither keys (the values of `x-api-key`, `authorization` and the like are marked
/// as sensitive) nor the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Seen {
    /// When the whole request had been read.
    pub at: Instant,
    /// The number of the connection it came on, counted from 0.
    pub connection: u64,
    /// The method.
    pub method: Method,
    /// The path, with the query if there was one.
    pub path: String,
    /// The `model` of a Messages or `count_tokens` body, or the id in the path of a model.
    pub model: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it arrived; empty if it was larger than the limit or broke off.
    pub body: Bytes,
}

impl Seen {
    pub(super) fn new(at: Instant, connection: u64, head: &request::Parts, body: Bytes) -> Self {
        let mut headers = head.headers.clone();
        for name in SECRETS {
            if let http::header::Entry::Occupied(mut values) = headers.entry(name) {
                values
                    .iter_mut()
                    .for_each(|value| value.set_sensitive(true));
            }
        }
        let path = head
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        Self {
            at,
            connection,
            method: head.method.clone(),
            path,
            model: None,
            headers,
            body,
        }
    }

    /// The body as JSON; `None` if it is not.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("at", &self.at)
            .field("connection", &self.connection)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("model", &self.model)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// The last requests, and counts of all.
#[derive(Debug)]
pub(super) struct Log {
    keep: usize,
    kept: Mutex<Kept>,
    /// Calls of Messages.
    pub(super) calls: Gauge,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Seen>,
    bytes: usize,
    by_model: HashMap<String, usize>,
}

impl Log {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            kept: Mutex::default(),
            calls: Gauge::default(),
        }
    }

    /// Remembers a request; `is_call` where it is one of Messages.
    pub(super) fn record(&self, seen: Seen, is_call: bool) {
        let mut kept = self.lock();
        if let Some(model) = seen.model.as_ref().filter(|_| is_call) {
            kept.count(model);
        }
        kept.bytes = kept.bytes.saturating_add(seen.body.len());
        kept.requests.push_back(seen);
        while kept.requests.len() > self.keep || kept.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = kept.requests.pop_front() else {
                break;
            };
            kept.bytes = kept.bytes.saturating_sub(oldest.body.len());
        }
        drop(kept);
        if is_call {
            self.calls.add_one();
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(super) fn calls_to(&self, model: &str) -> usize {
        self.lock().by_model.get(model).copied().unwrap_or(0)
    }

    pub(super) fn clear(&self) {
        *self.lock() = Kept::default();
        self.calls.set(0);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn count(&mut self, model: &str) {
        if let Some(count) = self.by_model.get_mut(model) {
            *count = count.saturating_add(1);
        } else if self.by_model.len() < MAX_COUNTED_MODELS {
            self.by_model.insert(model.to_owned(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(model: &str, body: &'static [u8]) -> Seen {
        let request = http::Request::post("/v1/messages?beta=true").header("x-api-key", "hunter2");
        let (head, ()) = request
            .header("Authorization", "Bearer hunter2")
            .body(())
            .unwrap()
            .into_parts();
        let mut seen = Seen::new(Instant::now(), 0, &head, Bytes::from_static(body));
        seen.model = Some(model.to_owned());
        seen
    }

    #[test]
    fn the_oldest_requests_are_forgotten_and_still_counted() {
        let log = Log::new(2);
        for body in [b"1", b"2", b"3"] {
            log.record(request("a", body), true);
        }
        log.record(request("b", b"4"), false);
        let bodies: Vec<Bytes> = log.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, ["3", "4"]);
        assert_eq!(
            (log.calls_to("a"), log.calls_to("b"), log.calls.get()),
            (3, 0, 3)
        );
        log.clear();
        assert_eq!(
            (log.seen().len(), log.calls_to("a"), log.calls.get()),
            (0, 0, 0)
        );
    }

    #[test]
    fn kept_bodies_are_bounded_in_bytes_too() {
        let (log, mebibyte) = (Log::new(1_000), Bytes::from(vec![b' '; 1 << 20]));
        for _ in 0..300 {
            let body = mebibyte.clone();
            log.record(
                Seen {
                    body,
                    ..request("a", b"")
                },
                true,
            );
        }
        assert_eq!((log.seen().len(), log.calls_to("a")), (256, 300));
    }

    #[test]
    fn debug_shows_neither_keys_nor_the_body() {
        let seen = request("a", b"a private question");
        let said = format!("{seen:?}");
        assert!(
            !said.contains("hunter2") && !said.contains("private"),
            "{said}"
        );
        assert!(said.contains("18 bytes"), "{said}");
        assert_eq!(seen.header("x-api-key"), Some("hunter2"));
    }
}
