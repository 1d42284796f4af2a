//! The processes, and what the system knows of them.

use crate::{bare, upstream};
use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::net::TcpListener;

/// What a process says once it listens, as claude-proxy does.
const LISTENS: &str = " listening on http://";

/// Says where callers are served.
#[expect(clippy::print_stdout, reason = "read by whoever started it")]
pub(crate) fn announce(listener: &TcpListener) {
    let address = listener.local_addr().expect("an address");
    println!("bench{LISTENS}{address},");
}

/// A process that listens, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn upstream() -> Self {
        Self::again([upstream::ROLE])
    }

    pub(crate) fn bare(upstream: &Self) -> Self {
        Self::again([bare::ROLE, &upstream.address.to_string()])
    }

    /// With its default settings.
    pub(crate) fn claude_proxy(upstream: &Self) -> Self {
        let upstream = format!("http://{}", upstream.address);
        let any = "127.0.0.1:0";
        let args = ["--listen", any, "--admin", any, "--upstream", &upstream];
        Self::start(env!("CARGO_BIN_EXE_claude-proxy"), args)
    }

    /// This binary in another role.
    fn again<const N: usize>(args: [&str; N]) -> Self {
        Self::start(env::current_exe().expect("a path"), args)
    }

    fn start<const N: usize>(command: impl AsRef<OsStr>, args: [&str; N]) -> Self {
        let mut child = Command::new(command)
            .args(args)
            // Its variables are settings.
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let out = child.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let (_, address) = line.split_once(LISTENS).expect("an address in it");
        let (address, _) = address.split_once(',').expect("its end");
        let address = address.parse().expect("an address");
        Self { child, address }
    }

    /// The most memory it ever had, in bytes; `None` but on Linux.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(self.proc().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// The time that all its threads have worked so far; zero but on Linux.
    pub(crate) fn worked(&self) -> Duration {
        let threads = fs::read_dir(self.proc().join("task"));
        let threads = threads.into_iter().flatten().flatten();
        let nanoseconds = threads.filter_map(|thread| {
            let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            times.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    fn proc(&self) -> Box<Path> {
        Path::new("/proc").join(self.child.id().to_string()).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
