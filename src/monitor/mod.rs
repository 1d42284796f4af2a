//! Rolling totals and alerts from what the layers decide.

mod alert;
mod builder;
mod circuit;
mod handle;
mod latency;
mod ledger;
mod rolling;
mod rows;
mod rules;
mod snapshot;
mod table;
mod tally;

pub use alert::{Alert, Rule, Subject};
pub use builder::MonitorBuilder;
pub use circuit::CircuitStatus;
pub use handle::Monitor;
pub use rolling::Window;
pub use snapshot::{FeatureStats, ModelStats, PairStats, Snapshot, Totals, Windows};
pub use table::{NONE, OTHER};
