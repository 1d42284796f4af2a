//! The figures of a run, and how they stand to what is aimed at.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use crate::round::{Figures, Measured, percentile};
use std::num::NonZero;

/// The ways of a call, as they are numbered.
const WAYS: [usize; 3] = [DIRECT, BARE, CLAUDE];
const DIRECT: usize = 0;
const BARE: usize = 1;
const CLAUDE: usize = 2;

/// What a figure of all rounds should come to.
#[derive(Clone, Copy)]
enum Aim {
    AtLeast(f64),
    AtMost(f64),
    None,
}

/// One kind of figure.
struct Row {
    name: &'static str,
    /// One per round: direct, through the bare proxy, through claude-proxy.
    rounds: Vec<[f64; 3]>,
    aim: Aim,
}

impl Row {
    fn of(
        name: &'static str,
        rounds: &[Measured],
        figure: impl Fn(&Measured, usize) -> f64,
    ) -> Self {
        let ways = |round| WAYS.map(|way| figure(round, way));
        Self {
            name,
            rounds: rounds.iter().map(ways).collect(),
            aim: Aim::None,
        }
    }

    fn with_aim(mut self, aim: Aim) -> Self {
        self.aim = aim;
        self
    }

    fn median(&self, figure: impl Fn(&[f64; 3]) -> f64) -> f64 {
        percentile(self.rounds.iter().map(figure), 50)
    }

    /// The median of a way.
    fn of_way(&self, way: usize) -> f64 {
        self.median(|ways| ways[way])
    }

    /// What one way takes on top of another.
    fn added(&self, way: usize, to: usize) -> f64 {
        self.median(|ways| ways[way] - ways[to])
    }

    /// Calls per second, as a share of what the bare proxy does.
    fn print_rate(&self) {
        let share = self.median(|ways| ways[CLAUDE] / ways[BARE]);
        let [direct, bare, claude] = WAYS.map(|way| self.of_way(way));
        let (name, verdict) = (self.name, verdict(share, self.aim, "x"));
        println!(
            "{name:28} {direct:9.0} {bare:9.0} {claude:12.0}   {share:.2}x of bare {:16}{verdict}",
            ""
        );
    }

    /// Milliseconds, and what is added to those of the others.
    fn print_time(&self) {
        let (to_direct, to_bare) = (self.added(CLAUDE, DIRECT), self.added(CLAUDE, BARE));
        let [direct, bare, claude] = WAYS.map(|way| self.of_way(way));
        let (name, mut verdict) = (self.name, verdict(to_direct, self.aim, " ms"));
        // What no proxy comes to says something of the machine, or of who else uses it.
        if verdict.ends_with(MISS) && !is_met(self.added(BARE, DIRECT), self.aim) {
            verdict.push_str(", as bare does");
        }
        println!(
            "{name:28} {direct:9.3} {bare:9.3} {claude:12.3}   {to_direct:+.3} to direct, {to_bare:+.3} to bare{verdict}"
        );
    }
}

const MISS: &str = "MISS";

fn is_met(value: f64, aim: Aim) -> bool {
    match aim {
        Aim::AtLeast(bound) => value >= bound,
        Aim::AtMost(bound) => value <= bound,
        Aim::None => true,
    }
}

fn verdict(value: f64, aim: Aim, unit: &str) -> String {
    let (sign, bound) = match aim {
        Aim::AtLeast(bound) => ("≥", bound),
        Aim::AtMost(bound) => ("≤", bound),
        Aim::None => return String::new(),
    };
    let verdict = if is_met(value, aim) { "pass" } else { MISS };
    format!("  {sign} {bound}{unit}: {verdict}")
}

/// Memory is that of the bare proxy and of claude-proxy, before any call and after all.
pub(crate) fn print(rounds: &[Measured], idle: [Option<u64>; 2], loaded: [Option<u64>; 2]) {
    let json =
        |figure: fn(&Figures) -> f64| move |round: &Measured, way: usize| figure(&round.json[way]);
    let stream = |figure: fn(&Figures) -> f64| {
        move |round: &Measured, way: usize| figure(&round.stream[way])
    };
    let cores = std::thread::available_parallelism().map_or(0, NonZero::get);
    println!(
        "\nmedians of {} rounds on {cores} cores, shared by the load, upstream and the proxy",
        rounds.len()
    );
    println!(
        "{:28} {:>9} {:>9} {:>12}   claude-proxy, and what is aimed at",
        "", "direct", "bare", "claude-proxy"
    );
    let rate = |figures: &Figures| figures.calls_per_second;
    println!("16 connections, calls/s");
    Row::of("  JSON", rounds, json(rate))
        .with_aim(Aim::AtLeast(0.8))
        .print_rate();
    Row::of("  stream of 300 deltas", rounds, stream(rate))
        .with_aim(Aim::AtLeast(0.8))
        .print_rate();
    println!("1 connection, ms");
    Row::of("  JSON, p50", rounds, json(|f| f.p50 * 1e3))
        .with_aim(Aim::AtMost(0.15))
        .print_time();
    Row::of("  JSON, p99", rounds, json(|f| f.p99 * 1e3))
        .with_aim(Aim::AtMost(1.0))
        .print_time();
    Row::of(
        "  stream, first event, p50",
        rounds,
        stream(|f| f.first_p50 * 1e3),
    )
    .with_aim(Aim::AtMost(0.15))
    .print_time();
    Row::of("  stream, whole, p50", rounds, stream(|f| f.p50 * 1e3)).print_time();
    println!("work of the process for a call, ms of one core");
    Row::of("  JSON", rounds, json(|f| f.work * 1e3)).print_time();
    Row::of("  stream", rounds, stream(|f| f.work * 1e3)).print_time();
    println!("memory at its peak, MB");
    print_memory("  before any call", idle, 30.0);
    print_memory("  under 64 connections", loaded, 60.0);
}

fn print_memory(name: &str, memory: [Option<u64>; 2], aim: f64) {
    let [Some(bare), Some(claude)] = memory.map(|bytes| Some(bytes? as f64 / 1e6)) else {
        println!("{name:28} known on Linux only");
        return;
    };
    let verdict = verdict(claude, Aim::AtMost(aim), " MB");
    println!(
        "{name:28} {:9} {bare:9.1} {claude:12.1}   {:27}{verdict}",
        "", ""
    );
}
