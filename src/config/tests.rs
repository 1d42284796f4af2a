use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn error(text: &str) -> String {
    Config::from_toml(text, "app.toml").unwrap_err().to_string()
}

#[test]
fn the_default_file_says_the_defaults() {
    assert_eq!(
        Config::from_toml(Config::DEFAULT_TOML, "default.toml").unwrap(),
        Config::default()
    );
    assert_eq!(
        Config::from_toml("", "empty.toml").unwrap(),
        Config::default()
    );
}

/// A comment in the default file is a setting too: each must be one that can be made.
#[test]
fn what_the_default_file_shows_as_a_comment_can_be_set() {
    let text: String = Config::DEFAULT_TOML
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = ") || rest.starts_with('['))
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let config = Config::from_toml(&text, "all.toml").unwrap();
    assert_eq!(config.auth.unwrap().also, ["/v1/files"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
    assert_eq!(
        error("\nlisten = \"127.0.0.1:1\"\nlisen = 1"),
        "app.toml:3: lisen is unknown; did you mean listen?"
    );
    assert_eq!(
        error("[circuit]\ncooldwn = \"1s\""),
        "app.toml:2: circuit.cooldwn is unknown; did you mean cooldown?"
    );
    assert_eq!(
        error("[features.chat]\nin_fligth = 3"),
        "app.toml:2: features.chat.in_fligth is unknown; did you mean in_flight?"
    );
    assert!(error("[cache]\nbanana = 1").contains("known here are max_bytes, ttl"));
}

#[test]
fn a_value_out_of_its_bounds_is_named_with_field_value_and_bound() {
    for (text, told) in [
        (
            "deadline = \"0s\"",
            "app.toml:1: deadline is \"0s\", but must be a duration above 0 such as \"15s\"",
        ),
        (
            "deadline = 10",
            "app.toml:1: deadline is 10, but must be a duration above 0 such as \"15s\"",
        ),
        (
            "listen = \"nowhere\"",
            "app.toml:1: listen is \"nowhere\", but must be an address and port such as \"127.0.0.1:8787\"",
        ),
        (
            "upstream = \"ftp://x\"",
            "app.toml:1: upstream is \"ftp://x\", but must be an http:// or https:// URL without a query",
        ),
        (
            "max_in_flight = 0",
            "app.toml:1: max_in_flight is 0, but must be a whole number from 1 to 1000000",
        ),
        (
            "max_in_flight = -1",
            "app.toml:1: max_in_flight is -1, but must be a whole number from 1 to 1000000",
        ),
        (
            "[circuit]\nrate = 1.5",
            "app.toml:2: circuit.rate is 1.5, but must be a number from 0.01 to 1",
        ),
        (
            "[backoff]\nattempts = 300",
            "app.toml:2: backoff.attempts is 300, but must be a whole number from 1 to 20",
        ),
        (
            "[fallback]\nchains = [\"a\"]",
            "app.toml:2: fallback.chains is a list, but must be a list of chains, each a list of models",
        ),
        (
            "[features.x]\ndegrade = \"maybe\"",
            "app.toml:2: features.x.degrade is \"maybe\", but must be \"answer\" or \"error\"",
        ),
        (
            "features = 3",
            "app.toml:1: features is 3, but must be a table",
        ),
        (
            "[features]\nchat = 3",
            "app.toml:2: features.chat is 3, but must be a table",
        ),
    ] {
        assert_eq!(error(text), told);
    }
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    assert!(
        error("listen = \n[").starts_with("app.toml:1: is no TOML: "),
        "{}",
        error("listen = \n[")
    );
}

#[test]
fn settings_that_rule_each_other_out_are_refused() {
    let told = error("deadline = \"5s\"");
    assert!(
        told.contains("timeouts.first_event") && told.contains("deadline"),
        "{told}"
    );
    let told = error("[fallback]\nchains = [[\"a\", \"a\"]]");
    assert!(told.contains("fallback"), "{told}");
}

#[test]
fn a_feature_has_from_default_what_it_leaves_out() {
    let config = Config::from_toml(
        "[features.default]\nwait = \"9s\"\nmessage = \"Later.\"\nin_flight = 7\n\
         [features.chat]\nqueue = 1\n[features.search]\nin_flight = 40\nfallback = [\"a\", {model = \"b\", max_tokens = 9}]",
        "app.toml",
    )
    .unwrap();
    let default = &config.features["default"];
    assert_eq!((default.in_flight, default.queue), (7, 14));
    let chat = &config.features["chat"];
    assert_eq!(
        (chat.in_flight, chat.queue, chat.wait),
        (20, 1, Duration::from_secs(9))
    );
    assert_eq!(chat.message, "Later.");
    let search = &config.features["search"];
    assert_eq!((search.in_flight, search.queue), (40, 80));
    assert!(matches!(&search.fallback, FallbackChoice::Own(chain) if chain.len() == 2));
    let jobs = &config.features["background_jobs"];
    assert_eq!((jobs.in_flight, jobs.queue, jobs.answers), (5, 500, false));
}

#[test]
fn the_resolved_policy_is_told_in_a_table() {
    let shown = Config::default().to_string();
    for part in [
        "upstream   https://api.anthropic.com",
        "fallback   claude-sonnet-5-5 ▸ claude-haiku-5-5",
        "background_jobs          5    500     1m       30m  next model, then an error",
        "code                    10     20     2s       10m  an error",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]a-z_.=\"0-9{}, \n#]{0,80}") {
        let _ = Config::from_toml(&text, "app.toml");
    }

    /// Any one line of the default file, mangled, is read or refused.
    #[test]
    fn no_mangled_line_panics(line in 0_usize..90, junk in ".{0,12}") {
        let text: String = Config::DEFAULT_TOML
            .lines()
            .enumerate()
            .map(|(at, text)| if at == line { format!("{text}{junk}\n") } else { format!("{text}\n") })
            .collect();
        let _ = Config::from_toml(&text, "app.toml");
    }
}
