//! What only a layer further out can set on a call: the other models of its chain.

use super::*;
use crate::{
    call::Call,
    circuit_breaker::CircuitBreakerLayer,
    classify::{Failure, FailureKind, Verdict},
    error::BoxError,
    event::{Event, Observe},
};
use http::{Request, Response};
use http_body_util::Empty;
use std::{convert::Infallible, num::NonZeroU32, sync::Mutex};
use tower::{Layer, ServiceExt, service_fn};

fn call(models_left: u8) -> Call {
    let mut call = Call::new(Some("sonnet".into()));
    call.set_hop(0, &"sonnet".into(), models_left);
    call
}

/// Sends a call to a model that gives this verdict.
async fn send(layer: &CircuitBreakerLayer, call: Call, verdict: Verdict) -> Verdict {
    let service = layer.layer(service_fn(move |_| {
        let mut response = Response::new(Empty::<bytes::Bytes>::new());
        response.extensions_mut().insert(verdict.clone());
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let mut request = Request::new(());
    request.extensions_mut().insert(call);
    let result: Result<_, BoxError> = service.oneshot(request).await;
    Verdict::of(&result)
}

fn failed(kind: FailureKind) -> Verdict {
    Verdict::Failed(Failure::new(kind))
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observe for Log {
    fn on_event(&self, event: &Event<'_>) {
        let line = match event {
            Event::KeptAway { model, reason, .. } => {
                format!("{model} kept away: {}", reason.as_str())
            }
            Event::CoolingDown {
                model, wait, kind, ..
            } => format!("{model} {kind} {wait:?}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gone_model_is_gone_for_ten_minutes_for_its_tenant_and_in_a_chain_only() {
    let log = Arc::new(Log::default());
    let layer = CircuitBreakerLayer::new().with_observer(Arc::clone(&log) as Arc<dyn Observe>);
    let gone = || failed(FailureKind::ModelGone);
    let alone = Call::new(Some("sonnet".into()));
    send(&layer, alone.clone(), gone()).await;
    let again = send(&layer, alone, Verdict::Complete).await;
    assert!(again.failure().is_none(), "outside a chain");

    send(&layer, call(1), gone()).await;
    tokio::time::advance(Duration::from_millis(599_999)).await;
    let local = send(&layer, call(1), Verdict::Complete).await;
    let failure = local.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::ModelGone);
    assert!(failure.warrants_fallback() && !failure.is_retryable());
    assert_eq!(failure.status, Some(http::StatusCode::NOT_FOUND));
    let mut theirs = Call::new(Some("sonnet".into())).with_tenant(crate::Tenant::new("other"));
    theirs.set_hop(0, &"sonnet".into(), 1);
    let theirs = send(&layer, theirs, Verdict::Complete).await;
    assert!(theirs.failure().is_none(), "another tenant");

    tokio::time::advance(Duration::from_millis(1)).await;
    let back = send(&layer, call(1), Verdict::Complete).await;
    assert!(back.failure().is_none());
    assert_eq!(
        *log.0.lock().unwrap(),
        ["sonnet model_gone 600s", "sonnet kept away: model_gone"]
    );
    assert_eq!(layer.handle().snapshot()[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_that_meet_the_same_limit_are_one_event() {
    let log = Arc::new(Log::default());
    let layer = CircuitBreakerLayer::new().with_observer(Arc::clone(&log) as Arc<dyn Observe>);
    let shared = Arc::new(layer.shared.clone());
    let now = Instant::now();
    let limited =
        Failure::new(FailureKind::RateLimited).with_retry_after(Some(Duration::from_secs(12)));
    let model = Arc::from("sonnet");
    for _ in 0..50 {
        shared.cool_down(Some(&call(0)), &model, &limited, now);
    }
    assert_eq!(*log.0.lock().unwrap(), ["sonnet rate_limited 12s"]);
}

#[tokio::test(start_paused = true)]
async fn after_closing_the_ramp_diverts_calls_with_another_model_and_says_so() {
    let log = Arc::new(Log::default());
    let layer = CircuitBreakerLayer::new()
        .with_failure_rate(1.0, NonZeroU32::MIN)
        .with_observer(Arc::clone(&log) as Arc<dyn Observe>);
    send(&layer, call(1), failed(FailureKind::Overloaded)).await;
    tokio::time::advance(Duration::from_secs(72)).await;
    send(&layer, call(1), Verdict::Complete).await;
    assert_eq!(layer.handle().state("sonnet"), CircuitState::Closed);

    let mut diverted = 0;
    for _ in 0..10 {
        let verdict = send(&layer, call(1), Verdict::Complete).await;
        if let Some(failure) = verdict.failure() {
            assert_eq!(failure.kind, FailureKind::CircuitOpen);
            assert_eq!(failure.retry_after, Some(Duration::from_secs(1)));
            diverted += 1;
        }
        let last = send(&layer, call(0), Verdict::Complete).await;
        assert!(last.failure().is_none(), "it has nowhere else to go");
    }
    assert_eq!(diverted, 9);
    let told = log.0.lock().unwrap();
    assert_eq!(told.len(), 9);
    assert!(told.iter().all(|line| line == "sonnet kept away: ramp"));
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_off_passes_everything_through() {
    let layer = CircuitBreakerLayer::off();
    for _ in 0..100 {
        send(&layer, call(1), failed(FailureKind::Overloaded)).await;
    }
    let verdict = send(&layer, call(1), Verdict::Complete).await;
    assert!(verdict.failure().is_none());
    assert!(layer.handle().snapshot().is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let new = CircuitBreakerLayer::new;
    let few = NonZeroU32::MIN;
    assert!(new().check().is_ok());
    for (layer, field) in [
        (new().with_failure_rate(0.0, few), "failure_rate"),
        (new().with_failure_rate(f64::NAN, few), "failure_rate"),
        (new().with_failure_rate(1.5, few), "failure_rate"),
        (
            new().with_slow_calls(Duration::ZERO, -1.0, few),
            "slow_calls",
        ),
        (new().with_consecutive(NonZeroU32::MAX), "consecutive"),
        (
            new().with_own_timeouts(NonZeroU32::MAX, Duration::MAX),
            "own_timeouts",
        ),
        (
            new().with_consecutive_span(Duration::from_secs(61)),
            "consecutive_span",
        ),
        (new().with_window(Duration::ZERO), "window"),
        (
            new().with_consecutive_within(Duration::ZERO),
            "consecutive_within",
        ),
        (new().with_own_timeouts(few, Duration::ZERO), "own_timeouts"),
        (
            new().with_slow_calls(Duration::ZERO, 0.5, few),
            "slow_calls",
        ),
        (new().with_cooldown(Duration::ZERO), "cooldown"),
        (
            new().with_max_cooldown(Duration::from_secs(59)),
            "max_cooldown",
        ),
        (new().with_cooldown_factor(0.9), "cooldown_factor"),
        (new().with_cooldown_factor(f64::INFINITY), "cooldown_factor"),
        (new().with_cooldown_jitter(-0.1), "cooldown_jitter"),
        (new().with_probe_timeout(Duration::ZERO), "probe_timeout"),
    ] {
        let error = layer.check().unwrap_err();
        assert_eq!(error.field(), format!("circuit_breaker.{field}"));
    }
}

/// Also without its `check`, a layer with settings that make no sense must not panic.
#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_never_panic() {
    let layer = CircuitBreakerLayer::new()
        .with_failure_rate(f64::NAN, NonZeroU32::MAX)
        .with_consecutive(NonZeroU32::MAX)
        .with_cooldown(Duration::ZERO)
        .with_cooldown_factor(f64::NAN)
        .with_cooldown_jitter(f64::NAN)
        .with_window(Duration::ZERO)
        .with_probe_timeout(Duration::ZERO);
    for _ in 0..3_000 {
        send(&layer, call(1), failed(FailureKind::Timeout)).await;
        tokio::time::advance(Duration::from_millis(500)).await;
    }
}
