//! The routes of the stack: retried, sent elsewhere, degraded, by the rules of the feature and in time.

use crate::house::*;
use axum::{Extension, Router, extract::State, routing::get};
use http::StatusCode;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use tower_claude::{
    Feature,
    testing::{At, FakeClaude, Fault, Reply, Script},
};

#[tokio::test]
async fn a_call_is_retried_and_sent_to_the_next_model() {
    let flaky = Script::new().calls(..1, Reply::overloaded());
    let house = House::new(FakeClaude::builder().on(SONNET, flaky), "").await;
    let response = house.ask(&call(SONNET)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["tower-claude-outcome"], "retried");
    house.claude.set(SONNET, Reply::overloaded()).unwrap();
    let response = house.ask(&stream(SONNET)).await;
    assert_eq!(response.headers()["tower-claude-outcome"], "fallback");
    assert_eq!(response.headers()["tower-claude-model"], HAIKU);
    assert!(text_of(response).await.contains("message_stop"));
    house.idle().await;
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_start_ends_with_an_error() {
    let reply = Reply::ok().deltas(8).fail(At::Deltas(4), Fault::Cut);
    let house = House::new(FakeClaude::builder().on(SONNET, reply), "").await;
    let text = text_of(house.ask(&stream(SONNET)).await).await;
    assert!(text.contains("content_block_delta"), "{text}");
    assert!(
        text.trim_end().lines().rev().nth(1) == Some("event: error"),
        "{text}"
    );
    assert!(!text.contains("message_stop"));
    house.idle().await;
}

#[tokio::test]
async fn the_feature_decides_what_stands_in() {
    let claude = FakeClaude::builder().default_script(Reply::overloaded());
    let house = House::new(claude, "[features.chat]\nmessage = 'Back soon.'").await;
    let ask = |feature| {
        let headers = [("tower-claude-feature", feature)];
        let house = &house;
        async move { house.post("/v1/messages", &call(SONNET), &headers).await }
    };
    let chat = ask("chat").await;
    assert_eq!(chat.status(), StatusCode::OK);
    assert_eq!(chat.headers()["tower-claude-outcome"], "canned");
    let message = json_of(chat).await;
    assert_eq!(message["content"][0]["text"], "Back soon.");
    assert_eq!(message["_degraded"], true);
    let (status, kind, headers) = error_of(ask("code").await).await;
    assert_eq!((status, kind.as_str()), (529, "overloaded_error"));
    assert_eq!(headers["x-should-retry"], "false");
    let unknown = ask("no-such-feature").await;
    assert_eq!(unknown.headers()["tower-claude-outcome"], "canned");
    assert!(house.status().await["unknown_features"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn tokens_are_counted_with_retries_and_never_made_up() {
    let flaky = Script::new().calls(..1, Reply::overloaded());
    let house = House::new(
        FakeClaude::builder().on("/v1/messages/count_tokens", flaky),
        "",
    )
    .await;
    let body = json!({"model": SONNET});
    let count = || house.post("/v1/messages/count_tokens", &body, &[]);
    let response = count().await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(json_of(response).await["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(house.claude.seen().len(), 2);
    let streamed = stream(SONNET);
    let response = house.post("/v1/messages/count_tokens", &streamed, &[]);
    assert_eq!(response.await.status(), StatusCode::OK);
    house
        .claude
        .set("/v1/messages/count_tokens", Reply::overloaded())
        .unwrap();
    let (status, kind, headers) = error_of(count().await).await;
    assert_eq!((status, kind.as_str()), (529, "overloaded_error"));
    assert!(!headers.contains_key("tower-claude-degraded"));
}

#[tokio::test]
async fn the_timeout_of_an_sdk_is_the_deadline_of_its_call() {
    let claude = FakeClaude::builder().default_script(Reply::hang());
    let house = House::new(claude, "").await;
    let start = Instant::now();
    let headers = [
        ("x-stainless-timeout", "2.2"),
        ("tower-claude-feature", "code"),
    ];
    let response = house
        .post("/v1/messages", &call("claude-alone"), &headers)
        .await;
    let (status, kind, _) = error_of(response).await;
    assert_eq!((status, kind.as_str()), (504, "timeout_error"));
    let took = Instant::now() - start;
    assert!(took >= Duration::from_millis(1_100), "{took:?}");
    assert!(took < Duration::from_millis(2_200), "{took:?}");
}

#[tokio::test]
async fn the_proxy_nests_in_an_axum_app() {
    let house = House::well("").await;
    let app = Router::new()
        .route(
            "/count",
            get(|State(count): State<u32>| async move { count.to_string() }),
        )
        .nest("/claude", house.proxy.router())
        .layer(Extension(Feature::new("chat")))
        .with_state(7);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let path = "/claude/v1/messages?beta=true";
    let response = house.send(post(address, path, &call(SONNET), &[])).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["tower-claude-outcome"], "direct");
    assert_eq!(house.claude.seen()[0].path, "/v1/messages?beta=true");
    let totals = house.status().await["totals"].clone();
    assert_eq!(
        totals["features"]["chat"]["1h"]["calls"], 1,
        "set by a layer"
    );
    server.abort();
}
