//! The safety rules over the whole stack: what no script of an upstream may bring about.

mod common;

use bytes::Bytes;
use common::{
    Act, BLOCK, BodyEnd, DELTA, END, HAIKU, MESSAGE, PING, SONNET, START, STOP, Upstream, read,
    request,
};
use http::{Request, Response};
use http_body_util::Full;
use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tower_claude::{
    Event, Feature, Observe, Resilience, Resilient, jitter_backoff::JitterBackoffLayer,
};

fn stack(upstream: &Upstream) -> Resilient<Upstream> {
    Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap()
        .layer(upstream.clone())
}

fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn sse(frames: &[(u64, &'static str)], end: BodyEnd) -> Act {
    Act::Answer {
        after: Duration::ZERO,
        status: 200,
        kind: "text/event-stream",
        headers: Vec::new(),
        frames: frames
            .iter()
            .map(|(wait, text)| {
                (
                    Duration::from_secs(*wait),
                    Bytes::from_static(text.as_bytes()),
                )
            })
            .collect(),
        end,
    }
}

/// The event stream of another service was held back for a content that never comes, and then failed.
#[tokio::test(start_paused = true)]
async fn a_stream_of_another_service_is_passed_on_as_it_comes() {
    const EVENT: &str = "event: session.status_idle\ndata: {}\n\n";
    let upstream = Upstream::always(sse(&[(0, EVENT), (25, EVENT), (25, EVENT)], BodyEnd::Eof));
    let request = Request::get("http://claude.test/v1/sessions/1/stream")
        .body(Full::<Bytes>::default())
        .unwrap();
    let start = Instant::now();
    let answer = stack(&upstream).oneshot(request).await.unwrap();
    assert_eq!(Instant::now(), start);
    let (text, end) = read(answer.into_body()).await;
    end.unwrap();
    assert_eq!(text, EVENT.repeat(3));
    assert_eq!(upstream.calls(), 1);
}

/// Its body names a model and asks for a stream, and so was held for events that this API does not have, retried, and
/// answered in another language.
#[tokio::test(start_paused = true)]
async fn a_call_to_an_api_that_only_looks_like_messages_passes_as_it_is() {
    const CHUNKS: &str = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    for path in ["/v1/chat/completions", "/v1/complete", "/v1/complete/"] {
        let upstream = Upstream::always(sse(&[(0, CHUNKS)], BodyEnd::Eof));
        let mut call = request(SONNET, true);
        *call.uri_mut() = format!("http://claude.test{path}").parse().unwrap();
        let answer = stack(&upstream).oneshot(call).await.unwrap();
        let (text, end) = read(answer.into_body()).await;
        end.unwrap();
        assert_eq!((text.as_str(), upstream.calls()), (CHUNKS, 1), "{path}");

        // Nor does a sentence in Claude's form stand in for its failure.
        let upstream = Upstream::always(Act::overloaded());
        let mut call = request(SONNET, true);
        *call.uri_mut() = format!("http://claude.test{path}").parse().unwrap();
        let answer = stack(&upstream).oneshot(call).await.unwrap();
        assert_eq!(answer.status(), 529, "{path}");
    }
}

/// Its body cannot be scanned; its answer is that of a Messages call all the same.
#[tokio::test(start_paused = true)]
async fn the_answer_to_an_encoded_request_is_watched_and_may_take_its_time() {
    let encoded = || {
        Request::post("http://claude.test/v1/messages")
            .header("content-encoding", "gzip")
            .body(Full::<Bytes>::from("\u{1f}\u{8b}"))
            .unwrap()
    };
    let cut = Upstream::always(sse(&[(0, START), (0, BLOCK), (0, DELTA)], BodyEnd::Eof));
    let answer = stack(&cut).oneshot(encoded()).await.unwrap();
    let (text, end) = read(answer.into_body()).await;
    end.unwrap();
    assert!(text.contains("event: error"), "{text}");

    let slow = Upstream::always(Act::ok().after(Duration::from_secs(120)));
    let answer = stack(&slow).oneshot(encoded()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(read(answer.into_body()).await.0, MESSAGE);
    assert_eq!(slow.calls(), 1);
}

/// A gzip stream with our text behind it is neither whole nor an error that anybody could read.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_into_an_encoded_answer() {
    for end in [BodyEnd::Eof, BodyEnd::Cut] {
        let upstream = Upstream::always(
            sse(&[(0, "gzip"), (0, "more")], end).header("content-encoding", "gzip"),
        );
        let answer = stack(&upstream)
            .oneshot(request(SONNET, true))
            .await
            .unwrap();
        let (text, ended) = read(answer.into_body()).await;
        assert_eq!(text, "gzipmore");
        assert_eq!(ended.is_ok(), end == BodyEnd::Eof);
    }
}

#[tokio::test(start_paused = true)]
async fn upstreams_wish_for_a_retry_ends_with_this_stack() {
    let upstream = Upstream::always(Act::refused().header("x-should-retry", "true"));
    let answer = stack(&upstream)
        .oneshot(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(header(&answer, "x-should-retry"), Some("false"));
    assert_eq!(upstream.calls_to(HAIKU), 0);
    assert!(upstream.calls() > 1, "as it was told");
}

#[tokio::test(start_paused = true)]
async fn an_error_object_under_a_200_is_never_passed_on_as_an_answer() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let upstream = Upstream::always(Act::json(200, error));
    for built in [
        Resilience::builder().chain([SONNET, HAIKU]),
        // Nothing that could act on it.
        Resilience::builder()
            .without_backoff()
            .without_fallback()
            .without_degrade(),
    ] {
        let claude = built.build().unwrap().layer(upstream.clone());
        match claude.oneshot(request(SONNET, false)).await {
            Ok(answer) => {
                assert_eq!(header(&answer, "tower-claude-outcome"), Some("canned"));
            }
            Err(error) => assert!(error.to_string().contains("overloaded"), "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn heads_without_a_body_pass_as_they_are() {
    for (method, status, length) in [
        ("HEAD", 200, Some("4096")),
        ("HEAD", 404, Some("4096")),
        ("GET", 304, Some("4096")),
        ("DELETE", 204, None),
    ] {
        let mut act = Act::Answer {
            after: Duration::ZERO,
            status,
            kind: "application/json",
            headers: Vec::new(),
            frames: Vec::new(),
            end: BodyEnd::Eof,
        };
        if let Some(length) = length {
            act = act.header("content-length", length);
        }
        let request = Request::builder()
            .method(method)
            .uri("http://claude.test/v1/models/m")
            .body(Full::<Bytes>::default())
            .unwrap();
        let answer = stack(&Upstream::always(act))
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(
            header(&answer, "content-length"),
            length,
            "{method} {status}"
        );
        let (text, end) = read(answer.into_body()).await;
        end.unwrap();
        assert_eq!(text, "");
    }
}

#[tokio::test(start_paused = true)]
async fn no_sentence_stands_in_for_a_count_of_tokens() {
    let count = || {
        let mut request = request(SONNET, false);
        *request.uri_mut() = "http://claude.test/v1/messages/count_tokens"
            .parse()
            .unwrap();
        request
    };
    let well = Upstream::new(|_, nth| match nth {
        0 => Act::json(200, r#"{"input_tokens":12}"#),
        _ => Act::overloaded(),
    });
    let claude = stack(&well);
    let answer = claude.clone().oneshot(count()).await.unwrap();
    assert_eq!(read(answer.into_body()).await.0, r#"{"input_tokens":12}"#);
    let answer = claude.oneshot(count()).await.unwrap();
    // The first of the second model counts still.
    assert_eq!(header(&answer, "tower-claude-outcome"), Some("fallback"));
    let down = stack(&Upstream::always(Act::overloaded()));
    let answer = down.oneshot(count()).await.unwrap();
    assert_eq!(answer.status(), 529);
    assert_eq!(header(&answer, "x-should-retry"), Some("false"));
    assert_eq!(header(&answer, "retry-after"), Some("30"));
}

#[tokio::test(start_paused = true)]
async fn every_degraded_answer_asks_for_a_short_wait_whatever_upstream_asked_for() {
    for (feature, stream, outcome) in [
        ("chat", false, "canned"),
        ("chat", true, "canned"),
        ("background_jobs", false, "error"),
    ] {
        for (asked, told) in [("3600", "30"), ("7", "7"), ("0.2", "1"), ("soon", "30")] {
            let upstream = Upstream::always(
                Act::rate_limited(asked)
                    .header("retry-after-ms", "soon")
                    .header("x-should-retry", "true"),
            );
            let claude = Resilience::builder()
                .deadline(Duration::from_secs(1))
                .timeouts(tower_claude::Timeouts::new().with_first_event(Duration::from_secs(1)));
            let claude = claude.build().unwrap().layer(upstream);
            let mut call = request(SONNET, stream);
            call.extensions_mut().insert(Feature::new(feature));
            let answer = claude.oneshot(call).await.unwrap();
            assert_eq!(header(&answer, "tower-claude-outcome"), Some(outcome));
            assert_eq!(
                header(&answer, "tower-claude-degraded"),
                Some("rate_limited")
            );
            assert_eq!(
                header(&answer, "retry-after"),
                Some(told),
                "{feature} {asked}"
            );
            assert_eq!(header(&answer, "retry-after-ms"), None);
            let retry = (outcome == "error").then_some("false");
            assert_eq!(header(&answer, "x-should-retry"), retry);
        }
    }
}

/// Kept whole from a stream, given as JSON with its age; never to another caller, never after a cut.
#[tokio::test(start_paused = true)]
async fn only_a_whole_answer_is_given_again_and_only_to_its_caller() {
    for (first, whole) in [
        (Act::stream(), true),
        (Act::sse(&[START, BLOCK, DELTA, END], BodyEnd::Eof), false),
        (Act::sse(&[START, BLOCK, DELTA, END], BodyEnd::Cut), false),
        (Act::stream().header("content-encoding", "gzip"), false),
    ] {
        let upstream = Upstream::new(move |_, nth| match nth {
            0 => first.clone(),
            _ => Act::overloaded(),
        });
        let claude = Resilience::builder().build().unwrap().layer(upstream);
        let answer = claude.clone().oneshot(request(SONNET, true)).await.unwrap();
        drop(read(answer.into_body()).await);
        tokio::time::sleep(Duration::from_secs(90)).await;
        for (key, token, cached) in [
            ("sk-test", None, whole),
            ("sk-other", None, false),
            ("sk-test", Some("Bearer other"), false),
        ] {
            let mut call = request(SONNET, true);
            call.headers_mut().insert("x-api-key", key.parse().unwrap());
            if let Some(token) = token {
                call.headers_mut()
                    .insert("authorization", token.parse().unwrap());
            }
            let answer = claude.clone().oneshot(call).await.unwrap();
            let outcome = if cached { "cached" } else { "canned" };
            assert_eq!(header(&answer, "tower-claude-outcome"), Some(outcome));
            assert_eq!(header(&answer, "age").is_some(), cached);
            let (text, end) = read(answer.into_body()).await;
            end.unwrap();
            assert!(
                text.ends_with(STOP) || text.contains("event: message_stop"),
                "{text}"
            );
        }
    }
}

/// Whatever is left of a stream, cut anywhere and in any chunks: the caller has all of it, or is told.
#[tokio::test(start_paused = true)]
async fn half_a_stream_never_looks_whole_wherever_it_is_cut() {
    let whole = [START, BLOCK, PING, DELTA, DELTA, END, STOP].concat();
    let stacks = [
        Resilience::builder()
            .chain([SONNET, HAIKU])
            .backoff(JitterBackoffLayer::new().without_budget()),
        Resilience::builder().without_degrade().without_backoff(),
        // Nothing could act: nothing is held back.
        Resilience::builder()
            .without_fallback()
            .without_backoff()
            .without_degrade(),
    ];
    for built in stacks {
        // Every case as if it were the first.
        let stack = built.without_circuit_breaker().build().unwrap();
        for cut in (0..whole.len())
            .step_by(11)
            .chain(whole.len() - 3..=whole.len())
        {
            for size in [1, 16, whole.len()] {
                for end in [BodyEnd::Eof, BodyEnd::Cut, BodyEnd::Stall] {
                    let frames = whole.as_bytes()[..cut].chunks(size);
                    let frames = frames.map(|part| (Duration::ZERO, Bytes::copy_from_slice(part)));
                    let first = Act::Answer {
                        after: Duration::ZERO,
                        status: 200,
                        kind: "text/event-stream",
                        headers: vec![("content-length", whole.len().to_string())],
                        frames: frames.collect(),
                        end,
                    };
                    let upstream = Upstream::new(move |_, nth| match nth {
                        0 => first.clone(),
                        _ => Act::refused(),
                    });
                    let answered = stack.layer(upstream).oneshot(request(SONNET, true)).await;
                    let Ok(answer) = answered else { continue };
                    if answer.status() != 200 || header(&answer, "tower-claude-degraded").is_some()
                    {
                        continue;
                    }
                    assert_eq!(header(&answer, "content-length"), None);
                    let (text, ended) = read(answer.into_body()).await;
                    ended.unwrap();
                    let (good, error) = match text.split_once("event: error") {
                        Some((good, error)) => (good, Some(error)),
                        None => (&*text, None),
                    };
                    let case = format!("{cut} {size} {end:?}: {text}");
                    assert!(whole.starts_with(good), "{case}");
                    assert!(good.is_empty() || good.ends_with("\n\n"), "{case}");
                    // The last line feed only ends the event a second time.
                    assert_eq!(error.is_none(), cut >= whole.len(), "{case}");
                    assert!(error.is_none_or(|error| error.ends_with("}\n\n")), "{case}");
                }
            }
        }
    }
}

/// And half a message in JSON: an error, or another answer, or a body that breaks.
#[tokio::test(start_paused = true)]
async fn half_a_message_never_looks_whole_wherever_it_is_cut() {
    for built in [
        Resilience::builder().chain([SONNET, HAIKU]),
        Resilience::builder()
            .without_fallback()
            .without_backoff()
            .without_degrade(),
    ] {
        // Every case as if it were the first.
        let stack = built.without_circuit_breaker().build().unwrap();
        for cut in (0..MESSAGE.len()).step_by(7).chain([MESSAGE.len() - 1]) {
            for end in [BodyEnd::Eof, BodyEnd::Cut, BodyEnd::Stall] {
                let first = Act::json(200, &MESSAGE[..cut]);
                let Act::Answer { frames, kind, .. } = first else {
                    unreachable!()
                };
                let first = Act::Answer {
                    after: Duration::ZERO,
                    status: 200,
                    kind,
                    headers: Vec::new(),
                    frames,
                    end,
                };
                let upstream = Upstream::new(move |_, nth| match nth {
                    0 => first.clone(),
                    _ => Act::refused(),
                });
                let answered = stack.layer(upstream).oneshot(request(SONNET, false)).await;
                let Ok(answer) = answered else { continue };
                if answer.status() != 200 || header(&answer, "tower-claude-degraded").is_some() {
                    continue;
                }
                let (text, ended) = read(answer.into_body()).await;
                assert!(ended.is_err(), "{cut} {end:?}: {text}");
            }
        }
    }
}

/// Collects whatever is told, printed in full.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl Observe for Told {
    fn on_event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_is_printed_of_any_call_however_it_ends() {
    const SECRET: &str = "s3cret";
    for act in [
        Act::ok(),
        Act::stream(),
        Act::overloaded(),
        Act::rate_limited("1"),
        Act::refused(),
        Act::Break(Duration::ZERO),
        Act::Hang,
        Act::sse(&[START, BLOCK, DELTA], BodyEnd::Cut),
        Act::sse(&[START, BLOCK], BodyEnd::Eof),
    ] {
        for stream in [false, true] {
            let told = Arc::new(Told::default());
            let claude = Resilience::builder()
                .chain([SONNET, HAIKU])
                .observe(told.clone())
                .build()
                .unwrap()
                .layer(Upstream::always(act.clone()));
            let mut call = request(SONNET, stream);
            for name in ["x-api-key", "authorization", "api-key", "cookie"] {
                call.headers_mut().insert(name, SECRET.parse().unwrap());
            }
            let mut answered = Box::pin(claude.send(call));
            let mut printed = vec![format!("{answered:?}")];
            let answer = poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx))).await;
            printed.push(format!("{answered:?}"));
            let answer = match answer {
                Poll::Ready(answer) => answer,
                Poll::Pending => answered.await,
            };
            match answer {
                Ok(answer) => {
                    printed.push(format!("{answer:?}"));
                    printed.push(format!("{:?}", read(answer.into_body()).await));
                }
                Err(error) => printed.push(format!("{error:?} {error}")),
            }
            printed.extend(told.0.lock().unwrap().clone());
            for line in printed {
                assert!(!line.contains(SECRET), "{line}");
            }
        }
    }
}
