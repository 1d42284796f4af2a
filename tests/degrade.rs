//! What a caller gets when a call has failed for good.

mod common;

use bytes::Bytes;
use common::{
    Act, BLOCK, BodyEnd, DELTA, END, HAIKU, MESSAGE, SONNET, START, STOP, Upstream, read,
};
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt, service_fn};
use tower_claude::{
    BoxError, Call, Deadline, Event, Failure, FailureKind, Feature, Observe, Outcome, ReplayBody,
    Served, Tenant, Verdict,
    cache::{CacheQuery, CachedAnswer, Lookup, MemoryCache, ResponseCache},
    claude::reply,
    degrade::{DegradeBody, DegradeLayer, DegradePolicy},
    replay::ReplayLayer,
};

const CANNED: &str = DegradePolicy::DEFAULT_MESSAGE;

/// A call of alice's chat.
fn call(stream: bool) -> Call {
    Call::new(Some(SONNET.into()))
        .with_stream(stream)
        .with_feature(Feature::new("chat"))
        .with_tenant(Tenant::new("alice"))
}

fn request(call: Call) -> Request<ReplayBody> {
    let stream = call.stream();
    let body = format!(r#"{{"model":"{SONNET}","stream":{stream},"messages":[]}}"#);
    Request::post("/v1/messages")
        .extension(call)
        .body(body.into())
        .unwrap()
}

/// An answer, read.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    extensions: http::Extensions,
    text: String,
}

impl Got {
    async fn from<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        let (text, end) = read(body).await;
        end.unwrap();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            extensions: head.extensions,
            text,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The text of the message, whatever its form.
    fn said(&self) -> String {
        let message = match self.header("content-type") {
            "text/event-stream" => reply::message_from_sse(self.text.as_bytes()).unwrap(),
            _ => self.text.clone().into(),
        };
        let message: Value = serde_json::from_slice(&message).unwrap();
        message["content"][0]["text"].as_str().unwrap().to_owned()
    }

    fn served(&self) -> &Served {
        self.extensions.get().unwrap()
    }
}

async fn send(layer: &DegradeLayer, upstream: &Upstream, request: Request<ReplayBody>) -> Got {
    Got::from(
        layer
            .layer(upstream.clone())
            .oneshot(request)
            .await
            .unwrap(),
    )
    .await
}

/// The result of a call that ends in this error.
async fn fail(
    layer: &DegradeLayer,
    error: impl Into<BoxError>,
    request: Request<ReplayBody>,
) -> Result<Got, BoxError> {
    let mut error = Some(error.into());
    let inner = service_fn(move |_: Request<ReplayBody>| {
        std::future::ready(Err::<Response<Full<Bytes>>, _>(error.take().unwrap()))
    });
    Ok(Got::from(layer.layer(inner).oneshot(request).await?).await)
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<(String, String, Outcome, FailureKind)>>);

impl Observe for Log {
    fn on_event(&self, event: &Event<'_>) {
        if let Event::Degraded {
            feature,
            model,
            outcome,
            kind,
            ..
        } = event
        {
            let told = (feature.to_string(), (*model).to_owned(), *outcome, *kind);
            self.0.lock().unwrap().push(told);
        }
    }
}

// Semantic case 72.
#[tokio::test]
async fn a_degraded_answer_is_marked_by_header_field_and_event_and_is_valid_as_the_call_asked() {
    for stream in [false, true] {
        let log = Arc::new(Log::default());
        let layer = DegradeLayer::new().with_observer(log.clone());
        let got = send(
            &layer,
            &Upstream::always(Act::rate_limited("7")),
            request(call(stream)),
        )
        .await;

        assert_eq!(got.status, 200);
        assert_eq!(got.header("tower-claude-outcome"), "canned");
        assert_eq!(got.header("tower-claude-degraded"), "rate_limited");
        assert_eq!(got.header("tower-claude-model"), SONNET);
        assert_eq!(
            got.header("tower-claude-attempts"),
            "0",
            "the fake counts none"
        );
        assert_eq!(got.header("retry-after"), "7");
        assert!(!got.headers.contains_key("x-should-retry"));
        assert_eq!(got.said(), CANNED);
        assert_eq!(got.served().outcome, Outcome::Canned);
        assert_eq!(got.served().degraded, Some(FailureKind::RateLimited));
        assert!(matches!(got.extensions.get(), Some(Verdict::Complete)));

        let kind = got.header("content-type");
        let message = if stream {
            assert_eq!(kind, "text/event-stream");
            assert!(got.text.ends_with(STOP));
            reply::message_from_sse(got.text.as_bytes()).unwrap()
        } else {
            assert_eq!(kind, "application/json");
            got.text.clone().into()
        };
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(message["_degraded"], true);
        assert_eq!(message["model"], SONNET);
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(
            *log.0.lock().unwrap(),
            [(
                "chat".to_owned(),
                SONNET.to_owned(),
                Outcome::Canned,
                FailureKind::RateLimited
            )]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_more_is_answered_than_a_store_takes_a_part_of_it_is_kept() {
    let store = MemoryCache::new().with_max_rate(2.try_into().unwrap());
    let layer = DegradeLayer::new().with_cache(Arc::new(store.clone()));
    let up = Upstream::always(Act::ok());
    let down = Upstream::always(Act::overloaded());
    let asked = |feature: &'static str| request(call(false).with_feature(feature.into()));
    for feature in ["a", "b", "c"] {
        let got = send(&layer, &up, asked(feature)).await;
        assert_eq!(got.text, MESSAGE);
    }
    assert_eq!(store.len(), 2);
    for (feature, outcome) in [("a", "cached"), ("b", "cached"), ("c", "canned")] {
        let got = send(&layer, &down, asked(feature)).await;
        assert_eq!(got.header("tower-claude-outcome"), outcome, "{feature}");
    }
    advance(Duration::from_secs(1)).await;
    send(&layer, &up, asked("c")).await;
    let got = send(&layer, &down, asked("c")).await;
    assert_eq!(got.header("tower-claude-outcome"), "cached");
}

// Semantic case 73.
#[tokio::test(start_paused = true)]
async fn the_cache_never_crosses_tenant_or_feature_and_respects_its_ttl() {
    let layer = DegradeLayer::new();
    let up = Upstream::always(Act::ok());
    let down = Upstream::always(Act::overloaded());
    let first = send(&layer, &up, request(call(false))).await;
    assert_eq!(first.text, MESSAGE, "a good answer is not touched");
    assert!(!first.headers.contains_key("tower-claude-outcome"));

    advance(Duration::from_secs(90)).await;
    let again = send(&layer, &down, request(call(false))).await;
    assert_eq!(again.header("tower-claude-outcome"), "cached");
    assert_eq!(again.header("tower-claude-degraded"), "overloaded");
    assert_eq!(
        again.header("tower-claude-model"),
        "m",
        "who gave it, as it says itself"
    );
    assert_eq!(again.header("age"), "90");
    assert_eq!(again.header("retry-after"), "30");
    let mut expected: Value = serde_json::from_str(MESSAGE).unwrap();
    expected["_degraded"] = true.into();
    assert_eq!(again.json(), expected);

    for other in [
        call(false).with_tenant(Tenant::new("bob")),
        call(false).with_feature(Feature::new("summary")),
    ] {
        let got = send(&layer, &down, request(other)).await;
        assert_eq!(got.header("tower-claude-outcome"), "canned");
        assert!(!got.headers.contains_key("age"));
    }

    advance(Duration::from_secs(3600 - 90)).await;
    let late = send(&layer, &down, request(call(false))).await;
    assert_eq!(late.header("tower-claude-outcome"), "canned");
}

// Semantic case 73.
#[tokio::test]
async fn only_a_whole_text_answer_that_ended_its_turn_is_given_again() {
    const HALF: &str = r#"{"id":"msg_1","type":"message","content":[{"type":"text","te"#;
    const TOOL: &str = r#"{"id":"msg_1","type":"message","model":"m","content":[{"type":"tool_use","id":"t","name":"n","input":{}}],"stop_reason":"tool_use"}"#;
    const FULL: &str = r#"{"id":"msg_1","type":"message","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"max_tokens"}"#;
    const DEGRADED: &str = r#"{"id":"msg_1","type":"message","model":"m","_degraded":true,"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#;
    for act in [
        Act::json(200, HALF),
        Act::json(200, TOOL),
        Act::json(200, FULL),
        Act::json(200, DEGRADED),
        Act::json(201, MESSAGE),
        Act::ok().header("tower-claude-degraded", "overloaded"),
        Act::ok().header("content-encoding", "gzip"),
        Act::sse(&[START, BLOCK, DELTA, END], BodyEnd::Eof),
        Act::sse(&[START, BLOCK, DELTA, common::ERROR], BodyEnd::Eof),
    ] {
        let layer = DegradeLayer::new();
        let shown = format!("{act:?}");
        let _ = send(&layer, &Upstream::always(act), request(call(false))).await;
        let got = send(
            &layer,
            &Upstream::always(Act::overloaded()),
            request(call(false)),
        )
        .await;
        assert_eq!(got.header("tower-claude-outcome"), "canned", "{shown}");
    }

    // Cut after the last event: nobody can say that it is whole.
    let layer = DegradeLayer::new();
    let cut = Upstream::always(Act::sse(&[START, BLOCK, DELTA, END, STOP], BodyEnd::Cut));
    let response = layer.layer(cut).oneshot(request(call(true))).await.unwrap();
    assert!(read(response.into_body()).await.1.is_err());
    let got = send(
        &layer,
        &Upstream::always(Act::overloaded()),
        request(call(true)),
    )
    .await;
    assert_eq!(got.header("tower-claude-outcome"), "canned");
}

#[tokio::test]
async fn an_answer_is_given_again_in_the_form_the_call_asks_for_whatever_form_it_came_in() {
    for (came, asked) in [(false, true), (true, false), (true, true)] {
        let layer = DegradeLayer::new();
        let act = if came { Act::stream() } else { Act::ok() };
        let _ = send(&layer, &Upstream::always(act), request(call(came))).await;
        let got = send(
            &layer,
            &Upstream::always(Act::overloaded()),
            request(call(asked)),
        )
        .await;
        assert_eq!(got.header("tower-claude-outcome"), "cached");
        let kind = if asked {
            "text/event-stream"
        } else {
            "application/json"
        };
        assert_eq!(got.header("content-type"), kind);
        assert_eq!(got.said(), "Hello");
        assert!(got.text.contains("\"_degraded\":true"));
    }
}

#[tokio::test]
async fn answers_and_requests_that_are_too_large_are_not_kept() {
    let message = |bytes: usize| {
        let text = "x".repeat(bytes - MESSAGE.len() + "Hello".len());
        &*Box::leak(MESSAGE.replace("Hello", &text).into_boxed_str())
    };
    for (bytes, outcome) in [(256 << 10, "cached"), ((256 << 10) + 1, "canned")] {
        let layer = DegradeLayer::new();
        let got = send(
            &layer,
            &Upstream::always(Act::json(200, message(bytes))),
            request(call(false)),
        )
        .await;
        assert_eq!(got.text.len(), bytes);
        let got = send(
            &layer,
            &Upstream::always(Act::overloaded()),
            request(call(false)),
        )
        .await;
        assert_eq!(got.header("tower-claude-outcome"), outcome);
    }

    let large = || {
        let mut request = request(call(false));
        let text = "x".repeat(1 << 20);
        *request.body_mut() = format!(r#"{{"model":"m","messages":"{text}"}}"#).into();
        request
    };
    let layer = DegradeLayer::new();
    let _ = send(&layer, &Upstream::always(Act::ok()), large()).await;
    let got = send(&layer, &Upstream::always(Act::overloaded()), large()).await;
    assert_eq!(got.header("tower-claude-outcome"), "canned");
}

/// A store of one answer that is there in a way.
#[derive(Debug, Default)]
struct Odd {
    way: Way,
    gets: AtomicUsize,
    puts: Mutex<Vec<(CacheQuery, CachedAnswer)>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Way {
    #[default]
    Ready,
    After(Duration),
    Never,
    Fails,
    Panics,
    PanicsLater,
    Garbage,
    ToolUse,
    Similar,
}

impl Odd {
    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self {
            way,
            ..Self::default()
        })
    }
}

impl ResponseCache for Odd {
    fn get(&self, _: &CacheQuery) -> Lookup {
        self.gets.fetch_add(1, Ordering::SeqCst);
        let answer = CachedAnswer::new(MESSAGE);
        match self.way {
            Way::Ready => Lookup::Ready(Some(answer)),
            Way::After(delay) => Lookup::pending(async move {
                tokio::time::sleep(delay).await;
                Ok(Some(answer))
            }),
            Way::Never => Lookup::pending(std::future::pending()),
            Way::Fails => Lookup::pending(async { Err("redis is down".into()) }),
            Way::Panics => panic!("a store with a mistake in it"),
            Way::PanicsLater => Lookup::pending(async { panic!("a store with a mistake in it") }),
            Way::Garbage => Some(CachedAnswer::new("<html>")).into(),
            Way::ToolUse => {
                let text = r#"{"type":"text","text":"Hello"}"#;
                let tool = r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#;
                Some(CachedAnswer::new(MESSAGE.replace(text, tool))).into()
            }
            Way::Similar => Some(answer.with_similarity(0.93)).into(),
        }
    }

    fn put(&self, query: &CacheQuery, answer: CachedAnswer) {
        if matches!(self.way, Way::Panics) {
            panic!("a store with a mistake in it");
        }
        self.puts.lock().unwrap().push((query.clone(), answer));
    }
}

// Semantic case 74.
#[tokio::test(start_paused = true)]
async fn a_cache_that_fails_panics_lies_or_is_late_costs_the_canned_message_only() {
    let late = Way::After(Duration::from_millis(201));
    for way in [
        late,
        Way::Never,
        Way::Fails,
        Way::Panics,
        Way::PanicsLater,
        Way::Garbage,
        Way::ToolUse,
    ] {
        let start = Instant::now();
        let layer = DegradeLayer::new().with_cache(Odd::new(way));
        let got = send(
            &layer,
            &Upstream::always(Act::overloaded()),
            request(call(false)),
        )
        .await;
        assert_eq!(got.header("tower-claude-outcome"), "canned", "{way:?}");
        assert_eq!(
            got.header("tower-claude-degraded"),
            "overloaded",
            "the failure of the call"
        );
        assert_eq!(got.said(), CANNED);
        assert!(Instant::now() - start <= Duration::from_millis(200));
    }
}

// Semantic case 74.
#[tokio::test(start_paused = true)]
async fn where_the_policy_is_an_error_and_the_cache_fails_the_original_error_is_told() {
    for way in [Way::Never, Way::Fails, Way::Panics, Way::Garbage] {
        let layer = DegradeLayer::new()
            .with_cache(Odd::new(way))
            .with_feature("chat", DegradePolicy::error().with_cached(true));
        let upstream = Upstream::always(Act::overloaded().header("request-id", "req_1"));
        let got = send(&layer, &upstream, request(call(false))).await;
        assert_eq!(got.status, 529);
        assert_eq!(got.header("request-id"), "req_1");
        assert_eq!(got.json()["error"]["message"], "Overloaded");
    }
}

#[tokio::test]
async fn a_store_that_panics_when_it_keeps_an_answer_does_not_take_the_answer_with_it() {
    let layer = DegradeLayer::new().with_cache(Odd::new(Way::Panics));
    let got = send(&layer, &Upstream::always(Act::ok()), request(call(false))).await;
    assert_eq!(got.text, MESSAGE);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_takes_its_timeout_at_most_and_never_past_the_deadline() {
    let cache = Odd::new(Way::After(Duration::from_millis(150)));
    let layer = DegradeLayer::new().with_cache(cache);
    let down = Upstream::always(Act::overloaded());
    let got = send(&layer, &down, request(call(false))).await;
    assert_eq!(got.header("tower-claude-outcome"), "cached");

    let start = Instant::now();
    let soon = call(false).with_deadline(Some(Deadline::after(Duration::from_millis(100))));
    let got = send(&layer, &down, request(soon)).await;
    assert_eq!(got.header("tower-claude-outcome"), "canned");
    assert_eq!(Instant::now() - start, Duration::from_millis(100));

    // Past it, what is there at once may still be given.
    let start = Instant::now();
    for (way, outcome) in [(Way::Ready, "cached"), (Way::Never, "canned")] {
        let layer = DegradeLayer::new().with_cache(Odd::new(way));
        let past = call(false).with_deadline(Some(Deadline::at(start)));
        let failure = Failure::new(FailureKind::DeadlineExceeded);
        let got = fail(&layer, failure, request(past)).await.unwrap();
        assert_eq!(got.header("tower-claude-outcome"), outcome);
    }
    assert_eq!(Instant::now(), start);
}

#[tokio::test]
async fn the_cache_is_asked_only_when_a_call_has_failed() {
    let cache = Odd::new(Way::Ready);
    let layer = DegradeLayer::new().with_cache(cache.clone());
    for act in [Act::ok(), Act::stream(), Act::refused()] {
        let _ = send(&layer, &Upstream::always(act), request(call(false))).await;
    }
    assert_eq!(cache.gets.load(Ordering::SeqCst), 0);
    let puts = cache.puts.lock().unwrap();
    assert_eq!(puts.len(), 2);
    assert_eq!(
        puts[0].0, puts[1].0,
        "the form of an answer is no part of the question"
    );
    assert_eq!(puts[0].0.tenant, Tenant::new("alice"));
    assert_eq!(puts[0].1, CachedAnswer::new(MESSAGE));
}

#[tokio::test]
async fn a_similar_answer_is_named_so() {
    let layer = DegradeLayer::new().with_cache(Odd::new(Way::Similar));
    let got = send(
        &layer,
        &Upstream::always(Act::overloaded()),
        request(call(false)),
    )
    .await;
    assert_eq!(got.header("tower-claude-outcome"), "similar");
    assert_eq!(got.said(), "Hello");
}

#[tokio::test]
async fn a_callers_mistake_passes_through_untouched() {
    for status in [400, 401, 403, 404, 409, 413, 422] {
        let act = Act::json(
            status,
            r#"{"type":"error","error":{"type":"x","message":"no"}}"#,
        );
        let layer = DegradeLayer::new().with_cache(Odd::new(Way::Ready));
        let got = send(
            &layer,
            &Upstream::always(act.header("x-a", "1")),
            request(call(false)),
        )
        .await;
        assert_eq!(got.status, status);
        assert_eq!(got.headers.len(), 2, "{:?}", got.headers);
        assert_eq!(got.json()["error"]["message"], "no");
        assert!(got.extensions.get::<Served>().is_none());
    }
}

#[tokio::test]
async fn every_kind_of_failure_ends_as_the_table_says() {
    use FailureKind as K;
    for kind in K::ALL {
        for layer in [
            DegradeLayer::new(),
            DegradeLayer::new().with_feature("chat", DegradePolicy::error()),
        ] {
            let result = fail(&layer, Failure::new(kind), request(call(false))).await;
            if kind == K::Cancelled {
                let error = result.unwrap_err();
                assert_eq!(Failure::find(&*error).unwrap().kind, K::Cancelled);
                continue;
            }
            let got = result.unwrap();
            let degrades = Failure::new(kind).warrants_degrade();
            let mark = if degrades { kind.as_str() } else { "" };
            assert_eq!(got.header("tower-claude-degraded"), mark, "{kind}");
            if got.status == 200 {
                assert!(degrades, "{kind}");
                assert_eq!(got.header("tower-claude-outcome"), "canned");
            } else {
                assert_eq!(got.header("tower-claude-outcome"), "error");
                assert_eq!(got.json()["type"], "error", "{kind}");
                let Some(Verdict::Failed(failure)) = got.extensions.get() else {
                    panic!("{kind} without a verdict")
                };
                assert_eq!(failure.kind, kind);
            }
        }
    }
}

#[tokio::test]
async fn a_full_bulkhead_is_a_429_that_the_caller_may_try_again_and_no_degraded_answer() {
    let log = Arc::new(Log::default());
    let layer = DegradeLayer::new().with_observer(log.clone());
    let failure = Failure::new(FailureKind::BulkheadFull);
    let got = fail(&layer, failure, request(call(true))).await.unwrap();
    assert_eq!(got.status, 429);
    assert_eq!(got.header("retry-after"), "1");
    assert!(!got.headers.contains_key("x-should-retry"));
    assert!(!got.headers.contains_key("tower-claude-degraded"));
    assert!(log.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn calls_that_a_program_reads_and_background_jobs_get_a_clean_error() {
    let layer = DegradeLayer::new().with_cache(Odd::new(Way::Ready));
    let count = || {
        let mut request = request(call(false));
        *request.uri_mut() = "/v1/messages/count_tokens".parse().unwrap();
        request
    };
    for request in [
        request(call(false).with_exact_output(true)),
        request(call(true).with_exact_output(true)),
        request(call(false).with_feature(Feature::new("background_jobs"))),
        request(Call::new(None).with_feature(Feature::new("chat"))),
        count(),
    ] {
        let failure = Failure::new(FailureKind::CircuitOpen)
            .with_retry_after(Some(Duration::from_millis(4200)));
        let got = fail(&layer, failure, request).await.unwrap();
        assert_eq!(got.status, 529);
        assert_eq!(got.header("content-type"), "application/json");
        assert_eq!(got.header("tower-claude-outcome"), "error");
        assert_eq!(got.header("tower-claude-degraded"), "circuit_open");
        assert_eq!(got.header("retry-after"), "5");
        assert_eq!(got.header("x-should-retry"), "false");
        assert_eq!(got.json()["error"]["type"], "overloaded_error");
    }
}

#[tokio::test]
async fn an_answer_to_a_program_is_never_kept() {
    let cache = Odd::new(Way::Ready);
    let layer = DegradeLayer::new().with_cache(cache.clone());
    let tools = request(call(false).with_exact_output(true));
    let _ = send(&layer, &Upstream::always(Act::ok()), tools).await;
    assert!(cache.puts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_clean_error_keeps_upstreams_own_and_replaces_what_is_none() {
    let layer = DegradeLayer::new().with_feature("chat", DegradePolicy::error());
    let own = Act::rate_limited("3600")
        .header("request-id", "req_1")
        .header("retry-after-ms", "3600000");
    let got = send(&layer, &Upstream::always(own), request(call(false))).await;
    assert_eq!(got.status, 429);
    assert_eq!(got.json()["error"]["message"], "slow down");
    assert_eq!(got.header("request-id"), "req_1");
    assert_eq!(
        got.header("retry-after"),
        "30",
        "SDKs sleep for as long as they are told"
    );
    assert!(!got.headers.contains_key("retry-after-ms"));
    assert_eq!(got.header("x-should-retry"), "false");

    let html = Act::Answer {
        after: Duration::ZERO,
        status: 502,
        kind: "text/html",
        headers: vec![("server", "cloudflare".to_owned())],
        frames: vec![(Duration::ZERO, Bytes::from("<html>"))],
        end: BodyEnd::Eof,
    };
    let got = send(&layer, &Upstream::always(html), request(call(false))).await;
    assert_eq!(got.status, 502);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.json()["error"]["type"], "api_error");
    assert!(!got.headers.contains_key("server"));
}

#[tokio::test]
async fn an_error_inside_a_200_becomes_an_error_status() {
    let layer = DegradeLayer::new().with_feature("chat", DegradePolicy::error());
    let inner = service_fn(|_: Request<ReplayBody>| async {
        let failure = Failure::new(FailureKind::Overloaded).with_error_type("overloaded_error");
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Verdict::Failed(failure))
            .body(Full::new(Bytes::from(r#"{"type":"error"}"#)));
        Ok::<_, BoxError>(response.unwrap())
    });
    let got = Got::from(
        layer
            .layer(inner)
            .oneshot(request(call(false)))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(got.status, 529);
    assert_eq!(got.json()["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn each_feature_has_its_own_message_and_the_mark_in_the_body_can_be_switched_off() {
    let layer = DegradeLayer::new()
        .with_default(DegradePolicy::answer("Later."))
        .with_feature("summary", DegradePolicy::answer("No summary."))
        .with_feature("background_jobs", DegradePolicy::answer("No job."))
        .with_body_mark(false);
    let down = Upstream::always(Act::overloaded());
    for (feature, text) in [
        ("chat", "Later."),
        ("summary", "No summary."),
        ("background_jobs", "No job."),
    ] {
        let call = call(false).with_feature(Feature::new(feature));
        let got = send(&layer, &down, request(call)).await;
        assert_eq!(got.said(), text);
        assert_eq!(got.json().get("_degraded"), None);
        assert_eq!(got.header("tower-claude-degraded"), "overloaded");
    }
}

#[tokio::test]
async fn without_a_call_the_accept_header_chooses_the_form_and_nothing_is_cached() {
    let cache = Odd::new(Way::Ready);
    let layer = DegradeLayer::new().with_cache(cache.clone());
    for (accept, kind) in [
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ] {
        for act in [Act::ok(), Act::overloaded()] {
            let request = Request::post("/v1/messages").header("accept", accept);
            let request = request.body(ReplayBody::from(r#"{"model":"m"}"#)).unwrap();
            let got = send(&layer, &Upstream::always(act), request).await;
            if got.headers.contains_key("tower-claude-outcome") {
                assert_eq!(got.header("content-type"), kind);
                assert_eq!(got.said(), CANNED);
            }
        }
    }
    assert_eq!(
        cache.gets.load(Ordering::SeqCst) + cache.puts.lock().unwrap().len(),
        0
    );
}

#[tokio::test]
async fn the_inner_layers_know_that_a_failure_can_be_answered() {
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        assert!(request.extensions().get::<Call>().unwrap().degrade());
        Ok::<_, BoxError>(Response::new(Full::new(Bytes::new())))
    });
    let _ = DegradeLayer::new()
        .layer(inner)
        .oneshot(request(call(false)))
        .await
        .unwrap();
}

#[tokio::test]
async fn two_layers_share_answers_only_through_a_store_that_both_were_given() {
    let store = Arc::new(MemoryCache::new());
    let one = DegradeLayer::new().with_cache(store.clone());
    let _ = send(&one, &Upstream::always(Act::ok()), request(call(false))).await;
    assert_eq!(store.len(), 1);
    for (layer, outcome) in [
        (one.clone(), "cached"),
        (DegradeLayer::new().with_cache(store), "cached"),
        (DegradeLayer::new(), "canned"),
        (one.without_cache(), "canned"),
    ] {
        let got = send(
            &layer,
            &Upstream::always(Act::overloaded()),
            request(call(false)),
        )
        .await;
        assert_eq!(got.header("tower-claude-outcome"), outcome);
    }
}

#[tokio::test]
async fn the_answer_of_a_fallback_model_is_kept_for_the_same_request_and_says_who_gave_it() {
    let haiku = &*Box::leak(
        MESSAGE
            .replace("\"m\"", &format!("\"{HAIKU}\""))
            .into_boxed_str(),
    );
    let layer = DegradeLayer::new();
    let _ = send(
        &layer,
        &Upstream::always(Act::json(200, haiku)),
        request(call(false)),
    )
    .await;
    let got = send(
        &layer,
        &Upstream::always(Act::overloaded()),
        request(call(false)),
    )
    .await;
    assert_eq!(got.header("tower-claude-outcome"), "cached");
    assert_eq!(got.header("tower-claude-model"), HAIKU);
    assert_eq!(got.json()["model"], HAIKU);
}

#[tokio::test]
async fn answers_of_this_layer_know_their_length_and_bodies_stay_unpin() {
    fn unpin<T: Unpin>(_: &T) {}
    let layer = DegradeLayer::new();
    let response = layer
        .layer(Upstream::always(Act::overloaded()))
        .oneshot(request(call(false)))
        .await
        .unwrap();
    let body: DegradeBody<_> = response.into_body();
    unpin(&body);
    let length = body.size_hint().exact().unwrap();
    assert!(!body.is_end_stream());
    assert_eq!(read(body).await.0.len() as u64, length);
}

#[tokio::test(start_paused = true)]
async fn inside_replay_a_stranger_with_the_same_words_never_gets_anothers_answer() {
    let layer = DegradeLayer::new();
    let ask = async |act: Act, key: &str, stream: bool| {
        let inner = layer.layer(Upstream::always(act));
        let mut request = common::request(SONNET, stream);
        request
            .headers_mut()
            .insert("x-api-key", key.parse().unwrap());
        let response = ReplayLayer::new().layer(inner).oneshot(request).await;
        Got::from(response.unwrap()).await
    };
    let got = ask(Act::ok(), "sk-alice", false).await;
    assert_eq!(got.header("tower-claude-outcome"), "direct");

    let got = ask(Act::overloaded(), "sk-alice", true).await;
    assert_eq!(got.header("tower-claude-outcome"), "cached");
    assert_eq!(got.header("tower-claude-degraded"), "overloaded");
    assert_eq!((got.header("age"), got.header("retry-after")), ("0", "30"));
    assert_eq!(got.said(), "Hello");

    let got = ask(Act::overloaded(), "sk-bob", true).await;
    assert_eq!(got.header("tower-claude-outcome"), "canned");
    assert_eq!(got.said(), CANNED);
}

#[tokio::test]
async fn inside_replay_a_call_with_tools_gets_an_error_that_its_sdk_does_not_retry() {
    let inner = DegradeLayer::new().layer(Upstream::always(Act::overloaded()));
    let body = format!(r#"{{"model":"{SONNET}","tools":[{{"name":"n"}}],"messages":[]}}"#);
    let request = Request::post("/v1/messages")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let response = ReplayLayer::new()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    let got = Got::from(response).await;
    assert_eq!(got.status, 529);
    assert_eq!(got.header("tower-claude-outcome"), "error");
    assert_eq!(got.header("tower-claude-degraded"), "overloaded");
    assert_eq!(got.header("x-should-retry"), "false");
    assert_eq!(got.json()["error"]["type"], "overloaded_error");
}
