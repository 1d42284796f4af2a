//! Charts with a line per arm.

use super::{
    arm_colour,
    chart::{Clock, Error, MARGINS, mesh, owned, shade},
};
use crate::lab::{
    scenario::{Scenario, Which},
    study::Studied,
};
use plotters::prelude::*;

/// Calls per second that reach the first model, per arm.
pub(crate) fn upstream(
    scenario: &Scenario,
    results: &[&Studied],
    size: (u32, u32),
) -> Result<String, Error> {
    let clock = Clock::of(scenario);
    let lines: Vec<_> = results
        .iter()
        .map(|result| {
            let attempts = result.book.attempts.iter();
            let attempts = attempts.filter(|attempt| attempt.model == Which::Primary);
            let rates = clock.rates(scenario, attempts.map(|attempt| attempt.at));
            (arm_colour(&result.arm.name), rates)
        })
        .collect();
    let rates = lines.iter().flat_map(|(_, rates)| rates);
    let top = rates.copied().fold(1.0, f64::max) * 1.15;
    let end = scenario.lasts.ms() as f64 / clock.unit;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(20)
            .x_label_area_size(MARGINS.1)
            .y_label_area_size(MARGINS.0)
            .build_cartesian_2d(0.0..end, 0.0..top)
            .map_err(owned)?;
        shade(&mut chart, scenario, &clock, top)?;
        for (colour, rates) in lines {
            let points = rates.iter().enumerate().map(|(nth, y)| (clock.at(nth), *y));
            let line = LineSeries::new(points, colour.stroke_width(2));
            chart.draw_series(line).map_err(owned)?;
        }
        let label = &|x: &f64| format!("{x:.0}");
        mesh(&mut chart, clock.name, "calls/s to the first model", label)?;
        area.present().map_err(owned)?;
    }
    Ok(svg)
}

/// The share of calls that a model has answered after so many seconds, per arm. A line that ends below 100 % is of calls
/// that no model answered.
pub(crate) fn latencies(
    scenario: &Scenario,
    results: &[&Studied],
    size: (u32, u32),
) -> Result<String, Error> {
    let (from, _) = scenario.broken();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(20)
            .x_label_area_size(MARGINS.1)
            .y_label_area_size(MARGINS.0)
            .build_cartesian_2d((0.3..1000.0_f64).log_scale(), 0.0..102.0)
            .map_err(owned)?;
        for result in results {
            let calls: Vec<_> = result
                .book
                .calls
                .iter()
                .filter(|call| call.at >= from)
                .collect();
            let mut waits: Vec<u64> = calls
                .iter()
                .filter(|call| call.source.by_model())
                .map(|call| call.waited())
                .collect();
            waits.sort_unstable();
            // Evenly spaced as the eye sees them.
            let points = (0..=240).map(|step| {
                let seconds =
                    0.3 * 10_f64.powf(f64::from(step) / 240.0 * (1000.0_f64 / 0.3).log10());
                let done = waits.partition_point(|ms| *ms as f64 <= seconds * 1000.0);
                (seconds, 100.0 * done as f64 / calls.len().max(1) as f64)
            });
            let colour = arm_colour(&result.arm.name);
            let line = LineSeries::new(points, colour.stroke_width(2));
            chart.draw_series(line).map_err(owned)?;
        }
        let label = &|x: &f64| format!("{x}");
        mesh(&mut chart, "seconds waited", "% answered by a model", label)?;
        area.present().map_err(owned)?;
    }
    Ok(svg)
}
