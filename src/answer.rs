//! A failure as an answer to the caller, in Claude's form.
//!
//! The one place that decides what a caller is told of a failure, for [`Degrade`](crate::degrade) and
//! [`AnswerErrors`](crate::answer_errors).

use crate::{
    classify::{Failure, FailureKind},
    claude::{headers, reply},
    error::BodyTooLarge,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use std::{error::Error, time::Duration};

/// The longest wait that a caller is asked for: official SDKs sleep for as long as they are told.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The wait for a place in a compartment: places come free all the time.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// The status, `error.type`, message and wait of the failure in an envelope of Claude's: upstream's own where it had them.
/// No word of the error's own chain: it may name hosts or hold secrets.
pub(crate) fn of_failure(failure: &Failure) -> Response<Bytes> {
    let (status, error_type) = failure.as_answer();
    let request_id = failure.request_id.as_deref();
    let message = failure.message().unwrap_or_else(|| text(failure.kind));
    let body = reply::error_json(error_type, message, request_id);
    let mut response = json(status, body);
    let map = response.headers_mut();
    if let Some(Ok(id)) = request_id.map(HeaderValue::from_str) {
        map.insert(headers::REQUEST_ID, id);
    }
    write_wait(map, failure);
    write_final(map, failure);
    response
}

/// The same for any error: `413` for a body that is too large, a bare `500` for one that is not ours.
pub(crate) fn of_error(error: &(dyn Error + 'static)) -> Response<Bytes> {
    if let Some(failure) = Failure::find(error) {
        return of_failure(failure);
    }
    if let Some(large) = body_too_large(error) {
        let text = format!("Request body is larger than {} bytes", large.limit);
        let body = reply::error_json("request_too_large", &text, None);
        return json(StatusCode::PAYLOAD_TOO_LARGE, body);
    }
    let body = reply::error_json("api_error", text(FailureKind::ServerError), None);
    json(StatusCode::INTERNAL_SERVER_ERROR, body)
}

/// Whether the caller sent more than is held for replay.
pub(crate) fn body_too_large<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BodyTooLarge> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<BodyTooLarge>())
}

/// `retry-after`: the earliest probe or reset in whole seconds, at least 1, at most 30; 30 where none is known. Nothing
/// where waiting changes nothing.
pub(crate) fn write_wait(map: &mut HeaderMap, failure: &Failure) {
    let known = failure.retry_after.or_else(|| failure.circuit_open_for());
    let wait = match failure.kind {
        FailureKind::BulkheadFull => known.unwrap_or(PLACE_WAIT),
        _ if failure.warrants_degrade() => known.unwrap_or(MAX_WAIT),
        _ => return,
    };
    let wait = wait.min(MAX_WAIT);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    map.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    // The SDKs would prefer this one.
    map.remove(headers::RETRY_AFTER_MS);
}

/// `x-should-retry: false`, so that the caller's SDK does not multiply the retries of this stack. Not for a full
/// bulkhead: nothing was sent.
pub(crate) fn write_final(map: &mut HeaderMap, failure: &Failure) {
    if failure.kind == FailureKind::BulkheadFull {
        map.remove(headers::X_SHOULD_RETRY);
    } else {
        map.insert(headers::X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// What a person is told.
fn text(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Overloaded => "Overloaded",
        FailureKind::ServerError => "Internal server error",
        FailureKind::Timeout => "No answer from the API in time",
        FailureKind::Transport => "The connection to the API failed",
        FailureKind::Truncated => "The answer broke off",
        FailureKind::RateLimited => "Rate limit reached",
        FailureKind::SpendLimit => "Spend limit reached",
        FailureKind::ModelGone => "The model does not exist",
        FailureKind::Refused => "The request was refused",
        FailureKind::CoolingDown => "Rate limit reached: the model is not asked until it resets",
        FailureKind::CircuitOpen => "Overloaded: the model is not asked until it has recovered",
        FailureKind::BulkheadFull => "Too many calls of this feature at once",
        FailureKind::DeadlineExceeded => "No answer before the deadline of the call",
        FailureKind::Cancelled => "The call was cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn body(response: &Response<Bytes>) -> Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    fn wait_of(failure: &Failure) -> Option<String> {
        let response = of_failure(failure);
        let wait = response.headers().get("retry-after")?;
        Some(wait.to_str().unwrap().to_owned())
    }

    #[test]
    fn every_kind_has_an_error_status_and_the_documented_envelope() {
        for kind in FailureKind::ALL {
            let response = of_failure(&Failure::new(kind));
            let status = response.status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{kind}"
            );
            assert_eq!(response.headers()["content-type"], "application/json");
            let body = body(&response);
            assert_eq!(body["type"], "error");
            assert!(body["error"]["type"].as_str().unwrap().ends_with("_error"));
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        }
    }

    #[test]
    fn upstreams_own_words_are_kept_and_the_cause_is_not_told() {
        let failure = Failure::new(FailureKind::Overloaded)
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .with_error_type("overloaded_error")
            .with_request_id(Some("req_1"))
            .with_source("key sk-ant-1 at host h");
        let response = of_failure(&failure);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["request-id"], "req_1");
        assert_eq!(
            body(&response),
            json!({
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded"},
                "request_id": "req_1",
            })
        );
    }

    #[test]
    fn the_wait_is_whole_seconds_from_1_to_30() {
        let after = |wait| Failure::new(FailureKind::RateLimited).with_retry_after(Some(wait));
        for (wait, expected) in [
            (Duration::ZERO, "1"),
            (Duration::from_millis(1), "1"),
            (Duration::from_millis(1001), "2"),
            (Duration::from_secs(12), "12"),
            (Duration::from_millis(29_500), "30"),
            (Duration::MAX, "30"),
        ] {
            assert_eq!(wait_of(&after(wait)).unwrap(), expected, "{wait:?}");
        }
        let mut open = Failure::new(FailureKind::Overloaded);
        open.mark_open(Duration::from_secs(7));
        assert_eq!(wait_of(&open).unwrap(), "7");
        assert_eq!(
            wait_of(&Failure::new(FailureKind::Transport)).unwrap(),
            "30"
        );
        assert_eq!(wait_of(&Failure::new(FailureKind::Refused)), None);
    }

    #[test]
    fn only_a_full_bulkhead_may_be_tried_again() {
        for kind in FailureKind::ALL {
            let response = of_failure(&Failure::new(kind));
            let last = response
                .headers()
                .get("x-should-retry")
                .map(|value| value == "false");
            let expected = (kind != FailureKind::BulkheadFull).then_some(true);
            assert_eq!(last, expected, "{kind}");
        }
        let full = of_failure(&Failure::new(FailureKind::BulkheadFull));
        assert_eq!(
            (full.status().as_u16(), &full.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
    }

    #[test]
    fn an_unknown_error_says_nothing_of_itself() {
        let unknown: crate::BoxError = "key sk-ant-1".into();
        let response = of_error(&*unknown);
        assert_eq!(response.status(), 500);
        assert_eq!(body(&response)["error"]["type"], "api_error");
        assert!(!format!("{response:?}").contains("sk-ant"));

        let response = of_error(&BodyTooLarge::new(10));
        assert_eq!(response.status(), 413);
        assert_eq!(body(&response)["error"]["type"], "request_too_large");
    }
}
