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

use super::{TakeWhole, scan::EndScan};

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

impl<B: TakeWhole, G: Guard> TakeWhole for GuardedBody<B, G> {
    fn take_whole(&mut self) -> Option<Bytes> {
        match (&self.watch, &self.scan) {
            (None, None) => self.inner.take_whole(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
