//! A reqwest client inside the stack, through the adapter of the feature `reqwest`.
//!
//! ```console
//! $ cargo run --example reqwest_client
//! $ ANTHROPIC_API_KEY=… cargo run --example reqwest_client -- --live
//! ```

mod common;

use common::{Claude, HAIKU, SONNET, show_head};
use http_body_util::BodyExt;
use serde_json::json;
use tower::Layer;
use tower_claude::{BoxError, BoxResilient, Feature, Resilience, client::ReqwestService};

/// The stack by a short name, as an application would keep it.
struct App {
    claude: BoxResilient<String>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = Claude::from_args().await?;
    // Your own client, with your proxies, roots and timeouts. This one was built without a TLS provider of its own.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "rustls is already set up")?;
    let client = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let stack = Resilience::builder().chain([SONNET, HAIKU]).build()?;
    let app = App {
        claude: stack.layer(ReqwestService::new(client)).boxed(),
    };

    for feature in ["chat", "summary"] {
        let mut request = upstream.request::<String>(&json!({
            "model": SONNET,
            "max_tokens": 64,
            "messages": [{ "role": "user", "content": "Say hello." }],
        }))?;
        request.extensions_mut().insert(Feature::new(feature));
        let answer = app.claude.send(request).await?;
        println!("feature {feature}");
        show_head(&answer);
        let body = answer.into_body().collect().await?.to_bytes();
        println!("{}\n", String::from_utf8_lossy(&body));
    }
    Ok(())
}
