//! Which models may stand in for which: chains, and the way of a call along one.

use crate::{call::Feature, error::BuildError};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// Models of one chain; a call counts those before it in a byte.
const MOST_MODELS: usize = 255;

/// One model of a chain.
///
/// ```
/// use tower_claude::model_fallback::{ChainModel, ModelFallbackLayer};
///
/// let layer = ModelFallbackLayer::new().with_chain([
///     ChainModel::new("claude-sonnet-5-5"),
///     ChainModel::new("claude-haiku-5-5").with_max_tokens(8192),
/// ]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainModel {
    pub(super) name: Arc<str>,
    pub(super) max_tokens: Option<u64>,
}

impl ChainModel {
    /// The model of this name, as it stands in a request.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            max_tokens: None,
        }
    }

    /// The most `max_tokens` that this model allows, at least 1: a request that falls back to it and asks for more is
    /// lowered to this. Default: as the request says. What the caller addresses to this model itself is not touched.
    #[must_use]
    pub fn with_max_tokens(mut self, max_tokens: u64) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most `max_tokens` that it allows, if that was set.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }
}

impl From<&str> for ChainModel {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for ChainModel {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<Arc<str>> for ChainModel {
    fn from(name: Arc<str>) -> Self {
        Self::new(name)
    }
}

type Chain = Arc<[ChainModel]>;

/// The chains of a layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Chains {
    defaults: Vec<Chain>,
    /// The chains of a feature in place of those; none lets no model stand in.
    features: BTreeMap<Feature, Vec<Chain>>,
}

impl Chains {
    pub(super) fn push(&mut self, chain: Chain) {
        self.defaults.push(chain);
    }

    pub(super) fn set(&mut self, feature: Feature, chains: impl IntoIterator<Item = Chain>) {
        self.features.insert(feature, chains.into_iter().collect());
    }

    /// The way of a call to `model`: the rest of the first chain of the feature, else of the defaults, that has the model.
    /// `None` where it is in no chain.
    pub(super) fn route(&self, feature: &Feature, model: &str) -> Option<Route> {
        let on = |chain: &Chain| {
            let at = chain.iter().position(|entry| &*entry.name == model)?;
            Some(Route {
                chain: Arc::clone(chain),
                at: u32::try_from(at).ok()?,
                hop: 0,
            })
        };
        let own = self.features.get(feature);
        own.unwrap_or(&self.defaults).iter().find_map(on)
    }

    fn all(&self) -> impl Iterator<Item = &Chain> {
        let features = self.features.values().flatten();
        self.defaults.iter().chain(features)
    }

    /// Every model of every chain, once, by name.
    pub(super) fn models(&self) -> Vec<Arc<str>> {
        let names: BTreeSet<_> = self
            .all()
            .flat_map(|chain| chain.iter().map(|entry| Arc::clone(&entry.name)))
            .collect();
        names.into_iter().collect()
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        for chain in &self.defaults {
            check(chain, "model_fallback.chain")?;
        }
        for (feature, chains) in &self.features {
            for chain in chains {
                check(chain, &format!("model_fallback.feature_chain.{feature}"))?;
            }
        }
        Ok(())
    }
}

fn check(chain: &[ChainModel], field: &str) -> Result<(), BuildError> {
    if chain.is_empty() {
        return Err(BuildError::new(field, "empty", "at least one model"));
    }
    if chain.len() > MOST_MODELS {
        let value = format!("{} models long", chain.len());
        let bound = format!("at most {MOST_MODELS} models long");
        return Err(BuildError::new(field, value, bound));
    }
    let mut names = HashSet::new();
    for entry in chain {
        if entry.name.is_empty() {
            return Err(BuildError::new(field, "\"\"", "the name of a model"));
        }
        if !names.insert(&entry.name) {
            let value = format!("\"{}\" twice", entry.name);
            return Err(BuildError::new(field, value, "each model once"));
        }
        if entry.max_tokens == Some(0) {
            let field = format!("{field}.{}.max_tokens", entry.name);
            return Err(BuildError::new(field, 0, "at least 1"));
        }
    }
    Ok(())
}

/// Where a call stands in its chain.
#[derive(Debug, Clone)]
pub(super) struct Route {
    chain: Chain,
    at: u32,
    hop: u8,
}

impl Route {
    /// The model that is asked.
    pub(super) fn model(&self) -> Option<&ChainModel> {
        self.chain.get(self.at as usize)
    }

    /// Models after it.
    pub(super) fn models_left(&self) -> u8 {
        let left = self.chain.len().saturating_sub(self.at as usize + 1);
        u8::try_from(left).unwrap_or(u8::MAX)
    }

    /// Models that were asked before it.
    pub(super) fn hop(&self) -> u8 {
        self.hop
    }

    /// Goes on to the next model.
    pub(super) fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
        self.hop = self.hop.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(models: &[&str]) -> Chain {
        models.iter().map(|&model| model.into()).collect()
    }

    fn way(chains: &Chains, feature: &str, model: &str) -> Option<Vec<String>> {
        let mut route = chains.route(&feature.into(), model)?;
        let mut way = Vec::new();
        while let Some(entry) = route.model() {
            assert_eq!(usize::from(route.hop()), way.len());
            way.push(entry.name.to_string());
            route.advance();
        }
        Some(way)
    }

    #[test]
    fn a_call_goes_along_its_features_chain_or_the_first_one_with_its_model_from_its_model_on() {
        let mut chains = Chains::default();
        chains.push(chain(&["opus", "sonnet", "haiku"]));
        chains.push(chain(&["haiku", "sonnet"]));
        chains.push(chain(&["mini", "haiku"]));
        chains.set("chat".into(), Some(chain(&["sonnet", "opus"])));
        chains.set("code".into(), None);
        let rest = |models: &[&str]| Some(models.iter().map(ToString::to_string).collect());
        for (feature, model, expected) in [
            ("other", "opus", rest(&["opus", "sonnet", "haiku"])),
            ("other", "sonnet", rest(&["sonnet", "haiku"])),
            ("other", "haiku", rest(&["haiku"])),
            ("other", "mini", rest(&["mini", "haiku"])),
            ("other", "unheard-of", None),
            ("chat", "sonnet", rest(&["sonnet", "opus"])),
            ("chat", "haiku", None),
            ("code", "opus", None),
        ] {
            assert_eq!(way(&chains, feature, model), expected, "{feature} {model}");
        }
    }

    #[test]
    fn models_left_counts_down_to_zero_at_the_last_one() {
        let mut chains = Chains::default();
        chains.push(chain(&["a", "b", "c"]));
        let mut route = chains.route(&Feature::default(), "a").unwrap();
        for left in [2, 1, 0] {
            assert_eq!(route.models_left(), left);
            route.advance();
        }
        assert!(route.model().is_none());
        assert_eq!(route.models_left(), 0);
    }

    #[test]
    fn every_model_of_every_chain_is_listed_once() {
        let mut chains = Chains::default();
        chains.push(chain(&["b", "a"]));
        chains.set("chat".into(), Some(chain(&["c", "b"])));
        chains.set("code".into(), None);
        assert_eq!(chains.models(), ["a", "b", "c"].map(Arc::from));
    }

    #[test]
    fn a_chain_that_cannot_work_is_refused_by_field_value_and_bound() {
        let long: Vec<_> = (0..256).map(|n| ChainModel::new(n.to_string())).collect();
        let capped = [ChainModel::new("a").with_max_tokens(0)];
        for (bad, error) in [
            (
                chain(&[]),
                "model_fallback.chain is empty, but must be at least one model",
            ),
            (
                chain(&["a", ""]),
                "model_fallback.chain is \"\", but must be the name of a model",
            ),
            (
                chain(&["a", "b", "a"]),
                "model_fallback.chain is \"a\" twice, but must be each model once",
            ),
            (
                Arc::from(capped),
                "model_fallback.chain.a.max_tokens is 0, but must be at least 1",
            ),
            (
                Arc::from(long),
                "model_fallback.chain is 256 models long, but must be at most 255 models long",
            ),
        ] {
            let mut chains = Chains::default();
            chains.push(Arc::clone(&bad));
            assert_eq!(chains.check().unwrap_err().to_string(), error);
            let mut chains = Chains::default();
            chains.set("chat".into(), Some(bad));
            let field = chains.check().unwrap_err().field().to_owned();
            assert!(field.starts_with("model_fallback.feature_chain.chat"));
        }
    }
}
