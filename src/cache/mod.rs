//! Answers kept for the day the model does not answer.
//!
//! An answer that Claude gave before to the very same request is worth more in an outage than any canned message.
//! [`DegradeLayer`](crate::degrade::DegradeLayer) keeps good answers in a [`ResponseCache`] and gives them again, marked
//! as degraded, when a call has failed for good. A cache is never asked before the model: this is not a way to save
//! calls.
//!
//! # What is kept
//!
//! Only whole answers that ended with `end_turn` and are text only: no tool use, no thinking, nothing degraded. At most
//! 256 KiB as sent, for streams with their events counted. Streams and JSON answers are kept alike, as the JSON of the
//! message, and given again as the call asks. The answer of a fallback model is kept like any other: the request is the
//! same, and the `model` in the answer says who gave it. Whether an answer is such a one is seen at a glance when it is
//! kept, and read closely before it is given. A store that is offered more than it [takes](ResponseCache::wants) keeps a
//! part; `MemoryCache` takes 1,000 answers a second.
//!
//! # When a request is the same
//!
//! When tenant, feature, address, the headers that change answers and the whole body are the same, but for white space
//! between tokens and the top-level `stream`. See [`CacheKey`]. Answers never cross tenants. Calls with tools or a
//! structured output format, bodies over 1 MiB and bodies that are no [`ReplayBody`](crate::body::replay::ReplayBody)
//! are neither kept nor looked up.
//!
//! # A store of your own
//!
//! ```
//! use std::{collections::HashMap, sync::Mutex};
//! use tower_claude::cache::{CacheKey, CacheQuery, CachedAnswer, Lookup, ResponseCache};
//!
//! /// Keeps everything for ever: good for a test only.
//! #[derive(Debug, Default)]
//! struct Attic(Mutex<HashMap<CacheKey, CachedAnswer>>);
//!
//! impl ResponseCache for Attic {
//!     fn get(&self, query: &CacheQuery) -> Lookup {
//!         self.0.lock().unwrap().get(&query.key).cloned().into()
//!     }
//!
//!     fn put(&self, query: &CacheQuery, answer: CachedAnswer) {
//!         self.0.lock().unwrap().insert(query.key, answer);
//!     }
//! }
//! ```

#[cfg(feature = "cache")]
mod canonical;
mod key;
#[cfg(feature = "cache")]
mod memory;
#[cfg(feature = "cache")]
mod rate;
#[cfg(feature = "cache")]
mod shards;
mod store;

pub use key::CacheKey;
#[cfg(feature = "cache")]
pub(crate) use key::key_of;
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use memory::MemoryCache;
pub use store::{CacheQuery, CachedAnswer, Lookup, LookupFuture, ResponseCache};
