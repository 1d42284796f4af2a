//! What is compared: clients, by one file, `arms.toml` or one of the user.

use super::{
    chance::Chance,
    claude::Claude,
    clients::{Client, Plain, Reference, Stack},
    scenario::{Scenario, Which},
    settings::Settings,
    trace::Trace,
};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};
use tower::Layer;
use tower_claude::{BoxError, Timeouts};

const FILE: &str = include_str!("../arms.toml");
/// What the official SDKs wait where nobody says otherwise.
const SDK_TIMEOUT: Duration = Duration::from_secs(600);

/// An arm of the comparison.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) what: String,
    kind: Kind,
    /// Patterns of our stack that are left out.
    #[serde(default)]
    without: Vec<String>,
    /// Settings of our stack that are not the default, in this order.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Whether it is drawn.
    #[serde(default)]
    pub(crate) picture: bool,
    /// Only in these scenarios; empty: in all.
    #[serde(default)]
    only: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Bare,
    Sdk,
    SdkThenSecond,
    Reference,
    ReferenceWithTimeouts,
    Ours,
}

#[derive(Debug, Deserialize)]
struct File {
    arm: Vec<Arm>,
}

impl Arm {
    /// Those of a file; of `arms.toml`, where none is named.
    pub(crate) fn all(file: Option<&Path>) -> Result<Vec<Self>, BoxError> {
        let arms: File = match file {
            Some(file) => toml::from_str(&fs::read_to_string(file)?)?,
            None => toml::from_str(FILE)?,
        };
        Ok(arms.arm)
    }

    /// One of `arms.toml`.
    pub(crate) fn named(name: &str) -> Result<Self, BoxError> {
        Self::find(Self::all(None)?, name)
    }

    /// One of these.
    pub(crate) fn find(arms: Vec<Self>, name: &str) -> Result<Self, BoxError> {
        let found = arms.into_iter().find(|arm| arm.name == name);
        found.ok_or_else(|| format!("no arm `{name}`; see `simulate list`").into())
    }

    pub(crate) fn takes_part_in(&self, scenario: &Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario.name)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.kind == Kind::Ours
    }

    /// This arm with some settings changed.
    pub(crate) fn with(mut self, settings: &[(String, String)]) -> Self {
        self.set.extend(settings.iter().cloned());
        self
    }

    /// A client of one application of a scenario.
    pub(crate) fn client(
        &self,
        scenario: &Scenario,
        claude: Claude,
        trace: &Trace,
        seed: u64,
        nth: u64,
    ) -> Result<Client, BoxError> {
        let equal = scenario.attempt_timeout.map(|span| span.0);
        let chance = Chance::new(seed, &[2, nth]);
        let plain = |retries, then_second| {
            Client::Plain(Arc::new(Plain {
                claude: claude.clone(),
                retries,
                then_second,
                patience: equal.unwrap_or(SDK_TIMEOUT),
                chance: chance.clone().into(),
            }))
        };
        let reference = |timeouts| {
            let published = [
                ("chat", 20),
                ("summary", 10),
                ("extraction", 30),
                ("background_jobs", 5),
            ];
            let places = published.map(|(feature, places)| {
                (feature.to_owned(), scenario.compartments.unwrap_or(places))
            });
            let patience = equal.unwrap_or(SDK_TIMEOUT);
            Client::Reference(Arc::new(Reference::new(
                claude.clone(),
                trace.clone(),
                timeouts,
                patience,
                places,
                chance.clone(),
            )))
        };
        Ok(match self.kind {
            Kind::Bare => plain(0, false),
            Kind::Sdk => plain(2, false),
            Kind::SdkThenSecond => plain(2, true),
            Kind::Reference => reference(None),
            Kind::ReferenceWithTimeouts => reference(match equal {
                Some(_) => None,
                None => Some(Timeouts::new()),
            }),
            Kind::Ours => self.ours(scenario, claude, trace, seed.wrapping_add(nth))?,
        })
    }

    fn ours(
        &self,
        scenario: &Scenario,
        claude: Claude,
        trace: &Trace,
        seed: u64,
    ) -> Result<Client, BoxError> {
        let mut settings = Settings::default();
        if let Some(timeout) = scenario.attempt_timeout {
            let timeouts = settings.timeouts;
            settings.timeouts = timeouts.with_first_event(timeout.0).with_answer(timeout.0);
        }
        if let Some(places) = scenario.compartments {
            for traffic in &scenario.traffic {
                settings = settings.compartment(&traffic.feature, places);
            }
        }
        if scenario.clients > 1 {
            settings = settings.without_cache();
        }
        for (name, value) in &self.set {
            settings = settings.set(name, value)?;
        }
        let stack = settings
            .builder(&self.without)?
            .seed(seed)
            .observe(Arc::new(trace.clone()));
        let stack = if self.without.iter().any(|pattern| pattern == "fallback") {
            stack
        } else {
            stack.chain(Which::BOTH.map(Which::model))
        };
        let claude = stack.build()?.layer(claude);
        Ok(Client::Stack(Arc::new(Stack { claude })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arms_of_the_file_parse_and_none_is_there_twice() {
        let arms = Arm::all(None).unwrap();
        let names: std::collections::BTreeSet<_> = arms.iter().map(|arm| &arm.name).collect();
        assert_eq!(names.len(), arms.len());
    }
}
