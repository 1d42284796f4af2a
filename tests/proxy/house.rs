//! A proxy in front of a fake Claude, and a client to ask it with.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tower_claude::{
    config::Config,
    proxy::Proxy,
    testing::{FakeClaude, FakeClaudeBuilder},
};

pub const SONNET: &str = "claude-sonnet-5-5";
pub const HAIKU: &str = "claude-haiku-5-5";
pub const TOKEN: &str = "token-of-tenant-one";

/// A proxy that runs until it is dropped, and what stands behind it.
pub struct House {
    pub claude: FakeClaude,
    pub proxy: Proxy,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub running: JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A TOML file as the tests want it: free ports, and waits of milliseconds.
pub fn config(toml: &str, upstream: &str) -> Config {
    let mut config = Config::from_toml(toml, "test.toml").unwrap();
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.admin = config.listen;
    config.upstream = upstream.parse().unwrap();
    config.backoff.base = Duration::from_millis(5);
    config
}

pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    match name {
        "ANTHROPIC_API_KEY" => Some("sk-ant-own-key".into()),
        "CLAUDE_PROXY_TOKENS" => Some(format!("{TOKEN},token-of-tenant-two").into()),
        _ => None,
    }
}

impl House {
    pub async fn new(claude: FakeClaudeBuilder, toml: &str) -> Self {
        let claude = claude.start().await.unwrap();
        let url = claude.url();
        Self::before(claude, config(toml, &url)).await
    }

    pub async fn well(toml: &str) -> Self {
        Self::new(FakeClaude::builder(), toml).await
    }

    pub async fn before(claude: FakeClaude, config: Config) -> Self {
        let proxy = Proxy::with_variables(config, variable).unwrap();
        let server = proxy.clone().bind().await.unwrap();
        let (address, admin) = (server.address(), server.admin_address());
        Self {
            claude,
            proxy,
            address,
            admin,
            running: tokio::spawn(server.run()),
            client: client(),
        }
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response<Incoming> {
        let request = Request::get(format!("http://{}{path}", self.address));
        self.send(request.body(Full::default()).unwrap()).await
    }

    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        self.send(post(self.address, path, body, headers)).await
    }

    pub async fn ask(&self, body: &Value) -> Response<Incoming> {
        self.post("/v1/messages", body, &[]).await
    }

    pub async fn status(&self) -> Value {
        let request = Request::get(format!("http://{}/status.json", self.admin));
        let response = self.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        json_of(response).await
    }

    /// Waits until nothing is in flight and nothing held.
    pub async fn idle(&self) {
        until(|| async {
            let status = self.status().await;
            status["in_flight"]["now"] == 0 && status["held_bytes"]["now"] == 0
        })
        .await;
    }
}

pub fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

pub fn post(
    to: SocketAddr,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("http://{to}{path}"))
        .header("content-type", "application/json")
        .header("anthropic-version", "2026-10-21");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_string())).unwrap()
}

pub fn call(model: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]})
}

pub fn stream(model: &str) -> Value {
    let mut call = call(model);
    call["stream"] = true.into();
    call
}

pub async fn bytes_of(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

pub async fn text_of(response: Response<Incoming>) -> String {
    String::from_utf8(bytes_of(response).await.to_vec()).unwrap()
}

pub async fn json_of(response: Response<Incoming>) -> Value {
    serde_json::from_slice(&bytes_of(response).await).unwrap()
}

/// The status, the `error.type`, and the headers of an error in Claude's form.
pub async fn error_of(response: Response<Incoming>) -> (u16, String, HeaderMap) {
    let (head, body) = response.into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["type"], "error", "{body}");
    let error_type = body["error"]["type"].as_str().unwrap().to_owned();
    (head.status.as_u16(), error_type, head.headers)
}

/// No half answer looks whole.
pub fn ends_with_an_error(stream: &str) {
    let last = stream.trim_end().lines().rev().nth(1);
    assert_eq!(last, Some("event: error"), "{stream}");
}

/// Waits for what must come true soon.
pub async fn until<F: Future<Output = bool>>(is: impl Fn() -> F) {
    let wait = async {
        while !is().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it should have come true");
}

/// Writes to a connection of its own and reads until its end.
pub async fn raw(to: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset ends it too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
