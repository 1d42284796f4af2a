//! What follows from the settings, for people.

use super::{
    Config, DegradeMode, FeatureFallback, FeatureSettings,
    timeouts::AnswerTimeout,
    units::{Size, Time},
};
use crate::model_fallback::ChainModel;
use std::{fmt, iter};

/// Longer canned messages are cut.
const LONGEST_MESSAGE: usize = 32;

/// The policy that follows from a [`Config`], settled to the last feature, as text of some twenty lines. From
/// [`Config::resolved`].
#[derive(Debug, Clone, Copy)]
pub struct Resolved<'c> {
    config: &'c Config,
}

impl Config {
    /// What follows from the settings, to be printed:
    ///
    /// ```text
    /// calls      http://127.0.0.1:8787 ▸ https://api.anthropic.com/
    /// operators  http://127.0.0.1:8788
    /// …
    /// feature          in flight  queue  wait  deadline  models          if none answers
    /// default                 64    128    2s       10m  as above        "I'm experiencing issues right no…"
    /// background_jobs          5    500    1m       30m  as above        an error
    /// ```
    pub fn resolved(&self) -> Resolved<'_> {
        Resolved { config: self }
    }
}

impl fmt::Display for Resolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, text) in self.lines() {
            writeln!(f, "{label:<9}  {text}")?;
        }
        writeln!(f)?;
        self.table(f)
    }
}

impl Resolved<'_> {
    fn lines(self) -> Vec<(&'static str, String)> {
        let config = self.config;
        let (timeouts, backoff, circuit) = (&config.timeouts, &config.backoff, &config.circuit);
        let mut lines = vec![
            (
                "calls",
                format!("http://{} ▸ {}", config.listen, config.upstream),
            ),
            ("operators", format!("http://{}", config.admin)),
            ("keys", self.keys()),
            (
                "a call",
                format!(
                    "{} to its answer · {} of body",
                    Time(config.deadline),
                    Size(config.max_body)
                ),
            ),
            (
                "all calls",
                format!(
                    "{} in flight · {} held · {} to drain · dropped when they read nothing for {}",
                    config.max_in_flight,
                    Size(config.max_held),
                    Time(config.drain),
                    Time(timeouts.slow_reader),
                ),
            ),
            (
                "attempt",
                format!(
                    "connected in {} · first event in {} + 1s per 50KiB sent · idle {} · whole answer {}",
                    Time(timeouts.connect),
                    Time(timeouts.first_event),
                    Time(timeouts.idle),
                    match timeouts.answer {
                        AnswerTimeout::Auto => "by its max_tokens".to_owned(),
                        AnswerTimeout::Fixed(answer) => format!("in {}", Time(answer)),
                    },
                ),
            ),
            (
                "backoff",
                format!(
                    "{} attempts, {} while another model waits · {} · 2ⁿ up to {}, ± {} % · retries for {} % of calls",
                    backoff.attempts,
                    backoff.attempts_with_fallback,
                    Time(backoff.base),
                    Time(backoff.cap),
                    percent(backoff.jitter),
                    percent(backoff.budget),
                ),
            ),
            (
                "circuit",
                format!(
                    "opens after {} failures in a row, or {} % of {} calls, within {} · for {}, × {} up to {}",
                    circuit.consecutive,
                    percent(circuit.rate),
                    circuit.min_calls,
                    Time(circuit.window),
                    Time(circuit.cooldown),
                    circuit.growth,
                    Time(circuit.max_cooldown()),
                ),
            ),
            (
                "",
                format!(
                    "closes after {} good probe{}, the load comes back in {}",
                    circuit.probes,
                    if circuit.probes.get() == 1 { "" } else { "s" },
                    Time(circuit.ramp),
                ),
            ),
        ];
        let labels = iter::once("fallback").chain(iter::repeat(""));
        let chains = config.fallback.chains.iter();
        lines.extend(labels.zip(chains.map(|chain| chain_text(chain))));
        if config.fallback.chains.is_empty() {
            lines.push(("fallback", "no chains".to_owned()));
        }
        lines.push(("cache", self.cache()));
        lines
    }

    fn keys(self) -> String {
        let Some(auth) = &self.config.auth else {
            return "the callers' own".to_owned();
        };
        let served = ["messages", "count_tokens", "models"];
        let also = auth.also.iter().map(String::as_str);
        let served: Vec<_> = served.into_iter().chain(also).collect();
        format!(
            "upstream ${} · callers ${} · for {}",
            auth.api_key_env,
            auth.tokens_env,
            served.join(", ")
        )
    }

    fn cache(self) -> String {
        let cache = &self.config.cache;
        if cache.store().is_none() {
            return "none".to_owned();
        }
        format!("{} · {}", Size(cache.max_bytes), Time(cache.ttl))
    }

    fn table(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "feature",
            "in flight",
            "queue",
            "wait",
            "deadline",
            "models",
            "if none answers",
        ];
        let features = &self.config.features;
        let named = features.named.iter();
        let named = named.map(|(name, settings)| self.row(name.as_str(), settings));
        let default = self.row("default", &features.default);
        let rows: Vec<_> = [head.map(str::to_owned), default]
            .into_iter()
            .chain(named)
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..head.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                // Numbers to the right.
                1..=4 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }

    fn row(self, name: &str, settings: &FeatureSettings) -> [String; 7] {
        [
            name.to_owned(),
            settings.in_flight.to_string(),
            settings.queue.to_string(),
            Time(settings.wait).to_string(),
            Time(settings.deadline.unwrap_or(self.config.deadline)).to_string(),
            match &settings.fallback {
                FeatureFallback::Chains => "as above".to_owned(),
                FeatureFallback::None => "no other".to_owned(),
                FeatureFallback::Own(chain) => chain_text(chain),
            },
            match settings.degrade {
                DegradeMode::Error => "an error".to_owned(),
                DegradeMode::Answer => message_text(&settings.message),
            },
        ]
    }
}

fn chain_text(chain: &[ChainModel]) -> String {
    let models = chain.iter().map(|entry| match entry.max_tokens() {
        Some(most) => format!("{} (≤ {most} tokens)", entry.name()),
        None => entry.name().to_owned(),
    });
    models.collect::<Vec<_>>().join(" ▸ ")
}

fn message_text(message: &str) -> String {
    let cut: String = message.chars().take(LONGEST_MESSAGE).collect();
    if cut.len() < message.len() {
        format!("{:?}", format!("{}…", cut.trim_end()))
    } else {
        format!("{message:?}")
    }
}

/// Without the dust of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 10_000.0).round() / 100.0
}
