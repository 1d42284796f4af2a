//! A failed call: what kind, what it says of waiting, who said so.

use super::kind::{FailureKind, Retry};
use super::transport::{TransportKind, sources};
use http::StatusCode;
use std::{error::Error, fmt, sync::Arc, time::Duration};

/// A failed call, or attempt of one: the error of every layer and the content of a failed
/// [`Verdict`](super::Verdict).
///
/// Holds no request and no secret. `Display` is one line in lower case: `overloaded: 529 overloaded_error`.
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

    /// The time to the next probe, where this failure left the model's circuit open.
    pub fn circuit_open_for(&self) -> Option<Duration> {
        self.open_for
    }

    /// The breaker's mark: this failure left the circuit open, for so long.
    pub(crate) fn mark_open(&mut self, open_for: Duration) {
        self.open_for = Some(open_for);
    }

    /// Commit's mark: the deadline of the call ended the attempt before its own time was up.
    pub(crate) fn mark_cut_short(&mut self) {
        self.cut_short = true;
    }

    /// Whether it was the deadline of the call that ended the attempt.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short || self.kind == FailureKind::DeadlineExceeded
    }

    /// The breaker's mark: the model is well, and spared because there is another one.
    pub(crate) fn mark_diverted(&mut self) {
        self.diverted = true;
    }

    /// Whether the model would be asked if there were no other one.
    pub(crate) fn is_diverted(&self) -> bool {
        self.diverted
    }

    /// Outside a chain a 404 for a model is the caller's mistake: there is no other model the answer could mean.
    pub(crate) fn outside_a_chain(mut self) -> Self {
        if self.kind == FailureKind::ModelGone {
            self.kind = FailureKind::Refused;
        }
        self
    }

    /// What an answer to the caller says of this failure: status and `error.type`. Upstream's own where it had one.
    pub(crate) fn as_answer(&self) -> (StatusCode, &str) {
        let (status, error_type) = match self.kind {
            FailureKind::Overloaded | FailureKind::CircuitOpen => (529, "overloaded_error"),
            FailureKind::ServerError | FailureKind::Truncated => (500, "api_error"),
            FailureKind::Transport => (502, "api_error"),
            FailureKind::Timeout | FailureKind::DeadlineExceeded => (504, "timeout_error"),
            FailureKind::RateLimited
            | FailureKind::SpendLimit
            | FailureKind::CoolingDown
            | FailureKind::BulkheadFull => (429, "rate_limit_error"),
            FailureKind::ModelGone => (404, "not_found_error"),
            FailureKind::Refused => (400, "invalid_request_error"),
            FailureKind::Cancelled => (499, "api_error"),
        };
        // Of an error inside a 200: the official SDKs go by the status.
        let status = match self.error_type.as_deref() {
            Some("authentication_error") => 401,
            Some("billing_error") => 402,
            Some("permission_error") => 403,
            Some("not_found_error") => 404,
            Some("conflict_error") => 409,
            Some("request_too_large") => 413,
            _ => status,
        };
        let status = self
            .status
            .filter(|status| !status.is_success())
            .or_else(|| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, self.error_type.as_deref().unwrap_or(error_type))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of the table: retry, breaker, next model, degrade.
    #[test]
    fn every_kind_answers_as_the_table_says() {
        use FailureKind as K;
        for kind in K::ALL {
            let row = match kind {
                K::Overloaded | K::ServerError | K::Transport => (true, true, true, true),
                K::Timeout => (false, true, true, true),
                K::Truncated => (false, true, false, false),
                K::RateLimited | K::CoolingDown => (true, false, true, true),
                K::SpendLimit | K::DeadlineExceeded => (false, false, false, true),
                K::ModelGone | K::BulkheadFull => (false, false, true, false),
                K::CircuitOpen => (false, false, true, true),
                K::Refused | K::Cancelled => (false, false, false, false),
            };
            let failure = Failure::new(kind);
            assert_eq!(
                (
                    failure.is_retryable(),
                    failure.counts_against_circuit(),
                    failure.warrants_fallback(),
                    failure.warrants_degrade()
                ),
                row,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_failure_is_found_through_any_wrapper() {
        #[derive(Debug)]
        struct Wrapper(Failure);
        impl fmt::Display for Wrapper {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("wrapped")
            }
        }
        impl Error for Wrapper {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let wrapped = Wrapper(Failure::new(FailureKind::CircuitOpen));
        assert_eq!(
            Failure::find(&wrapped).unwrap().kind,
            FailureKind::CircuitOpen
        );
        assert!(Failure::find(&fmt::Error).is_none());
    }

    #[test]
    fn should_retry_overrides_the_kind_both_ways() {
        let overloaded = Failure::new(FailureKind::Overloaded).with_should_retry(Some(false));
        assert!(!overloaded.is_retryable());
        let refused = Failure::new(FailureKind::Refused).with_should_retry(Some(true));
        assert!(refused.is_retryable());
        assert!(
            Failure::new(FailureKind::Overloaded)
                .with_should_retry(None)
                .is_retryable()
        );
    }

    #[test]
    fn an_error_inside_a_200_is_answered_with_the_status_of_its_type() {
        for (kind, error_type, status) in [
            (FailureKind::Refused, "invalid_request_error", 400),
            (FailureKind::Refused, "authentication_error", 401),
            (FailureKind::SpendLimit, "billing_error", 402),
            (FailureKind::Refused, "permission_error", 403),
            (FailureKind::Refused, "not_found_error", 404),
            (FailureKind::Refused, "conflict_error", 409),
            (FailureKind::Refused, "request_too_large", 413),
            (FailureKind::Overloaded, "overloaded_error", 529),
        ] {
            let failure = Failure::new(kind)
                .with_status(StatusCode::OK)
                .with_error_type(error_type);
            let (answered, told) = failure.as_answer();
            assert_eq!((answered.as_u16(), told), (status, error_type));
        }
    }

    #[test]
    fn a_failure_reads_as_one_line() {
        let failure = Failure::new(FailureKind::RateLimited)
            .with_status(StatusCode::TOO_MANY_REQUESTS)
            .with_error_type("rate_limit_error")
            .with_retry_after(Some(Duration::from_millis(1500)));
        assert_eq!(
            failure.to_string(),
            "rate_limited: 429 rate_limit_error, retry after 1.500s"
        );
    }
}
