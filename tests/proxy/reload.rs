//! Other settings for a proxy that runs.

use crate::house::*;
use http::StatusCode;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_claude::{
    proxy::StartError,
    testing::{FakeClaude, Reply},
};

#[tokio::test]
async fn other_settings_hold_from_the_next_call_and_circuits_and_counters_survive() {
    let claude = FakeClaude::builder().on(HAIKU, Reply::overloaded());
    let house = House::new(claude, "").await;
    house.proxy.stack().circuits().force_open(SONNET);
    assert_eq!(
        house.ask(&call(SONNET)).await.headers()["tower-claude-outcome"],
        "canned"
    );

    let toml = "max_in_flight = 7\nmax_body = '1KiB'\n[features.default]\nmessage = 'New words.'";
    let url = house.claude.url();
    house.proxy.reload(config(toml, &url)).unwrap();
    let message = json_of(house.ask(&call(SONNET)).await).await;
    assert_eq!(message["content"][0]["text"], "New words.");
    let status = house.status().await;
    assert_eq!(status["reloads"]["taken"], 1);
    assert_eq!(status["in_flight"]["max"], 7);
    assert_eq!(status["totals"]["all"]["1h"]["calls"], 2);
    let sonnet = status["circuits"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["model"] == SONNET);
    assert_eq!(sonnet.unwrap()["state"], "forced_open");
    let mut large = call(SONNET);
    large["messages"][0]["content"] = "x".repeat(2000).into();
    assert_eq!(
        house.ask(&large).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn what_one_upstream_answered_does_not_stand_in_for_another() {
    let house = House::well("").await;
    let (own, url) = (house.ask(&call("claude-alone")).await, house.claude.url());
    bytes_of(own).await;
    let down = FakeClaude::builder().on("claude-alone", Reply::overloaded());
    let down = down.start().await.unwrap();
    let mut outcomes = Vec::new();
    for url in [down.url(), url.replace("127.0.0.1", "localhost")] {
        house.proxy.reload(config("", &url)).unwrap();
        house
            .claude
            .set("claude-alone", Reply::overloaded())
            .unwrap();
        let response = house.ask(&call("claude-alone")).await;
        outcomes.push(response.headers()["tower-claude-outcome"].clone());
    }
    house.proxy.reload(config("", &url)).unwrap();
    let response = house.ask(&call("claude-alone")).await;
    outcomes.push(response.headers()["tower-claude-outcome"].clone());
    assert_eq!(outcomes, ["canned", "canned", "cached"]);
}

#[tokio::test]
async fn settings_that_cannot_work_change_nothing() {
    let house = House::well("").await;
    let url = house.claude.url();
    let mut bad = config("[features.default]\nmessage = 'New words.'", &url);
    bad.backoff.jitter = 7.0;
    let error = house.proxy.reload(bad).unwrap_err();
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let status = house.status().await;
    assert_eq!(
        (&status["reloads"]["taken"], &status["reloads"]["refused"]),
        (&0.into(), &1.into())
    );
    assert!(house.proxy.config().backoff.jitter < 1.0);
    assert_eq!(house.ask(&call(SONNET)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_call_under_way_ends_as_it_began_and_the_next_one_goes_elsewhere() {
    let slow = Reply::ok().deltas(10).every(Duration::from_millis(30));
    let house = House::new(FakeClaude::builder().on(SONNET, slow), "").await;
    let other = FakeClaude::start().await.unwrap();
    let streaming = house.ask(&stream(SONNET)).await;
    let mut new = config("", &other.url());
    new.timeouts.connect = Duration::from_secs(1);
    house.proxy.reload(new).unwrap();
    assert_eq!(house.ask(&call(SONNET)).await.status(), StatusCode::OK);
    assert_eq!(other.calls(), 1);
    assert!(text_of(streaming).await.contains("message_stop"));
}

#[tokio::test]
async fn other_settings_hold_from_the_next_request_of_a_kept_connection() {
    let house = House::well("").await;
    let mut kept = TcpStream::connect(house.address).await.unwrap();
    let body = call(SONNET).to_string();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for (max_body, status) in [(None, "200"), (Some("1KiB"), "200"), (Some("10B"), "413")] {
        if let Some(max) = max_body {
            let new = config(&format!("max_body = '{max}'"), &house.claude.url());
            house.proxy.reload(new).unwrap();
        }
        kept.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut part = [0; 4096];
            let bytes = kept.read(&mut part).await.unwrap();
            assert_ne!(bytes, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&part[..bytes]).unwrap());
        }
        assert_eq!(&answer[9..12], status, "{answer}");
    }
}
