//! The command line of `claude-proxy`: what it is asked to do, and which settings it takes from where.
//!
//! Each flag has an environment variable, `CLAUDE_PROXY_` and the name of the flag in capitals. A flag wins over its
//! variable, both win over the file, and the file over the defaults. On a reload the same flags apply again.
//!
//! # Example
//!
//! ```
//! use tower_claude::proxy::cli::{Cli, Task};
//!
//! let variables = |name: &str| (name == "CLAUDE_PROXY_LISTEN").then(|| "127.0.0.1:9000".into());
//! let cli = Cli::read(["claude-proxy", "--admin", "127.0.0.1:9001"], variables)?;
//! assert_eq!(cli.task(), Task::Serve);
//! let config = cli.config().unwrap();
//! assert_eq!((config.listen.port(), config.admin.port()), (9000, 9001));
//! # Ok::<_, clap::Error>(())
//! ```

use crate::config::{Config, ConfigError, UPSTREAM_IS};
use clap::{
    Arg, ArgAction, Command, CommandFactory, Error, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use http::Uri;
use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf};

/// Keeps applications working when the Claude API does not: point an Anthropic SDK's base URL at it.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "claude-proxy", version, args_override_self = true)]
#[non_exhaustive]
pub struct Cli {
    /// The file with the settings; none: the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where callers are served, such as 127.0.0.1:8787; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Where operators are served, such as 127.0.0.1:8788
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,

    /// Where calls go, such as `https://api.anthropic.com`
    #[arg(long, value_name = "URL", value_parser = upstream, conflicts_with = "demo")]
    pub upstream: Option<Uri>,

    /// Checks the settings, prints what follows from them, and exits
    #[arg(long)]
    pub check: bool,

    /// Serves in front of a fake Claude with an outage that comes and goes; needs no key
    #[arg(long)]
    pub demo: bool,

    /// Prints the full default file, with comments, and exits
    #[arg(long)]
    pub print_config: bool,
}

/// What the command is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Print [`Config::DEFAULT_TOML`].
    PrintConfig,
    /// Print [`Config::resolved`], or what is wrong.
    Check,
    /// Serve in front of a fake Claude.
    Demo,
    /// Serve.
    Serve,
}

impl Cli {
    /// Reads the arguments and the environment of this process.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn of_process() -> Result<Self, Error> {
        Self::read(env::args_os(), |name| env::var_os(name))
    }

    /// Reads arguments, the first of which is the name of the command, and environment variables. Those that are empty
    /// count as not set.
    ///
    /// # Errors
    ///
    /// What cannot be meant; `--help` and `--version` too, which [`Error::exit`] prints as such.
    pub fn read<A: Into<OsString> + Clone>(
        args: impl IntoIterator<Item = A>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        let mut args = args.into_iter().map(Into::into);
        let name = args.next().unwrap_or_else(|| "claude-proxy".into());
        // Variables come first, so that flags override them.
        let mut all = vec![name];
        for arg in Self::command().get_arguments() {
            let Some(variable_name) = variable_of(arg) else {
                continue;
            };
            let value = variable(&variable_name).filter(|value| !value.is_empty());
            if let Some(value) = value {
                all.extend(flag(arg, &variable_name, value)?);
            }
        }
        all.extend(args);
        let matches = with_variables().try_get_matches_from(all);
        let cli = matches.and_then(|matches| Self::from_arg_matches(&matches));
        cli.map_err(without_secret)
    }

    /// What to do. The first of several wins: `--print-config`, `--check`, `--demo`.
    pub fn task(&self) -> Task {
        if self.print_config {
            Task::PrintConfig
        } else if self.check {
            Task::Check
        } else if self.demo {
            Task::Demo
        } else {
            Task::Serve
        }
    }

    /// The settings: those of the file, with those of the command line. Reads the file each time.
    ///
    /// # Errors
    ///
    /// As [`Config::load`] and [`Config::check`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        let config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let config = self.over(config);
        config.check()?;
        Ok(config)
    }

    /// Puts the settings of the command line over those of a file.
    #[must_use]
    pub fn over(&self, mut config: Config) -> Config {
        config.listen = self.listen.unwrap_or(config.listen);
        config.admin = self.admin.unwrap_or(config.admin);
        if let Some(upstream) = &self.upstream {
            config.upstream = upstream.clone();
        }
        config
    }
}

/// The variable of a flag; none of `--help` and `--version`.
fn variable_of(arg: &Arg) -> Option<String> {
    let settable = matches!(arg.get_action(), ArgAction::Set | ArgAction::SetTrue);
    let name = arg.get_long().filter(|_| settable)?;
    Some(format!(
        "CLAUDE_PROXY_{}",
        name.replace('-', "_").to_uppercase()
    ))
}

/// The command, whose help names the variables.
fn with_variables() -> Command {
    Cli::command().mut_args(|arg| match (arg.get_help(), variable_of(&arg)) {
        (Some(help), Some(variable)) => {
            let help = format!("{help} [env: {variable}]");
            arg.help(help)
        }
        _ => arg,
    })
}

/// A variable as the flag it stands for.
fn flag(arg: &Arg, variable: &str, value: OsString) -> Result<Option<OsString>, Error> {
    let name = arg.get_long().unwrap_or_default();
    let mut flag = OsString::from(format!("--{name}"));
    if matches!(arg.get_action(), ArgAction::Set) {
        flag.push("=");
        flag.push(value);
        // Alone, so that the message can name the variable.
        return match Cli::try_parse_from(["claude-proxy".into(), flag.clone()]) {
            Ok(_) => Ok(Some(flag)),
            Err(error) => Err(refused(&error, &format!("the variable {variable}"))),
        };
    }
    match value.to_str() {
        Some("1" | "true" | "yes") => Ok(Some(flag)),
        Some("0" | "false" | "no") => Ok(None),
        _ => {
            let message = format!("the variable {variable} must be true or false\n");
            Err(Error::raw(ErrorKind::InvalidValue, message))
        }
    }
}

fn upstream(text: &str) -> Result<Uri, String> {
    Config::upstream_of(text).ok_or_else(|| format!("must be {UPSTREAM_IS}"))
}

/// clap shows a value that it refuses, but the address of an upstream may have a password in it.
fn without_secret(error: Error) -> Error {
    let of = error.get(ContextKind::InvalidArg);
    match of {
        Some(ContextValue::String(arg)) if arg.starts_with("--upstream") && is_value(&error) => {
            refused(&error, "--upstream")
        }
        _ => error,
    }
}

fn is_value(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::InvalidUtf8
    )
}

/// Says what a value must be, without the value.
fn refused(error: &Error, whose: &str) -> Error {
    use std::error::Error as _;
    let why = error.source().map(ToString::to_string);
    let why = why.unwrap_or_else(|| "is not valid".to_owned());
    Error::raw(error.kind(), format!("{whose}: {why}\n"))
}

#[cfg(test)]
mod tests {
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
        assert!(text.contains("CLAUDE_PROXY_LISTEN"), "{text}");
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
}
