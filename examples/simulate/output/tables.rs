//! Tables in Markdown.

use crate::lab::{figure::Figure, scenario::Scenario, study::Studied};
use std::fmt::Write;

/// Arms that did the same, event for event, told in one row.
pub(crate) fn rows(results: &[Studied]) -> Vec<(String, &Studied)> {
    merged(results.iter())
}

/// The arms that are drawn, merged in the same way.
pub(crate) fn drawn(results: &[Studied]) -> Vec<(String, &Studied)> {
    merged(results.iter().filter(|result| result.arm.picture))
}

/// They in the order in which their lines are drawn: ours on top.
pub(crate) fn lines<'a>(drawn: &[(String, &'a Studied)]) -> Vec<&'a Studied> {
    let mut lines: Vec<&Studied> = drawn.iter().map(|(_, result)| *result).collect();
    lines.sort_by_key(|result| result.arm.name == "ours");
    lines
}

fn merged<'a>(results: impl Iterator<Item = &'a Studied>) -> Vec<(String, &'a Studied)> {
    let mut rows: Vec<(String, &Studied)> = Vec::new();
    for result in results {
        match rows.iter_mut().find(|row| row.1.hashes == result.hashes) {
            Some((name, _)) => {
                let _ = write!(name, " = {}", result.arm.name);
            }
            None => rows.push((result.arm.name.clone(), result)),
        }
    }
    rows
}

/// The figures of the short table.
pub(crate) fn short(scenario: &Scenario) -> Vec<Figure> {
    let names = scenario.figures.iter();
    names.filter_map(|name| Figure::named(name)).collect()
}

/// The figures in which arms differ, and the others: those that are the same to the last digit in all arms and seeds.
pub(crate) fn telling(results: &[Studied]) -> (Vec<Figure>, Vec<Figure>) {
    let differs = |figure: &Figure| {
        let mut cells = results.iter().map(|result| cell(result, *figure));
        let first = cells.next();
        cells.any(|cell| Some(cell) != first)
    };
    Figure::ALL.into_iter().partition(differs)
}

/// The figures in which no arm differs from another, in a sentence.
pub(crate) fn same(results: &[Studied], figures: &[Figure]) -> String {
    let Some(any) = results.first().filter(|_| !figures.is_empty()) else {
        return String::new();
    };
    let parts = figures
        .iter()
        .map(|figure| format!("{} {}", figure.facts().1, cell(any, *figure)));
    format!("The same in all: {}.", parts.collect::<Vec<_>>().join(", "))
}

/// The middle of the seeds and, where they differ, the ends.
pub(crate) fn cell(result: &Studied, figure: Figure) -> String {
    let spread = result.spread(figure);
    let [median, min, max] =
        [spread.median, spread.min, spread.max].map(|value| figure.write(value));
    if min == max {
        median
    } else {
        let unit = min.rsplit_once(' ').filter(|(_, unit)| max.ends_with(unit));
        let min = unit.map_or(min.as_str(), |(number, _)| number);
        format!("{median} ({min}–{max})")
    }
}

/// A table with a row per arm.
pub(crate) fn table(results: &[Studied], figures: &[Figure], ends: bool) -> String {
    let mut out = String::from("| arm |");
    for figure in figures {
        let _ = write!(out, " {} |", figure.facts().1);
    }
    out.push_str("\n|---|");
    out.push_str(&"---:|".repeat(figures.len()));
    for (name, result) in rows(results) {
        let _ = write!(out, "\n| {name} |");
        for figure in figures {
            let cell = if ends {
                cell(result, *figure)
            } else {
                figure.write(result.spread(*figure).median)
            };
            let _ = write!(out, " {cell} |");
        }
    }
    out.push('\n');
    out
}

/// A scenario's section: what happens, and the short table.
pub(crate) fn section(scenario: &Scenario, results: &[Studied], ends: bool) -> String {
    format!(
        "### {}: {}\n\n{}\n\n{}",
        scenario.name,
        scenario.title,
        scenario.what,
        table(results, &short(scenario), ends)
    )
}

/// The whole report.
pub(crate) fn report(studies: &[(Scenario, Vec<Studied>)], seeds: u64) -> String {
    let mut out = format!(
        "# What an outage costs, arm by arm\n\nMade by `cargo run --release --example simulate`. Medians of {seeds} seeds, \
         with the ends in brackets. Shares and waits are of the calls that came since the outage began.\n"
    );
    for (scenario, results) in studies {
        let _ = write!(out, "\n{}", section(scenario, results, true));
        let (differ, others) = telling(results);
        let _ = write!(
            out,
            "\n<details><summary>All figures, and the trace of each seed</summary>\n\n{}\n{}\n\n",
            table(results, &differ, true),
            same(results, &others),
        );
        for result in results {
            let hashes: Vec<String> = result
                .hashes
                .iter()
                .map(|hash| format!("{hash:016x}"))
                .collect();
            let _ = writeln!(out, "* {}: {}", result.arm.name, hashes.join(" "));
        }
        out.push_str("\n</details>\n");
    }
    out
}

/// Puts `new` between the marks of a document.
pub(crate) fn splice(document: &str, new: &str) -> Option<String> {
    const BEGIN: &str = "<!-- figures: written by `simulate run --docs` -->\n";
    const END: &str = "<!-- end of figures -->\n";
    let (head, rest) = document.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{new}\n{END}{tail}"))
}
