//! Where the examples find Claude: the fake one on loopback, or with `--live` and `ANTHROPIC_API_KEY` the real one.
#![allow(dead_code, unreachable_pub, reason = "each example uses its part")]

use tower_claude::{
    BoxError,
    testing::{FakeClaude, Reply, Script},
};

pub const SONNET: &str = "claude-sonnet-5-5";
pub const HAIKU: &str = "claude-haiku-5-5";

/// A Claude to talk to. Keep it as long as you talk.
pub struct Claude {
    pub messages_url: String,
    pub key: String,
    pub fake: Option<FakeClaude>,
}

impl Claude {
    /// The real API with `--live`, else a fake one whose sonnet is overloaded for its first calls.
    pub async fn from_args() -> Result<Self, BoxError> {
        if std::env::args().any(|arg| arg == "--live") {
            let key = std::env::var("ANTHROPIC_API_KEY")
                .map_err(|_| "--live needs the environment variable ANTHROPIC_API_KEY")?;
            let messages_url = "https://api.anthropic.com/v1/messages".to_owned();
            return Ok(Self {
                messages_url,
                key,
                fake: None,
            });
        }
        let fake = FakeClaude::builder()
            .on(
                SONNET,
                Script::new()
                    .calls(..2, Reply::overloaded())
                    .always(Reply::ok().text("Hello from sonnet.")),
            )
            .on(HAIKU, Reply::ok().text("Hello from haiku."))
            .start()
            .await?;
        println!(
            "talking to a fake Claude at {}; sonnet is overloaded for two calls",
            fake.url()
        );
        Ok(Self {
            messages_url: fake.messages_url(),
            key: "sk-fake".to_owned(),
            fake: Some(fake),
        })
    }

    /// A Messages request, ready to send.
    pub fn request<B: From<String>>(
        &self,
        body: &serde_json::Value,
    ) -> Result<http::Request<B>, http::Error> {
        http::Request::post(&self.messages_url)
            .header("x-api-key", &self.key)
            .header("anthropic-version", "2026-10-21")
            .header("content-type", "application/json")
            .body(B::from(body.to_string()))
    }
}

/// Shows what served an answer.
pub fn show_head<B>(answer: &http::Response<B>) {
    println!("{}", answer.status());
    for (name, value) in answer.headers() {
        if name.as_str().starts_with("tower-claude-") || name == "request-id" {
            println!("  {name}: {}", value.to_str().unwrap_or("?"));
        }
    }
}
