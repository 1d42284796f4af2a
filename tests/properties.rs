//! What holds for any outage: random scripts of faults against the whole stack, on a paused clock.

mod common;

use common::{Act, BodyEnd, HAIKU, SONNET, Upstream, read, request};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;
use tower::Layer;
use tower_claude::{Deadline, Resilience};

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
                tokio::time::sleep(Duration::from_millis(gap)).await;
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

trait ElapsedByNow {
    fn elapsed_by_now(&self) -> f64;
}

impl ElapsedByNow for Instant {
    fn elapsed_by_now(&self) -> f64 {
        Instant::now().duration_since(*self).as_secs_f64()
    }
}
