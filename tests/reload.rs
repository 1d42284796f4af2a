//! Other settings for a stack that is running: what it has learned stays, what cannot work changes nothing.

mod common;

use common::{Act, SONNET, Upstream, read, request};
use http::Request;
use http_body_util::Full;
use std::{
    num::{NonZeroU8, NonZeroU32},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_claude::{
    Event, Feature, Observe, Outcome, Resilience, ResilienceBuilder, Served, Timeouts,
    bulkhead::{BulkheadLayer, Compartment},
    cache::MemoryCache,
    circuit_breaker::{CircuitBreakerLayer, CircuitState},
    degrade::DegradeLayer,
    jitter_backoff::{JitterBackoffLayer, RetryBudget},
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn of(feature: &'static str, stream: bool) -> Request<Full<bytes::Bytes>> {
    let mut request = request(SONNET, stream);
    request.extensions_mut().insert(Feature::new(feature));
    request
}

fn outcome<B>(answer: &http::Response<B>) -> Outcome {
    answer.extensions().get::<Served>().unwrap().outcome
}

/// Opens at the third failure.
fn brittle() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new()
        .with_consecutive(NonZeroU32::new(3).unwrap())
        .with_consecutive_span(Duration::ZERO)
        .with_cooldown_jitter(0.0)
}

fn impatient() -> ResilienceBuilder {
    Resilience::builder().without_backoff()
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_stays_open_as_long_as_it_was_told() {
    let upstream = Upstream::always(Act::overloaded());
    let old = impatient().circuit_breaker(brittle()).build().unwrap();
    let claude = old.layer(upstream.clone());
    for _ in 0..4 {
        claude.send(request(SONNET, false)).await.unwrap();
    }
    assert_eq!(upstream.calls(), 3);
    sleep(seconds(30)).await;

    let longer = brittle().with_cooldown(seconds(120));
    let new = old.reloaded(impatient().circuit_breaker(longer)).unwrap();
    let claude = new.layer(upstream.clone());
    claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(upstream.calls(), 3);
    sleep(seconds(30)).await;
    claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(upstream.calls(), 4, "the probe, 60 s after it opened");
    let circuit = &new.circuits().snapshot()[0];
    let left = circuit.remaining.unwrap();
    assert!(left > seconds(150), "grown from 120 s by now: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_counted_before_a_reload_count_after_it_by_the_new_rules() {
    let upstream = Upstream::always(Act::overloaded());
    let old = impatient().circuit_breaker(brittle()).build().unwrap();
    for _ in 0..2 {
        old.layer(upstream.clone())
            .send(request(SONNET, false))
            .await
            .unwrap();
    }
    let five = brittle().with_consecutive(NonZeroU32::new(5).unwrap());
    let new = old.reloaded(impatient().circuit_breaker(five)).unwrap();
    let claude = new.layer(upstream.clone());
    for failures in 3..=5 {
        assert_eq!(new.circuits().state(SONNET), CircuitState::Closed);
        claude.send(request(SONNET, false)).await.unwrap();
        assert_eq!(upstream.calls(), failures);
    }
    assert_eq!(new.circuits().state(SONNET), CircuitState::Open);
    assert_eq!(old.circuits().state(SONNET), CircuitState::Open, "the same");
}

#[tokio::test(start_paused = true)]
async fn a_model_first_called_by_an_old_service_goes_by_the_new_rules_too() {
    let upstream = Upstream::always(Act::overloaded());
    let old = impatient().circuit_breaker(brittle()).build().unwrap();
    let claude = old.layer(upstream.clone());
    let once = brittle().with_consecutive(NonZeroU32::MIN);
    let new = old.reloaded(impatient().circuit_breaker(once)).unwrap();
    claude.send(request(SONNET, false)).await.unwrap();
    assert_eq!(new.circuits().state(SONNET), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_of_a_tenant_outlives_a_reload() {
    let upstream = Upstream::always(Act::rate_limited("20"));
    let old = impatient().build().unwrap();
    old.layer(upstream.clone())
        .send(request(SONNET, false))
        .await
        .unwrap();
    let new = old.reloaded(impatient()).unwrap();
    new.layer(upstream.clone())
        .send(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(upstream.calls(), 1);
    assert_eq!(new.circuits().cooldowns(), 1);
}

fn seats(limit: usize) -> ResilienceBuilder {
    let chat = Compartment::new(limit).with_queue(0);
    let default = Compartment::new(1).with_queue(0);
    let layer = BulkheadLayer::new()
        .with_feature("chat", chat)
        .with_default(default);
    impatient().without_degrade().bulkhead(layer)
}

/// Calls in flight, in all compartments.
fn in_flight(stack: &Resilience) -> usize {
    let all = stack.bulkheads().snapshot();
    all.iter().map(|compartment| compartment.in_flight).sum()
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_keep_their_seats_and_count_in_the_resized_compartment() {
    let upstream = Upstream::always(Act::stream());
    let old = seats(2).build().unwrap();
    let claude = old.layer(upstream.clone());
    let first = claude.send(of("chat", true)).await.unwrap();
    let second = claude.send(of("chat", true)).await.unwrap();

    let new = old.reloaded(seats(3)).unwrap();
    assert_eq!(in_flight(&new), 2);
    let claude = new.layer(upstream.clone());
    let third = claude.send(of("chat", true)).await.unwrap();
    claude.send(of("chat", true)).await.unwrap_err();

    let new = new.reloaded(seats(1)).unwrap();
    let claude = new.layer(upstream.clone());
    for (answer, left) in [(first, 2), (second, 1)] {
        let (text, end) = read(answer.into_body()).await;
        end.unwrap();
        assert!(text.contains("message_stop"), "not cut");
        assert_eq!(in_flight(&new), left);
        claude.send(of("chat", true)).await.unwrap_err();
    }
    drop(third);
    claude.send(of("chat", true)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_default_compartment_counts_on_too() {
    let upstream = Upstream::always(Act::stream());
    let old = seats(1).build().unwrap();
    let _held = old.layer(upstream.clone()).send(of("default", true)).await;
    let new = old.reloaded(seats(1)).unwrap();
    assert_eq!(in_flight(&new), 1);
    let claude = new.layer(upstream);
    claude.send(of("default", true)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_call_in_the_line_sits_down_when_the_compartment_grows() {
    let upstream = Upstream::always(Act::stream());
    let of_size = |limit| {
        let layer = BulkheadLayer::new().with_feature("chat", Compartment::new(limit));
        impatient().bulkhead(layer)
    };
    let old = of_size(1).build().unwrap();
    let claude = old.layer(upstream.clone());
    let _first = claude.send(of("chat", true)).await.unwrap();
    let start = Instant::now();
    let second = tokio::spawn(claude.send(of("chat", true)));
    sleep(seconds(1)).await;
    assert_eq!(upstream.calls(), 1);
    let _new = old.reloaded(of_size(2)).unwrap();
    assert_eq!(outcome(&second.await.unwrap().unwrap()), Outcome::Direct);
    assert_eq!(Instant::now() - start, seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_feature_that_is_gone_falls_to_the_default_compartment() {
    let upstream = Upstream::always(Act::stream());
    let search = BulkheadLayer::new().with_feature("search", Compartment::new(9));
    let old = impatient().bulkhead(search).build().unwrap();
    let held = old.layer(upstream.clone()).send(of("search", true)).await;
    let new = old.reloaded(seats(1)).unwrap();
    let claude = new.layer(upstream.clone());
    let second = claude.send(of("search", true)).await.unwrap();
    claude.send(of("search", true)).await.unwrap_err();
    assert_eq!(new.bulkheads().unknown_features(), 2);
    let all = new.bulkheads().snapshot();
    let names: Vec<_> = all.iter().map(|one| one.feature.as_str()).collect();
    assert_eq!(names, ["default"], "and one seat taken there");
    let (_, end) = read(held.unwrap().into_body()).await;
    end.unwrap();
    drop(second);
    assert_eq!(in_flight(&new), 0);
}

/// Case 39.
#[tokio::test(start_paused = true)]
async fn a_call_under_way_ends_by_the_old_attempts_and_timeouts() {
    let upstream = Upstream::new(|_, nth| match nth {
        0 => Act::overloaded(),
        _ => Act::ok().after(seconds(8)),
    });
    let backoff = JitterBackoffLayer::new().with_attempts(NonZeroU8::new(2).unwrap());
    let old = Resilience::builder().backoff(backoff).build().unwrap();
    let call = tokio::spawn(old.layer(upstream.clone()).send(request(SONNET, false)));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(upstream.calls(), 1, "it sleeps before its second attempt");

    let short = Timeouts::new().with_answer(seconds(5));
    let new = old.reloaded(impatient().timeouts(short)).unwrap();
    assert_eq!(outcome(&call.await.unwrap().unwrap()), Outcome::Retried);
    let answer = new.layer(upstream).send(request(SONNET, false)).await;
    assert_eq!(outcome(&answer.unwrap()), Outcome::Cached, "after 5 s");
}

/// Case 39.
#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_change_nothing() {
    let upstream = Upstream::always(Act::stream());
    let old = seats(2).build().unwrap();
    let claude = old.layer(upstream.clone());
    let _held = claude.send(of("chat", true)).await.unwrap();
    let before = old.bulkheads().snapshot();
    for bad in [
        seats(usize::MAX),
        seats(1).timeouts(Timeouts::new().with_idle(Duration::ZERO)),
        seats(1).circuit_breaker(brittle().with_cooldown(Duration::ZERO)),
        seats(1).chain([SONNET, SONNET]),
    ] {
        old.reloaded(bad).unwrap_err();
    }
    assert_eq!(old.bulkheads().snapshot(), before);
    let _second = claude.send(of("chat", true)).await.unwrap();
    claude.send(of("chat", true)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_spent_retry_budget_stays_spent_and_a_larger_one_has_the_difference() {
    let upstream = Upstream::always(Act::overloaded());
    let reserve = |reserve| {
        let budget = RetryBudget::new()
            .with_percent(0)
            .with_reserve(reserve)
            .with_refill(0);
        let layer = JitterBackoffLayer::new()
            .with_budget(budget)
            .with_base(Duration::from_millis(1));
        Resilience::builder()
            .backoff(layer)
            .without_circuit_breaker()
    };
    let calls = |stack: &Resilience| {
        let (before, claude) = (upstream.calls(), stack.layer(upstream.clone()));
        let upstream = upstream.clone();
        async move {
            claude.send(request(SONNET, false)).await.unwrap();
            upstream.calls() - before
        }
    };
    let old = reserve(3).build().unwrap();
    assert_eq!(calls(&old).await, 4);
    let new = old.reloaded(reserve(3)).unwrap();
    assert_eq!(calls(&new).await, 1);
    let new = new.reloaded(reserve(5)).unwrap();
    assert_eq!(calls(&new).await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_kept_before_a_reload_stands_in_after_it_and_is_as_old_as_it_was() {
    let upstream = Upstream::new(|_, nth| match nth {
        0 => Act::ok(),
        _ => Act::overloaded(),
    });
    let cache = |ttl| {
        let layer = DegradeLayer::new().with_memory_cache(MemoryCache::new().with_ttl(ttl));
        impatient().degrade(layer)
    };
    let mut stack = cache(seconds(100)).build().unwrap();
    let answer = stack.layer(upstream.clone()).send(request(SONNET, false));
    read(answer.await.unwrap().into_body()).await.1.unwrap();
    for (ttl, outcome_then) in [
        (100, Outcome::Cached),
        (50, Outcome::Cached),
        (90, Outcome::Cached),
        (20, Outcome::Canned),
        (90, Outcome::Canned),
    ] {
        sleep(seconds(8)).await;
        stack = stack.reloaded(cache(seconds(ttl))).unwrap();
        let answer = stack.layer(upstream.clone()).send(request(SONNET, false));
        assert_eq!(outcome(&answer.await.unwrap()), outcome_then, "ttl {ttl}");
    }
}

#[derive(Default)]
struct Ends(AtomicU32);

impl Observe for Ends {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::CallEnded { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn observers_stay_each_once_and_new_ones_join() {
    let (old_one, new_one) = (Arc::new(Ends::default()), Arc::new(Ends::default()));
    let stack = Resilience::builder().observe(old_one.clone());
    let stack = stack.build().unwrap();
    let again = Resilience::builder()
        .observe(old_one.clone())
        .observe(new_one.clone());
    let stack = stack.reloaded(again).unwrap();
    let stack = stack.reloaded(Resilience::builder()).unwrap();
    let claude = stack.layer(Upstream::always(Act::ok()));
    let answer = claude.send(request(SONNET, false)).await.unwrap();
    read(answer.into_body()).await.1.unwrap();
    for ends in [old_one, new_one] {
        assert_eq!(ends.0.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_switched_off_and_on_again_starts_afresh() {
    let stack = impatient().build().unwrap();
    stack.circuits().force_open(SONNET);
    let off = stack
        .reloaded(impatient().without_circuit_breaker().without_bulkhead())
        .unwrap();
    let answer = off
        .layer(Upstream::always(Act::ok()))
        .send(request(SONNET, false));
    assert_eq!(outcome(&answer.await.unwrap()), Outcome::Direct);
    let on = off.reloaded(impatient()).unwrap();
    assert_eq!(on.circuits().state(SONNET), CircuitState::Closed);
    assert_eq!(stack.circuits().state(SONNET), CircuitState::ForcedOpen);
}
