//! Pictures, as SVG that takes the colour of its text from the page around it.

use crate::lab::{
    scenario::{Scenario, Which},
    study::Result,
    trace::{Book, Call, Source},
};
use plotters::{coord::ranged1d::Ranged, prelude::*};
use tower_claude::BoxError;

/// Stands for the colour of the text around, until the SVG is written.
const INK: RGBColor = RGBColor(1, 2, 3);
/// Buckets of a timeline.
const BUCKETS: u64 = 140;

/// A user who waited longer was not served, whoever answered in the end.
const LATE: u64 = 30_000;

/// What became of a call, as a timeline tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    In30s(Source),
    /// Answered by a model, later than that.
    Late,
}

impl Fate {
    pub(crate) const ALL: [Self; 9] = [
        Self::In30s(Source::Primary),
        Self::In30s(Source::Second),
        Self::Late,
        Self::In30s(Source::Cached),
        Self::In30s(Source::Canned),
        Self::In30s(Source::Error),
        Self::In30s(Source::Half),
        Self::In30s(Source::False),
        Self::In30s(Source::Never),
    ];

    pub(crate) fn of(call: &Call) -> Self {
        if call.source.by_model() && call.waited() > LATE {
            Self::Late
        } else {
            Self::In30s(call.source)
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::In30s(source) => source.name(),
            Self::Late => "a model, after > 30 s",
        }
    }

    pub(crate) const fn colour(self) -> RGBColor {
        match self {
            Self::In30s(source) => colour(source),
            Self::Late => RGBColor(58, 72, 130),
        }
    }
}

/// The colour of an outcome: readable on light and on dark ground, and told apart by those who see no red or green.
const fn colour(source: Source) -> RGBColor {
    match source {
        Source::Primary => RGBColor(46, 134, 193),
        Source::Second => RGBColor(118, 196, 222),
        Source::Cached => RGBColor(169, 145, 212),
        Source::Canned => RGBColor(236, 196, 92),
        Source::Error => RGBColor(224, 122, 63),
        Source::Half => RGBColor(201, 74, 120),
        Source::False => RGBColor(160, 30, 60),
        Source::Never => RGBColor(110, 110, 118),
    }
}

/// The colour of an arm.
pub(crate) fn arm_colour(name: &str) -> RGBColor {
    match name {
        "bare" => RGBColor(140, 140, 150),
        "SDK" => RGBColor(224, 122, 63),
        "SDK + second model" => RGBColor(222, 178, 60),
        "reference" => RGBColor(190, 80, 150),
        "ours" => RGBColor(46, 134, 193),
        "ours − fallback" => RGBColor(92, 178, 122),
        "ours − breaker" => RGBColor(118, 196, 222),
        _ => RGBColor(150, 120, 200),
    }
}

pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// The times of a timeline, in seconds, or minutes where those are many.
struct Clock {
    bucket: u64,
    unit: f64,
    name: &'static str,
}

impl Clock {
    fn of(scenario: &Scenario) -> Self {
        let lasts = scenario.lasts.ms();
        let minutes = lasts > 20 * 60_000;
        Self {
            bucket: (lasts / BUCKETS).max(1),
            unit: if minutes { 60_000.0 } else { 1000.0 },
            name: if minutes { "minutes" } else { "seconds" },
        }
    }

    fn at(&self, bucket: usize) -> f64 {
        (bucket as u64 * self.bucket) as f64 / self.unit
    }

    /// Per second, of the whole buckets.
    fn rates(&self, scenario: &Scenario, times: impl Iterator<Item = u64>) -> Vec<f64> {
        let mut counts = vec![0_u32; (scenario.lasts.ms() / self.bucket) as usize];
        for time in times {
            if let Some(count) = counts.get_mut((time / self.bucket) as usize) {
                *count += 1;
            }
        }
        let seconds = self.bucket as f64 / 1000.0;
        counts
            .iter()
            .map(|count| f64::from(*count) / seconds)
            .collect()
    }
}

type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;
type Error = BoxError;

fn owned<E: std::fmt::Display>(error: E) -> Error {
    error.to_string().into()
}

/// Draws the axes.
fn mesh<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    x: &str,
    y: &str,
    label: &dyn Fn(&f64) -> String,
) -> std::result::Result<(), Error>
where
    X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK.mix(0.35))
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 12).into_font().color(&INK))
        .x_desc(x)
        .y_desc(y)
        .x_labels(8)
        .y_labels(5)
        .x_label_formatter(label)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()
        .map_err(owned)
}

/// Shades the time in which it is broken.
fn shade<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    scenario: &Scenario,
    clock: &Clock,
    top: f64,
) -> std::result::Result<(), Error>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (from, to) = scenario.broken();
    let corners = [
        (from as f64 / clock.unit, 0.0),
        (to as f64 / clock.unit, top),
    ];
    let style = INK.mix(0.13).filled();
    chart
        .draw_series([Rectangle::new(corners, style)])
        .map(drop)
        .map_err(owned)
}

/// Marks its ends, over what would hide the shade.
fn edges<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    scenario: &Scenario,
    clock: &Clock,
    top: f64,
) -> std::result::Result<(), Error>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (from, to) = scenario.broken();
    let lines = [from, to].map(|at| {
        let x = at as f64 / clock.unit;
        PathElement::new([(x, 0.0), (x, top)], INK.mix(0.8).stroke_width(1))
    });
    chart.draw_series(lines).map(drop).map_err(owned)
}

/// Calls per second by what became of them, by the time they came; the outage is shaded.
pub(crate) fn timeline(
    scenario: &Scenario,
    book: &Book,
    size: (u32, u32),
) -> std::result::Result<String, Error> {
    let clock = Clock::of(scenario);
    let all = clock.rates(scenario, book.calls.iter().map(|call| call.at));
    let top = all.iter().copied().fold(1.0, f64::max) * 1.15;
    let end = scenario.lasts.ms() as f64 / clock.unit;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(20)
            .x_label_area_size(34)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..end, 0.0..top)
            .map_err(owned)?;
        shade(&mut chart, scenario, &clock, top)?;
        let mut below = vec![0.0; all.len()];
        for fate in Fate::ALL {
            let calls = book.calls.iter().filter(|call| Fate::of(call) == fate);
            let rates = clock.rates(scenario, calls.map(|call| call.at));
            if rates.iter().all(|rate| *rate == 0.0) {
                continue;
            }
            let mut outline = Vec::with_capacity(2 * rates.len());
            outline.extend(below.iter().enumerate().map(|(nth, y)| (clock.at(nth), *y)));
            for (below, rate) in below.iter_mut().zip(&rates) {
                *below += rate;
            }
            let upper = below.iter().enumerate().rev();
            outline.extend(upper.map(|(nth, y)| (clock.at(nth), *y)));
            let polygon = Polygon::new(outline, fate.colour().filled());
            chart.draw_series([polygon]).map_err(owned)?;
        }
        edges(&mut chart, scenario, &clock, top)?;
        mesh(&mut chart, clock.name, "calls/s", &|x| format!("{x:.0}"))?;
        area.present().map_err(owned)?;
    }
    Ok(svg)
}

/// Calls per second that reach the first model, per arm.
pub(crate) fn upstream(
    scenario: &Scenario,
    results: &[&Result],
    size: (u32, u32),
) -> std::result::Result<String, Error> {
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
            .x_label_area_size(34)
            .y_label_area_size(44)
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
    results: &[&Result],
    size: (u32, u32),
) -> std::result::Result<String, Error> {
    let (from, _) = scenario.broken();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(20)
            .x_label_area_size(34)
            .y_label_area_size(44)
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

/// For a page: as wide as its place, in the colour of its text.
pub(crate) fn inline(svg: &str) -> String {
    let svg = svg.replace("#010203", "currentColor");
    let Some(rest) = svg.strip_prefix("<svg width=\"") else {
        return svg;
    };
    // `W" height="H" …`
    let mut parts = rest.splitn(4, '"');
    let (width, height) = (parts.next(), parts.nth(1));
    match (width, height, parts.next()) {
        (Some(width), Some(height), Some(rest)) => {
            let rest = rest.split_once('>').map_or(rest, |(_, rest)| rest);
            format!(
                "<svg viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\">{rest}"
            )
        }
        _ => svg,
    }
}

/// For a file of its own: dark on white.
pub(crate) fn standalone(svg: &str) -> String {
    inline(svg).replacen("<svg ", "<svg style=\"background:#fff;color:#222\" ", 1)
}
