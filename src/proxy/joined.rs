//! Small pieces written as one.
//!
//! hyper writes head and body of a message where they lie, from a list of pieces. For the kernel a list costs more than the
//! copy of a few KiB, and over TLS one piece is one record.

use hyper::rt::{Read, ReadBufCursor, Write};
use pin_project_lite::pin_project;
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::ReadBuf;

/// The most that is copied, in bytes: on the stack, for the time of a write.
const SMALL: usize = 4 * 1024;

pin_project! {
    /// See the [module docs](self).
    #[derive(Debug)]
    pub(super) struct Joined<T> {
        #[pin]
        io: T,
    }
}

impl<T> Joined<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io }
    }
}

impl<T: Read> Read for Joined<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

impl<T: Write> Write for Joined<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = self.project().io;
        let mut space = [MaybeUninit::uninit(); SMALL];
        let mut joined = ReadBuf::uninit(&mut space);
        for buf in bufs {
            if buf.len() > joined.remaining() {
                return io.poll_write_vectored(cx, bufs);
            }
            joined.put_slice(buf);
        }
        io.poll_write(cx, joined.filled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::poll_fn;

    /// Takes so many bytes of a write, and notes of how many pieces each was.
    #[derive(Default)]
    struct Sink {
        takes: usize,
        taken: Vec<u8>,
        pieces: Vec<usize>,
    }

    impl Sink {
        fn take(&mut self, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            self.pieces.push(bufs.len());
            let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
            let taken = all.get(..self.takes).unwrap_or(&all);
            self.taken.extend_from_slice(taken);
            Poll::Ready(Ok(taken.len()))
        }
    }

    impl Write for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.take(&[IoSlice::new(buf)])
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.take(bufs)
        }
    }

    /// How many bytes were written of these, in how many pieces.
    fn write(takes: usize, bufs: &[&[u8]]) -> (usize, usize) {
        let sink = Sink {
            takes,
            ..Sink::default()
        };
        let mut joined = Joined::new(sink);
        let slices: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
        let written = poll_fn(|cx| Pin::new(&mut joined).poll_write_vectored(cx, &slices));
        let written = written.now_or_never().unwrap().unwrap();
        let all = bufs.concat();
        assert_eq!(joined.io.taken, all.get(..written).unwrap());
        (written, joined.io.pieces.iter().sum())
    }

    #[test]
    fn what_is_small_is_written_as_one_piece_and_the_rest_from_where_it_lies() {
        let (half, whole) = ([b'a'; SMALL / 2], [b'b'; SMALL]);
        assert_eq!(write(usize::MAX, &[b"head", b"", b"body"]), (8, 1));
        assert_eq!(write(usize::MAX, &[&half, &half]), (SMALL, 1));
        assert_eq!(write(usize::MAX, &[&half, &half, b"x"]), (SMALL + 1, 3));
        assert_eq!(write(usize::MAX, &[&whole, b"x"]), (SMALL + 1, 2));
        assert_eq!(write(usize::MAX, &[]), (0, 1));
    }

    #[test]
    fn what_is_taken_of_it_is_what_is_said() {
        assert_eq!(write(5, &[b"head", b"body"]), (5, 1));
    }
}
