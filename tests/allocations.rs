//! What the success path of the stack allocates, counted.
//!
//! The aim is at most 8 allocations for a call with a 2 KiB request, beyond one clone of its head and beyond what the
//! caller and the client allocate themselves. The figures stand in the assertions, so that one allocation more is a
//! decision and not an accident.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
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
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut out = None;
    let info = allocation_counter::measure(|| {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
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

/// Allocations of one call beyond those of a bare service.
fn beyond(degrade: DegradeLayer) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let body = body();

    let bare = tower::service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, Infallible>(answer()) });
    let (bare, ()) = count(whole(bare, request(&body)));

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
    let calls = (0..8).map(|_| count(whole(service.clone(), request(&body))).0);
    calls.max().unwrap() - bare
}

#[test]
fn the_whole_stack_allocates_at_most_thirteen_times_on_success() {
    let beyond = beyond(DegradeLayer::new().without_cache());
    assert!(beyond <= 13, "{beyond} allocations");
}

/// For an answer that the cache keeps: the copy, and what holds it on its way there.
#[test]
fn with_its_cache_it_allocates_twice_more() {
    let beyond = beyond(DegradeLayer::new());
    assert!(beyond <= 15, "{beyond} allocations");
}

/// Counts its clones. `Send` and no more, as much of a boxed client is.
struct Counted(Arc<AtomicUsize>, Cell<()>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone(), Cell::new(()))
    }
}

/// One clone waits for the request's body, one makes the attempt.
#[test]
fn no_client_is_cloned_for_an_attempt_that_is_not_made() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let clones = Arc::new(AtomicUsize::new(0));
    let counted = Counted(clones.clone(), Cell::new(()));
    let client = tower::service_fn(move |_: Request<ReplayBody>| {
        // All of it moves in here.
        std::hint::black_box(&counted);
        std::future::ready(Ok::<_, Infallible>(answer()))
    });
    let stack = Resilience::builder().chain(["claude-sonnet-5-5", "claude-haiku-5-5"]);
    let service = stack.build().unwrap().layer(client);
    let before = clones.load(Ordering::Relaxed);
    let call: Box<dyn Future<Output = ()> + Send> = Box::new(whole(service, request(&body())));
    count(Box::into_pin(call));
    assert!(clones.load(Ordering::Relaxed) - before <= 2);
}

/// A stream of these frames, each of which has to be waited for.
struct Stream {
    frames: std::vec::IntoIter<Bytes>,
    waited: bool,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.next().map(|frame| Ok(Frame::data(frame))))
    }
}

/// What is allocated while all but the first 100 frames of a stream are read, and whether every byte stayed where it was.
fn streamed(frame: usize) -> (u64, bool) {
    const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\\n\"}}\n\n";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let mut stream = DELTA.repeat(4000);
    stream.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    let wire = Bytes::from(stream);
    let frames: Vec<Bytes> = wire
        .chunks(frame)
        .map(|frame| wire.slice_ref(frame))
        .collect();
    let client = tower::service_fn(move |_: Request<ReplayBody>| {
        let frames = frames.clone().into_iter();
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.body(Stream {
            frames,
            waited: false,
        });
        std::future::ready(Ok::<_, Infallible>(response.unwrap()))
    });
    let stack = Resilience::builder()
        .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
        .degrade(DegradeLayer::new().without_cache())
        .build()
        .unwrap();
    let json = r#"{"model":"claude-sonnet-5-5","max_tokens":64,"stream":true,"messages":[]}"#;
    let request = Request::post("http://127.0.0.1/v1/messages")
        .body(Full::<Bytes>::from(json))
        .unwrap();

    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut call = std::pin::pin!(stack.layer(client).oneshot(request));
    let response = loop {
        if let Poll::Ready(response) = call.as_mut().poll(&mut cx) {
            break response.unwrap();
        }
    };
    let mut body = std::pin::pin!(response.into_body());
    let (mut at, mut read, mut in_place) = (wire.as_ptr() as usize, 0, true);
    let mut next = || loop {
        if let Poll::Ready(frame) = http_body::Body::poll_frame(body.as_mut(), &mut cx) {
            let Some(frame) = frame else { return false };
            let data = frame.unwrap().into_data().unwrap();
            in_place &= data.as_ptr() as usize == at;
            at += data.len();
            read += data.len();
            return true;
        }
    };
    for _ in 0..100 {
        assert!(next());
    }
    let info = allocation_counter::measure(|| while next() {});
    assert_eq!(read, wire.len(), "all of it");
    (info.count_total, in_place)
}

/// However the frames are cut: whole events, half ones, a few bytes of one.
#[test]
fn after_its_commit_a_stream_passes_without_a_copy_and_without_an_allocation() {
    for frame in [137 * 30, 4096, 1000, 137, 50, 7] {
        assert_eq!(streamed(frame), (0, true), "in frames of {frame} bytes");
    }
}
