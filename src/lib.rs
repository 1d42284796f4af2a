//! Tower middleware that keeps applications working when the Claude API does not.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod answer_errors;
pub mod body;
pub mod builder;
pub mod bulkhead;
pub mod cache;
pub mod call;
pub mod circuit_breaker;
pub mod classify;
pub mod claude;
pub mod client;
pub mod commit;
pub mod degrade;
pub mod error;
pub mod event;
pub mod jitter_backoff;
pub mod model_fallback;
pub mod monitor;
pub mod replay;
pub mod stack;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
pub mod timeouts;

mod answer;
mod kept;
mod rng;
mod sync;

pub use body::ReplayBody;
pub use builder::ResilienceBuilder;
pub use call::{Call, Deadline, Feature, Outcome, Served, Tenant};
pub use classify::{Failure, FailureKind, Verdict};
pub use error::{BodyTooLarge, BoxError, BuildError};
pub use event::{Event, Observe};
pub use stack::{BoxResilient, Resilience, Resilient, ResilientBody};
pub use timeouts::Timeouts;
