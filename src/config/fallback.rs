//! `[fallback]`

use super::{
    checks::Checks,
    form::{self, TEXT},
    reader::{Findings, Node, Reader},
};
use crate::model_fallback::ChainModel;
use std::{collections::HashSet, num::NonZeroU64};
use toml::de::DeValue;

/// A call counts the models before its own in a byte.
const MOST_MODELS: usize = 255;

const CHAINS_ARE: &str =
    "an array of chains, such as [[\"claude-sonnet-5-5\", \"claude-haiku-5-5\"]]";
const CHAIN_IS: &str = "a chain, such as [\"claude-sonnet-5-5\", \"claude-haiku-5-5\"]";
const MODEL_IS: &str = "the name of a model, or { model = \"…\", max_tokens = 8192 }";

/// Which models stand in for which. See [`model_fallback`](crate::model_fallback).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackSettings {
    /// The chains, best model first; of several, the first that has the model of a call is its chain. Default: sonnet,
    /// then haiku. Empty: no fallback.
    pub chains: Vec<Vec<ModelSettings>>,
}

/// A model of a chain: its name, or `{ model = "…", max_tokens = 8192 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelSettings {
    /// As it stands in a request.
    pub model: String,
    /// The most `max_tokens` it is asked for when it stands in. Default: as the request says.
    pub max_tokens: Option<NonZeroU64>,
}

impl ModelSettings {
    /// The model of this name.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            max_tokens: None,
        }
    }
}

impl Default for FallbackSettings {
    fn default() -> Self {
        let chain = ["claude-sonnet-5-5", "claude-haiku-5-5"];
        Self {
            chains: vec![chain.map(ModelSettings::new).into()],
        }
    }
}

impl FallbackSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        let Some(node) = reader.node("chains") else {
            return;
        };
        match node.items() {
            None => reader.findings.refuse(&node, CHAINS_ARE, false),
            Some(chains) => {
                self.chains = chains
                    .filter_map(|chain| read_chain(&chain, reader.findings))
                    .collect();
            }
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        for chain in &self.chains {
            check_chain("fallback.chains", chain, checks);
        }
    }
}

/// `None`: it is no array.
pub(super) fn read_chain(node: &Node<'_>, findings: &mut Findings) -> Option<Vec<ModelSettings>> {
    let Some(models) = node.items() else {
        findings.refuse(node, CHAIN_IS, false);
        return None;
    };
    Some(
        models
            .filter_map(|model| read_model(&model, findings))
            .collect(),
    )
}

fn read_model(node: &Node<'_>, findings: &mut Findings) -> Option<ModelSettings> {
    match node.value() {
        DeValue::String(name) => Some(ModelSettings::new(name.as_ref())),
        DeValue::Table(_) => {
            let (mut name, mut max_tokens) = (None, None);
            findings.table_of(node, |reader| {
                name = reader.get("model", &TEXT);
                max_tokens =
                    reader.get("max_tokens", &form::positive("a whole number, at least 1"));
            });
            if name.is_none() {
                findings.refuse(node, MODEL_IS, false);
            }
            name.map(|model| ModelSettings { model, max_tokens })
        }
        _ => {
            findings.refuse(node, MODEL_IS, false);
            None
        }
    }
}

pub(super) fn check_chain(key: &str, chain: &[ModelSettings], checks: &mut Checks) {
    checks.must(
        !chain.is_empty(),
        key,
        "an empty chain",
        "chains of at least one model",
    );
    let length = format!("a chain of {} models", chain.len());
    let bound = format!("chains of at most {MOST_MODELS} models");
    checks.must(chain.len() <= MOST_MODELS, key, length, bound);
    let mut names = HashSet::new();
    for entry in chain {
        let name = &entry.model;
        checks.must(
            !name.is_empty(),
            key,
            "a chain with \"\"",
            "chains of models with a name",
        );
        let value = format!("a chain with {name:?} twice");
        checks.must(
            names.insert(name),
            key,
            value,
            "chains with each model once",
        );
    }
}

pub(super) fn chain_models(chain: &[ModelSettings]) -> Vec<ChainModel> {
    let model = |entry: &ModelSettings| {
        let model = ChainModel::new(entry.model.as_str());
        match entry.max_tokens {
            Some(max_tokens) => model.with_max_tokens(max_tokens.get()),
            None => model,
        }
    };
    chain.iter().map(model).collect()
}
