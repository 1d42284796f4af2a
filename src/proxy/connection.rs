//! One connection of a caller or an operator, from its first request to its end.

use super::{
    hush,
    io::SlowReader,
    joined::Joined,
    seldom::Seldom,
    shutdown::Phase,
    waiting::{Answer, Asked, Waiting},
};
use crate::{clock, commit::keep_timer, error::BoxError};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// What a connection buffers: a head of a request that fills it gets a 431.
const MAX_HEAD: usize = 64 * 1024;

/// Serves a connection until its end, or that of the proxy.
pub(super) async fn serve<T, F, A, B>(
    io: T,
    slow_reader: Duration,
    mut phase: watch::Receiver<Phase>,
    answer: F,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Asked>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let served = async move {
        let waiting = Arc::new(Waiting::new());
        let io = SlowReader::new(io, slow_reader, waiting.clone());
        let io = Joined::new(TokioIo::new(io));
        let mut door = hush::door();
        let (calls, waker) = (waiting.clone(), door.waker().clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let call = calls.call();
            let request = request.map(|body| Asked::new(body, &calls, &waker));
            // An async block would hold the future twice, and hyper moves it.
            answer(request).map(|response| {
                let response = response.map(|body| Answer::new(body, call));
                Ok::<_, Infallible>(response)
            })
        });
        // Of headers as many as hyper takes by itself, 100: where that is set, each head costs two lists on the heap.
        let connection = http1::Builder::new()
            // Its timer would be set for each head.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        // It may have changed before anybody watched.
        phase.mark_changed();
        loop {
            let news = pin!(Seldom::new(news(&mut phase, &waiting)));
            tokio::select! {
                // First, so that a request that has come in is under way by the time the drain begins.
                biased;
                ended = poll_fn(|cx| clock::still(|| connection.as_mut().poll(&mut door.behind(cx).0))) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                news = news => match news {
                    News::NoHead => {
                        tracing::debug!(error = "no whole head of a request came in time", "a connection broke");
                        return;
                    }
                    // Idle, or with half a head, which hyper would wait for: there is no answer to let finish.
                    News::Phase(Phase::Draining) if waiting.since().is_some() => return,
                    // It ends with its answer.
                    News::Phase(Phase::Draining) => connection.as_mut().graceful_shutdown(),
                    // Polled next, what is under way sees that it is to end.
                    News::Phase(Phase::Serving | Phase::Ending) => {}
                    News::Phase(Phase::Over) => return,
                },
            }
        }
    };
    keep_timer(served).await;
}

/// What happens beside the calls.
enum News {
    /// The proxy has come so far.
    Phase(Phase),
    /// The time for the head of a request is over.
    NoHead,
}

async fn news(phase: &mut watch::Receiver<Phase>, waiting: &Waiting) -> News {
    tokio::select! {
        Ok(()) = phase.changed() => News::Phase(*phase.borrow_and_update()),
        () = waiting.too_long() => News::NoHead,
    }
}

#[cfg(test)]
mod tests;
