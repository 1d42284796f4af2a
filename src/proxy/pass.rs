//! What passes through: batches, files, models and whatever comes next, streamed both ways and never held.
//!
//! Nothing is tried again, but for a request without a body on a kept connection that turned out dead: what such a path
//! does upstream is unknown, so the caller decides. An upstream that neither takes the body nor answers for as long as the
//! deadline is given up with a 504, and an answer that stands still for as long is cut.

use super::{
    forward,
    read::{self, ReadBody},
    refusal::{self, Refusal},
    upstream::{Outgoing, SendError, Upstream, UpstreamBody},
};
use crate::{
    body::ReplayBody,
    error::BoxError,
    kept::Between,
    sync::{Mutex, lock},
};
use bytes::Bytes;
use http::{Request, Response, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

/// The body of a request that passes through.
pub(super) struct Streamed<B> {
    pub(super) body: B,
    /// Its sender waits for a word before it sends it.
    pub(super) waits: bool,
}

/// Sends a request on and hands the answer back as it comes.
pub(super) async fn pass<B>(
    upstream: Upstream,
    head: request::Parts,
    Streamed { body, waits }: Streamed<B>,
    patience: Duration,
) -> Result<Response<PassBody>, Refusal>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let progress = Progress::now();
    let sending = if body.is_end_stream() {
        // Whoever embeds the proxy may have a stack of its own, which kept another request under the same call.
        let request = Request::from_parts(head, ReplayBody::default());
        upstream.send_held(request, Between::Unknown)
    } else {
        let body = Watched {
            inner: Some(Box::pin(ReadBody::streamed(body))),
            comes: !waits,
            progress: progress.clone(),
        };
        let body = body.boxed_unsync();
        upstream.send_once(Request::from_parts(head, Outgoing::Streamed { body }))
    };
    match within(sending, patience, &progress).await {
        Some(Ok(response)) => {
            let (mut head, inner) = response.into_parts();
            forward::to_caller(&mut head);
            Ok(Response::from_parts(head, PassBody::new(inner, patience)))
        }
        Some(Err(error)) => Err(of_error(&error)),
        None => Err(Refusal::NoAnswer),
    }
}

fn of_error(error: &SendError) -> Refusal {
    // Its own words are those of whoever made it, and may be anything.
    let connected = !error.is_connect();
    tracing::debug!(connected, "a request did not pass through");
    refusal::own(error).unwrap_or(Refusal::Unreachable)
}

/// An answer, unless nothing moves for too long.
async fn within<F: Future>(
    future: F,
    patience: Duration,
    progress: &Progress,
) -> Option<F::Output> {
    let mut future = pin!(future);
    loop {
        let until = progress.last() + patience;
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = sleep_until(until) => {
                if progress.last() + patience <= Instant::now() {
                    return None;
                }
            }
        }
    }
}

/// When the body of a request last moved.
#[derive(Debug, Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn last(&self) -> Instant {
        *lock(&self.0)
    }
}

/// A body whose progress is watched, and whose rest is read and forgotten where upstream wants no more of it: its sender
/// could not read the answer otherwise.
struct Watched<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    // None: at its end.
    inner: Option<Pin<Box<B>>>,
    // False: its sender waits to be asked for it, and will not send it if it is answered first.
    comes: bool,
    progress: Progress,
}

impl<B> Body for Watched<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.comes = true;
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        *lock(&self.progress.0) = Instant::now();
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.inner.as_ref();
        inner.is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.as_ref();
        inner.map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Watched<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    fn drop(&mut self) {
        let rest = self.inner.take();
        let rest = rest.filter(|rest| self.comes && !rest.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(read::discard(rest));
        }
    }
}

pin_project! {
    /// An answer that passes through, cut where it stands still for too long.
    pub(super) struct PassBody {
        #[pin]
        inner: UpstreamBody,
        limit: Duration,
        // Armed only while upstream keeps us waiting.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl PassBody {
    fn new(inner: UpstreamBody, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            timer: None,
        }
    }
}

impl Body for PassBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if frame.is_ready() {
            *this.timer = None;
            return frame;
        }
        let limit = *this.limit;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        let cut = timer.as_mut().poll(cx);
        cut.map(|()| Some(Err("the answer stood still".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for PassBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassBody").finish_non_exhaustive()
    }
}
