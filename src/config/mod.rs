//! All settings of a stack and its proxy as one TOML file.
//!
//! Every key is optional and an empty file is the [default](Config::DEFAULT_TOML), which says of each key what it does.
//! What cannot be meant is refused with its line: unknown keys with the nearest known one, values of the wrong form or
//! out of bounds with what they must be; all of a file at once. No input makes it panic. Secrets are never in the file,
//! only the names of the environment variables that hold them, and no message shows a value that may be one.
//!
//! The keys of the proxy (`listen`, `admin`, `upstream`, `max_in_flight`, `max_held`, `drain`, `timeouts.connect`,
//! `timeouts.slow_reader`, `[auth]`) are for the server in `proxy`; the stack has no use for them.
//!
//! # Example
//!
//! ```
//! use tower_claude::config::Config;
//!
//! let text = r#"
//! [features.chat]
//! in_flight = 40
//! message = "Back in a minute."
//!
//! [circuit]
//! cooldwon = "2m"
//! "#;
//! let error = Config::from_toml(text, "proxy.toml").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"proxy.toml:7: unknown key circuit.cooldwon; did you mean "cooldown"?"#,
//! );
//!
//! let config = Config::from_toml(&text.replace("cooldwon", "cooldown"), "proxy.toml")?;
//! assert_eq!(config.features.of("chat").in_flight, 40);
//! let stack = config.resilience()?.build()?;
//! # let _ = stack;
//! # Ok::<_, tower_claude::BoxError>(())
//! ```

mod auth;
mod backoff;
mod cache;
mod checks;
mod circuit;
mod error;
mod fallback;
mod features;
mod file;
mod form;
mod nearest;
mod reader;
mod resolved;
mod stack;
mod timeouts;
mod units;

pub use auth::AuthSettings;
pub use backoff::BackoffSettings;
pub use cache::CacheSettings;
pub use circuit::CircuitSettings;
pub use error::{ConfigError, Problem};
pub use fallback::FallbackSettings;
pub use features::{DegradeMode, FeatureFallback, FeatureSettings, FeaturesSettings};
pub use resolved::Resolved;
pub use timeouts::{AnswerTimeout, TimeoutSettings};

use checks::{Bound, Checks};
#[cfg(feature = "proxy")]
pub(crate) use form::ADDRESS_IS;
pub(crate) use form::UPSTREAM_IS;
use form::{ADDRESS, DURATION, SIZE, UPSTREAM, positive};
use http::Uri;
use reader::{Findings, Reader};
use std::{net::SocketAddr, num::NonZeroUsize, path::Path, time::Duration};
use toml::de::DeTable;
use units::Size;

/// Every setting. See the [module docs](self).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Where callers are served. Default `127.0.0.1:8787`.
    pub listen: SocketAddr,
    /// Where operators are served. Default `127.0.0.1:8788`.
    pub admin: SocketAddr,
    /// Where calls go: an http or https address without user, password and query. Default `https://api.anthropic.com`.
    pub upstream: Uri,
    /// By when a call must have its committed answer, where it brings no deadline. Default 10 min; at most a day.
    pub deadline: Duration,
    /// The largest request body, in bytes. Default 32 MiB.
    pub max_body: u64,
    /// Calls in flight in the whole proxy. Default 1,024.
    pub max_in_flight: NonZeroUsize,
    /// Bytes of requests and of answers held back, all together. Default 512 MiB; at least `max_body`.
    pub max_held: u64,
    /// How long answers under way may take on shutdown. Default 30 s.
    pub drain: Duration,
    /// `[timeouts]`
    pub timeouts: TimeoutSettings,
    /// `[backoff]`
    pub backoff: BackoffSettings,
    /// `[circuit]`
    pub circuit: CircuitSettings,
    /// `[fallback]`
    pub fallback: FallbackSettings,
    /// `[features.*]`
    pub features: FeaturesSettings,
    /// `[cache]`
    pub cache: CacheSettings,
    /// `[auth]`. Default: none, so that the keys of callers pass through.
    pub auth: Option<AuthSettings>,
}

impl Default for Config {
    /// As [`DEFAULT_TOML`](Self::DEFAULT_TOML).
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8788)),
            upstream: Uri::from_static("https://api.anthropic.com"),
            deadline: Duration::from_secs(600),
            max_body: 32 << 20,
            max_in_flight: NonZeroUsize::MIN.saturating_add(1023),
            max_held: 512 << 20,
            drain: Duration::from_secs(30),
            timeouts: TimeoutSettings::default(),
            backoff: BackoffSettings::default(),
            circuit: CircuitSettings::default(),
            fallback: FallbackSettings::default(),
            features: FeaturesSettings::default(),
            cache: CacheSettings::default(),
            auth: None,
        }
    }
}

impl Config {
    /// The full default file, with comments.
    pub const DEFAULT_TOML: &'static str = include_str!("default.toml");

    /// Reads the text of a file; `path` is its name in errors.
    ///
    /// # Errors
    ///
    /// Everything in it that cannot be meant.
    pub fn from_toml(text: &str, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let mut findings = Findings::new(text);
        let mut config = Self::default();
        match DeTable::parse(text) {
            Ok(table) => findings.table("", table.get_ref(), |reader| config.read(reader)),
            Err(error) => {
                let line = error.span().map(|span| findings.line_at(span.start));
                // Not its `Display`, which shows the line of the file, whatever secret stands there.
                findings.note(Problem::text(line, error.message()));
            }
        }
        for breach in config.breaches() {
            let problem = breach.found(&findings);
            findings.note(problem);
        }
        let problems = findings.into_problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(Some(path.as_ref()), problems))
        }
    }

    /// Checks every bound, as [`from_toml`](Self::from_toml) does: for settings made in a program.
    ///
    /// # Errors
    ///
    /// All that are out of bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let breaches = self.breaches().into_iter();
        let problems: Vec<_> = breaches.map(|breach| breach.problem(None)).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::new(None, problems))
        }
    }

    /// Reads the address of an upstream; `None` where it cannot be one, or would carry a secret.
    #[cfg(feature = "proxy")]
    pub(crate) fn upstream_of(text: &str) -> Option<Uri> {
        form::upstream(text)
    }

    fn read(&mut self, reader: &mut Reader<'_, '_>) {
        reader.read("listen", &mut self.listen, &ADDRESS);
        reader.read("admin", &mut self.admin, &ADDRESS);
        reader.read("upstream", &mut self.upstream, &UPSTREAM);
        reader.read("deadline", &mut self.deadline, &DURATION);
        reader.read("max_body", &mut self.max_body, &SIZE);
        let count = positive("a whole number, at least 1");
        reader.read("max_in_flight", &mut self.max_in_flight, &count);
        reader.read("max_held", &mut self.max_held, &SIZE);
        reader.read("drain", &mut self.drain, &DURATION);
        reader.table("timeouts", |table| self.timeouts.read(table));
        reader.table("backoff", |table| self.backoff.read(table));
        reader.table("circuit", |table| self.circuit.read(table));
        reader.table("fallback", |table| self.fallback.read(table));
        reader.table("features", |table| self.features.read(table));
        reader.table("cache", |table| self.cache.read(table));
        reader.table("auth", |table| {
            let auth = self.auth.insert(AuthSettings::default());
            auth.read(table);
        });
    }

    /// The deadline of a call of the default feature or an unknown one, and the key that says so.
    fn default_deadline(&self) -> (&'static str, Duration) {
        match self.features.default.deadline {
            Some(deadline) => ("features.default.deadline", deadline),
            None => ("deadline", self.deadline),
        }
    }

    fn breaches(&self) -> Vec<checks::Breach> {
        let mut checks = Checks::default();
        checks.must_secretly(form::is_upstream(&self.upstream), "upstream", UPSTREAM_IS);
        checks.must(
            self.listen != self.admin || self.listen.port() == 0,
            "admin",
            self.admin,
            "another address than listen",
        );
        checks.time("deadline", self.deadline);
        checks.must(
            self.max_body > 0,
            "max_body",
            Size(self.max_body),
            "at least 1B",
        );
        checks.ordered(
            ("max_held", Size(self.max_held)),
            Bound::AtLeast,
            ("max_body", Size(self.max_body)),
        );
        checks.time_or_none("drain", self.drain);
        self.timeouts.check(self.default_deadline(), &mut checks);
        self.backoff.check(&mut checks);
        self.circuit.check(&mut checks);
        self.fallback.check(&mut checks);
        self.features.check(&mut checks);
        self.cache.check(&mut checks);
        if let Some(auth) = &self.auth {
            auth.check(&mut checks);
        }
        checks.into_breaches()
    }
}
