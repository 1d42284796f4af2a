//! The configuration file: its defaults, what it refuses and how it says so.

mod common;

use common::{Act, HAIKU, SONNET, Upstream, request};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;
use tower::Layer;
use tower_claude::{
    Feature, Outcome, Served,
    config::{AnswerTimeout, AuthSettings, Config, ConfigError, DegradeMode, FeatureFallback},
};

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml(text, "proxy.toml")
}

fn refusal(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_and_the_printed_one_are_the_defaults() {
    assert_eq!(read("").unwrap(), Config::default());
    assert_eq!(read(Config::DEFAULT_TOML).unwrap(), Config::default());
    Config::default().resilience().unwrap().build().unwrap();
}

/// What is commented out in the printed file is shown for people to switch on.
#[test]
fn what_the_printed_file_has_commented_out_can_be_switched_on() {
    let on = |line: &str| {
        [
            "# [auth]",
            "# api_key_env",
            "# tokens_env",
            "# also",
            "# deadline",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let lines = Config::DEFAULT_TOML
        .lines()
        .map(|line| if on(line) { &line[2..] } else { line });
    let config = read(&lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(config.auth, Some(AuthSettings::default()));
    assert_eq!(
        config.features.default.deadline,
        Some(Duration::from_secs(600))
    );
}

/// Each key of the printed file, changed alone, changes the configuration: none is read into the void.
#[test]
fn no_key_is_without_effect() {
    for text in [
        "listen = '127.0.0.1:1'",
        "admin = '127.0.0.1:1'",
        "upstream = 'http://localhost:9/base'",
        "deadline = '9m'",
        "max_body = '1MiB'",
        "max_in_flight = 7",
        "max_held = '64MiB'",
        "drain = '0s'",
        "timeouts.connect = '1s'",
        "timeouts.first_event = '1s'",
        "timeouts.idle = '1s'",
        "timeouts.answer = '1s'",
        "timeouts.slow_reader = '1s'",
        "backoff.attempts = 1",
        "backoff.attempts_with_fallback = 1",
        "backoff.base = '2s'",
        "backoff.cap = '2s'",
        "backoff.jitter = 1",
        "backoff.budget = 0.07",
        "circuit.consecutive = 9",
        "circuit.window = '1s'",
        "circuit.rate = 1",
        "circuit.min_calls = 9",
        "circuit.cooldown = '1h'",
        "circuit.growth = 1",
        "circuit.probes = 2",
        "circuit.ramp = '0s'",
        "fallback.chains = []",
        "features.default.in_flight = 0",
        "features.chat.queue = 0",
        "features.chat.wait = '0s'",
        "features.chat.fallback = false",
        "features.chat.degrade = 'error'",
        "features.chat.message = 'Later.'",
        "features.chat.deadline = '1s'",
        "features.new = {}",
        "cache.max_bytes = '0B'",
        "cache.ttl = '0s'",
        "auth = {}",
    ] {
        let config = read(text).unwrap();
        assert_ne!(config, Config::default(), "{text}");
        config.resilience().unwrap().build().expect(text);
    }
}

#[test]
fn a_feature_has_what_it_does_not_set_from_the_default_one() {
    let config = read(
        r#"
        [features.support]
        in_flight = 7
        [features.default]
        wait = "5s"
        message = "Later."
        fallback = ["a", { model = "b", max_tokens = 10 }]
        degrade = "error"
        [features.chat]
        degrade = "answer"
        "#,
    )
    .unwrap();
    let support = config.features.of("support");
    assert_eq!((support.in_flight, support.queue), (7, 14));
    assert_eq!(support.wait, Duration::from_secs(5));
    assert_eq!(support.message, "Later.");
    assert_eq!(support.degrade, DegradeMode::Error);
    assert!(matches!(&support.fallback, FeatureFallback::Own(chain) if chain.len() == 2));
    let chat = config.features.of("chat");
    assert_eq!((chat.in_flight, chat.queue), (20, 40), "built in");
    assert_eq!(
        (chat.degrade, &*chat.message),
        (DegradeMode::Answer, "Later.")
    );
    let jobs = config.features.of("background_jobs");
    assert_eq!((jobs.queue, jobs.wait), (500, Duration::from_secs(60)));
    assert_eq!(config.features.of("unheard-of"), &config.features.default);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    for (text, message) in [
        (
            "\nlissen = 1",
            "proxy.toml:2: unknown key lissen; did you mean \"listen\"?",
        ),
        (
            "[timeouts]\n[backof]\nattempts = 3",
            "proxy.toml:2: unknown key backof; did you mean \"backoff\"?",
        ),
        (
            "[feature.chat]",
            "proxy.toml:1: unknown key feature; did you mean \"features\"?",
        ),
        (
            "[features.chat]\nin_fligth = 3",
            "proxy.toml:2: unknown key features.chat.in_fligth; did you mean \"in_flight\"?",
        ),
        (
            "[fallback]\nchains = [[\n{ model = 'a', max_token = 3 }]]",
            "proxy.toml:3: unknown key fallback.chains[0][0].max_token; did you mean \"max_tokens\"?",
        ),
        (
            "[cache]\nsimilar = true",
            "proxy.toml:2: unknown key cache.similar; known are max_bytes, ttl",
        ),
        (
            "auth.'a b\\n' = 1",
            "proxy.toml:1: unknown key auth.\"a b\\\\n\"; known are api_key_env, tokens_env, also",
        ),
    ] {
        assert_eq!(refusal(text), message);
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_line_field_value_and_bound() {
    for (text, message) in [
        (
            "deadline = 10",
            ":1: deadline is 10, but must be a duration, such as \"500ms\", \"5s\" or \"1m30s\"",
        ),
        (
            "\n\nmax_body = \"32 megabytes\"",
            ":3: max_body is \"32 megabytes\", but must be a size, such as \"64KiB\", \"32MiB\" or \"1GiB\"",
        ),
        (
            "listen = \"localhost\"",
            ":1: listen is \"localhost\", but must be an address and a port, such as \"127.0.0.1:8787\"",
        ),
        ("timeouts = 3", ":1: timeouts is 3, but must be a table"),
        (
            "[backoff]\nattempts = 0",
            ":2: backoff.attempts is 0, but must be a whole number from 1 to 20",
        ),
        (
            "[backoff]\nattempts = 21",
            ":2: backoff.attempts is 21, but must be a whole number from 1 to 20",
        ),
        (
            "[backoff]\nattempts = [1]",
            ":2: backoff.attempts is an array, but must be a whole number from 1 to 20",
        ),
        (
            "[backoff]\njitter = 1.5",
            ":2: backoff.jitter is 1.5, but must be a number from 0 to 1",
        ),
        (
            "[backoff]\njitter = nan",
            ":2: backoff.jitter is nan, but must be a number",
        ),
        (
            "[backoff]\nbudget = 0.125",
            ":2: backoff.budget is 0.125, but must be a number from 0 to 1, in hundredths",
        ),
        (
            "[backoff]\n\nbase = '40s'",
            ":3: backoff.cap is 30s, but must be at least backoff.base, 40s",
        ),
        (
            "deadline = '10s'",
            ":1: timeouts.first_event is 15s, but must be at most deadline, 10s",
        ),
        (
            "timeouts.answer = '1m'\n[features.default]\ndeadline = '30s'",
            ":1: timeouts.answer is 1m, but must be at most features.default.deadline, 30s",
        ),
        (
            "[circuit]\nconsecutive = 1001",
            ":2: circuit.consecutive is 1001, but must be at most 1000",
        ),
        (
            "[circuit]\nrate = 0",
            ":2: circuit.rate is 0, but must be above 0 and at most 1",
        ),
        (
            "[fallback]\nchains = ['a', 'b']",
            ":2: fallback.chains[0] is \"a\", but must be a chain, such as [\"claude-sonnet-5-5\", \"claude-haiku-5-5\"]\n\
             proxy.toml:2: fallback.chains[1] is \"b\", but must be a chain, such as [\"claude-sonnet-5-5\", \"claude-haiku-5-5\"]",
        ),
        (
            "[fallback]\nchains = [['a', 'a']]",
            ":2: fallback.chains is a chain with \"a\" twice, but must be chains with each model once",
        ),
        (
            "[features]\nchat = 3",
            ":2: features.chat is 3, but must be a table",
        ),
        (
            "[features.chat]\nfallback = 'haiku'",
            ":2: features.chat.fallback is \"haiku\", but must be true, false, or a chain of its own, such as [\"claude-opus-4-8\"]",
        ),
        (
            "[features.chat]\ndegrade = 'warn'",
            ":2: features.chat.degrade is \"warn\", but must be \"answer\" or \"error\"",
        ),
        (
            "[features.chat]\nmessage = ' '",
            ":2: features.chat.message is \" \", but must be a text with at least one letter",
        ),
        (
            "[features.chat]\nwait = '2h'",
            ":2: features.chat.wait is 2h, but must be at most 1h",
        ),
        (
            "max_held = '1MiB'",
            ":1: max_held is 1MiB, but must be at least max_body, 32MiB",
        ),
        (
            "admin = '127.0.0.1:8787'",
            ":1: admin is 127.0.0.1:8787, but must be another address than listen",
        ),
    ] {
        assert_eq!(refusal(text), format!("proxy.toml{message}"), "{text}");
    }
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_order() {
    let error = read("drain = 1\n[circuit]\nrate = 2\nramp = 3\n[x]").unwrap_err();
    let lines: Vec<_> = error
        .problems()
        .iter()
        .map(tower_claude::config::Problem::line)
        .collect();
    assert_eq!(lines, [Some(1), Some(3), Some(4), Some(5)]);
    assert_eq!(error.problems()[1].key(), Some("circuit.rate"));
    let many = (0..999).fold("[circuit]\n".to_owned(), |text, n| {
        text + &format!("k{n} = 1\n")
    });
    assert_eq!(read(&many).unwrap_err().problems().len(), 50);
}

#[test]
fn the_name_of_a_feature_is_told_as_the_file_writes_it() {
    for (text, message) in [
        (
            "[features.'a.b']\nwait = '2h'",
            ":2: features.\"a.b\".wait is 2h, but must be at most 1h",
        ),
        (
            "[features]\n'a b' = {}",
            ":2: features.\"a b\" is named \"a b\", but must be named with 1 to 128 visible ASCII characters",
        ),
    ] {
        assert_eq!(refusal(text), format!("proxy.toml{message}"), "{text}");
    }
}

/// Neither by its depth nor by its length.
#[test]
fn a_monstrous_file_is_refused_in_no_time() {
    for text in [
        format!("[features.'{}']\nwait = '2h'", ".".repeat(1 << 20)),
        format!("x = {}", "[".repeat(1 << 16)),
        format!("{}x = 1", "a.".repeat(1 << 16)),
        format!("listen = '{}'", "x".repeat(1 << 20)),
        "[features]\n".to_owned() + &"'.' = 1\n".repeat(1 << 14),
    ] {
        assert!(refusal(&text).len() < 8_000);
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let message = refusal("listen = '127.0.0.1:1'\ndeadline = \n");
    assert!(message.starts_with("proxy.toml:2: "), "{message}");
    assert!(refusal("[circuit]\n[circuit]").starts_with("proxy.toml:2: "));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load("no/such/file.toml").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such/file.toml: cannot be read: ")
    );
    assert_eq!(error.problems()[0].line(), None);
}

#[test]
fn a_file_without_an_end_is_refused() {
    let path = std::env::temp_dir().join(format!("tower-claude-{}.toml", std::process::id()));
    std::fs::write(&path, "#".repeat(1 << 20)).unwrap();
    assert!(Config::load(&path).is_ok());
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(
        error.ends_with("cannot be read: it is longer than 1 MiB"),
        "{error}"
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_and_not_shown() {
    for text in [
        "[auth]\napi_key_env = 'sk-ant-marked'",
        "[auth]\napi_key_env = { key = 'sk-ant-marked' }",
        "[auth]\ntokens_env = ['sk-ant-marked']",
        "[auth]\napi_key = 'sk-ant-marked'",
        "upstream = 'https://user:sk-ant-marked@example.com'",
        "upstream = 'https://example.com/?key=sk-ant-marked'",
        "upstream = 'sk-ant-marked'",
        "[auth]\napi_key_env = 'sk-ant-marked\n",
        "[auth]\napi_key_env = sk-ant-marked\n",
    ] {
        let error = read(text).expect_err(text);
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("marked"), "{text}: {shown}");
        }
    }
}

#[test]
fn settings_made_in_a_program_are_checked_as_those_of_a_file() {
    let mut config = Config::default();
    config.timeouts.answer = AnswerTimeout::Fixed(Duration::ZERO);
    let error = config.resilience().unwrap_err();
    assert_eq!(
        error.to_string(),
        "timeouts.answer is 0s, but must be longer than 0s and at most 1d"
    );
    assert_eq!(error.file(), None);
}

#[test]
fn the_resolved_policy_reads_as_a_table() {
    let text = r#"
        fallback.chains = [["a", { model = "b", max_tokens = 8192 }], ["c"]]
        auth.also = ["/v1/files"]
        cache.ttl = "0s"
        timeouts.answer = "2m"
        [features.x]
        fallback = ["o", "p"]
        message = "Soon."
    "#;
    assert_eq!(
        read(text).unwrap().resolved().to_string(),
        r#"calls      http://127.0.0.1:8787 ▸ https://api.anthropic.com/
operators  http://127.0.0.1:8788
keys       upstream $ANTHROPIC_API_KEY · callers $CLAUDE_PROXY_TOKENS · for messages, count_tokens, models, /v1/files
a call     10m to its answer · 32MiB of body
all calls  1024 in flight · 512MiB held · 30s to drain · dropped when they read nothing for 1m
attempt    connected in 5s · first event in 15s + 1s per 50KiB sent · idle 30s · whole answer in 2m
backoff    5 attempts, 2 while another model waits · 1s · 2ⁿ up to 30s, ± 25 % · retries for 20 % of calls
circuit    opens after 5 failures in a row, or 50 % of 20 calls, within 1m · for 1m, × 1.5 up to 5m
           closes after 1 good probe, the load comes back in 30s
fallback   a ▸ b (≤ 8192 tokens)
           c
cache      none

feature          in flight  queue  wait  deadline  models    if none answers
default                 64    128    2s       10m  as above  "I'm experiencing issues right no…"
background_jobs          5    500    1m       30m  as above  an error
chat                    20     40    2s       10m  as above  "I'm experiencing issues right no…"
code                    10     20    2s       10m  no other  an error
extraction              30     60    2s       10m  as above  "I'm experiencing issues right no…"
summary                 10     20    2s       10m  as above  "I'm experiencing issues right no…"
x                       64    128    2s       10m  o ▸ p     "Soon."
"#
    );
}

/// Of the configuration that `text` is: how a call of a feature to sonnet ends, the model that answered, the seconds.
async fn ends(text: &str, feature: &'static str, upstream: Upstream) -> (Outcome, String, u64) {
    let stack = read(text).unwrap().resilience().unwrap().build().unwrap();
    let mut request = request(SONNET, false);
    request.extensions_mut().insert(Feature::new(feature));
    let start = Instant::now();
    let answer = stack.layer(upstream).send(request).await.unwrap();
    let seconds = (Instant::now() - start).as_secs();
    let served = answer.extensions().get::<Served>().unwrap();
    let model = served.model.as_deref().unwrap_or_default().to_owned();
    (served.outcome, model, seconds)
}

#[tokio::test(start_paused = true)]
async fn each_feature_has_its_chains_and_stand_in_and_an_unknown_one_those_of_the_default() {
    let text = format!(
        r#"
        [backoff]
        attempts = 1
        attempts_with_fallback = 1
        [features.default]
        fallback = false
        degrade = "error"
        [features.chat]
        fallback = true
        degrade = "answer"
        [features.own]
        fallback = ["{SONNET}", "third"]
        "#
    );
    let upstream = Upstream::new(|model, _| match model {
        SONNET => Act::overloaded(),
        _ => Act::ok(),
    });
    for (feature, outcome, model) in [
        ("unheard-of", Outcome::Error, SONNET),
        ("default", Outcome::Error, SONNET),
        ("code", Outcome::Error, SONNET),
        ("chat", Outcome::Fallback, HAIKU),
        ("own", Outcome::Fallback, "third"),
    ] {
        let ends = ends(&text, feature, upstream.clone()).await;
        assert_eq!((ends.0, &*ends.1), (outcome, model), "{feature}");
    }
    let inherited = format!("features.default.fallback = ['{SONNET}', 'third']");
    let upstream = Upstream::new(|model, _| match model {
        SONNET | HAIKU => Act::overloaded(),
        _ => Act::ok(),
    });
    for feature in ["unheard-of", "chat"] {
        let ends = ends(&inherited, feature, upstream.clone()).await;
        assert_eq!(ends.1, "third", "{feature}");
    }
}

/// An attempt every 10 s, the last one where the next would not be within the deadline.
#[tokio::test(start_paused = true)]
async fn each_feature_has_its_deadline_and_an_unknown_one_that_of_the_default() {
    let text = r#"
        deadline = "2m"
        fallback.chains = []
        backoff = { attempts = 20, base = "10s", cap = "10s", jitter = 0 }
        [features.default]
        deadline = "40s"
        [features.chat]
        deadline = "50s"
    "#;
    let upstream = Upstream::always(Act::overloaded());
    for (feature, last) in [
        ("unheard-of", 30),
        ("default", 30),
        ("chat", 40),
        ("summary", 30),
    ] {
        let (_, _, seconds) = ends(text, feature, upstream.clone()).await;
        assert_eq!(seconds, last, "{feature}");
    }
    let text = text.replace("deadline = \"40s\"", "");
    let (_, _, seconds) = ends(&text, "unheard-of", upstream).await;
    assert_eq!(seconds, 110);
}

/// Lines that are right, wrong in value, or wrong in form.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "listen",
        "admin",
        "upstream",
        "deadline",
        "max_body",
        "max_in_flight",
        "max_held",
        "drain",
        "timeouts.connect",
        "timeouts.first_event",
        "timeouts.idle",
        "timeouts.answer",
        "timeouts.slow_reader",
        "backoff.attempts",
        "backoff.attempts_with_fallback",
        "backoff.base",
        "backoff.cap",
        "backoff.jitter",
        "backoff.budget",
        "circuit.consecutive",
        "circuit.window",
        "circuit.rate",
        "circuit.min_calls",
        "circuit.cooldown",
        "circuit.growth",
        "circuit.probes",
        "circuit.ramp",
        "fallback.chains",
        "features.default.in_flight",
        "features.chat.queue",
        "features.chat.wait",
        "features.code.fallback",
        "features.default.fallback",
        "features.'a b'.in_flight",
        "features.x.degrade",
        "features.x.message",
        "features.x.deadline",
        "features.default.deadline",
        "cache.max_bytes",
        "cache.ttl",
        "auth.api_key_env",
        "auth.tokens_env",
        "auth.also",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "true",
            "false",
            "'auto'",
            "'answer'",
            "'error'",
            "[]",
            "[[]]",
            "['a']",
            "[['a']]",
            "['a', 'b']",
            "[['a', 'b'], ['c']]",
            "[['a', { model = 'b', max_tokens = 8 }]]",
            "[{ max_tokens = 0 }]",
            "'127.0.0.1:0'",
            "'http://localhost'",
            "'KEY'",
            "inf",
            "0x10",
            "1979-05-27",
            "{}",
            "''",
            "'0s'",
            "'0B'",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        (0_u32..2_000).prop_map(|number| number.to_string()),
        (0.0..2.0).prop_map(|number: f64| number.to_string()),
        (0_u32..2_000, "ms|s|m|h|d|B|KiB|GiB").prop_map(|(n, unit)| format!("'{n}{unit}'")),
    ];
    (key, value).prop_map(|(key, value)| format!("{key} = {value}"))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*|[-a-z\\[\\]{}=.,'\"#\n 0-9]*") {
        let _ = read(&text);
    }

    /// What is accepted can be built, and what is refused says where.
    #[test]
    fn whatever_is_accepted_can_be_built(lines in prop::collection::vec(line(), 1..6)) {
        match read(&lines.join("\n")) {
            Ok(config) => {
                let built = config.resilience().unwrap().build();
                prop_assert!(built.is_ok(), "{:?}\n{}", built.err(), lines.join("\n"));
            }
            Err(error) => for problem in error.problems() {
                let named = problem.key().is_none() || problem.to_string().contains("must be");
                prop_assert!(named || problem.to_string().contains("unknown key"), "{problem}");
            }
        }
    }
}
