//! What all charts share: their clock, their axes, the shade of the outage.

use super::{INK, SHADE};
use crate::lab::scenario::Scenario;
use plotters::{
    coord::ranged1d::{Ranged, ValueFormatter},
    prelude::*,
};
use tower_claude::BoxError;

/// What the axes take at the left and below.
pub(super) const MARGINS: (u32, u32) = (54, 42);
/// Buckets of a timeline.
const BUCKETS: u64 = 140;

/// The times of a timeline, in seconds, or minutes where those are many.
pub(super) struct Clock {
    pub(super) bucket: u64,
    pub(super) unit: f64,
    pub(super) name: &'static str,
}

impl Clock {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let lasts = scenario.lasts.ms();
        let minutes = lasts > 20 * 60_000;
        Self {
            bucket: (lasts / BUCKETS).max(1),
            unit: if minutes { 60_000.0 } else { 1000.0 },
            name: if minutes { "minutes" } else { "seconds" },
        }
    }

    pub(super) fn at(&self, bucket: usize) -> f64 {
        (bucket as u64 * self.bucket) as f64 / self.unit
    }

    /// Per second, of the whole buckets.
    pub(super) fn rates(&self, scenario: &Scenario, times: impl Iterator<Item = u64>) -> Vec<f64> {
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

pub(super) type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;
pub(super) type Error = BoxError;

pub(super) fn owned<E: std::fmt::Display>(error: E) -> Error {
    error.to_string().into()
}

/// Draws the axes.
pub(super) fn mesh<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    x: &str,
    y: &str,
    label: &dyn Fn(&f64) -> String,
) -> Result<(), Error>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK.mix(0.35))
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 15).into_font().color(&INK))
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
pub(super) fn shade<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    scenario: &Scenario,
    clock: &Clock,
    top: f64,
) -> Result<(), Error>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let (from, to) = scenario.broken();
    let corners = [
        (from as f64 / clock.unit, 0.0),
        (to as f64 / clock.unit, top),
    ];
    let style = INK.mix(SHADE).filled();
    chart
        .draw_series([Rectangle::new(corners, style)])
        .map(drop)
        .map_err(owned)
}

/// Marks its ends, over what would hide the shade.
pub(super) fn edges<X, Y>(
    chart: &mut Chart<'_, X, Y>,
    scenario: &Scenario,
    clock: &Clock,
    top: f64,
) -> Result<(), Error>
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
