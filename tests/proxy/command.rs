//! The command itself.

use crate::house::*;
use http::StatusCode;
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};
use tower_claude::{config::Config, testing::FakeClaude};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claude-proxy"));
    command.args(args).env_clear();
    command
}

fn run(args: &[&str]) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// A running command, killed when it is dropped.
struct Running {
    child: Child,
    callers: SocketAddr,
    operators: SocketAddr,
    out: BufReader<std::process::ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let args = [&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], args].concat();
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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
            child,
            out,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.unwrap().success());
    }
}

#[test]
fn the_default_file_is_printed_and_checked() {
    let (done, out, _) = run(&["--print-config"]);
    assert!(done);
    assert_eq!(out, Config::DEFAULT_TOML);
    let (done, out, _) = run(&["--check"]);
    assert!(done);
    assert!(out.contains("claude-sonnet-5-5"), "{out}");
    let (done, out, _) = run(&["--version"]);
    assert!(done && out.contains(env!("CARGO_PKG_VERSION")), "{out}");
}

#[test]
fn what_cannot_work_is_said_on_stderr_and_by_the_exit_code() {
    let path = std::env::temp_dir().join(format!("claude-proxy-{}-bad.toml", std::process::id()));
    std::fs::write(&path, "[circuit]\ncooldwon = '2m'\n").unwrap();
    let file = path.to_str().unwrap();
    for args in [&["--check", "--config", file][..], &["--config", file]] {
        let (done, out, error) = run(args);
        assert!(!done && out.is_empty(), "{out}");
        assert!(
            error.contains("bad.toml:2: unknown key circuit.cooldwon"),
            "{error}"
        );
    }
    std::fs::write(&path, "[auth]\n").unwrap();
    let (done, _, error) = run(&["--config", file]);
    assert!(!done && error.contains("ANTHROPIC_API_KEY"), "{error}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn it_serves_reloads_and_ends_when_it_is_told_to() {
    let claude = FakeClaude::start().await.unwrap();
    let path = std::env::temp_dir().join(format!("claude-proxy-{}-good.toml", std::process::id()));
    std::fs::write(&path, "max_in_flight = 5\n").unwrap();
    let url = claude.url();
    let mut running = Running::start(&["--upstream", &url, "--config", path.to_str().unwrap()]);
    let response = client().request(post(running.callers, "/v1/messages", &call(SONNET), &[]));
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);

    let max = || async {
        let request = http::Request::get(format!("http://{}/status.json", running.operators));
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        let status = client().request(request.body(body).unwrap()).await.unwrap();
        json_of(status).await["in_flight"]["max"].as_u64().unwrap()
    };
    assert_eq!(max().await, 5);
    std::fs::write(&path, "max_in_flight = 6\n").unwrap();
    running.signal("HUP");
    until(|| async { max().await == 6 }).await;

    running.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || {
        let status = running.child.wait().unwrap();
        let (mut out, mut log) = (String::new(), String::new());
        running.out.read_to_string(&mut out).unwrap();
        running
            .child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status, out, log)
    });
    let (status, out, log) = ended.await.unwrap();
    assert!(status.success());
    assert_eq!(out, "", "one line on stdout, all else on stderr");
    assert!(
        log.contains("took the new settings") && log.contains("draining"),
        "{log}"
    );
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn the_demo_answers_without_a_key_and_says_how_to_ask() {
    let mut running = Running::start(&["--demo"]);
    let response = client().request(post(running.callers, "/v1/messages", &call(SONNET), &[]));
    let message = json_of(response.await.unwrap()).await;
    assert!(
        message["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("fake")
    );
    let mut lines = String::new();
    while !lines.contains("npx tsx") {
        assert!(running.out.read_line(&mut lines).unwrap() > 0);
    }
    for start in ["\ncurl ", "\npython3 ", "\nnpx tsx "] {
        assert!(lines.contains(start), "{lines}");
    }
    assert!(lines.contains(&format!("http://{}", running.callers)));
}
