//! The command `claude-proxy` as a process.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, JoinHandle},
};

/// The command without any variable of this environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claude-proxy"));
    command.args(args).env_clear();
    command
}

/// Runs it to its end: whether it was well, what it said on stdout, and on stderr.
pub fn run(mut command: Command) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// A file with settings, gone when it is dropped.
pub struct File(PathBuf);

impl File {
    pub fn new(text: &str) -> Self {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let n = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("claude-proxy-{}-{n}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A process that serves, killed when it is dropped.
pub struct Process {
    child: Child,
    pub callers: SocketAddr,
    pub operators: SocketAddr,
    pub out: BufReader<ChildStdout>,
    pub errors: Option<ChildStderr>,
    // Read all the time: who logs much would wait for its reader.
    log: Option<JoinHandle<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it on free ports, and waits for its first line.
    pub fn start(command: Command) -> Self {
        let mut started = Self::unheard(command);
        let mut errors = started.errors.take().unwrap();
        started.log = Some(thread::spawn(move || {
            let mut log = String::new();
            errors.read_to_string(&mut log).unwrap();
            log
        }));
        started
    }

    /// The same, but its log is not read: it waits, or with `errors` dropped is told that nobody will.
    pub fn unheard(mut command: Command) -> Self {
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let rest = line
            .trim_end()
            .strip_prefix("claude-proxy listening on http://");
        let (callers, operators) = rest.unwrap().split_once(", admin on http://").unwrap();
        Self {
            callers: callers.parse().unwrap(),
            operators: operators.parse().unwrap(),
            errors: child.stderr.take(),
            child,
            out,
            log: None,
        }
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: how it ended, the rest of stdout, and all of stderr.
    pub async fn end(mut self) -> (ExitStatus, String, String) {
        let end = move || {
            let status = self.child.wait().unwrap();
            let mut out = String::new();
            self.out.read_to_string(&mut out).unwrap();
            (status, out, self.log.take().unwrap().join().unwrap())
        };
        tokio::task::spawn_blocking(end).await.unwrap()
    }
}
