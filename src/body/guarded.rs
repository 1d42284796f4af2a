//! A response body that tells a guard, exactly once, how the answer ended.
//!
//! A permit or a circuit's record must outlive the response head: a stream ends long after its 200. [`Watch`] carries
//! the guard through the future and then on with the body. However the answer ends (its last byte, an error, a drop by
//! the caller, a panic of the inner service), the guard hears of it once.

use crate::{
    classify::{End, Ended, Failure, FailureKind, Verdict},
    error::BoxError,
};
use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::scan::EndScan;

/// How an answer ended, for a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Whole.
    Complete,
    /// By a failure: before its commit, or half-way.
    Failed(FailureKind),
    /// The caller dropped it, before the answer or half-way.
    Dropped,
    /// The inner service panicked.
    Panicked,
}

/// Something held for the time of an answer.
pub trait Guard {
    /// Told once.
    fn end(self, ending: Ending);
}

/// What watches over a body. Boxed, for a body is moved through every layer.
type Going<G> = (Box<Watch<G>>, Option<Box<EndScan>>);

/// Carries a guard from the call to the end of its answer, and tells it on drop if nobody has.
#[derive(Debug)]
pub struct Watch<G: Guard> {
    guard: Option<G>,
    end: Option<End>,
    polling: bool,
}

impl<G: Guard> Watch<G> {
    /// Watches over a guard.
    pub fn new(guard: G) -> Self {
        Self {
            guard: Some(guard),
            end: None,
            polling: false,
        }
    }

    /// Runs a poll of the inner service: a drop while it runs is a panic, not a cancel. `std::thread::panicking` would
    /// miss one that is caught further out.
    pub fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        self.polling = true;
        let out = poll();
        self.polling = false;
        out
    }

    /// The guard, while it has not been told: for a word to it before the end.
    pub fn guard_mut(&mut self) -> Option<&mut G> {
        self.guard.as_mut()
    }

    /// Tells the guard now.
    pub fn tell(mut self, ending: Ending) {
        self.tell_mut(ending);
    }

    fn tell_mut(&mut self, ending: Ending) {
        if let Some(guard) = self.guard.take() {
            guard.end(ending);
        }
    }

    /// Ends here, or goes on with the body of an answer that does, beside a scan where nobody further in has one.
    fn go_on<B: Body>(mut self, response: &Response<B>, verdict: &Verdict) -> Option<Going<G>> {
        let end = match verdict {
            Verdict::Committed(end) => end,
            Verdict::Complete => {
                self.tell(Ending::Complete);
                return None;
            }
            Verdict::Failed(failure) => {
                self.tell(Ending::Failed(failure.kind));
                return None;
            }
        };
        let scan = if response.extensions().get::<Verdict>().is_none() {
            EndScan::of(response.headers(), end.clone()).map(Box::new)
        } else {
            None
        };
        self.end = Some(end.clone());
        if response.body().is_end_stream() {
            self.finish();
        }
        Some((Box::new(self), scan))
    }

    /// The end of the body: what the scan saw, if there was one.
    fn finish(&mut self) {
        let ending = match self.end.as_ref().and_then(End::get) {
            Some(Ended::Failed(kind)) => Ending::Failed(kind),
            Some(Ended::Complete) | None => Ending::Complete,
        };
        self.tell_mut(ending);
    }
}

impl<G: Guard> Drop for Watch<G> {
    fn drop(&mut self) {
        let ending = match self.end.as_ref().and_then(End::get) {
            _ if self.polling => Ending::Panicked,
            // Dropped after `message_stop`: the caller had all there was.
            Some(Ended::Complete) => Ending::Complete,
            Some(Ended::Failed(kind)) => Ending::Failed(kind),
            None => Ending::Dropped,
        };
        self.tell_mut(ending);
    }
}

pin_project! {
    /// A body with a guard. See the [module docs](self).
    #[derive(Debug)]
    pub struct GuardedBody<B, G>
    where
        G: Guard,
    {
        #[pin]
        inner: B,
        // An answer that came whole has none.
        watch: Option<Box<Watch<G>>>,
        // Only where no `Verdict` came with the answer, so that nobody further in watches the stream.
        scan: Option<Box<EndScan>>,
    }
}

impl<B, G: Guard> GuardedBody<B, G> {
    /// A body without a guard: passes through.
    pub fn unguarded(inner: B) -> Self {
        Self {
            inner,
            watch: None,
            scan: None,
        }
    }
}

/// Ends the watch of an answer that is over, or hands it to the body of one that goes on.
///
/// A failure ends it at once: an answer kept for later must not hold a seat.
pub(crate) fn guard_response<B: Body, G: Guard>(
    result: Result<Response<B>, BoxError>,
    watch: Option<Watch<G>>,
    verdict: &Verdict,
) -> Result<Response<GuardedBody<B, G>>, BoxError> {
    match result {
        Ok(response) => Ok(guard_answer(response, watch, verdict)),
        Err(error) => {
            if let (Some(watch), Verdict::Failed(failure)) = (watch, verdict) {
                watch.tell(Ending::Failed(failure.kind));
            }
            Err(error)
        }
    }
}

/// The same for an answer.
pub(crate) fn guard_answer<B: Body, G: Guard>(
    response: Response<B>,
    watch: Option<Watch<G>>,
    verdict: &Verdict,
) -> Response<GuardedBody<B, G>> {
    // Judged where it lies, and moved once: answers are large.
    let going = watch.and_then(|watch| watch.go_on(&response, verdict));
    let (watch, scan) = going.unzip();
    response.map(|inner| GuardedBody {
        inner,
        watch,
        scan: scan.flatten(),
    })
}

/// [`Watch::during`], where there may be none. It polls in one place, so that the bodies of a stack, each inside of the
/// next, can be compiled to one function.
fn during<G: Guard, T>(watch: &mut Option<Box<Watch<G>>>, poll: impl FnOnce() -> T) -> T {
    let mut set = |polling| {
        if let Some(watch) = watch {
            watch.polling = polling;
        }
    };
    set(true);
    let out = poll();
    set(false);
    out
}

impl<B, G> Body for GuardedBody<B, G>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    G: Guard,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let polled = during(this.watch, || this.inner.as_mut().poll_frame(cx));
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                let error = error.into();
                if let Some(watch) = this.watch.take() {
                    let kind = Failure::find(&*error).map(|failure| failure.kind);
                    let ending = match watch.end.as_ref().and_then(End::get) {
                        // What breaks behind `message_stop` is the connection, not the answer.
                        Some(Ended::Complete) => Ending::Complete,
                        _ => Ending::Failed(kind.unwrap_or(FailureKind::Truncated)),
                    };
                    watch.tell(ending);
                }
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                if let Some(scan) = this.scan.take() {
                    scan.end_of_body();
                }
                if let Some(mut watch) = this.watch.take() {
                    watch.finish();
                }
                return Poll::Ready(None);
            }
        };
        if let Some(scan) = this.scan {
            if let Some(data) = frame.data_ref() {
                scan.push(data);
            }
        }
        // The last frame may never be followed by a poll that would say `None`.
        if this.watch.is_some() && this.inner.is_end_stream() {
            if let Some(scan) = this.scan.take() {
                scan.end_of_body();
            }
            if let Some(mut watch) = this.watch.take() {
                watch.finish();
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
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
}
