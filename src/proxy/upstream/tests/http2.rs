//! Connections that have agreed on HTTP/2, as TLS would have them do.

use super::stand::*;
use crate::{
    claude::headers::mark_secrets,
    proxy::upstream::{Upstream, UpstreamBody},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::duplex,
    net::TcpStream,
    sync::watch,
    time::{resume, sleep},
};
use tower_service::Service;

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers().get(HOST), None);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

/// How upstream ends a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    NotYet,
    /// Says that it takes no more requests.
    Politely,
    AtOnce,
}

/// Speaks HTTP/2 on so many connections, and after these HTTP/1.1.
async fn stand(http2: usize) -> (watch::Sender<End>, Stand) {
    let (end, ends) = watch::channel(End::NotYet);
    let stand = Stand::new(move |mut conn, n| {
        let mut ends = ends.clone();
        async move {
            if n >= http2 {
                while conn.request().await {
                    conn.write(OK).await;
                }
                return;
            }
            let server = http2::Builder::new(TokioExecutor::new());
            let io = TokioIo::new(conn.stream());
            let mut serving = pin!(server.serve_connection(io, service_fn(echo)));
            tokio::select! {
                _ = &mut serving => return,
                _ = ends.wait_for(|end| *end != End::NotYet) => (),
            }
            if *ends.borrow() == End::Politely {
                serving.as_mut().graceful_shutdown();
                let _: hyper::Result<()> = serving.await;
            }
        }
    })
    .await;
    (end, stand)
}

/// Hands the client a connection that speaks HTTP/2.
async fn agree(upstream: &Upstream, stand: &Stand) {
    let stream = TcpStream::connect(stand.address()).await.unwrap();
    upstream.pool().share(TokioIo::new(stream)).await.unwrap();
}

async fn body_of(response: Response<UpstreamBody>) -> String {
    text(response).await.unwrap()
}

#[tokio::test]
async fn what_was_agreed_on_is_spoken() {
    let (_end, stand) = stand(1).await;
    let upstream = stand.upstream();
    agree(&upstream, &stand).await;
    for _ in 0..3 {
        let response = post(&upstream, "asked").await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11, "as the proxy has all");
        assert_eq!(body_of(response).await, "asked");
        let (feed, sending) = stream(&upstream);
        feed.send("streamed").await.unwrap();
        drop(feed);
        assert_eq!(body_of(sending.await.unwrap()).await, "streamed");
    }
    assert_eq!(stand.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_no_call_asks_for_grows_old_and_answers_under_way_go_on() {
    let (_end, stand) = stand(0).await;
    let upstream = stand.upstream();
    // No socket: the clock leaps whenever nothing but a timer is left to wait for, and pings would be late.
    let (near, far) = duplex(64 * 1024);
    let server = http2::Builder::new(TokioExecutor::new());
    let serving = tokio::spawn(server.serve_connection(TokioIo::new(far), service_fn(echo)));
    upstream.pool().share(TokioIo::new(near)).await.unwrap();
    let (feed, sending) = stream(&upstream);
    feed.send("first ").await.unwrap();
    let sending = tokio::spawn(sending);
    for _ in 0..3 {
        sleep(Duration::from_secs(89)).await;
        assert_eq!(ask(&upstream).await.unwrap(), "asked", "kept");
    }
    sleep(Duration::from_secs(121)).await;
    resume();
    assert_eq!(ask(&upstream).await.unwrap(), "ok", "over another");
    assert!(!serving.is_finished(), "it has a call");
    feed.send("last").await.unwrap();
    drop(feed);
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(body_of(answer).await, "first last");
    serving.await.unwrap().unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn over_http_2_too_no_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (_end, stand) = stand(1).await;
    let upstream = stand.upstream();
    agree(&upstream, &stand).await;
    let mut request = request(&upstream, "POST", "/v1/messages", "a mArKeD body".into());
    let headers = request.headers_mut();
    for name in ["x-api-key", "cookie", "x-unknown"] {
        headers.insert(name, HeaderValue::from_static("a mArKeD secret"));
    }
    mark_secrets(headers);
    let response = upstream.clone().call(request).await.unwrap();
    assert_eq!(body_of(response).await, "a mArKeD body");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("h2::"), "the log was on");
    assert!(!log.contains("mArKeD"), "{log}");
}

#[tokio::test]
async fn calls_at_the_same_time_share_a_connection() {
    let (_end, stand) = stand(1).await;
    let upstream = stand.upstream();
    agree(&upstream, &stand).await;
    let asked: Vec<_> = (0..50)
        .map(|n| {
            let sending = post(&upstream, n.to_string());
            tokio::spawn(async move { (n, sending.await.unwrap()) })
        })
        .collect();
    for asked in asked {
        let (n, response) = asked.await.unwrap();
        assert_eq!(body_of(response).await, n.to_string());
    }
    assert_eq!((stand.connections(), stand.open()), (1, 1));
}

#[tokio::test]
async fn one_that_upstream_has_closed_is_forgotten_and_the_request_goes_whole_over_another() {
    for how in [End::Politely, End::AtOnce] {
        for streams in [false, true] {
            let (end, stand) = stand(1).await;
            let upstream = stand.upstream();
            agree(&upstream, &stand).await;
            let response = post(&upstream, "asked").await.unwrap();
            assert_eq!(body_of(response).await, "asked");
            end.send(how).unwrap();
            settle().await;
            // What upstream agrees on now is HTTP/1.1.
            let (path, coding) = if streams {
                let (feed, sending) = stream(&upstream);
                feed.send("asked").await.unwrap();
                drop(feed);
                assert_eq!(body_of(sending.await.unwrap()).await, "ok");
                let coding = "transfer-encoding: chunked\r\n\r\n5\r\nasked\r\n0\r\n\r\n";
                ("/v1/files", coding)
            } else {
                assert_eq!(ask(&upstream).await.unwrap(), "ok");
                ("/v1/messages", "content-length: 5\r\n\r\nasked")
            };
            let host = stand.address();
            assert_eq!(
                stand.last(),
                format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{coding}")
            );
            settle().await;
            assert_eq!(ask(&upstream).await.unwrap(), "ok");
            assert_eq!((stand.connections(), stand.open()), (2, 1), "{how:?}");
        }
    }
}

#[tokio::test]
async fn of_two_that_come_at_the_same_time_the_first_is_kept() {
    let ((_end, first), (_same, second)) = (stand(1).await, stand(1).await);
    let upstream = first.upstream();
    agree(&upstream, &first).await;
    agree(&upstream, &second).await;
    until(|| second.connections() == 1 && second.open() == 0).await;
    let response = post(&upstream, "asked").await.unwrap();
    assert_eq!(body_of(response).await, "asked");
    assert_eq!((first.connections(), first.open()), (1, 1));
}

#[tokio::test]
async fn the_first_gives_way_to_the_second_where_it_is_closed() {
    let (end, stand) = stand(1).await;
    let upstream = stand.upstream();
    agree(&upstream, &stand).await;
    end.send(End::AtOnce).unwrap();
    until(|| stand.open() == 0).await;
    settle().await;
    let (_end, second) = self::stand(1).await;
    agree(&upstream, &second).await;
    let response = post(&upstream, "asked").await.unwrap();
    assert_eq!(body_of(response).await, "asked");
    assert_eq!((stand.connections(), second.connections()), (1, 1));
}
