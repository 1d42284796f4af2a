//! One run: a scenario, an arm, a seed, on a clock that jumps from event to event.
//!
//! A run has one thread and a runtime of its own, so that how many run side by side changes nothing. Calls come open-loop:
//! their times are drawn before the start and do not depend on how the arm fares, so no slow answer hides the calls that
//! would have come meanwhile.

use super::{
    arms::Arm,
    chance::Chance,
    claude::Claude,
    clients::Ask,
    scenario::{Scenario, Traffic},
    trace::{Book, Trace},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tower_claude::{BoxError, Feature};

/// The request header that tells the Claude in memory which call it sees.
pub(crate) const CALL: &str = "x-call";
/// How long after the last call the laboratory stays open. Longer than the longest timeout, so that who never gets an
/// answer would not have got one.
const DRAIN: Duration = Duration::from_secs(900);

/// A call to come.
struct Arrival {
    at: u64,
    /// Of the feature and its number among the calls of that feature: what other features do changes nothing of its luck.
    id: u32,
    feature: u16,
    stream: bool,
    question: u64,
}

/// Runs it. The book of all that happened.
pub(crate) fn run(scenario: &Scenario, arm: &Arm, seed: u64) -> Result<Book, BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(play(Arc::new(scenario.clone()), arm, seed))
}

async fn play(scenario: Arc<Scenario>, arm: &Arm, seed: u64) -> Result<Book, BoxError> {
    let trace = Trace::new();
    let claude = Claude::new(scenario.clone(), seed, trace.clone());
    let clients = (0..scenario.clients)
        .map(|nth| arm.client(&scenario, claude.clone(), &trace, seed, nth))
        .collect::<Result<Vec<_>, _>>()?;
    let features: Vec<Feature> = scenario
        .traffic
        .iter()
        .map(|traffic| Feature::new(traffic.feature.as_str()))
        .collect();
    let mut calls = JoinSet::new();
    for (number, arrival) in (0_u32..).zip(arrivals(&scenario, seed)) {
        sleep_until(trace.start() + Duration::from_millis(arrival.at)).await;
        while calls.try_join_next().is_some() {}
        let traffic = &scenario.traffic[usize::from(arrival.feature)];
        let ask = Ask {
            id: arrival.id,
            feature: features[usize::from(arrival.feature)].clone(),
            stream: arrival.stream,
            tools: traffic.tools,
            question: arrival.question,
        };
        let whose = Chance::new(seed, &[3, arrival.id.into()]).unit() * clients.len() as f64;
        let client = clients[whose as usize].clone();
        let trace = trace.clone();
        trace.call(number, arrival.feature);
        calls.spawn(async move {
            let source = client.answer(&ask).await;
            trace.call_ended(number, source);
        });
    }
    let all = async { while calls.join_next().await.is_some() {} };
    let _ = timeout(DRAIN, all).await;
    let book = std::mem::take(&mut *trace.book());
    // What is still under way ends with the runtime, and is not told any more.
    Ok(book)
}

/// All calls to come, in order.
fn arrivals(scenario: &Scenario, seed: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (feature, traffic) in (0_u16..).zip(&scenario.traffic) {
        all.extend(arrivals_of(scenario, feature, traffic, seed));
    }
    all.sort_by_key(|arrival| (arrival.at, arrival.feature));
    all
}

fn arrivals_of(scenario: &Scenario, feature: u16, traffic: &Traffic, seed: u64) -> Vec<Arrival> {
    let mut chance = Chance::new(seed, &[4, feature.into()]);
    let from = traffic.from.unwrap_or_default().secs();
    let to = traffic.to.unwrap_or(scenario.lasts).secs();
    let mut at = from;
    let mut arrivals = Vec::new();
    loop {
        at += chance.poisson_gap(traffic.rate);
        if at >= to {
            return arrivals;
        }
        let stream = chance.unit() < traffic.stream;
        let question = match traffic.questions {
            Some(questions) => (chance.unit() * questions as f64) as u64,
            // No two alike.
            None => arrivals.len() as u64,
        };
        arrivals.push(Arrival {
            at: (at * 1000.0) as u64,
            id: (u32::from(feature) << 24) | arrivals.len() as u32,
            feature,
            stream,
            question,
        });
    }
}
