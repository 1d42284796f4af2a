//! An axum app whose handlers call Claude through a stack in its state, each route under a feature of its own; and a
//! route that forwards to Claude as it is.
//!
//! ```console
//! $ cargo run --example axum_app                 # asks itself a few questions, then ends
//! $ cargo run --example axum_app -- --serve      # stays, for curl
//! ```

mod common;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use common::{Claude, HAIKU, SONNET};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::{Layer, ServiceBuilder};
use tower_claude::{
    BoxError, BoxResilient, Feature, Resilience, answer_errors::AnswerErrorsLayer, client,
};

#[derive(Clone)]
struct App {
    claude: BoxResilient<Body>,
    upstream: Arc<Claude>,
}

/// Asks Claude for the text of an answer. `feature` decides which compartment, chain and canned message the call has.
async fn ask(app: &App, feature: &'static str, prompt: &str) -> Result<String, BoxError> {
    let mut request = app.upstream.request::<Body>(&json!({
        "model": SONNET,
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": prompt }],
    }))?;
    request.extensions_mut().insert(Feature::from(feature));
    let answer = app.claude.send(request).await?;
    let message: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
    Ok(message["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn chat(State(app): State<App>, prompt: String) -> Response {
    match ask(&app, "chat", &prompt).await {
        Ok(text) => Json(json!({ "reply": text })).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn summary(State(app): State<App>, text: String) -> Response {
    match ask(&app, "summary", &format!("Summarize: {text}")).await {
        Ok(text) => text.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = Arc::new(Claude::from_args().await?);
    let stack = Resilience::builder().chain([SONNET, HAIKU]).build()?;
    let claude = stack.layer(client::https_client());

    // `POST /v1/messages` goes to Claude as it is. The stack is the same one: its circuits see these calls too.
    let to: Uri = upstream.messages_url.parse()?;
    let forward = ServiceBuilder::new()
        .layer(AnswerErrorsLayer::new())
        .map_request(move |mut request: Request| {
            *request.uri_mut() = to.clone();
            // The host of this app is not the host of Claude.
            request.headers_mut().remove("host");
            request
        })
        .service(claude.clone());

    let app = Router::new()
        .route("/chat", post(chat))
        .route("/summary", post(summary))
        .with_state(App {
            claude: claude.boxed(),
            upstream: upstream.clone(),
        })
        .route_service("/v1/messages", forward);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    if std::env::args().any(|arg| arg == "--serve") {
        return Ok(server.await??);
    }

    let browser = client::https_client();
    for (path, body) in [
        ("/chat", "Say hello."),
        ("/summary", "A long text."),
        (
            "/v1/messages",
            r#"{"model":"claude-sonnet-5-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#,
        ),
    ] {
        let request = http::Request::post(format!("http://{address}{path}"))
            .header("x-api-key", &upstream.key)
            .header("anthropic-version", "2026-10-21")
            .header("content-type", "application/json")
            .body(body.into())?;
        let answer = browser.request(request).await?;
        let outcome = answer.headers().get("tower-claude-outcome").cloned();
        let text = answer.into_body().collect().await?.to_bytes();
        println!(
            "POST {path} → {}  {}",
            String::from_utf8_lossy(&text),
            outcome.map_or(String::new(), |o| format!("({o:?})"))
        );
    }
    Ok(())
}
