//! The one line about a call, told when it is over.

use crate::{
    Seen,
    common::{Act, BodyEnd, DELTA, SONNET, START, Upstream, request},
    common_body, full,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_claude::{
    Event, FailureKind, Observe, Outcome, ReplayBody, Served, classify::End, replay::ReplayLayer,
};

/// Keeps what calls ended with.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<CallEnd>>>);

type CallEnd = (Outcome, Option<FailureKind>, Duration);

impl Observe for Ends {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::CallEnded {
            outcome,
            failure,
            total,
            ..
        } = event
        {
            self.0.lock().unwrap().push((*outcome, *failure, *total));
        }
    }
}

impl Ends {
    fn layer(&self) -> ReplayLayer {
        ReplayLayer::new().with_observer(Arc::new(self.clone()))
    }

    fn all(&self) -> Vec<(Outcome, Option<FailureKind>)> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(outcome, failure, _)| (*outcome, *failure))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_is_told_once_when_its_body_ends() {
    let ends = Ends::default();
    let stream = Act::stream().every(Duration::from_secs(2));
    let service = ends.layer().layer(Upstream::always(stream));
    let response = service.oneshot(request(SONNET, true)).await.unwrap();
    assert_eq!(ends.all(), [], "the head is not the end");
    response.into_body().collect().await.unwrap();
    assert_eq!(ends.all(), [(Outcome::Direct, None)]);
    assert_eq!(ends.0.lock().unwrap()[0].2, Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_dropped_half_way_is_a_cancelled_call() {
    let ends = Ends::default();
    let service = ends.layer().layer(Upstream::always(Act::stream()));
    let mut body = service
        .oneshot(request(SONNET, true))
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(
        ends.all(),
        [(Outcome::Direct, Some(FailureKind::Cancelled))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_answer_is_cancelled() {
    for body in [
        common_body::never(),
        common_body::of(full("{\"model\":\"a\"}")),
    ] {
        let ends = Ends::default();
        let service = ends.layer().layer(Upstream::always(Act::Hang));
        let call = service.oneshot(Request::new(body));
        assert!(timeout(Duration::from_secs(1), call).await.is_err());
        assert_eq!(ends.all(), [(Outcome::Error, Some(FailureKind::Cancelled))]);
    }
}

#[tokio::test]
async fn every_failure_is_told_once() {
    for (act, kind) in [
        (Act::overloaded(), FailureKind::Overloaded),
        (Act::refused(), FailureKind::Refused),
        (Act::Break(Duration::ZERO), FailureKind::Transport),
    ] {
        let ends = Ends::default();
        let service = ends.layer().layer(Upstream::always(act));
        if let Ok(response) = service.oneshot(request(SONNET, false)).await {
            response.into_body().collect().await.unwrap();
        }
        assert_eq!(ends.all(), [(Outcome::Error, Some(kind))]);
    }
    let ends = Ends::default();
    let service = ends
        .layer()
        .with_limit(1)
        .layer(Upstream::always(Act::ok()));
    service.oneshot(request(SONNET, false)).await.unwrap_err();
    assert_eq!(ends.all(), [(Outcome::Error, Some(FailureKind::Refused))]);
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_as_such() {
    let ends = Ends::default();
    let service = ends
        .layer()
        .layer(Upstream::always(Act::sse(&[START, DELTA], BodyEnd::Cut)));
    service
        .oneshot(request(SONNET, true))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(
        ends.all(),
        [(Outcome::Direct, Some(FailureKind::Truncated))]
    );
}

#[tokio::test]
async fn a_panic_of_the_inner_service_is_told_as_one() {
    let ends = Ends::default();
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        assert!(request.headers().is_empty(), "boom");
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let call = tokio::spawn(ends.layer().layer(inner).oneshot(request(SONNET, false)));
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(
        ends.all(),
        [(Outcome::Error, Some(FailureKind::ServerError))]
    );
}

#[tokio::test]
async fn what_an_inner_layer_says_of_a_degraded_answer_stands() {
    let ends = Ends::default();
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        let end = End::new();
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
        let mut served = served_by(&request).await;
        served.outcome = Outcome::Canned;
        served.degraded = Some(FailureKind::CircuitOpen);
        served.end = end;
        response.extensions_mut().insert(served);
        Ok::<_, Infallible>(response)
    });
    let response = ends
        .layer()
        .layer(inner)
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(response.headers()["tower-claude-outcome"], "canned");
    assert_eq!(response.headers()["tower-claude-degraded"], "circuit_open");
    response.into_body().collect().await.unwrap();
    assert_eq!(
        ends.all(),
        [(Outcome::Canned, Some(FailureKind::CircuitOpen))]
    );
}

/// `Served` cannot be made outside the crate: take one from a plain call.
async fn served_by(request: &Request<ReplayBody>) -> Served {
    let inner = Seen::default().service();
    let again = Request::new(request.body().clone());
    let response = ReplayLayer::new()
        .layer(inner)
        .oneshot(again)
        .await
        .unwrap();
    response.extensions().get::<Served>().unwrap().clone()
}
