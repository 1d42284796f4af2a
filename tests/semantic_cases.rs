//! Cases that a single layer cannot show: what the layers of a built stack do to each other.
//!
//! Numbers are those of the list of cases that trusted resilience libraries pass.

mod common;

use bytes::Bytes;
use common::{
    Act, BLOCK, BodyEnd, DELTA, ERROR, HAIKU, MESSAGE, SONNET, START, Upstream, read, request,
};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use std::{
    convert::Infallible,
    num::{NonZeroU8, NonZeroU32},
    panic::AssertUnwindSafe,
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tower::{Layer, service_fn};
use tower_claude::{
    BoxError, CircuitBreakerLayer, Deadline, JitterBackoffLayer, ReplayBody, Resilience,
    circuit_breaker::{CircuitSnapshot, CircuitState},
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A chain of two models.
fn chain() -> Resilience {
    Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
}

/// An upstream whose first model does `act`, and whose second one answers.
fn first(act: Act) -> Upstream {
    Upstream::new(move |model, _| {
        if model == SONNET {
            act.clone()
        } else {
            Act::ok()
        }
    })
}

fn circuit(stack: &Resilience, model: &str) -> CircuitSnapshot {
    let all = stack.circuits().snapshot();
    all.into_iter()
        .find(|circuit| &*circuit.model == model)
        .unwrap()
}

fn in_flight(stack: &Resilience) -> usize {
    let rooms = stack.bulkheads().snapshot();
    rooms.iter().map(|room| room.in_flight).sum()
}

/// Cases 12 and 50: a stream that breaks after its first content is one failure of the model, and nothing is resent.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_after_its_first_content_is_one_failure_and_nobody_is_asked_again() {
    for (frames, end) in [
        (&[START, BLOCK, DELTA, ERROR][..], BodyEnd::Eof),
        (&[START, BLOCK, DELTA][..], BodyEnd::Cut),
        (&[START, BLOCK, DELTA][..], BodyEnd::Stall),
        (&[START, BLOCK, DELTA][..], BodyEnd::Eof),
    ] {
        let upstream = first(Act::sse(frames, end));
        let stack = chain();
        let claude = stack.layer(upstream.clone());
        let answer = claude.send(request(SONNET, true)).await.unwrap();
        let (text, end) = read(answer.into_body()).await;
        end.unwrap();
        assert!(text.starts_with(&[START, BLOCK, DELTA].concat()));
        assert_eq!(text.matches("event: error").count(), 1, "{text}");
        assert!(!text.contains("message_stop"));
        assert_eq!(upstream.calls(), 1);
        assert_eq!(circuit(&stack, SONNET).failures, 1);
        assert_eq!(in_flight(&stack), 0);
    }
}

async fn panics(_: Request<ReplayBody>) -> Result<Response<ReplayBody>, Infallible> {
    sleep(secs(1)).await;
    panic!("the client panics");
}

/// Case 13: a panic of the client is one failure, gives its permit back and goes on to the caller.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_client_is_one_failure_holds_no_permit_and_goes_on_to_the_caller() {
    let stack = chain();
    let claude = stack.layer(service_fn(panics));
    let call = AssertUnwindSafe(claude.send(request(SONNET, false))).catch_unwind();
    assert!(call.await.is_err());
    assert_eq!(circuit(&stack, SONNET).failures, 1);
    assert_eq!(in_flight(&stack), 0);
}

/// Case 21: while a model cools down after a 429 no call of its tenant is sent there, and no failure is counted.
#[tokio::test(start_paused = true)]
async fn while_a_model_cools_down_its_tenant_is_served_by_the_next_one_at_once() {
    let upstream = first(Act::rate_limited("12"));
    let stack = chain();
    let claude = stack.layer(upstream.clone());
    let start = Instant::now();
    // For the last 2 s of it backoff would wait: that fits where another model could be asked.
    while Instant::now() < start + Duration::from_millis(9_500) {
        let asked = Instant::now();
        let answer = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(answer.headers()["tower-claude-outcome"], "fallback");
        assert_eq!(Instant::now(), asked);
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(upstream.calls_to(SONNET), 1);
    assert_eq!(upstream.calls_to(HAIKU), 19);
    assert_eq!(circuit(&stack, SONNET).failures, 0);
    tokio::time::sleep_until(start + secs(16)).await;
    claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(upstream.calls_to(SONNET), 2, "then it is asked again");
}

/// Case 22: once the circuit is open nobody sleeps and nobody tries again, neither the call that opened it nor the next.
#[tokio::test(start_paused = true)]
async fn under_an_open_circuit_backoff_neither_sleeps_nor_tries_again() {
    let upstream = Upstream::always(Act::overloaded());
    let stack = Resilience::builder()
        .circuit_breaker(
            CircuitBreakerLayer::new()
                .with_consecutive(NonZeroU32::new(2).unwrap())
                .with_consecutive_span(Duration::ZERO),
        )
        .backoff(JitterBackoffLayer::new().with_attempts(NonZeroU8::new(5).unwrap()))
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    claude.send(request(SONNET, false)).await.unwrap();
    let [.., last] = &upstream.seen()[..] else {
        panic!("it was asked")
    };
    assert_eq!(upstream.calls(), 2);
    assert_eq!(
        Instant::now(),
        last.at,
        "no sleep after the failure that opened it"
    );
    assert_eq!(circuit(&stack, SONNET).state, CircuitState::Open);

    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-degraded"], "circuit_open");
    assert_eq!(upstream.calls(), 2);
    assert_eq!(Instant::now(), last.at);
}

/// Case 46: a wait that ends past the deadline is not begun; the next model is asked now.
#[tokio::test(start_paused = true)]
async fn a_retry_after_past_the_deadline_falls_over_without_a_sleep() {
    let upstream = first(Act::rate_limited("2"));
    let claude = chain().layer(upstream.clone());
    let mut request = request(SONNET, false);
    request
        .extensions_mut()
        .insert(Deadline::after(Duration::from_millis(1_900)));
    let start = Instant::now();
    let answer = claude.send(request).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-outcome"], "fallback");
    assert_eq!(Instant::now(), start);
    assert_eq!(upstream.calls(), 2);
}

/// Case 48: a call dropped while backoff sleeps is over: no further attempt, no permit, no timer that acts.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_sleeps_is_over() {
    let upstream = Upstream::always(Act::overloaded());
    let stack = Resilience::builder().build().unwrap();
    let claude = stack.layer(upstream.clone());
    let call = tokio::time::timeout(
        Duration::from_millis(100),
        claude.send(request(SONNET, false)),
    );
    assert!(call.await.is_err());
    sleep(secs(3_600)).await;
    assert_eq!(upstream.calls(), 1);
    assert_eq!((upstream.open(), in_flight(&stack)), (0, 0));
}

/// Case 49: a body that can be read only once is read once, and sent again all the same.
#[tokio::test(start_paused = true)]
async fn a_body_that_can_be_read_only_once_is_sent_whole_with_every_attempt() {
    let upstream = Upstream::new(|_, nth| {
        if nth == 0 {
            Act::overloaded()
        } else {
            Act::ok()
        }
    });
    let claude = Resilience::builder()
        .build()
        .unwrap()
        .layer(upstream.clone());
    let pieces = [
        r#"{"model":"claude-son"#,
        r#"net-5-5","max_tokens":1,"#,
        r#""messages":[]}"#,
    ];
    let frames = pieces.map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::from(piece))));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post("http://claude.test/v1/messages")
        .body(body)
        .unwrap();
    let answer = claude.send(request).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-outcome"], "retried");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|attempt| attempt.body == pieces.concat()));
}

/// Cases 42, 55 and 69: a caller's mistake is one attempt, returned as upstream said it, and no failure of the model.
#[tokio::test(start_paused = true)]
async fn a_callers_mistake_is_returned_as_it_is_after_one_attempt() {
    const BODY: &str =
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    for status in [400, 401, 403, 413, 422] {
        let upstream = first(Act::json(status, BODY));
        let stack = chain();
        let answer = stack
            .layer(upstream.clone())
            .send(request(SONNET, false))
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        assert!(!answer.headers().contains_key("tower-claude-degraded"));
        assert_eq!(read(answer.into_body()).await.0, BODY);
        assert_eq!(upstream.calls(), 1);
        assert_eq!(circuit(&stack, SONNET).failures, 0);
    }
}

/// Case 68: while the first model answers, its answer is passed on and nothing else is asked or told.
#[tokio::test(start_paused = true)]
async fn while_the_first_model_answers_nothing_else_is_asked() {
    let upstream = first(Act::ok());
    let claude = chain().layer(upstream.clone());
    for _ in 0..30 {
        let answer = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(answer.headers()["tower-claude-outcome"], "direct");
        assert_eq!(read(answer.into_body()).await.0, MESSAGE);
    }
    assert_eq!(upstream.calls_to(HAIKU), 0);
}
