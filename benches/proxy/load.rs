//! The load generator: kept connections, each with one call after the other.
//!
//! It knows just enough HTTP to see where an answer ends, so that it takes little of the time that is measured.

use memchr::memmem;
use std::{io::Write, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

/// Different calls.
const CALLS: u32 = 1000;

/// Bytes of a prompt.
const PROMPT: usize = 2000;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An answer at once.
    Json,
    /// An answer as a stream.
    Stream,
}

/// The times of one call, from its first byte sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// To the first event that says something.
    pub(crate) first: Duration,
    /// To the end of the answer.
    pub(crate) whole: Duration,
}

/// The body of the call with this number.
pub(crate) fn body(ask: Ask, number: u32) -> String {
    let stream = match ask {
        Ask::Json => "",
        Ask::Stream => r#""stream":true,"#,
    };
    let text = "Please say some words. ".repeat(PROMPT / 23);
    format!(
        r#"{{"model":"claude-sonnet-5-5","max_tokens":1024,{stream}"messages":[{{"role":"user","content":"{number:06} {text}"}}]}}"#
    )
}

/// The headers of a call, as an SDK sends them.
pub(crate) const HEADERS: [(&str, &str); 7] = [
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "Anthropic/Python 1.0.0"),
    ("x-api-key", "sk-ant-bench"),
    ("anthropic-version", "2026-10-21"),
    ("x-stainless-lang", "python"),
    ("x-stainless-timeout", "600"),
];

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    ask: Ask,
    number: u32,
    sent: Vec<u8>,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, ask: Ask, number: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            ask,
            number,
            sent: Vec::new(),
            read: Vec::with_capacity(64 * 1024),
        }
    }

    /// Sends the next call and reads its answer.
    pub(crate) async fn call(&mut self) -> Took {
        self.write();
        self.read.clear();
        let start = Instant::now();
        self.stream.write_all(&self.sent).await.expect("a write");
        let (mut first, mut head, mut looked) = (None, None, 0);
        loop {
            let read = self.stream.read_buf(&mut self.read).await;
            assert_ne!(read.expect("a read"), 0, "closed amid an answer");
            head = head.or_else(|| Head::of(&self.read));
            let Some(head) = &head else { continue };
            if first.is_none() && self.ask == Ask::Stream {
                let event = memmem::find(self.read.get(looked..).unwrap_or_default(), FIRST);
                first = event.map(|_| Instant::now() - start);
                looked = self.read.len().saturating_sub(FIRST.len());
            }
            if head.is_over(&self.read) {
                break;
            }
        }
        let whole = Instant::now() - start;
        assert!(
            memmem::find(&self.read, self.last()).is_some(),
            "half an answer"
        );
        let first = first.unwrap_or(whole);
        Took { first, whole }
    }

    fn write(&mut self) {
        self.number = (self.number + 1) % CALLS;
        let body = body(self.ask, self.number);
        self.sent.clear();
        let sent = &mut self.sent;
        sent.extend_from_slice(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in HEADERS {
            let _ = write!(sent, "{name}: {value}\r\n");
        }
        let _ = write!(sent, "content-length: {}\r\n\r\n{body}", body.len());
    }

    /// What only a whole answer has.
    fn last(&self) -> &'static [u8] {
        match self.ask {
            Ask::Json => b"\"output_tokens\":256}}",
            Ask::Stream => b"{\"type\":\"message_stop\"}",
        }
    }
}

/// In the first event that says something. Proxies that look at an answer before they pass it on give it with the
/// events before it.
const FIRST: &[u8] = b"content_block_delta";

/// Where the body of an answer begins, and how long it is where that is said.
struct Head {
    end: usize,
    length: Option<usize>,
}

impl Head {
    fn of(read: &[u8]) -> Option<Self> {
        let end = memmem::find(read, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(read.get(..end)?).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.split_once("\r\ncontent-length: ");
        let length = length.and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        Some(Self { end, length })
    }

    fn is_over(&self, read: &[u8]) -> bool {
        match self.length {
            Some(length) => read.len() >= self.end + length,
            None => read.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// Loads an address over so many connections for this long: calls per second, and the times of all.
pub(crate) async fn run(
    address: SocketAddr,
    ask: Ask,
    connections: u32,
    time: Duration,
) -> (f64, Vec<Took>) {
    let mut open = Vec::new();
    for number in 0..connections {
        let number = number * (CALLS / connections);
        let mut connection = Connection::open(address, ask, number).await;
        // The connection behind it opens too.
        connection.call().await;
        open.push(connection);
    }
    let start = Instant::now();
    let calls = move |mut connection: Connection| async move {
        let mut took = Vec::new();
        while Instant::now() - start < time {
            took.push(connection.call().await);
        }
        took
    };
    let mut all = Vec::new();
    match (open.len(), open.pop()) {
        (1, Some(connection)) => all = calls(connection).await,
        (_, last) => {
            let mut tasks: JoinSet<_> = open.into_iter().chain(last).map(calls).collect();
            while let Some(took) = tasks.join_next().await {
                all.extend(took.expect("a load"));
            }
        }
    }
    let seconds = (Instant::now() - start).as_secs_f64();
    (all.len() as f64 / seconds, all)
}
