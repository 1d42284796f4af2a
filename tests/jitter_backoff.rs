//! Backoff alone over a scripted service: how many attempts, when, and what they cost.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unnecessary_wraps,
    reason = "a test fails by panicking; a script gives answers and errors alike"
)]

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Full;
use proptest::prelude::*;
use std::{
    future::Future,
    num::NonZeroU8,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt};
use tower_claude::{
    BoxError, Call, Deadline, Event, Failure, FailureKind, Feature, Observe,
    event::NotRetried,
    jitter_backoff::{Jitter, JitterBackoffLayer, RetryBudget},
};
use tower_service::Service;

type Answer = Result<Response<Full<Bytes>>, BoxError>;

type Script = dyn Fn(usize) -> Answer + Send + Sync;

/// When an attempt came, and what it was told of those that could follow.
struct Attempt {
    at: Instant,
    left: Option<u8>,
}

/// A service that answers the n-th attempt as its script says, and remembers them all.
#[derive(Clone)]
struct Scripted {
    script: Arc<Script>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    /// What `poll_ready` says before it is ready.
    unready: Arc<Mutex<Vec<BoxError>>>,
    ready: bool,
    polled: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(script: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            attempts: Arc::default(),
            unready: Arc::default(),
            ready: false,
            polled: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    /// When the attempts came, from the first one on.
    fn times(&self) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        let since_first = |attempt: &Attempt| attempt.at - attempts[0].at;
        attempts.iter().map(since_first).collect()
    }

    fn left(&self) -> Vec<Option<u8>> {
        let attempts = self.attempts.lock().unwrap();
        attempts.iter().map(|attempt| attempt.left).collect()
    }
}

impl<B> Service<Request<B>> for Scripted {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.polled.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.unready.lock().unwrap().pop() {
            return Poll::Ready(Err(error));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        let left = request.extensions().get().map(Call::attempts_left);
        let mut attempts = self.attempts.lock().unwrap();
        attempts.push(Attempt {
            at: Instant::now(),
            left,
        });
        std::future::ready((self.script)(attempts.len() - 1))
    }
}

fn status(status: u16) -> Answer {
    Ok(Response::builder()
        .status(status)
        .body(Full::default())
        .unwrap())
}

fn with_header(status: u16, name: &str, value: &str) -> Answer {
    Ok(Response::builder()
        .status(status)
        .header(name, value)
        .body(Full::default())
        .unwrap())
}

fn local(kind: FailureKind, retry_after: Option<Duration>) -> Answer {
    Err(Failure::new(kind).with_retry_after(retry_after).into())
}

fn layer() -> JitterBackoffLayer {
    JitterBackoffLayer::new().with_seed(7)
}

fn plain() -> JitterBackoffLayer {
    layer().with_jitter(Jitter::None)
}

fn attempts(attempts: u8) -> NonZeroU8 {
    NonZeroU8::new(attempts).unwrap()
}

fn secs(secs: &[f64]) -> Vec<Duration> {
    secs.iter()
        .map(|&secs| Duration::from_secs_f64(secs))
        .collect()
}

fn request() -> Request<Full<Bytes>> {
    Request::new(Full::from("{}"))
}

fn calling(call: Call) -> Request<Full<Bytes>> {
    let mut request = request();
    request.extensions_mut().insert(call);
    request
}

fn call() -> Call {
    Call::new(Some("claude-sonnet-5-5".into()))
}

async fn send(layer: &JitterBackoffLayer, inner: &Scripted) -> Answer {
    layer.layer(inner.clone()).oneshot(request()).await
}

/// Remembers what the layer told.
#[derive(Default)]
struct Told(Mutex<Vec<Line>>);

#[derive(Debug, PartialEq)]
enum Line {
    Retrying(u32, Duration, FailureKind),
    NotRetried(FailureKind, NotRetried),
}

impl Observe for Told {
    fn on_event(&self, event: &Event<'_>) {
        let line = match *event {
            Event::Retrying {
                attempt,
                wait,
                kind,
                ..
            } => Line::Retrying(attempt, wait, kind),
            Event::NotRetried { kind, reason, .. } => Line::NotRetried(kind, reason),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Told {
    fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

// Case 41.
#[tokio::test(start_paused = true)]
async fn three_attempts_that_all_fail_are_three_calls_two_sleeps_and_the_last_error() {
    let inner = Scripted::new(|nth| with_header(529, "nth", &nth.to_string()));
    let start = Instant::now();
    let answer = send(&plain().with_attempts(attempts(3)), &inner)
        .await
        .unwrap();
    assert_eq!(answer.headers()["nth"], "2");
    assert_eq!(inner.times(), secs(&[0.0, 1.0, 3.0]));
    assert_eq!(
        start.elapsed_now(),
        Duration::from_secs(3),
        "no sleep after the last attempt"
    );
}

/// `elapsed` is banned, for it reads the clock a second time; on a paused clock it is what a test wants.
trait ElapsedNow {
    fn elapsed_now(&self) -> Duration;
}

impl ElapsedNow for Instant {
    fn elapsed_now(&self) -> Duration {
        Self::now() - *self
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_call_there_are_five_attempts_and_the_first_success_ends_them() {
    let inner = Scripted::new(|_| Err("connection reset".into()));
    send(&plain(), &inner).await.unwrap_err();
    assert_eq!(inner.times(), secs(&[0.0, 1.0, 3.0, 7.0, 15.0]));
    let inner = Scripted::new(|nth| status(if nth < 2 { 500 } else { 200 }));
    assert_eq!(send(&plain(), &inner).await.unwrap().status(), 200);
    assert_eq!(inner.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_knows_how_many_could_follow() {
    let inner = Scripted::new(|_| status(529));
    let service = plain().layer(inner.clone());
    service.oneshot(calling(call())).await.unwrap();
    assert_eq!(inner.left(), [4, 3, 2, 1, 0].map(Some));
}

// Case 42.
#[tokio::test(start_paused = true)]
async fn what_is_not_retryable_is_one_call_and_no_sleep() {
    use FailureKind as K;
    let start = Instant::now();
    let mut answers: Vec<Box<dyn Fn() -> Answer + Send + Sync>> = Vec::new();
    for code in [400, 401, 402, 403, 404, 413, 422, 501] {
        answers.push(Box::new(move || status(code)));
    }
    for kind in [
        K::Timeout,
        K::CircuitOpen,
        K::BulkheadFull,
        K::DeadlineExceeded,
    ] {
        answers.push(Box::new(move || {
            local(kind, Some(Duration::from_millis(10)))
        }));
    }
    for answer in answers {
        let inner = Scripted::new(move |_| answer());
        let _ = send(&layer(), &inner).await;
        assert_eq!(inner.count(), 1);
    }
    assert_eq!(start.elapsed_now(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_408_409_or_504_is_retried_once() {
    for code in [408, 409, 504] {
        let inner = Scripted::new(move |_| status(code));
        let service = plain().layer(inner.clone());
        service.oneshot(calling(call())).await.unwrap();
        assert_eq!(inner.left(), [4, 0].map(Some), "{code}");
        // Whatever the second one meets.
        let inner = Scripted::new(move |nth| status(if nth == 0 { code } else { 529 }));
        send(&plain(), &inner).await.unwrap();
        assert_eq!(inner.count(), 2, "{code}");
    }
}

// Case 43.
#[tokio::test(start_paused = true)]
async fn x_should_retry_false_stops_a_529_and_true_retries_a_400() {
    let inner = Scripted::new(|_| with_header(529, "x-should-retry", "false"));
    send(&layer(), &inner).await.unwrap();
    assert_eq!(inner.count(), 1);
    let inner = Scripted::new(|_| with_header(400, "x-should-retry", "true"));
    send(&layer(), &inner).await.unwrap();
    assert_eq!(inner.count(), 5);
}

// Case 44.
#[tokio::test(start_paused = true)]
async fn no_attempt_precedes_a_retry_after_and_the_spread_is_upward() {
    let mut waits = Vec::new();
    for seed in 0..200 {
        let inner = Scripted::new(|nth| match nth {
            0 => with_header(429, "retry-after", "10"),
            _ => status(200),
        });
        send(&JitterBackoffLayer::new().with_seed(seed), &inner)
            .await
            .unwrap();
        waits.push(inner.times()[1]);
    }
    let range = Duration::from_secs(10)..=Duration::from_millis(12_001);
    assert!(waits.iter().all(|wait| range.contains(wait)));
    waits.sort();
    waits.dedup();
    assert!(
        waits.len() > 150,
        "spread, not one instant: {}",
        waits.len()
    );
}

// Case 45.
#[tokio::test(start_paused = true)]
async fn a_retry_after_in_any_form_never_waits_above_the_cap() {
    // The wait, in whole seconds; `None` where it does not fit and the failure goes up at once.
    let cases = [
        ("retry-after-ms", "1500", Some(1)),
        ("retry-after", "5", Some(5)),
        ("retry-after", "2.5", Some(2)),
        ("retry-after", "0", Some(1)),
        ("retry-after", "-5", Some(1)),
        ("retry-after", "soon", Some(1)),
        ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(1)),
        ("retry-after", "31", None),
        ("retry-after", "1000000000000000000", None),
        ("retry-after", "1e300", None),
        ("retry-after-ms", "30001", None),
    ];
    for (name, value, wait) in cases {
        let inner = Scripted::new(move |nth| match nth {
            0 => with_header(429, name, value),
            _ => status(200),
        });
        let start = Instant::now();
        send(&plain(), &inner).await.unwrap();
        let waited = (inner.count() > 1).then(|| start.elapsed_now().as_secs());
        // A value without meaning is ignored, or so long that it does not fit.
        let ignored = value == "1e300" && waited == Some(1);
        assert!(waited == wait || ignored, "{name}: {value}: {waited:?}");
    }
}

// Case 46.
#[tokio::test(start_paused = true)]
async fn a_wait_past_the_deadline_or_the_limit_is_not_begun() {
    let told = Arc::new(Told::default());
    for (asks, deadline, reason) in [
        ("10", 8, NotRetried::Deadline),
        ("31", 600, NotRetried::Wait),
    ] {
        let inner = Scripted::new(move |_| with_header(429, "retry-after", asks));
        let service = layer().with_observer(told.clone()).layer(inner.clone());
        let start = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(deadline));
        let answer = service
            .oneshot(calling(call().with_deadline(Some(deadline))))
            .await;
        assert_eq!(answer.unwrap().status(), 429);
        assert_eq!((inner.count(), start.elapsed_now()), (1, Duration::ZERO));
        assert_eq!(
            told.take(),
            [Line::NotRetried(FailureKind::RateLimited, reason)]
        );
    }
}

// Case 48.
#[tokio::test(start_paused = true)]
async fn dropped_while_it_sleeps_it_makes_no_further_attempt_and_costs_nothing() {
    let inner = Scripted::new(|_| status(529));
    let layer = layer().with_budget(
        RetryBudget::new()
            .with_percent(0)
            .with_reserve(1)
            .with_refill(0),
    );
    timeout(Duration::from_millis(500), send(&layer, &inner))
        .await
        .unwrap_err();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(inner.count(), 1);
    send(&layer, &inner).await.unwrap();
    assert_eq!(
        inner.count(),
        1 + 2,
        "the one retry of the reserve was still there"
    );
}

/// A body that counts its clones.
struct Counted(Arc<AtomicUsize>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_one_attempt_keeps_no_copy_of_the_request() {
    for (most, clones) in [(1, 0), (2, 2), (3, 3)] {
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Scripted::new(|_| status(529));
        let service = layer().with_attempts(attempts(most)).layer(inner.clone());
        service
            .oneshot(Request::new(Counted(count.clone())))
            .await
            .unwrap();
        assert_eq!(inner.count(), usize::from(most));
        assert_eq!(
            count.load(Ordering::SeqCst),
            clones,
            "one copy, and one per retry"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn later_attempts_carry_the_whole_request_also_the_extensions_of_others() {
    #[derive(Clone, Debug, PartialEq)]
    struct Theirs(u8);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = tower::service_fn({
        let seen = seen.clone();
        move |request: Request<Full<Bytes>>| {
            let (head, _) = request.into_parts();
            let theirs = head.extensions.get::<Theirs>().cloned();
            let feature = head
                .extensions
                .get::<Call>()
                .map(|call| call.feature().clone());
            seen.lock()
                .unwrap()
                .push((head.headers.len(), theirs, feature));
            async { status(529) }
        }
    });
    for theirs in [None, Some(Theirs(3))] {
        let mut request = calling(call().with_feature(Feature::new("chat")));
        request
            .headers_mut()
            .insert("x-api-key", "secret".parse().unwrap());
        theirs
            .clone()
            .map(|theirs| request.extensions_mut().insert(theirs));
        let service = layer().with_attempts(attempts(2)).layer(inner.clone());
        service.oneshot(request).await.unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let expected = (1, theirs, Some(Feature::new("chat")));
        assert_eq!(seen, [expected.clone(), expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_polled_before_each_attempt_and_its_error_is_a_failure_like_any() {
    let inner = Scripted::new(|nth| status(if nth == 0 { 529 } else { 200 }));
    let layer = plain();
    let service = layer.layer(inner.clone());
    let answer = service.oneshot(request());
    let answer = tokio::spawn(answer);
    tokio::time::sleep(Duration::from_millis(500)).await;
    inner.unready.lock().unwrap().push("not ready".into());
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    assert_eq!(
        inner.times(),
        secs(&[0.0, 3.0]),
        "the second attempt failed at 1 s"
    );
    assert_eq!(inner.polled.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn two_sessions_of_one_layer_draw_different_delays_and_a_seed_repeats_them() {
    async fn trace(seed: u64) -> Vec<Duration> {
        let layer = JitterBackoffLayer::new().with_seed(seed);
        let mut all = Vec::new();
        for _ in 0..2 {
            let inner = Scripted::new(|_| status(529));
            send(&layer, &inner).await.unwrap();
            all.extend(inner.times());
        }
        all
    }
    let first = trace(80).await;
    assert_ne!(first[1], first[6], "two sessions");
    assert_eq!(first, trace(80).await);
    assert_ne!(first, trace(81).await);
}

#[tokio::test(start_paused = true)]
async fn the_herd_is_spread() {
    let inner = Scripted::new(|nth| status(if nth < 100 { 529 } else { 200 }));
    let layer = layer().without_budget();
    join_all((0..100).map(|_| send(&layer, &inner))).await;
    let mut second: Vec<_> = inner.times().split_off(100);
    second.dedup();
    assert!(second.len() > 60, "{} instants for 100 calls", second.len());
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_is_waited_for_without_an_attempt_and_without_budget() {
    let inner = Scripted::new(|nth| match nth {
        0..=3 => local(FailureKind::CoolingDown, Some(Duration::from_secs(4))),
        4 => status(529),
        _ => status(200),
    });
    let one_retry = RetryBudget::new()
        .with_percent(0)
        .with_reserve(1)
        .with_refill(0);
    let service = layer().with_budget(one_retry).layer(inner.clone());
    let answer = service.oneshot(calling(call())).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(inner.left(), [4, 4, 4, 4, 4, 3].map(Some));
    for pair in inner.times()[..5].windows(2) {
        let wait = pair[1].saturating_sub(pair[0]);
        assert!((4_000..=5_001).contains(&wait.as_millis()), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_cools_down_for_ever_is_not_waited_for_for_ever() {
    let inner = Scripted::new(|_| local(FailureKind::CoolingDown, Some(Duration::ZERO)));
    send(&layer(), &inner).await.unwrap_err();
    assert_eq!(inner.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_events_say_each_wait_and_why_there_is_no_other() {
    let told = Arc::new(Told::default());
    let inner = Scripted::new(|_| status(529));
    let layer = plain()
        .with_attempts(attempts(3))
        .with_observer(told.clone());
    send(&layer, &inner).await.unwrap();
    let overloaded = FailureKind::Overloaded;
    assert_eq!(
        told.take(),
        [
            Line::Retrying(2, Duration::from_secs(1), overloaded),
            Line::Retrying(3, Duration::from_secs(2), overloaded),
            Line::NotRetried(overloaded, NotRetried::Attempts),
        ]
    );
}

// Case 51.
#[tokio::test(start_paused = true)]
async fn of_10_000_calls_that_each_want_a_retry_a_budget_of_20_percent_gives_it_to_2_000() {
    let inner = Scripted::new(|_| status(529));
    let layer = layer()
        .with_attempts(attempts(2))
        .with_budget(RetryBudget::new().with_reserve(0));
    join_all((0..10_000).map(|_| send(&layer, &inner))).await;
    assert_eq!(inner.count(), 12_000);
}

// Case 53.
#[tokio::test(start_paused = true)]
async fn an_empty_budget_gives_the_failure_at_once() {
    let told = Arc::new(Told::default());
    let inner = Scripted::new(|_| status(529));
    let none = RetryBudget::new().with_percent(0).with_reserve(0);
    let start = Instant::now();
    let layer = layer().with_budget(none).with_observer(told.clone());
    assert_eq!(send(&layer, &inner).await.unwrap().status(), 529);
    assert_eq!((inner.count(), start.elapsed_now()), (1, Duration::ZERO));
    assert_eq!(
        told.take(),
        [Line::NotRetried(
            FailureKind::Overloaded,
            NotRetried::Budget
        )]
    );
}

/// Else calls that always succeed at the second attempt would double the load.
#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_gives_nothing_back() {
    let inner = Scripted::new(|nth| status(if nth % 2 == 0 { 529 } else { 200 }));
    let three = RetryBudget::new()
        .with_percent(0)
        .with_reserve(3)
        .with_refill(0);
    let layer = layer().with_budget(three);
    for _ in 0..3 {
        assert_eq!(send(&layer, &inner).await.unwrap().status(), 200);
    }
    assert_eq!(send(&layer, &inner).await.unwrap().status(), 529);
    assert_eq!(inner.count(), 7);
}

// Case 55.
#[tokio::test(start_paused = true)]
async fn refusals_and_retries_that_found_no_place_do_not_drain_the_budget() {
    let one = RetryBudget::new()
        .with_percent(0)
        .with_reserve(1)
        .with_refill(0);
    let layer = layer().with_budget(one);
    for code in [200, 400, 401, 413, 422] {
        let inner = Scripted::new(move |_| status(code));
        send(&layer, &inner).await.unwrap();
    }
    for _ in 0..3 {
        let inner = Scripted::new(|nth| match nth {
            0 => status(529),
            _ => local(FailureKind::BulkheadFull, None),
        });
        send(&layer, &inner).await.unwrap_err();
        assert_eq!(inner.count(), 2);
    }
    let inner = Scripted::new(|_| status(529));
    send(&layer, &inner).await.unwrap();
    assert_eq!(inner.count(), 2, "the one retry was still there");
}

/// A token that went back when the cool-down began let the attempt after it go unpaid.
#[tokio::test(start_paused = true)]
async fn a_retry_that_waits_for_a_cool_down_is_paid_when_it_is_made() {
    let one = RetryBudget::new()
        .with_percent(0)
        .with_reserve(1)
        .with_refill(0);
    let inner = Scripted::new(|nth| match nth {
        1 => local(FailureKind::CoolingDown, None),
        _ => status(529),
    });
    send(&layer().with_budget(one), &inner).await.unwrap();
    assert_eq!(inner.count(), 3);
}

// Case 56.
#[tokio::test(start_paused = true)]
async fn retries_of_one_feature_or_model_never_draw_from_those_of_another() {
    let one = RetryBudget::new()
        .with_percent(0)
        .with_reserve(1)
        .with_refill(0);
    let layer = layer().with_budget(one);
    for feature in ["chat", "summary"] {
        for model in ["sonnet", "haiku"] {
            for expected in [2, 1] {
                let inner = Scripted::new(|_| status(529));
                let call = Call::new(Some(model.into())).with_feature(Feature::new(feature));
                layer
                    .layer(inner.clone())
                    .oneshot(calling(call))
                    .await
                    .unwrap();
                assert_eq!(inner.count(), expected, "{feature} {model}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_and_their_clones_share_its_budget() {
    let one = RetryBudget::new()
        .with_percent(0)
        .with_reserve(1)
        .with_refill(0);
    let layer = layer().with_budget(one);
    let inner = Scripted::new(|_| status(529));
    send(&layer.clone(), &inner).await.unwrap();
    send(&layer, &inner).await.unwrap();
    assert_eq!(inner.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn calls_kept_from_the_model_earn_no_retries() {
    let layer = layer().with_budget(RetryBudget::new().with_reserve(0));
    for _ in 0..100 {
        let inner = Scripted::new(|_| local(FailureKind::CircuitOpen, None));
        send(&layer, &inner).await.unwrap_err();
    }
    let inner = Scripted::new(|_| status(529));
    send(&layer, &inner).await.unwrap();
    assert_eq!(inner.count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Outages of any shape: each attempt is answered by the next act of the script, calls come in waves.
    #[test]
    fn attempts_stay_within_the_calls_that_reach_the_model_a_fifth_and_the_reserve(
        seed in any::<u64>(),
        acts in proptest::collection::vec(0_u8..6, 1..40),
        waves in proptest::collection::vec((1_usize..60, 0_u64..20_000), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let sent = Arc::new(AtomicU32::new(0));
            let inner = Scripted::new({
                let sent = sent.clone();
                move |nth| {
                    let act = acts[nth % acts.len()];
                    if act < 4 {
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                    match act {
                        0 => status(200),
                        1 => status(529),
                        2 => with_header(429, "retry-after", "3"),
                        3 => Err("reset".into()),
                        4 => local(FailureKind::BulkheadFull, None),
                        _ => local(FailureKind::CoolingDown, Some(Duration::from_millis(700))),
                    }
                }
            });
            let layer = JitterBackoffLayer::new().with_seed(seed);
            let start = Instant::now();
            let mut calls = Vec::new();
            for (count, pause) in waves {
                for _ in 0..count {
                    calls.push(tokio::spawn(layer.layer(inner.clone()).oneshot(request())));
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            let count = f64::from(u32::try_from(calls.len()).unwrap());
            join_all(calls).await;
            let bound = count * 1.2 + 10.0 + start.elapsed_now().as_secs_f64();
            let sent = f64::from(sent.load(Ordering::SeqCst));
            prop_assert!(sent <= bound, "{sent} attempts, bound {bound}");
            Ok(())
        })?;
    }
}

/// The future is `Send` and has a name.
fn _is_named(inner: Scripted) -> impl Future<Output = Answer> + Send {
    let mut service = layer().layer(inner);
    let future: tower_claude::jitter_backoff::JitterBackoffFuture<Scripted, Full<Bytes>> =
        service.call(request());
    let pinned: Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(future);
    pinned
}
