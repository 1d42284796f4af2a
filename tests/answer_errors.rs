//! Errors become answers in Claude's form.

mod common;

use bytes::Bytes;
use common::read;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use std::{
    fmt,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::{BoxError, Failure, FailureKind, answer_errors::AnswerErrorsLayer};

/// The answer to a service that fails with this error: status, headers, body.
async fn answer(error: impl Into<BoxError>) -> (u16, http::HeaderMap, Value) {
    let mut error = Some(error.into());
    let inner = service_fn(move |_: Request<()>| {
        std::future::ready(Err::<Response<Full<Bytes>>, _>(error.take().unwrap()))
    });
    let service = AnswerErrorsLayer::new().layer(inner);
    let (head, body) = service
        .oneshot(Request::new(()))
        .await
        .unwrap()
        .into_parts();
    let (text, end) = read(body).await;
    end.unwrap();
    (
        head.status.as_u16(),
        head.headers,
        serde_json::from_str(&text).unwrap(),
    )
}

#[tokio::test]
async fn a_failure_is_answered_with_its_status_type_and_wait_also_through_a_wrapper() {
    #[derive(Debug)]
    struct Wrapper(Failure);
    impl fmt::Display for Wrapper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }
    impl std::error::Error for Wrapper {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let failure = Failure::new(FailureKind::CircuitOpen)
        .with_retry_after(Some(Duration::from_millis(11_200)));
    let (status, headers, body) = answer(Wrapper(failure)).await;
    assert_eq!(status, 529);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["retry-after"], "12");
    assert_eq!(headers["x-should-retry"], "false");
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn a_full_bulkhead_is_a_429_that_the_caller_may_try_again_in_a_second() {
    let (status, headers, body) = answer(Failure::new(FailureKind::BulkheadFull)).await;
    assert_eq!(status, 429);
    assert_eq!(headers["retry-after"], "1");
    assert!(!headers.contains_key("x-should-retry"));
    assert_eq!(body["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn an_error_of_nobody_knows_what_is_a_500_that_tells_nothing_of_it() {
    let (status, headers, body) = answer("key sk-ant-1 was refused by host h").await;
    assert_eq!(status, 500);
    assert_eq!(body["error"]["type"], "api_error");
    assert!(!format!("{headers:?} {body}").contains("sk-ant-1"));
}

#[tokio::test]
async fn an_answer_passes_through_untouched_whatever_its_status() {
    let inner = service_fn(|_: Request<()>| async {
        let body = Full::new(Bytes::from("<html>"));
        Ok::<_, BoxError>(
            Response::builder()
                .status(529)
                .header("x-a", "1")
                .body(body)
                .unwrap(),
        )
    });
    let service = AnswerErrorsLayer::new().layer(inner);
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 529);
    assert_eq!(response.headers().len(), 1);
    assert_eq!(read(response.into_body()).await.0, "<html>");
}

/// Never ready; a call would be a mistake.
#[derive(Clone)]
struct Broken;

impl Service<Request<()>> for Broken {
    type Response = Response<Full<Bytes>>;
    type Error = Failure;
    type Future = std::future::Ready<Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Err(Failure::new(FailureKind::Transport)))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        panic!("called though it was not ready")
    }
}

#[tokio::test]
async fn a_service_that_never_gets_ready_is_answered_for_and_not_called() {
    let mut service = AnswerErrorsLayer::new().layer(Broken);
    for _ in 0..2 {
        let response = service
            .ready()
            .await
            .unwrap()
            .call(Request::new(()))
            .await
            .unwrap();
        assert_eq!(response.status(), 502);
    }
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn axum_takes_the_stack_as_the_service_of_a_route() {
    let inner = service_fn(|_: Request<axum::body::Body>| async {
        Err::<Response<Full<Bytes>>, BoxError>(Failure::new(FailureKind::DeadlineExceeded).into())
    });
    let service = AnswerErrorsLayer::new().layer(inner);
    let app: axum::Router = axum::Router::new().route_service("/v1/messages", service);
    let request = Request::post("/v1/messages")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 504);
    assert!(read(response.into_body()).await.0.contains("timeout_error"));
}
