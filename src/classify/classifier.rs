//! The judge: which kind an answer is.

use super::{End, Failure, FailureKind, Retry, TransportKind, Verdict, transport};
use crate::claude::{
    error::{ErrorBody, ErrorType},
    headers,
};
use http::{HeaderMap, StatusCode, response};
use memchr::memmem::Finder;
use std::{error::Error, fmt::Debug, sync::LazyLock, time::SystemTime};

/// Judges answers. Object-safe: give your own as an `Arc<dyn Classify>` to
/// [`CommitLayer`](crate::commit::CommitLayer) or to the builder, and ask [`ClaudeClassifier`] for what you do not
/// override. One that panics takes its call with it, as a client does, and counts against the model: the panic goes on to
/// whoever polls the call.
///
/// ```
/// use http::response::Parts;
/// use std::{error::Error, sync::Arc};
/// use tower_claude::{Failure, FailureKind, Resilience, Verdict};
/// use tower_claude::classify::{Classify, ClaudeClassifier};
///
/// /// A gateway whose 418 means that Claude is overloaded.
/// #[derive(Debug, Default)]
/// struct Gateway(ClaudeClassifier);
///
/// impl Classify for Gateway {
///     fn head(&self, head: &Parts) -> Verdict {
///         if head.status == 418 {
///             return Verdict::Failed(Failure::new(FailureKind::Overloaded));
///         }
///         self.0.head(head)
///     }
///
///     fn body(&self, head: &Parts, start: &[u8]) -> Verdict {
///         if head.status == 418 {
///             return self.head(head);
///         }
///         self.0.body(head, start)
///     }
///
///     fn error(&self, error: &(dyn Error + 'static)) -> Failure {
///         self.0.error(error)
///     }
/// }
///
/// let stack = Resilience::builder().classifier(Arc::new(Gateway::default())).build()?;
/// # drop(stack);
/// # Ok::<(), tower_claude::BuildError>(())
/// ```
pub trait Classify: Debug + Send + Sync {
    /// Judges by the head alone. The [`End`] of a [`Verdict::Committed`] from here is not read: Commit makes the one that
    /// travels.
    fn head(&self, head: &response::Parts) -> Verdict;

    /// Judges by the head and the start of the body: of a failed answer up to 64 KiB, of a JSON answer all that is held,
    /// of an SSE answer the data of its `error` event.
    fn body(&self, head: &response::Parts, start: &[u8]) -> Verdict;

    /// Judges an error of the client.
    fn error(&self, error: &(dyn Error + 'static)) -> Failure;
}

/// The table of the [module docs](super), for Claude's API and the platforms that offer it.
///
/// A [`Failure`] inside an error of the client, however deep, is that failure. A time limit of the client's own that ran out
/// before the answer came (reqwest's `timeout` and `read_timeout`, tokio's `timeout`) is [`Timeout`](FailureKind::Timeout),
/// as ours are: the model kept the call waiting, and another attempt would wait as long. Any other error is
/// [`Transport`](FailureKind::Transport), also a connect timeout and a connection that has gone silent: those say nothing of
/// the model, and another connection may well work. [`Failure::transport`] tells which it was.
///
/// Made by [`default`](Self::default).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaudeClassifier;

/// What an error's envelope has in it. Made once, for every good answer is searched for it.
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

impl ClaudeClassifier {
    pub(crate) fn head_of(status: StatusCode, headers: &HeaderMap) -> Verdict {
        if status.is_success() {
            return Verdict::Committed(End::new());
        }
        Verdict::Failed(failure(status, headers, None))
    }
}

impl Classify for ClaudeClassifier {
    fn head(&self, head: &response::Parts) -> Verdict {
        if head.status.is_success() {
            return Verdict::Committed(End::untold());
        }
        Self::head_of(head.status, &head.headers)
    }

    fn body(&self, head: &response::Parts, start: &[u8]) -> Verdict {
        if head.status.is_success() {
            // Only the documented envelope: any other object may well be an answer. Within a string its word would stand
            // between escaped quotes, so that an answer is almost never parsed.
            let may_be_error = ERROR.find(start).is_some();
            let body = may_be_error.then(|| ErrorBody::parse(start)).flatten();
            return match body.filter(ErrorBody::is_documented) {
                Some(body) => Verdict::Failed(failure(head.status, &head.headers, Some(&body))),
                None => Verdict::Complete,
            };
        }
        let body = ErrorBody::parse(start);
        Verdict::Failed(failure(head.status, &head.headers, body.as_ref()))
    }

    fn error(&self, error: &(dyn Error + 'static)) -> Failure {
        if let Some(failure) = Failure::find(error) {
            return failure.clone();
        }
        let failure = Failure::new(if transport::ran_out_of_time(error) {
            FailureKind::Timeout
        } else {
            FailureKind::Transport
        });
        match TransportKind::of(error) {
            Some(kind) => failure.with_transport(kind),
            None => failure,
        }
    }
}

fn failure(status: StatusCode, headers: &HeaderMap, body: Option<&ErrorBody>) -> Failure {
    let (kind, retry) = if status.is_success() {
        kind_inside_success(body)
    } else {
        kind_of_status(status, body)
    };
    // The API marks any 429 as worth a retry, and money is not back within seconds.
    let should_retry = headers::should_retry(headers)
        .filter(|should_retry| !should_retry || kind != FailureKind::SpendLimit);
    let mut failure = Failure::new(kind)
        .with_status(status)
        .with_retry(retry)
        .with_retry_after(headers::retry_after(headers, now()))
        .with_should_retry(should_retry)
        .with_request_id(
            headers::request_id(headers).or(body.and_then(|body| body.request_id.as_deref())),
        );
    if let Some(error_type) = body.and_then(|body| body.error_type.as_ref()) {
        failure = failure.with_error_type(error_type.as_str());
    }
    if let Some(body) = body.filter(|body| body.is_documented() && !body.message.is_empty()) {
        failure = failure.with_message(&*body.message);
    }
    failure
}

fn kind_of_status(status: StatusCode, body: Option<&ErrorBody>) -> (FailureKind, Retry) {
    use FailureKind as Kind;
    let says =
        |error_type: &ErrorType| body.and_then(|b| b.error_type.as_ref()) == Some(error_type);
    let has_code = |code| body.and_then(|body| body.error_code.as_deref()) == Some(code);
    let no_money = body.is_some_and(ErrorBody::is_spend_limit);
    match status.as_u16() {
        529 | 503 => (Kind::Overloaded, Retry::Yes),
        408 | 504 => (Kind::Timeout, Retry::Once),
        500..=599 if says(&ErrorType::Overloaded) => (Kind::Overloaded, Retry::Yes),
        500 | 502 | 520..=524 | 424 => (Kind::ServerError, Retry::Yes),
        500..=599 => (Kind::ServerError, Retry::Never),
        402 => (Kind::SpendLimit, Retry::Never),
        400 | 429 if no_money => (Kind::SpendLimit, Retry::Never),
        429 => (Kind::RateLimited, Retry::Yes),
        404 if body.is_some_and(ErrorBody::names_model) => (Kind::ModelGone, Retry::Never),
        409 => (Kind::Refused, Retry::Once),
        // The body came too slowly; nothing was done with it.
        400 if has_code("request_body_timeout") => (Kind::Refused, Retry::Once),
        _ => (Kind::Refused, Retry::Never),
    }
}

/// An error inside a 200: in an SSE event, or a JSON body that is an error object.
fn kind_inside_success(body: Option<&ErrorBody>) -> (FailureKind, Retry) {
    use FailureKind as Kind;
    if body.is_some_and(ErrorBody::is_spend_limit) {
        return (Kind::SpendLimit, Retry::Never);
    }
    match body.and_then(|body| body.error_type.as_ref()) {
        Some(ErrorType::Overloaded) => (Kind::Overloaded, Retry::Yes),
        Some(ErrorType::Timeout) => (Kind::Timeout, Retry::Once),
        Some(ErrorType::RateLimit) => (Kind::RateLimited, Retry::Yes),
        Some(ErrorType::Billing) => (Kind::SpendLimit, Retry::Never),
        Some(
            ErrorType::InvalidRequest
            | ErrorType::Authentication
            | ErrorType::Permission
            | ErrorType::NotFound
            | ErrorType::RequestTooLarge,
        ) => (Kind::Refused, Retry::Never),
        Some(ErrorType::Conflict) => (Kind::Refused, Retry::Once),
        Some(ErrorType::Api | ErrorType::Other(_)) | None => (Kind::ServerError, Retry::Yes),
    }
}

/// A date in `retry-after` can only be read against the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the wall clock"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use std::time::Duration;

    fn judge(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
        let mut builder = Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        ClaudeClassifier.body(&head, body.as_bytes())
    }

    fn fails(status: u16, body: &str) -> Failure {
        judge(status, &[], body).failure().unwrap().clone()
    }

    fn error(error_type: &str, message: &str, details: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{error_type}","message":"{message}","details":{details}}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn each_status_is_the_kind_the_table_names() {
        use FailureKind as K;
        use Retry as R;
        for (status, kind, retry) in [
            (529, K::Overloaded, R::Yes),
            (503, K::Overloaded, R::Yes),
            (500, K::ServerError, R::Yes),
            (502, K::ServerError, R::Yes),
            (520, K::ServerError, R::Yes),
            (524, K::ServerError, R::Yes),
            (424, K::ServerError, R::Yes),
            (501, K::ServerError, R::Never),
            (525, K::ServerError, R::Never),
            (408, K::Timeout, R::Once),
            (504, K::Timeout, R::Once),
            (429, K::RateLimited, R::Yes),
            (402, K::SpendLimit, R::Never),
            (409, K::Refused, R::Once),
            (302, K::Refused, R::Never),
            (400, K::Refused, R::Never),
            (401, K::Refused, R::Never),
            (403, K::Refused, R::Never),
            (404, K::Refused, R::Never),
            (413, K::Refused, R::Never),
            (422, K::Refused, R::Never),
            (499, K::Refused, R::Never),
        ] {
            let failure = fails(status, "<html>edge</html>");
            assert_eq!((failure.kind, failure.retry()), (kind, retry), "{status}");
        }
    }

    #[test]
    fn an_overloaded_error_is_overload_under_any_5xx() {
        let body = error("overloaded_error", "Overloaded", "null");
        assert_eq!(fails(500, &body).kind, FailureKind::Overloaded);
    }

    #[test]
    fn a_spend_limit_is_no_rate_limit() {
        let code = r#"{"error_code":"enforced_spend_limit_reached"}"#;
        let failure = fails(429, &error("rate_limit_error", "limit", code));
        assert_eq!(failure.kind, FailureKind::SpendLimit);
        assert!(!failure.is_retryable());
        let credit = "Your credit balance is too low to access the Anthropic API.";
        let failure = fails(400, &error("invalid_request_error", credit, "null"));
        assert_eq!(failure.kind, FailureKind::SpendLimit);
    }

    #[test]
    fn a_404_that_names_a_model_is_a_model_gone_and_another_is_not() {
        let gone = error("not_found_error", "model: claude-3-opus-20240229", "null");
        assert_eq!(fails(404, &gone).kind, FailureKind::ModelGone);
        let path = error("not_found_error", "Not found", "null");
        assert_eq!(fails(404, &path).kind, FailureKind::Refused);
    }

    #[test]
    fn an_error_object_inside_a_200_is_a_failure_and_a_message_is_not() {
        let failure = fails(200, &error("overloaded_error", "Overloaded", "null"));
        assert_eq!(failure.kind, FailureKind::Overloaded);
        assert_eq!(failure.request_id.as_deref(), Some("req_1"));
        let unknown = fails(200, &error("some_new_error", "x", "null"));
        assert_eq!(unknown.kind, FailureKind::ServerError);
        for whole in [
            r#"{"type":"message","content":[]}"#,
            r#"{"message":"hi"}"#,
            "",
        ] {
            assert!(
                matches!(judge(200, &[], whole), Verdict::Complete),
                "{whole}"
            );
        }
    }

    #[test]
    fn should_retry_false_on_529_stops_and_true_on_400_goes_on() {
        let stop = judge(529, &[("x-should-retry", "false")], "");
        assert!(!stop.failure().unwrap().is_retryable());
        let go_on = judge(400, &[("x-should-retry", "true")], "");
        assert!(go_on.failure().unwrap().is_retryable());
    }

    /// The header is one for all 429, and was believed until the last attempt.
    #[test]
    fn a_spend_limit_is_not_over_within_seconds_whatever_the_header_says() {
        let code = r#"{"error_code":"enforced_spend_limit_reached"}"#;
        let limit = error("rate_limit_error", "limit", code);
        let billing = error("billing_error", "pay", "null");
        for (status, body) in [(429, &*limit), (402, ""), (200, &*billing)] {
            let answer = judge(status, &[("x-should-retry", "true")], body);
            let failure = answer.failure().unwrap();
            assert_eq!(failure.kind, FailureKind::SpendLimit);
            assert!(!failure.is_retryable(), "{status}");
        }
        let rate = judge(429, &[("x-should-retry", "true")], "");
        assert!(rate.failure().unwrap().is_retryable());
    }

    #[test]
    fn retry_after_is_read_from_any_failed_answer() {
        let failure = judge(529, &[("retry-after", "7")], "")
            .failure()
            .unwrap()
            .clone();
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    }
}
