//! What the builder hands to the layers, and what it refuses.

mod common;

use common::{Act, HAIKU, SONNET, Upstream, request};
use http::response;
use std::{
    collections::BTreeSet,
    error::Error,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tower::Layer;
use tower_claude::{
    Event, Failure, FailureKind, Feature, Observe, Resilience, ResilienceBuilder, Timeouts,
    bulkhead::{BulkheadLayer, Compartment},
    circuit_breaker::CircuitBreakerLayer,
    classify::{Classify, ClaudeClassifier, Verdict},
    degrade::{DegradeLayer, DegradePolicy},
    jitter_backoff::{Jitter, JitterBackoffLayer},
    model_fallback::{ChainModel, ModelFallbackLayer},
};

const SECOND: Duration = Duration::from_secs(1);

fn new() -> ResilienceBuilder {
    Resilience::builder()
}

#[test]
fn a_setting_that_cannot_work_is_refused_by_name_value_and_bound() {
    let backoff = JitterBackoffLayer::new;
    let breaker = CircuitBreakerLayer::new;
    let wide = Compartment::new(2_000_000);
    let capped = ChainModel::new("a").with_max_tokens(0);
    for (builder, error) in [
        (
            new().timeouts(Timeouts::new().with_idle(Duration::ZERO)),
            "timeouts.idle is 0s, but must be longer than 0s",
        ),
        (
            new().deadline(Duration::ZERO),
            "replay.deadline is 0s, but must be longer than 0s",
        ),
        (
            new().max_body(0),
            "replay.limit is 0 bytes, but must be at least 1 byte",
        ),
        (
            new().chain(["a", "a"]),
            "model_fallback.chain is \"a\" twice, but must be each model once",
        ),
        (
            new().fallback(ModelFallbackLayer::new().with_feature_chain("chat", [capped])),
            "model_fallback.feature_chain.chat.a.max_tokens is 0, but must be at least 1",
        ),
        (
            new().backoff(backoff().with_base(Duration::ZERO)),
            "jitter_backoff.base is 0s, but must be longer than 0s",
        ),
        (
            new().backoff(backoff().with_jitter(Jitter::Ratio(1.5))),
            "jitter_backoff.jitter is 1.5, but must be a ratio from 0 to 1",
        ),
        (
            new().bulkhead(BulkheadLayer::new().with_feature("chat", wide)),
            "bulkhead.chat.limit is 2000000, but must be at most 1000000",
        ),
        (
            new().circuit_breaker(breaker().with_failure_rate(2.0, NonZeroU32::MIN)),
            "circuit_breaker.failure_rate is 2, but must be above 0 and at most 1",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), error);
    }
    let silent = DegradeLayer::new().with_feature("chat", DegradePolicy::answer(" "));
    assert!(new().degrade(silent).build().is_err());
}

/// The names of the events that were told.
#[derive(Default)]
struct Told(Mutex<BTreeSet<String>>);

impl Observe for Told {
    fn on_event(&self, event: &Event<'_>) {
        let text = format!("{event:?}");
        let name = text.split(' ').next().unwrap_or_default().to_owned();
        self.0.lock().unwrap().insert(name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_every_layer() {
    let told = Arc::new(Told::default());
    let claude = new()
        .chain([SONNET, HAIKU])
        .bulkhead(BulkheadLayer::new().with_default(Compartment::new(1).with_queue(1)))
        .observe(told.clone())
        .build()
        .unwrap()
        .layer(Upstream::always(Act::overloaded().after(SECOND)));
    let calls = (0..12).map(|_| claude.send(request(SONNET, false)));
    futures_util::future::join_all(calls).await;
    let told = told.0.lock().unwrap();
    for (layer, event) in [
        ("Replay", "CallEnded"),
        ("Degrade", "Degraded"),
        ("ModelFallback", "FellBack"),
        ("JitterBackoff", "Retrying"),
        ("Bulkhead", "Queued"),
        ("CircuitBreaker", "CircuitChanged"),
        ("Commit", "AttemptFailed"),
    ] {
        assert!(told.contains(event), "{layer}: {told:?}");
    }
}

#[test]
fn the_models_of_all_chains_have_circuits_before_any_call() {
    let chains = ModelFallbackLayer::new()
        .with_chain([SONNET])
        .with_feature_chain("chat", [HAIKU]);
    let stack = new().fallback(chains).build().unwrap();
    let circuits = stack.circuits().snapshot();
    let models: Vec<_> = circuits.iter().map(|one| &*one.model).collect();
    assert_eq!(models, [HAIKU, SONNET]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_models_takes_no_place_from_those_of_a_chain() {
    let stack = new().chain([SONNET, HAIKU]).build().unwrap();
    let claude = stack.layer(Upstream::always(Act::Hang));
    let mut calls = Vec::new();
    for n in 0..300 {
        let call = claude.send(request(&format!("invented-{n}"), false));
        calls.push(tokio::spawn(call));
    }
    sleep(Duration::from_millis(1)).await;
    calls.push(tokio::spawn(claude.send(request(SONNET, false))));
    sleep(Duration::from_millis(1)).await;
    let rooms = stack.bulkheads().snapshot();
    let sonnets = rooms.iter().find(|room| &*room.model == SONNET);
    assert_eq!(sonnets.map(|room| room.in_flight), Some(1));
    assert!(rooms.iter().any(|room| &*room.model == "*"), "the flood");
    for call in calls {
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_goes_by_the_timeouts_of_the_stack() {
    let timeouts = Timeouts::new().with_first_event(4 * SECOND);
    let stack = new().timeouts(timeouts).build().unwrap();
    let claude = stack.layer(Upstream::always(Act::Hang));
    for (stays, failures) in [(2 * SECOND, 0), (3 * SECOND, 1)] {
        let call = claude.send(request(SONNET, true));
        assert!(timeout(stays, call).await.is_err());
        let circuit = stack.circuits().snapshot().remove(0);
        assert_eq!(
            circuit.failures, failures,
            "half of 4 s, left after {stays:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_open_times_of_circuits() {
    let mut open_for = Vec::new();
    for seed in [7, 7, 8] {
        let stack = new().seed(seed).build().unwrap();
        let claude = stack.layer(Upstream::always(Act::overloaded()));
        for _ in 0..3 {
            let _ = claude.send(request(SONNET, false)).await;
        }
        let circuit = stack.circuits().snapshot().remove(0);
        open_for.push(circuit.remaining.expect("it is open"));
    }
    assert_eq!(open_for[0], open_for[1]);
    assert_ne!(open_for[0], open_for[2]);
}

/// Takes a teapot for an overload.
#[derive(Debug)]
struct Teapot;

impl Classify for Teapot {
    fn head(&self, head: &response::Parts) -> Verdict {
        match head.status.as_u16() {
            418 => Verdict::Failed(Failure::new(FailureKind::Overloaded)),
            _ => ClaudeClassifier::default().head(head),
        }
    }

    fn body(&self, head: &response::Parts, start: &[u8]) -> Verdict {
        match head.status.as_u16() {
            418 => self.head(head),
            _ => ClaudeClassifier::default().body(head, start),
        }
    }

    fn error(&self, error: &(dyn Error + 'static)) -> Failure {
        ClaudeClassifier::default().error(error)
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_of_ones_own_judges_for_all_layers() {
    let upstream = Upstream::new(|model, _| match model {
        SONNET => Act::json(418, "{}"),
        _ => Act::ok(),
    });
    let claude = new()
        .chain([SONNET, HAIKU])
        .classifier(Arc::new(Teapot))
        .build()
        .unwrap()
        .layer(upstream.clone());
    let mut request = request(SONNET, false);
    request.extensions_mut().insert(Feature::new("chat"));
    let answer = claude.send(request).await.unwrap();
    assert_eq!(answer.headers()["tower-claude-model"], HAIKU);
    assert_eq!(upstream.calls_to(SONNET), 2, "retried, then passed by");
}
