//! What a run comes to, in figures.

use super::{
    figure::Figure,
    scenario::{Scenario, Which},
    trace::{AttemptEnd, Book, Call, Source, Turn},
};

/// The share of calls at which a service counts as back.
const BACK: f64 = 0.95;
/// The window in which that share is looked at, in ms, and its step.
const WINDOW: u64 = 10_000;
const STEP: u64 = 1_000;
/// A user who waited longer has left.
const QUICK: u64 = 10_000;
const PATIENT: u64 = 30_000;
/// How long after the outage its echo is looked for, in ms.
const ECHO: u64 = 180_000;

/// The figures of one run, in the order of [`Figure::ALL`].
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    values: Vec<f64>,
}

impl Figures {
    pub(crate) fn get(&self, figure: Figure) -> f64 {
        self.values[figure as usize]
    }

    /// Of a book. Shares and waits are those of calls that came since the outage began.
    pub(crate) fn of(scenario: &Scenario, book: &Book) -> Self {
        let (from, to) = scenario.broken();
        let calls: Vec<&Call> = book.calls.iter().filter(|call| call.at >= from).collect();
        let share = |good: &dyn Fn(&Call) -> bool| {
            100.0 * calls.iter().filter(|call| good(call)).count() as f64
                / calls.len().max(1) as f64
        };
        let source = |source: Source| share(&|call: &Call| call.source == source);
        let within = |ms: u64| share(&|call: &Call| call.answered_within(ms));
        let mut waits: Vec<u64> = calls.iter().map(|call| call.waited()).collect();
        waits.sort_unstable();
        let upstream = |which: Which| {
            let hit = |attempt: &&super::trace::Attempt| {
                attempt.model == which && (from..to).contains(&attempt.at)
            };
            book.attempts.iter().filter(hit).count() as f64
        };
        let since: Vec<_> = book.attempts.iter().filter(|one| one.at >= from).collect();
        let turns = |turn: Turn| book.turns.iter().filter(|one| one.2 == turn).count() as f64;
        let wasted: f64 = since
            .iter()
            .filter(|attempt| attempt.end != AttemptEnd::Delivered)
            .map(|attempt| attempt.cost)
            .sum();
        let value = |figure: Figure| match figure {
            Figure::Answered30 => within(PATIENT),
            Figure::Answered10 => within(QUICK),
            Figure::Primary => source(Source::Primary),
            Figure::Second => source(Source::Second),
            Figure::Cached => source(Source::Cached),
            Figure::Canned => source(Source::Canned),
            Figure::Error => source(Source::Error),
            Figure::Half => source(Source::Half),
            Figure::False => source(Source::False),
            Figure::Never => source(Source::Never),
            Figure::P50 => quantile(&waits, 0.5),
            Figure::P99 => quantile(&waits, 0.99),
            Figure::Max => quantile(&waits, 1.0),
            Figure::UpstreamPrimary => upstream(Which::Primary),
            Figure::UpstreamSecond => upstream(Which::Second),
            Figure::Peak100ms => peak(book, to, 100),
            Figure::PeakSecond => peak(book, to, 1000),
            Figure::FirstPrimary => first_primary(book, to),
            Figure::BackPrimary => back(book, to, |call| call.source == Source::Primary),
            Figure::BackModel => back(book, to, |call| call.answered_within(QUICK)),
            Figure::PeakInFlight => in_flight(book),
            Figure::PeakUpstream => book.peak_open.into(),
            Figure::AttemptsPerCall => since.len() as f64 / calls.len().max(1) as f64,
            Figure::Refused429 => {
                let refused = |end| end == AttemptEnd::Refused(429);
                since.iter().filter(|one| refused(one.end)).count() as f64
            }
            Figure::Early => since.iter().filter(|attempt| attempt.early).count() as f64,
            Figure::Wasted => 1000.0 * wasted / calls.len().max(1) as f64,
            Figure::Opened => turns(Turn::Opened),
            Figure::Reopened => turns(Turn::Reopened),
            Figure::After => {
                let opening = |turn| matches!(turn, Turn::Opened | Turn::Reopened);
                let after = |one: &&(u64, Which, Turn)| one.0 >= to && opening(one.2);
                book.turns.iter().filter(after).count() as f64
            }
            // With many clients it is not told whose circuit turned.
            Figure::Probes if scenario.clients > 1 => f64::NAN,
            Figure::Probes => probes(book),
            Figure::SteadyP99 => {
                let steady = |call: &&&Call| {
                    scenario.traffic[usize::from(call.feature)].from.is_none() && call.at < to
                };
                let mut waits: Vec<u64> = calls
                    .iter()
                    .filter(steady)
                    .map(|call| call.waited())
                    .collect();
                waits.sort_unstable();
                quantile(&waits, 0.99)
            }
        };
        Self {
            values: Figure::ALL.map(value).to_vec(),
        }
    }
}

impl Call {
    /// In ms; without end where there was none.
    pub(crate) fn waited(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    /// Whether a model answered it so soon.
    pub(crate) fn answered_within(&self, ms: u64) -> bool {
        self.source.by_model() && self.waited() <= ms
    }
}

/// In seconds, of sorted ms; infinite where the call that it falls on had no end.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = ((last as f64) * share).round() as usize;
    sorted.get(at).map_or(f64::NAN, |ms| {
        if *ms > u64::MAX / 2 {
            f64::INFINITY
        } else {
            *ms as f64 / 1000.0
        }
    })
}

/// The most calls to the first model in any bucket of the echo.
fn peak(book: &Book, to: u64, bucket: u64) -> f64 {
    let mut counts = vec![0_u32; (ECHO / bucket) as usize];
    let after = book
        .attempts
        .iter()
        .filter(|attempt| attempt.model == Which::Primary && attempt.at >= to);
    for attempt in after {
        if let Some(count) = counts.get_mut(((attempt.at - to) / bucket) as usize) {
            *count += 1;
        }
    }
    counts.into_iter().max().unwrap_or(0).into()
}

/// Seconds from the end of the outage to the first answer of the first model.
fn first_primary(book: &Book, to: u64) -> f64 {
    let first = book
        .calls
        .iter()
        .filter(|call| call.source == Source::Primary && call.end >= to)
        .map(|call| call.end - to)
        .min();
    first.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0)
}

/// Seconds from the end of the outage until 95 % of the calls that come are good, for as long as it is looked at.
pub(crate) fn back(book: &Book, to: u64, good: impl Fn(&Call) -> bool) -> f64 {
    let after: Vec<&Call> = book.calls.iter().filter(|call| call.at >= to).collect();
    let last = after.last().map_or(to, |call| call.at);
    let mut start = to;
    while start + WINDOW <= last {
        let begin = after.partition_point(|call| call.at < start);
        let end = after.partition_point(|call| call.at < start + WINDOW);
        let window = &after[begin..end];
        let hits = window.iter().filter(|call| good(call)).count();
        if hits as f64 >= BACK * window.len() as f64 {
            return (start - to) as f64 / 1000.0;
        }
        start += STEP;
    }
    f64::INFINITY
}

/// The most attempts at the first model in one half-open time of its circuit.
fn probes(book: &Book) -> f64 {
    let turns = book.turns.iter().filter(|turn| turn.1 == Which::Primary);
    let turns: Vec<_> = turns.collect();
    let between = |pair: &[&(u64, Which, Turn)]| {
        let (from, to) = (pair[0].0, pair[1].0);
        let attempts = book.attempts.iter();
        let hits = |attempt: &&super::trace::Attempt| {
            attempt.model == Which::Primary && (from..=to).contains(&attempt.at)
        };
        attempts.filter(hits).count()
    };
    let half_open = turns
        .windows(2)
        .filter(|pair| pair[0].2 == Turn::HalfOpened);
    half_open.map(between).max().unwrap_or(0) as f64
}

/// The most users that waited at once.
fn in_flight(book: &Book) -> f64 {
    let mut steps: Vec<(u64, i64)> = book
        .calls
        .iter()
        .flat_map(|call| [(call.at, 1), (call.end, -1)])
        .collect();
    steps.sort_unstable();
    let (mut now, mut peak) = (0_i64, 0_i64);
    for (_, step) in steps {
        now += step;
        peak = peak.max(now);
    }
    peak as f64
}

/// A figure over several seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[Figures], figure: Figure) -> Self {
        let mut values: Vec<f64> = figures.iter().map(|one| one.get(figure)).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }
}
