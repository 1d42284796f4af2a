//! The end: what is under way finishes, or says that it did not.

use crate::house::*;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use tokio::{net::TcpStream, time::Instant};
use tower_claude::testing::{FakeClaude, Reply};

fn slow(deltas: usize) -> Reply {
    Reply::ok().deltas(deltas).every(Duration::from_millis(50))
}

#[tokio::test]
async fn a_stream_under_way_finishes_while_nothing_new_is_accepted() {
    let mut house = House::new(FakeClaude::builder().on(SONNET, slow(10)), "").await;
    let streaming = house.ask(&stream(SONNET)).await;
    house.proxy.shutdown();
    let readyz = async || {
        let request = http::Request::get(format!("http://{}/readyz", house.admin));
        house
            .send(request.body(Full::default()).unwrap())
            .await
            .status()
    };
    assert_eq!(readyz().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.status().await["draining"], true);
    until(|| async { TcpStream::connect(house.address).await.is_err() }).await;
    assert!(text_of(streaming).await.contains("message_stop"));
    (&mut house.running).await.unwrap();
}

#[tokio::test]
async fn when_the_drain_is_over_streams_end_with_an_error_and_calls_with_a_503() {
    let claude = FakeClaude::builder()
        .on(SONNET, slow(1000))
        .on(HAIKU, Reply::hang());
    let mut house = House::new(claude, "drain = '100ms'").await;
    let streaming = house.ask(&stream(SONNET)).await;
    let waiting =
        tokio::spawn(client().request(post(house.address, "/v1/messages", &call(HAIKU), &[])));
    house.claude.wait_for_calls(2).await;
    house.proxy.shutdown();
    let text = text_of(streaming).await;
    assert!(text.contains("content_block_delta"));
    ends_with_an_error(&text);
    let (status, kind, headers) = error_of(waiting.await.unwrap().unwrap()).await;
    assert_eq!((status, kind.as_str()), (503, "overloaded_error"));
    assert_eq!(headers["retry-after"], "1");
    (&mut house.running).await.unwrap();
}

#[tokio::test]
async fn a_second_shutdown_ends_at_once() {
    let mut house = House::new(FakeClaude::builder().on(SONNET, slow(1000)), "drain = '1h'").await;
    let streaming = house.ask(&stream(SONNET)).await;
    house.proxy.shutdown();
    house.proxy.shutdown();
    let start = Instant::now();
    (&mut house.running).await.unwrap();
    assert!(Instant::now() - start < Duration::from_secs(5));
    // What fits into the connection is still said: no half answer looks whole.
    if let Ok(whole) = streaming.into_body().collect().await {
        ends_with_an_error(&String::from_utf8_lossy(&whole.to_bytes()));
    }
    house.claude.wait_until_idle().await;
}

#[tokio::test]
async fn an_idle_proxy_ends_at_once_though_connections_are_kept() {
    let mut house = House::well("drain = '1h'").await;
    bytes_of(house.ask(&call(SONNET)).await).await;
    let _silent = TcpStream::connect(house.address).await.unwrap();
    let start = Instant::now();
    house.proxy.shutdown();
    (&mut house.running).await.unwrap();
    assert!(Instant::now() - start < Duration::from_secs(5));
}
