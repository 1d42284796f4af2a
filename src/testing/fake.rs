//! The handle of a running fake Claude.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::builder::{FakeClaudeBuilder, StartError};
use super::script::{Script, ScriptError};
use super::seen::Seen;
use super::server::State;

/// A running fake Claude. Clones are handles of the same server, which stops when the last is
/// dropped.
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
    pub(super) fn new(address: SocketAddr, state: Arc<State>, task: JoinHandle<()>) -> Self {
        let task = Mutex::new(Some(task));
        Self {
            running: Arc::new(Running {
                address,
                state,
                task,
            }),
        }
    }

    /// A builder with the defaults that its methods name.
    pub fn builder() -> FakeClaudeBuilder {
        FakeClaudeBuilder::default()
    }

    /// Starts a fake Claude that answers every call well.
    ///
    /// # Errors
    ///
    /// See [`FakeClaudeBuilder::start`].
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

    /// Gives a model, or a path such as `/v1/models`, another script from the next request on. Its
    /// calls are counted from 0 again; answers that have begun are not changed.
    ///
    /// # Errors
    ///
    /// A script that cannot be played is refused, and the one before stays.
    pub fn set(&self, target: &str, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().schedule().set(target, script.into())
    }

    /// Gives the calls of models without a script of their own another script.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_default(&self, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().schedule().set_default(script.into())
    }

    /// Forgets all scripts, those of paths too, and gives the calls of every model this one.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_all(&self, script: impl Into<Script>) -> Result<(), ScriptError> {
        self.state().schedule().set_all(script.into())
    }

    /// Starts the clock of [`Script::during`] again at 0.
    pub fn reset_clock(&self) {
        self.state().schedule().reset_clock(Instant::now());
    }

    /// The requests that were read, of every endpoint, oldest first; of many, the latest: see
    /// [`FakeClaudeBuilder::keep`].
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

    /// How many Messages calls asked for this model, also those no longer kept. Of more than 10,000
    /// models the later ones are not told apart.
    pub fn calls_to(&self, model: &str) -> usize {
        self.state().log.calls_to(model)
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.state().connections.get()
    }

    /// Requests whose answer has not ended. One whose client leaves is over as soon as the server
    /// notices.
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
