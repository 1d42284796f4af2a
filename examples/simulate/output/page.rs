//! One page with everything in it: no script, no font and no picture from elsewhere, in light and in dark.

use super::{
    pictures::{Fate, arm_colour, hex, inline, latencies, timeline, upstream},
    tables::{cell, drawn, lines, rows, same, short, telling},
};
use crate::lab::{figure::Figure, scenario::Scenario, study::Studied};
use std::fmt::Write;
use tower_claude::BoxError;

const STYLE: &str = include_str!("page.css");
const TIMELINE: (u32, u32) = (620, 216);
const WIDE: (u32, u32) = (620, 300);

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn key<'a>(entries: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut out = String::from("<p class=key>");
    for (colour, name) in entries {
        let _ = write!(
            out,
            "<span><i style=\"background:{colour}\"></i>{}</span>",
            escape(name)
        );
    }
    out.push_str("</p>\n");
    out
}

fn table(results: &[Studied], figures: &[Figure]) -> String {
    let mut out = String::from("<div class=scroll><table><thead><tr><th>arm</th>");
    for figure in figures {
        let _ = write!(out, "<th>{}</th>", figure.facts().1);
    }
    out.push_str("</tr></thead><tbody>\n");
    let rows = rows(results);
    // The best of a column, of those who answer at all, is marked.
    let best = |figure: Figure| {
        let less = figure.facts().3;
        let values = rows.iter().map(|row| row.1.spread(figure).median);
        let fold = if less { f64::min } else { f64::max };
        values.reduce(fold).map(|value| figure.write(value))
    };
    let best: Vec<_> = figures.iter().map(|figure| best(*figure)).collect();
    for (name, result) in &rows {
        let class = if result.arm.name == "ours" {
            " class=ours"
        } else {
            ""
        };
        let _ = write!(out, "<tr{class}><th>{}</th>", escape(name));
        for (figure, best) in figures.iter().zip(&best) {
            let median = figure.write(result.spread(*figure).median);
            let class = if Some(&median) == best.as_ref() {
                " class=best"
            } else {
                ""
            };
            let whole = cell(result, *figure);
            let ends = whole.strip_prefix(&median).unwrap_or_default();
            let _ = write!(out, "<td{class}>{median}<small>{ends}</small></td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn section(scenario: &Scenario, results: &[Studied]) -> Result<String, BoxError> {
    let mut out = format!(
        "<section id={0}><h2><small>{0}</small> {1}</h2>\n<p>{2}</p>\n{3}",
        scenario.name,
        escape(&scenario.title),
        escape(&scenario.what),
        table(results, &short(scenario)),
    );
    let drawn = drawn(results);
    let seen = |fate: &Fate| {
        let mut calls = drawn.iter().flat_map(|(_, result)| &result.book.calls);
        calls.any(|call| Fate::of(call) == *fate)
    };
    out.push_str("<h3>What became of the calls, by the time they came</h3>\n");
    let fates = Fate::ALL.into_iter().filter(seen);
    let fates = fates.map(|fate| (hex(fate.colour()), fate.name()));
    let outage = ("var(--shade)".to_owned(), "outage");
    out.push_str(&key(fates.chain([outage])));
    out.push_str("<div class=grid>\n");
    for (name, result) in &drawn {
        let svg = inline(&timeline(scenario, &result.book, TIMELINE)?);
        let name = escape(name);
        let _ = writeln!(out, "<figure><figcaption>{name}</figcaption>{svg}</figure>");
    }
    let lines = lines(&drawn);
    out.push_str("</div>\n<div class=grid>\n");
    let _ = writeln!(
        out,
        "<figure><figcaption>How long until a model has answered</figcaption>{}</figure>",
        inline(&latencies(scenario, &lines, WIDE)?)
    );
    let _ = writeln!(
        out,
        "<figure><figcaption>Load on the first model</figcaption>{}</figure>\n</div>",
        inline(&upstream(scenario, &lines, WIDE)?)
    );
    out.push_str(&key(drawn.iter().map(|(name, result)| {
        (hex(arm_colour(&result.arm.name)), name.as_str())
    })));
    let (differ, others) = telling(results);
    let _ = writeln!(
        out,
        "<details><summary>All figures</summary>{}<p>{}</p></details></section>",
        table(results, &differ),
        escape(&same(results, &others)),
    );
    Ok(out)
}

/// The page.
pub(crate) fn page(studies: &[(Scenario, Vec<Studied>)], seeds: u64) -> Result<String, BoxError> {
    let mut out = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n\
         <title>tower-claude: what an outage costs</title>\n<style>{STYLE}</style>\n<main>\n\
         <h1>What an outage costs, arm by arm</h1>\n<p class=lead>The real layers of tower-claude, and what people use in \
         their place, against the same Claude in memory: same calls, same luck, medians of {seeds} seeds (the ends in small \
         print). Shares and waits are of the calls that came since the outage began. The grey band is the outage; the \
         best of each column is bold. Arms that did the same, event for event, share a row.</p>\n<nav>"
    );
    for (scenario, _) in studies {
        let (name, title) = (&scenario.name, escape(&scenario.title));
        let _ = write!(out, "<a href=\"#{name}\">{name} {title}</a> ");
    }
    out.push_str("</nav>\n");
    for (scenario, results) in studies {
        out.push_str(&section(scenario, results)?);
    }
    out.push_str("<section><h2>The arms</h2><dl>\n");
    let mut told = std::collections::BTreeSet::new();
    for result in studies.iter().flat_map(|study| &study.1) {
        if told.insert(&result.arm.name) {
            let (name, what) = (escape(&result.arm.name), escape(&result.arm.what));
            let _ = writeln!(out, "<dt>{name}</dt><dd>{what}</dd>");
        }
    }
    out.push_str("</dl></section>\n</main>\n</html>\n");
    Ok(out)
}
