//! One connection of a caller or an operator, from its first request to its end.

use super::{
    hush,
    io::SlowReader,
    joined::Joined,
    seldom::Seldom,
    shutdown::Phase,
    waiting::{Answer, Asked, Waiting},
};
use crate::{clock, error::BoxError};
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
    let waiting = Arc::new(Waiting::new());
    let io = SlowReader::new(io, slow_reader, waiting.clone());
    let io = Joined::new(TokioIo::new(io));
    let mut door = hush::door();
    let (calls, bell) = (waiting.clone(), door.bell().clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let call = calls.call();
        let request = request.map(|body| Asked::new(body, &calls, &bell));
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
mod tests {
    use super::*;
    use crate::proxy::{shutdown::Course, waiting::HEAD_TIME};
    use http_body_util::{BodyExt, Full};
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake, Waker},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::JoinHandle,
        time::{Instant, sleep},
    };

    const SECOND: Duration = Duration::from_secs(1);
    /// Longer than a head may take.
    const CALL: Duration = Duration::from_secs(40);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A connection that holds little, and whose calls are answered with so many bytes.
    fn served(bytes: usize, course: &Course) -> (DuplexStream, JoinHandle<()>) {
        let (caller, io) = duplex(1024);
        let answer = move |_| async move {
            sleep(CALL).await;
            Response::new(Full::from(vec![b'x'; bytes]))
        };
        let serving = serve(io, 60 * SECOND, course.watch(), answer);
        (caller, tokio::spawn(serving))
    }

    /// Asks, and reads the head of the answer.
    async fn ask(caller: &mut DuplexStream) {
        caller.write_all(REQUEST).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(caller.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
    }

    /// Until the connection has ended, which says no more.
    async fn end_of(mut caller: DuplexStream) -> Duration {
        let start = Instant::now();
        let mut rest = Vec::new();
        caller.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        Instant::now() - start
    }

    /// Timers go by whole milliseconds.
    fn is_about(took: Duration, wanted: Duration) -> bool {
        took.abs_diff(wanted) <= Duration::from_millis(2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_30_s_from_the_opening_and_from_the_end_of_the_last_answer() {
        let course = Course::new();
        for half in [b"".as_slice(), b"GET / HTTP/1.1\r\nx-slow"] {
            let (mut caller, _) = served(0, &course);
            caller.write_all(half).await.unwrap();
            let took = end_of(caller).await;
            assert!(is_about(took, HEAD_TIME), "{took:?}");

            let (mut caller, _) = served(0, &course);
            for _ in 0..3 {
                sleep(20 * SECOND).await;
                ask(&mut caller).await;
            }
            sleep(20 * SECOND).await;
            caller.write_all(half).await.unwrap();
            let took = end_of(caller).await;
            assert!(is_about(20 * SECOND + took, HEAD_TIME), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_as_long_as_its_caller_reads() {
        let (mut caller, _) = served(60 * 1024, &Course::new());
        ask(&mut caller).await;
        // All of it is with hyper by now, and most has yet to be taken.
        let mut part = [0; 1024];
        for _ in 0..60 {
            sleep(5 * SECOND).await;
            caller.read_exact(&mut part).await.unwrap();
        }
        // The last of it was taken from the connection when the last but one was read.
        let took = end_of(caller).await;
        assert!(is_about(5 * SECOND + took, HEAD_TIME), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_a_connection_without_a_call_at_once_and_another_with_its_answer() {
        let course = Course::new();
        let (mut half, _) = served(0, &course);
        half.write_all(b"GET / HT").await.unwrap();
        let (mut kept, _) = served(0, &course);
        ask(&mut kept).await;
        let (mut half_again, _) = served(0, &course);
        ask(&mut half_again).await;
        half_again.write_all(b"GET / HT").await.unwrap();
        let (mut asking, _) = served(3, &course);
        asking.write_all(REQUEST).await.unwrap();
        let (mut reading, _) = served(60 * 1024, &course);
        ask(&mut reading).await;
        course.shutdown();
        for caller in [half, kept, half_again] {
            assert_eq!(end_of(caller).await, Duration::ZERO);
        }
        let mut answer = Vec::new();
        asking.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"xxx"));
        let mut rest = Vec::new();
        reading.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 60 * 1024, "what was on its way");
    }

    /// A connection whose calls are answered at once, while the bodies of their requests are still read.
    fn answered_early(course: &Course) -> (DuplexStream, JoinHandle<()>) {
        let (caller, io) = duplex(1024);
        let answer = |request: Request<Asked>| async {
            tokio::spawn(request.into_body().collect());
            Response::new(Full::default())
        };
        let serving = serve(io, 60 * SECOND, course.watch(), answer);
        (caller, tokio::spawn(serving))
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_early_may_send_the_rest_and_in_a_drain_too() {
        const UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n";
        for drains in [false, true] {
            let course = Course::new();
            let (mut caller, _) = answered_early(&course);
            caller.write_all(UPLOAD).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(caller.read_u8().await.unwrap());
            }
            if drains {
                course.shutdown();
            }
            for _ in 0..60 {
                sleep(SECOND).await;
                caller.write_all(b"x").await.unwrap();
            }
            let took = end_of(caller).await;
            let wanted = if drains { Duration::ZERO } else { HEAD_TIME };
            assert!(is_about(took, wanted), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_read_late_does_not_end_the_next_one() {
        let (mut caller, io) = duplex(1024);
        let answer = |request: Request<Asked>| async {
            let (_, body) = request.into_parts();
            tokio::spawn(async {
                sleep(5 * SECOND).await;
                body.collect().await
            });
            Response::new(Full::<Bytes>::default())
        };
        tokio::spawn(serve(io, 60 * SECOND, Course::new().watch(), answer));
        for length in [1, 60] {
            let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\nx");
            caller.write_all(head.as_bytes()).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(caller.read_u8().await.unwrap());
            }
        }
        for _ in 1..60 {
            sleep(SECOND).await;
            caller.write_all(b"x").await.unwrap();
        }
        let took = end_of(caller).await;
        assert!(is_about(took, HEAD_TIME), "{took:?}");
    }

    /// How often a task was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_of_a_connection_is_not_woken_for_a_body_that_it_has_taken_to_its_end() {
        for (body, wakes) in [("abc", 0), ("ab", 1)] {
            let (course, taken) = (Course::new(), AtomicUsize::new(0));
            let (mut caller, io) = duplex(1024);
            let request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{body}");
            caller.write_all(request.as_bytes()).await.unwrap();
            let answer = async |request: Request<Asked>| {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    let data = frame.unwrap().into_data().unwrap();
                    taken.fetch_add(data.len(), Ordering::Relaxed);
                }
                std::future::pending::<Response<Full<Bytes>>>().await
            };
            let mut serving = pin!(serve(io, 60 * SECOND, course.watch(), answer));
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            let polled = serving.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            assert_eq!(taken.load(Ordering::Relaxed), body.len());
            assert_eq!(woken.0.load(Ordering::Relaxed), wakes, "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_many_pieces_is_read_to_its_end() {
        const PIECES: usize = 100;
        for chunked in [false, true] {
            let (caller, io) = duplex(1024);
            let answer = async |request: Request<Asked>| {
                let body = request.into_body().collect().await.unwrap();
                Response::new(Full::from(body.to_bytes().len().to_string()))
            };
            let (mut from, mut to) = tokio::io::split(caller);
            let send = async {
                let (length, before, after) = if chunked {
                    ("transfer-encoding: chunked", "3e8\r\n", "\r\n")
                } else {
                    ("content-length: 100000", "", "")
                };
                let head =
                    format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n\r\n");
                let piece = format!("{before}{}{after}", "x".repeat(1000));
                let end = if chunked { "0\r\n\r\n" } else { "" };
                to.write_all(head.as_bytes()).await.unwrap();
                for _ in 0..PIECES {
                    to.write_all(piece.as_bytes()).await.unwrap();
                }
                to.write_all(end.as_bytes()).await.unwrap();
            };
            let mut answer_text = String::new();
            let course = Course::new();
            tokio::join!(
                serve(io, 60 * SECOND, course.watch(), answer),
                send,
                async { from.read_to_string(&mut answer_text).await.unwrap() },
            );
            assert!(answer_text.ends_with("\r\n\r\n100000"), "{answer_text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_proxy_is_over_so_is_the_connection() {
        let course = Course::new();
        let (mut caller, serving) = served(3, &course);
        caller.write_all(REQUEST).await.unwrap();
        course.shutdown();
        course.shutdown();
        serving.await.unwrap();
        assert_eq!(end_of(caller).await, Duration::ZERO);
    }
}
