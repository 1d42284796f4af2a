//! A connection over a pipe in memory, mostly on a paused clock.

use super::*;
use crate::{
    commit::keeps_timer,
    proxy::{shutdown::Course, waiting::HEAD_TIME},
};
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

/// The task of a connection that is polled with two pieces of news at once: its last answer can be written, and there is
/// another request. hyper takes the request and writes the answer, but does not go on with the call by itself.
#[tokio::test(start_paused = true)]
async fn a_request_that_comes_as_the_last_answer_is_taken_is_answered_too() {
    for pause in [Duration::ZERO, SECOND] {
        let (mut caller, io) = duplex(64);
        let answer = move |request: Request<Asked>| async move {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {
                    sleep(pause).await;
                }
            });
            Response::new(Full::<Bytes>::from("answered"))
        };
        tokio::spawn(serve(io, 60 * SECOND, Course::new().watch(), answer));
        // It answers early, as far as there is room, and then reads the last piece.
        for part in [
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab",
            "c",
        ] {
            caller.write_all(part.as_bytes()).await.unwrap();
            sleep(SECOND / 10).await;
        }
        let mut first = [0; 64];
        caller.read_exact(&mut first).await.unwrap();
        caller
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut rest = String::new();
        let read = caller.read_to_string(&mut rest);
        tokio::time::timeout(20 * SECOND, read)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(rest.matches("answered").count(), 2, "{pause:?} {rest}");
    }
}

#[tokio::test]
async fn a_call_sees_one_time_while_it_is_polled_and_has_the_timer_of_its_connection() {
    let (mut caller, io) = duplex(1024);
    let answer = async |_: Request<Asked>| {
        assert!(keeps_timer());
        let (seen, real) = (clock::now(), Instant::now());
        while Instant::now() == real {
            std::thread::yield_now();
        }
        assert_eq!(clock::now(), seen);
        Response::new(Full::<Bytes>::default())
    };
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    caller.write_all(request).await.unwrap();
    let course = Course::new();
    serve(io, 60 * SECOND, course.watch(), answer).await;
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Whoever takes a piece wakes the connection, which reads the next one: here on another thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_another_task_reads_comes_to_its_end() {
    for round in 0..200 {
        let (caller, io) = duplex(64);
        let answer = async |request: Request<Asked>| {
            let read = tokio::spawn(request.into_body().collect());
            let body = read.await.unwrap().unwrap();
            Response::new(Full::from(body.to_bytes().len().to_string()))
        };
        let (mut from, mut to) = tokio::io::split(caller);
        let (mut text, course) = (String::new(), Course::new());
        let length = 1 + round * 7;
        let ask = async {
            let head = format!(
                "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            to.write_all(head.as_bytes()).await.unwrap();
            to.write_all(&vec![b'x'; length]).await.unwrap();
        };
        tokio::join!(serve(io, 60 * SECOND, course.watch(), answer), ask, async {
            from.read_to_string(&mut text).await.unwrap()
        },);
        assert!(text.ends_with(&format!("\r\n\r\n{length}")), "{text}");
    }
}
