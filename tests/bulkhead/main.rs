//! What `BulkheadLayer` promises, as its callers and the service behind it see it.

mod compartments;
mod house;
mod line;
mod permits;
mod property;
