//! The command `claude-proxy`: keeps applications working when the Claude API does not.
//!
//! Thin: all of it is [`tower_claude::proxy`]. One line on stdout says where it listens; logs go to stderr, as
//! `CLAUDE_PROXY_LOG` says (`info` by default; `debug`, `tower_claude=trace` …).

use std::{
    env,
    error::Error,
    io::{IsTerminal, stderr},
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
        Task::PrintConfig => {
            print!("{}", Config::DEFAULT_TOML);
            Ok(())
        }
        Task::Check => check(&cli),
        Task::Demo | Task::Serve => start(cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("claude-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let config = cli.config()?;
    config.resilience()?.build()?;
    print!("{}", config.resolved());
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
    println!("claude-proxy listening on http://{callers}, admin on http://{operators}");

    let proxy = server.proxy().clone();
    match demo {
        // Its settings are its own: there is nothing to read again.
        Some(demo) => {
            print!("{}", demo.lines(callers));
            tokio::spawn(demo.run());
            let config = proxy.config();
            tokio::spawn(follow_signals(proxy, move || Ok(config.clone())));
        }
        None => {
            tokio::spawn(follow_signals(proxy, move || cli.config()));
        }
    }
    server.run().await;
    Ok(())
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
        .with_ansi(stderr().is_terminal())
        .init();
}
