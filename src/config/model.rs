//! The settings, as plain values.

use crate::{call::Feature, degrade::DegradePolicy, model_fallback::ChainModel};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// Everything a configuration says. See the [module docs](super).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Where the proxy listens. Default `127.0.0.1:8787`.
    pub listen: SocketAddr,
    /// Where its admin listener listens. Default `127.0.0.1:8788`.
    pub admin: SocketAddr,
    /// Scheme and host of the API, and a path to put before each, if any. Default `https://api.anthropic.com`.
    pub upstream: String,
    /// By when a call must have an answer. Default 10 min.
    pub deadline: Duration,
    /// The largest request body, in bytes. Default 32 MiB.
    pub max_body: u64,
    /// The most calls in the proxy at once. Default 1,024.
    pub max_in_flight: usize,
    /// The most bytes of requests and held answers in the proxy at once. Default 512 MiB.
    pub max_held: u64,
    /// How long streams may go on at shutdown. Default 30 s.
    pub drain: Duration,
    /// The timeouts of one attempt.
    pub timeouts: TimeoutSettings,
    /// Retries.
    pub backoff: BackoffSettings,
    /// Circuits.
    pub circuit: CircuitSettings,
    /// The chains of models that calls fall back along. Default sonnet to haiku.
    pub chains: Vec<Vec<ChainModel>>,
    /// The features by name; there is always one named `default`.
    pub features: BTreeMap<String, FeatureSettings>,
    /// The cache of answers.
    pub cache: CacheSettings,
    /// The key that the proxy holds, if it does.
    pub auth: Option<AuthSettings>,
}

/// The timeouts of one attempt: `[timeouts]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeoutSettings {
    /// Until a connection stands. Default 5 s.
    pub connect: Duration,
    /// Until the first content of a stream, for an empty request. Default 15 s.
    pub first_event: Duration,
    /// Between events. Default 30 s.
    pub idle: Duration,
    /// Until a whole JSON answer. `None` (`"auto"`, the default): by its `max_tokens`.
    pub answer: Option<Duration>,
    /// How long a caller may read nothing. Default 60 s.
    pub slow_reader: Duration,
}

/// Retries: `[backoff]`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BackoffSettings {
    /// Attempts at the last model of a chain. Default 5.
    pub attempts: u8,
    /// Attempts where another model waits. Default 2.
    pub attempts_with_fallback: u8,
    /// The first delay. Default 1 s.
    pub base: Duration,
    /// The longest delay. Default 30 s.
    pub cap: Duration,
    /// The share by which delays vary, from 0 to 1. Default 0.25.
    pub jitter: f64,
    /// Retries in percent of the calls. Default 20 (`budget = 0.2`).
    pub budget_percent: u32,
}

/// Circuits: `[circuit]`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CircuitSettings {
    /// Failures in a row that open one. Default 5.
    pub consecutive: u32,
    /// The window of both triggers. Default 60 s.
    pub window: Duration,
    /// The share of failures that opens one. Default 0.5.
    pub rate: f64,
    /// Of at least so many calls. Default 20.
    pub min_calls: u32,
    /// Until the first probe. Default 60 s.
    pub cooldown: Duration,
    /// What that grows by while probes fail. Default 1.5.
    pub growth: f64,
    /// Probes at once. Default 1.
    pub probes: u32,
    /// How long the load takes to come back. Default 30 s.
    pub ramp: Duration,
}

/// One feature: `[features.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureSettings {
    /// Calls in flight per model.
    pub in_flight: usize,
    /// Calls that may wait for a place.
    pub queue: usize,
    /// How long they may wait.
    pub wait: Duration,
    /// Which models answer when the one that was asked does not.
    pub fallback: FallbackChoice,
    /// Whether a failure gets a degraded answer; else a clean error.
    pub answers: bool,
    /// The canned message.
    pub message: String,
    /// A deadline of its own.
    pub deadline: Option<Duration>,
}

/// The chain of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FallbackChoice {
    /// The chains of `[fallback]`.
    Chains,
    /// None: a worse model's answer would be worse than none.
    Off,
    /// One of its own.
    Own(Vec<ChainModel>),
}

/// The cache of answers: `[cache]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// Its size in bytes; 0: no cache. Default 64 MiB.
    pub max_bytes: u64,
    /// How long an answer is kept. Default 1 h.
    pub ttl: Duration,
}

/// The proxy's own key: `[auth]`. Names of environment variables only; no secret stands in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthSettings {
    /// The variable that holds the key. Default `ANTHROPIC_API_KEY`.
    pub api_key_env: String,
    /// The variable that holds the tokens of the callers, comma separated. Default `CLAUDE_PROXY_TOKENS`.
    pub tokens_env: String,
    /// Paths that are served besides messages, `count_tokens` and models. Default none.
    pub also: Vec<String>,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Default for FeatureSettings {
    fn default() -> Self {
        Self {
            in_flight: 64,
            queue: 128,
            wait: secs(2),
            fallback: FallbackChoice::Chains,
            answers: true,
            message: DegradePolicy::DEFAULT_MESSAGE.to_owned(),
            deadline: None,
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            api_key_env: "ANTHROPIC_API_KEY".to_owned(),
            tokens_env: "CLAUDE_PROXY_TOKENS".to_owned(),
            also: Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8788)),
            upstream: "https://api.anthropic.com".to_owned(),
            deadline: secs(600),
            max_body: 32 << 20,
            max_in_flight: 1024,
            max_held: 512 << 20,
            drain: secs(30),
            timeouts: TimeoutSettings {
                connect: secs(5),
                first_event: secs(15),
                idle: secs(30),
                answer: None,
                slow_reader: secs(60),
            },
            backoff: BackoffSettings {
                attempts: 5,
                attempts_with_fallback: 2,
                base: secs(1),
                cap: secs(30),
                jitter: 0.25,
                budget_percent: 20,
            },
            circuit: CircuitSettings {
                consecutive: 5,
                window: secs(60),
                rate: 0.5,
                min_calls: 20,
                cooldown: secs(60),
                growth: 1.5,
                probes: 1,
                ramp: secs(30),
            },
            chains: vec![vec!["claude-sonnet-5-5".into(), "claude-haiku-5-5".into()]],
            features: resolve(BTreeMap::new()),
            cache: CacheSettings {
                max_bytes: 64 << 20,
                ttl: secs(3600),
            },
            auth: None,
        }
    }
}

/// What a table of a feature says; what it leaves out, the feature has from `default`.
#[derive(Debug, Clone, Default)]
pub(super) struct FeatureTable {
    pub(super) in_flight: Option<usize>,
    pub(super) queue: Option<usize>,
    pub(super) wait: Option<Duration>,
    pub(super) fallback: Option<FallbackChoice>,
    pub(super) answers: Option<bool>,
    pub(super) message: Option<String>,
    pub(super) deadline: Option<Duration>,
}

impl FeatureTable {
    /// What the features that come with the crate say.
    pub(super) fn built_in(name: &str) -> Option<Self> {
        let seats = |in_flight| Self {
            in_flight: Some(in_flight),
            ..Self::default()
        };
        match name {
            Feature::DEFAULT => Some(Self::default()),
            "chat" => Some(seats(20)),
            "summary" => Some(seats(10)),
            "extraction" => Some(seats(30)),
            "background_jobs" => Some(Self {
                queue: Some(500),
                wait: Some(secs(60)),
                answers: Some(false),
                deadline: Some(secs(30 * 60)),
                ..seats(5)
            }),
            "code" => Some(Self {
                fallback: Some(FallbackChoice::Off),
                answers: Some(false),
                ..seats(10)
            }),
            _ => None,
        }
    }

    fn over(self, below: &FeatureSettings) -> FeatureSettings {
        let queue = match (self.queue, self.in_flight) {
            (Some(queue), _) => queue,
            (None, Some(in_flight)) => in_flight.saturating_mul(2).min(MAX_QUEUE),
            (None, None) => below.queue,
        };
        FeatureSettings {
            in_flight: self.in_flight.unwrap_or(below.in_flight),
            queue,
            wait: self.wait.unwrap_or(below.wait),
            fallback: self.fallback.unwrap_or_else(|| below.fallback.clone()),
            answers: self.answers.unwrap_or(below.answers),
            message: self.message.unwrap_or_else(|| below.message.clone()),
            deadline: self.deadline.or(below.deadline),
        }
    }
}

/// The longest queue that a compartment takes.
pub(super) const MAX_QUEUE: usize = 100_000;

const BUILT_IN: [&str; 5] = ["chat", "summary", "extraction", "background_jobs", "code"];

/// The features that tables describe, and those that come with the crate.
pub(super) fn resolve(
    mut tables: BTreeMap<String, FeatureTable>,
) -> BTreeMap<String, FeatureSettings> {
    let default = tables.remove(Feature::DEFAULT).unwrap_or_default();
    let default = default.over(&FeatureSettings::default());
    for name in BUILT_IN {
        if let Some(built_in) = FeatureTable::built_in(name) {
            tables.entry(name.to_owned()).or_insert(built_in);
        }
    }
    let mut features: BTreeMap<_, _> = tables
        .into_iter()
        .map(|(name, table)| (name, table.over(&default)))
        .collect();
    features.insert(Feature::DEFAULT.to_owned(), default);
    features
}
