//! The body of a request as it comes in: within its bound, counted while it is held, and not too slow.
//!
//! A caller is slow that keeps the proxy waiting for 30 s at a time, or on the whole for longer than 30 s and a second for
//! each 4 KiB it sent. Only time in which the proxy waits for the caller counts, not time in which upstream takes nothing.

use super::{limits::Ticket, pace::Pace};
use crate::error::{BodyTooLarge, BoxError};
use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    error::Error,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, timeout};

/// Of a body that is refused so much is still read, so that its sender gets to read the answer: most send all before they
/// read anything, and take a connection that is closed before for a fault of the network.
const DISCARD: u64 = 64 << 20;

/// And no longer than this.
const DISCARD_FOR: Duration = Duration::from_secs(5);

pin_project! {
    /// See the [module docs](self).
    pub(super) struct ReadBody<B> {
        #[pin]
        inner: B,
        pace: Pace,
        // Armed only while the caller keeps us waiting.
        timer: Option<Pin<Box<Sleep>>>,
        // None: it streams through.
        held: Option<Held>,
        refused: Option<Refused>,
    }
}

/// What is held of a body, and how much may be.
struct Held {
    ticket: Arc<Ticket>,
    limit: u64,
    len: u64,
}

/// Why a body is not wanted, and how much more of it is read for its sender's sake.
struct Refused {
    error: BoxError,
    left: u64,
    until: Instant,
}

impl<B> ReadBody<B> {
    /// A body that is held: of at most `limit` bytes, and within what the proxy has room for.
    pub(super) fn held(inner: B, ticket: Arc<Ticket>, limit: u64) -> Self {
        let len = 0;
        Self {
            held: Some(Held { ticket, limit, len }),
            ..Self::streamed(inner)
        }
    }

    /// A body that is passed on as it comes, of any length.
    pub(super) fn streamed(inner: B) -> Self {
        Self {
            inner,
            pace: Pace::default(),
            timer: None,
            held: None,
            refused: None,
        }
    }
}

impl Held {
    fn push(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.len = self.len.saturating_add(bytes as u64);
        if self.len > self.limit {
            return Err(BodyTooLarge::new(self.limit).into());
        }
        Ok(self.ticket.hold_request(bytes)?)
    }
}

impl Refused {
    fn new(error: BoxError) -> Self {
        Self {
            error,
            left: DISCARD,
            until: Instant::now() + DISCARD_FOR,
        }
    }
}

impl<B> Body for ReadBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let end_of = |refused: &mut Option<Refused>| {
            let refused = refused.take();
            Poll::Ready(refused.map(|refused| Err(refused.error)))
        };
        loop {
            let frame = match this.inner.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let until = this.refused.as_ref().map(|refused| refused.until);
                    ready!(this.pace.poll_too_slow(this.timer, until, cx));
                    this.refused
                        .get_or_insert_with(|| Refused::new(SlowBody.into()));
                    return end_of(this.refused);
                }
            };
            let data = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => data.copy_to_bytes(data.remaining()),
                    // Trailers: the API knows none.
                    Err(_) => continue,
                },
                Some(Err(error)) if this.refused.is_none() => {
                    return Poll::Ready(Some(Err(BrokenBody(error.into()).into())));
                }
                Some(Err(_)) | None => return end_of(this.refused),
            };
            this.pace.moved(data.len(), Instant::now);
            *this.timer = None;
            if let Some(refused) = this.refused {
                match refused.left.checked_sub(data.len() as u64) {
                    Some(left) => refused.left = left,
                    None => return end_of(this.refused),
                }
                continue;
            }
            let held = this.held.as_mut();
            match held.map_or(Ok(()), |held| held.push(data.len())) {
                Ok(()) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(error) => *this.refused = Some(Refused::new(error)),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.refused.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads and forgets a body, within bounds, so that its sender gets to read why it was refused.
pub(super) async fn discard<B: Body>(body: B) {
    let mut body = pin!(body);
    let read = async {
        let mut left = DISCARD;
        while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let bytes = frame.data_ref().map_or(0, Buf::remaining) as u64;
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Too slow to wait for is as good as read.
    let _ = timeout(DISCARD_FOR, read).await;
}

/// The body of a request came in too slowly.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowBody;

impl fmt::Display for SlowBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body came in too slowly")
    }
}

impl Error for SlowBody {}

/// The body of a request broke off, or its chunks are none.
#[derive(Debug)]
pub(super) struct BrokenBody(BoxError);

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body is not whole")
    }
}

impl Error for BrokenBody {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl<B> fmt::Debug for ReadBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, proxy::limits::Limits};
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    /// A body of chunks of this size, each after this pause.
    fn body(
        chunks: u32,
        size: usize,
        pause: Duration,
    ) -> impl Body<Data = Bytes, Error = Infallible> {
        StreamBody::new(Box::pin(stream::unfold(0, move |n| async move {
            if n == chunks {
                return None;
            }
            tokio::time::sleep(pause).await;
            let chunk = Bytes::from(vec![b'x'; size]);
            Some((Ok(Frame::data(chunk)), n + 1))
        })))
    }

    async fn read(body: impl Body<Data = Bytes, Error = BoxError>) -> Result<usize, BoxError> {
        Ok(Box::pin(body).collect().await?.to_bytes().len())
    }

    fn ticket(max_held: u64) -> (Arc<Limits>, Arc<Ticket>) {
        let config = Config {
            max_held,
            ..Config::default()
        };
        let limits = Arc::new(Limits::new(&config));
        let ticket = limits.enter().unwrap();
        (limits, ticket)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_stops_is_given_up_and_one_that_goes_on_is_not() {
        let second = Duration::from_secs(1);
        let steady = ReadBody::streamed(body(1000, 8 * 1024, second));
        assert_eq!(read(steady).await.unwrap(), 1000 * 8 * 1024);
        for (chunks, pause) in [(1, 31 * second), (1000, second), (20, 29 * second)] {
            let slow = ReadBody::streamed(body(chunks, 100, pause));
            let error = read(slow).await.unwrap_err();
            assert!(error.is::<SlowBody>(), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_body_is_counted_and_bounded() {
        let (limits, ticket) = ticket(1000);
        let held = ReadBody::held(body(10, 100, Duration::ZERO), ticket.clone(), 1000);
        assert_eq!(read(held).await.unwrap(), 1000);
        assert_eq!(limits.held().0, 1000);
        let error = read(ReadBody::held(
            body(11, 100, Duration::ZERO),
            ticket.clone(),
            1000,
        ));
        assert!(error.await.unwrap_err().is::<crate::proxy::limits::Full>());
        ticket.commit();
        let error = read(ReadBody::held(body(11, 100, Duration::ZERO), ticket, 500));
        assert_eq!(
            error.await.unwrap_err().downcast_ref::<BodyTooLarge>(),
            Some(&BodyTooLarge::new(500))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_refused_body_is_read_and_forgotten_but_not_for_ever() {
        let (limits, ticket) = ticket(1000);
        let start = Instant::now();
        let whole = ReadBody::held(body(4, 400, Duration::from_secs(1)), ticket.clone(), 500);
        read(whole).await.unwrap_err();
        assert_eq!((Instant::now() - start).as_secs(), 4, "to its end");
        let start = Instant::now();
        let endless = ReadBody::held(body(900, 400, Duration::from_secs(10)), ticket, 500);
        read(endless).await.unwrap_err();
        assert_eq!(
            (Instant::now() - start).as_secs(),
            25,
            "5 s after it was refused"
        );
        assert!(limits.held().0 <= 1000);
    }
}
