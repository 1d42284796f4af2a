//! What the success path of the stack allocates, counted.
//!
//! The aim is at most 12 allocations for a call with a 2 KiB request, beyond one clone of its head and beyond what the
//! caller and the client allocate themselves. The figures stand in the assertions, so that one allocation more is a
//! decision and not an accident.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use tower::{Layer, ServiceExt};
use tower_claude::{ReplayBody, Resilience, degrade::DegradeLayer};

const HEADERS: [&str; 6] = [
    "x-api-key",
    "anthropic-version",
    "content-type",
    "accept",
    "user-agent",
    "x-other",
];

fn answer() -> Response<Full<Bytes>> {
    let body = br#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;
    let mut response = Response::new(Full::new(Bytes::from_static(body)));
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    response
}

fn request(body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::post("http://127.0.0.1/v1/messages")
        .body(Full::new(body.clone()))
        .unwrap();
    for name in HEADERS {
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static("value"));
    }
    request
}

/// A request of 2 KiB.
fn body() -> Bytes {
    let text = "x".repeat(1900);
    format!(r#"{{"model":"claude-sonnet-5-5","max_tokens":64,"messages":[{{"role":"user","content":"{text}"}}]}}"#).into()
}

/// Polls a future that never waits, counting what it allocates.
fn count<F: Future>(future: F) -> (u64, F::Output) {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut out = None;
    let info = allocation_counter::measure(|| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            out = Some(value);
        }
    });
    (
        info.count_total,
        out.expect("nothing in the stack waits on the success path"),
    )
}

async fn whole<S, B>(service: S, request: Request<Full<Bytes>>)
where
    S: tower::Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let response = service.oneshot(request).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}

/// Allocations of one call beyond those of a bare service and of one clone of the head.
fn beyond(degrade: DegradeLayer) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let body = body();

    let bare = tower::service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(answer()) });
    let (bare, ()) = count(whole(bare, request(&body)));
    let head = request(&body);
    let clone = allocation_counter::measure(|| drop(std::hint::black_box(head.clone())));

    let client =
        tower::service_fn(|_: Request<ReplayBody>| async { Ok::<_, Infallible>(answer()) });
    let stack = Resilience::builder()
        .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
        .degrade(degrade)
        .build()
        .unwrap();
    let service = stack.layer(client);
    // The first calls make circuits, compartments and budgets.
    for _ in 0..3 {
        count(whole(service.clone(), request(&body)));
    }
    // The store of the cache allocates one more now and then, as its hashes fall.
    let calls = (0..8).map(|_| count(whole(service.clone(), request(&body))).0);
    calls.min().unwrap() - bare - clone.count_total
}

#[test]
fn the_whole_stack_allocates_at_most_twelve_times_on_success() {
    let beyond = beyond(DegradeLayer::new().without_cache());
    assert!(beyond <= 12, "{beyond} allocations");
}

/// The cache keeps a copy of the answer, with its key.
#[test]
fn with_its_cache_it_allocates_some_more() {
    let beyond = beyond(DegradeLayer::new());
    assert!(beyond <= 22, "{beyond} allocations");
}
