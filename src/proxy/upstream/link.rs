//! One connection of HTTP/1.1, driven by whoever has it.

use super::{body::Outgoing, listening::Listening};
use crate::proxy::joined::Joined;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::net::TcpStream;

/// What a connection runs over.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A request that got no answer, which comes back if nothing of it was sent.
pub(super) type Unanswered = TrySendError<Request<Outgoing>>;

/// hyper's, which has no name.
type Head = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Unanswered>> + Send>>;

/// See the [module docs](self).
pub(super) struct Link {
    sender: http1::SendRequest<Outgoing>,
    // None: it is over, which its channels tell whoever waits for them.
    connection: Option<http1::Connection<Joined<Io>, Outgoing>>,
    listening: Listening,
    answer: Option<Head>,
    used: bool,
}

impl Link {
    /// Boxed, for it goes through many hands.
    pub(super) async fn open(io: Io) -> hyper::Result<Box<Self>> {
        let (sender, connection) = http1::handshake(Joined::new(io)).await?;
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            listening: Listening::new(),
            answer: None,
            used: false,
        }))
    }

    /// Whether it has carried an answer: one that breaks then may merely have been closed while it was kept.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    /// Sends a request, whose answer is [polled](Self::poll_answer) next.
    pub(super) fn send(&mut self, request: Request<Outgoing>) {
        self.answer = Some(Box::pin(self.sender.try_send_request(request)));
    }

    /// Waits for the head of the answer. After that, and where nothing was sent, it waits for ever.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, Unanswered>> {
        let Self {
            connection,
            listening,
            answer,
            ..
        } = self;
        let Some(waiting) = answer else {
            return Poll::Pending;
        };
        let answered = ready!(listening.poll(cx, |cx| {
            drive(connection, cx);
            waiting.poll_unpin(cx)
        }));
        self.answer = None;
        self.used |= answered.is_ok();
        Poll::Ready(answered)
    }

    /// Polls what comes over it.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut part: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self {
            connection,
            listening,
            ..
        } = self;
        listening.poll(cx, |cx| {
            let polled = part(cx);
            if polled.is_ready() {
                return polled;
            }
            drive(connection, cx);
            part(cx)
        })
    }

    /// Whether the exchange is over and another one can begin.
    pub(super) fn is_free(&mut self) -> bool {
        // It was polled until there was the end of the answer, and mostly knows by then that nothing else comes.
        if !self.sender.is_ready() {
            // Nobody waits for it.
            let waker = Waker::noop();
            let free = |_: &mut Context<'_>| Poll::<()>::Pending;
            let _ = self.poll(&mut Context::from_waker(waker), free);
        }
        self.is_open() && self.sender.is_ready()
    }

    /// Whether it still stands, as far as the runtime has heard.
    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some() && !self.sender.is_closed()
    }

    /// Looks whether the other end has closed it meanwhile.
    pub(super) fn is_closed(&mut self) -> bool {
        let waker = Waker::noop();
        drive(&mut self.connection, &mut Context::from_waker(waker));
        !self.is_open()
    }

    /// Drives it until its exchange is over: true if another one can begin.
    pub(super) async fn carry(&mut self) -> bool {
        poll_fn(|cx| {
            drive(&mut self.connection, cx);
            if self.connection.is_none() {
                return Poll::Ready(false);
            }
            if self.sender.is_ready() {
                return Poll::Ready(true);
            }
            Poll::Pending
        })
        .await
    }
}

/// Lets a connection do what it can.
fn drive(connection: &mut Option<http1::Connection<Joined<Io>, Outgoing>>, cx: &mut Context<'_>) {
    if let Some(open) = connection {
        // What broke it is told to whoever waits for an answer or the rest of one.
        if open.poll_unpin(cx).is_ready() {
            *connection = None;
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}
