//! How long a connection has been waiting for the head of a request.
//!
//! A timer for each head would be set and taken down with each call, in the lists of timers that all connections share.
//! Here a call only notes when its answer was over, and the one timer of its connection looks at that when it fires: then
//! the connection has waited for too long, or the timer goes on for the rest.
//!
//! An answer is over when the last byte of it was taken from the proxy, not when its body has come to its end: the rest may
//! be on its way to a caller that reads slowly. How slowly it may, [another](super::io) decides. Nor is a call over whose
//! answer came early, while its caller still sends: what it sends is read to its end, or it could not read the answer.

use super::hush::hushed;
use crate::clock;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The time to the whole head of a request; a kept connection without one is closed after it. Ten times what a slow
/// network takes, and longer than the SDKs of Python and TypeScript keep one.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);

/// From here on it is no time. No connection is so old.
const BUSY: u64 = 1 << 63;

/// A call is under way.
const UNDER_WAY: u64 = u64::MAX;

/// None is, but the caller has yet to take what was written.
const WRITING: u64 = u64::MAX - 1;

/// What a connection does: waits since then, or something else. See the [module docs](self).
#[derive(Debug)]
pub(super) struct Waiting {
    opened: Instant,
    /// In milliseconds from `opened`, unless it is one of the constants above.
    since: AtomicU64,
    /// The same of the body of the newest request: when it ended, or [`BUSY`] and its number.
    sent: AtomicU64,
    /// How many requests had one.
    bodies: AtomicU64,
}

impl Waiting {
    /// Of a connection that was opened now.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            since: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bodies: AtomicU64::new(0),
        }
    }

    fn get(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    fn set(&self, state: u64) {
        self.since.store(state, Ordering::Relaxed);
    }

    fn begin(&self) {
        self.set(self.now());
    }

    fn now(&self) -> u64 {
        let open = clock::now().saturating_duration_since(self.opened);
        u64::try_from(open.as_millis()).map_or(BUSY - 1, |open| open.min(BUSY - 1))
    }

    /// The head of a request has come. The call is under way until what this returns is dropped.
    pub(super) fn call(self: &Arc<Self>) -> UnderWay {
        self.set(UNDER_WAY);
        UnderWay(self.clone())
    }

    /// The caller takes nothing for now.
    pub(super) fn is_writing(&self) {
        if self.get() != UNDER_WAY {
            self.set(WRITING);
        }
    }

    /// It has taken something.
    pub(super) fn has_written(&self) {
        if self.get() == WRITING {
            self.begin();
        }
    }

    /// Since when it waits, if it does.
    pub(super) fn since(&self) -> Option<Instant> {
        let since = self.get().max(self.sent.load(Ordering::Relaxed));
        (since < BUSY).then(|| self.opened + Duration::from_millis(since))
    }

    /// The body of a request is under way. Returns what is noted of it.
    fn body(&self) -> u64 {
        let number = self.bodies.fetch_add(1, Ordering::Relaxed);
        let note = BUSY | number;
        self.sent.store(note, Ordering::Relaxed);
        note
    }

    /// It has ended. Of a body that a task reads later than that the next request came, nothing is noted any more.
    fn body_ended(&self, note: u64) {
        // What waits from the end of the call does so from later than now.
        let ended = match self.get() {
            UNDER_WAY => 0,
            _ => self.now(),
        };
        let relaxed = Ordering::Relaxed;
        let _ = self.sent.compare_exchange(note, ended, relaxed, relaxed);
    }

    /// Returns when it has waited for too long.
    pub(super) async fn too_long(&self) {
        loop {
            let now = Instant::now();
            // What begins to wait later does so for longer than this sleeps.
            let end = self.since().unwrap_or(now) + HEAD_TIME;
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A call. Dropped, its connection waits for the next.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Waiting>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.begin();
    }
}

/// The body of a request, whose end is noted.
#[derive(Debug)]
pub(super) struct Asked {
    body: Incoming,
    // And what is noted there. None: it has ended.
    waiting: Option<(Arc<Waiting>, u64)>,
    // Wakes the task of the connection.
    connection: Waker,
}

impl Asked {
    pub(super) fn new(body: Incoming, waiting: &Arc<Waiting>, connection: &Waker) -> Self {
        let waiting = (!body.is_end_stream()).then(|| (waiting.clone(), waiting.body()));
        Self {
            body,
            waiting,
            connection: connection.clone(),
        }
    }

    fn end(&mut self) {
        if let Some((waiting, note)) = self.waiting.take() {
            waiting.body_ended(note);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.end();
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let is_its_task = self.connection.will_wake(cx.waker());
        let mut poll = || Pin::new(&mut self.body).poll_frame(cx);
        let (polled, rung) = if is_its_task {
            hushed(poll)
        } else {
            (poll(), false)
        };
        let is_last = self.body.is_end_stream();
        if rung && !is_last {
            self.connection.wake_by_ref();
        }
        let frame = ready!(polled);
        if !matches!(frame, Some(Ok(_))) || is_last {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The body of an answer, with which the call ends.
    #[derive(Debug)]
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        call: UnderWay,
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, call: UnderWay) -> Self {
        Self { body, call }
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_waits_from_its_opening_and_again_from_the_end_of_each_call() {
        let waiting = Arc::new(Waiting::new());
        let opened = Instant::now();
        assert_eq!(waiting.since(), Some(opened));
        sleep(20 * SECOND).await;
        let call = waiting.call();
        assert_eq!(waiting.since(), None);
        let late = tokio::spawn({
            let waiting = waiting.clone();
            async move { waiting.too_long().await }
        });
        sleep(100 * SECOND).await;
        drop(call);
        late.await.unwrap();
        assert_eq!(Instant::now() - opened, 120 * SECOND + HEAD_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_to_the_caller_is_no_wait() {
        let waiting = Arc::new(Waiting::new());
        let call = waiting.call();
        waiting.is_writing();
        drop(call);
        assert!(waiting.since().is_some(), "until it is known that it waits");
        waiting.is_writing();
        assert_eq!(waiting.since(), None);
        sleep(SECOND).await;
        waiting.has_written();
        assert_eq!(waiting.since(), Some(Instant::now()));
        sleep(SECOND).await;
        waiting.has_written();
        assert_eq!(waiting.since(), Some(Instant::now() - SECOND));
        let _next = waiting.call();
        waiting.is_writing();
        waiting.has_written();
        assert_eq!(waiting.since(), None, "another call is under way");
    }
}
