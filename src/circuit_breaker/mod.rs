//! Stop calling a model that does not answer.

mod circuit;
mod evidence;
mod machine;
mod probes;
mod ramp;
mod rules;
mod run;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use state::CircuitState;
