//! A proxy, as the command that users run, in front of a fake Claude.

use crate::replies;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tower_claude::{
    BoxError,
    testing::{FakeClaude, Script, Seen},
};

/// The key that a proxy with `[auth]` holds, and a token that its callers present.
const KEY: &str = "sk-ant-key-of-the-proxy";
const TOKEN: &str = "token-of-a-caller";

/// What every house starts with: free ports, short pauses, and timeouts that no busy machine runs into. A test that waits
/// for one orders a shorter.
const SETTINGS: [(&str, &str); 9] = [
    ("listen", "127.0.0.1:0"),
    ("admin", "127.0.0.1:0"),
    ("deadline", "10s"),
    ("timeouts.first_event", "5s"),
    ("timeouts.idle", "5s"),
    ("timeouts.answer", "5s"),
    ("backoff.base", "5ms"),
    ("backoff.cap", "3s"),
    ("circuit.cooldown", "10s"),
];

/// A proxy that has not said where it listens after so long will not.
const START: Duration = Duration::from_secs(20);

static CONFIG_FILES: AtomicU64 = AtomicU64::new(0);

/// What a test asks for, as JSON: every key optional, unknown ones refused.
pub struct Order {
    /// `"claude": {MODEL or PATH: reply or [reply, …]}`: see [`replies`].
    scripts: Vec<(String, Script)>,
    /// `"settings": {"backoff.attempts": 3, …}`: keys of the proxy's file over [`SETTINGS`].
    settings: BTreeMap<String, Value>,
    /// `"holds_key": true`: the proxy has `[auth]`, and the fake knows no other key than the proxy's.
    holds_key: bool,
}

impl Order {
    pub fn read(order: &Value) -> Result<Self, String> {
        let own = SETTINGS.map(|(key, value)| (key.to_owned(), value.into()));
        let mut this = Self {
            scripts: Vec::new(),
            settings: BTreeMap::from(own),
            holds_key: false,
        };
        for (key, value) in replies::object(order)? {
            match key.as_str() {
                "claude" => {
                    for (target, script) in replies::object(value)? {
                        this.scripts
                            .push((target.clone(), replies::script(script)?));
                    }
                }
                "settings" => this.settings.extend(replies::object(value)?.clone()),
                "holds_key" => this.holds_key = value == true,
                _ => return Err(format!("{key} cannot be ordered")),
            }
        }
        if this.holds_key {
            this.settings
                .insert("auth.api_key_env".into(), "ANTHROPIC_API_KEY".into());
        }
        Ok(this)
    }

    /// JSON strings, numbers, booleans and lists are TOML, too.
    fn toml(&self, upstream: &str) -> String {
        let mut toml = format!("upstream = {upstream:?}\n");
        for (key, value) in &self.settings {
            let _ = writeln!(toml, "{key} = {value}");
        }
        toml
    }
}

pub struct House {
    pub url: String,
    claude: FakeClaude,
    proxy: Child,
}

impl House {
    pub async fn build(command: &OsStr, order: Order) -> Result<Self, BoxError> {
        let mut claude = FakeClaude::builder();
        if order.holds_key {
            claude = claude.require_key(KEY);
        }
        for (target, script) in &order.scripts {
            claude = claude.on(target, script.clone());
        }
        let claude = claude.start().await?;
        let file = format!(
            "claude-proxy-{}-{}.toml",
            std::process::id(),
            CONFIG_FILES.fetch_add(1, Ordering::Relaxed)
        );
        let file = std::env::temp_dir().join(file);
        tokio::fs::write(&file, order.toml(&claude.url())).await?;
        let started = start(command, &file).await;
        tokio::fs::remove_file(&file).await?;
        let (proxy, url) = started?;
        Ok(Self { url, claude, proxy })
    }

    pub fn seen(&self) -> Value {
        self.claude.seen().iter().map(told).collect()
    }

    pub async fn end(mut self) {
        // It may have ended by itself.
        let _ = self.proxy.kill().await;
    }
}

/// Starts the command and reads where it listens.
async fn start(command: &OsStr, file: &std::path::Path) -> Result<(Child, String), BoxError> {
    let mut proxy = Command::new(command)
        .arg("--config")
        .arg(file)
        .env_clear()
        .env("CLAUDE_PROXY_LOG", "off")
        .env("ANTHROPIC_API_KEY", KEY)
        .env("CLAUDE_PROXY_TOKENS", TOKEN)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = proxy.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    timeout(START, BufReader::new(out).read_line(&mut line)).await??;
    let url = line.strip_prefix("claude-proxy listening on ");
    let url = url.and_then(|rest| Some(rest.split_once(',')?.0));
    let url = url.ok_or("the proxy did not start")?.to_owned();
    Ok((proxy, url))
}

/// A request as a test may see it: of a secret, that it was there.
fn told(seen: &Seen) -> Value {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = match value.to_str() {
            Ok(text) if !value.is_sensitive() => text,
            _ => "…",
        };
        (name.as_str().to_owned(), value.into())
    };
    let headers: Map<String, Value> = seen.headers.iter().map(header).collect();
    json!({
        "method": seen.method.as_str(),
        "path": seen.path,
        "model": seen.model,
        "headers": headers,
    })
}
