//! Two of our layers among tower's and tower-http's, in a stack of your own.
//!
//! Only a circuit breaker and backoff are wanted here; the timeout is tower's, the tracing tower-http's, and a header is
//! set on each attempt. Without `ReplayLayer` the layers know nothing of the call, so all models share one circuit.
//!
//! ```console
//! $ cargo run --example mix_layers
//! ```

mod common;

use bytes::Bytes;
use common::{Claude, SONNET};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use serde_json::json;
use std::{num::NonZeroU8, time::Duration};
use tower::{ServiceBuilder, ServiceExt};
use tower_claude::{
    BoxError, ReplayBody, circuit_breaker::CircuitBreakerLayer, client,
    jitter_backoff::JitterBackoffLayer,
};
use tower_http::{set_header::SetRequestHeaderLayer, trace::TraceLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_env_filter("tower_http=debug,tower_claude=debug")
        .init();
    let upstream = Claude::from_args().await?;
    let breaker = CircuitBreakerLayer::new().with_cooldown(Duration::from_secs(10));
    let circuits = breaker.handle();

    let service = ServiceBuilder::new()
        // One trace and one timeout for the call …
        .layer(TraceLayer::new_for_http())
        .timeout(Duration::from_secs(30))
        // … with up to four attempts in it …
        .layer(JitterBackoffLayer::new().with_attempts(NonZeroU8::new(4).ok_or("not zero")?))
        // … each counted by the circuit, and marked.
        .layer(breaker)
        .layer(SetRequestHeaderLayer::overriding(
            HeaderName::from_static("x-team"),
            HeaderValue::from_static("search"),
        ))
        .service(client::https_client());

    let request: Request<ReplayBody> = upstream.request(&json!({
        "model": SONNET,
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "Say hello." }],
    }))?;
    let answer = service.oneshot(request).await?;
    println!("{}", answer.status());
    let body: Bytes = answer.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    for circuit in circuits.snapshot() {
        println!(
            "circuit {}: {:?}, {} failures in its window",
            circuit.model, circuit.state, circuit.failures
        );
    }
    if let Some(fake) = upstream.fake {
        println!("{} attempts reached the fake Claude", fake.calls());
    }
    Ok(())
}
