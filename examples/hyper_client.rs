//! A hyper client inside the stack: JSON, then a stream.
//!
//! ```console
//! $ cargo run --example hyper_client
//! $ ANTHROPIC_API_KEY=… cargo run --example hyper_client -- --live
//! ```

mod common;

use common::{Claude, HAIKU, SONNET, show_head};
use http_body_util::BodyExt;
use serde_json::json;
use tower::Layer;
use tower_claude::{BoxError, Feature, Resilience, client};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = Claude::from_args().await?;
    let stack = Resilience::builder().chain([SONNET, HAIKU]).build()?;
    // HTTP/1.1 and HTTP/2, rustls, TCP_NODELAY. Any hyper-util client will do.
    let claude = stack.layer(client::https_client());

    let mut question = json!({
        "model": SONNET,
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "Say hello." }],
    });
    let mut request = upstream.request::<String>(&question)?;
    request.extensions_mut().insert(Feature::new("chat"));
    let answer = claude.send(request).await?;
    show_head(&answer);
    let body = answer.into_body().collect().await?.to_bytes();
    println!("{}\n", String::from_utf8_lossy(&body));

    question["stream"] = json!(true);
    let answer = claude.send(upstream.request::<String>(&question)?).await?;
    show_head(&answer);
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            print!("{}", String::from_utf8_lossy(&data));
        }
    }
    Ok(())
}
