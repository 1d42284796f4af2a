//! What holds for any outage: random scripts of faults against the whole stack, on a paused clock.

mod common;

use common::{Act, BodyEnd, HAIKU, SONNET, Upstream, read, request};
use proptest::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tower::Layer;
use tower_claude::{
    Deadline, Event, Observe, Resilience,
    bulkhead::{BulkheadLayer, Compartment},
    circuit_breaker::CircuitState,
    monitor::Monitor,
};

/// What an upstream may do with one attempt, healthy or not.
fn act() -> impl Strategy<Value = Act> {
    let delay = (0_u64..40_000).prop_map(Duration::from_millis);
    let frames = prop::collection::vec(
        prop::sample::select(vec![
            common::START,
            common::BLOCK,
            common::PING,
            common::DELTA,
            common::END,
            common::STOP,
            common::ERROR,
            "event: content_blo",
        ]),
        0..8,
    );
    let end = prop::sample::select(vec![BodyEnd::Eof, BodyEnd::Cut, BodyEnd::Stall]);
    prop_oneof![
        3 => delay.clone().prop_map(|delay| Act::ok().after(delay)),
        3 => Just(Act::stream()),
        3 => delay.clone().prop_map(|delay| Act::overloaded().after(delay)),
        1 => Just(Act::refused()),
        2 => (delay.clone(), 0_u32..90).prop_map(|(delay, wait)| Act::rate_limited(&wait.to_string()).after(delay)),
        2 => delay.clone().prop_map(Act::Break),
        2 => Just(Act::Hang),
        3 => (delay, frames, end).prop_map(|(pause, frames, end)| Act::sse(&frames, end).every(pause / 4)),
    ]
}

fn stack(seed: u64) -> Resilience {
    Resilience::builder()
        .chain([SONNET, HAIKU])
        .seed(seed)
        .build()
        .unwrap()
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Case 77. The head of the answer is the commit: it comes by the deadline whatever upstream does.
    #[test]
    fn no_call_is_uncommitted_past_its_deadline(
        script in prop::collection::vec(act(), 1..24),
        deadline in 1_u64..120_000,
        calls in 1_usize..6,
        stream in any::<bool>(),
        seed in any::<u64>(),
    ) {
        run(async move {
            let upstream = Upstream::new(move |_, nth| script[nth % script.len()].clone());
            let claude = stack(seed).layer(upstream);
            for _ in 0..calls {
                let deadline = Deadline::after(Duration::from_millis(deadline));
                let mut request = request(SONNET, stream);
                request.extensions_mut().insert(deadline);
                let answer = claude.send(request).await;
                let late = Instant::now().saturating_duration_since(deadline.instant());
                assert!(late <= Duration::from_millis(50), "{late:?} past the deadline");
                // Idle timeouts bound the rest: a body always ends.
                if let Ok(answer) = answer {
                    let _ = read(answer.into_body()).await;
                }
            }
        });
    }

    /// Case 78. Attempts per model are bounded by the calls that reach it, the budget and its reserve.
    #[test]
    fn attempts_at_a_model_never_pass_its_calls_times_the_budget_and_the_reserve(
        script in prop::collection::vec(act(), 1..24),
        calls in 1_u32..60,
        gap in 0_u64..2_000,
        seed in any::<u64>(),
    ) {
        run(async move {
            let upstream = Upstream::new(move |model, nth| {
                script[(nth + usize::from(model == HAIKU)) % script.len()].clone()
            });
            // Circuits and compartments spare attempts; without them the budget alone must hold.
            let claude = Resilience::builder()
                .chain([SONNET, HAIKU])
                .without_circuit_breaker()
                .without_bulkhead()
                .seed(seed)
                .build()
                .unwrap()
                .layer(upstream.clone());
            let start = Instant::now();
            let mut running = Vec::new();
            for _ in 0..calls {
                let claude = claude.clone();
                running.push(tokio::spawn(async move {
                    if let Ok(answer) = claude.send(request(SONNET, false)).await {
                        let _ = read(answer.into_body()).await;
                    }
                }));
                sleep(Duration::from_millis(gap)).await;
            }
            for call in running {
                call.await.unwrap();
            }
            let seconds = start.elapsed_by_now();
            for model in [SONNET, HAIKU] {
                // Every call reaches the first model; at most all of them reach the second.
                let bound = f64::from(calls) * 1.2 + 10.0 + seconds;
                let attempts = u32::try_from(upstream.calls_to(model)).unwrap();
                assert!(f64::from(attempts) <= bound, "{attempts} attempts at {model}, bound {bound}");
            }
        });
    }
}

/// One call of a crowd: when it begins, how long its caller stays, whether it asks for a stream, and what an operator does
/// as it begins.
#[derive(Debug, Clone)]
struct Caller {
    after: u64,
    stays: Option<u64>,
    deadline: Option<u64>,
    stream: bool,
    operator: u8,
}

fn caller() -> impl Strategy<Value = Caller> {
    (
        prop_oneof![3 => 0_u64..50, 1 => 0_u64..20_000],
        prop::option::of(0_u64..40_000),
        prop::option::of(1_u64..60_000),
        any::<bool>(),
        0_u8..24,
    )
        .prop_map(|(after, stays, deadline, stream, operator)| Caller {
            after,
            stays,
            deadline,
            stream,
            operator,
        })
}

fn operate(stack: &Resilience, what: u8) {
    let (circuits, bulkheads) = (stack.circuits(), stack.bulkheads());
    match what {
        0 => circuits.force_open(SONNET),
        1 => circuits.disable(SONNET),
        2 => circuits.reset(SONNET),
        3 => circuits.reset(HAIKU),
        4..8 => assert!(bulkheads.resize("default", usize::from(what - 4))),
        _ => {}
    }
}

#[derive(Default)]
struct Ended(AtomicUsize);

impl Observe for Ended {
    fn on_event(&self, event: &Event<'_>) {
        if matches!(event, Event::CallEnded { .. }) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// However calls ended, were dropped, stood in lines or probed: every seat comes back, every call is told once, and a
    /// model that is well again is asked again.
    #[test]
    fn an_outage_leaves_nothing_behind(
        script in prop::collection::vec(act(), 1..24),
        callers in prop::collection::vec(caller(), 1..40),
        seed in any::<u64>(),
    ) {
        run(async move {
            let well = Arc::new(AtomicBool::new(false));
            let upstream = Upstream::new({
                let well = well.clone();
                move |_, nth| {
                    if well.load(Ordering::SeqCst) {
                        Act::ok()
                    } else {
                        script[nth % script.len()].clone()
                    }
                }
            });
            let (ended, monitor) = (Arc::new(Ended::default()), Monitor::new());
            let stack = Resilience::builder()
                .chain([SONNET, HAIKU])
                .bulkhead(BulkheadLayer::new().with_default(Compartment::new(3)))
                .observe(ended.clone())
                .observe(Arc::new(monitor.clone()))
                .seed(seed)
                .build()
                .unwrap();
            let claude = stack.layer(upstream.clone());
            let count = callers.len();
            let mut running = Vec::new();
            for caller in callers {
                sleep(Duration::from_millis(caller.after)).await;
                operate(&stack, caller.operator);
                let claude = claude.clone();
                running.push(tokio::spawn(async move {
                    let mut request = request(SONNET, caller.stream);
                    if let Some(millis) = caller.deadline {
                        let deadline = Deadline::after(Duration::from_millis(millis));
                        request.extensions_mut().insert(deadline);
                    }
                    let call = async {
                        let answer = claude.send(request).await.unwrap();
                        let _ = read(answer.into_body()).await;
                    };
                    match caller.stays {
                        Some(millis) => drop(timeout(Duration::from_millis(millis), call).await),
                        None => call.await,
                    }
                }));
            }
            for call in running {
                call.await.unwrap();
            }
            assert_eq!(upstream.open(), 0);
            for room in stack.bulkheads().snapshot() {
                assert_eq!((room.in_flight, room.queued), (0, 0), "{room:?}");
            }
            assert_eq!(ended.0.load(Ordering::SeqCst), count);

            let totals = monitor.snapshot().all.hour;
            let told = u64::try_from(count).unwrap();
            assert!(totals.calls <= told && totals.failures + totals.cancelled <= told, "{totals:?}");
            assert_eq!(totals.failures, totals.errors + totals.degraded() + totals.broken, "{totals:?}");

            // Well again.
            well.store(true, Ordering::SeqCst);
            assert!(stack.bulkheads().resize("default", 3));
            for model in [SONNET, HAIKU] {
                let held = [CircuitState::ForcedOpen, CircuitState::Disabled];
                if held.contains(&stack.circuits().state(model)) {
                    stack.circuits().reset(model);
                }
            }
            sleep(Duration::from_secs(361)).await;
            for _ in 0..2 {
                let answer = claude.send(request(SONNET, false)).await.unwrap();
                assert_eq!(answer.status(), 200);
                assert!(!answer.headers().contains_key("tower-claude-degraded"), "{answer:?}");
            }
            assert_eq!(stack.circuits().state(SONNET), CircuitState::Closed);
        });
    }
}

trait ElapsedByNow {
    fn elapsed_by_now(&self) -> f64;
}

impl ElapsedByNow for Instant {
    fn elapsed_by_now(&self) -> f64 {
        Instant::now().duration_since(*self).as_secs_f64()
    }
}
