//! From the text of a file to a [`Config`].

use super::{
    error::ConfigError,
    model::{AuthSettings, Config, FallbackChoice, FeatureTable, MAX_QUEUE, resolve},
    reader::{Reader, Source, integer},
    units,
};
use crate::model_fallback::ChainModel;
use std::{collections::BTreeMap, path::Path, time::Duration};
use toml::de::{DeTable, DeValue};

const MAX_FEATURES: usize = 1000;

impl Config {
    /// Reads a configuration from the text of a file; `file` is its name in errors.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: text that is no TOML, an unknown key (with the nearest known one), a value of the
    /// wrong type or out of its bounds.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let source = Source { file, text };
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map(|span| source.line(span.start));
            ConfigError::new(file, line, "", format!("is no TOML: {}", error.message()))
        })?;
        let mut config = Self::default();
        let reader = Reader::new(source, "", table.get_ref());
        config.read(&reader)?;
        reader.finish()?;
        config.check(file)?;
        Ok(config)
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), and where the file cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(&file, None, "", format!("cannot be read: {error}"))
        })?;
        Self::from_toml(&text, &file)
    }

    /// What no single field can tell: whether the stack can be built of it.
    fn check(&self, file: &str) -> Result<(), ConfigError> {
        let build = self.resilience().build();
        build.map(drop).map_err(|error| {
            let problem = format!("is {}, but must be {}", error.value(), error.bound());
            ConfigError::new(file, None, error.field(), problem)
        })
    }

    fn read(&mut self, top: &Reader<'_>) -> Result<(), ConfigError> {
        top.address("listen", &mut self.listen)?;
        top.address("admin", &mut self.admin)?;
        top.read(
            "upstream",
            &mut self.upstream,
            "an http:// or https:// URL without a query",
            |value| upstream(value.as_str()?),
        )?;
        top.duration("deadline", &mut self.deadline)?;
        top.size("max_body", &mut self.max_body)?;
        top.count("max_in_flight", &mut self.max_in_flight, 1, 1_000_000)?;
        top.size("max_held", &mut self.max_held)?;
        top.wait("drain", &mut self.drain)?;
        top.table("timeouts", |table| {
            let timeouts = &mut self.timeouts;
            table.duration("connect", &mut timeouts.connect)?;
            table.duration("first_event", &mut timeouts.first_event)?;
            table.duration("idle", &mut timeouts.idle)?;
            table.read(
                "answer",
                &mut timeouts.answer,
                "\"auto\" or a duration above 0 such as \"60s\"",
                |value| match value.as_str()? {
                    "auto" => Some(None),
                    _ => positive(value).map(Some),
                },
            )?;
            table.duration("slow_reader", &mut timeouts.slow_reader)
        })?;
        top.table("backoff", |table| {
            let backoff = &mut self.backoff;
            table.count("attempts", &mut backoff.attempts, 1, 20)?;
            table.count(
                "attempts_with_fallback",
                &mut backoff.attempts_with_fallback,
                1,
                20,
            )?;
            table.duration("base", &mut backoff.base)?;
            table.duration("cap", &mut backoff.cap)?;
            table.number("jitter", &mut backoff.jitter, 0.0, 1.0)?;
            let mut budget = f64::from(backoff.budget_percent) / 100.0;
            table.number("budget", &mut budget, 0.0, 1.0)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "from 0 to 100"
            )]
            let percent = (budget * 100.0).round() as u32;
            backoff.budget_percent = percent;
            Ok(())
        })?;
        top.table("circuit", |table| {
            let circuit = &mut self.circuit;
            table.count("consecutive", &mut circuit.consecutive, 1, 1_000)?;
            table.duration("window", &mut circuit.window)?;
            table.number("rate", &mut circuit.rate, 0.01, 1.0)?;
            table.count("min_calls", &mut circuit.min_calls, 1, 1_000_000)?;
            table.duration("cooldown", &mut circuit.cooldown)?;
            table.number("growth", &mut circuit.growth, 1.0, 10.0)?;
            table.count("probes", &mut circuit.probes, 1, 1_000)?;
            table.wait("ramp", &mut circuit.ramp)
        })?;
        top.table("fallback", |table| {
            let bound = "a list of chains, each a list of models";
            table.read("chains", &mut self.chains, bound, |value| {
                value
                    .as_array()?
                    .iter()
                    .map(|chain| chain_of(chain.get_ref()))
                    .collect()
            })
        })?;
        top.table("features", |table| {
            self.features = resolve(read_features(table)?);
            table.know_all();
            Ok(())
        })?;
        top.table("cache", |table| {
            let bound = "a size such as \"64MiB\", or \"0B\" for no cache";
            table.read("max_bytes", &mut self.cache.max_bytes, bound, |value| {
                units::size(value.as_str()?)
            })?;
            table.duration("ttl", &mut self.cache.ttl)
        })?;
        top.table("auth", |table| {
            read_auth(self.auth.get_or_insert_with(AuthSettings::default), table)
        })
    }
}

fn read_auth(auth: &mut AuthSettings, table: &Reader<'_>) -> Result<(), ConfigError> {
    table.text("api_key_env", &mut auth.api_key_env)?;
    table.text("tokens_env", &mut auth.tokens_env)?;
    let bound = "a list of paths, each beginning with \"/\"";
    table.read("also", &mut auth.also, bound, |value| {
        value
            .as_array()?
            .iter()
            .map(|path| {
                let path = path.get_ref().as_str()?;
                path.starts_with('/').then(|| path.to_owned())
            })
            .collect()
    })
}

/// `[features]`: its keys are names of the user's own.
fn read_features(table: &Reader<'_>) -> Result<BTreeMap<String, FeatureTable>, ConfigError> {
    let mut tables = BTreeMap::new();
    for (name, at, value) in table.entries() {
        let source = table.source();
        let wrong = |problem: String| {
            let line = Some(source.line(at));
            ConfigError::new(source.file, line, table.field(name), problem)
        };
        if name.is_empty() || name.len() > 64 {
            return Err(wrong("has a name that must have 1 to 64 bytes".to_owned()));
        }
        if tables.len() >= MAX_FEATURES {
            return Err(wrong(format!(
                "is one feature too many; {MAX_FEATURES} are allowed"
            )));
        }
        let Some(fields) = value.get_ref().as_table() else {
            return Err(table.wrong(name, value, "a table"));
        };
        let mut feature = FeatureTable::built_in(name).unwrap_or_default();
        let reader = Reader::new(source, table.field(name), fields);
        read_feature(&mut feature, &reader)?;
        reader.finish()?;
        tables.insert(name.to_owned(), feature);
    }
    Ok(tables)
}

fn read_feature(feature: &mut FeatureTable, table: &Reader<'_>) -> Result<(), ConfigError> {
    let mut in_flight = None;
    table.read(
        "in_flight",
        &mut in_flight,
        "a whole number from 0 to 1000000",
        |value| count(value, 1_000_000).map(Some),
    )?;
    if in_flight.is_some() {
        feature.in_flight = in_flight;
    }
    table.read(
        "queue",
        &mut feature.queue,
        "a whole number from 0 to 100000",
        |value| count(value, MAX_QUEUE).map(Some),
    )?;
    table.read(
        "wait",
        &mut feature.wait,
        "a duration such as \"2s\"",
        |value| units::duration(value.as_str()?).map(Some),
    )?;
    table.read(
        "fallback",
        &mut feature.fallback,
        "true, false, or a list of models",
        |value| match value {
            DeValue::Boolean(true) => Some(Some(FallbackChoice::Chains)),
            DeValue::Boolean(false) => Some(Some(FallbackChoice::Off)),
            value => chain_of(value).map(FallbackChoice::Own).map(Some),
        },
    )?;
    table.read(
        "degrade",
        &mut feature.answers,
        "\"answer\" or \"error\"",
        |value| match value.as_str()? {
            "answer" => Some(Some(true)),
            "error" => Some(Some(false)),
            _ => None,
        },
    )?;
    table.read(
        "message",
        &mut feature.message,
        "a text that is not blank",
        |value| {
            let text = value.as_str()?;
            (!text.trim().is_empty()).then(|| Some(text.to_owned()))
        },
    )?;
    table.read(
        "deadline",
        &mut feature.deadline,
        "a duration above 0 such as \"30m\"",
        |value| positive(value).map(Some),
    )
}

fn count(value: &DeValue<'_>, most: usize) -> Option<usize> {
    integer(value)
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number <= most)
}

fn positive(value: &DeValue<'_>) -> Option<Duration> {
    units::duration(value.as_str()?).filter(|time| !time.is_zero())
}

fn chain_of(value: &DeValue<'_>) -> Option<Vec<ChainModel>> {
    value
        .as_array()?
        .iter()
        .map(|model| model_of(model.get_ref()))
        .collect()
}

/// `"claude-haiku-5-5"` or `{ model = "claude-haiku-5-5", max_tokens = 8192 }`.
fn model_of(value: &DeValue<'_>) -> Option<ChainModel> {
    if let Some(name) = value.as_str() {
        return Some(name.into());
    }
    let table = value.as_table()?;
    let model = ChainModel::from(table.get("model")?.get_ref().as_str()?);
    match (table.get("max_tokens"), table.len()) {
        (None, 1) => Some(model),
        (Some(max), 2) => {
            Some(model.with_max_tokens(integer(max.get_ref()).filter(|max| *max > 0)?))
        }
        _ => None,
    }
}

/// Scheme and host, with a path before each of the API's if need be; without the slash at the end.
fn upstream(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && uri.authority().is_some() && uri.query().is_none())
        .then(|| text.trim_end_matches('/').to_owned())
}
