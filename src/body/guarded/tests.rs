use super::*;
use http_body_util::{BodyExt, Full, StreamBody};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<Ending>>>);

impl Guard for Log {
    fn end(self, ending: Ending) {
        self.0.lock().unwrap().push(ending);
    }
}

impl Log {
    fn all(&self) -> Vec<Ending> {
        self.0.lock().unwrap().clone()
    }
}

fn sse(chunks: &[&'static str]) -> impl Body<Data = Bytes, Error = BoxError> + Unpin + use<> {
    let frames: Vec<Result<_, BoxError>> = chunks
        .iter()
        .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn guarded<B: Body<Data = Bytes>>(body: B, kind: &str, log: &Log) -> GuardedBody<B, Log> {
    let response = Response::builder()
        .header("content-type", kind)
        .body(body)
        .unwrap();
    let result = Ok(response);
    let verdict = Verdict::of(&result);
    guard_response(result, Some(Watch::new(log.clone())), &verdict)
        .unwrap()
        .into_body()
}

#[tokio::test]
async fn a_body_read_to_its_end_is_complete_once() {
    let log = Log::default();
    let body = guarded(Full::new(Bytes::from("{}")), "application/json", &log);
    body.collect().await.unwrap();
    assert_eq!(log.all(), [Ending::Complete]);
}

#[tokio::test]
async fn a_stream_without_message_stop_is_truncated_though_it_ends_cleanly() {
    let log = Log::default();
    let body = guarded(
        sse(&["event: ping\ndata: {}\n\n"]),
        "text/event-stream",
        &log,
    );
    body.collect().await.unwrap();
    assert_eq!(log.all(), [Ending::Failed(FailureKind::Truncated)]);
}

#[tokio::test]
async fn a_stream_dropped_after_message_stop_is_complete_and_before_it_is_dropped() {
    for (chunk, ending) in [
        ("event: message_stop\ndata: {}\n\n", Ending::Complete),
        ("event: ping\ndata: {}\n\n", Ending::Dropped),
    ] {
        let log = Log::default();
        let mut body = guarded(sse(&[chunk, "later"]), "text/event-stream", &log);
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(log.all(), [ending]);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_behind_message_stop_had_a_complete_answer() {
    let log = Log::default();
    let frames: [Result<_, BoxError>; 2] = [
        Ok(Frame::data(Bytes::from(
            "event: message_stop\ndata: {}\n\n",
        ))),
        Err("reset".into()),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let mut body = guarded(body, "text/event-stream", &log);
    while body.frame().await.is_some() {}
    assert_eq!(log.all(), [Ending::Complete]);
}

#[tokio::test]
async fn an_encoded_stream_is_not_scanned() {
    let log = Log::default();
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .header("content-encoding", "gzip")
        .body(Full::new(Bytes::from("gzip")))
        .unwrap();
    let result = Ok(response);
    let verdict = Verdict::of(&result);
    let guarded = guard_response(result, Some(Watch::new(log.clone())), &verdict).unwrap();
    guarded.into_body().collect().await.unwrap();
    assert_eq!(log.all(), [Ending::Complete]);
}

#[tokio::test]
async fn an_error_event_inside_a_200_is_a_failure_once() {
    let log = Log::default();
    let event = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let body = guarded(sse(&[event]), "text/event-stream", &log);
    body.collect().await.unwrap();
    assert_eq!(log.all(), [Ending::Failed(FailureKind::Overloaded)]);
}

#[test]
fn a_drop_inside_a_poll_is_a_panic_and_outside_one_a_cancel() {
    let log = Log::default();
    drop(Watch::new(log.clone()));
    let mut watch = Watch::new(log.clone());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        watch.during(|| panic!("boom"));
    }));
    assert!(caught.is_err());
    assert_eq!(log.all(), [Ending::Dropped, Ending::Panicked]);
}

#[test]
fn a_failed_answer_releases_at_once() {
    let log = Log::default();
    let response = Response::builder()
        .status(529)
        .body(Full::new(Bytes::from("{}")))
        .unwrap();
    let result = Ok(response);
    let verdict = Verdict::of(&result);
    let kept = guard_response(result, Some(Watch::new(log.clone())), &verdict).unwrap();
    assert_eq!(log.all(), [Ending::Failed(FailureKind::Overloaded)]);
    drop(kept);
    assert_eq!(log.all().len(), 1);
}

/// All of an answer.
struct Whole(Option<Bytes>);

impl TakeWhole for Whole {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.0.take()
    }
}

#[test]
fn a_body_that_is_watched_is_not_taken_out_of_its_guard() {
    let whole = || Whole(Some(Bytes::from("{}")));
    let mut unguarded = GuardedBody::<_, Log>::unguarded(whole());
    assert_eq!(unguarded.take_whole().unwrap(), "{}");
    assert_eq!(unguarded.take_whole(), None);
    let mut watched = GuardedBody {
        watch: Some(Box::new(Watch::new(Log::default()))),
        ..GuardedBody::unguarded(whole())
    };
    assert_eq!(watched.take_whole(), None);
}
