//! Stop calling a model that does not answer.

mod circuit;
mod circuits;
mod cooldown;
mod evidence;
mod future;
mod guard;
mod handle;
mod layer;
mod machine;
mod policy;
mod probes;
mod ramp;
mod rejection;
mod rules;
mod run;
mod service;
mod shared;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use future::BreakerFuture;
pub use guard::AttemptGuard;
pub use handle::{CircuitHandle, CircuitSnapshot};
pub use layer::CircuitBreakerLayer;
pub use rejection::Rejection;
pub use service::CircuitBreaker;
pub use state::CircuitState;
