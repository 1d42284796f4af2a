//! The table: faults × the first model only or both × stream or JSON × chunking.
//!
//! Each row has a server and a stack of its own. Waits are those of sockets; no row sleeps to wait for a state.

use crate::{
    common::{HAIKU, SONNET},
    rig::{LAST_ATTEMPTS, Rig, Saw, ms, patient, read, request, with_timeouts, within},
};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use tower_claude::{
    FailureKind::{self, Overloaded, ServerError, Timeout, Transport, Truncated},
    client::{HttpsClient, https_client},
    testing::{At, Chunks, FakeClaude, Fault, Reply},
};

/// For rows in which something never comes. The other model still answers in this time.
const LIMIT: Duration = Duration::from_secs(2);

/// How a fault ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// As a failed attempt.
    Attempt(FailureKind),
    /// As the end of the caller's stream, after this many events, with an error of this type.
    Stream(FailureKind, usize, &'static str),
}
use Ends::{Attempt, Stream};

#[derive(Clone, Copy, Debug)]
struct Cut {
    chunks: Chunks,
    crlf: bool,
}

const CHUNKINGS: [Cut; 5] = [
    Cut {
        chunks: Chunks::PerEvent,
        crlf: false,
    },
    Cut {
        chunks: Chunks::Together,
        crlf: false,
    },
    Cut {
        chunks: Chunks::Bytes(1),
        crlf: false,
    },
    Cut {
        chunks: Chunks::PerEvent,
        crlf: true,
    },
    Cut {
        chunks: Chunks::Bytes(1),
        crlf: true,
    },
];

impl Cut {
    fn of(self, reply: Reply) -> Reply {
        let reply = reply.chunks(self.chunks);
        if self.crlf { reply.crlf() } else { reply }
    }
}

/// Ten events: start, block, ping, four deltas, the end of the block, the stop reason, stop.
fn good() -> Reply {
    Reply::ok().deltas(4)
}

const DELTAS: usize = 3;
const STOP: usize = 9;

fn fails(at: At, fault: Fault) -> Reply {
    good().fail(at, fault)
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n";
const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Faults of a stream that the caller waits for.
fn of_streams() -> Vec<(&'static str, Reply, Ends)> {
    let html = "<html><body>Please stand by</body></html>";
    let no_content = Reply::status(200).sse([START, MESSAGE_STOP].concat());
    let mut rows = vec![
        ("529", Reply::overloaded(), Attempt(Overloaded)),
        ("reset before the head", Reply::reset(), Attempt(Transport)),
        ("an empty stream", Reply::empty(), Attempt(Transport)),
        ("an empty 200", Reply::status(200), Attempt(ServerError)),
        (
            "only pings",
            fails(At::Ping, Fault::End),
            Attempt(Transport),
        ),
        ("no content", no_content, Attempt(Transport)),
        (
            "a page of html",
            Reply::status(200).html(html),
            Attempt(ServerError),
        ),
        ("json", good().as_json(), Attempt(ServerError)),
        (
            "an error object",
            good().as_json().fail(At::Start, Fault::overloaded()),
            Attempt(Overloaded),
        ),
    ];
    let before = [
        ("at once", At::Start),
        ("after a ping", At::Ping),
        ("after message_start", At::MessageStart),
        ("before the first delta", At::Deltas(0)),
        ("in the first delta", At::MidDelta(0)),
    ];
    for (name, at) in before {
        rows.push((name, fails(at, Fault::Cut), Attempt(Transport)));
        rows.push((name, fails(at, Fault::Close), Attempt(Transport)));
        rows.push((name, fails(at, Fault::End), Attempt(Transport)));
        if !matches!(at, At::MidDelta(_)) {
            rows.push((name, fails(at, Fault::overloaded()), Attempt(Overloaded)));
            rows.push((name, fails(at, Fault::api_error()), Attempt(ServerError)));
            rows.push((name, fails(at, Fault::Malformed), Attempt(Transport)));
        }
    }
    let after = [
        ("after a delta", At::Deltas(1), DELTAS + 1),
        ("in a later delta", At::MidDelta(2), DELTAS + 2),
        ("before message_stop", At::BeforeStop, STOP),
    ];
    for (name, at, events) in after {
        let ends = |kind, error_type| Stream(kind, events, error_type);
        rows.push((name, fails(at, Fault::Close), ends(Truncated, "api_error")));
        rows.push((name, fails(at, Fault::End), ends(Truncated, "api_error")));
        if !matches!(at, At::MidDelta(_)) {
            rows.push((
                name,
                fails(at, Fault::overloaded()),
                ends(Overloaded, "overloaded_error"),
            ));
            rows.push((
                name,
                fails(at, Fault::api_error()),
                ends(ServerError, "api_error"),
            ));
            rows.push((
                name,
                fails(at, Fault::Malformed),
                ends(Truncated, "api_error"),
            ));
        }
    }
    rows
}

/// Faults of a stream that nothing but time ends.
fn of_silent_streams() -> Vec<(&'static str, Reply, Ends)> {
    vec![
        ("hang", Reply::hang(), Attempt(Timeout)),
        ("at once", fails(At::Start, Fault::Stall), Attempt(Timeout)),
        (
            "after a ping",
            fails(At::Ping, Fault::Stall),
            Attempt(Timeout),
        ),
        ("pings", Reply::only_pings(ms(50)), Attempt(Timeout)),
        // Held for as long as it may be, then committed: the model has begun.
        (
            "after message_start",
            fails(At::MessageStart, Fault::Stall),
            Stream(Truncated, 1, "timeout_error"),
        ),
        (
            "in the first delta",
            fails(At::MidDelta(0), Fault::Stall),
            Stream(Truncated, DELTAS, "timeout_error"),
        ),
        (
            "after a delta",
            fails(At::Deltas(1), Fault::Stall),
            Stream(Truncated, DELTAS + 1, "timeout_error"),
        ),
        (
            "in a later delta",
            fails(At::MidDelta(2), Fault::Stall),
            Stream(Truncated, DELTAS + 2, "timeout_error"),
        ),
        (
            "before message_stop",
            fails(At::BeforeStop, Fault::Stall),
            Stream(Truncated, STOP, "timeout_error"),
        ),
    ]
}

fn of_json() -> Vec<(&'static str, Reply, Ends)> {
    let half = At::Deltas(0);
    let html = "<html><body>Please stand by</body></html>";
    vec![
        ("529", Reply::overloaded(), Attempt(Overloaded)),
        ("reset before the head", Reply::reset(), Attempt(Transport)),
        (
            "cut at once",
            fails(At::Start, Fault::Cut),
            Attempt(Transport),
        ),
        ("cut half-way", fails(half, Fault::Cut), Attempt(Transport)),
        (
            "short at once",
            fails(At::Start, Fault::End),
            Attempt(Transport),
        ),
        (
            "short half-way",
            fails(half, Fault::End),
            Attempt(Transport),
        ),
        (
            "half an object",
            fails(half, Fault::Malformed),
            Attempt(Transport),
        ),
        (
            "an error object",
            fails(half, Fault::overloaded()),
            Attempt(Overloaded),
        ),
        (
            "another error object",
            fails(half, Fault::api_error()),
            Attempt(ServerError),
        ),
        ("nothing", Reply::status(200), Attempt(Transport)),
        (
            "a page of html",
            Reply::status(200).html(html),
            Attempt(Transport),
        ),
        ("a stream", good().as_sse(), Attempt(ServerError)),
    ]
}

fn of_silent_json() -> Vec<(&'static str, Reply, Ends)> {
    vec![
        ("hang", Reply::hang(), Attempt(Timeout)),
        ("at once", fails(At::Start, Fault::Stall), Attempt(Timeout)),
        (
            "half-way",
            fails(At::Deltas(0), Fault::Stall),
            Attempt(Timeout),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_stream_ends_as_the_table_says() {
    run(true, Duration::from_secs(60), of_streams()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_silence_of_a_stream_ends_as_the_table_says() {
    run(true, LIMIT, of_silent_streams()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_json_answer_ends_as_the_table_says() {
    run(false, Duration::from_secs(60), of_json()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_silence_of_a_json_answer_ends_as_the_table_says() {
    run(false, LIMIT, of_silent_json()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_and_the_input_of_a_tool_commit_a_stream_as_text_does() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    for kind in ["thinking", "signature", "input_json", "citations"] {
        let delta = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"{kind}_delta\",\"x\":\"y\"}}}}\n\n"
        );
        let good = [START, &delta].concat();
        let reply = Reply::status(200).sse([&good, error].concat());
        let rig = Rig::alone(patient(), reply).await;
        let saw = rig.call(true).await;
        assert_eq!(saw.outcome(), "direct", "{kind}");
        let event = saw.bytes.strip_prefix(&good).expect(kind);
        assert_error_event(&anonymous(event), "overloaded_error", &saw, kind);
        assert_eq!(
            (rig.fake.calls(), rig.circuit(SONNET)),
            (1, (1, 0)),
            "{kind}"
        );
    }
}

/// What of a stream a reset overtakes is up to the operating system; what comes through is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_in_the_middle_of_a_stream_leaves_whole_events_and_an_error_or_is_retried() {
    let client = https_client();
    for cut in CHUNKINGS {
        let whole = Whole::new(true, cut).await;
        for at in [At::Deltas(2), At::MidDelta(2), At::BeforeStop] {
            let reply = cut.of(fails(at, Fault::Cut));
            let rig = Rig::new(patient(), client.clone(), reply, cut.of(good())).await;
            let saw = rig.call(true).await;
            let bytes = anonymous(&saw.bytes);
            if saw.outcome() == "fallback" {
                assert_eq!(bytes, whole.haiku);
            } else {
                let events = whole.events.iter();
                let passed: usize = events
                    .scan(bytes.as_str(), |rest, event| {
                        *rest = rest.strip_prefix(event.as_str())?;
                        Some(event.len())
                    })
                    .sum();
                assert_error_event(
                    &bytes[passed..],
                    "api_error",
                    &saw,
                    &format!("{at:?}, {cut:?}"),
                );
            }
            assert_eq!(saw.bytes.matches("event: message_start").count(), 1);
            assert_eq!((rig.trace.count("ended"), rig.in_flight()), (1, 0));
        }
    }
}

/// One row in one chunking.
struct Row {
    name: String,
    stream: bool,
    cut: Cut,
    both: bool,
    reply: Reply,
    ends: Ends,
    limit: Duration,
}

async fn run(stream: bool, limit: Duration, faults: Vec<(&'static str, Reply, Ends)>) {
    let client = https_client();
    // Rows that wait for silence cost nothing; those that do not are soon over.
    let places = Arc::new(Semaphore::new(if limit == LIMIT { 200 } else { 8 }));
    let mut rows = JoinSet::new();
    // JSON has no lines that could end otherwise.
    let chunkings = CHUNKINGS.into_iter().filter(|cut| stream || !cut.crlf);
    for cut in chunkings {
        let whole = Arc::new(Whole::new(stream, cut).await);
        for (name, reply, ends) in &faults {
            for both in [false, true] {
                let row = Row {
                    name: format!("{name}: {reply:?}, {cut:?}, both models: {both}"),
                    stream,
                    cut,
                    both,
                    reply: cut.of(reply.clone()),
                    ends: *ends,
                    limit,
                };
                let (client, whole) = (client.clone(), whole.clone());
                let places = places.clone();
                rows.spawn(async move {
                    let _place = places.acquire().await.unwrap();
                    row.run(client, &whole).await;
                });
            }
        }
    }
    let mut failed = 0;
    while let Some(row) = rows.join_next().await {
        failed += usize::from(row.is_err());
    }
    assert_eq!(failed, 0, "rows failed, see above");
}

impl Row {
    #[expect(clippy::too_many_lines, reason = "one row, told from start to end")]
    async fn run(self, client: HttpsClient, whole: &Whole) {
        let Self { name, stream, .. } = &self;
        let builder = if self.limit == LIMIT {
            with_timeouts(LIMIT)
        } else {
            patient()
        };
        let haiku = if self.both {
            self.reply.clone()
        } else {
            self.cut.of(good())
        };
        let rig = Rig::new(builder, client, self.reply.clone(), haiku).await;
        let saw = rig.call(*stream).await;

        let calls = (rig.fake.calls_to(SONNET), rig.fake.calls_to(HAIKU));
        let circuits = (rig.circuit(SONNET), rig.circuit(HAIKU));
        assert_eq!(
            saw.error, None,
            "{name}: a stream tells its failure as an event"
        );
        match self.ends {
            Attempt(kind) => {
                let tries = |attempts: u8| if kind == Timeout { 1 } else { attempts };
                let (first, last) = (tries(2), tries(LAST_ATTEMPTS));
                assert_eq!(calls.0, usize::from(first), "{name}");
                assert_eq!(circuits.0, (u32::from(first), 0), "{name}");
                if self.both {
                    assert_eq!(calls.1, usize::from(last), "{name}");
                    assert_eq!(circuits.1, (u32::from(last), 0), "{name}");
                    assert_eq!(
                        (saw.outcome(), saw.header("tower-claude-degraded")),
                        ("canned", kind.as_str()),
                        "{name}"
                    );
                    assert!(
                        saw.bytes.contains("\"_degraded\":true"),
                        "{name}: {}",
                        saw.bytes
                    );
                    assert_eq!(
                        saw.bytes.matches("message_stop\n").count(),
                        usize::from(*stream)
                    );
                } else {
                    assert_eq!((calls.1, circuits.1), (1, (0, 1)), "{name}");
                    assert_eq!(
                        (saw.outcome(), saw.header("tower-claude-model")),
                        ("fallback", HAIKU),
                        "{name}"
                    );
                    assert_eq!(anonymous(&saw.bytes), whole.haiku, "{name}");
                }
                let failed = usize::from(first) + if self.both { usize::from(last) } else { 0 };
                assert_eq!(
                    rig.trace.count("failed"),
                    failed,
                    "{name}: {:?}",
                    rig.trace.all()
                );
                assert_eq!(rig.trace.count("broke"), 0, "{name}");
                // A call that got a stand-in counts as failed.
                assert_eq!(
                    rig.trace
                        .count(if self.both { "ended " } else { "ended well" }),
                    1,
                    "{name}"
                );
            }
            Stream(kind, events, error_type) => {
                assert_eq!(calls, (1, 0), "{name}");
                assert_eq!(circuits, ((1, 0), (0, 0)), "{name}");
                assert_eq!(
                    (saw.outcome(), saw.header("tower-claude-model")),
                    ("direct", SONNET),
                    "{name}"
                );
                let begun = whole.events[..events].concat();
                let bytes = anonymous(&saw.bytes);
                let event = bytes
                    .strip_prefix(&begun)
                    .unwrap_or_else(|| panic!("{name}: {bytes}"));
                assert_error_event(event, error_type, &saw, name);
                assert_eq!(rig.trace.count("broke"), 1, "{name}: {:?}", rig.trace.all());
                assert_eq!(
                    rig.trace.count(&format!("broke {SONNET} {kind}")),
                    1,
                    "{name}: {:?}",
                    rig.trace.all()
                );
                assert_eq!(
                    rig.trace.count(&format!("ended {kind}")),
                    1,
                    "{name}: {:?}",
                    rig.trace.all()
                );
            }
        }
        assert_eq!(saw.status, 200, "{name}");
        assert_eq!(rig.trace.count("ended"), 1, "{name}: {:?}", rig.trace.all());
        assert_eq!(rig.in_flight(), 0, "{name}");
        rig.wait_until_idle().await;
    }
}

/// One well-formed error event, the last thing of a stream.
fn assert_error_event(event: &str, error_type: &str, saw: &Saw, name: &str) {
    let data = event
        .strip_prefix("event: error\ndata: ")
        .and_then(|rest| rest.strip_suffix("\n\n"));
    let data: serde_json::Value =
        serde_json::from_str(data.unwrap_or_else(|| panic!("{name}: {event}"))).unwrap();
    assert_eq!(data["type"], "error", "{name}");
    assert_eq!(data["error"]["type"], error_type, "{name}");
    assert!(data["error"]["message"].is_string(), "{name}");
    assert_eq!(
        data["request_id"],
        anonymous(saw.header("request-id")),
        "{name}"
    );
}

/// What a good answer looks like.
struct Whole {
    /// The events of the first model.
    events: Vec<String>,
    haiku: String,
}

impl Whole {
    async fn new(stream: bool, cut: Cut) -> Self {
        let fake = FakeClaude::builder()
            .default_script(cut.of(good()))
            .start()
            .await
            .unwrap();
        let sonnet = plainly(&fake, SONNET, stream).await;
        let blank = if cut.crlf { "\r\n\r\n" } else { "\n\n" };
        let events = sonnet
            .split_inclusive(blank)
            .map(str::to_owned)
            .collect::<Vec<_>>();
        assert!(!stream || events.len() == STOP + 1);
        Self {
            events,
            haiku: plainly(&fake, HAIKU, stream).await,
        }
    }
}

/// An answer without the stack.
async fn plainly(fake: &FakeClaude, model: &str, stream: bool) -> String {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<bytes::Bytes>> =
        Client::builder(TokioExecutor::new()).build(connector);
    let call = request(&fake.messages_url(), model, stream);
    anonymous(
        &read(within(client.request(call)).await.unwrap())
            .await
            .bytes,
    )
}

/// With the numbers of calls taken out of its ids.
fn anonymous(text: &str) -> String {
    let mut parts = text.split("_fake");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("_fake");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    out
}
