//! `[fallback]`

use super::{
    checks::Checks,
    form::{TEXT, whole},
    reader::{Findings, Node, Reader},
};
use crate::model_fallback::ChainModel;
use std::collections::HashSet;
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
    pub chains: Vec<Vec<ChainModel>>,
}

impl Default for FallbackSettings {
    fn default() -> Self {
        let chain = ["claude-sonnet-5-5", "claude-haiku-5-5"];
        Self {
            chains: vec![chain.map(ChainModel::new).into()],
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

/// `None`: it is no array of models.
pub(super) fn read_chain(node: &Node<'_>, findings: &mut Findings) -> Option<Vec<ChainModel>> {
    let Some(models) = node.items() else {
        findings.refuse(node, CHAIN_IS, false);
        return None;
    };
    // All of them, so that each that is misread is told.
    let models: Vec<_> = models.map(|model| read_model(&model, findings)).collect();
    models.into_iter().collect()
}

fn read_model(node: &Node<'_>, findings: &mut Findings) -> Option<ChainModel> {
    match node.value() {
        DeValue::String(name) => Some(ChainModel::new(name.as_ref())),
        DeValue::Table(_) => {
            let (mut name, mut max_tokens) = (None, None);
            findings.table_of(node, |reader| {
                name = reader.get("model", &TEXT);
                max_tokens = reader.get("max_tokens", &whole("a whole number, at least 1"));
            });
            if name.is_none() {
                findings.refuse(node, MODEL_IS, false);
            }
            name.map(|name| match max_tokens {
                Some(most) => ChainModel::new(name).with_max_tokens(most),
                None => ChainModel::new(name),
            })
        }
        _ => {
            findings.refuse(node, MODEL_IS, false);
            None
        }
    }
}

pub(super) fn check_chain(key: &str, chain: &[ChainModel], checks: &mut Checks) {
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
        let name = entry.name();
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
        let value = format!("a chain with max_tokens 0 of {name:?}");
        let bound = "chains with max_tokens of at least 1";
        checks.must(entry.max_tokens() != Some(0), key, value, bound);
    }
}
