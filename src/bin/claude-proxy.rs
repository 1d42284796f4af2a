//! The command `claude-proxy`: keeps applications working when the Claude API does not.
//!
//! Thin: all of it is [`tower_claude::proxy`]. One line on stdout says where it listens; logs go to stderr, as
//! `CLAUDE_PROXY_LOG` says (`info` by default; `debug`, `tower_claude=trace` …).

use std::{
    env,
    error::Error,
    io::{self, ErrorKind, IsTerminal, Write, stderr, stdout},
    process::ExitCode,
};
use tower_claude::{
    config::Config,
    proxy::{
        Demo, Proxy,
        cli::{Cli, Task},
        follow_signals,
    },
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::of_process().unwrap_or_else(|error| error.exit());
    let done = match cli.task() {
        Task::PrintConfig => say(Config::DEFAULT_TOML).map_err(Into::into),
        Task::Check => check(&cli),
        Task::Demo | Task::Serve => start(cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(stderr(), "claude-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let config = cli.config()?;
    let lacks = Cli::lacks(config.clone(), |name| env::var_os(name))?;
    say(config.resolved())?;
    if let Some(lacks) = lacks {
        // No fault of the settings: they may be checked where the secrets are not.
        let _ = writeln!(stderr(), "claude-proxy: would not start here: {lacks}");
    }
    Ok(())
}

#[tokio::main]
async fn start(cli: Cli) -> Result<(), Box<dyn Error>> {
    log();
    let mut config = cli.config()?;
    let demo = match cli.task() {
        Task::Demo => Some(Demo::start().await?),
        _ => None,
    };
    if let Some(demo) = &demo {
        config = demo.over(config);
    }
    let server = Proxy::new(config)?.bind().await?;
    let (callers, operators) = (server.address(), server.admin_address());
    let proxy = server.proxy().clone();
    let settings = demo.is_some().then(|| proxy.config());
    let signals = follow_signals(proxy, move || match &settings {
        // Of a demo: there is nothing to read again.
        Some(settings) => Ok(settings.clone()),
        None => cli.config_again(),
    })?;
    tokio::spawn(signals);

    // Once it takes calls and signals: who reads the line may send either.
    say(format_args!(
        "claude-proxy listening on http://{callers}, admin on http://{operators}\n"
    ))?;
    if let Some(demo) = demo {
        say(demo.lines(callers, operators))?;
        tokio::spawn(demo.run());
    }
    server.run().await;
    Ok(())
}

/// To stdout. A reader that has seen enough, such as `head`, is no fault.
fn say(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    written.or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

fn log() {
    let variable = |name| env::var(name).ok().filter(|text| !text.is_empty());
    let directives = variable("CLAUDE_PROXY_LOG").or_else(|| variable("RUST_LOG"));
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse_lossy(directives.unwrap_or_default());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // Told on stderr, which is what failed.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal())
        .init();
}
