//! The clients over real connections: what they send is what they were given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use axum::{Router, extract::Request as Incoming, http::header, routing::any};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use std::net::SocketAddr;
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    BoxError,
    body::replay::ReplayBody,
    bulkhead::{BulkheadLayer, Compartment},
    client::{ReqwestService, https_client},
};

/// Sends the body back, and says in headers how it came.
async fn echo(request: Incoming) -> impl axum::response::IntoResponse {
    let header = |name| {
        let value = request.headers().get(name);
        value
            .map_or("none", |value| value.to_str().unwrap())
            .to_owned()
    };
    let seen = [
        ("seen-length", header(header::CONTENT_LENGTH)),
        ("seen-encoding", header(header::TRANSFER_ENCODING)),
        (
            "seen-key",
            header(header::HeaderName::from_static("x-api-key")),
        ),
        ("seen-method", request.method().to_string()),
    ];
    (
        StatusCode::CREATED,
        axum::response::AppendHeaders(seen),
        request.into_body(),
    )
}

async fn server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/v1/messages", any(echo));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn reqwest_service() -> ReqwestService {
    // Once per process; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .into()
}

fn post(server: SocketAddr, body: ReplayBody) -> Request<ReplayBody> {
    Request::post(format!("http://{server}/v1/messages?beta=true"))
        .header("x-api-key", "secret")
        .body(body)
        .unwrap()
}

fn bodies() -> [(ReplayBody, String); 4] {
    let parts = |parts: &[&'static str]| {
        let parts = parts.iter().map(|part| Bytes::from_static(part.as_bytes()));
        ReplayBody::from(parts.collect::<Vec<_>>())
    };
    let large = "x".repeat(3_000_000);
    [
        (ReplayBody::default(), String::new()),
        (parts(&["{\"model\":\"m\"}"]), "{\"model\":\"m\"}".into()),
        (
            parts(&["{\"model\":", "\"m\"", "}"]),
            "{\"model\":\"m\"}".into(),
        ),
        (
            vec![Bytes::from(large.clone()), Bytes::from("y")].into(),
            large + "y",
        ),
    ]
}

async fn sends_every_body_whole_with_its_length<S, B>(service: S)
where
    S: Service<Request<ReplayBody>, Response = http::Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let server = server().await;
    for (body, content) in bodies() {
        let answer = service.clone().oneshot(post(server, body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let seen = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        // hyper leaves out the length of a body that has none.
        let length = Some(content.len()).filter(|length| *length > 0);
        let length = length.map_or("none".into(), |length| length.to_string());
        assert_eq!(seen("seen-length"), length);
        assert_eq!(seen("seen-encoding"), "none", "not chunked");
        assert_eq!(
            (seen("seen-key"), seen("seen-method")),
            ("secret".into(), "POST".into())
        );
        let echoed = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(
            echoed == content.as_bytes(),
            "{} bytes came back",
            echoed.len()
        );
    }
}

#[tokio::test]
async fn reqwest_sends_every_body_whole_with_its_length_and_not_chunked() {
    sends_every_body_whole_with_its_length(reqwest_service()).await;
}

#[tokio::test]
async fn hyper_sends_every_body_whole_with_its_length_and_not_chunked() {
    sends_every_body_whole_with_its_length(https_client()).await;
}

#[tokio::test]
async fn a_body_that_was_begun_goes_on_where_it_stands() {
    let server = server().await;
    let mut body = ReplayBody::from(vec![Bytes::from("a"), Bytes::from("bc")]);
    body.frame().await.unwrap().unwrap();
    let answer = reqwest_service().oneshot(post(server, body)).await.unwrap();
    assert_eq!(answer.headers()["seen-length"], "2");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "bc");

    let mut read = ReplayBody::from("abc");
    read.frame().await.unwrap().unwrap();
    let answer = reqwest_service().oneshot(post(server, read)).await.unwrap();
    let echoed = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(echoed.is_empty());
}

#[tokio::test]
async fn a_request_that_came_in_over_http_2_goes_out_as_the_server_speaks() {
    let mut request = post(server().await, "{}".into());
    *request.version_mut() = Version::HTTP_2;
    let answer = reqwest_service().oneshot(request).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
}

#[tokio::test]
async fn a_uri_that_nobody_can_send_to_and_a_closed_port_are_errors() {
    let nowhere = Request::post("/v1/messages")
        .body(ReplayBody::default())
        .unwrap();
    assert!(
        reqwest_service()
            .oneshot(nowhere)
            .await
            .unwrap_err()
            .is_builder()
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let request = || post(closed, "{}".into());
    assert!(
        reqwest_service()
            .oneshot(request())
            .await
            .unwrap_err()
            .is_connect()
    );
    assert!(
        https_client()
            .oneshot(request())
            .await
            .unwrap_err()
            .is_connect()
    );
}

#[tokio::test]
async fn layers_stand_on_both_clients() -> Result<(), BoxError> {
    let server = server().await;
    let layer = BulkheadLayer::new().with_default(Compartment::new(1));
    let over_reqwest = layer.layer(reqwest_service());
    let over_hyper = layer.layer(https_client());
    for _ in 0..3 {
        let answer = over_reqwest
            .clone()
            .oneshot(post(server, "{}".into()))
            .await?;
        assert_eq!(answer.into_body().collect().await?.to_bytes(), "{}");
        let answer = over_hyper
            .clone()
            .oneshot(post(server, "{}".into()))
            .await?;
        assert_eq!(answer.into_body().collect().await?.to_bytes(), "{}");
    }
    assert_eq!(layer.handle().snapshot()[0].in_flight, 0);
    Ok(())
}
