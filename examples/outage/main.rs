//! Twenty seconds of outage, carried through.
//!
//! A fake Claude listens on loopback. Four features of an application call it over real HTTP, about forty times a second,
//! JSON and streams, through the stack of this crate. Then Claude breaks: the first model is overloaded, then it hangs,
//! then everything is down, then it recovers. Watch who answers, what the circuits do, and how few calls still reach a
//! model that is down. All times are scaled down, so that a real outage of an hour fits into twenty seconds.
//!
//! ```console
//! $ cargo run --release --example outage
//! ```
//!
//! Ends with an error if any call got neither an answer nor a clean error.

mod board;
mod load;
mod watch;

use board::Board;
use load::Load;
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tower::Layer;
use tower_claude::{
    BoxError, Resilience, Timeouts,
    bulkhead::{BulkheadLayer, Compartment},
    circuit_breaker::CircuitBreakerLayer,
    client,
    jitter_backoff::JitterBackoffLayer,
    testing::{FakeClaude, Reply, Script},
};
use watch::Watch;

const SONNET: &str = "claude-sonnet-5-5";
const HAIKU: &str = "claude-haiku-5-5";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the fake Claude does, from second to second.
const PHASES: [(Duration, &str); 5] = [
    (seconds(0), "healthy"),
    (seconds(4), "sonnet answers 529 (overloaded)"),
    (
        seconds(8),
        "sonnet hangs (its circuit is open already: only a probe waits for it)",
    ),
    (seconds(12), "everything is down"),
    (seconds(15), "healthy again"),
];
const END: Duration = seconds(20);

async fn break_claude() -> Result<FakeClaude, BoxError> {
    let sonnet = Reply::ok()
        .text("An answer from sonnet.")
        .after(millis(60))
        .deltas(6)
        .every(millis(15));
    let haiku = Reply::ok()
        .text("An answer from haiku.")
        .after(millis(25))
        .deltas(6)
        .every(millis(8));
    let fake = FakeClaude::builder()
        .on(
            SONNET,
            Script::new()
                .during(seconds(4)..seconds(8), Reply::overloaded())
                .during(seconds(8)..seconds(12), Reply::hang())
                .during(seconds(12)..seconds(15), Reply::server_error())
                .always(sonnet),
        )
        .on(
            HAIKU,
            Script::new()
                .during(seconds(12)..seconds(15), Reply::overloaded())
                .always(haiku),
        )
        .start()
        .await?;
    Ok(fake)
}

/// The stack as an application would build it, with every time divided by about fifty.
fn stack(watch: &Arc<Watch>) -> Result<Resilience, BoxError> {
    let breaker = CircuitBreakerLayer::new()
        .with_consecutive_span(millis(100))
        .with_window(seconds(4))
        .with_cooldown(millis(1_200))
        .with_max_cooldown(millis(2_500))
        .with_ramp(millis(600));
    let backoff = JitterBackoffLayer::new()
        .with_base(millis(50))
        .with_cap(millis(400));
    let bulkhead = BulkheadLayer::new()
        .with_feature("chat", Compartment::new(20).with_wait(millis(100)))
        .with_feature(
            "background_jobs",
            Compartment::new(5).with_queue(50).with_wait(seconds(1)),
        );
    Ok(Resilience::builder()
        .chain([SONNET, HAIKU])
        .circuit_breaker(breaker)
        .backoff(backoff)
        .bulkhead(bulkhead)
        .timeouts(
            Timeouts::new()
                .with_first_event(millis(400))
                .with_answer(millis(600)),
        )
        .deadline(seconds(3))
        .observe(watch.clone())
        .seed(1)
        .build()?)
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let fake = break_claude().await?;
    let board = Arc::new(Board::new());
    let watch = Arc::new(Watch::new(board.clone()));
    let stack = stack(&watch)?;
    let claude = stack.layer(client::https_client());
    let load = Load::new(claude, &fake);

    board.head();
    fake.reset_clock();
    let start = Instant::now();
    board.start(start);
    let mut tick = interval(millis(25));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut phases = PHASES.iter().peekable();
    let mut next_row = seconds(1);
    for nth in 0.. {
        tick.tick().await;
        let at = Instant::now().duration_since(start);
        if at >= next_row {
            board.row(at, &load, &fake, &stack, &watch);
            next_row += seconds(1);
        }
        if let Some((_, what)) = phases.next_if(|(from, _)| *from <= at) {
            board.phase(what);
        }
        if at >= END {
            break;
        }
        load.tick(nth);
    }
    load.drain(seconds(5)).await;
    Ok(board.summary(&load, &fake, &watch))
}
