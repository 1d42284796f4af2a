//! A failed call: what kind, what it says of waiting, who said so.

mod answer;
mod marks;
#[cfg(test)]
mod tests;

use super::kind::{FailureKind, Retry};
use super::transport::{TransportKind, sources};
use http::StatusCode;
use std::{error::Error, fmt, sync::Arc, time::Duration};

/// A failed call, or attempt of one: the error of every layer and the content of a failed
/// [`Verdict`](super::Verdict).
///
/// Holds no request and no secret. `Display` is one line in lower case: `overloaded: 529 overloaded_error`. Upstream's own
/// [message](Self::message) may quote what somebody wrote: neither `Display` nor `Debug` prints it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// How long to wait before asking again: `retry-after` of the answer, the rest of a cool-down, the time to the next
    /// probe of an open circuit. A floor: never shortened, only handed up where it does not fit.
    pub retry_after: Option<Duration>,
    /// The status of the answer. None where there was none, or where the failure came inside a 200.
    pub status: Option<StatusCode>,
    /// `error.type` of the answer: `overloaded_error` …
    pub error_type: Option<Arc<str>>,
    /// Upstream's `request-id`.
    pub request_id: Option<Arc<str>>,
    /// What this says in a few words; for failures of this crate's own making.
    detail: Option<&'static str>,
    message: Option<Message>,
    transport: Option<TransportKind>,
    retry: Retry,
    open_for: Option<Duration>,
    cut_short: bool,
    diverted: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind and nothing more known.
    pub fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            retry_after: None,
            status: None,
            error_type: None,
            request_id: None,
            detail: None,
            message: None,
            transport: None,
            retry: kind.retry(),
            open_for: None,
            cut_short: false,
            diverted: false,
            source: None,
        }
    }

    /// With the time to wait before asking again.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// With the status it came with.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// With upstream's `error.type`.
    #[must_use]
    pub fn with_error_type(mut self, error_type: impl Into<Arc<str>>) -> Self {
        self.error_type = Some(error_type.into());
        self
    }

    /// With what upstream said, for the caller to read: see [`message`](Self::message).
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Arc<str>>) -> Self {
        self.message = Some(Message(message.into()));
        self
    }

    /// With upstream's request id.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<impl Into<Arc<str>>>) -> Self {
        self.request_id = request_id.map(Into::into);
        self
    }

    /// With what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Overrides the retry column: `Some(true)` always, `Some(false)` never, `None` as the kind says.
    #[must_use]
    pub fn with_should_retry(mut self, should_retry: Option<bool>) -> Self {
        match should_retry {
            Some(true) => self.retry = Retry::Yes,
            Some(false) => self.retry = Retry::Never,
            None => {}
        }
        self
    }

    pub(crate) fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub(crate) fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// With what a connection broke of.
    pub(crate) fn with_transport(mut self, transport: TransportKind) -> Self {
        self.transport = Some(transport);
        self
    }

    /// What upstream said, in its own words: `error.message` of an error in Claude's form, at most 1 KiB. What this crate
    /// answers to the caller in place of such an error says the same.
    pub fn message(&self) -> Option<&str> {
        self.message.as_ref().map(|message| &*message.0)
    }

    /// What the connection broke of, where it was one that failed. `None` where the answer itself did, and for errors of a
    /// client that this crate does not know.
    pub fn transport(&self) -> Option<TransportKind> {
        self.transport
    }

    /// Finds a failure anywhere in a chain of sources, through the wrappers of other layers.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        sources(error).find_map(|error| error.downcast_ref())
    }

    /// Whether the same model may be asked again.
    pub fn is_retryable(&self) -> bool {
        self.retry != Retry::Never
    }

    /// Whether this counts against the model's circuit. [`Cancelled`](FailureKind::Cancelled) and
    /// [`DeadlineExceeded`](FailureKind::DeadlineExceeded) do not by themselves; the breaker knows how long they waited.
    pub fn counts_against_circuit(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Overloaded
                | FailureKind::ServerError
                | FailureKind::Timeout
                | FailureKind::Transport
                | FailureKind::Truncated
        )
    }

    /// Whether another model may be asked instead.
    pub fn warrants_fallback(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Overloaded
                | FailureKind::ServerError
                | FailureKind::Timeout
                | FailureKind::Transport
                | FailureKind::RateLimited
                | FailureKind::ModelGone
                | FailureKind::CoolingDown
                | FailureKind::CircuitOpen
                | FailureKind::BulkheadFull
        )
    }

    /// Whether a degraded answer may stand in.
    pub fn warrants_degrade(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Overloaded
                | FailureKind::ServerError
                | FailureKind::Timeout
                | FailureKind::Transport
                | FailureKind::RateLimited
                | FailureKind::SpendLimit
                | FailureKind::CoolingDown
                | FailureKind::CircuitOpen
                | FailureKind::DeadlineExceeded
        )
    }

    pub(crate) fn retry(&self) -> Retry {
        self.retry
    }
}

/// Words of upstream's.
#[derive(Clone)]
struct Message(Arc<str>);

/// Not the text: it may be somebody's.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(detail) = self.detail {
            write!(f, ": {detail}")?;
        } else if let Some(transport) = self.transport {
            write!(f, ": {transport}")?;
        } else if let Some(status) = self.status {
            write!(f, ": {}", status.as_u16())?;
            if let Some(error_type) = &self.error_type {
                write!(f, " {error_type}")?;
            }
        } else if let Some(error_type) = &self.error_type {
            write!(f, ": {error_type}")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, ", retry after {:.3}s", wait.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
