//! Flags, variables and the file, and what is said of wrong ones.

use super::*;

fn read(args: &[&str], variables: &[(&str, &str)]) -> Result<Cli, Error> {
    let all = ["claude-proxy"].iter().chain(args);
    Cli::read(all, |name| {
        let set = variables.iter().find(|(variable, _)| *variable == name);
        set.map(|(_, value)| value.into())
    })
}

fn message(args: &[&str], variables: &[(&str, &str)]) -> String {
    read(args, variables).unwrap_err().to_string()
}

#[test]
fn the_command_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn without_anything_it_serves_by_the_defaults() {
    let cli = read(&[], &[]).unwrap();
    assert_eq!(cli.task(), Task::Serve);
    assert_eq!(cli.config().unwrap(), Config::default());
}

#[test]
fn every_flag_has_a_variable_that_the_help_names() {
    let help = message(&["--help"], &[]);
    let flags = [
        ("config", "/f"),
        ("listen", "127.0.0.1:1"),
        ("admin", "127.0.0.1:2"),
        ("upstream", "http://localhost:3"),
        ("check", "1"),
        ("print-config", "true"),
        ("demo", "yes"),
    ];
    let settable = Cli::command()
        .get_arguments()
        .filter(|arg| variable_of(arg).is_some())
        .count();
    assert_eq!(settable, flags.len());
    let nothing = read(&[], &[]).unwrap();
    for (name, value) in flags {
        let variable = format!("CLAUDE_PROXY_{}", name.replace('-', "_").to_uppercase());
        assert!(help.contains(&format!("[env: {variable}]")), "{help}");
        let by_variable = read(&[], &[(&variable, value)]).unwrap();
        let flag = match value {
            "1" | "true" | "yes" => format!("--{name}"),
            _ => format!("--{name}={value}"),
        };
        assert_eq!(by_variable, read(&[&flag], &[]).unwrap());
        assert_ne!(by_variable, nothing);
        assert_eq!(read(&[], &[(&variable, "")]).unwrap(), nothing, "empty");
    }
    assert!(!read(&[], &[("CLAUDE_PROXY_CHECK", "0")]).unwrap().check);
}

#[test]
fn a_flag_wins_over_its_variable_and_both_win_over_the_file() {
    let variables = [
        ("CLAUDE_PROXY_LISTEN", "127.0.0.1:1"),
        ("CLAUDE_PROXY_ADMIN", "127.0.0.1:2"),
    ];
    let cli = read(&["--listen", "127.0.0.1:9"], &variables).unwrap();
    let file = "listen = '127.0.0.1:5'\nadmin = '127.0.0.1:6'\nupstream = 'http://file'";
    let config = cli.over(Config::from_toml(file, "f").unwrap());
    assert_eq!((config.listen.port(), config.admin.port()), (9, 2));
    assert_eq!(config.upstream.host(), Some("file"));
}

#[test]
fn the_settings_are_checked_once_they_are_together() {
    let cli = read(&["--listen", "127.0.0.1:8788"], &[]).unwrap();
    let error = cli.config().unwrap_err();
    assert_eq!(error.problems()[0].key(), Some("admin"));
    let cli = read(&["--config", "no/such/file"], &[]).unwrap();
    assert!(cli.config().unwrap_err().to_string().contains("no/such"));
}

#[test]
fn the_first_task_of_several_is_done() {
    for (args, task) in [
        (&["--demo"][..], Task::Demo),
        (&["--demo", "--check"], Task::Check),
        (&["--check", "--print-config"], Task::PrintConfig),
    ] {
        assert_eq!(read(args, &[]).unwrap().task(), task);
    }
    let error = read(&["--demo", "--upstream", "http://a"], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn a_wrong_variable_is_named() {
    let text = message(&[], &[("CLAUDE_PROXY_LISTEN", "localhost")]);
    assert!(
        text.contains("CLAUDE_PROXY_LISTEN: must be an address and a port"),
        "{text}"
    );
    let text = message(&["--admin", "localhost"], &[]);
    assert!(text.contains("must be an address and a port"), "{text}");
    let text = message(&[], &[("CLAUDE_PROXY_DEMO", "maybe")]);
    assert!(
        text.contains("CLAUDE_PROXY_DEMO must be true or false"),
        "{text}"
    );
}

#[test]
fn an_upstream_with_a_password_is_refused_and_not_shown() {
    let url = "https://me:marked@example.com";
    for text in [
        message(&["--upstream", url], &[]),
        message(&[&format!("--upstream={url}")], &[]),
        message(&[], &[("CLAUDE_PROXY_UPSTREAM", url)]),
    ] {
        assert!(text.contains("must be an http or https address"), "{text}");
        assert!(!text.contains("marked"), "{text}");
    }
}
