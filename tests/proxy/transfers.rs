//! What passes through as it comes: of any size, and no faster than it is taken.

use crate::house::*;
use bytes::Bytes;
use futures_util::stream as streams;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tower_claude::testing::{FakeClaude, Reply};

#[tokio::test]
async fn an_upload_streams_through_without_being_held() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 64;
    let house = House::new(
        FakeClaude::builder().max_body(CHUNK * CHUNKS),
        "max_body = '1MiB'\nmax_held = '1MiB'",
    )
    .await;
    house
        .claude
        .set(
            "/v1/files",
            Reply::status(200).json(&json!({"id": "file_1"})),
        )
        .unwrap();

    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let body = StreamBody::new(Box::pin(streams::unfold(0, move |n| {
        counted.store(n, Ordering::Relaxed);
        async move {
            if n == CHUNKS {
                return None;
            }
            tokio::task::yield_now().await;
            let chunk = Frame::data(Bytes::from(vec![b'x'; CHUNK]));
            Some((Ok::<_, Infallible>(chunk), n + 1))
        }
    })));
    let request = Request::post(format!("http://{}/v1/files", house.address));
    let answer = tokio::spawn(client().request(request.body(body).unwrap()));
    let mut most = 0;
    while !answer.is_finished() {
        let held = house.status().await["held_bytes"]["now"].as_u64().unwrap();
        most = most.max(held);
    }
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(sent.load(Ordering::Relaxed), CHUNKS);
    assert_eq!(most, 0);
    assert_eq!(house.claude.seen()[0].body.len(), CHUNK * CHUNKS);

    // One whose length is announced.
    let request = Request::post(format!("http://{}/v1/files", house.address));
    let request = request.body(Full::from(vec![b'x'; 2 * CHUNK])).unwrap();
    assert_eq!(house.send(request).await.status(), StatusCode::OK);
    assert_eq!(house.claude.seen()[1].body.len(), 2 * CHUNK);
}

#[tokio::test]
async fn a_download_of_any_size_streams_through_without_being_held() {
    let file = json!({"data": "x".repeat(8 << 20)});
    let claude = FakeClaude::builder().on("/v1/files/1/content", Reply::status(200).json(&file));
    let house = House::new(claude, "max_body = '1MiB'\nmax_held = '1MiB'").await;
    let response = house.get("/v1/files/1/content").await;
    assert_eq!(house.status().await["held_bytes"]["now"], 0);
    assert_eq!(bytes_of(response).await, file.to_string());
    house.idle().await;
}

#[tokio::test]
async fn an_upload_that_upstream_does_not_take_makes_its_sender_wait() {
    // Accepts, and reads nothing.
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let claude = FakeClaude::start().await.unwrap();
    let house = House::before(claude, config("", &url)).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let body = StreamBody::new(Box::pin(streams::unfold((), move |()| {
        counted.fetch_add(1, Ordering::Relaxed);
        let chunk = Frame::data(Bytes::from(vec![b'x'; 1 << 20]));
        async move { Some((Ok::<_, Infallible>(chunk), ())) }
    })));
    let request = Request::post(format!("http://{}/v1/files", house.address));
    let sending = tokio::spawn(client().request(request.body(body).unwrap()));
    let (_held, _) = upstream.accept().await.unwrap();
    // It stands still when a hundred questions to the proxy, between which everything gets to run, find it where it was.
    let (mut before, mut still) = (0, 0);
    while still < 100 {
        house.status().await;
        let now = sent.load(Ordering::Relaxed);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        assert!(before < 40, "{before} MiB are more than sockets hold");
    }
    assert!(before > 0, "it had begun");
    sending.abort();
}
