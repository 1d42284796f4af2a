//! What happens to Claude, and who calls it meanwhile: one TOML file each.

use super::span::Span;
use serde::Deserialize;
use tower_claude::BoxError;

/// The scenarios of this folder, in the order of the report.
pub(crate) const FILES: [(&str, &str); 12] = [
    ("S1a", include_str!("../scenarios/S1a.toml")),
    ("S1b", include_str!("../scenarios/S1b.toml")),
    ("S2", include_str!("../scenarios/S2.toml")),
    ("S2h", include_str!("../scenarios/S2h.toml")),
    ("S3", include_str!("../scenarios/S3.toml")),
    ("S4", include_str!("../scenarios/S4.toml")),
    ("S5", include_str!("../scenarios/S5.toml")),
    ("S6", include_str!("../scenarios/S6.toml")),
    ("S7", include_str!("../scenarios/S7.toml")),
    ("S8", include_str!("../scenarios/S8.toml")),
    ("S8b", include_str!("../scenarios/S8b.toml")),
    ("S9", include_str!("../scenarios/S9.toml")),
];

/// One scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) what: String,
    /// How long calls come.
    pub(crate) lasts: Span,
    /// From when to when the service is called broken in the figures. Default: from the first outage to the end of the
    /// last.
    pub(crate) broken: Option<[Span; 2]>,
    /// Applications, each with a client of its own, that share the calls. Default 1.
    #[serde(default = "one")]
    pub(crate) clients: u64,
    /// The timeout of an attempt, the same in all arms. Default: each arm's own.
    pub(crate) attempt_timeout: Option<Span>,
    /// Calls in flight per feature, in every arm that has compartments. Default: each arm's own.
    pub(crate) compartments: Option<usize>,
    #[serde(default = "Traffic::mix")]
    pub(crate) traffic: Vec<Traffic>,
    #[serde(default)]
    pub(crate) primary: Model,
    #[serde(default = "Model::second")]
    pub(crate) second: Model,
    #[serde(default)]
    pub(crate) outage: Vec<Outage>,
    /// The figures of the short table. Default: those that say most of an outage.
    #[serde(default = "short")]
    pub(crate) figures: Vec<String>,
}

/// Calls of one feature, open-loop: they come whether or not earlier ones were answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Traffic {
    pub(crate) feature: String,
    /// Calls a second, on average; each comes for itself (Poisson).
    pub(crate) rate: f64,
    /// The share of calls that ask for a stream.
    #[serde(default)]
    pub(crate) stream: f64,
    /// Whether calls carry tools, so that no sentence may stand in for their answer.
    #[serde(default)]
    pub(crate) tools: bool,
    /// Different questions; asked again and again, all as often. Default: no two are the same.
    pub(crate) questions: Option<u64>,
    pub(crate) from: Option<Span>,
    pub(crate) to: Option<Span>,
}

/// How a model answers while nothing is wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Model {
    /// Median time to the first content; the spread is the sigma of the log-normal.
    pub(crate) first: Span,
    pub(crate) spread: f64,
    pub(crate) input_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) tokens_per_second: f64,
    /// US dollars per million tokens, in and out.
    pub(crate) price: [f64; 2],
    /// Calls a second that are taken up; others stand in line. Default: no bound.
    pub(crate) serves: Option<f64>,
    /// The line's length, beyond which calls get a 529. Default: no bound.
    pub(crate) line: Option<usize>,
    /// Whether work is done for callers who have left.
    pub(crate) executes_abandoned: bool,
    /// A rate limit: so many calls per window, then a 429 with `retry-after` until the next.
    pub(crate) limit: Option<Limit>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) calls: u32,
    pub(crate) per: Span,
}

/// Something wrong with a model for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outage {
    #[serde(default)]
    pub(crate) model: Which,
    pub(crate) from: Span,
    pub(crate) to: Span,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Which {
    #[default]
    Primary,
    Second,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// A 529 after so long, for this share of calls.
    Overloaded {
        after: Span,
        #[serde(default = "whole")]
        share: f64,
    },
    /// No answer, ever.
    Hang {
        #[serde(default = "whole")]
        share: f64,
    },
    /// All latencies times this.
    Slow { factor: f64 },
    /// This share of streams dies on its way: by an `error` event, a cut, or an end that looks clean.
    Die { share: f64 },
    /// A 429 with `retry-after` until the fault is over.
    Limited,
    /// Takes up so many calls a second at the start and so many at the end.
    Serves { start: f64, end: f64 },
}

impl Which {
    pub(crate) const BOTH: [Self; 2] = [Self::Primary, Self::Second];

    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::Primary => "claude-sonnet-5-5",
            Self::Second => "claude-haiku-5-5",
        }
    }

    pub(crate) fn of(model: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|which| which.model() == model)
    }
}

fn short() -> Vec<String> {
    [
        "answered",
        "answered10",
        "p50",
        "p99",
        "upstream",
        "attempts",
        "back",
        "back_primary",
    ]
    .map(str::to_owned)
    .into()
}

const fn one() -> u64 {
    1
}

const fn whole() -> f64 {
    1.0
}

impl Traffic {
    /// 40 calls a second: a chat that streams, summaries, and extraction by tools.
    fn mix() -> Vec<Self> {
        let kind = |feature: &str, rate, stream, tools, questions| Self {
            feature: feature.to_owned(),
            rate,
            stream,
            tools,
            questions,
            from: None,
            to: None,
        };
        vec![
            kind("chat", 24.0, 1.0, false, Some(4_000)),
            kind("summary", 8.0, 0.0, false, None),
            kind("extraction", 8.0, 0.0, true, None),
        ]
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            first: Span::millis(800),
            spread: 0.4,
            input_tokens: 1_000,
            output_tokens: 80,
            tokens_per_second: 80.0,
            price: [3.0, 15.0],
            serves: None,
            line: None,
            executes_abandoned: false,
            limit: None,
        }
    }
}

impl Model {
    /// Smaller and quicker.
    fn second() -> Self {
        Self {
            first: Span::millis(500),
            tokens_per_second: 160.0,
            price: [1.0, 5.0],
            ..Self::default()
        }
    }
}

impl Scenario {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, BoxError> {
        let scenario: Self = toml::from_str(text)?;
        Ok(scenario)
    }

    /// One of this folder, by name.
    pub(crate) fn named(name: &str) -> Result<Self, BoxError> {
        let (_, text) = FILES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("no scenario `{name}`; see `simulate list`"))?;
        Self::parse(text)
    }

    pub(crate) fn model(&self, which: Which) -> &Model {
        match which {
            Which::Primary => &self.primary,
            Which::Second => &self.second,
        }
    }

    /// From when to when it is broken, in ms.
    pub(crate) fn broken(&self) -> (u64, u64) {
        if let Some([from, to]) = self.broken {
            return (from.ms(), to.ms());
        }
        let from = self.outage.iter().map(|outage| outage.from.ms()).min();
        let to = self.outage.iter().map(|outage| outage.to.ms()).max();
        (from.unwrap_or(0), to.unwrap_or(self.lasts.ms()))
    }

    /// The faults of a model at a time.
    pub(crate) fn faults(&self, which: Which, at: u64) -> impl Iterator<Item = &Outage> {
        self.outage.iter().filter(move |outage| {
            outage.model == which && (outage.from.ms()..outage.to.ms()).contains(&at)
        })
    }

    /// Calls a second that a model takes up now, if that is bounded.
    pub(crate) fn serves(&self, which: Which, at: u64) -> Option<f64> {
        let usual = self.model(which).serves?;
        let now = self
            .faults(which, at)
            .find_map(|outage| match outage.fault {
                Fault::Serves { start, end } => {
                    let way =
                        (at - outage.from.ms()) as f64 / (outage.to.ms() - outage.from.ms()) as f64;
                    Some(start + (end - start) * way)
                }
                _ => None,
            });
        Some(now.unwrap_or(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scenarios_of_the_folder_parse_and_bear_their_names() {
        for (name, text) in FILES {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, name);
            let (from, to) = scenario.broken();
            assert!(from < to && to <= scenario.lasts.ms(), "{name}");
        }
    }
}
