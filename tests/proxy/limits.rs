//! Nothing is unbounded: calls, bytes, heads, bodies, and the time of each.

use crate::house::*;
use bytes::Bytes;
use futures_util::stream as streams;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use serde_json::{Value, json};
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tower_claude::testing::{FakeClaude, Reply};

fn large(bytes: usize) -> Value {
    let mut call = call(SONNET);
    call["messages"][0]["content"] = "x".repeat(bytes).into();
    call
}

#[tokio::test]
async fn more_calls_than_fit_get_a_429_that_may_be_retried_at_once_places_are_free() {
    let slow = Reply::ok().deltas(3).every(Duration::from_millis(200));
    let house = House::new(FakeClaude::builder().on(SONNET, slow), "max_in_flight = 2").await;
    let first = house.ask(&stream(SONNET)).await;
    let second = house.ask(&stream(SONNET)).await;
    for path in ["/v1/messages", "/v1/files"] {
        let (status, kind, headers) = error_of(house.post(path, &call(SONNET), &[]).await).await;
        assert_eq!((status, kind.as_str()), (429, "rate_limit_error"));
        assert_eq!(headers["retry-after"], "1");
        assert!(!headers.contains_key("x-should-retry"));
    }
    assert!(text_of(first).await.contains("message_stop"));
    drop(second);
    house.idle().await;
    assert_eq!(house.ask(&call(SONNET)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_call_is_in_flight_once_it_is_made() {
    let house = House::well("max_in_flight = 1").await;
    let made = house
        .proxy
        .call(post(house.address, "/v1/messages", &call(SONNET), &[]));
    assert_eq!(house.status().await["in_flight"]["now"], 1);
    let (status, _, _) = error_of(house.ask(&call(SONNET)).await).await;
    assert_eq!(status, 429);
    drop(made);
    assert_eq!(house.status().await["in_flight"]["now"], 0);
    assert_eq!(house.ask(&call(SONNET)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn more_bytes_than_fit_get_the_same_429_and_no_model_is_blamed() {
    let house = House::new(
        FakeClaude::builder().on(SONNET, Reply::hang()),
        "max_body = '64KiB'\nmax_held = '100KiB'",
    )
    .await;
    let held = {
        let request = post(house.address, "/v1/messages", &large(60_000), &[]);
        tokio::spawn(client().request(request))
    };
    until(|| async { house.status().await["held_bytes"]["now"].as_u64().unwrap() > 60_000 }).await;
    let (status, kind, headers) = error_of(house.ask(&large(60_000)).await).await;
    assert_eq!((status, kind.as_str()), (429, "rate_limit_error"));
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(house.claude.calls(), 1);
    held.abort();
    house.idle().await;
    assert_eq!(
        house.status().await["totals"]["all"]["1h"]["attempt_failures"],
        0
    );
}

#[tokio::test]
async fn answers_that_are_held_back_count_and_their_429_is_not_the_models_failure() {
    let text = "x".repeat(200_000);
    let claude = FakeClaude::builder().default_script(Reply::ok().text(text).deltas(50));
    let house = House::new(claude, "max_body = '64KiB'\nmax_held = '100KiB'").await;
    let (status, kind, headers) = error_of(house.ask(&call(SONNET)).await).await;
    assert_eq!((status, kind.as_str()), (429, "rate_limit_error"));
    assert_eq!(headers["retry-after"], "1");
    // A stream is not held back once it has begun.
    let response = house.ask(&stream(SONNET)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(text_of(response).await.contains("message_stop"));
    house.idle().await;
    let circuits = house.status().await["circuits"].clone();
    assert!(
        circuits
            .as_array()
            .unwrap()
            .iter()
            .all(|circuit| circuit["failures"] == 0)
    );
}

#[tokio::test]
async fn a_body_over_the_limit_gets_a_413_that_its_sender_can_read() {
    let house = House::well("max_body = '64KiB'").await;
    let fits = house.ask(&large(60_000)).await;
    assert_eq!(fits.status(), StatusCode::OK);
    house.claude.clear_seen();
    // Announced, and far more than sockets hold.
    let request = Request::post(format!("http://{}/v1/messages", house.address));
    let request = request.body(Full::from(vec![b'x'; 12 << 20])).unwrap();
    let (status, kind, _) = error_of(house.send(request).await).await;
    assert_eq!((status, kind.as_str()), (413, "request_too_large"));
    // Not announced.
    let chunks =
        (0..400).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 32 << 10]))));
    let request = Request::post(format!("http://{}/v1/messages", house.address));
    let request = request
        .body(StreamBody::new(streams::iter(chunks)))
        .unwrap();
    let (status, kind, _) = error_of(client().request(request).await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (413, "request_too_large"));
    assert_eq!(house.claude.calls(), 0);
    house.idle().await;
}

#[tokio::test]
async fn who_asks_before_it_sends_its_body_is_told_before() {
    let house = House::well("max_body = '64KiB'").await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_a_431() {
    let house = House::well("").await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    let answer = raw(house.address, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "x: 1\r\n".repeat(200);
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    assert!(
        raw(house.address, many.as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert_eq!(house.claude.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_and_a_body_that_never_comes_are_given_up() {
    let house = House::well("").await;
    assert_eq!(
        raw(
            house.address,
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow"
        )
        .await,
        ""
    );
    let request = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = raw(house.address, format!("{request}GET /v1/mo").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "half a second head");
    house.claude.clear_seen();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model\"";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    let head = "POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nx";
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408", "passing through");
    assert_eq!(house.claude.calls(), 0);
}

#[tokio::test]
async fn a_caller_that_reads_nothing_is_dropped_and_upstream_with_it() {
    // More than the sockets between them hold.
    let long = Reply::ok().text("x".repeat(6 << 20)).deltas(20);
    let house = House::new(
        FakeClaude::builder().on(SONNET, long),
        "[timeouts]\nslow_reader = '100ms'",
    )
    .await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut caller = socket.connect(house.address).await.unwrap();
    let body = stream(SONNET).to_string();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    caller.write_all((head + &body).as_bytes()).await.unwrap();
    house.claude.wait_for_calls(1).await;
    house.claude.wait_until_idle().await;
    house.idle().await;
    let mut seen = Vec::new();
    // A reset ends it too.
    let _ = caller.read_to_end(&mut seen).await;
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
    assert!(!seen.contains("message_stop"));
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_call_along() {
    let claude = FakeClaude::builder().default_script(Reply::hang());
    let house = House::new(claude, "").await;
    for body in [call(SONNET), json!({"model": SONNET, "stream": true})] {
        let request = post(house.address, "/v1/messages", &body, &[]);
        let asking = tokio::spawn(client().request(request));
        house.claude.wait_for_calls(1).await;
        asking.abort();
        house.idle().await;
        house.claude.wait_until_idle().await;
        house.claude.clear_seen();
    }
}
