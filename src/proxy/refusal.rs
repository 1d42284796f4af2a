//! What the proxy itself answers, in Claude's form.

use super::{
    limits::Full,
    read::{BrokenBody, SlowBody},
};
use crate::{
    answer,
    claude::{headers::X_SHOULD_RETRY, reply},
    error::BodyTooLarge,
};
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use std::error::Error;

/// Why a request got no answer of upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token, or a wrong one.
    NotAuthenticated,
    /// A path that callers with a token may not use.
    NotServed,
    /// No room, see [`Full`].
    Full,
    /// A request body past this limit.
    TooLarge(u64),
    /// A request body that came in too slowly.
    Slow,
    /// A request body that is not whole.
    Broken,
    /// A path that is none.
    BadPath,
    /// The proxy stops before there is an answer.
    Stopping,
    /// Upstream could not be reached, or broke off before an answer.
    Unreachable,
    /// Upstream did not answer in time.
    NoAnswer,
}

impl Refusal {
    pub(super) fn answer(self) -> Response<Bytes> {
        if let Self::TooLarge(limit) = self {
            return answer::of_error(&BodyTooLarge::new(limit));
        }
        let (status, error_type, message) = self.words();
        let mut response = Response::new(reply::error_json(error_type, message, None));
        *response.status_mut() = status;
        let map = response.headers_mut();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Full | Self::Stopping => {
                map.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Slow => {
                // The SDKs retry a 408, and would be as slow again.
                map.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            _ => {}
        }
        response
    }

    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotAuthenticated => (
                StatusCode::UNAUTHORIZED,
                "authentication_error",
                "The proxy asks for one of its tokens, as x-api-key or authorization: Bearer",
            ),
            Self::NotServed => (
                StatusCode::FORBIDDEN,
                "permission_error",
                "The proxy does not serve this path to callers with a token",
            ),
            Self::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limit_error",
                "The proxy has no room for more calls",
            ),
            Self::TooLarge(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "The request body is too large",
            ),
            Self::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                "The request body came in too slowly",
            ),
            Self::Broken => (
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "The request body is not whole",
            ),
            Self::BadPath => (
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "The path of the request is not valid",
            ),
            Self::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded_error",
                "The proxy stops",
            ),
            Self::Unreachable => (
                StatusCode::BAD_GATEWAY,
                "api_error",
                "The connection to the API failed",
            ),
            Self::NoAnswer => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout_error",
                "No answer from the API in time",
            ),
        }
    }
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

/// What the stack left as an error: the proxy's own reasons first, then as
/// [`AnswerErrors`](crate::answer_errors).
pub(super) fn of_error(error: &(dyn Error + 'static)) -> Response<Bytes> {
    match own(error) {
        Some(refusal) => refusal.answer(),
        None => answer::of_error(error),
    }
}

/// The proxy's own reason anywhere in a chain of sources.
pub(super) fn own(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Full>() {
            return Some(Refusal::Full);
        }
        if error.is::<SlowBody>() {
            return Some(Refusal::Slow);
        }
        if error.is::<BrokenBody>() {
            return Some(Refusal::Broken);
        }
        if let Some(large) = error.downcast_ref::<BodyTooLarge>() {
            return Some(Refusal::TooLarge(large.limit));
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Failure, FailureKind};
    use serde_json::Value;

    #[test]
    fn every_refusal_is_an_error_in_the_documented_envelope() {
        for (refusal, status) in [
            (Refusal::NotAuthenticated, 401),
            (Refusal::NotServed, 403),
            (Refusal::Full, 429),
            (Refusal::TooLarge(7), 413),
            (Refusal::Slow, 408),
            (Refusal::Broken, 400),
            (Refusal::BadPath, 400),
            (Refusal::Stopping, 503),
            (Refusal::Unreachable, 502),
            (Refusal::NoAnswer, 504),
        ] {
            let response = refusal.answer();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()["content-type"], "application/json");
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["type"], "error");
            assert!(!body["error"]["type"].as_str().unwrap().is_empty());
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn the_proxys_own_reason_is_found_in_any_wrapper() {
        let slow = Failure::new(FailureKind::Refused).with_source(SlowBody);
        assert_eq!(of_error(&slow).status(), 408);
        let large = Failure::new(FailureKind::Refused).with_source(BodyTooLarge::new(7));
        assert_eq!(of_error(&large).status(), 413);
        let full = of_error(&Failure::from(Full));
        assert_eq!(full.status(), 429);
        assert_eq!(full.headers()["retry-after"], "1");
        let refused = Failure::new(FailureKind::Refused);
        assert_eq!(of_error(&refused).status(), 400);
    }
}
