//! `[features.*]`

use super::{
    checks::Checks,
    fallback::{check_chain, read_chain},
    form::{DURATION, Form, TEXT, whole},
    reader::{Reader, full_name, shown_text},
};
use crate::{call::Feature, degrade::DegradePolicy, model_fallback::ChainModel};
use std::{collections::BTreeMap, time::Duration};
use toml::de::DeValue;

/// As the bulkhead bounds them.
const MOST_IN_FLIGHT: usize = 1_000_000;
const LONGEST_QUEUE: usize = 100_000;
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The name comes in a header of each call.
const LONGEST_NAME: usize = 128;

/// The features, and what each call of them gets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeaturesSettings {
    /// Calls that name no feature, or an unknown one.
    pub default: FeatureSettings,
    /// The others by name. Default: `chat`, `summary`, `extraction`, `background_jobs` and `code`.
    pub named: BTreeMap<Feature, FeatureSettings>,
}

/// What the calls of one feature get. In the file a key that is not set has its value from `[features.default]`; here
/// all of that is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureSettings {
    /// Calls in flight at a time, for each model; 0 rejects every call. Default 64; at most 1,000,000.
    pub in_flight: usize,
    /// Calls that wait for a seat, for each model. Default: twice `in_flight`, where that is set; at most 100,000.
    pub queue: usize,
    /// How long they wait. Default 2 s; at most 1 h.
    pub wait: Duration,
    /// Which models stand in. Default [`FeatureFallback::Chains`].
    pub fallback: FeatureFallback,
    /// What stands in where no model answers. Default [`DegradeMode::Answer`].
    pub degrade: DegradeMode,
    /// The canned answer. At least one letter.
    pub message: String,
    /// By when a call must be answered that brings no deadline. `None`: by the deadline of the whole configuration.
    pub deadline: Option<Duration>,
}

/// Which models stand in for one that fails, for the calls of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureFallback {
    /// `true`: those of `[fallback]`.
    Chains,
    /// `false`: none.
    None,
    /// A chain of its own.
    Own(Vec<ChainModel>),
}

/// What the calls of a feature get where no model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DegradeMode {
    /// `"answer"`: a cached answer, else the message.
    Answer,
    /// `"error"`: an error in Claude's form.
    Error,
}

impl Default for FeatureSettings {
    fn default() -> Self {
        Self {
            in_flight: 64,
            queue: 128,
            wait: Duration::from_secs(2),
            fallback: FeatureFallback::Chains,
            degrade: DegradeMode::Answer,
            message: DegradePolicy::DEFAULT_MESSAGE.to_owned(),
            deadline: None,
        }
    }
}

impl Default for FeaturesSettings {
    fn default() -> Self {
        Drafts::new().settle()
    }
}

impl FeaturesSettings {
    /// What a call of this feature gets.
    pub fn of(&self, feature: &str) -> &FeatureSettings {
        self.named.get(feature).unwrap_or(&self.default)
    }

    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        let mut drafts = Drafts::new();
        reader.tables(|name, reader| drafts.of(name).read(reader));
        *self = drafts.settle();
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        self.default.check(Feature::DEFAULT, checks);
        for (feature, settings) in &self.named {
            let name = feature.as_str();
            let plain = name.chars().all(|c| c.is_ascii_graphic());
            if plain && (1..=LONGEST_NAME).contains(&name.len()) {
                settings.check(name, checks);
            } else {
                let bound = format!("named with 1 to {LONGEST_NAME} visible ASCII characters");
                let (key, shown) = (full_name("features", name), shown_text(name));
                checks.must(false, key, format!("named {shown}"), bound);
            }
        }
    }
}

impl FeatureSettings {
    fn check(&self, name: &str, checks: &mut Checks) {
        let table = full_name("features", name);
        let key = |key| format!("{table}.{key}");
        let bound = format!("at most {MOST_IN_FLIGHT}");
        checks.must(
            self.in_flight <= MOST_IN_FLIGHT,
            key("in_flight"),
            self.in_flight,
            bound,
        );
        let bound = format!("at most {LONGEST_QUEUE}");
        checks.must(self.queue <= LONGEST_QUEUE, key("queue"), self.queue, bound);
        let wait = super::units::Time(self.wait);
        checks.must(self.wait <= LONGEST_WAIT, key("wait"), wait, "at most 1h");
        if let FeatureFallback::Own(chain) = &self.fallback {
            check_chain(&key("fallback"), chain, checks);
        }
        let message = format!("{:?}", self.message);
        let letters = !self.message.trim().is_empty();
        checks.must(
            letters,
            key("message"),
            message,
            "a text with at least one letter",
        );
        if let Some(deadline) = self.deadline {
            checks.time(key("deadline"), deadline);
        }
    }
}

/// What is set of a feature.
#[derive(Debug, Clone, Default)]
struct Draft {
    in_flight: Option<usize>,
    queue: Option<usize>,
    wait: Option<Duration>,
    fallback: Option<FeatureFallback>,
    degrade: Option<DegradeMode>,
    message: Option<String>,
    deadline: Option<Duration>,
}

const DEGRADE: Form<DegradeMode> =
    Form::new("\"answer\" or \"error\"", |value| match value.as_str()? {
        "answer" => Some(DegradeMode::Answer),
        "error" => Some(DegradeMode::Error),
        _ => None,
    });

impl Draft {
    fn in_flight(in_flight: usize) -> Self {
        Self {
            in_flight: Some(in_flight),
            ..Self::default()
        }
    }

    fn read(&mut self, reader: &mut Reader<'_, '_>) {
        let count = whole("a whole number, at least 0");
        self.in_flight = reader.get("in_flight", &count).or(self.in_flight);
        self.queue = reader.get("queue", &count).or(self.queue);
        self.wait = reader.get("wait", &DURATION).or(self.wait);
        self.degrade = reader.get("degrade", &DEGRADE).or(self.degrade);
        self.deadline = reader.get("deadline", &DURATION).or(self.deadline);
        if let Some(message) = reader.get("message", &TEXT) {
            self.message = Some(message);
        }
        if let Some(fallback) = read_fallback(reader) {
            self.fallback = Some(fallback);
        }
    }

    /// With the rest from the default feature.
    fn settle(self, default: &FeatureSettings) -> FeatureSettings {
        let in_flight = self.in_flight.unwrap_or(default.in_flight);
        let queue = match self.in_flight {
            Some(in_flight) => in_flight.saturating_mul(2).min(LONGEST_QUEUE),
            None => default.queue,
        };
        FeatureSettings {
            in_flight,
            queue: self.queue.unwrap_or(queue),
            wait: self.wait.unwrap_or(default.wait),
            fallback: self.fallback.unwrap_or_else(|| default.fallback.clone()),
            degrade: self.degrade.unwrap_or(default.degrade),
            message: self.message.unwrap_or_else(|| default.message.clone()),
            deadline: self.deadline.or(default.deadline),
        }
    }
}

fn read_fallback(reader: &mut Reader<'_, '_>) -> Option<FeatureFallback> {
    let node = reader.node("fallback")?;
    match node.value() {
        DeValue::Boolean(true) => Some(FeatureFallback::Chains),
        DeValue::Boolean(false) => Some(FeatureFallback::None),
        DeValue::Array(_) => read_chain(&node, reader.findings).map(FeatureFallback::Own),
        _ => {
            let is = "true, false, or a chain of its own, such as [\"claude-opus-4-8\"]";
            reader.findings.refuse(&node, is, false);
            None
        }
    }
}

/// All features while the file is read: those that are always there, and those it names.
struct Drafts {
    default: Draft,
    named: BTreeMap<Feature, Draft>,
}

impl Drafts {
    fn new() -> Self {
        let background = Draft {
            queue: Some(500),
            wait: Some(Duration::from_secs(60)),
            degrade: Some(DegradeMode::Error),
            deadline: Some(Duration::from_secs(30 * 60)),
            ..Draft::in_flight(5)
        };
        let code = Draft {
            fallback: Some(FeatureFallback::None),
            degrade: Some(DegradeMode::Error),
            ..Draft::in_flight(10)
        };
        let named = [
            ("chat", Draft::in_flight(20)),
            ("summary", Draft::in_flight(10)),
            ("extraction", Draft::in_flight(30)),
            ("background_jobs", background),
            ("code", code),
        ];
        Self {
            default: Draft::default(),
            named: named.map(|(name, draft)| (name.into(), draft)).into(),
        }
    }

    fn of(&mut self, name: &str) -> &mut Draft {
        if name == Feature::DEFAULT {
            &mut self.default
        } else {
            self.named.entry(name.into()).or_default()
        }
    }

    fn settle(self) -> FeaturesSettings {
        let default = self.default.settle(&FeatureSettings::default());
        let settled = |(name, draft): (Feature, Draft)| (name, draft.settle(&default));
        FeaturesSettings {
            named: self.named.into_iter().map(settled).collect(),
            default,
        }
    }
}
