//! The whole stack: order, deadlines, bounds, and that the same seed gives the same trace.

mod common;

use bytes::Bytes;
use common::{
    Act, BodyEnd, DELTA, END, HAIKU, MESSAGE, SONNET, START, STOP, Upstream, read, request,
};
use http::{Request, StatusCode};
use http_body_util::Full;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    BodyTooLarge, Deadline, Event, Feature, Observe, Outcome, ReplayBody, Resilience, Served,
    Timeouts, circuit_breaker::CircuitBreakerLayer, jitter_backoff::JitterBackoffLayer,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Writes every event down.
#[derive(Default)]
struct Trace(Mutex<Vec<String>>);

impl Observe for Trace {
    fn on_event(&self, event: &Event<'_>) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{:?} {event:?}", Instant::now()));
    }
}

fn served<B>(answer: &http::Response<B>) -> &Served {
    answer
        .extensions()
        .get::<Served>()
        .expect("every answer of the stack says what served it")
}

#[tokio::test(start_paused = true)]
async fn a_healthy_call_is_answered_as_upstream_sent_it_and_says_so() {
    let upstream = Upstream::always(
        Act::ok()
            .header("request-id", "req_1")
            .header("tower-claude-outcome", "forged"),
    );
    let claude = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(upstream.clone());
    let mut call = request(SONNET, false);
    call.headers_mut()
        .insert("tower-claude-feature", "chat".parse().unwrap());
    let answer = claude.send(call).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["request-id"], "req_1");
    assert_eq!(answer.headers()["tower-claude-outcome"], "direct");
    assert_eq!(answer.headers()["tower-claude-model"], SONNET);
    assert_eq!(answer.headers()["tower-claude-attempts"], "1");
    assert!(!answer.headers().contains_key("tower-claude-degraded"));
    assert_eq!(served(&answer).outcome, Outcome::Direct);
    let (body, end) = read(answer.into_body()).await;
    end.unwrap();
    assert_eq!(body, MESSAGE);
    let seen = upstream.seen();
    assert_eq!(seen[0].body, request_bytes(SONNET, false));
    assert_eq!(seen[0].headers["x-api-key"], "sk-test");
    assert!(
        !seen[0].headers.contains_key("tower-claude-feature"),
        "ours are never sent upstream"
    );
}

fn request_bytes(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","max_tokens":64,"stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    )
}

/// Case 75: retry outside of the breaker, or a dead model would look like one failure.
#[tokio::test(start_paused = true)]
async fn three_attempts_at_a_dead_model_are_three_failures_of_its_circuit() {
    let upstream = Upstream::always(Act::overloaded());
    let stack = Resilience::builder()
        .backoff(JitterBackoffLayer::new().with_attempts(std::num::NonZeroU8::new(3).unwrap()))
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(served(&answer).attempts, 3);
    assert_eq!(upstream.calls(), 3);
    let circuit = stack
        .circuits()
        .snapshot()
        .into_iter()
        .find(|circuit| &*circuit.model == SONNET)
        .unwrap();
    assert_eq!(circuit.failures, 3);
}

/// Case 76.
#[test]
fn an_attempt_timeout_past_the_deadline_is_refused_and_names_both() {
    let error = Resilience::builder()
        .timeouts(Timeouts::new().with_first_event(seconds(20)))
        .deadline(seconds(10))
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("timeouts.first_event") && error.contains("20s"),
        "{error}"
    );
    assert!(
        error.contains("deadline") && error.contains("10s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_model_is_answered_by_the_next_one() {
    let upstream = Upstream::new(|model, _| {
        if model == SONNET {
            Act::overloaded()
        } else {
            Act::ok()
        }
    });
    let claude = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(upstream.clone());
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["tower-claude-outcome"], "fallback");
    assert_eq!(answer.headers()["tower-claude-model"], HAIKU);
    assert_eq!(
        (upstream.calls_to(SONNET), upstream.calls_to(HAIKU)),
        (2, 1)
    );
    let sent = &upstream.seen()[2].body;
    assert_eq!(
        *sent,
        request_bytes(HAIKU, false),
        "only the model is rewritten"
    );
}

#[tokio::test(start_paused = true)]
async fn when_everything_is_down_a_canned_answer_is_valid_as_json_and_as_a_stream() {
    for stream in [false, true] {
        let upstream = Upstream::always(Act::Break(Duration::ZERO));
        let claude = Resilience::builder()
            .chain([SONNET, HAIKU])
            .build()
            .unwrap()
            .layer(upstream);
        let answer = claude.send(request(SONNET, stream)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["tower-claude-outcome"], "canned");
        assert_eq!(answer.headers()["tower-claude-degraded"], "transport");
        let (body, end) = read(answer.into_body()).await;
        end.unwrap();
        if stream {
            assert!(
                body.starts_with("event: message_start\n")
                    && body.contains("event: message_stop\n"),
                "{body}"
            );
        } else {
            let message: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(message["type"], "message");
            assert_eq!(message["_degraded"], true);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_stream_runs_past_the_deadline() {
    let frames = [START, DELTA, DELTA, DELTA, DELTA, END, STOP];
    let upstream = Upstream::always(Act::sse(&frames, BodyEnd::Eof).every(seconds(5)));
    let claude = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(upstream);
    let mut call = request(SONNET, true);
    // One model has half of it: the first delta after 10 s is inside, the last event after 35 s is not.
    call.extensions_mut().insert(Deadline::after(seconds(24)));
    let started = Instant::now();
    let answer = claude.send(call).await.unwrap();
    let (body, end) = read(answer.into_body()).await;
    end.unwrap();
    assert_eq!(body, frames.concat());
    assert_eq!(
        started.duration_since(started) + Instant::now().duration_since(started),
        seconds(35)
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_too_large_and_nothing_is_sent() {
    let upstream = Upstream::always(Act::ok());
    let claude = Resilience::builder()
        .max_body(10)
        .build()
        .unwrap()
        .layer(upstream.clone());
    let error = claude.send(request(SONNET, false)).await.unwrap_err();
    assert_eq!(error.downcast_ref::<BodyTooLarge>().unwrap().limit, 10);
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_json_passes_untouched_without_fallback() {
    let upstream = Upstream::always(Act::overloaded());
    let claude = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(upstream.clone());
    let body = Bytes::from_static(b"\x00\x01 not json");
    let request = Request::post("http://claude.test/v1/messages")
        .body(Full::new(body.clone()))
        .unwrap();
    let answer = claude.send(request).await.unwrap();
    assert_eq!(
        answer.status().as_u16(),
        529,
        "nothing is invented for a call we do not understand"
    );
    assert!(upstream.seen().iter().all(|attempt| attempt.body == body));
}

/// Case 66.
#[tokio::test(start_paused = true)]
async fn no_permit_is_held_while_backoff_sleeps() {
    let upstream = Upstream::always(Act::overloaded());
    let stack = Resilience::builder().build().unwrap();
    let claude = stack.layer(upstream.clone());
    let call = tokio::spawn(async move { claude.send(request(SONNET, false)).await });
    let mut sleeping = 0;
    while !call.is_finished() {
        sleep(Duration::from_millis(50)).await;
        if upstream.calls() < 5 {
            sleeping += 1;
            let in_flight: usize = stack
                .bulkheads()
                .snapshot()
                .iter()
                .map(|room| room.in_flight)
                .sum();
            assert_eq!(in_flight, 0);
        }
    }
    assert!(sleeping > 10, "it did sleep");
    assert_eq!(upstream.open(), 0);
}

/// Case 65.
#[tokio::test(start_paused = true)]
async fn a_full_compartment_moves_on_to_the_next_model_and_fails_no_circuit() {
    let upstream = Upstream::new(|model, _| {
        if model == SONNET {
            Act::Hang
        } else {
            Act::ok()
        }
    });
    let stack = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let mut running = Vec::new();
    for _ in 0..20 {
        let claude = claude.clone();
        running.push(tokio::spawn(async move { claude.send(chat(SONNET)).await }));
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(upstream.calls_to(SONNET), 20);
    let answer = claude.send(chat(SONNET)).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-model"], HAIKU);
    assert_eq!(
        upstream.calls_to(SONNET),
        20,
        "the hung model got no 21st call"
    );
    let circuit = stack
        .circuits()
        .snapshot()
        .into_iter()
        .find(|circuit| &*circuit.model == SONNET);
    assert_eq!(circuit.map_or(0, |circuit| circuit.failures), 0);
    for call in running {
        call.abort();
    }
}

fn chat(model: &str) -> Request<Full<Bytes>> {
    let mut request = request(model, false);
    request.extensions_mut().insert(Feature::new("chat"));
    request
}

/// Case 80.
#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let mut traces = Vec::new();
    for seed in [7, 7, 8] {
        let start = Instant::now();
        let trace = Arc::new(Trace::default());
        let upstream = Upstream::new(|model, nth| match (model, nth % 7) {
            (SONNET, 0..5) => Act::overloaded(),
            (_, 3) => Act::Break(seconds(1)),
            _ => Act::ok(),
        });
        let claude = Resilience::builder()
            .chain([SONNET, HAIKU])
            .observe(trace.clone())
            .seed(seed)
            .build()
            .unwrap()
            .layer(upstream.clone());
        for _ in 0..40 {
            let answer = claude.send(request(SONNET, false)).await.unwrap();
            let _ = read(answer.into_body()).await;
            sleep(Duration::from_millis(700)).await;
        }
        let times: Vec<_> = upstream
            .seen()
            .iter()
            .map(|attempt| (attempt.at - start, attempt.model.clone()))
            .collect();
        traces.push((times, trace.0.lock().unwrap().len()));
    }
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_gets_ready_is_a_failed_attempt_and_not_a_hung_call() {
    #[derive(Clone)]
    struct NeverReady;
    impl Service<Request<ReplayBody>> for NeverReady {
        type Response = http::Response<Full<Bytes>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Pending<Result<Self::Response, Self::Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Pending
        }
        fn call(&mut self, _: Request<ReplayBody>) -> Self::Future {
            unreachable!("never ready")
        }
    }
    let claude = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(NeverReady);
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-outcome"], "canned");
    assert_eq!(answer.headers()["tower-claude-degraded"], "timeout");
}

#[test]
fn the_stack_is_clone_send_and_sync_and_its_body_unpin() {
    fn is<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn unpin<T: Unpin + Send>() {}
    let stack = Resilience::builder().build().unwrap();
    is(&stack);
    is(&stack.layer(Upstream::always(Act::ok())));
    unpin::<tower_claude::ResilientBody<common::PlayedBody>>();
}

#[tokio::test(start_paused = true)]
async fn applied_twice_a_layer_gives_services_that_share_circuits() {
    let stack = Resilience::builder()
        .without_backoff()
        .circuit_breaker(CircuitBreakerLayer::new())
        .build()
        .unwrap();
    let broken = stack.layer(Upstream::always(Act::overloaded()));
    for _ in 0..6 {
        let _ = broken.send(request(SONNET, false)).await;
        sleep(Duration::from_millis(500)).await;
    }
    let healthy = Upstream::always(Act::ok());
    let other = stack.layer(healthy.clone());
    let answer = other.oneshot(request(SONNET, false)).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-degraded"], "circuit_open");
    assert_eq!(healthy.calls(), 0);
}
