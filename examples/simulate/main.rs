//! A laboratory for outages: the real layers of this crate, and what people use in their place, against a Claude in memory
//! that breaks as a script says.
//!
//! ```console
//! $ cargo run --release --example simulate                    # all scenarios: a report, pictures, a page
//! $ cargo run --release --example simulate run --scenario S1b # one of them
//! $ cargo run --release --example simulate tune --scenario S1b --sweep circuit.cooldown=5s,15s,30s,60s
//! $ cargo run --release --example simulate check              # what must hold
//! ```
//!
//! The clock is paused and jumps from event to event, so that an hour takes seconds; all luck is seeded, so that the same
//! seed gives the same trace on every machine and any number of threads.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "figures for people, of runs whose sizes are known"
)]

mod check;
mod lab;
mod output;
mod tune;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use lab::{
    arms::Arm,
    scenario::{FILES, Scenario},
    settings,
    study::{Studied, all_threads, study},
};
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tower_claude::BoxError;

#[derive(Parser)]
#[command(about = "What an outage costs, with and without each pattern", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the arms through scenarios and writes a report, pictures and a page.
    Run(Run),
    /// Tries settings of the stack in a scenario and prints what they trade.
    Tune(tune::Tune),
    /// Checks what must hold.
    Check {
        /// Seeds 1 to N.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
    },
    /// Lists scenarios, arms and settings.
    List,
}

/// The picture that a document shows: its file, the scenario, and the arms in it.
const PICTURE: (&str, &str, [&str; 4]) = (
    "overload.svg",
    "S2",
    ["SDK", "SDK + second model", "reference", "ours"],
);

/// What runs are made with.
#[derive(clap::Args, Default)]
struct With {
    /// The arms, by a TOML file of your own in place of `arms.toml`.
    #[arg(long)]
    arms: Option<PathBuf>,
    /// Runs side by side. Changes no figure. Default: as many as the machine runs at once.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

impl With {
    fn arms(&self) -> Result<Vec<Arm>, BoxError> {
        Arm::all(self.arms.as_deref())
    }

    fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(all_threads)
    }
}

#[derive(clap::Args)]
struct Run {
    /// Only these scenarios (a name, or a TOML file of your own).
    #[arg(long)]
    scenario: Vec<String>,
    /// Only these arms.
    #[arg(long)]
    arm: Vec<String>,
    /// Seeds 1 to N.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Where to write.
    #[arg(long, default_value = "target/simulate")]
    out: PathBuf,
    /// A document whose figures to bring up to date, between its marks, and its picture beside it.
    #[arg(long)]
    docs: Option<PathBuf>,
    #[command(flatten)]
    with: With,
}

fn main() -> Result<ExitCode, BoxError> {
    let command = Args::parse().command;
    match command.unwrap_or_else(|| Command::Run(Run::default())) {
        Command::Run(args) => run(&args)?,
        Command::Tune(args) => tune::tune(&args)?,
        Command::Check { seeds } => return check::check(seeds),
        Command::List => list()?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Default for Run {
    fn default() -> Self {
        Self {
            scenario: Vec::new(),
            arm: Vec::new(),
            seeds: 5,
            out: "target/simulate".into(),
            docs: None,
            with: With::default(),
        }
    }
}

/// A scenario by name or from a file.
fn scenario(name: &str) -> Result<Scenario, BoxError> {
    if Path::new(name).extension().is_some() {
        Scenario::parse(&fs::read_to_string(name)?)
    } else {
        Scenario::named(name)
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(runs: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64).with_message(what.to_owned());
    let style = ProgressStyle::with_template("{msg:34} {bar:40} {pos}/{len} runs, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn run(args: &Run) -> Result<(), BoxError> {
    let names = FILES.map(|(name, _)| name.to_owned());
    let names = if args.scenario.is_empty() {
        &names[..]
    } else {
        &args.scenario
    };
    let seeds = args.seeds.max(1);
    let mut studies: Vec<(Scenario, Vec<Studied>)> = Vec::new();
    for name in names {
        let scenario = scenario(name)?;
        let mut arms = args.with.arms()?;
        arms.retain(|arm| arm.takes_part_in(&scenario));
        if !args.arm.is_empty() {
            arms.retain(|arm| args.arm.contains(&arm.name));
        }
        if arms.is_empty() {
            return Err("no such arm; see `simulate list`".into());
        }
        let what = format!("{} {}", scenario.name, scenario.title);
        let bar = bar(arms.len() * seeds as usize, &what);
        let results = study(&scenario, &arms, seeds, args.with.threads(), &|| bar.inc(1))?;
        bar.finish_and_clear();
        println!("{}", output::tables::section(&scenario, &results, false));
        studies.push((scenario, results));
    }
    write(args, &studies, seeds)
}

fn write(args: &Run, studies: &[(Scenario, Vec<Studied>)], seeds: u64) -> Result<(), BoxError> {
    use output::{page, pictures, tables};
    const WIDE: (u32, u32) = (620, 300);
    fs::create_dir_all(&args.out)?;
    for (scenario, results) in studies {
        let drawn = tables::drawn(results);
        let lines = tables::lines(&drawn);
        let save = |what: &str, svg: String| {
            let file = args.out.join(format!("{}-{what}.svg", scenario.name));
            fs::write(file, pictures::standalone(&svg))
        };
        save("overview", pictures::overview(scenario, &drawn)?)?;
        save("latency", pictures::latencies(scenario, &lines, WIDE)?)?;
        save("upstream", pictures::upstream(scenario, &lines, WIDE)?)?;
    }
    fs::write(args.out.join("report.md"), tables::report(studies, seeds))?;
    fs::write(args.out.join("index.html"), page::page(studies, seeds)?)?;
    if let Some(docs) = &args.docs {
        let sections: Vec<String> = studies
            .iter()
            .map(|(scenario, results)| tables::section(scenario, results, true))
            .collect();
        let new = tables::splice(&fs::read_to_string(docs)?, &sections.join("\n"));
        fs::write(docs, new.ok_or("no marks in the document")?)?;
        let (file, name, arms) = PICTURE;
        if let Some((scenario, results)) = studies.iter().find(|study| study.0.name == name) {
            let shown = |result: &&Studied| arms.contains(&result.arm.name.as_str());
            let shown = results.iter().filter(shown);
            let shown: Vec<_> = shown
                .map(|result| (result.arm.name.clone(), result))
                .collect();
            let svg = pictures::standalone(&pictures::overview(scenario, &shown)?);
            fs::write(docs.with_file_name(file), svg)?;
        }
    }
    println!(
        "written to {}: index.html, report.md, pictures",
        args.out.display()
    );
    Ok(())
}

fn list() -> Result<(), BoxError> {
    println!("Scenarios");
    for (name, _) in FILES {
        let scenario = Scenario::named(name)?;
        println!("  {name:4} {}: {}", scenario.title, scenario.what);
    }
    println!("\nArms");
    for arm in Arm::all(None)? {
        println!("  {:26} {}", arm.name, arm.what);
    }
    println!("\nSettings\n  {}", settings::NAMES.replace(' ', "\n  "));
    Ok(())
}
