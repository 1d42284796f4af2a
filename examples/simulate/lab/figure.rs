//! The figures that a run is told in: their names, their units, how people read them.

/// A figure's name, unit and way of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Figure {
    Answered30,
    Answered10,
    Primary,
    Second,
    Cached,
    Canned,
    Error,
    Half,
    False,
    Never,
    P50,
    P99,
    Max,
    UpstreamPrimary,
    UpstreamSecond,
    Peak100ms,
    PeakSecond,
    FirstPrimary,
    BackPrimary,
    BackModel,
    PeakInFlight,
    PeakUpstream,
    AttemptsPerCall,
    Refused429,
    Early,
    Wasted,
    Opened,
    Reopened,
    After,
    Probes,
    SteadyP99,
}

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Percent,
    Seconds,
    Count,
    Ratio,
    Dollars,
}

impl Figure {
    pub(crate) const ALL: [Self; 31] = [
        Self::Answered30,
        Self::Answered10,
        Self::Primary,
        Self::Second,
        Self::Cached,
        Self::Canned,
        Self::Error,
        Self::Half,
        Self::False,
        Self::Never,
        Self::P50,
        Self::P99,
        Self::Max,
        Self::UpstreamPrimary,
        Self::UpstreamSecond,
        Self::Peak100ms,
        Self::PeakSecond,
        Self::FirstPrimary,
        Self::BackPrimary,
        Self::BackModel,
        Self::PeakInFlight,
        Self::PeakUpstream,
        Self::AttemptsPerCall,
        Self::Refused429,
        Self::Early,
        Self::Wasted,
        Self::Opened,
        Self::Reopened,
        Self::After,
        Self::Probes,
        Self::SteadyP99,
    ];

    /// Its name on the command line, its title, its unit, and whether less is better.
    pub(crate) const fn facts(self) -> (&'static str, &'static str, Unit, bool) {
        use Unit::{Count, Dollars, Percent, Ratio, Seconds};
        match self {
            Self::Answered30 => ("answered", "answered by a model ≤ 30 s", Percent, false),
            Self::Answered10 => ("answered10", "answered by a model ≤ 10 s", Percent, false),
            Self::Primary => ("primary", "by the first model", Percent, false),
            Self::Second => ("second", "by the second model", Percent, false),
            Self::Cached => ("cached", "by the cache", Percent, false),
            Self::Canned => ("canned", "canned message", Percent, true),
            Self::Error => ("error", "clean error", Percent, true),
            Self::Half => ("half", "half an answer, told", Percent, true),
            Self::False => ("false", "half taken for whole", Percent, true),
            Self::Never => ("never", "no answer, ever", Percent, true),
            Self::P50 => ("p50", "user p50", Seconds, true),
            Self::P99 => ("p99", "user p99", Seconds, true),
            Self::Max => ("max", "user max", Seconds, true),
            Self::UpstreamPrimary => (
                "upstream",
                "calls to the first model while broken",
                Count,
                true,
            ),
            Self::UpstreamSecond => (
                "upstream2",
                "calls to the second model while broken",
                Count,
                true,
            ),
            Self::Peak100ms => (
                "peak100ms",
                "peak calls to the first model per 100 ms, after",
                Count,
                true,
            ),
            Self::PeakSecond => (
                "peak1s",
                "peak calls to the first model per s, after",
                Count,
                true,
            ),
            Self::FirstPrimary => (
                "first_primary",
                "end to first answer of the first model",
                Seconds,
                true,
            ),
            Self::BackPrimary => (
                "back_primary",
                "end to ≥ 95 % by the first model",
                Seconds,
                true,
            ),
            Self::BackModel => ("back", "end to ≥ 95 % answered ≤ 10 s", Seconds, true),
            Self::PeakInFlight => ("in_flight", "peak users waiting", Count, true),
            Self::PeakUpstream => ("open", "peak calls open upstream", Count, true),
            Self::AttemptsPerCall => ("attempts", "attempts per call", Ratio, true),
            Self::Refused429 => ("refused", "429 received", Count, true),
            Self::Early => ("early", "early retries", Count, true),
            Self::Wasted => ("wasted", "wasted $ per 1,000 calls", Dollars, true),
            Self::Opened => ("opened", "circuit openings", Count, true),
            Self::Reopened => ("reopened", "re-openings by a probe", Count, true),
            Self::After => ("after", "openings after the end", Count, true),
            Self::Probes => ("probes", "most calls let through half-open", Count, true),
            Self::SteadyP99 => ("steady_p99", "p99 of the other features", Seconds, true),
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|figure| figure.facts().0 == name)
    }

    /// A value as people read it. What never happened is "never", what was not looked at a dash.
    pub(crate) fn write(self, value: f64) -> String {
        if value.is_nan() {
            return "–".to_owned();
        }
        if !value.is_finite() {
            return "never".to_owned();
        }
        match self.facts().2 {
            Unit::Percent if value > 99.95 && value < 100.0 => format!("{value:.2} %"),
            Unit::Percent if value == 0.0 => "0".to_owned(),
            Unit::Percent => format!("{value:.1} %"),
            Unit::Seconds if value >= 100.0 => format!("{value:.0} s"),
            Unit::Seconds => format!("{value:.1} s"),
            Unit::Count => thousands(value),
            Unit::Ratio | Unit::Dollars => format!("{:.2}", value.abs()),
        }
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
