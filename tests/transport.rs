//! Connections that fail for real, through both clients: known by kind and not by text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::{error::Error, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    BoxError, Failure, FailureKind, ReplayBody,
    classify::TransportKind,
    client::{HttpsClient, ReqwestService, https_client},
    commit::{CommitBody, CommitLayer},
    testing::{At, FakeClaude, Fault, Reply, Script},
};

fn reqwest(set: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> ReqwestService {
    // Once per process; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    set(reqwest::Client::builder().no_proxy())
        .build()
        .unwrap()
        .into()
}

fn post(url: &str) -> Request<ReplayBody> {
    let json = r#"{"model":"claude-sonnet-5-5","max_tokens":64,"stream":false,"messages":[]}"#;
    Request::post(format!("{url}/v1/messages"))
        .body(json.into())
        .unwrap()
}

async fn ask<S, RB>(client: &S, url: &str) -> Result<Response<CommitBody<RB>>, BoxError>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    RB: Body<Data = bytes::Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    CommitLayer::new()
        .layer(client.clone())
        .oneshot(post(url))
        .await
}

/// How one call fails, through both clients.
async fn failures(url: &str) -> [Failure; 2] {
    let (hyper, reqwest): (HttpsClient, _) = (https_client(), reqwest(|client| client));
    let failure = |error: BoxError| Failure::find(&*error).expect("a failure").clone();
    [
        failure(ask(&hyper, url).await.map(drop).unwrap_err()),
        failure(ask(&reqwest, url).await.map(drop).unwrap_err()),
    ]
}

async fn assert_transport(url: &str, kind: TransportKind) {
    for failure in failures(url).await {
        let causes =
            || std::iter::successors(failure.source(), |&error| error.source()).collect::<Vec<_>>();
        assert_eq!(failure.transport(), Some(kind), "{:?}", causes());
        assert_eq!(failure.kind, FailureKind::Transport);
        assert_eq!(failure.to_string(), format!("transport: {kind}"));
        assert!(failure.is_retryable() && failure.counts_against_circuit());
    }
}

/// A server that does this with each connection.
async fn server<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// Reads whatever comes first, and closes.
async fn hang_up(mut stream: TcpStream) {
    let mut read = [0; 16 << 10];
    let _ = stream.read(&mut read).await;
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_transport(&format!("http://{address}"), TransportKind::Connect).await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_from_one_that_is_not_there() {
    let fake = FakeClaude::start().await.unwrap();
    assert_transport(&format!("https://{}", fake.address()), TransportKind::Tls).await;
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_up_on_a_handshake_fails_at_tls_too() {
    let address = server(hang_up).await;
    assert_transport(&format!("https://{address}"), TransportKind::Tls).await;
}

#[tokio::test]
async fn a_connection_that_is_reset_or_closed_before_the_head_is_a_reset() {
    let fake = FakeClaude::builder()
        .default_script(Reply::reset())
        .start()
        .await
        .unwrap();
    assert_transport(&fake.url(), TransportKind::Reset).await;
    let address = server(hang_up).await;
    assert_transport(&format!("http://{address}"), TransportKind::Reset).await;
}

#[tokio::test]
async fn so_is_one_that_is_reset_or_closed_within_the_answer() {
    for fault in [Fault::Cut, Fault::Close, Fault::End] {
        let reply = Reply::ok().fail(At::Deltas(0), fault);
        let fake = FakeClaude::builder()
            .default_script(reply)
            .start()
            .await
            .unwrap();
        assert_transport(&fake.url(), TransportKind::Reset).await;
    }
}

#[tokio::test]
async fn and_one_that_was_reused_and_is_reset_then() {
    let (hyper, reqwest) = (https_client(), reqwest(|client| client));
    for hyper_or_reqwest in [true, false] {
        let mut reused = false;
        // A connection is free for the next call soon after its answer, but not at once.
        for _ in 0..200 {
            let script = Script::sequence([Reply::ok(), Reply::reset()]);
            let fake = FakeClaude::builder()
                .default_script(script)
                .start()
                .await
                .unwrap();
            let answered = if hyper_or_reqwest {
                ask(&hyper, &fake.url())
                    .await
                    .unwrap()
                    .into_body()
                    .collect()
                    .await
                    .unwrap();
                give_back().await;
                ask(&hyper, &fake.url()).await.map(drop)
            } else {
                ask(&reqwest, &fake.url())
                    .await
                    .unwrap()
                    .into_body()
                    .collect()
                    .await
                    .unwrap();
                give_back().await;
                ask(&reqwest, &fake.url()).await.map(drop)
            };
            let error = answered.unwrap_err();
            let failure = Failure::find(&*error).unwrap();
            assert_eq!(failure.transport(), Some(TransportKind::Reset));
            let seen = fake.seen();
            reused = seen[0].connection == seen[1].connection;
            if reused {
                break;
            }
        }
        assert!(reused, "no connection was used again");
    }
}

/// Lets the tasks of the client run, which take the connection back.
async fn give_back() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The client's limit says of the model what ours would.
#[tokio::test]
async fn a_time_limit_of_the_client_is_a_timeout_and_not_retried() {
    let limit = Duration::from_millis(200);
    let silent = [Reply::hang(), Reply::ok().fail(At::Deltas(0), Fault::Stall)];
    for reply in silent {
        let fake = FakeClaude::builder()
            .default_script(reply)
            .start()
            .await
            .unwrap();
        for client in [
            reqwest(|client| client.timeout(limit)),
            reqwest(|client| client.read_timeout(limit)),
        ] {
            let error = ask(&client, &fake.url()).await.map(drop).unwrap_err();
            let failure = Failure::find(&*error).unwrap();
            assert_eq!(failure.kind, FailureKind::Timeout);
            assert_eq!(failure.transport(), Some(TransportKind::Timeout));
            assert!(!failure.is_retryable() && failure.warrants_fallback());
        }
    }
}

/// Words that name another kind of failure than the one it is.
#[tokio::test]
async fn what_a_server_says_is_not_taken_for_the_kind_of_a_failure() {
    let address = server(|mut stream| async move {
        let mut read = [0; 16 << 10];
        let _ = stream.read(&mut read).await;
        let _ = stream
            .write_all(b"connection refused: timed out\r\n\r\n")
            .await;
    })
    .await;
    for failure in failures(&format!("http://{address}")).await {
        assert_eq!(
            (failure.kind, failure.transport()),
            (FailureKind::Transport, None)
        );
    }
}
