//! The figures of a run, and how they stand to what is aimed at.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use crate::round::{Figures, Measured, quantile};

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
        let ways = |round| [0, 1, 2].map(|way| figure(round, way));
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
        quantile(self.rounds.iter().map(figure), 0.5)
    }

    /// Calls per second, as a share of what the bare proxy does.
    fn print_rate(&self) {
        let share = self.median(|[_, bare, claude]| claude / bare);
        let [direct, bare, claude] = [0, 1, 2].map(|way| self.median(|ways| ways[way]));
        let verdict = verdict(share, self.aim, "x");
        println!(
            "{:36} {direct:9.0} {bare:9.0} {claude:12.0}   {share:5.2}x of bare {:19} {verdict}",
            self.name, ""
        );
    }

    /// Milliseconds, and what is added to those of the others.
    fn print_time(&self) {
        let over_direct = self.median(|[direct, _, claude]| claude - direct);
        let over_bare = self.median(|[_, bare, claude]| claude - bare);
        let [direct, bare, claude] = [0, 1, 2].map(|way| self.median(|ways| ways[way]));
        let verdict = verdict(over_direct, self.aim, " ms");
        println!(
            "{:36} {direct:9.3} {bare:9.3} {claude:12.3}   {over_direct:+.3} to direct, {over_bare:+.3} to bare {verdict}",
            self.name
        );
    }
}

fn verdict(value: f64, aim: Aim, unit: &str) -> String {
    let (sign, bound, is_met) = match aim {
        Aim::AtLeast(bound) => ("≥", bound, value >= bound),
        Aim::AtMost(bound) => ("≤", bound, value <= bound),
        Aim::None => return String::new(),
    };
    let verdict = if is_met { "pass" } else { "MISS" };
    format!("  {sign} {bound}{unit}: {verdict}")
}

/// Memory is that of the bare proxy and of claude-proxy, before any call and after all.
pub(crate) fn print(rounds: &[Measured], idle: [Option<u64>; 2], loaded: [Option<u64>; 2]) {
    let json =
        |figure: fn(&Figures) -> f64| move |round: &Measured, way: usize| figure(&round.json[way]);
    let stream = |figure: fn(&Figures) -> f64| {
        move |round: &Measured, way: usize| figure(&round.stream[way])
    };
    println!(
        "\nmedians of {} rounds{:16} {:>9} {:>9} {:>12}   claude-proxy, and what is aimed at",
        rounds.len(),
        "",
        "direct",
        "bare",
        "claude-proxy"
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
        println!("{name:36} known on Linux only");
        return;
    };
    let verdict = verdict(claude, Aim::AtMost(aim), " MB");
    println!(
        "{name:36} {:9} {bare:9.1} {claude:12.1}   {:27}{verdict}",
        "", ""
    );
}
