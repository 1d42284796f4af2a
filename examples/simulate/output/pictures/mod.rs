//! Pictures, as SVG that takes the colour of its text from the page around it.

mod chart;
mod lines;
mod timeline;

pub(crate) use lines::{latencies, upstream};
pub(crate) use timeline::{overview, timeline};

use crate::lab::trace::{Call, Source};
use plotters::style::RGBColor;

/// Stands for the colour of the text around, until the SVG is written.
const INK: RGBColor = RGBColor(1, 2, 3);

/// How much of it shades the time of an outage.
const SHADE: f64 = 0.13;

/// A user who waited longer was hardly served, whoever answered in the end.
const LATE: u64 = 10_000;

/// What became of a call, as a timeline tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// By the source, in time where that is a model.
    Soon(Source),
    /// By a model, later than that.
    Late,
}

impl Fate {
    pub(crate) const ALL: [Self; 9] = [
        Self::Soon(Source::Primary),
        Self::Soon(Source::Second),
        Self::Late,
        Self::Soon(Source::Cached),
        Self::Soon(Source::Canned),
        Self::Soon(Source::Error),
        Self::Soon(Source::Half),
        Self::Soon(Source::False),
        Self::Soon(Source::Never),
    ];

    pub(crate) fn of(call: &Call) -> Self {
        if call.source.by_model() && call.waited() > LATE {
            Self::Late
        } else {
            Self::Soon(call.source)
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Soon(source) => source.name(),
            Self::Late => "a model, after > 10 s",
        }
    }

    pub(crate) const fn colour(self) -> RGBColor {
        match self {
            Self::Soon(source) => colour(source),
            Self::Late => RGBColor(84, 88, 168),
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
