//! The handle of a running fake Claude, and its builder.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::Keys;
use super::gauge::Gauge;
use super::script::{Script, ScriptError, Scripts};
use super::seen::{Log, Seen};
use super::server::{self, State};

/// A running fake Claude. Clones are handles of the same server, which stops when the last is dropped.
///
/// See the [module docs](super).
#[derive(Clone, Debug)]
#[must_use = "the server stops when its last handle is dropped"]
pub struct FakeClaude {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    state: Arc<State>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    fn take(&self) -> Option<JoinHandle<()>> {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.take() {
            task.abort();
        }
    }
}

impl FakeClaude {
    /// A builder with the defaults that its methods name.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a fake Claude that answers every call well.
    ///
    /// # Errors
    ///
    /// See [`Builder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// The base URL, such as `http://127.0.0.1:49152`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// The URL of the Messages API.
    pub fn messages_url(&self) -> String {
        format!("{}/v1/messages", self.url())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Gives a model, or a path such as `/v1/models`, another script from the next request on. Its calls are counted from 0
    /// again; answers that have begun are not changed.
    ///
    /// # Errors
    ///
    /// A script that cannot be played is refused, and the one before stays.
    pub fn set(&self, target: &str, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().scripts().set(target, script.into())
    }

    /// Gives the calls of models without a script of their own another script.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_default(&self, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().scripts().set_default(script.into())
    }

    /// Forgets all scripts, those of paths too, and gives the calls of every model this one.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_all(&self, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().scripts().set_all(script.into())
    }

    /// Starts the clock of [`Script::during`] again at 0.
    pub fn reset_clock(&self) {
        self.state().scripts().reset_clock(Instant::now());
    }

    /// The requests that were read, of every endpoint, oldest first; of many, the latest: see
    /// [`Builder::keep`].
    pub fn seen(&self) -> Vec<Seen> {
        self.state().log.seen()
    }

    /// Forgets the requests and their counts.
    pub fn clear_seen(&self) {
        self.state().log.clear();
    }

    /// How many Messages calls were read, also those no longer kept.
    pub fn calls(&self) -> usize {
        self.state().log.calls.get()
    }

    /// How many Messages calls asked for this model, also those no longer kept. Of more than 10,000 models the later ones
    /// are not told apart.
    pub fn calls_to(&self, model: &str) -> usize {
        self.state().log.calls_to(model)
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.state().connections.get()
    }

    /// Requests whose answer has not ended. One whose client leaves is over as soon as the server notices.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight.get()
    }

    /// Waits until this many Messages calls were read.
    pub async fn wait_for_calls(&self, calls: usize) {
        self.state().log.calls.wait(|count| *count >= calls).await;
    }

    /// Waits until no answer is running.
    pub async fn wait_until_idle(&self) {
        self.state().in_flight.wait(|count| *count == 0).await;
    }

    /// Stops: open connections end and new ones are refused. The record can still be read.
    pub async fn stop(&self) {
        if let Some(task) = self.running.take() {
            task.abort();
            // The error says that it was aborted.
            let _ = task.await;
        }
        self.state().connections.wait(|count| *count == 0).await;
    }

    fn state(&self) -> &State {
        &self.running.state
    }
}

/// Builds a [`FakeClaude`].
#[derive(Debug)]
#[must_use = "call `start`"]
pub struct Builder {
    scripts: Vec<(String, Script)>,
    default: Script,
    models: Option<Vec<String>>,
    keys: Keys,
    port: u16,
    max_body: usize,
    keep: usize,
}

impl Default for Builder {
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

impl Builder {
    /// The script of a model's Messages calls, or of all requests to a path that begins with `/`; the model's goes first.
    /// Given twice, the last counts.
    pub fn on(mut self, target: impl Into<String>, script: impl Into<Script>) -> Self {
        self.scripts.push((target.into(), script.into()));
        self
    }

    /// The script of calls to models that have none of their own; by default they are answered well.
    pub fn default_script(mut self, script: impl Into<Script>) -> Self {
        self.default = script.into();
        self
    }

    /// The models that exist: others get 404 `model: …`, as from the API. By default every model exists, and `/v1/models`
    /// lists those that have scripts.
    pub fn models(mut self, models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.models = Some(models.into_iter().map(Into::into).collect());
        self
    }

    /// A key that is accepted, as `x-api-key`, `api-key` or `authorization: Bearer`; without one of them the answer is 401.
    /// Can be given more than once. By default no key is asked for.
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

    /// How many requests are kept for [`FakeClaude::seen`], by default 100,000. Whatever the number, their bodies take no
    /// more than 256 MiB: the oldest go first, and are still counted.
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
        let mut scripts = Scripts::new(Instant::now());
        scripts
            .set_default(self.default)
            .map_err(StartError::Script)?;
        for (target, script) in self.scripts {
            scripts.set(&target, script).map_err(StartError::Script)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .await
            .map_err(StartError::Bind)?;
        let address = listener.local_addr().map_err(StartError::Bind)?;
        let state = Arc::new(State {
            scripts: Mutex::new(scripts),
            log: Log::new(self.keep),
            models: self.models,
            keys: self.keys,
            max_body: self.max_body,
            connections: Gauge::default(),
            in_flight: Gauge::default(),
        });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        let running = Running {
            address,
            state,
            task: Mutex::new(Some(task)),
        };
        Ok(FakeClaude {
            running: Arc::new(running),
        })
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
