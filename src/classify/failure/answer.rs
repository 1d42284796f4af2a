//! What an answer to the caller says of a failure.

use super::Failure;
use crate::classify::FailureKind;
use http::StatusCode;

impl Failure {
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
            Some("invalid_request_error") => 400,
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
