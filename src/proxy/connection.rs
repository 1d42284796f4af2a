//! One connection of a caller or an operator, from its first request to its end.

use super::{io::SlowReader, shutdown::Phase};
use crate::error::BoxError;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{net::TcpStream, sync::watch};

/// The time to the whole head of a request; a kept connection without one is closed after it. Ten times what a slow
/// network takes, and longer than the SDKs of Python and TypeScript keep one.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// What a connection buffers: a head of a request that fills it gets a 431.
const MAX_HEAD: usize = 64 * 1024;

/// Serves a connection until its end, or that of the proxy.
pub(super) async fn serve<F, A, B>(
    stream: TcpStream,
    slow_reader: Duration,
    mut phase: watch::Receiver<Phase>,
    answer: F,
) where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    // Without it a stream of small events takes 40 ms for each; without success the bytes are still right.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(SlowReader::new(stream, slow_reader));
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        // An async block would hold the future twice, and hyper moves it.
        answer(request).map(Ok::<_, Infallible>)
    });
    // Of headers as many as hyper takes by itself, 100: where that is set, each head costs two lists on the heap.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    // It may have changed before anybody watched.
    phase.mark_changed();
    loop {
        tokio::select! {
            // First, so that a request that has come in is under way by the time the drain begins.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            Ok(()) = phase.changed() => match *phase.borrow_and_update() {
                // Half a head, which hyper would wait for: there is no answer to let finish.
                Phase::Draining if !asked.load(Ordering::Relaxed) => return,
                // An idle connection ends, another one with its answer.
                Phase::Draining => connection.as_mut().graceful_shutdown(),
                // Polled next, what is under way sees that it is to end.
                Phase::Serving | Phase::Ending => {}
                Phase::Over => return,
            },
        }
    }
}
