//! The application: four features that call Claude at a steady pace, whatever comes back.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};
use tower_claude::{
    BoxError, BoxResilient, Feature, Outcome, Resilient, Served, client::HttpsClient,
    testing::FakeClaude,
};

/// One kind of call. A tick is 25 ms.
struct Kind {
    feature: Feature,
    every: u64,
    stream: bool,
    tools: bool,
}

/// How one call ended, as its caller saw it.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) to_answer: Duration,
}

/// Everything the callers saw.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ended: Vec<Ended>,
    /// Neither an answer nor a clean error: must stay empty.
    pub(crate) neither: Vec<String>,
}

/// The callers. See the [module docs](self).
pub(crate) struct Load {
    claude: BoxResilient<Full<Bytes>>,
    url: String,
    kinds: Vec<Kind>,
    tally: Arc<Mutex<Tally>>,
    running: Mutex<JoinSet<()>>,
}

impl Load {
    pub(crate) fn new(claude: Resilient<HttpsClient>, fake: &FakeClaude) -> Self {
        let kind = |feature, every, stream, tools| Kind {
            feature: Feature::new(feature),
            every,
            stream,
            tools,
        };
        Self {
            claude: claude.boxed(),
            url: fake.messages_url(),
            kinds: vec![
                kind("chat", 2, true, false),
                kind("summary", 4, false, false),
                kind("extraction", 4, false, true),
                kind("background_jobs", 8, false, false),
            ],
            tally: Arc::default(),
            running: Mutex::default(),
        }
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the calls of this tick; none waits for another.
    pub(crate) fn tick(&self, nth: u64) {
        for (offset, kind) in (0..).zip(&self.kinds) {
            if (nth + offset) % kind.every == 0 {
                let (claude, tally) = (self.claude.clone(), self.tally.clone());
                let request = self.request(kind, nth);
                self.running().spawn(async move {
                    let result = call(claude, request).await;
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(ended) => tally.ended.push(ended),
                        Err(error) => tally.neither.push(error.to_string()),
                    }
                });
            }
        }
    }

    /// Lets the calls that are under way end.
    pub(crate) async fn drain(&self, at_most: Duration) {
        let mut running = std::mem::take(&mut *self.running());
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(at_most, all).await.is_err() {
            self.tally()
                .neither
                .push(format!("{} calls still hang", running.len()));
        }
    }

    fn request(&self, kind: &Kind, nth: u64) -> Result<Request<Full<Bytes>>, BoxError> {
        // In a chat some questions come over and over, and their answers can be kept. No two texts to sum up are the same.
        let question = if kind.stream { nth % 40 } else { nth };
        let mut body = json!({
            "model": crate::SONNET,
            "max_tokens": 40,
            "stream": kind.stream,
            "messages": [{ "role": "user", "content": format!("Question {question} of {}", kind.feature) }],
        });
        if kind.tools {
            body["tools"] = json!([{ "name": "extract", "input_schema": { "type": "object" } }]);
        }
        Ok(Request::post(&self.url)
            .header("x-api-key", "sk-fake")
            .header("content-type", "application/json")
            .extension(kind.feature.clone())
            .body(Full::from(body.to_string()))?)
    }
}

/// Makes a call and reads its answer as a careful caller would: to the end.
async fn call(
    claude: BoxResilient<Full<Bytes>>,
    request: Result<Request<Full<Bytes>>, BoxError>,
) -> Result<Ended, BoxError> {
    let started = Instant::now();
    let answer = claude.send(request?).await?;
    let to_answer = Instant::now().duration_since(started);
    let served = answer
        .extensions()
        .get::<Served>()
        .cloned()
        .ok_or("nobody says who served it")?;
    let stream = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let body = std::str::from_utf8(&body)?;
    let outcome = if stream {
        let last = body.trim_end().rsplit("\n\n").next().unwrap_or_default();
        match last {
            _ if last.starts_with("event: message_stop") => served.outcome,
            _ if last.starts_with("event: error") => Outcome::Error,
            _ => return Err(format!("half a stream: …{last}").into()),
        }
    } else {
        let message: Value = serde_json::from_str(body)?;
        match (message["type"].as_str(), status.is_success()) {
            (Some("message"), true) => served.outcome,
            (Some("error"), false) => Outcome::Error,
            _ => return Err(format!("{status} with {body}").into()),
        }
    };
    Ok(Ended { outcome, to_answer })
}
