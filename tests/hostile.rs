//! Whatever an upstream sends, and however it is cut into chunks: what a caller reads is whole, or says that it is not.
//!
//! The reader here is as naive as the official SDKs: it knows lines, events and JSON, and nothing of this crate.

mod common;

use bytes::Bytes;
use common::{
    Act, BLOCK, BodyEnd, DELTA, END, ERROR, HAIKU, MESSAGE, PING, SONNET, START, STOP, Upstream,
    read, request,
};
use http::Response;
use proptest::prelude::*;
use serde_json::Value;
use std::time::Duration;
use tower::Layer;
use tower_claude::{Resilience, ResilienceBuilder};

const MANGLED: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"}\n\n";

const PARTS: [&str; 20] = [
    START,
    BLOCK,
    DELTA,
    DELTA,
    END,
    STOP,
    PING,
    ERROR,
    ": note\r\n\r\n",
    "\n",
    "event: new_kind\ndata: anything\n\n",
    "data: {\"type\":\"message_stop\"}\n\n",
    "event: message_stop\n\n",
    "event: message_stop\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n",
    "event: error\ndata: oops\n\n",
    "event: error\n\n",
    "event: error\ndata: {\"type\":\"error\",\"error\":null}\n\n",
    MANGLED,
    "event: content_block_del",
    "<html>502</html>",
];

const JSON: [&str; 8] = [
    MESSAGE,
    MESSAGE,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
    r#"{"type":"message","content":[{"type":"text","text":"{\"error\":"#,
    r#"{"type":"message","content":[],"stop_reason":"end_turn"} "#,
    "",
    "null",
];

/// `text` in chunks of these sizes, over and over.
fn chunks(text: &str, sizes: &[usize]) -> Vec<(Duration, Bytes)> {
    let mut rest = text.as_bytes();
    let mut chunks = Vec::new();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push((Duration::ZERO, Bytes::copy_from_slice(chunk)));
        rest = after;
    }
    chunks
}

fn act(kind: &'static str, text: &str, sizes: &[usize], end: BodyEnd) -> Act {
    Act::Answer {
        after: Duration::ZERO,
        status: 200,
        kind,
        headers: Vec::new(),
        frames: chunks(text, sizes),
        end,
    }
}

fn ends() -> impl Strategy<Value = BodyEnd> {
    prop::sample::select(vec![BodyEnd::Eof, BodyEnd::Cut, BodyEnd::Stall])
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1_usize..4, 1_usize..200, Just(100_000)], 1..4)
}

/// Parts in any order, or a good stream with one or two of them in it.
fn stream() -> impl Strategy<Value = (String, Vec<usize>, BodyEnd)> {
    let any = prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..10);
    let damaged = (any.clone(), 0_usize..6).prop_map(|(any, at)| {
        let mut good = vec![START, BLOCK, DELTA, DELTA, END, STOP];
        let tail = good.split_off(at);
        [good, any.into_iter().take(2).collect(), tail].concat()
    });
    let parts = prop_oneof![1 => any, 3 => damaged];
    (parts.prop_map(|parts| parts.concat()), sizes(), ends())
}

/// With everything, without an answer of its own, and with nothing that could act, so that nothing is held back.
fn stacks() -> [ResilienceBuilder; 3] {
    [
        Resilience::builder().chain([SONNET, HAIKU]).seed(1),
        Resilience::builder().without_degrade().seed(1),
        Resilience::builder()
            .without_backoff()
            .without_fallback()
            .without_degrade(),
    ]
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

fn is<B>(answer: &Response<B>, kind: &str) -> bool {
    answer.headers()["content-type"] == kind
}

/// The events of a stream as an SDK reads them, and whether half of one is left.
fn events(text: &str) -> (Vec<(String, String)>, bool) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), Vec::new());
    for line in text.split('\n') {
        if line.is_empty() {
            if !name.is_empty() || !data.is_empty() {
                events.push((std::mem::take(&mut name), data.join("\n")));
                data.clear();
            }
        } else if let Some(value) = line.strip_prefix("event:") {
            value.trim_start().clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.trim_start().to_owned());
        }
    }
    let half = !name.is_empty() || !data.is_empty() || !(text.is_empty() || text.ends_with('\n'));
    (events, half)
}

/// Whether a caller who reads this stream takes it for a whole answer. Panics at what no caller must read.
fn is_whole_stream(text: &str) -> bool {
    const KNOWN: [&str; 8] = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ];
    let (events, half) = events(text);
    assert!(!half, "half an event at the end: {text}");
    let known: Vec<&str> = events
        .iter()
        .filter(|(name, _)| KNOWN.contains(&name.as_str()))
        .map(|(name, data)| {
            let object = serde_json::from_str::<Value>(data).is_ok_and(|data| data.is_object());
            assert!(object, "{name} that is not whole: {text}");
            name.as_str()
        })
        .collect();
    let count = |wanted: &str| known.iter().filter(|&&name| name == wanted).count();
    assert!(count("message_start") <= 1, "it began twice: {text}");
    let last = known.last().copied().unwrap_or_default();
    if count("error") > 0 {
        assert_eq!((count("error"), last), (1, "error"), "{text}");
        assert_eq!(count("message_stop"), 0, "whole and broken: {text}");
        return false;
    }
    assert_eq!((count("message_stop"), last), (1, "message_stop"), "{text}");
    let content =
        count("content_block_start") + count("content_block_delta") + count("message_delta");
    assert!(content > 0, "an answer of nothing: {text}");
    true
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_stream_is_whole_or_ends_with_one_error(
        script in prop::collection::vec(stream(), 1..4),
    ) {
        run(async {
            for stack in stacks() {
                let played = script.clone();
                let upstream = Upstream::new(move |_, nth| {
                    let (text, sizes, end) = &played[nth % played.len()];
                    act("text/event-stream", text, sizes, *end)
                });
                let claude = stack.build().unwrap().layer(upstream.clone());
                let Ok(answer) = claude.send(request(SONNET, true)).await else {
                    assert_eq!(upstream.open(), 0);
                    continue;
                };
                let outcome = answer.headers()["tower-claude-outcome"].clone();
                assert!(!answer.headers().contains_key("content-length"));
                if !is(&answer, "text/event-stream") {
                    // A clean error, which has the status of one.
                    assert!(!answer.status().is_success());
                    continue;
                }
                let (text, end) = read(answer.into_body()).await;
                end.expect("a stream says in itself that it broke off");
                let whole = is_whole_stream(&text);
                if whole && outcome != "canned" {
                    let sent = script.iter().any(|(sent, _, _)| sent.starts_with(&text));
                    assert!(sent, "not as it was sent: {text}");
                }
                assert_eq!(upstream.open(), 0);
            }
        });
    }

    #[test]
    fn a_json_answer_is_whole_or_an_error(
        script in prop::collection::vec(
            (prop::sample::select(JSON.to_vec()), 0_usize..200, sizes(), ends()), 1..4),
    ) {
        run(async {
            for stack in stacks() {
                let played = script.clone();
                let upstream = Upstream::new(move |_, nth| {
                    let (text, cut, sizes, end) = &played[nth % played.len()];
                    // Two of three are cut somewhere.
                    let keep = if cut % 3 == 0 { text.len() } else { (*cut).min(text.len()) };
                    act("application/json", &text[..keep], sizes, *end)
                });
                let claude = stack.build().unwrap().layer(upstream.clone());
                let Ok(answer) = claude.send(request(SONNET, false)).await else {
                    assert_eq!(upstream.open(), 0);
                    continue;
                };
                let status = answer.status();
                let (text, end) = read(answer.into_body()).await;
                assert_eq!(upstream.open(), 0);
                if end.is_err() {
                    continue;
                }
                let value: Value = serde_json::from_str(&text).expect("half an answer");
                let wanted = if status.is_success() { "message" } else { "error" };
                assert_eq!(value["type"], wanted, "under {status}");
            }
        });
    }
}
