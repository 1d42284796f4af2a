//! Tries settings and prints what they trade.

use crate::{
    With, bar,
    lab::{
        arms::Arm,
        figure::Figure,
        study::{Studied, study},
        sweep::{Point, front, points},
    },
    scenario,
};
use tower_claude::BoxError;

#[derive(clap::Args)]
pub(crate) struct Tune {
    /// The scenario: a name, or a TOML file of your own.
    #[arg(long)]
    scenario: String,
    /// A setting and its values: `circuit.cooldown=5s,15s,60s`, `backoff.attempts=1..5`. Several sweep together, each with
    /// each.
    #[arg(long, required = true)]
    sweep: Vec<String>,
    /// The arm that the settings are changed in.
    #[arg(long, default_value = "ours")]
    arm: String,
    /// What is traded, by the names of the figures; the Pareto front is theirs.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "answered,p99,upstream,back_primary"
    )]
    figures: Vec<String>,
    /// Seeds 1 to N.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    #[command(flatten)]
    with: With,
}

/// Less is better, and no better than can be read in the table.
fn cost(result: &Studied, figure: Figure) -> f64 {
    let median = result.spread(figure).median;
    let seen = if median.is_finite() {
        (median * 10.0).round() / 10.0
    } else {
        f64::INFINITY
    };
    if figure.facts().3 { seen } else { -seen }
}

/// The settings whose values all give the same traces, whatever the others are.
fn idle(points: &[Point], results: &[Studied]) -> Vec<String> {
    let runs = || points.iter().zip(results);
    let settings = points.first().into_iter().flatten().enumerate();
    settings
        .filter(|(nth, first)| {
            let same_but_for_it = |a: &Point, b: &Point| {
                let mut pairs = a.iter().zip(b).enumerate();
                pairs.all(|(at, (a, b))| at == *nth || a == b)
            };
            points.iter().any(|point| point[*nth] != **first)
                && runs().all(|(a, one)| {
                    runs().all(|(b, two)| !same_but_for_it(a, b) || one.hashes == two.hashes)
                })
        })
        .map(|(_, (name, _))| name.clone())
        .collect()
}

pub(crate) fn tune(args: &Tune) -> Result<(), BoxError> {
    let scenario = scenario(&args.scenario)?;
    let base = Arm::find(args.with.arms()?, &args.arm)?;
    if !base.is_ours() {
        return Err(format!("`{}` has no settings of our stack", args.arm).into());
    }
    let figures = args
        .figures
        .iter()
        .map(|name| Figure::named(name).ok_or_else(|| format!("no figure `{name}`")))
        .collect::<Result<Vec<_>, _>>()?;
    let points = points(&args.sweep)?;
    let arms: Vec<Arm> = points
        .iter()
        .map(|point| base.clone().with(point))
        .collect();
    let seeds = args.seeds.max(1);
    let bar = bar(arms.len() * seeds as usize, &scenario.name);
    let results = study(&scenario, &arms, seeds, args.with.threads(), &|| bar.inc(1))?;
    bar.finish_and_clear();

    let costs: Vec<Vec<f64>> = results
        .iter()
        .map(|result| figures.iter().map(|figure| cost(result, *figure)).collect())
        .collect();
    let front = front(&costs);
    println!(
        "{} ({}), arm `{}`, medians of {seeds} seeds. ● = on the Pareto front: nothing here is better in one figure \
         and no worse in the others.\n",
        scenario.name, scenario.title, args.arm
    );
    let names: Vec<String> = points
        .iter()
        .map(|point| {
            let parts = point.iter().map(|(name, value)| format!("{name}={value}"));
            parts.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    print!("| front | {:width$} |", "settings");
    for figure in &figures {
        print!(" {} |", figure.facts().1);
    }
    print!("\n|-------|{}|", "-".repeat(width + 2));
    for figure in &figures {
        print!("{}:|", "-".repeat(figure.facts().1.chars().count() + 1));
    }
    println!();
    for ((name, result), on_front) in names.iter().zip(&results).zip(front) {
        print!("| {:5} | {name:width$} |", if on_front { "●" } else { "" });
        for figure in &figures {
            let text = figure.write(result.spread(*figure).median);
            print!(" {text:>0$} |", figure.facts().1.chars().count());
        }
        println!();
    }
    for name in idle(&points, &results) {
        println!(
            "\n`{name}` changes nothing in this scenario: all its values give the same traces."
        );
    }
    Ok(())
}
