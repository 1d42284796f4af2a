//! The settings of the stack and of the proxy, from a TOML file.
//!
//! Every key is optional; [`Config::DEFAULT_TOML`] is the whole file with its defaults and what they mean. A key that is
//! unknown is refused with file, line and the nearest known key, a value out of its bounds with file, line, field, value and
//! bound: a configuration is used as it was meant, or not at all.
//!
//! The keys of the proxy (`listen`, `admin`, `upstream`, `max_in_flight`, `max_held`, `drain`, `timeouts.connect`,
//! `timeouts.slow_reader`, `[auth]`) are read and checked here for `claude-proxy`, a server that is to come; the stack
//! itself has no use for them.
//!
//! A feature has from `[features.default]` what it leaves out. No secret stands in a configuration, only the names of the
//! environment variables that hold them.
//!
//! # Example
//!
//! ```
//! use tower_claude::config::Config;
//!
//! let config = Config::from_toml(
//!     r#"
//!     [circuit]
//!     cooldown = "30s"
//!
//!     [features.search]
//!     in_flight = 40
//!     "#,
//!     "app.toml",
//! )?;
//! let stack = config.resilience().build()?;
//! # let _ = stack;
//!
//! let error = Config::from_toml("[circuit]\ncooldwn = \"30s\"", "app.toml").unwrap_err();
//! assert_eq!(error.to_string(), "app.toml:2: circuit.cooldwn is unknown; did you mean cooldown?");
//! # Ok::<(), tower_claude::BoxError>(())
//! ```

mod error;
mod model;
mod policy;
mod read;
mod reader;
mod show;
mod units;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use model::{
    AuthSettings, BackoffSettings, CacheSettings, CircuitSettings, Config, FallbackChoice,
    FeatureSettings, TimeoutSettings,
};

impl Config {
    /// The whole file, with its defaults and comments.
    pub const DEFAULT_TOML: &'static str = include_str!("default.toml");
}
