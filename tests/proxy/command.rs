//! The command itself.

use crate::{
    house::*,
    process::{File, Process, command, run},
};
use http::StatusCode;
use std::{io::BufRead, process::Stdio, time::Duration};
use tower_claude::{
    config::Config,
    testing::{FakeClaude, Reply},
};

#[test]
fn the_default_file_is_printed_and_checked() {
    let (done, out, _) = run(command(&["--print-config"]));
    assert!(done);
    assert_eq!(out, Config::DEFAULT_TOML);
    let (done, out, _) = run(command(&["--check"]));
    assert!(done);
    assert!(out.contains("claude-sonnet-5-5"), "{out}");
    let (done, out, _) = run(command(&["--version"]));
    assert!(done && out.contains(env!("CARGO_PKG_VERSION")), "{out}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let mut child = command(&["--print-config"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_work_is_said_on_stderr_and_by_the_exit_code() {
    let file = File::new("[circuit]\ncooldwon = '2m'\n");
    for args in [
        &["--check", "--config", file.path()][..],
        &["--config", file.path()],
    ] {
        let (done, out, error) = run(command(args));
        assert!(!done && out.is_empty(), "{out}");
        let found = format!(
            "{}:2: unknown key circuit.cooldwon; did you mean \"cooldown\"?",
            file.path()
        );
        assert!(error.contains(&found), "{error}");
    }
    file.write("[auth]\n");
    let (done, _, error) = run(command(&["--config", file.path()]));
    assert!(!done && error.contains("ANTHROPIC_API_KEY"), "{error}");
}

#[tokio::test]
async fn it_serves_reloads_and_ends_when_it_is_told_to() {
    let claude = FakeClaude::start().await.unwrap();
    let file = File::new("max_in_flight = 5\n");
    let url = claude.url();
    let running = Process::start(command(&["--upstream", &url, "--config", file.path()]));
    let response = client().request(post(running.callers, "/v1/messages", &call(SONNET), &[]));
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);

    let status = || async {
        let request = http::Request::get(format!("http://{}/status.json", running.operators));
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        let status = client().request(request.body(body).unwrap()).await.unwrap();
        json_of(status).await
    };
    assert_eq!(status().await["in_flight"]["max"], 5);
    file.write("max_in_flight = 6\n");
    running.signal("HUP");
    until(|| async { status().await["in_flight"]["max"] == 6 }).await;
    file.write("max_in_flihgt = 7\n");
    running.signal("HUP");
    until(|| async { status().await["reloads"]["refused"] == 1 }).await;
    let now = status().await;
    assert_eq!(now["in_flight"]["max"], 6);
    assert_eq!(now["totals"]["all"]["1h"]["calls"], 1, "counters survive");

    running.signal("TERM");
    let (status, out, log) = running.end().await;
    assert!(status.success());
    assert_eq!(out, "", "one line on stdout, all else on stderr");
    for said in [
        "took the new settings",
        "kept the old settings",
        "unknown key max_in_flihgt",
        "draining",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[tokio::test]
async fn a_signal_right_behind_the_first_line_is_heard() {
    for name in ["TERM", "INT"] {
        let running = Process::start(command(&[]));
        running.signal("HUP");
        running.signal(name);
        let (status, _, log) = running.end().await;
        assert!(status.success(), "{log}");
        assert!(log.contains("draining"), "{log}");
    }
}

/// A log line to a closed pipe once made the logger panic, and with it the task of the connection.
#[tokio::test]
async fn it_serves_on_though_nobody_reads_its_log() {
    let claude = FakeClaude::start().await.unwrap();
    let mut command = command(&["--upstream", &claude.url()]);
    command.env("CLAUDE_PROXY_LOG", "trace");
    let mut running = Process::unheard(command);
    drop(running.errors.take());
    for _ in 0..2 {
        let asked = post(running.callers, "/v1/messages", &call(SONNET), &[]);
        let response = client().request(asked).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_ends_with_an_error() {
    let endless = Reply::ok().deltas(1000).every(Duration::from_millis(20));
    let claude = FakeClaude::builder().on(SONNET, endless);
    let claude = claude.start().await.unwrap();
    let file = File::new("drain = '200ms'");
    let url = claude.url();
    let running = Process::start(command(&["--upstream", &url, "--config", file.path()]));
    let asked = post(running.callers, "/v1/messages", &stream(SONNET), &[]);
    let streaming = client().request(asked).await.unwrap();
    running.signal("INT");
    ends_with_an_error(&text_of(streaming).await);
    assert!(running.end().await.0.success());
}

#[tokio::test]
async fn the_demo_answers_without_a_key_and_says_how_to_ask() {
    let mut running = Process::start(command(&["--demo"]));
    let response = client().request(post(running.callers, "/v1/messages", &call(SONNET), &[]));
    let message = json_of(response.await.unwrap()).await;
    let text = message["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("fake"), "{text}");
    let mut lines = String::new();
    while !lines.contains("status.json") {
        assert!(running.out.read_line(&mut lines).unwrap() > 0);
    }
    for start in ["curl -si ", "python3 ", "npx tsx ", "curl -s "] {
        assert!(lines.contains(&format!("\n\n{start}")), "{lines}");
    }
    for address in [running.callers, running.operators] {
        assert!(lines.contains(&format!("http://{address}")), "{lines}");
    }
}
