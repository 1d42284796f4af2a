//! A connection whose other end must read.
//!
//! A caller that stops reading its answer holds a seat of its compartment, a connection to upstream and the answer itself.
//! TCP waits for it for ever; this waits so long without a byte taken, then the connection ends.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
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
        limit: Duration,
        // Armed only while nothing more can be written.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<T> SlowReader<T> {
    pub(super) fn new(io: T, limit: Duration) -> Self {
        Self {
            io,
            limit,
            timer: None,
        }
    }
}

/// Fails a write that has waited for too long.
fn within<R>(
    written: Poll<io::Result<R>>,
    limit: Duration,
    timer: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<R>> {
    if written.is_ready() {
        *timer = None;
        return written;
    }
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
    let over = timer.as_mut().poll(cx);
    over.map(|()| Err(ErrorKind::TimedOut.into()))
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
        within(this.io.poll_write(cx, buf), *this.limit, this.timer, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        within(this.io.poll_shutdown(cx), *this.limit, this.timer, cx)
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
        within(written, *this.limit, this.timer, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_too_long_is_dropped() {
        let (near, _far) = duplex(10);
        let mut near = SlowReader::new(near, LIMIT);
        near.write_all(&[0; 10]).await.unwrap();
        let start = Instant::now();
        let error = near.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(Instant::now() - start >= LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_little_is_waited_for() {
        let (near, mut far) = duplex(10);
        let mut near = SlowReader::new(near, LIMIT);
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
