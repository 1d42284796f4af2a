//! The few facts of a Messages request that matter here, found in one pass, and its rewrite.
//!
//! A request may weigh 32 MB, nearly all of it messages, and arrives in segments. Parsing it into a
//! tree would cost several times its size, and writing the tree back would change bytes that are
//! not ours: the order of keys, the spelling of numbers, prompt cache hits. So [`RequestScan`]
//! looks at each segment once, as it arrives, keeps a few hundred bytes whatever the size, and
//! finds what stands at the top level: the model, whether there are messages, `max_tokens`,
//! `stream`, and whether the caller needs an exact answer. [`RequestFacts::rewrite`] then replaces the model where it stands and
//! passes every other byte on as it is, sharing the segments instead of copying them.
//!
//! # What is read, and how strictly
//!
//! * Only keys of the outermost object count: a `model` inside a message is text. Two objects are
//!   looked into one level deep, `output_config` for `format` and `tool_choice` for `type`.
//! * Keys and models may be written with escapes, white space may stand anywhere JSON allows it,
//!   and a byte order mark before the object is skipped.
//! * Of a repeated key the last one counts, as for most parsers; a rewrite replaces all of them, so
//!   that it does not matter which one the server takes.
//! * The scan is no validator: inside nested values it follows only strings and the depth of
//!   brackets. Malformed text in there is the server's to refuse.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use tower_claude::claude::request::RequestScan;
//!
//! let segments = [
//!     Bytes::from_static(b"{\"max_tokens\": 1024, \"mod"),
//!     Bytes::from_static(b"el\": \"claude-sonnet-5-5\", \"messages\": []}"),
//! ];
//! let mut scan = RequestScan::new();
//! for segment in &segments {
//!     scan.feed(segment);
//! }
//! let facts = scan.finish()?;
//! assert_eq!(facts.model.as_deref(), Some("claude-sonnet-5-5"));
//! assert_eq!(facts.max_tokens, Some(1024));
//!
//! let rewritten = facts.rewrite(&segments, "claude-haiku-5-5", Some(512)).unwrap().concat();
//! assert_eq!(
//!     rewritten,
//!     b"{\"max_tokens\": 512, \"model\": \"claude-haiku-5-5\", \"messages\": []}",
//! );
//! # Ok::<_, tower_claude::claude::request::NotMessages>(())
//! ```

mod field;
mod held;
#[cfg(test)]
mod properties;
mod scan;
mod splice;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use self::scan::RequestScan;
use self::splice::Patches;
#[cfg(feature = "cache")]
pub(crate) use super::outline::close_of;

/// What a Messages request says at its top level; see the [module docs](self).
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The model; `None` if it is absent, no string, or longer than 255 bytes as it is written.
    pub model: Option<Arc<str>>,
    /// Whether there are `messages`, as an array.
    pub messages: bool,
    /// `max_tokens`, where it is a whole number.
    pub max_tokens: Option<u64>,
    /// Whether the answer is asked for as a stream of events.
    pub stream: bool,
    /// Whether tools are offered: `tools` or `mcp_servers`, whose tools need not be listed, is an array with something in
    /// it.
    pub tools: bool,
    /// Whether a tool must be used: the `type` of `tool_choice` is `any` or `tool`.
    pub forced_tool: bool,
    /// Whether the answer must follow a format: `output_config.format` or `output_format` is set.
    pub structured_output: bool,
    /// The length of the whole body in bytes.
    pub body_bytes: u64,
    patches: Patches,
    /// Something makes a rewrite unsafe: see [`is_rewritable`](Self::is_rewritable).
    fixed: bool,
}

impl RequestFacts {
    /// Scan a body that is already there whole.
    ///
    /// # Errors
    ///
    /// [`NotMessages`] if the body is not one whole JSON object.
    pub fn of<T: AsRef<[u8]>>(segments: &[T]) -> Result<Self, NotMessages> {
        let mut scan = RequestScan::new();
        for segment in segments {
            scan.feed(segment.as_ref());
        }
        scan.finish()
    }

    /// Whether the caller feeds the answer to a program, which a sentence of apology would mislead.
    ///
    /// True if tools are offered or a format is asked for.
    pub fn exact_output(&self) -> bool {
        self.tools || self.structured_output
    }

    /// Whether [`rewrite`](Self::rewrite) can put another model in.
    ///
    /// Not so if there is no model, if one of several is no readable string, if model and
    /// `max_tokens` together occur more than eight times, or if something follows the object.
    pub fn is_rewritable(&self) -> bool {
        !self.fixed && self.model.is_some()
    }
}

/// Why a body is no Messages request: it is not one whole JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotMessages {
    /// There is nothing but white space.
    Empty,
    /// The text stops being a JSON object.
    Malformed {
        /// How many bytes precede the one that does not fit.
        at: u64,
    },
    /// The body ends within the object.
    Truncated,
}

impl fmt::Display for NotMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the request body is empty"),
            Self::Malformed { at } => {
                write!(f, "the request body is no json object, from byte {at} on")
            }
            Self::Truncated => f.write_str("the request body ends within its json object"),
        }
    }
}

impl std::error::Error for NotMessages {}
