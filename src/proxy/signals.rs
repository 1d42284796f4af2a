//! The signals of the process.

use super::service::Proxy;
use crate::config::{Config, ConfigError};
use std::{future::Future, io};

/// Acts on the signals of the process for as long as its future runs: SIGTERM and SIGINT shut down, a second one at once;
/// SIGHUP goes on with the settings that `config` gives then, unless they cannot be used. Elsewhere than on Unix only Ctrl-C.
///
/// The handlers are set when it is called, so that no signal after that ends the process unheard.
///
/// # Errors
///
/// The system has no room for a handler.
///
/// # Panics
///
/// Outside a runtime of tokio.
pub fn follow_signals(
    proxy: Proxy,
    config: impl Fn() -> Result<Config, ConfigError>,
) -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new()?;
    Ok(async move {
        loop {
            match signals.next().await {
                Signal::Shutdown => proxy.shutdown(),
                Signal::Reload => match config() {
                    // Says itself what came of it.
                    Ok(config) => drop(proxy.reload(config)),
                    Err(error) => proxy.refuse_reload(&error),
                },
            }
        }
    })
}

enum Signal {
    Shutdown,
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Shutdown,
            _ = self.interrupt.recv() => Signal::Shutdown,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Shutdown
    }
}
