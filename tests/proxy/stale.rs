//! A kept connection that upstream has closed costs its call no attempt.

use crate::house::*;
use http::StatusCode;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_claude::testing::FakeClaude;

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;

/// Reads a request and forgets it; false at the end of the connection.
async fn read(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    loop {
        let mut buf = [0; 4096];
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => seen.extend_from_slice(&buf[..n]),
        }
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(|n| n.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return true;
            }
        }
    }
}

/// Answers so many requests on each connection well, and resets the connection at the one after, once it was read.
async fn upstream(answers: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = counted.clone();
            tokio::spawn(async move {
                for _ in 0..answers {
                    if !read(&mut stream).await {
                        return;
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{MESSAGE}",
                        MESSAGE.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                if read(&mut stream).await {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                // Dropped: the end of the connection, before any byte of an answer.
            });
        }
    });
    (url, requests)
}

#[tokio::test]
async fn a_reset_on_a_kept_connection_is_tried_again_without_an_attempt() {
    let (url, requests) = upstream(1).await;
    let house = House::before(FakeClaude::start().await.unwrap(), config("", &url)).await;
    for n in 0..4 {
        let response = house.ask(&call("claude-alone")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()["tower-claude-outcome"],
            "direct",
            "call {n}"
        );
        assert_eq!(response.headers()["tower-claude-attempts"], "1");
        bytes_of(response).await;
    }
    assert_eq!(requests.load(Ordering::Relaxed), 1 + 3 * 2);
    let status = house.status().await;
    assert_eq!(status["totals"]["all"]["1h"]["attempt_failures"], 0);
    // What passes through and has no body is as safe.
    assert_eq!(house.get("/v1/models").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reset_on_a_new_connection_is_a_failed_attempt() {
    let (url, requests) = upstream(0).await;
    let toml = "[features.default]\ndegrade = 'error'\n[backoff]\nattempts = 2";
    let house = House::before(FakeClaude::start().await.unwrap(), config(toml, &url)).await;
    let response = house.ask(&call("claude-alone")).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(response.headers()["tower-claude-attempts"], "2");
    assert_eq!(requests.load(Ordering::Relaxed), 2);
    let response = house.get("/v1/models").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(requests.load(Ordering::Relaxed), 3, "once");
}
