//! What passes through: batches, files, models and whatever comes next, streamed both ways and never held.
//!
//! Nothing is tried again, but for a request without a body on a kept connection that turned out dead: what such a path
//! does upstream is unknown, so the caller decides. An upstream that neither takes the body nor answers for as long as the
//! deadline is given up with a 504, and an answer that stands still for as long is cut.

use super::{
    read::ReadBody,
    refusal::{self, Refusal},
    upstream::{Outgoing, SendError, Upstream, UpstreamBody},
};
use crate::{
    body::ReplayBody,
    error::BoxError,
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
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

/// Sends a request on and hands the answer back as it comes.
pub(super) async fn pass<B>(
    mut upstream: Upstream,
    head: request::Parts,
    body: B,
    patience: Duration,
) -> Result<Response<PassBody>, Refusal>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let progress = Progress::now();
    let sending = if body.is_end_stream() {
        upstream.call(Request::from_parts(head, ReplayBody::default()))
    } else {
        let body = Watched {
            inner: ReadBody::streamed(body),
            progress: progress.clone(),
        };
        let body = body.boxed_unsync();
        upstream.send_once(Request::from_parts(head, Outgoing::Streamed { body }))
    };
    match within(sending, patience, &progress).await {
        Some(Ok(response)) => Ok(response.map(|inner| PassBody::new(inner, patience))),
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

pin_project! {
    /// A body whose progress is watched.
    struct Watched<B> {
        #[pin]
        inner: B,
        progress: Progress,
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if frame.is_ready() {
            *lock(&this.progress.0) = Instant::now();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
