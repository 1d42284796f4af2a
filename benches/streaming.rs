//! What the whole stack adds to a streamed answer, against plain forwarding of the same frames over loopback TCP.
//!
//! ```console
//! $ cargo bench --bench streaming
//! ```
//!
//! Each answer through the stack is compared with plain ones just before and after it, since a machine is not equally fast
//! all the time; compare the ratios, not the times. The server sends without a pause, so that what is timed is work, and
//! nobody waits. Where the system tells it, that is the time the forwarding thread has spent on a CPU, so that other work of
//! the machine does not count.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::{
    fs::File,
    future::poll_fn,
    hint::black_box,
    io::{ErrorKind, IoSlice, Read, Seek},
    net::SocketAddr,
    pin::pin,
    task::Poll,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    ReplayBody, Resilience,
    client::{HttpsClient, https_client},
    commit::CommitLayer,
};

/// Bytes of one answer.
const ANSWER: usize = 8 << 20;
const ROUNDS: usize = 61;
const WARM_UP: usize = 3;
/// Frames of one write at most.
const TOGETHER: usize = 16;
/// So much is forwarded before the far end reads it. Sockets have room for it.
const UNREAD: usize = 64 << 10;

/// An answer of deltas with texts of so many bytes, sent in HTTP chunks.
struct Shape {
    name: &'static str,
    delta: usize,
    frame: Frame,
    aim: f64,
}

enum Frame {
    /// As many whole events as fit into 4 KiB.
    Full,
    /// 4 KiB, wherever events end: each frame leaves a half event that must be kept back for the next.
    Cut,
    /// One event.
    Event,
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "64-byte deltas in 4 KiB frames",
        delta: 64,
        frame: Frame::Full,
        aim: 1.25,
    },
    Shape {
        name: "the same, cut anywhere",
        delta: 64,
        frame: Frame::Cut,
        aim: 1.25,
    },
    Shape {
        name: "1 KiB deltas in 4 KiB frames",
        delta: 1024,
        frame: Frame::Full,
        aim: 1.1,
    },
    Shape {
        name: "the same, cut anywhere",
        delta: 1024,
        frame: Frame::Cut,
        aim: 1.1,
    },
    Shape {
        name: "1 KiB deltas, one per frame",
        delta: 1024,
        frame: Frame::Event,
        aim: 1.1,
    },
];

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n";
const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A delta whose text has this many bytes, a line break among them now and then.
fn delta(bytes: usize) -> String {
    let text: String = "The quick brown fox. "
        .chars()
        .cycle()
        .take(bytes.saturating_sub(2))
        .collect();
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\\n\"}}}}\n\n"
    )
}

impl Shape {
    /// The answer as it goes over the wire.
    fn wire(&self) -> Bytes {
        let delta = delta(self.delta);
        let deltas = delta.repeat(ANSWER / delta.len());
        let frame = match self.frame {
            Frame::Full => 4096 / delta.len() * delta.len(),
            Frame::Cut => 4096,
            Frame::Event => delta.len(),
        };
        let mut wire =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        let frames = deltas.as_bytes().chunks(frame);
        for chunk in [START.as_bytes()]
            .into_iter()
            .chain(frames)
            .chain([END.as_bytes()])
        {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire.into()
    }
}

/// A server that answers every request with the same bytes.
async fn serve(listener: TcpListener, wire: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, wire.clone()));
    }
}

async fn answer(mut stream: TcpStream, wire: Bytes) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        while !request.ends_with(b"]}") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        request.clear();
        stream.write_all(&wire).await?;
    }
}

fn request<B: From<Bytes>>(server: SocketAddr) -> Request<B> {
    let json = r#"{"model":"claude-sonnet-5-5","max_tokens":64,"stream":true,"messages":[]}"#;
    let body = Bytes::from_static(json.as_bytes()).into();
    Request::post(format!("http://{server}/v1/messages"))
        .body(body)
        .unwrap()
}

/// The time this thread has spent on a CPU, as Linux tells it; elsewhere the time that has passed.
struct Clock {
    on_cpu: Option<File>,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            on_cpu: File::open("/proc/thread-self/schedstat").ok(),
            start: Instant::now(),
        }
    }

    /// In seconds.
    fn now(&self) -> f64 {
        // Otherwise only what ran until the last tick is told.
        std::thread::yield_now();
        let told = self.on_cpu.as_ref().and_then(|mut file| {
            let mut text = [0; 64];
            file.rewind().ok()?;
            let length = file.read(&mut text).ok()?;
            let text = std::str::from_utf8(text.get(..length)?).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        match told {
            Some(nanos) => nanos / 1e9,
            None => (Instant::now() - self.start).as_secs_f64(),
        }
    }
}

/// What is done with the frames of an answer.
enum Sink {
    /// They are sent on through a connection, as a proxy does.
    Forward(Forward),
    /// They are dropped: the least that can be done, and the hardest measure of what is added to it.
    Read,
}

/// A connection whose far end is read by this thread too, every now and then, without being timed.
///
/// So each write goes out as one segment and wakes nobody, whoever writes. Were the far end read by another thread, the
/// faster writer would run ahead of it and have several writes sent as one, and the slower one would pay for waking it: that
/// makes more of a difference than what is measured here.
struct Forward {
    near: TcpStream,
    far: std::net::TcpStream,
    unread: usize,
    buffer: Box<[u8]>,
}

impl Forward {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let (near, far) = (near.unwrap(), far.unwrap().0.into_std().unwrap());
        near.set_nodelay(true).unwrap();
        far.set_nonblocking(false).unwrap();
        Self {
            near,
            far,
            unread: 0,
            buffer: vec![0; UNREAD].into(),
        }
    }

    /// Sends the frames that came together in one write, as servers do. Returns the time that does not count.
    async fn send(&mut self, frames: &[Bytes], clock: &Clock) -> f64 {
        let mut slices: Vec<_> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        let mut left = &mut slices[..];
        let mut reading = 0.0;
        while !left.is_empty() {
            match self.near.try_write_vectored(left) {
                Ok(written) => {
                    self.unread += written;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    reading += self.read(clock);
                    self.near.writable().await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        if self.unread >= UNREAD {
            reading += self.read(clock);
        }
        reading
    }

    fn read(&mut self, clock: &Clock) -> f64 {
        let started = clock.now();
        while self.unread > 0 {
            self.unread -= self.far.read(&mut self.buffer).unwrap();
        }
        clock.now() - started
    }
}

impl Sink {
    async fn take(&mut self, frames: &[Bytes], clock: &Clock) -> f64 {
        match self {
            Self::Forward(forward) => forward.send(frames, clock).await,
            Self::Read => {
                black_box(frames);
                0.0
            }
        }
    }
}

/// The time of one answer, from the call to its end.
async fn time<S, B, RB>(service: &S, request: Request<B>, sink: &mut Sink) -> f64
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: std::fmt::Debug,
    RB: Body<Data = Bytes>,
    RB::Error: std::fmt::Debug,
{
    let clock = Clock::new();
    let started = clock.now();
    let mut not_counted = 0.0;
    let response = service.clone().oneshot(request).await.unwrap();
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    let mut frames: Vec<Bytes> = Vec::with_capacity(TOGETHER);
    loop {
        // Waits for the first frame, and takes what has come with it.
        let polled = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Pending if !frames.is_empty() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let polled = polled.await;
        let is_over = matches!(polled, Some(None));
        if let Some(Some(frame)) = polled {
            frames.extend(frame.unwrap().into_data());
            if frames.len() < TOGETHER {
                continue;
            }
        }
        bytes += frames.iter().map(Bytes::len).sum::<usize>();
        not_counted += sink.take(&frames, &clock).await;
        frames.clear();
        if is_over {
            break;
        }
    }
    assert!(bytes > ANSWER / 2);
    clock.now() - started - not_counted
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The median of this service's times, each divided by the time of a plain client just before and after it, so that a
/// machine that changes its pace favours neither.
async fn ratio<S, RB>(
    client: &HttpsClient,
    service: &S,
    server: SocketAddr,
    sink: &mut Sink,
    rounds: usize,
) -> f64
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>> + Clone,
    S::Error: std::fmt::Debug,
    RB: Body<Data = Bytes>,
    RB::Error: std::fmt::Debug,
{
    let mut ratios = Vec::new();
    let mut before = time(client, request::<ReplayBody>(server), sink).await;
    for round in 0..rounds + WARM_UP {
        let through = time(service, request::<Full<Bytes>>(server), sink).await;
        let after = time(client, request::<ReplayBody>(server), sink).await;
        if round >= WARM_UP {
            ratios.push(through / f64::midpoint(before, after));
        }
        before = after;
    }
    median(ratios)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
async fn compare(shape: &'static Shape, rounds: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    // On a thread of its own, as upstream is on a machine of its own.
    let wire = shape.wire();
    let listener = listener.into_std().unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async {
            serve(TcpListener::from_std(listener).unwrap(), wire).await;
        });
    });

    let client = https_client();
    let stack = |commit| {
        Resilience::builder()
            .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
            .commit(commit)
            .build()
            .unwrap()
            .layer(client.clone())
    };
    let whole = stack(CommitLayer::new());
    let parsing = stack(CommitLayer::new().with_full_parse(true));
    let (mut forward, mut read) = (Sink::Forward(Forward::new().await), Sink::Read);

    let forwarded = ratio(&client, &whole, server, &mut forward, rounds).await;
    let only_read = ratio(&client, &whole, server, &mut read, rounds).await;
    let parsed = ratio(&client, &parsing, server, &mut forward, rounds / 3 + 1).await;
    println!(
        "{:30} forwarded {forwarded:.2}x (aim {:.2}x) | read and dropped {only_read:.2}x | forwarded with a full parse {parsed:.2}x",
        shape.name, shape.aim,
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        1
    };
    for shape in &SHAPES {
        // In a task, as in a server.
        let compared = async move { tokio::spawn(compare(shape, rounds)).await };
        runtime().block_on(compared).unwrap();
    }
}
