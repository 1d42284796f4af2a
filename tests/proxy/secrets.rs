//! No secret in any log at any level.

use crate::{
    house::*,
    process::{File, Process, command, run},
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower_claude::{
    proxy::Proxy,
    testing::{At, FakeClaude, Fault, Reply, RetryAfter},
};
use tracing_subscriber::fmt::MakeWriter;

/// In every secret of these tests, and nowhere else.
const MARK: &str = "mArKeD";

fn marked(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| line.contains(MARK)).take(5).collect()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn secret(name: &str) -> String {
    format!("{MARK}-secret-of-{name}")
}

const MODELS: [&str; 6] = [
    SONNET,
    "claude-overloaded",
    "claude-limited",
    "claude-reset",
    "claude-cut",
    "claude-refuses",
];

/// Answers well and badly, with secrets of its own.
async fn claude() -> FakeClaude {
    let answer = || Reply::ok().text(format!("{MARK} answer")).deltas(4);
    let [well, overloaded, limited, reset, cut, refuses] = MODELS;
    FakeClaude::builder()
        .on(well, answer().header("set-cookie", &secret("cookie")))
        .on(overloaded, Reply::overloaded())
        .on(limited, Reply::rate_limited(RetryAfter::Seconds(60)))
        .on(reset, Reply::reset())
        .on(cut, answer().fail(At::Deltas(2), Fault::Cut))
        .on(refuses, Reply::invalid_request(secret("words")))
        .start()
        .await
        .unwrap()
}

fn body(model: &str) -> Value {
    let messages = json!([{"role": "user", "content": secret("prompt")}]);
    json!({"model": model, "stream": true, "max_tokens": 9, "messages": messages})
}

/// Asks for everything, with right and with wrong keys.
async fn ask_for_everything(address: SocketAddr) {
    let (token, wrong) = (secret("CLAUDE_PROXY_TOKENS"), secret("nobody"));
    let bearer = format!("Bearer {token}");
    let keys = [
        ("x-api-key", &token),
        ("authorization", &bearer),
        ("api-key", &wrong),
    ];
    for model in MODELS {
        for (name, key) in keys {
            for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/files"] {
                let headers = [
                    (name, key.as_str()),
                    ("cookie", &wrong),
                    ("proxy-authorization", &wrong),
                    ("x-unknown", &wrong),
                ];
                let path = format!("{path}?{MARK}=1");
                let request = post(address, &path, &body(model), &headers);
                let answer = client().request(request).await.unwrap();
                let _ = answer.into_body().collect().await;
            }
        }
    }
    let broken = format!("POST / HTTP/1.1\r\nx-api-key: {MARK}\r\nbroken\r\n\r\n");
    raw(address, broken.as_bytes()).await;
}

async fn status(admin: SocketAddr, token: &str) -> String {
    let request = Request::get(format!("http://{admin}/status.json"))
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::<Bytes>::new());
    text_of(client().request(request.unwrap()).await.unwrap()).await
}

async fn look_at_the_status_and_set_a_circuit(admin: SocketAddr) {
    for token in [
        String::new(),
        secret("nobody"),
        secret("CLAUDE_PROXY_ADMIN_TOKEN"),
    ] {
        assert_eq!(marked(&status(admin, &token).await), [""; 0]);
        let request = Request::post(format!("http://{admin}/circuits/m/open"))
            .header("authorization", format!("Bearer {token}"))
            .header("cookie", secret("nobody"))
            .header("tower-claude-admin", "1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = text_of(client().request(request).await.unwrap()).await;
        assert_eq!(marked(&answer), [""; 0]);
    }
}

#[tokio::test]
async fn no_secret_is_in_any_log_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // Of this thread, on which all of this test runs.
    let _guard = tracing::subscriber::set_default(subscriber);

    for toml in ["", "[auth]\nalso = ['/']"] {
        let claude = claude().await;
        let mut settings = config(toml, &claude.url());
        settings.drain = Duration::from_millis(10);
        let variable = |name: &str| Some(OsString::from(secret(name)));
        let proxy = Proxy::with_variables(settings.clone(), variable).unwrap();
        let server = proxy.clone().bind().await.unwrap();
        let (address, admin) = (server.address(), server.admin_address());
        let running = tokio::spawn(server.run());
        ask_for_everything(address).await;
        look_at_the_status_and_set_a_circuit(admin).await;
        assert!(!format!("{proxy:?}").contains(MARK));
        proxy.reload(settings.clone()).unwrap();
        settings.backoff.jitter = 7.0;
        proxy.reload(settings).unwrap_err();
        proxy.shutdown();
        running.await.unwrap();
    }

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for there in ["TRACE", "tower_claude::proxy", "hyper_util"] {
        assert!(log.contains(there), "{there}: the log was on");
    }
    assert_eq!(marked(&log), [""; 0]);
}

#[tokio::test]
async fn the_command_tells_no_secret_whatever_it_is_told() {
    let claude = claude().await;
    let url = claude.url();
    let bad = [
        format!("[auth]\napi_key_env = '{}'", secret("key")),
        format!("upstream = 'https://me:{MARK}@example.com'"),
        format!("[auth]\napi_key = '{}'", secret("key")),
        format!("[auth\napi_key_env = '{}'", secret("key")),
        format!("[auth]\ntokens_env = ['{}']", secret("key")),
    ];
    let file = File::new("drain = '10ms'\nbackoff.base = '5ms'\n[auth]\nalso = ['/v1/files']");
    let all = ["--upstream", &url, "--config", file.path()];
    let with_secrets = |args: &[&str]| {
        let mut command = command(args);
        command.env("CLAUDE_PROXY_LOG", "trace");
        for name in [
            "ANTHROPIC_API_KEY",
            "CLAUDE_PROXY_TOKENS",
            "CLAUDE_PROXY_ADMIN_TOKEN",
        ] {
            command.env(name, secret(name));
        }
        command
    };
    let running = Process::start(with_secrets(&all));
    ask_for_everything(running.callers).await;
    look_at_the_status_and_set_a_circuit(running.operators).await;
    let token = secret("CLAUDE_PROXY_ADMIN_TOKEN");
    let reloads = async |which: &str, n: usize| {
        until(|| async {
            let status = status(running.operators, &token).await;
            let status: Value = serde_json::from_str(&status).unwrap();
            status["reloads"][which] == n
        })
        .await;
    };
    running.signal("HUP");
    reloads("taken", 1).await;
    for (n, text) in bad.iter().enumerate() {
        file.write(text);
        running.signal("HUP");
        reloads("refused", n + 1).await;
        let (done, out, error) = run(with_secrets(&["--check", "--config", file.path()]));
        assert!(!done && error.contains(file.path()), "{text}: {error}");
        assert_eq!(marked(&(out + &error)), [""; 0], "{text}");
    }
    running.signal("TERM");
    let (status, out, log) = running.end().await;
    assert!(status.success());
    for there in [
        "TRACE",
        "hyper_util",
        "took the new settings",
        "kept the old settings",
    ] {
        assert!(log.contains(there), "{there}: the log was on");
    }
    assert_eq!(marked(&(out + &log)), [""; 0]);
    file.write("[auth]");
    let mut short = with_secrets(&["--config", file.path()]);
    short.env("CLAUDE_PROXY_TOKENS", format!("{MARK}{MARK}{MARK},{MARK}"));
    let (done, _, error) = run(short);
    assert!(!done && error.contains("16 characters"), "{error}");
    assert_eq!(marked(&error), [""; 0]);
}
