//! The monitor as its users see it: events in; totals, alerts and snapshots out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, advance};
use tower_claude::{
    Event, Failure, FailureKind, Feature, Observe, Outcome, Tenant,
    event::{CircuitChange, KeptAway, OpenReason},
    monitor::{Alert, Monitor, MonitorBuilder, NONE, OTHER, Rule, Subject, Window},
};

const SONNET: &str = "claude-sonnet-4-5";
const HAIKU: &str = "claude-haiku-4-5";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A call for a feature that ended so.
fn call(monitor: &Monitor, feature: &str, outcome: Outcome, failure: Option<FailureKind>) {
    let model = if outcome == Outcome::Fallback {
        HAIKU
    } else {
        SONNET
    };
    monitor.on_event(&Event::CallEnded {
        feature: &feature.into(),
        model,
        asked: SONNET,
        outcome,
        failure,
        attempts: 1,
        to_head: Duration::from_millis(800),
        total: secs(3),
    });
}

fn calls(monitor: &Monitor, count: usize, outcome: Outcome, failure: Option<FailureKind>) {
    for _ in 0..count {
        call(monitor, "chat", outcome, failure);
    }
}

const GOOD: (Outcome, Option<FailureKind>) = (Outcome::Direct, None);
const CANNED: (Outcome, Option<FailureKind>) = (Outcome::Canned, Some(FailureKind::Overloaded));
const FALLBACK: (Outcome, Option<FailureKind>) = (Outcome::Fallback, None);

fn good(monitor: &Monitor, count: usize) {
    calls(monitor, count, GOOD.0, GOOD.1);
}

fn failed(monitor: &Monitor, count: usize) {
    calls(monitor, count, CANNED.0, CANNED.1);
}

fn circuit(monitor: &Monitor, model: &str, change: CircuitChange) {
    monitor.on_event(&Event::CircuitChanged { model, change });
}

fn opened(reason: OpenReason) -> CircuitChange {
    CircuitChange::Opened {
        reason,
        open_for: secs(60),
    }
}

fn gone(monitor: &Monitor, model: &str) {
    monitor.on_event(&Event::CoolingDown {
        model,
        tenant: Tenant::new("acme"),
        wait: secs(600),
        kind: FailureKind::ModelGone,
    });
}

/// What a monitor told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Alert>>>);

impl Told {
    fn builder(&self) -> MonitorBuilder {
        let told = self.clone();
        Monitor::builder().with_alert(move |alert| told.0.lock().unwrap().push(alert.clone()))
    }

    /// What was told of a rule and subject since it was last asked.
    fn take(&self, rule: Rule, subject: &Subject) -> Vec<bool> {
        let mut told = self.0.lock().unwrap();
        let mut taken = Vec::new();
        told.retain(|alert| {
            let wanted = alert.rule == rule && alert.subject == *subject;
            if wanted {
                taken.push(alert.raised);
            }
            !wanted
        });
        taken
    }
}

fn chat() -> Subject {
    Subject::Feature("chat".into())
}

fn sonnet() -> Subject {
    Subject::Model(SONNET.into())
}

/// Looks at the alerts every 10 s for so long.
async fn pass(monitor: &Monitor, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        advance(secs(10)).await;
        monitor.check();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_share_above_5_percent_of_more_than_100_calls_raises_once_and_clears_once() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    good(&monitor, 94);
    failed(&monitor, 6);
    assert_eq!(
        told.take(Rule::FailureShare, &chat()),
        [false; 0],
        "100 calls are not more than 100"
    );
    good(&monitor, 1);
    assert_eq!(told.take(Rule::FailureShare, &chat()), [true]);
    failed(&monitor, 20);
    pass(&monitor, secs(600)).await;
    assert_eq!(
        told.take(Rule::FailureShare, &chat()),
        [false; 0],
        "told once"
    );
    pass(&monitor, secs(3600)).await;
    assert_eq!(told.take(Rule::FailureShare, &chat()), [false]);
    assert_eq!(told.take(Rule::FailureShare, &Subject::All), [true, false]);
    assert!(monitor.snapshot().alerts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_share_that_wanders_about_its_threshold_does_not_flap() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    good(&monitor, 190);
    failed(&monitor, 10);
    assert_eq!(told.take(Rule::FailureShare, &chat()), [false; 0]);
    for _ in 0..5 {
        // 11 of 201 are above 5 %, 11 of 221 below; and so on.
        failed(&monitor, 1);
        good(&monitor, 20);
    }
    assert_eq!(told.take(Rule::FailureShare, &chat()), [true]);
    good(&monitor, 60);
    assert_eq!(
        told.take(Rule::FailureShare, &chat()),
        [false; 0],
        "15 of 365 are more than 4 %"
    );
    good(&monitor, 20);
    assert_eq!(told.take(Rule::FailureShare, &chat()), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_share_is_judged_apart_from_failures() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    good(&monitor, 120);
    calls(&monitor, 10, FALLBACK.0, FALLBACK.1);
    assert_eq!(told.take(Rule::FallbackShare, &chat()), [true]);
    assert_eq!(told.take(Rule::FailureShare, &chat()), [false; 0]);
    pass(&monitor, secs(3600)).await;
    assert_eq!(told.take(Rule::FallbackShare, &chat()), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_fast_burn_is_raised_within_minutes_and_cleared_when_it_is_over() {
    for (rule, (outcome, failure)) in [(Rule::FailureBurn, CANNED), (Rule::FallbackBurn, FALLBACK)]
    {
        let told = Told::default();
        let monitor = told.builder().build().unwrap();
        good(&monitor, 9);
        calls(&monitor, 11, outcome, failure);
        assert_eq!(
            told.take(rule, &chat()),
            [false; 0],
            "20 calls are not more than 20"
        );
        calls(&monitor, 1, outcome, failure);
        assert_eq!(told.take(rule, &chat()), [true]);
        good(&monitor, 6);
        assert_eq!(
            told.take(rule, &chat()),
            [false; 0],
            "12 of 27 are more than 40 %"
        );
        pass(&monitor, secs(290)).await;
        assert_eq!(told.take(rule, &chat()), [false; 0]);
        pass(&monitor, secs(10)).await;
        assert_eq!(told.take(rule, &chat()), [false]);
    }
}

#[tokio::test(start_paused = true)]
async fn at_low_traffic_five_failures_and_no_success_are_enough() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    failed(&monitor, 4);
    pass(&monitor, secs(180)).await;
    assert_eq!(told.take(Rule::AllFailed, &chat()), [false; 0]);
    failed(&monitor, 1);
    assert_eq!(told.take(Rule::AllFailed, &chat()), [true]);
    failed(&monitor, 3);
    assert_eq!(told.take(Rule::AllFailed, &chat()), [false; 0]);
    good(&monitor, 1);
    assert_eq!(
        told.take(Rule::AllFailed, &chat()),
        [false],
        "one success clears"
    );
    pass(&monitor, secs(900)).await;
    failed(&monitor, 5);
    assert_eq!(told.take(Rule::AllFailed, &chat()), [true]);
    pass(&monitor, secs(900)).await;
    assert_eq!(
        told.take(Rule::AllFailed, &chat()),
        [false],
        "so does a quarter of an hour without calls"
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_is_told_at_once_and_until_its_cool_down_found_it_again() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    gone(&monitor, SONNET);
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [true]);
    // The first call after the cool-down finds it still gone.
    pass(&monitor, secs(610)).await;
    gone(&monitor, SONNET);
    pass(&monitor, secs(650)).await;
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [false; 0]);
    pass(&monitor, secs(10)).await;
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_model_gone_for_hours_is_neither_forgotten_nor_cleared_before() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    monitor.on_event(&Event::CoolingDown {
        model: SONNET,
        tenant: Tenant::new("acme"),
        wait: secs(2 * 3600),
        kind: FailureKind::ModelGone,
    });
    monitor.on_event(&Event::AttemptFailed {
        feature: &"chat".into(),
        model: SONNET,
        kind: FailureKind::ModelGone,
        after: secs(1),
    });
    pass(&monitor, secs(2 * 3600)).await;
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [true]);
    pass(&monitor, secs(60)).await;
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [false]);
}

#[tokio::test(start_paused = true)]
async fn any_event_clears_what_time_has_cleared() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    failed(&monitor, 5);
    advance(secs(900)).await;
    monitor.on_event(&Event::Queued {
        feature: &"summary".into(),
        model: HAIKU,
    });
    assert_eq!(told.take(Rule::AllFailed, &chat()), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_do_not_shape_the_percentiles() {
    let monitor = Monitor::new();
    let cancelled = Some(FailureKind::Cancelled);
    calls(&monitor, 100, Outcome::Direct, cancelled);
    assert_eq!(monitor.snapshot().all.hour.to_head_p50, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_a_failed_attempt_tells_that_a_model_is_gone() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    monitor.on_event(&Event::AttemptFailed {
        feature: &"chat".into(),
        model: SONNET,
        kind: FailureKind::ModelGone,
        after: secs(1),
    });
    assert_eq!(told.take(Rule::ModelGone, &sonnet()), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_open_for_more_than_ten_minutes_is_told_without_further_events() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    let watch = tokio::spawn(monitor.watch(secs(15)));
    circuit(&monitor, SONNET, opened(OpenReason::FailureRate));
    let opened_at = Instant::now();
    tokio::time::sleep(secs(300)).await;
    circuit(&monitor, SONNET, CircuitChange::HalfOpened);
    circuit(&monitor, SONNET, opened(OpenReason::Probe));
    tokio::time::sleep_until(opened_at + secs(600)).await;
    monitor.check();
    assert_eq!(told.take(Rule::CircuitOpen, &sonnet()), [false; 0]);
    tokio::time::sleep(secs(16)).await;
    assert_eq!(told.take(Rule::CircuitOpen, &sonnet()), [true]);
    let snapshot = monitor.snapshot();
    let seen = snapshot.model(SONNET).unwrap().circuit.unwrap();
    assert_eq!((seen.state, seen.open_since), ("open", Some(opened_at)));
    assert_eq!(snapshot.alerts.len(), 1);
    tokio::time::sleep(secs(600)).await;
    circuit(&monitor, SONNET, CircuitChange::Closed);
    assert_eq!(told.take(Rule::CircuitOpen, &sonnet()), [false]);
    // An outage is one opening, however many probes failed.
    assert_eq!(snapshot.all.hour.circuit_openings, 1);
    drop(monitor);
    watch.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_remembered_through_hours_without_calls() {
    let monitor = Monitor::builder()
        .without(Rule::CircuitOpen)
        .build()
        .unwrap();
    circuit(&monitor, SONNET, opened(OpenReason::Consecutive));
    pass(&monitor, secs(4 * 3600)).await;
    assert!(monitor.snapshot().model(SONNET).unwrap().circuit.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_callers_drop_or_get_wrong_raises_nothing_and_dilutes_nothing() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    calls(&monitor, 1000, Outcome::Error, Some(FailureKind::Refused));
    calls(
        &monitor,
        1000,
        Outcome::Direct,
        Some(FailureKind::Cancelled),
    );
    monitor.check();
    assert!(told.0.lock().unwrap().is_empty());
    good(&monitor, 100);
    failed(&monitor, 6);
    assert_eq!(told.take(Rule::FailureShare, &chat()), [true]);
    let hour = monitor.snapshot().all.hour;
    assert_eq!((hour.calls, hour.judged()), (2106, 106));
}

#[tokio::test(start_paused = true)]
async fn each_feature_is_judged_by_its_own_calls() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    good(&monitor, 2000);
    for _ in 0..30 {
        call(&monitor, "summary", CANNED.0, CANNED.1);
    }
    let summary = Subject::Feature("summary".into());
    assert_eq!(told.take(Rule::FailureBurn, &summary), [true]);
    assert_eq!(told.take(Rule::AllFailed, &summary), [true]);
    assert!(
        told.0.lock().unwrap().is_empty(),
        "neither chat nor all calls are worse for it"
    );
}

#[tokio::test(start_paused = true)]
async fn numbers_go_to_the_model_that_was_asked_for_and_attempts_to_the_one_that_was_tried() {
    let monitor = Monitor::new();
    let chat = Feature::new("chat");
    let failure = FailureKind::Overloaded;
    let attempt = |model| Event::AttemptFailed {
        feature: &chat,
        model,
        kind: failure,
        after: secs(1),
    };
    monitor.on_event(&attempt(SONNET));
    monitor.on_event(&Event::Retrying {
        feature: &chat,
        model: SONNET,
        attempt: 2,
        wait: secs(1),
        kind: failure,
    });
    monitor.on_event(&attempt(SONNET));
    monitor.on_event(&Event::FellBack {
        feature: &chat,
        from: SONNET,
        to: HAIKU,
        kind: failure,
    });
    monitor.on_event(&Event::AttemptCommitted {
        feature: &chat,
        model: HAIKU,
        after: secs(1),
    });
    call(&monitor, "chat", FALLBACK.0, FALLBACK.1);
    monitor.on_event(&Event::KeptAway {
        feature: &chat,
        model: SONNET,
        reason: KeptAway::Open,
    });
    monitor.on_event(&Event::BulkheadFull {
        feature: &chat,
        model: HAIKU,
        waited: true,
    });
    call(
        &monitor,
        "chat",
        Outcome::Cached,
        Some(FailureKind::CircuitOpen),
    );
    call(
        &monitor,
        "chat",
        Outcome::Error,
        Some(FailureKind::BulkheadFull),
    );

    let snapshot = monitor.snapshot();
    let asked = snapshot.model(SONNET).unwrap().windows.minute;
    assert_eq!((asked.calls, asked.fallbacks, asked.failures), (3, 1, 2));
    assert_eq!((asked.cached, asked.errors, asked.degraded()), (1, 1, 1));
    assert_eq!(
        (asked.attempts, asked.attempt_failures, asked.retries),
        (2, 2, 1)
    );
    assert_eq!((asked.hops, asked.spared), (1, 1));
    let tried = snapshot.pair(HAIKU, "chat").unwrap().windows.hour;
    assert_eq!(
        (tried.calls, tried.attempts, tried.bulkhead_full),
        (0, 1, 1)
    );
    let feature = snapshot.feature("chat").unwrap().windows;
    assert_eq!(feature.minute, feature.hour);
    assert_eq!(feature.hour, snapshot.all.hour);
    assert_eq!(feature.hour.attempts, 3);
    let p50 = feature.hour.to_head_p50.unwrap();
    assert!(
        p50 > Duration::from_millis(530) && p50 < Duration::from_millis(1200),
        "{p50:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_window_forgets_in_its_own_time() {
    let monitor = Monitor::new();
    failed(&monitor, 3);
    let mut counted = Vec::new();
    // Looked at after 0 s, 1 min, 5 min, 15 min and an hour.
    for wait in [0, 60, 240, 600, 2700] {
        advance(secs(wait)).await;
        let all = monitor.snapshot().all;
        counted.push(Window::ALL.map(|window| all.over(window).calls));
    }
    assert_eq!(
        counted,
        [
            [3, 3, 3, 3],
            [0, 3, 3, 3],
            [0, 0, 3, 3],
            [0, 0, 0, 3],
            [0; 4]
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_names_is_bounded_and_leaves_the_pinned_ones_counted() {
    let told = Told::default();
    let monitor = told
        .builder()
        .with_max_keys(NonZeroUsize::new(16).unwrap())
        .with_models([SONNET])
        .with_features(["chat"])
        .build()
        .unwrap();
    for flood in 0..5000 {
        let model = format!("invented-{flood}");
        monitor.on_event(&Event::CallEnded {
            feature: &format!("feature-{flood}").into(),
            model: &model,
            asked: &model,
            outcome: Outcome::Error,
            failure: Some(FailureKind::Refused),
            attempts: 1,
            to_head: secs(1),
            total: secs(1),
        });
        circuit(&monitor, &model, opened(OpenReason::Consecutive));
    }
    good(&monitor, 7);
    let snapshot = monitor.snapshot();
    assert!(snapshot.models.len() <= 18 && snapshot.features.len() <= 18);
    assert!(snapshot.pairs.len() <= 17);
    assert_eq!(snapshot.all.hour.calls, 5007);
    assert_eq!(snapshot.model(SONNET).unwrap().windows.hour.calls, 7);
    assert_eq!(snapshot.feature("chat").unwrap().windows.hour.calls, 7);
    let other = snapshot.model(OTHER).unwrap();
    assert_eq!(other.windows.hour.calls, 5000 - 16);
    assert!(
        other.circuit.is_none(),
        "circuits that share a place have no common state"
    );
    let by_pair: u64 = snapshot
        .pairs
        .iter()
        .map(|pair| pair.windows.hour.calls)
        .sum();
    assert_eq!(by_pair, 5007);
}

#[tokio::test(start_paused = true)]
async fn names_without_calls_for_an_hour_make_room() {
    let monitor = Monitor::builder()
        .with_max_keys(NonZeroUsize::MIN)
        .build()
        .unwrap();
    call(&monitor, "first", GOOD.0, GOOD.1);
    call(&monitor, "second", GOOD.0, GOOD.1);
    let snapshot = monitor.snapshot();
    assert!(snapshot.feature("second").is_none() && snapshot.feature(OTHER).is_some());
    pass(&monitor, secs(3800)).await;
    assert!(monitor.snapshot().models.is_empty());
    call(&monitor, "second", GOOD.0, GOOD.1);
    let snapshot = monitor.snapshot();
    assert!(snapshot.feature("first").is_none());
    assert_eq!(snapshot.feature("second").unwrap().windows.hour.calls, 1);
    assert!(
        snapshot.feature(OTHER).is_none(),
        "nothing in it for an hour"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_for_no_model_is_counted_under_none() {
    let monitor = Monitor::new();
    monitor.on_event(&Event::CallEnded {
        feature: &Feature::default(),
        model: "",
        asked: "",
        outcome: Outcome::Direct,
        failure: None,
        attempts: 1,
        to_head: Duration::ZERO,
        total: Duration::MAX,
    });
    assert_eq!(
        monitor.snapshot().model(NONE).unwrap().windows.hour.calls,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_callback_may_use_the_monitor_and_may_panic() {
    let cell: Arc<OnceLock<Monitor>> = Arc::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inner, sink) = (Arc::clone(&cell), Arc::clone(&seen));
    let monitor = Monitor::builder()
        .with_alert(|_| panic!("an observer harms nobody"))
        .with_alert(move |alert| {
            let monitor = inner.get().unwrap();
            monitor.check();
            call(monitor, "chat", GOOD.0, GOOD.1);
            sink.lock()
                .unwrap()
                .push((alert.clone(), monitor.snapshot()));
        })
        .build()
        .unwrap();
    cell.set(monitor.clone()).unwrap();
    gone(&monitor, SONNET);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let (alert, snapshot) = &seen[0];
    assert_eq!(snapshot.alerts[0].rule, alert.rule);
    assert_eq!(snapshot.all.hour.calls, 1);
}

#[derive(Default)]
struct Alerts(Mutex<Vec<(String, String, bool)>>);

impl Observe for Alerts {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Alert {
            rule,
            subject,
            raised,
            ..
        } = event
        {
            let told = (rule.to_string(), subject.to_string(), *raised);
            self.0.lock().unwrap().push(told);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_are_events_too_and_read_as_sentences() {
    let alerts = Arc::new(Alerts::default());
    let told = Told::default();
    let monitor = told
        .builder()
        .with_observer(alerts.clone())
        .without(Rule::FailureBurn)
        .without(Rule::FailureShare)
        .build()
        .unwrap();
    failed(&monitor, 50);
    good(&monitor, 1);
    assert_eq!(
        *alerts.0.lock().unwrap(),
        [
            ("all_failed".to_string(), "feature chat".to_string(), true),
            ("all_failed".to_string(), "all calls".to_string(), true),
            ("all_failed".to_string(), "feature chat".to_string(), false),
            ("all_failed".to_string(), "all calls".to_string(), false),
        ]
    );
    let sentences: Vec<_> = told
        .0
        .lock()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        sentences[0],
        "feature chat: 5 of 5 calls failed in the last 15 min"
    );
    assert_eq!(
        sentences[3],
        "cleared: all calls: 50 of 51 calls failed in the last 15 min"
    );
}

#[test]
fn a_threshold_that_cannot_work_is_refused_by_name() {
    for share in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
        let error = Monitor::builder()
            .with_slow_burn(share, 100)
            .build()
            .unwrap_err();
        assert_eq!(
            (error.field(), error.bound()),
            ("monitor.slow_burn", "between 0 and 1")
        );
        let error = Monitor::builder()
            .with_fast_burn(share, 0)
            .build()
            .unwrap_err();
        assert_eq!(error.field(), "monitor.fast_burn");
    }
    let error = Monitor::builder()
        .with_circuit_open(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(error.field(), "monitor.circuit_open");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_saw_nothing_says_nothing() {
    let monitor = Monitor::new();
    pass(&monitor, secs(7200)).await;
    let snapshot = monitor.snapshot();
    assert!(snapshot.all.is_empty() && snapshot.alerts.is_empty());
    assert!(
        snapshot.models.is_empty() && snapshot.features.is_empty() && snapshot.pairs.is_empty()
    );
    assert_eq!(snapshot.all.hour.to_head_p99, None);
    assert!(snapshot.all.hour.failure_share().abs() < f64::EPSILON);
}

#[test]
fn every_failure_kind_is_counted_one_way() {
    let monitor = Monitor::new();
    for kind in FailureKind::ALL {
        calls(&monitor, 1, Outcome::Error, Some(Failure::new(kind).kind));
    }
    let hour = monitor.snapshot().all.hour;
    assert_eq!(hour.calls, hour.failures + hour.refused + hour.cancelled);
    assert_eq!((hour.refused, hour.cancelled), (1, 1));
}

#[test]
fn events_of_many_threads_are_all_counted_and_an_alert_is_told_once() {
    let told = Told::default();
    let monitor = told.builder().build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| failed(&monitor, 500));
        }
    });
    assert_eq!(monitor.snapshot().all.hour.canned, 2000);
    for rule in [Rule::FailureShare, Rule::FailureBurn, Rule::AllFailed] {
        assert_eq!(told.take(rule, &Subject::All), [true], "{rule}");
    }
}

/// One step of a random life: so many milliseconds later, a call of this feature ends so.
type Step = (u64, usize, usize);

const FEATURES: [&str; 3] = ["chat", "summary", "extraction"];
const ENDS: [(Outcome, Option<FailureKind>); 6] = [
    GOOD,
    CANNED,
    FALLBACK,
    (Outcome::Error, Some(FailureKind::Timeout)),
    (Outcome::Error, Some(FailureKind::Refused)),
    (Outcome::Direct, Some(FailureKind::Cancelled)),
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Bursts of one end after another, so that alerts come and go.
    let gap = prop_oneof![20 => 0_u64..1500, 4 => 0_u64..60_000, 1 => 0_u64..2_000_000];
    let burst = (
        0..FEATURES.len(),
        0..ENDS.len(),
        prop::collection::vec(gap, 1..60),
    );
    prop::collection::vec(burst, 0..25).prop_map(|bursts| {
        let steps = bursts
            .into_iter()
            .flat_map(|(feature, end, gaps)| gaps.into_iter().map(move |gap| (gap, feature, end)));
        steps.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn totals_equal_a_recount_and_alerts_alternate(steps in steps(), rest in 0_u64..5000) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let told = Told::default();
            let monitor = told.builder().build().unwrap();
            let (mut now, mut ended) = (0, Vec::new());
            for (gap, feature, end) in steps {
                advance(Duration::from_millis(gap)).await;
                now += gap;
                let (outcome, failure) = ENDS[end];
                call(&monitor, FEATURES[feature], outcome, failure);
                ended.push((now / 1000, feature, end));
            }
            advance(secs(rest)).await;
            now = now / 1000 + rest;
            let snapshot = monitor.snapshot();
            for window in Window::ALL {
                let width = window.resolution().as_secs();
                let buckets = window.length().as_secs() / width;
                for (place, name) in FEATURES.iter().enumerate() {
                    let count = |ends: &[usize]| {
                        let counts = |(at, feature, end): &&(u64, usize, usize)| {
                            *feature == place
                                && ends.contains(end)
                                && now / width - at / width < buckets
                        };
                        ended.iter().filter(counts).count() as u64
                    };
                    let totals = snapshot.feature(name).map(|stats| *stats.windows.over(window));
                    let totals = totals.unwrap_or_default();
                    prop_assert_eq!(totals.calls, count(&[0, 1, 2, 3, 4, 5]));
                    prop_assert_eq!(totals.failures, count(&[1, 3]));
                    prop_assert_eq!(totals.fallbacks, count(&[2]));
                    prop_assert_eq!((totals.canned, totals.errors), (count(&[1]), count(&[3])));
                    prop_assert_eq!((totals.refused, totals.cancelled), (count(&[4]), count(&[5])));
                }
            }
            let mut standing = 0;
            for rule in Rule::ALL {
                for subject in [None, Some(0), Some(1), Some(2)] {
                    let subject = subject.map_or(Subject::All, |place: usize| {
                        Subject::Feature(FEATURES[place].into())
                    });
                    let told = told.take(rule, &subject);
                    let turns = told.iter().enumerate().all(|(turn, raised)| *raised == (turn % 2 == 0));
                    prop_assert!(turns, "{rule} of {subject}: {told:?}");
                    standing += told.len() % 2;
                }
            }
            prop_assert_eq!(snapshot.alerts.len(), standing);
            Ok(())
        })?;
    }
}
