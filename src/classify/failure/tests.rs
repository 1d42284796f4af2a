//! What a failure answers, and how it reads.

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
        (FailureKind::SpendLimit, "invalid_request_error", 400),
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
fn what_upstream_said_is_for_the_caller_and_not_for_a_log() {
    let failure = Failure::new(FailureKind::Refused).with_message("messages.0: my diary");
    assert_eq!(failure.message(), Some("messages.0: my diary"));
    assert!(!format!("{failure:?} {failure}").contains("diary"));
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
