//! The end of a call is told once, to all who must know it: breaker, compartment, monitor and observers.

use crate::{
    common::{
        Act, BLOCK, BodyEnd, DELTA, END, ERROR, PING, SONNET, START, STOP, Upstream, request,
    },
    rig::Trace,
};
use http_body_util::BodyExt;
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_claude::{
    FailureKind::{Cancelled, Overloaded, Timeout, Transport, Truncated},
    Observe, Resilience, Resilient,
    circuit_breaker::{CircuitBreakerLayer, CircuitState},
    monitor::Monitor,
};

const EVENTS: [&str; 5] = [START, BLOCK, DELTA, END, STOP];

struct Told {
    stack: Resilience,
    claude: Resilient<Upstream>,
    upstream: Upstream,
    trace: Arc<Trace>,
    monitor: Monitor,
}

impl Told {
    /// One model, one attempt, and an error where there is no answer.
    fn new(act: Act) -> Self {
        let (trace, monitor) = (Arc::new(Trace::default()), Monitor::new());
        let observer: Arc<dyn Observe> = Arc::new(monitor.clone());
        let stack = Resilience::builder()
            .without_backoff()
            .without_degrade()
            .circuit_breaker(
                CircuitBreakerLayer::new().with_consecutive(NonZeroU32::new(2).unwrap()),
            )
            .observe(trace.clone())
            .observe(observer)
            .build()
            .unwrap();
        let upstream = Upstream::always(act);
        let claude = stack.layer(upstream.clone());
        Self {
            stack,
            claude,
            upstream,
            trace,
            monitor,
        }
    }

    /// Sends one call and reads this many frames of its answer, or all of them.
    async fn call(&self, frames: Option<usize>) {
        let Ok(answer) = self.claude.send(request(SONNET, true)).await else {
            return;
        };
        let mut body = answer.into_body();
        let mut read = 0;
        while frames.is_none_or(|frames| read < frames) {
            if body.frame().await.is_none() {
                break;
            }
            read += 1;
        }
    }

    /// Successes and failures in the circuit.
    fn counted(&self) -> (u32, u32) {
        let circuits = self.stack.circuits().snapshot();
        circuits
            .first()
            .map_or((0, 0), |circuit| (circuit.successes, circuit.failures))
    }

    fn assert_over(&self, name: &str) {
        assert_eq!(
            self.trace.count("ended"),
            1,
            "{name}: {:?}",
            self.trace.all()
        );
        let rooms = self.stack.bulkheads().snapshot();
        assert!(rooms.iter().all(|room| room.in_flight == 0), "{name}");
        assert_eq!(self.upstream.open(), 0, "{name}: the connection is let go");
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_stream_is_told_once_to_breaker_compartment_monitor_and_observers() {
    let sse = |frames: &[&'static str], end| Act::sse(frames, end);
    let begun = [START, BLOCK, DELTA];
    for (name, act, kind, broke) in [
        ("whole", Act::stream(), None, false),
        (
            "whole, then silence",
            sse(&EVENTS, BodyEnd::Stall),
            None,
            false,
        ),
        ("whole, then a cut", sse(&EVENTS, BodyEnd::Cut), None, false),
        (
            "an end too early",
            sse(&begun, BodyEnd::Eof),
            Some(Truncated),
            true,
        ),
        ("a cut", sse(&begun, BodyEnd::Cut), Some(Truncated), true),
        (
            "a stall",
            sse(&begun, BodyEnd::Stall),
            Some(Truncated),
            true,
        ),
        (
            "an error",
            sse(&[START, DELTA, ERROR], BodyEnd::Eof),
            Some(Overloaded),
            true,
        ),
        (
            "an error, then silence",
            sse(&[START, DELTA, ERROR], BodyEnd::Stall),
            Some(Overloaded),
            true,
        ),
        // Without backoff, chain and degrade nothing could act: committed by the head.
        (
            "an error first",
            sse(&[ERROR], BodyEnd::Eof),
            Some(Overloaded),
            true,
        ),
        ("nothing", sse(&[], BodyEnd::Eof), Some(Truncated), true),
        ("529", Act::overloaded(), Some(Overloaded), false),
        (
            "no connection",
            Act::Break(Duration::ZERO),
            Some(Transport),
            false,
        ),
        ("no answer", Act::Hang, Some(Timeout), false),
    ] {
        let told = Told::new(act);
        told.call(None).await;
        told.assert_over(name);
        let ended = kind.map_or("ended well".to_owned(), |kind| format!("ended {kind}"));
        assert_eq!(
            told.trace.count(&ended),
            1,
            "{name}: {:?}",
            told.trace.all()
        );
        assert_eq!(told.trace.count("broke"), usize::from(broke), "{name}");
        let failed = u32::from(kind.is_some());
        assert_eq!(told.counted(), (1 - failed, failed), "{name}");
        let hour = told.monitor.snapshot().all.hour;
        assert_eq!(
            (hour.calls, hour.failures, hour.broken),
            (1, failed.into(), broke.into()),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_caller_drops_is_complete_after_message_stop_and_neither_good_nor_bad_before()
 {
    for end in [BodyEnd::Eof, BodyEnd::Stall, BodyEnd::Cut] {
        for frames in 0..=EVENTS.len() {
            let told = Told::new(Act::sse(&EVENTS, end));
            told.call(Some(frames)).await;
            let name = format!("{end:?} after {frames} events");
            told.assert_over(&name);
            let whole = frames == EVENTS.len();
            let ended = if whole {
                "ended well".to_owned()
            } else {
                format!("ended {Cancelled}")
            };
            assert_eq!(
                told.trace.count(&ended),
                1,
                "{name}: {:?}",
                told.trace.all()
            );
            assert_eq!(told.trace.count("broke"), 0, "{name}");
            assert_eq!(told.counted(), (u32::from(whole), 0), "{name}");
            let hour = told.monitor.snapshot().all.hour;
            assert_eq!(
                (hour.failures, hour.cancelled),
                (0, u64::from(!whole)),
                "{name}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_its_answer_frees_its_seat() {
    let told = Told::new(Act::Hang);
    let call = told.claude.send(request(SONNET, true));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), call)
            .await
            .is_err()
    );
    told.assert_over("dropped");
    assert_eq!(told.trace.count(&format!("ended {Cancelled}")), 1);
    assert_eq!(
        told.counted(),
        (0, 0),
        "a caller in a hurry says nothing of the model"
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_streams_is_decided_at_its_commit_and_its_later_failure_is_counted_anew() {
    let act = Act::sse(&[START, BLOCK, DELTA, PING], BodyEnd::Cut).every(Duration::from_secs(1));
    let upstream = Upstream::new(move |_, nth| {
        if nth < 2 {
            Act::overloaded()
        } else {
            act.clone()
        }
    });
    let trace = Arc::new(Trace::default());
    let stack = Resilience::builder()
        .without_backoff()
        .circuit_breaker(CircuitBreakerLayer::new().with_consecutive(NonZeroU32::new(2).unwrap()))
        .observe(trace.clone())
        .build()
        .unwrap();
    let claude = stack.layer(upstream.clone());
    let circuits = stack.circuits();
    for _ in 0..2 {
        let _ = claude.send(request(SONNET, true)).await;
        sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(circuits.state(SONNET), CircuitState::Open);
    sleep(Duration::from_secs(80)).await;

    let start = Instant::now();
    let probe = claude.send(request(SONNET, true)).await.unwrap();
    assert_eq!(
        Instant::now() - start,
        Duration::from_secs(3),
        "at its first delta"
    );
    assert_eq!(circuits.state(SONNET), CircuitState::Closed);
    let closed = circuits.snapshot()[0].clone();
    assert_eq!((closed.successes, closed.failures), (0, 0));
    let body = crate::common::read(probe.into_body()).await;
    assert!(
        body.0.ends_with("}\n\n") && body.0.contains("event: error"),
        "{}",
        body.0
    );
    let broken = circuits.snapshot()[0].clone();
    assert_eq!((broken.successes, broken.failures), (0, 1));
    assert_eq!(
        (broken.state, broken.generation),
        (CircuitState::Closed, closed.generation)
    );
    assert_eq!(
        trace.count("circuit"),
        3,
        "opened, half-opened, closed: {:?}",
        trace.all()
    );
}
