//! An upstream on loopback that does what a script says, and the calls to it.
//!
//! It runs where the test does, on one thread: what it has written is there once the runtime has looked at its sockets,
//! which it does whenever all tasks have had their turn.

use crate::{
    body::ReplayBody,
    error::BoxError,
    proxy::{
        forward,
        shutdown::Stop,
        upstream::{Outgoing, Target, Upstream, UpstreamBody, client::Sending},
    },
};
use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, yield_now},
};
use tower_service::Service;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// More than sockets hold.
pub(super) fn large() -> String {
    "x".repeat(16 << 20)
}

/// What an upstream has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    closed: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Stand {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: AbortHandle,
}

impl Stand {
    /// Does this with each connection, which are numbered from 0.
    pub(super) async fn new<F>(script: impl Fn(Conn, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let n = counted.connections.fetch_add(1, Ordering::Relaxed);
                counted.open.fetch_add(1, Ordering::Relaxed);
                let conn = Conn {
                    stream,
                    read: Vec::new(),
                    path: String::new(),
                    seen: Arc::clone(&counted),
                };
                tokio::spawn(script(conn, n));
            }
        });
        Self {
            address,
            seen,
            accepting: accepting.abort_handle(),
        }
    }

    /// Answers each request with these bytes.
    pub(super) async fn answering(answer: &'static str) -> Self {
        Self::new(move |mut conn, _| async move {
            while conn.request().await {
                conn.write(answer).await;
            }
        })
        .await
    }

    /// Takes no more connections; those that there are go on.
    pub(super) async fn refuse(&self) {
        self.accepting.abort();
        until(|| self.accepting.is_finished()).await;
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it.
    pub(super) fn upstream(&self) -> Upstream {
        upstream(&format!("http://{}", self.address))
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// How many of them upstream has not ended or found closed.
    pub(super) fn open(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }

    /// How many the other end has closed.
    pub(super) fn closed(&self) -> usize {
        self.seen.closed.load(Ordering::Relaxed)
    }

    /// How many requests came whole.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.lock().unwrap().len()
    }

    /// The last of them.
    pub(super) fn last(&self) -> String {
        self.seen.requests.lock().unwrap().last().unwrap().clone()
    }

    /// Waits until the other end has closed so many connections.
    pub(super) async fn until_closed(&self, connections: usize) {
        until(|| self.closed() == connections).await;
    }
}

/// Waits for something that needs no time to come, only its turn.
pub(super) async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if is_so() {
            return;
        }
        yield_now().await;
    }
    panic!("it did not come");
}

/// Lets everything come that is on its way.
pub(super) async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Upstream's end of a connection. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Conn {
    stream: TcpStream,
    // What belongs to no request yet.
    read: Vec<u8>,
    // Of the last request.
    path: String,
    seen: Arc<Seen>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Conn {
    /// Reads a request; false at the end of the connection.
    pub(super) async fn request(&mut self) -> bool {
        if !self.head().await {
            return false;
        }
        loop {
            if let Some(end) = end_of_request(&self.read) {
                let request: Vec<_> = self.read.drain(..end).collect();
                let request = String::from_utf8(request).unwrap();
                self.seen.requests.lock().unwrap().push(request);
                return true;
            }
            if !self.more().await {
                return false;
            }
        }
    }

    /// Reads the head of a request, and perhaps some of its body; false at the end of the connection.
    pub(super) async fn head(&mut self) -> bool {
        while end_of_head(&self.read).is_none() {
            if !self.more().await {
                return false;
            }
        }
        let line = self.read.split(|byte| *byte == b'\r').next().unwrap();
        let line = std::str::from_utf8(line).unwrap();
        self.path = line.split(' ').nth(1).unwrap().to_owned();
        true
    }

    /// The path of the request whose head it has read last.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The socket, for a server of somebody else.
    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads until the other end has closed the connection, whatever comes.
    pub(super) async fn end(&mut self) {
        while self.more().await {
            self.read.clear();
        }
    }

    async fn more(&mut self) -> bool {
        let is_more = matches!(self.stream.read_buf(&mut self.read).await, Ok(n) if n > 0);
        if !is_more {
            self.seen.closed.fetch_add(1, Ordering::Relaxed);
        }
        is_more
    }

    /// Writes to whoever may be gone.
    pub(super) async fn write(&mut self, text: &str) {
        let _: io::Result<()> = self.stream.write_all(text.as_bytes()).await;
    }

    /// Writes nothing any more, and reads on.
    pub(super) async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(super) fn reset(self) {
        #[allow(deprecated, reason = "what is in its place is newer than our tokio")]
        self.stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn end_of_head(read: &[u8]) -> Option<usize> {
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some(end + 4)
}

fn end_of_request(read: &[u8]) -> Option<usize> {
    let end = end_of_head(read)?;
    let head = std::str::from_utf8(&read[..end]).unwrap();
    if head.contains("transfer-encoding: chunked") {
        let mut at = end;
        loop {
            let size = read[at..].windows(2).position(|bytes| bytes == b"\r\n")?;
            let line = std::str::from_utf8(&read[at..at + size]).unwrap();
            let chunk = usize::from_str_radix(line, 16).unwrap();
            at += size + 2 + chunk + 2;
            if read.len() < at {
                return None;
            }
            if chunk == 0 {
                return Some(at);
            }
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let end = end + length.map_or(0, |length| length.parse().unwrap());
    (read.len() >= end).then_some(end)
}

/// A client of the upstream at this address.
pub(super) fn upstream(url: &str) -> Upstream {
    let target = Target::new(&url.parse().unwrap()).unwrap();
    Upstream::new(target, Duration::from_secs(5), Stop::default())
}

/// A request as the proxy has it for upstream.
pub(super) fn request<B>(upstream: &Upstream, method: &str, path: &str, body: B) -> Request<B> {
    let asked: Uri = path.parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(upstream.target().path(&asked).unwrap())
        .header("host", "the proxy");
    let (mut head, body) = request.body(body).unwrap().into_parts();
    forward::to_upstream(&mut head, upstream.target());
    Request::from_parts(head, body)
}

/// Calls with a body that is held.
pub(super) fn post(upstream: &Upstream, body: impl Into<ReplayBody>) -> Sending {
    post_to(upstream, "/v1/messages", body)
}

pub(super) fn post_to(upstream: &Upstream, path: &str, body: impl Into<ReplayBody>) -> Sending {
    let request = request(upstream, "POST", path, body.into());
    upstream.clone().call(request)
}

/// The other end of a body that is streamed.
pub(super) type Feed = mpsc::Sender<&'static str>;

/// Calls with a body that comes bit by bit.
pub(super) fn stream(upstream: &Upstream) -> (Feed, Sending) {
    stream_to(upstream, "/v1/files")
}

pub(super) fn stream_to(upstream: &Upstream, path: &str) -> (Feed, Sending) {
    let (feed, mut bits) = mpsc::channel(8);
    let body = StreamBody::new(poll_fn(move |cx| {
        let bit = bits.poll_recv(cx);
        bit.map(|bit| bit.map(|bit: &'static str| Ok(Frame::data(Bytes::from(bit)))))
    }));
    let body = Outgoing::Streamed {
        body: body.boxed_unsync(),
    };
    let request = request(upstream, "POST", path, body);
    (feed, upstream.send_once(request))
}

/// Calls with a body that breaks off.
pub(super) fn break_off(upstream: &Upstream) -> Sending {
    let bits = [
        Ok(Frame::data(Bytes::from("first"))),
        Err("it broke".into()),
    ];
    let body = StreamBody::new(futures_util::stream::iter(bits));
    let body = Outgoing::Streamed {
        body: body.boxed_unsync(),
    };
    upstream.send_once(request(upstream, "POST", "/v1/files", body))
}

/// Calls, and reads the answer.
pub(super) async fn ask(upstream: &Upstream) -> Result<String, BoxError> {
    text(post(upstream, "asked").await?).await
}

/// The body of an answer.
pub(super) async fn text(response: Response<UpstreamBody>) -> Result<String, BoxError> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// As many connections that are kept.
pub(super) async fn keep(upstream: &Upstream, connections: usize) {
    let asked: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(post(upstream, "asked")))
        .collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap().unwrap());
    }
    for answer in answers {
        text(answer).await.unwrap();
    }
}
