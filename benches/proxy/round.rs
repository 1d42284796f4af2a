//! One round: everything in turn.

use crate::{
    load::{self, Ask, Took},
    process::Process,
};
use std::time::Duration;

/// Of each measurement in a round.
const SLICE: Duration = Duration::from_millis(200);

/// Connections of a measurement of throughput.
pub(crate) const MANY: u32 = 16;

/// Connections of a crowd, under which memory is looked at.
const CROWD: u32 = 64;

/// What is measured.
pub(crate) struct Targets<'a> {
    pub(crate) direct: &'a Process,
    pub(crate) bare: &'a Process,
    pub(crate) claude: &'a Process,
}

impl Targets<'_> {
    pub(crate) fn all(&self) -> [&Process; 3] {
        [self.direct, self.bare, self.claude]
    }
}

/// A round's figures, in seconds and calls per second: direct, through the bare proxy, through claude-proxy.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) json: [Figures; 3],
    pub(crate) stream: [Figures; 3],
}

/// The figures of one way and one kind of call.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    /// Over 16 connections.
    pub(crate) calls_per_second: f64,
    /// What the process at the other end worked for each of them.
    pub(crate) work: f64,
    /// Over one connection, like those that follow.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) first_p50: f64,
}

/// Measures everything once, each round in another order.
pub(crate) async fn measure(targets: &Targets<'_>, round: usize) -> Measured {
    let mut measured = Measured::default();
    for turn in 0..3 {
        let way = (round + turn) % 3;
        let Some(process) = targets.all().into_iter().nth(way) else {
            continue;
        };
        for (ask, figures) in [
            (Ask::Json, &mut measured.json),
            (Ask::Stream, &mut measured.stream),
        ] {
            if let Some(figures) = figures.get_mut(way) {
                *figures = measure_one(process, ask).await;
            }
        }
    }
    measured
}

async fn measure_one(process: &Process, ask: Ask) -> Figures {
    let (_, alone) = load::run(process.address, ask, 1, SLICE).await;
    let before = process.worked();
    let (calls_per_second, together) = load::run(process.address, ask, MANY, SLICE).await;
    let worked = process.worked().saturating_sub(before);
    let whole = |took: &Took| took.whole.as_secs_f64();
    let first = |took: &Took| took.first.as_secs_f64();
    // Each connection's call before the clock runs is work too.
    let calls = together.len() + MANY as usize;
    Figures {
        calls_per_second,
        work: worked.as_secs_f64() / calls as f64,
        p50: percentile(alone.iter().map(whole), 50),
        p99: percentile(alone.iter().map(whole), 99),
        first_p50: percentile(alone.iter().map(first), 50),
    }
}

/// Many callers at once, for both proxies.
pub(crate) async fn crowd(targets: &Targets<'_>) {
    for process in [targets.bare, targets.claude] {
        for ask in [Ask::Json, Ask::Stream] {
            load::run(process.address, ask, CROWD, 5 * SLICE).await;
        }
    }
}

/// The value below which this many percent of all lie; 0 of none.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let index = values.len() * percent / 100;
    let index = index.min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}
