//! [`Commit`](tower_claude::commit::Commit) over scripted bodies, on a paused clock: faults × stream or JSON × chunking.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::{
    BoxError, Call, Event, Failure, FailureKind, Observe, Timeouts, Verdict,
    classify::{End, Ended},
    commit::{Commit, CommitBody, CommitLayer},
};

const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{}}}\n\n";
const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello {\\\"\"}}\n\n";
const THOUGHT: &str = "event: content_block_delta\ndata: {\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}}\n\n";
const BLOCK_END: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const MANGLED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"}\n\n";
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}"#;
const ERROR_JSON: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

/// A step of a scripted body.
#[derive(Clone, Debug)]
enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers,
    Cut,
    Stall,
}

use Step::{Cut, Stall, Trailers, Wait};

fn data(text: &str) -> Step {
    Step::Data(Bytes::copy_from_slice(text.as_bytes()))
}

const S: Duration = Duration::from_secs(1);

/// A body that plays its steps and counts that it is open.
#[derive(Debug)]
struct Script {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    open: Arc<AtomicUsize>,
    /// Says that it has ended with its last frame, as bodies of known length do.
    sure: bool,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match self.steps.front() {
                None => return Poll::Ready(None),
                Some(Stall) => return Poll::Pending,
                Some(Wait(pause)) => {
                    let pause = *pause;
                    let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
                    ready!(timer.as_mut().poll(cx));
                    self.sleep = None;
                    self.steps.pop_front();
                }
                Some(Cut) => return Poll::Ready(Some(Err("connection reset".into()))),
                Some(Trailers) => {
                    self.steps.pop_front();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-end", "1".parse().unwrap());
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Some(Step::Data(chunk)) => {
                    let chunk = chunk.clone();
                    self.steps.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sure && self.steps.is_empty()
    }
}

/// What an upstream answers.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    sure: bool,
}

impl Answer {
    fn new(content_type: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", content_type.to_owned()),
                ("request-id", "req_1".to_owned()),
            ],
            steps: steps.into_iter().collect(),
            sure: false,
        }
    }

    fn sse(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new("text/event-stream; charset=utf-8", steps)
    }

    fn json(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new("application/json", steps)
    }

    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same bytes in chunks of `size`.
    fn chunked(mut self, size: usize) -> Self {
        let mut steps = Vec::new();
        let mut run = Vec::new();
        for step in self.steps {
            if let Step::Data(chunk) = step {
                run.extend_from_slice(&chunk);
                continue;
            }
            steps.extend(
                run.chunks(size)
                    .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk))),
            );
            run.clear();
            steps.push(step);
        }
        steps.extend(
            run.chunks(size)
                .map(|chunk| Step::Data(Bytes::copy_from_slice(chunk))),
        );
        self.steps = steps;
        self
    }
}

/// The observer, and what is open upstream.
#[derive(Clone, Debug, Default)]
struct Seen {
    events: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Observe for Seen {
    fn on_event(&self, event: &Event<'_>) {
        let text = match event {
            Event::AttemptCommitted { after, .. } => format!("committed after {after:?}"),
            Event::AttemptFailed { kind, after, .. } => format!("failed {kind} after {after:?}"),
            Event::StreamFailed { kind, .. } => format!("broke off {kind}"),
            other => format!("{other:?}"),
        };
        self.events.lock().unwrap().push(text);
    }
}

impl Seen {
    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

type Answered = Result<Response<CommitBody<Script>>, BoxError>;

async fn ask(layer: CommitLayer, answer: Answer, call: Option<Call>, seen: &Seen) -> Answered {
    let open = seen.open.clone();
    let service = layer
        .with_observer(Arc::new(seen.clone()))
        .layer(service_fn(move |_: Request<()>| {
            let answer = answer.clone();
            open.fetch_add(1, Ordering::SeqCst);
            let body = Script {
                steps: answer.steps.into(),
                sleep: None,
                open: open.clone(),
                sure: answer.sure,
            };
            let mut response = Response::builder().status(answer.status);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            let response = response.body(body).unwrap();
            async move { Ok::<_, Infallible>(response) }
        }));
    let mut request = Request::post("/v1/messages").body(()).unwrap();
    if let Some(call) = call {
        request.extensions_mut().insert(call);
    }
    service.oneshot(request).await
}

/// A call that nothing could act for.
fn alone(stream: bool) -> Call {
    Call::new(Some("claude-sonnet-5-5".into())).with_stream(stream)
}

async fn plain(answer: Answer) -> Answered {
    ask(CommitLayer::new(), answer, None, &Seen::default()).await
}

fn end(response: &Response<CommitBody<Script>>) -> End {
    match response.extensions().get::<Verdict>() {
        Some(Verdict::Committed(end)) => end.clone(),
        other => panic!("{other:?}"),
    }
}

/// All data of a body, and its error.
async fn read(body: CommitBody<Script>) -> (String, Option<FailureKind>) {
    let mut body = body;
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) => {
                let failure = Failure::find(&*error).unwrap().kind;
                assert!(body.frame().await.is_none(), "nothing comes after an error");
                assert!(body.is_end_stream());
                return (String::from_utf8(text).unwrap(), Some(failure));
            }
        }
    }
    assert!(body.is_end_stream());
    (String::from_utf8(text).unwrap(), None)
}

fn failure(answered: Answered) -> Failure {
    let error = answered.map(|response| response.map(|_| ())).unwrap_err();
    Failure::find(&*error).unwrap().clone()
}

const SIZES: [usize; 6] = [1, 2, 5, 31, 300, 1 << 20];

#[tokio::test(start_paused = true)]
async fn a_fault_before_the_first_content_of_a_stream_is_a_failure_of_the_attempt() {
    use FailureKind::{Overloaded, ServerError, Timeout, Transport};
    let html = "<html>hi</html>";
    for (name, steps, kind) in [
        ("empty", vec![], Transport),
        (
            "only pings",
            vec![data(PING), data(": note\n\n"), data(PING)],
            Transport,
        ),
        ("no content", vec![data(START), data(STOP)], Transport),
        ("error first", vec![data(ERROR)], Overloaded),
        (
            "error after ping",
            vec![data(PING), data(ERROR)],
            Overloaded,
        ),
        (
            "error after start",
            vec![data(START), data(BLOCK), data(ERROR)],
            Overloaded,
        ),
        (
            "error that is none",
            vec![data("event: error\ndata: oops\n\n")],
            ServerError,
        ),
        ("end after start", vec![data(START), data(BLOCK)], Transport),
        ("cut at once", vec![Cut], Transport),
        ("cut after start", vec![data(START), Cut], Transport),
        (
            "half a delta",
            vec![data(START), data(&DELTA[..DELTA.len() - 1])],
            Transport,
        ),
        (
            "mangled start",
            vec![
                data("event: message_start\ndata: {\"a\":{}\n\n"),
                data(DELTA),
            ],
            Transport,
        ),
        (
            "mangled delta",
            vec![data(START), data(MANGLED), data(DELTA)],
            Transport,
        ),
        (
            "two starts",
            vec![data(START), data(START), data(DELTA)],
            Transport,
        ),
        ("a page of html", vec![data(html)], Transport),
        ("stall at once", vec![Stall], Timeout),
        (
            "only pings, then a stall",
            vec![data(PING), Wait(10 * S), data(PING), Stall],
            Timeout,
        ),
        (
            "half a start, then a stall",
            vec![data(&START[..20]), Stall],
            Timeout,
        ),
    ] {
        for size in SIZES {
            let seen = Seen::default();
            let answer = Answer::sse(steps.clone()).chunked(size);
            let answered = ask(CommitLayer::new(), answer, None, &seen).await;
            let failure = failure(answered);
            assert_eq!(failure.kind, kind, "{name}, {size}");
            assert_eq!(failure.warrants_fallback(), true);
            assert_eq!(seen.open(), 0, "{name}: the connection is let go");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_stream_passes_byte_for_byte_wherever_its_chunks_end() {
    let whole = [
        PING,
        START,
        ": note\r\n\r\n",
        BLOCK,
        PING,
        THOUGHT,
        DELTA,
        "event: new\ndata: x\n\n",
        DELTA,
        BLOCK_END,
        END,
        STOP,
    ]
    .concat();
    for stream in [
        whole.clone(),
        whole.replace("\r\n", "\n").replace('\n', "\r\n"),
        // No delta: a refusal, a `fallback` block.
        [START, END, STOP].concat(),
        [START, BLOCK, BLOCK_END, END, STOP].concat(),
    ] {
        for size in SIZES {
            for call in [None, Some(alone(true))] {
                let seen = Seen::default();
                let answer = Answer::sse([data(&stream)]).chunked(size);
                let response = ask(CommitLayer::new(), answer, call, &seen).await.unwrap();
                let end = end(&response);
                assert_eq!(
                    read(response.into_body()).await,
                    (stream.clone(), None),
                    "{size}"
                );
                assert_eq!(end.get(), Some(Ended::Complete));
                assert_eq!(seen.open(), 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_the_first_content_ends_a_stream_with_one_error_event() {
    use FailureKind::{Overloaded, Truncated};
    let half = &DELTA[..DELTA.len() - 1];
    for (name, steps, kind, error_type, id) in [
        ("end", vec![], Truncated, "api_error", "req_1"),
        ("cut", vec![Cut], Truncated, "api_error", "req_1"),
        (
            "half an event, then the end",
            vec![data(half)],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "half an event, then a cut",
            vec![data(half), Cut],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "half a stop",
            vec![data(&STOP[..STOP.len() - 1])],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "error",
            vec![data(ERROR), data(DELTA), data(STOP)],
            Overloaded,
            "overloaded_error",
            "req_1",
        ),
        (
            "mangled",
            vec![data(MANGLED), data(STOP)],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "another start",
            vec![data(START), data(STOP)],
            Truncated,
            "api_error",
            "req_1",
        ),
        ("stall", vec![Stall], Truncated, "timeout_error", "req_1"),
        (
            "half an event, then a stall",
            vec![data(half), Stall],
            Truncated,
            "timeout_error",
            "req_1",
        ),
    ] {
        for size in SIZES {
            let seen = Seen::default();
            let good = [START, BLOCK, DELTA].concat();
            let steps = [vec![data(&good)], steps.clone()].concat();
            let call = Some(alone(true));
            let response = ask(
                CommitLayer::new(),
                Answer::sse(steps).chunked(size),
                call,
                &seen,
            )
            .await
            .unwrap();
            let end = end(&response);
            let (text, error) = read(response.into_body()).await;
            assert!(error.is_none(), "{name}: rendered");
            let event = text.strip_prefix(&good).expect(name);
            let event = event.strip_prefix("event: error\ndata: ").expect(name);
            let event: serde_json::Value =
                serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
            assert_eq!(event["error"]["type"], error_type, "{name}");
            assert_eq!(event["request_id"], id, "{name}");
            assert_eq!(end.get(), Some(Ended::Failed(kind)), "{name}");
            assert_eq!(seen.open(), 0);
            let broke_off = seen
                .events()
                .iter()
                .filter(|event| event.starts_with("broke"))
                .count();
            assert_eq!(broke_off, 1, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_back_where_nothing_could_act() {
    let seen = Seen::default();
    let answer = Answer::sse([Wait(14 * S), data(START), Stall]);
    let start = Instant::now();
    let response = ask(CommitLayer::new(), answer, Some(alone(true)), &seen)
        .await
        .unwrap();
    assert_eq!(Instant::now(), start, "committed by its head");
    let mut body = response.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        START
    );
    assert_eq!(Instant::now() - start, 14 * S);

    let answer = Answer::json([data("{"), Wait(9 * S), data("}")]);
    let response = ask(CommitLayer::new(), answer, Some(alone(false)), &seen)
        .await
        .unwrap();
    assert_eq!(Instant::now() - start, 14 * S);
    assert_eq!(read(response.into_body()).await, ("{}".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn a_started_stream_is_held_for_15_seconds_at_most() {
    let start = Instant::now();
    let response = plain(Answer::sse([
        Wait(10 * S),
        data(START),
        Wait(20 * S),
        data(DELTA),
        data(STOP),
    ]))
    .await
    .unwrap();
    assert_eq!(Instant::now() - start, 25 * S);
    let (text, error) = read(response.into_body()).await;
    assert_eq!(
        (text, error.is_none()),
        ([START, DELTA, STOP].concat(), true)
    );
    assert_eq!(Instant::now() - start, 30 * S);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_up_to_its_bound_in_bytes() {
    let block = format!(
        "event: content_block_start\ndata: {{\"x\":\"{}\"}}\n\n",
        "y".repeat(40 << 10)
    );
    let answer = Answer::sse([data(START), data(&block), data(&block), Stall]);
    let start = Instant::now();
    let response = plain(answer).await.unwrap();
    assert_eq!(Instant::now(), start);
    let mut body = response.into_body();
    for chunk in [START, &block, &block] {
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            chunk
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_json_answer_is_a_failure_of_the_attempt() {
    use FailureKind::{Overloaded, ServerError, Timeout, Transport};
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(200_000));
    for (name, answer, kind) in [
        ("error object", Answer::json([data(ERROR_JSON)]), Overloaded),
        ("cut", Answer::json([data(&MESSAGE[..20]), Cut]), Transport),
        (
            "short of its length",
            Answer::json([data(&long[..99_999])]).header("content-length", long.len()),
            Transport,
        ),
        (
            "stall",
            Answer::json([data(&MESSAGE[..20]), Stall]),
            Timeout,
        ),
        ("stall at once", Answer::json([Stall]), Timeout),
        (
            "status",
            Answer::json([data("{}")]).status(501),
            ServerError,
        ),
    ] {
        for size in [7, 300, 1 << 20] {
            for sure in [true, false] {
                let mut answer = answer.clone().chunked(size);
                answer.sure = sure;
                let answered = ask(CommitLayer::new(), answer, None, &Seen::default()).await;
                if name == "status" {
                    let verdict = Verdict::of(&answered);
                    assert_eq!(verdict.failure().unwrap().kind, kind);
                    continue;
                }
                assert_eq!(failure(answered).kind, kind, "{name}, {size}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_was_asked_for_is_a_failure() {
    use FailureKind::{Overloaded, ServerError, Transport};
    let html = || Answer::new("text/html", [data("<html>hi</html>")]);
    for (name, stream, answer, kind) in [
        ("html for a stream", true, html(), ServerError),
        (
            "json for a stream",
            true,
            Answer::json([data(MESSAGE)]),
            ServerError,
        ),
        (
            "an error object for a stream",
            true,
            Answer::json([data(ERROR_JSON)]),
            Overloaded,
        ),
        ("nothing for a stream", true, Answer::json([]), ServerError),
        (
            "a stream for json",
            false,
            Answer::sse([data(START), data(DELTA), data(STOP)]),
            ServerError,
        ),
        ("html for json", false, html(), Transport),
        ("nothing for json", false, Answer::json([]), Transport),
        (
            "an error object for json",
            false,
            Answer::json([data(ERROR_JSON)]),
            Overloaded,
        ),
    ] {
        for sure in [true, false] {
            let mut answer = answer.clone();
            answer.sure = sure;
            if !sure && !stream && kind != ServerError {
                // Without anything to act, its first chunk commits it.
                continue;
            }
            let seen = Seen::default();
            let answered = ask(CommitLayer::new(), answer, Some(alone(stream)), &seen).await;
            assert_eq!(failure(answered).kind, kind, "{name}");
            assert_eq!(seen.open(), 0);
            assert_eq!(seen.events(), [format!("failed {kind} after 0ns")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_json_answer_is_complete_and_passes_as_it_came() {
    for size in SIZES {
        let mut answer = Answer::json([data(MESSAGE), Trailers]).chunked(size);
        answer = answer.header("content-length", MESSAGE.len());
        let seen = Seen::default();
        let response = ask(CommitLayer::new(), answer, None, &seen).await.unwrap();
        assert!(matches!(
            response.extensions().get(),
            Some(Verdict::Complete)
        ));
        assert_eq!(seen.open(), 0, "read whole, and let go");
        let body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(MESSAGE.len() as u64));
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-end"], "1");
        assert_eq!(collected.to_bytes(), MESSAGE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_json_answer_is_committed_at_the_bound_and_its_cut_is_an_error() {
    use FailureKind::Truncated;
    let chunk = "y".repeat(64 << 10);
    let large: Vec<Step> = [data("{\"x\":\"")]
        .into_iter()
        .chain((0..20).map(|_| data(&chunk)))
        .collect();
    let with = |last: Vec<Step>| Answer::json([large.clone(), last].concat());
    for (name, answer, ended) in [
        ("whole", with(vec![data("\"}")]), Ended::Complete),
        ("cut", with(vec![Cut]), Ended::Failed(Truncated)),
        ("stall", with(vec![Stall]), Ended::Failed(Truncated)),
        (
            "short",
            with(vec![]).header("content-length", 9_999_999),
            Ended::Failed(Truncated),
        ),
    ] {
        let seen = Seen::default();
        let response = ask(CommitLayer::new(), answer, None, &seen).await.unwrap();
        let end = end(&response);
        let (text, failure) = read(response.into_body()).await;
        assert!(text.len() > 20 * (64 << 10), "{name}");
        assert_eq!(end.get(), Some(ended), "{name}");
        assert_eq!(failure.map_or(Ended::Complete, Ended::Failed), ended);
        assert_eq!(seen.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_failed_answer_64_kib_are_owned_and_the_rest_is_let_go() {
    let seen = Seen::default();
    let long = "z".repeat(100 << 10);
    for (steps, length) in [
        (vec![data(ERROR_JSON)], ERROR_JSON.len()),
        (vec![data(ERROR_JSON), Cut], ERROR_JSON.len()),
        (vec![data(ERROR_JSON), Stall], ERROR_JSON.len()),
        (vec![data(&long), Stall], 64 << 10),
    ] {
        let answer = Answer::json(steps)
            .status(529)
            .header("content-length", 200_000);
        let start = Instant::now();
        let answered = ask(CommitLayer::new(), answer, Some(alone(false)), &seen).await;
        assert!(Instant::now() - start <= 5 * S);
        assert_eq!(seen.open(), 0);
        let failure = Verdict::of(&answered).failure().unwrap().clone();
        assert_eq!(failure.kind, FailureKind::Overloaded);
        let response = answered.unwrap();
        assert_eq!(response.headers()["content-length"], length.to_string());
        assert_eq!(read(response.into_body()).await.0.len(), length);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_gets_ready_is_a_failed_attempt() {
    #[derive(Clone)]
    struct Never;
    impl Service<Request<()>> for Never {
        type Response = Response<Script>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Script>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            panic!("called without being ready")
        }
    }
    let start = Instant::now();
    let mut service = CommitLayer::new().layer(Never);
    let service: &mut Commit<Never> = service.ready().await.unwrap();
    let failure = failure(service.call(Request::new(())).await);
    assert_eq!(
        (failure.kind, Instant::now() - start),
        (FailureKind::Timeout, 15 * S)
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_client_is_a_transport_failure_with_its_source() {
    let service =
        service_fn(|_: Request<()>| async { Err::<Response<Script>, BoxError>("refused".into()) });
    let failure = failure(
        CommitLayer::new()
            .layer(service)
            .oneshot(Request::new(()))
            .await,
    );
    assert_eq!(failure.kind, FailureKind::Transport);
    assert_eq!(
        std::error::Error::source(&failure).unwrap().to_string(),
        "refused"
    );
}

#[tokio::test(start_paused = true)]
async fn pings_are_life_unless_they_are_said_not_to_be() {
    let steps = || {
        let mut steps = vec![data(DELTA)];
        for _ in 0..3 {
            steps.extend([Wait(20 * S), data(PING)]);
        }
        steps.extend([Wait(20 * S), data(STOP)]);
        Answer::sse(steps)
    };
    let body = plain(steps()).await.unwrap().into_body();
    assert!(read(body).await.0.ends_with(STOP));

    let timeouts = Timeouts::new().with_pings_as_life(false);
    let layer = CommitLayer::new().with_timeouts(timeouts);
    let start = Instant::now();
    let body = ask(layer, steps(), None, &Seen::default())
        .await
        .unwrap()
        .into_body();
    let text = read(body).await.0;
    assert!(
        text.starts_with(&[DELTA, PING, "event: error"].concat()),
        "{text}"
    );
    assert_eq!(Instant::now() - start, 30 * S);
}

#[tokio::test(start_paused = true)]
async fn a_slow_caller_is_no_stall_of_the_upstream() {
    let steps = [
        data(DELTA),
        Wait(10 * S),
        data(DELTA),
        data(&DELTA[..9]),
        Wait(25 * S),
        data(&DELTA[9..]),
        data(STOP),
    ];
    let mut body = plain(Answer::sse(steps)).await.unwrap().into_body();
    let mut text = Vec::new();
    loop {
        // Polls once, finds nothing, and is away for a minute.
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        tokio::time::advance(60 * S).await;
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(frame)) => {
                text.extend_from_slice(&frame.unwrap().into_data().unwrap())
            }
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(
        String::from_utf8(text).unwrap(),
        [DELTA, DELTA, DELTA, STOP].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn after_message_stop_the_answer_is_over_whatever_follows() {
    for rest in [
        vec![],
        vec![Cut],
        vec![Stall],
        vec![data(DELTA), data(ERROR)],
        vec![data("data: [DONE]\n\n"), Trailers],
    ] {
        let steps = [vec![data(DELTA), data(STOP)], rest].concat();
        let start = Instant::now();
        let response = plain(Answer::sse(steps)).await.unwrap();
        let end = end(&response);
        assert_eq!(
            read(response.into_body()).await,
            ([DELTA, STOP].concat(), None)
        );
        assert_eq!(end.get(), Some(Ended::Complete));
        assert!(Instant::now() - start <= S);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_after_message_stop_is_complete_and_before_it_has_no_end() {
    let answer = Answer::sse([data(DELTA), data(STOP), Stall]);
    for (frames, ended) in [(1, None), (2, Some(Ended::Complete))] {
        let response = plain(answer.clone()).await.unwrap();
        let end = end(&response);
        let mut body = response.into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(end.get(), ended);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_messages_call_passes_through() {
    let steps = || vec![data("abc"), Wait(9 * S), data("def"), Trailers];
    let call = || Some(Call::new(None));
    let start = Instant::now();
    let seen = Seen::default();
    for answer in [Answer::new("text/plain", steps()), Answer::json(steps())] {
        let response = ask(CommitLayer::new(), answer, call(), &seen)
            .await
            .unwrap();
        let waited = Instant::now() - start;
        assert!(waited.as_secs() % 9 == 0, "passed on by its head");
        assert_eq!(
            read(response.into_body()).await,
            ("abcdef".to_owned(), None)
        );
    }
    let cut = Answer::new("text/plain", [data("abc"), Cut]);
    let response = ask(CommitLayer::new(), cut, call(), &seen).await.unwrap();
    let (text, failure) = read(response.into_body()).await;
    assert_eq!(
        (text.as_str(), failure.unwrap()),
        ("abc", FailureKind::Truncated)
    );
    assert!(seen.events().is_empty(), "no model, no events");
}

#[tokio::test(start_paused = true)]
async fn an_encoded_answer_is_passed_on_unread() {
    let answer = Answer::sse([data("\u{1f}gzip"), data("more")]).header("content-encoding", "gzip");
    let response = ask(
        CommitLayer::new(),
        answer,
        Some(alone(true)),
        &Seen::default(),
    )
    .await
    .unwrap();
    assert_eq!(
        read(response.into_body()).await,
        ("\u{1f}gzipmore".to_owned(), None)
    );
    let answer = Answer::json([data("\u{1f}gzip")]).header("content-encoding", "gzip");
    let response = ask(CommitLayer::new(), answer, None, &Seen::default())
        .await
        .unwrap();
    assert_eq!(
        read(response.into_body()).await,
        ("\u{1f}gzip".to_owned(), None)
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_past_the_bound_is_not_buffered() {
    let chunk = "x".repeat(64 << 10);
    let answer = Answer::sse(
        [data(DELTA), data("event: content_block_delta\ndata: {\"")]
            .into_iter()
            .chain((0..1024).map(|_| data(&chunk))),
    );
    let response = plain(answer).await.unwrap();
    let (text, _) = read(response.into_body()).await;
    assert!(text.starts_with(&[DELTA, "event: error"].concat()));
    assert!(text.contains("too large"));
}

#[test]
fn the_body_is_unpin_when_that_of_the_client_is() {
    fn unpin<T: Unpin + Send>() {}
    unpin::<CommitBody<Script>>();
}
