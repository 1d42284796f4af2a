//! A connection whose other end must read.
//!
//! A caller that stops reading its answer holds a seat of its compartment, a connection to upstream and the answer itself.
//! TCP waits for it for ever; this waits so long without a byte taken, then the connection ends.

use super::waiting::Waiting;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

pin_project! {
    /// See the [module docs](self).
    #[derive(Debug)]
    pub(super) struct SlowReader<T> {
        #[pin]
        io: T,
        watch: Watch,
    }
}

/// What is seen of the writes.
#[derive(Debug)]
struct Watch {
    limit: Duration,
    // Armed only while nothing more can be written.
    timer: Option<Pin<Box<Sleep>>>,
    // Who reads slowly is not waited for.
    waiting: Arc<Waiting>,
}

impl<T> SlowReader<T> {
    pub(super) fn new(io: T, limit: Duration, waiting: Arc<Waiting>) -> Self {
        let watch = Watch {
            limit,
            timer: None,
            waiting,
        };
        Self { io, watch }
    }
}

impl Watch {
    /// Fails a write that has waited for too long.
    fn within<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            if self.timer.take().is_some() {
                self.waiting.has_written();
                // For hyper: where the next request has come meanwhile, it takes that before it writes, and then forgets
                // to answer it until it is polled again.
                cx.waker().wake_by_ref();
            }
            return written;
        }
        self.waiting.is_writing();
        let until = || Box::pin(sleep_until(Instant::now() + self.limit));
        let over = self.timer.get_or_insert_with(until).as_mut().poll(cx);
        over.map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead> AsyncRead for SlowReader<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

impl<T: AsyncWrite> AsyncWrite for SlowReader<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.io.poll_write(cx, buf);
        this.watch.within(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let shut = this.io.poll_shutdown(cx);
        this.watch.within(shut, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.io.poll_write_vectored(cx, bufs);
        this.watch.within(written, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LIMIT: Duration = Duration::from_secs(60);

    fn slow_reader<T>(io: T) -> SlowReader<T> {
        SlowReader::new(io, LIMIT, Arc::new(Waiting::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_too_long_is_dropped() {
        let (near, _far) = duplex(10);
        let mut near = slow_reader(near);
        near.write_all(&[0; 10]).await.unwrap();
        let start = Instant::now();
        let error = near.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(Instant::now() - start >= LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_little_is_waited_for() {
        let (near, mut far) = duplex(10);
        let mut near = slow_reader(near);
        let reader = tokio::spawn(async move {
            for _ in 0..20 {
                tokio::time::sleep(LIMIT * 9 / 10).await;
                far.read_u8().await.unwrap();
            }
            far
        });
        near.write_all(&[0; 30]).await.unwrap();
        reader.await.unwrap();
    }
}
