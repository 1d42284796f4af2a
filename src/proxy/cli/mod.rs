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

use super::{error::StartError, gate::Gate, service::Proxy};
use crate::config::{ADDRESS_IS, Config, ConfigError, UPSTREAM_IS};
use clap::{
    Arg, ArgAction, Command, CommandFactory, Error, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use http::Uri;
use std::{
    env,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// What else the command reads, for its help.
const ENVIRONMENT: &str = "\
Environment:
  CLAUDE_PROXY_LOG          What is logged to stderr: info (the default), debug, tower_claude=trace ...
  CLAUDE_PROXY_ADMIN_TOKEN  What operators must present; needed where --admin is not on loopback
  ANTHROPIC_API_KEY         With [auth] in the file: the key that calls go out with
  CLAUDE_PROXY_TOKENS       With [auth] in the file: what callers must present instead, comma separated

Signals:
  SIGTERM, SIGINT  Ends it once the answers under way have; a second one ends it at once
  SIGHUP           Reads the file again; one that cannot work is refused, and the old settings stay";

/// Keeps applications working when the Claude API does not: point an Anthropic SDK's base URL at it.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "claude-proxy", version, args_override_self = true, after_help = ENVIRONMENT)]
#[non_exhaustive]
pub struct Cli {
    /// The file with the settings; none: the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where callers are served, such as 127.0.0.1:8787; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub listen: Option<SocketAddr>,

    /// Where operators are served, such as 127.0.0.1:8788
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub admin: Option<SocketAddr>,

    /// Where calls go, such as `https://api.anthropic.com`
    // Its help again, without the marks that the docs need.
    #[arg(
        long,
        help = "Where calls go, such as https://api.anthropic.com",
        value_name = "URL",
        value_parser = upstream,
        conflicts_with = "demo"
    )]
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
        self.config_by(|path| Config::load(path))
    }

    /// As [`config`](Self::config), for settings to go on with: of a file that was a pipe there are none.
    ///
    /// # Errors
    ///
    /// As [`config`](Self::config).
    pub fn config_again(&self) -> Result<Config, ConfigError> {
        self.config_by(Config::load_again)
    }

    /// What this environment lacks to serve by these settings: a key, tokens of callers, the token of operators.
    ///
    /// # Errors
    ///
    /// Settings that no environment could serve by.
    pub fn lacks(
        config: Config,
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Result<Option<StartError>, StartError> {
        let admin = config.admin;
        let served = Proxy::with_variables(config, variable)
            .and_then(|proxy| Gate::new(admin, |name| proxy.variable(name)));
        match served {
            Ok(_) => Ok(None),
            Err(error) if error.is_of_environment() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    fn config_by(
        &self,
        load: impl FnOnce(&Path) -> Result<Config, ConfigError>,
    ) -> Result<Config, ConfigError> {
        let config = match &self.config {
            Some(path) => load(path)?,
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

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("must be {ADDRESS_IS}"))
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
mod tests;
