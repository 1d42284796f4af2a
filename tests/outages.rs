//! What the layers do to each other in an outage: the whole stack against a Claude in memory, on a paused clock.

mod common;

use common::{
    Act, BLOCK, BodyEnd, DELTA, END, ERROR, HAIKU, SONNET, START, STOP, Upstream, read, request,
};
use futures_util::future::join_all;
use http::{Request, response::Parts};
use http_body_util::Full;
use std::{
    collections::HashMap,
    error::Error,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    Deadline, Event, Failure, Observe, ReplayBody, Resilience, ResilienceBuilder, Timeouts,
    Verdict,
    bulkhead::{BulkheadLayer, Compartment},
    circuit_breaker::CircuitState,
    classify::{Classify, ClaudeClassifier},
    jitter_backoff::{JitterBackoffLayer, RetryBudget},
};

const OPUS: &str = "claude-opus-5";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn two_models() -> ResilienceBuilder {
    Resilience::builder().chain([SONNET, HAIKU]).seed(7)
}

fn since(then: Instant) -> Duration {
    Instant::now() - then
}

/// A switch that the script of an upstream looks at.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn on(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn header<B>(answer: &http::Response<B>, name: &str) -> String {
    let value = answer.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

fn outcome<B>(answer: &http::Response<B>) -> String {
    header(answer, "tower-claude-outcome")
}

fn within(deadline: Duration, stream: bool) -> Request<Full<bytes::Bytes>> {
    let mut request = request(SONNET, stream);
    request.extensions_mut().insert(Deadline::after(deadline));
    request
}

fn in_flight(stack: &Resilience) -> usize {
    let rooms = stack.bulkheads().snapshot();
    rooms.iter().map(|room| room.in_flight + room.queued).sum()
}

/// A caller in a hurry says nothing of the model, also where the half of its deadline that a first model gets is over.
#[tokio::test(start_paused = true)]
async fn callers_with_short_deadlines_do_not_open_the_circuit_for_all() {
    let upstream = Upstream::always(Act::ok().after(seconds(3)));
    let stack = two_models().without_degrade().build().unwrap();
    let claude = stack.layer(upstream);
    for _ in 0..50 {
        let _ = claude.send(within(seconds(2), false)).await;
    }
    for model in [SONNET, HAIKU] {
        assert_eq!(
            stack.circuits().state(model),
            CircuitState::Closed,
            "{model}"
        );
    }
    let failures: u32 = stack
        .circuits()
        .snapshot()
        .iter()
        .map(|one| one.failures)
        .sum();
    assert_eq!(failures, 0);
}

/// … but one who waited for more than half of the time an attempt has does.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_halves_a_long_wait_still_counts() {
    let stack = two_models().build().unwrap();
    let claude = stack.layer(Upstream::always(Act::Hang));
    // 8 of 16 s, where an attempt has 15 s by itself.
    let _ = claude.send(within(seconds(16), true)).await.unwrap();
    let circuits = stack.circuits().snapshot();
    assert!(
        circuits.iter().all(|circuit| circuit.failures == 1),
        "{circuits:?}"
    );
}

#[test]
fn a_fixed_answer_timeout_past_the_deadline_is_refused_and_names_both() {
    let error = Resilience::builder()
        .timeouts(Timeouts::new().with_answer(seconds(900)))
        .deadline(seconds(600))
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("timeouts.answer is 900s"), "{error}");
    assert!(error.contains("deadline, 600s"), "{error}");
}

/// The ramp spares a model that has just come up where another one can serve. Where none can, it is asked.
#[tokio::test(start_paused = true)]
async fn a_model_on_its_way_back_is_asked_where_no_other_answers() {
    let back = Switch::default();
    let upstream = Upstream::new({
        let back = back.clone();
        move |model, _| match model {
            SONNET if back.is_on() => Act::ok(),
            _ => Act::overloaded(),
        }
    });
    let stack = two_models().without_backoff().build().unwrap();
    let claude = stack.layer(upstream.clone());
    for _ in 0..10 {
        let _ = claude.send(request(SONNET, false)).await.unwrap();
        sleep(millis(500)).await;
    }
    assert_eq!(stack.circuits().state(SONNET), CircuitState::Open);
    assert_eq!(stack.circuits().state(HAIKU), CircuitState::Open);
    back.on();
    stack.circuits().force_open(HAIKU);
    sleep(seconds(72)).await;
    for call in 0..40 {
        let answer = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(outcome(&answer), "direct", "call {call}");
        sleep(millis(100)).await;
    }
}

/// … so that a caller's mistake stays one: nothing is degraded because of the ramp alone.
#[tokio::test(start_paused = true)]
async fn a_call_spared_on_the_ramp_and_refused_by_the_next_model_is_refused_by_its_own() {
    let ill = Switch::default();
    let upstream = Upstream::new({
        let ill = ill.clone();
        move |model, nth| match model {
            SONNET if nth < 5 => Act::overloaded(),
            SONNET if nth == 5 => Act::ok(),
            SONNET if ill.is_on() => Act::Break(Duration::ZERO),
            SONNET => Act::json(413, "{}"),
            _ => Act::refused(),
        }
    });
    let stack = two_models().without_backoff().build().unwrap();
    let claude = stack.layer(upstream.clone());
    for _ in 0..5 {
        let _ = claude.send(request(SONNET, false)).await.unwrap();
        sleep(millis(600)).await;
    }
    assert_eq!(stack.circuits().state(SONNET), CircuitState::Open);
    sleep(seconds(72)).await;
    let probe = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(outcome(&probe), "direct");
    for call in 0..20 {
        let answer = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(answer.status().as_u16(), 413, "call {call}");
        assert_eq!(header(&answer, "tower-claude-model"), SONNET);
    }
    let seen = upstream.seen();
    let bodies: Vec<_> = seen
        .iter()
        .filter(|one| one.model == SONNET)
        .map(|one| &one.body)
        .collect();
    assert!(
        bodies.iter().all(|body| *body == bodies[0]),
        "its own bytes"
    );
    // Its own failure is the one that is told.
    ill.on();
    for call in 0..3 {
        let answer = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(
            header(&answer, "tower-claude-degraded"),
            "transport",
            "call {call}"
        );
    }
}

/// A wait for a retry is time that the next model would not have.
#[tokio::test(start_paused = true)]
async fn a_retry_leaves_the_next_model_half_of_the_deadline() {
    let upstream = Upstream::new(|model, _| match model {
        SONNET => Act::rate_limited("2"),
        _ => Act::ok().after(millis(900)),
    });
    let claude = two_models().build().unwrap().layer(upstream.clone());
    let answer = claude.send(within(millis(2_500), false)).await.unwrap();
    assert_eq!(outcome(&answer), "fallback", "{:?}", answer.headers());
    assert_eq!(upstream.calls_to(SONNET), 1);
}

#[tokio::test(start_paused = true)]
async fn of_a_herd_at_half_open_one_probes_and_the_others_are_served_or_told_at_once() {
    let down = Switch::default();
    let upstream = Upstream::new({
        let down = down.clone();
        move |model, _| match model {
            SONNET if down.is_on() => Act::overloaded(),
            _ => Act::ok().after(millis(100)),
        }
    });
    let stack = two_models().build().unwrap();
    let claude = stack.layer(upstream.clone());
    down.on();
    for _ in 0..6 {
        let _ = claude.send(request(SONNET, false)).await.unwrap();
    }
    assert_eq!(stack.circuits().state(SONNET), CircuitState::Open);
    sleep(seconds(72)).await;
    down.off();
    let before = (upstream.calls_to(SONNET), Instant::now());
    let herd = (0..1_000).map(|_| {
        let claude = claude.clone();
        tokio::spawn(async move {
            let answer = claude.send(request(SONNET, false)).await.unwrap();
            let told = (outcome(&answer), answer.status().as_u16());
            let _ = read(answer.into_body()).await;
            told
        })
    });
    let mut told = HashMap::new();
    for answer in join_all(herd).await {
        *told.entry(answer.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(upstream.calls_to(SONNET) - before.0, 1, "{told:?}");
    assert_eq!(told[&("direct".to_owned(), 200)], 1);
    // 64 at once and 128 in the line behind them.
    assert_eq!(told[&("fallback".to_owned(), 200)], 64 + 128, "{told:?}");
    // The others found the second model's compartment full, and what they ask has been answered before.
    assert_eq!(told[&("cached".to_owned(), 200)], 1_000 - 1 - 64 - 128);
    assert!(since(before.1) < seconds(1));
    assert_eq!(stack.circuits().state(SONNET), CircuitState::Closed);
    assert_eq!(in_flight(&stack), 0);
}

/// Case 21, with many tenants.
#[tokio::test(start_paused = true)]
async fn in_a_storm_of_429_no_tenant_asks_before_its_wait_and_no_circuit_opens() {
    const TENANTS: u32 = 50;
    let limits: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let early = Arc::new(Mutex::new(Vec::new()));
    // Each tenant's first call is limited for 12 s.
    let upstream = Limited {
        limits: limits.clone(),
        early: early.clone(),
        inner: Upstream::always(Act::ok()),
    };
    let stack = Resilience::builder()
        .chain([SONNET])
        .seed(3)
        .build()
        .unwrap();
    let claude = stack.layer(upstream);
    let start = Instant::now();
    let calls = (0..TENANTS * 4).map(|n| {
        let claude = claude.clone();
        tokio::spawn(async move {
            sleep(millis(u64::from(n))).await;
            let mut request = request(SONNET, false);
            let key = format!("key-{}", n % TENANTS);
            request
                .headers_mut()
                .insert("x-api-key", key.parse().unwrap());
            let answer = claude.send(request).await.unwrap();
            (outcome(&answer), since(start))
        })
    });
    let mut answers = Vec::new();
    for call in join_all(calls).await {
        answers.push(call.unwrap());
    }
    assert!(early.lock().unwrap().is_empty(), "{early:?}");
    assert_eq!(limits.lock().unwrap().len(), TENANTS as usize);
    // A wait of 12 s fits; only the calls that were limited themselves pay for a retry, from one budget.
    let count = |of: &str| answers.iter().filter(|(outcome, _)| outcome == of).count();
    assert_eq!(count("direct"), 3 * TENANTS as usize, "{answers:?}");
    assert_eq!(count("retried") + count("canned"), TENANTS as usize);
    assert!((10..=20).contains(&count("retried")), "{answers:?}");
    let last = answers.iter().map(|(_, at)| *at).max().unwrap();
    assert!(last < seconds(18), "{last:?}");
    let circuit = &stack.circuits().snapshot()[0];
    assert_eq!((circuit.state, circuit.failures), (CircuitState::Closed, 0));
}

/// Limits each key for 12 s from its first call on.
#[derive(Clone)]
struct Limited {
    limits: Arc<Mutex<HashMap<String, Instant>>>,
    early: Arc<Mutex<Vec<String>>>,
    inner: Upstream,
}

impl Service<Request<ReplayBody>> for Limited {
    type Response = <Upstream as Service<Request<ReplayBody>>>::Response;
    type Error = tower_claude::BoxError;
    type Future = <Upstream as Service<Request<ReplayBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReplayBody>) -> Self::Future {
        let key = request.headers()["x-api-key"].to_str().unwrap().to_owned();
        let mut limits = self.limits.lock().unwrap();
        let free = limits.get(&key).copied();
        match free {
            None => {
                limits.insert(key, Instant::now() + seconds(12));
                Upstream::always(Act::rate_limited("12")).call(request)
            }
            Some(free) => {
                if Instant::now() < free {
                    self.early.lock().unwrap().push(key);
                }
                self.inner.call(request)
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lives_through_an_outage_says_nothing_of_what_came_after_it() {
    for end in [BodyEnd::Eof, BodyEnd::Cut] {
        let down = Switch::default();
        let upstream = Upstream::new({
            let down = down.clone();
            move |_, nth| match nth {
                0 => {
                    let mut frames = vec![START, BLOCK];
                    frames.extend([DELTA; 40]);
                    if end == BodyEnd::Eof {
                        frames.extend([END, STOP]);
                    }
                    Act::sse(&frames, end).every(seconds(5))
                }
                _ if down.is_on() => Act::overloaded(),
                _ => Act::ok(),
            }
        });
        let stack = Resilience::builder().seed(1).build().unwrap();
        let claude = stack.layer(upstream.clone());
        let answer = claude.send(request(SONNET, true)).await.unwrap();
        let stream = tokio::spawn(read(answer.into_body()));
        down.on();
        for _ in 0..3 {
            let _ = claude.send(request(SONNET, false)).await.unwrap();
        }
        assert_eq!(stack.circuits().state(SONNET), CircuitState::Open);
        down.off();
        sleep(seconds(72)).await;
        let _ = claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(stack.circuits().state(SONNET), CircuitState::Closed);
        assert_eq!(in_flight(&stack), 1, "the stream has its seat");
        let counts = || {
            let circuit = stack.circuits().snapshot().remove(0);
            (
                circuit.state,
                circuit.successes,
                circuit.failures,
                circuit.generation,
            )
        };
        let before = counts();
        let (text, _) = stream.await.unwrap();
        assert_eq!(
            text.matches("text_delta").count(),
            40,
            "it was not cut by anything of ours"
        );
        assert_eq!(counts().0, CircuitState::Closed);
        assert_eq!((counts().2, counts().3), (0, before.3), "{end:?}");
        assert_eq!(in_flight(&stack), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_forced_open_is_passed_by_and_the_last_one_forced_open_degrades_at_once() {
    let upstream = Upstream::always(Act::ok());
    let stack = two_models().build().unwrap();
    let claude = stack.layer(upstream.clone());
    let start = Instant::now();
    stack.circuits().force_open(SONNET);
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(
        (outcome(&answer), upstream.calls_to(SONNET)),
        ("fallback".into(), 0)
    );
    stack.circuits().force_open(HAIKU);
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(header(&answer, "tower-claude-degraded"), "circuit_open");
    assert_eq!(header(&answer, "tower-claude-attempts"), "0");
    assert_eq!(header(&answer, "retry-after"), "30");
    assert_eq!(since(start), Duration::ZERO);
    stack.circuits().reset(SONNET);
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(outcome(&answer), "direct");
}

#[tokio::test(start_paused = true)]
async fn three_models_that_fail_each_in_its_way_are_one_failure_the_first_ones() {
    let upstream = Upstream::new(|model, _| match model {
        OPUS => Act::rate_limited("25"),
        SONNET => Act::Hang,
        _ => Act::refused(),
    });
    let stack = Resilience::builder()
        .chain([OPUS, SONNET, HAIKU])
        .seed(2)
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let start = Instant::now();
    let answer = claude.send(request(OPUS, true)).await.unwrap();
    assert_eq!(header(&answer, "tower-claude-degraded"), "rate_limited");
    assert_eq!(
        header(&answer, "retry-after"),
        "10",
        "15 of the 25 s are over"
    );
    assert_eq!(since(start), seconds(15), "the hung model's first event");
    for model in [OPUS, SONNET, HAIKU] {
        assert_eq!(upstream.calls_to(model), 1, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_shorter_than_the_line_goes_on_to_the_next_model_in_time() {
    let upstream = Upstream::new(|model, nth| match (model, nth) {
        (SONNET, 0) => Act::Hang,
        _ => Act::ok().after(millis(300)),
    });
    let stack = two_models()
        .bulkhead(BulkheadLayer::new().with_default(Compartment::new(1).with_wait(seconds(60))))
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let hung = tokio::spawn({
        let claude = claude.clone();
        async move { claude.send(request(SONNET, true)).await }
    });
    sleep(millis(1)).await;
    let start = Instant::now();
    let answer = claude.send(within(seconds(2), false)).await.unwrap();
    assert_eq!(outcome(&answer), "fallback");
    assert_eq!(
        since(start),
        millis(1_300),
        "half in the line, then the answer"
    );
    hung.abort();
    let _ = hung.await;
    assert_eq!(in_flight(&stack), 0);
}

#[tokio::test(start_paused = true)]
async fn a_compartment_closed_under_load_ends_no_call_and_turns_the_line_to_the_next_model() {
    let upstream = Upstream::new(|model, _| match model {
        SONNET => Act::ok().after(seconds(1)),
        _ => Act::ok(),
    });
    let stack = two_models()
        .bulkhead(BulkheadLayer::new().with_default(Compartment::new(2).with_queue(50)))
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let claude = claude.clone();
            tokio::spawn(async move {
                let answer = claude.send(request(SONNET, false)).await.unwrap();
                let told = (outcome(&answer), answer.status().as_u16());
                let _ = read(answer.into_body()).await;
                told
            })
        })
        .collect();
    sleep(millis(500)).await;
    assert!(stack.bulkheads().resize("default", 0));
    let mut told = HashMap::new();
    for answer in join_all(calls).await {
        *told.entry(answer.unwrap()).or_insert(0) += 1;
    }
    // The other model has a compartment of the same feature: closed as well.
    assert_eq!(told[&("direct".to_owned(), 200)], 2, "{told:?}");
    assert_eq!(told[&("error".to_owned(), 429)], 8, "{told:?}");
    assert_eq!(in_flight(&stack), 0);
    assert!(stack.bulkheads().resize("default", 3));
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(outcome(&answer), "direct");
}

/// A client that panics at every other call.
#[derive(Clone)]
struct Panics {
    calls: Arc<Mutex<u32>>,
    inner: Upstream,
}

impl Service<Request<ReplayBody>> for Panics {
    type Response = <Upstream as Service<Request<ReplayBody>>>::Response;
    type Error = tower_claude::BoxError;
    type Future = <Upstream as Service<Request<ReplayBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReplayBody>) -> Self::Future {
        let nth = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        assert!(nth % 4 != 1, "at once");
        if nth % 4 == 3 {
            return Box::pin(async {
                sleep(millis(10)).await;
                panic!("later")
            });
        }
        self.inner.call(request)
    }
}

#[derive(Default)]
struct Ends(Mutex<Vec<String>>);

impl Observe for Ends {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::CallEnded { failure, .. } = event {
            self.0.lock().unwrap().push(format!("{failure:?}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_costs_its_own_call_and_nothing_else() {
    let ends = Arc::new(Ends::default());
    let stack = two_models().observe(ends.clone()).build().unwrap();
    let client = Panics {
        calls: Arc::default(),
        inner: Upstream::always(Act::ok()),
    };
    let claude = tower::ServiceBuilder::new()
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(stack.clone())
        .service(client);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let answer = claude
            .clone()
            .oneshot(request(SONNET, false))
            .await
            .unwrap();
        statuses.push(answer.status().as_u16());
        let _ = read(answer.into_body()).await;
        sleep(seconds(1)).await;
    }
    assert_eq!(statuses, [500, 200, 500, 200, 500, 200, 500, 200]);
    assert_eq!(in_flight(&stack), 0);
    let circuit = stack
        .circuits()
        .snapshot()
        .into_iter()
        .find(|one| &*one.model == SONNET)
        .unwrap();
    assert_eq!((circuit.failures, circuit.successes), (4, 4));
    assert_eq!(ends.0.lock().unwrap().len(), 8, "{:?}", ends.0);
}

#[derive(Debug)]
struct PanicsAtErrors(ClaudeClassifier);

impl Classify for PanicsAtErrors {
    fn head(&self, head: &Parts) -> Verdict {
        self.0.head(head)
    }

    fn body(&self, head: &Parts, start: &[u8]) -> Verdict {
        assert!(start.starts_with(b"{\"id"), "no message");
        self.0.body(head, start)
    }

    fn error(&self, error: &(dyn Error + 'static)) -> Failure {
        self.0.error(error)
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_costs_its_own_call_and_holds_no_place() {
    let judge = Arc::new(PanicsAtErrors(ClaudeClassifier::default()));
    let ends = Arc::new(Ends::default());
    let builder = two_models().classifier(judge).observe(ends.clone());
    let stack = builder.build().unwrap();
    let failing = [Act::overloaded(), Act::sse(&[START, ERROR], BodyEnd::Eof)];
    let upstream = Upstream::new(move |_, nth| failing.get(nth).cloned().unwrap_or_else(Act::ok));
    let claude = tower::ServiceBuilder::new()
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
        .layer(stack.clone())
        .service(upstream.clone());
    let mut statuses = Vec::new();
    for stream in [false, true, false] {
        let call = claude.clone().oneshot(request(SONNET, stream));
        let answer = call.await.unwrap();
        statuses.push(answer.status().as_u16());
        let _ = read(answer.into_body()).await;
    }
    assert_eq!(statuses, [500, 500, 200]);
    assert_eq!((in_flight(&stack), upstream.open()), (0, 0));
    assert_eq!(ends.0.lock().unwrap().len(), 3);
}

/// A call dropped after any number of polls gives back everything, and half-open circuits go on to probe.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_point_leaves_nothing_behind() {
    for stream in [false, true] {
        let mut polls = 0;
        loop {
            polls += 1;
            let upstream = Upstream::new(|model, nth| match (model, nth % 3) {
                (SONNET, 0) => Act::overloaded().after(millis(5)),
                (SONNET, 1) => Act::Break(millis(5)),
                (SONNET, _) => Act::rate_limited("0.03").after(millis(5)),
                _ => Act::sse(&[START, BLOCK, DELTA, END, STOP], BodyEnd::Eof).every(millis(5)),
            });
            let stack = two_models()
                .bulkhead(BulkheadLayer::new().with_default(Compartment::new(1)))
                .backoff(JitterBackoffLayer::new().with_base(millis(20)))
                .build()
                .unwrap();
            let claude = stack.layer(upstream.clone());
            let mut call = Box::pin(async {
                // The seat is taken for a while, so that the call stands in the line first.
                let answer = claude.send(request(SONNET, stream)).await.unwrap();
                read(answer.into_body()).await
            });
            let mut first = Box::pin(async {
                let answer = claude.send(request(SONNET, stream)).await.unwrap();
                let _ = read(answer.into_body()).await;
            });
            let mut done = false;
            let mut first_done = false;
            for _ in 0..polls {
                let polled = poll_fn(|cx| {
                    first_done = first_done || first.as_mut().poll(cx).is_ready();
                    Poll::Ready(call.as_mut().poll(cx).is_ready())
                })
                .await;
                if polled {
                    done = true;
                    break;
                }
                sleep(millis(5)).await;
            }
            drop(call);
            drop(first);
            assert_eq!(upstream.open(), 0, "after {polls} polls");
            assert_eq!(in_flight(&stack), 0, "after {polls} polls");
            if done {
                break;
            }
        }
        assert!(polls > 10, "{polls}");
    }
}

/// … also a probe.
#[tokio::test(start_paused = true)]
async fn a_probe_dropped_at_any_point_leaves_the_next_call_to_probe() {
    for after in [0, 1, 50, 149, 151, 260] {
        let down = Switch::default();
        let upstream = Upstream::new({
            let down = down.clone();
            move |_, _| {
                if down.is_on() {
                    return Act::overloaded();
                }
                Act::sse(&[START, BLOCK, DELTA, END, STOP], BodyEnd::Eof)
                    .every(millis(50))
                    .after(millis(1))
            }
        });
        let stack = Resilience::builder().seed(5).build().unwrap();
        let claude = stack.layer(upstream.clone());
        down.on();
        for _ in 0..3 {
            let _ = claude.send(request(SONNET, true)).await.unwrap();
        }
        assert_eq!(stack.circuits().state(SONNET), CircuitState::Open);
        down.off();
        sleep(seconds(72)).await;
        let probe = async {
            let answer = claude.send(request(SONNET, true)).await.unwrap();
            read(answer.into_body()).await
        };
        let _ = timeout(millis(after), probe).await;
        let answer = claude.send(request(SONNET, true)).await.unwrap();
        assert_eq!(outcome(&answer), "direct", "after {after} ms");
        let _ = read(answer.into_body()).await;
        assert_eq!(stack.circuits().state(SONNET), CircuitState::Closed);
        assert_eq!(in_flight(&stack), 0);
    }
}

/// A cool-down that ends before the circuit may be asked is not waited for.
#[tokio::test(start_paused = true)]
async fn nobody_sleeps_through_the_cool_down_of_a_model_whose_circuit_is_open() {
    let upstream = Upstream::always(Act::rate_limited("10"));
    let stack = Resilience::builder().build().unwrap();
    let claude = stack.layer(upstream.clone());
    let limited = timeout(millis(1), claude.send(request(SONNET, false))).await;
    assert!(limited.is_err(), "it waits for its retry");
    stack.circuits().force_open(SONNET);
    let start = Instant::now();
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(since(start), Duration::ZERO);
    assert_eq!(header(&answer, "tower-claude-degraded"), "cooling_down");
    assert_eq!(header(&answer, "retry-after"), "30");
}

/// What never reached the model earns no retry, whatever ended it.
#[tokio::test(start_paused = true)]
async fn calls_that_die_in_the_line_earn_no_retries() {
    let upstream = Upstream::new(|_, nth| match nth {
        0 => Act::ok().after(seconds(1)),
        _ => Act::overloaded(),
    });
    let half = RetryBudget::new().with_percent(50).with_reserve(0);
    let stack = Resilience::builder()
        .bulkhead(BulkheadLayer::new().with_default(Compartment::new(1)))
        .backoff(JitterBackoffLayer::new().with_budget(half))
        .without_circuit_breaker()
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let first = tokio::spawn({
        let claude = claude.clone();
        async move { claude.send(request(SONNET, false)).await }
    });
    sleep(millis(1)).await;
    for _ in 0..20 {
        let answer = claude.send(within(millis(10), false)).await.unwrap();
        assert_eq!(
            header(&answer, "tower-claude-degraded"),
            "deadline_exceeded"
        );
    }
    let _ = first.await;
    assert_eq!(upstream.calls(), 1);
    let _ = claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(upstream.calls(), 1 + 2, "two halves of a retry");
}
