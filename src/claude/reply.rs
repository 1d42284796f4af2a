//! Answers in Claude's own form, for callers that must not notice who wrote them.
//!
//! Everything here is valid on the wire in the eyes of the official SDKs, also in their strict modes: a message has an
//! id, a `usage` and a known `stop_reason`, a stream has its events in order and ends with `message_stop`, an error has
//! the documented envelope. Between the two forms of a message, JSON and stream, lie [`sse_from_message`] and
//! [`message_from_sse`]; both take text-only messages and refuse all others with `None`, for an answer that calls tools is
//! not to be given twice.
//!
//! # Example
//!
//! ```
//! use tower_claude::claude::reply::{self, Canned};
//!
//! let canned = Canned { text: "Back soon.", ..Canned::new("msg_degraded_1", "claude-haiku-5-5") };
//! let json = reply::message_json(&canned);
//! let stream = reply::message_sse(&canned);
//! assert_eq!(reply::message_from_sse(&stream), Some(json));
//! ```

mod cacheable;
mod convert;
#[cfg(test)]
mod tests;

pub(crate) use self::cacheable::{ended_turn, worth_keeping};
pub use self::{
    cacheable::cacheable,
    convert::{message_from_sse, sse_from_message},
};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The top-level field that marks a degraded answer. The SDKs keep unknown fields, and apps can read it.
pub const DEGRADED_FIELD: &str = "_degraded";

/// A message of one text block that ended with `end_turn` and used no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canned<'a> {
    /// `id`; [`degraded_id`] makes one.
    pub id: &'a str,
    /// `model`: the one the caller asked for.
    pub model: &'a str,
    /// The text.
    pub text: &'a str,
    /// Whether [`DEGRADED_FIELD`] is set on it.
    pub degraded: bool,
}

impl<'a> Canned<'a> {
    /// An empty text, marked as degraded.
    pub fn new(id: &'a str, model: &'a str) -> Self {
        Self {
            id,
            model,
            text: "",
            degraded: true,
        }
    }

    fn message(&self) -> Map<String, Value> {
        let mut message = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("type".to_owned(), json!("message")),
            ("role".to_owned(), json!("assistant")),
            ("model".to_owned(), json!(self.model)),
            (
                "content".to_owned(),
                json!([{"type": "text", "text": self.text}]),
            ),
            ("stop_reason".to_owned(), json!("end_turn")),
            ("stop_sequence".to_owned(), Value::Null),
            ("usage".to_owned(), no_usage()),
        ]);
        if self.degraded {
            message.insert(DEGRADED_FIELD.to_owned(), json!(true));
        }
        message
    }
}

fn no_usage() -> Value {
    json!({"input_tokens": 0, "output_tokens": 0})
}

/// A new message id, `msg_degraded_` and 24 hexadecimal digits; no two are alike in one process.
pub fn degraded_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let count = NEXT.fetch_add(1, Ordering::Relaxed) & 0xFFFF_FFFF;
    format!("msg_degraded_{:016x}{count:08x}", *PROCESS)
}

/// The message as a JSON body; send it as `application/json`.
pub fn message_json(canned: &Canned<'_>) -> Bytes {
    Value::Object(canned.message()).to_string().into()
}

/// The message as a whole stream; send it as `text/event-stream`.
pub fn message_sse(canned: &Canned<'_>) -> Bytes {
    // Of text only, so there is always one.
    convert::to_sse(canned.message()).unwrap_or_default()
}

/// The message with [`DEGRADED_FIELD`] set; `None` if it is no JSON object.
pub fn mark_degraded(message: &[u8]) -> Option<Bytes> {
    let mut message: Map<String, Value> = serde_json::from_slice(message).ok()?;
    message.insert(DEGRADED_FIELD.to_owned(), json!(true));
    Some(Value::Object(message).to_string().into())
}

fn is_text(block: &Value) -> bool {
    block.get("type").and_then(Value::as_str) == Some("text")
        && block.get("text").is_some_and(Value::is_string)
}

/// An error as a JSON body. `error_type` is one that the API documents, such as `overloaded_error`.
pub fn error_json(error_type: &str, message: &str, request_id: Option<&str>) -> Bytes {
    error_value(error_type, message, request_id).into()
}

/// An error as the last event of a stream. The SDKs raise it, and read nothing after it.
pub fn error_event(error_type: &str, message: &str, request_id: Option<&str>) -> Bytes {
    let data = error_value(error_type, message, request_id);
    format!("event: error\ndata: {data}\n\n").into()
}

fn error_value(error_type: &str, message: &str, request_id: Option<&str>) -> String {
    let mut error = json!({"type": "error", "error": {"type": error_type, "message": message}});
    if let (Some(error), Some(id)) = (error.as_object_mut(), request_id) {
        error.insert("request_id".to_owned(), json!(id));
    }
    error.to_string()
}
