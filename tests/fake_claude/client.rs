//! A plain HTTP client, and what it saw of an answer.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower_claude::testing::{At, FakeClaude, Fault, Reply};

pub(crate) const SONNET: &str = "claude-sonnet-5-5";
pub(crate) const HAIKU: &str = "claude-haiku-5-5";
/// Long enough to say that nothing came, short enough to wait for.
pub(crate) const SILENCE: Duration = Duration::from_millis(40);

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

pub(crate) fn call(claude: &FakeClaude, model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "max_tokens": 64, "stream": stream, "messages": []});
    Request::post(claude.messages_url())
        .body(body.to_string().into())
        .unwrap()
}

/// A head and all that came of the body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) frames: Vec<Bytes>,
    pub(crate) end: End,
}

#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Clean,
    /// The connection was reset.
    Reset,
    /// The body ended short of its length.
    Short,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.frames.concat()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.frames.concat()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The names of the whole events, and what is left after them.
    pub(crate) fn events(&self) -> (Vec<String>, String) {
        let text = self.text().replace("\r\n", "\n");
        let mut parts: Vec<&str> = text.split("\n\n").collect();
        let rest = parts.pop().unwrap().to_owned();
        let name = |event: &&str| event.lines().next().unwrap()["event: ".len()..].to_owned();
        (parts.iter().map(name).collect(), rest)
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.events().0.iter().filter(|name| *name == event).count()
    }
}

pub(crate) async fn read(response: http::Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut frames = Vec::new();
    let end = loop {
        match body.frame().await {
            None => break End::Clean,
            Some(Ok(frame)) => frames.push(frame.into_data().unwrap()),
            Some(Err(error)) if is_reset(&error) => break End::Reset,
            Some(Err(_)) => break End::Short,
        }
    };
    Answer {
        status: head.status,
        headers: head.headers,
        frames,
        end,
    }
}

pub(crate) fn is_reset(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
    Ok(read(client().request(request).await?).await)
}

/// The answer of a server that always gives this reply.
pub(crate) async fn answer(reply: Reply, stream: bool) -> Answer {
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    send(call(&claude, SONNET, stream)).await.unwrap()
}

/// The answer of a server that always gives this reply, which falls silent after this many frames.
pub(crate) async fn silent_after(frames: usize, reply: Reply, stream: bool) -> Answer {
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    let response = client()
        .request(call(&claude, SONNET, stream))
        .await
        .unwrap();
    let (head, mut body) = response.into_parts();
    let mut seen = Vec::new();
    for _ in 0..frames {
        seen.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert!(
        timeout(SILENCE, body.frame()).await.is_err(),
        "not silent after {frames} frames"
    );
    Answer {
        status: head.status,
        headers: head.headers,
        frames: seen,
        end: End::Clean,
    }
}

pub(crate) async fn faulty(at: At, fault: Fault, stream: bool) -> Answer {
    answer(Reply::ok().deltas(4).fail(at, fault), stream).await
}

pub(crate) fn get(claude: &FakeClaude, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("{}{path}", claude.url()))
        .body(Full::default())
        .unwrap()
}

pub(crate) fn post(
    claude: &FakeClaude,
    path: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    Request::post(format!("{}{path}", claude.url()))
        .body(Full::new(body.into()))
        .unwrap()
}
