//! Ask the next model when this one is out.
mod chain;
mod failed;
mod future;
mod hops;
mod layer;
mod service;

pub use chain::ChainModel;
pub use future::ResponseFuture;
pub use layer::ModelFallbackLayer;
pub use service::ModelFallback;
