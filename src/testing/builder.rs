//! How a fake Claude is set up and started.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::api::Keys;
use super::fake::FakeClaude;
use super::gauge::Gauge;
use super::schedule::Schedule;
use super::script::{Script, ScriptError};
use super::seen::Log;
use super::server::{self, State};

/// Builds a [`FakeClaude`].
#[derive(Debug)]
#[must_use = "call `start`"]
pub struct FakeClaudeBuilder {
    scripts: Vec<(String, Script)>,
    default: Script,
    models: Option<Vec<String>>,
    keys: Keys,
    port: u16,
    max_body: usize,
    keep: usize,
}

impl Default for FakeClaudeBuilder {
    fn default() -> Self {
        Self {
            scripts: Vec::new(),
            default: Script::new(),
            models: None,
            keys: Keys::default(),
            port: 0,
            max_body: 64 << 20,
            keep: 100_000,
        }
    }
}

impl FakeClaudeBuilder {
    /// The script of a model's Messages calls, or of all requests to a path that begins with `/`;
    /// the model's goes first. Given twice, the last counts.
    pub fn on(mut self, target: impl Into<String>, script: impl Into<Script>) -> Self {
        self.scripts.push((target.into(), script.into()));
        self
    }

    /// The script of calls to models that have none of their own; by default they are answered
    /// well.
    pub fn default_script(mut self, script: impl Into<Script>) -> Self {
        self.default = script.into();
        self
    }

    /// The models that exist: others get 404 `model: …`, as from the API. By default every model
    /// exists, and `/v1/models` lists those that have scripts.
    pub fn models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// A key that is accepted, as `x-api-key`, `api-key` or `authorization: Bearer`; without one of
    /// them the answer is 401. Can be given more than once. By default no key is asked for.
    pub fn require_key(mut self, key: impl Into<String>) -> Self {
        self.keys.0.push(key.into());
        self
    }

    /// The port on 127.0.0.1; by default 0, which takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The most bytes of a request's body; more are answered with 413. By default 64 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// How many requests are kept for [`FakeClaude::seen`], by default 100,000. Whatever the
    /// number, their bodies take no more than 256 MiB: the oldest go first, and are still counted.
    pub fn keep(mut self, requests: usize) -> Self {
        self.keep = requests;
        self
    }

    /// Starts the server on the running tokio runtime. The clock of [`Script::during`] starts now.
    ///
    /// # Errors
    ///
    /// A script that cannot be played, or a port that cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled, as everything of tokio's.
    pub async fn start(self) -> Result<FakeClaude, StartError> {
        let mut schedule = Schedule::new(Instant::now());
        schedule
            .set_default(self.default)
            .map_err(StartError::Script)?;
        for (target, script) in self.scripts {
            schedule.set(&target, script).map_err(StartError::Script)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .await
            .map_err(StartError::Bind)?;
        let address = listener.local_addr().map_err(StartError::Bind)?;
        let state = Arc::new(State {
            schedule: Mutex::new(schedule),
            log: Log::new(self.keep),
            models: self.models,
            keys: self.keys,
            max_body: self.max_body,
            connections: Gauge::default(),
            in_flight: Gauge::default(),
        });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        Ok(FakeClaude::new(address, state, task))
    }
}

/// Why a fake Claude did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A script cannot be played.
    Script(ScriptError),
    /// The port cannot be bound.
    Bind(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(error) => error.fmt(f),
            Self::Bind(_) => f.write_str("the port of the fake Claude cannot be bound"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Script(_) => None,
            Self::Bind(error) => Some(error),
        }
    }
}
