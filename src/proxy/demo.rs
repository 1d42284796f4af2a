//! A proxy to try without a key: in front of a fake Claude with an outage that comes and goes.

use super::error::StartError;
use crate::{
    config::Config,
    testing::{FakeClaude, Reply, Script},
};
use std::{fmt, net::SocketAddr, time::Duration};
use tokio::time::sleep;

const SONNET: &str = "claude-sonnet-5-5";
const HAIKU: &str = "claude-haiku-5-5";

/// A scene: for how many seconds, what is said of it, and whether sonnet and haiku answer.
type Scene = (u64, &'static str, bool, bool);

/// What happens, over and over.
const PLAY: [Scene; 4] = [
    (20, "all is well", true, true),
    (20, "sonnet is overloaded, haiku answers", false, true),
    (20, "all is well again", true, true),
    (
        15,
        "no model answers, a kept or a canned answer stands in",
        false,
        false,
    ),
];

/// A fake Claude with an outage that comes and goes, for a proxy to try without a key.
#[derive(Debug)]
pub struct Demo {
    claude: FakeClaude,
}

impl Demo {
    /// Starts the fake Claude on a free port of loopback.
    ///
    /// # Errors
    ///
    /// [`StartError::Demo`].
    pub async fn start() -> Result<Self, StartError> {
        let claude = FakeClaude::builder()
            .models([SONNET, HAIKU])
            .on(SONNET, well(SONNET))
            .on(HAIKU, well(HAIKU))
            // A demo may run for days.
            .keep(0)
            .start()
            .await;
        match claude {
            Ok(claude) => Ok(Self { claude }),
            Err(error) => Err(StartError::Demo(error.into())),
        }
    }

    /// The settings of a proxy in front of it: no key, and waits short enough to watch.
    #[must_use]
    pub fn over(&self, mut config: Config) -> Config {
        if let Ok(upstream) = self.claude.url().parse() {
            config.upstream = upstream;
        }
        config.auth = None;
        config.backoff.base = Duration::from_millis(200);
        config.circuit.cooldown = Duration::from_secs(3);
        config.circuit.ramp = Duration::from_secs(3);
        config
    }

    /// Lets the outage come and go, for ever.
    pub async fn run(self) {
        loop {
            for (seconds, text, sonnet, haiku) in PLAY {
                tracing::info!("demo, the next {seconds} s: {text}");
                for (model, answers) in [(SONNET, sonnet), (HAIKU, haiku)] {
                    let script = if answers {
                        well(model)
                    } else {
                        Reply::overloaded().into()
                    };
                    // Only a script that cannot be played would fail.
                    drop(self.claude.set(model, script));
                }
                sleep(Duration::from_secs(seconds)).await;
            }
        }
    }

    /// What happens, and lines to try it with: for a shell with curl, with Python's SDK, with TypeScript's. For a proxy that
    /// callers and operators reach at these addresses.
    pub fn lines(&self, callers: SocketAddr, operators: SocketAddr) -> impl fmt::Display + use<> {
        let url = format!("http://{callers}");
        let scenes = PLAY.map(|(seconds, text, ..)| format!("  {seconds} s  {text}\n"));
        format!(
            r#"
A fake Claude answers, without a key and without a network. Its outage comes and goes, over and over:

{scenes}
Ask again and again. The header tower-claude-outcome says what served you: direct, retried, fallback, cached or canned.

With curl:

curl -si {url}/v1/messages -H 'x-api-key: demo' -H 'anthropic-version: 2026-10-21' -H 'content-type: application/json' -d '{{"model":"{SONNET}","max_tokens":64,"messages":[{{"role":"user","content":"Hi"}}]}}'

With Python (pip install anthropic):

python3 -c 'from anthropic import Anthropic; print(Anthropic(base_url="{url}", api_key="demo").messages.create(model="{SONNET}", max_tokens=64, messages=[{{"role": "user", "content": "Hi"}}]).content[0].text)'

With TypeScript (npm install @anthropic-ai/sdk):

npx tsx -e 'import Anthropic from "@anthropic-ai/sdk"; new Anthropic({{ baseURL: "{url}", apiKey: "demo" }}).messages.create({{ model: "{SONNET}", max_tokens: 64, messages: [{{ role: "user", content: "Hi" }}] }}).then((message) => console.log(message.content))'

What an operator sees of it:

curl -s http://{operators}/status.json

"#,
            scenes = scenes.concat(),
        )
    }
}

/// A short answer; as a stream, over half a second.
fn well(model: &str) -> Script {
    let text = format!("Hello from a fake {model}. Ask again and see what serves you.");
    let reply = Reply::ok().text(text).deltas(12);
    reply.every(Duration::from_millis(40)).into()
}
