//! Every fault of the fake Claude, seen by a plain HTTP client over real TCP.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tower_claude::testing::{
    At, Chunks, FakeClaude, Fault, Reply, RetryAfter, Script, ScriptError, StartError,
};

const SONNET: &str = "claude-sonnet-5-5";
const HAIKU: &str = "claude-haiku-5-5";
/// Long enough to say that nothing came, short enough to wait for.
const SILENCE: Duration = Duration::from_millis(40);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn call(claude: &FakeClaude, model: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = json!({"model": model, "max_tokens": 64, "stream": stream, "messages": []});
    Request::post(claude.messages_url())
        .body(body.to_string().into())
        .unwrap()
}

/// A head and all that came of the body.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    frames: Vec<Bytes>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    Clean,
    /// The connection was reset.
    Reset,
    /// The body ended short of its length.
    Short,
    /// Nothing came for `SILENCE`.
    Silent,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.frames.concat()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.frames.concat()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The names of the whole events, and what is left after them.
    fn events(&self) -> (Vec<String>, String) {
        let text = self.text().replace("\r\n", "\n");
        let mut parts: Vec<&str> = text.split("\n\n").collect();
        let rest = parts.pop().unwrap().to_owned();
        let name = |event: &&str| event.lines().next().unwrap()["event: ".len()..].to_owned();
        (parts.iter().map(name).collect(), rest)
    }

    fn count(&self, event: &str) -> usize {
        self.events().0.iter().filter(|name| *name == event).count()
    }
}

async fn read(response: http::Response<Incoming>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut frames = Vec::new();
    let end = loop {
        match timeout(SILENCE * 4, body.frame()).await {
            Err(_) => break End::Silent,
            Ok(None) => break End::Clean,
            Ok(Some(Ok(frame))) => frames.push(frame.into_data().unwrap()),
            Ok(Some(Err(error))) if is_reset(&error) => break End::Reset,
            Ok(Some(Err(_))) => break End::Short,
        }
    };
    Answer {
        status: head.status,
        headers: head.headers,
        frames,
        end,
    }
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

async fn send(request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
    Ok(read(client().request(request).await?).await)
}

/// The answer of a server that always gives this reply.
async fn answer(reply: Reply, stream: bool) -> Answer {
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    send(call(&claude, SONNET, stream)).await.unwrap()
}

async fn faulty(at: At, fault: Fault, stream: bool) -> Answer {
    answer(Reply::ok().deltas(4).fail(at, fault), stream).await
}

// ---- whole answers ----

#[tokio::test]
async fn a_json_answer_is_a_message_of_the_model_asked_for() {
    let reply = Reply::ok()
        .text("Hi \"you\"")
        .usage(7, 3)
        .header("via", "1.1 edge");
    let answer = answer(reply, false).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("via"), "1.1 edge");
    assert!(answer.header("request-id").starts_with("req_"));
    let json = answer.json();
    assert_eq!(json["type"], "message");
    assert_eq!(json["model"], SONNET);
    assert_eq!(
        json["content"],
        json!([{"type": "text", "text": "Hi \"you\""}])
    );
    assert_eq!(json["stop_reason"], "end_turn");
    assert_eq!(
        (
            &json["usage"]["input_tokens"],
            &json["usage"]["output_tokens"]
        ),
        (&7.into(), &3.into())
    );
}

#[tokio::test]
async fn a_stream_has_its_events_in_the_order_of_the_api() {
    let answer = answer(Reply::ok().text("one two three").deltas(3), true).await;
    assert!(
        answer
            .header("content-type")
            .starts_with("text/event-stream")
    );
    assert!(answer.header("request-id").starts_with("req_"));
    let order = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(
        answer.events(),
        (order.map(String::from).to_vec(), String::new())
    );
    assert_eq!(answer.end, End::Clean);
    let data: Vec<Value> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(data[0]["message"]["model"], SONNET);
    assert!(data[0]["message"]["usage"]["output_tokens"].is_u64());
    assert!(data[7]["usage"]["output_tokens"].is_u64());
    let text: String = data
        .iter()
        .filter_map(|data| data["delta"]["text"].as_str())
        .collect();
    assert_eq!(text, "one two three");
}

#[tokio::test]
async fn message_and_request_ids_are_never_used_twice() {
    let (one, two) = (
        FakeClaude::start().await.unwrap(),
        FakeClaude::start().await.unwrap(),
    );
    let mut ids = std::collections::HashSet::new();
    for claude in [&one, &two, &one, &two] {
        let answer = send(call(claude, SONNET, false)).await.unwrap();
        assert!(ids.insert(answer.json()["id"].to_string()));
        assert!(ids.insert(answer.header("request-id").to_owned()));
    }
}

#[tokio::test]
async fn tokens_thinking_and_tool_use_are_part_of_the_answer() {
    let reply = Reply::ok()
        .tokens(40)
        .deltas(2)
        .thinking("hm")
        .tool_use("clock", json!({"z": 1}));
    let answered = answer(reply.clone(), true).await;
    assert_eq!(answered.count("content_block_delta"), 2 + 2 + 2);
    assert!(answered.text().contains(r#""stop_reason":"tool_use""#));
    let json = answer(reply, false).await.json();
    assert_eq!(json["usage"]["output_tokens"], 40);
    let kinds: Vec<&str> = (0..3)
        .map(|block| json["content"][block]["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
}

// ---- errors before a model answers ----

#[tokio::test]
async fn errors_have_the_shape_of_the_api() {
    for (reply, status, kind, message) in [
        (Reply::overloaded(), 529, "overloaded_error", "Overloaded"),
        (
            Reply::rate_limited(RetryAfter::Unsaid),
            429,
            "rate_limit_error",
            "rate limit",
        ),
        (Reply::spend_limit(), 429, "rate_limit_error", "spend limit"),
        (
            Reply::no_credit(),
            400,
            "invalid_request_error",
            "credit balance is too low",
        ),
        (
            Reply::unknown_model(),
            404,
            "not_found_error",
            "model: claude-sonnet-5-5",
        ),
        (
            Reply::invalid_request("bad"),
            400,
            "invalid_request_error",
            "bad",
        ),
        (
            Reply::unauthorized(),
            401,
            "authentication_error",
            "invalid x-api-key",
        ),
        (
            Reply::server_error(),
            500,
            "api_error",
            "Internal server error",
        ),
        (Reply::timed_out(), 504, "timeout_error", "timed out"),
    ] {
        for stream in [false, true] {
            let answer = answer(reply.clone(), stream).await;
            let json = answer.json();
            assert_eq!(
                (answer.status.as_u16(), &json["type"]),
                (status, &"error".into())
            );
            assert_eq!(json["error"]["type"], kind);
            assert!(
                json["error"]["message"].as_str().unwrap().contains(message),
                "{json}"
            );
            assert_eq!(json["request_id"], answer.header("request-id"));
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
}

#[tokio::test]
async fn an_error_can_carry_a_code_and_advice_to_retry() {
    let json = answer(Reply::spend_limit(), false).await.json();
    assert_eq!(
        json["error"]["details"]["error_code"],
        "enforced_spend_limit_reached"
    );
    let answer = answer(Reply::overloaded().code("x").should_retry(false), false).await;
    assert_eq!(answer.json()["error"]["details"]["error_code"], "x");
    assert_eq!(answer.header("x-should-retry"), "false");
}

#[tokio::test]
async fn retry_after_comes_in_every_form() {
    for (form, name, value) in [
        (RetryAfter::Seconds(12), "retry-after", "12"),
        (RetryAfter::Fraction(0.25), "retry-after", "0.25"),
        (RetryAfter::Millis(300), "retry-after-ms", "300"),
        (RetryAfter::Text("soon".into()), "retry-after", "soon"),
    ] {
        let answer = answer(Reply::rate_limited(form), false).await;
        assert_eq!(answer.header(name), value);
    }
    let unsaid = answer(Reply::rate_limited(RetryAfter::Unsaid), false).await;
    assert!(
        !unsaid
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("retry-after"))
    );
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a date on the wire is one of the wall clock"
)]
async fn retry_after_can_be_a_date_to_come_or_past() {
    let before = SystemTime::now();
    let wait = Duration::from_secs(90);
    let said = answer(
        Reply::overloaded().retry_after(RetryAfter::DateIn(wait)),
        false,
    )
    .await;
    let date = httpdate::parse_http_date(said.header("retry-after")).unwrap();
    assert!(date + Duration::from_secs(1) >= before + wait);
    let said = answer(
        Reply::overloaded().retry_after(RetryAfter::DateAgo(wait)),
        false,
    )
    .await;
    assert!(httpdate::parse_http_date(said.header("retry-after")).unwrap() < before);
}

#[tokio::test]
async fn any_status_body_and_header_can_be_sent() {
    let page = answer(Reply::unavailable(), true).await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (503, "text/html; charset=UTF-8")
    );
    assert!(page.text().starts_with("<html>"));
    let page = answer(Reply::status(200).html("<p>hello</p>"), false).await;
    assert_eq!(
        (page.status.as_u16(), page.text().as_str()),
        (200, "<p>hello</p>")
    );
    let plain = Reply::status(418)
        .json(&json!({"a": 1}))
        .header("x-a", "1")
        .header("x-a", "2");
    let plain = answer(plain, false).await;
    assert_eq!(
        (plain.status.as_u16(), plain.json()),
        (418, json!({"a": 1}))
    );
    assert_eq!(plain.headers.get_all("x-a").iter().count(), 2);
    for status in [204, 304, 302, 520] {
        let empty = answer(Reply::status(status), false).await;
        assert_eq!((empty.status.as_u16(), empty.end), (status, End::Clean));
    }
    let by_hand = answer(Reply::status(200).sse("event: odd\ndata: 1\n\n"), true).await;
    assert_eq!(by_hand.events().0, ["odd"]);
}

// ---- no answer ----

#[tokio::test]
async fn a_reset_before_the_head_fails_the_call_as_a_reset() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::reset())
        .start()
        .await
        .unwrap();
    let error = send(call(&claude, SONNET, false)).await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(claude.calls_to(SONNET), 1);
}

#[tokio::test]
async fn a_hanging_call_gets_no_head_and_is_over_when_its_client_leaves() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::hang())
        .start()
        .await
        .unwrap();
    let (client, request) = (client(), call(&claude, SONNET, true));
    assert!(timeout(SILENCE, client.request(request)).await.is_err());
    claude.wait_until_idle().await;
    assert_eq!((claude.calls(), claude.in_flight()), (1, 0));
}

#[tokio::test]
async fn the_head_comes_after_its_delay() {
    let started = Instant::now();
    let answer = answer(Reply::overloaded().after(ms(30)), false).await;
    assert!(Instant::now() - started >= ms(30));
    assert_eq!(answer.status, 529);
}

// ---- streams that fail ----

#[tokio::test]
async fn an_error_event_can_come_first_after_a_ping_or_in_the_middle() {
    let first = faulty(At::Start, Fault::overloaded(), true).await;
    assert_eq!(
        (first.status.as_u16(), first.events().0),
        (200, vec!["error".to_owned()])
    );
    assert!(first.text().contains(
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
    ));
    let after_ping = faulty(At::Ping, Fault::api_error(), true).await;
    assert_eq!(after_ping.events().0, ["ping", "error"]);
    assert!(after_ping.text().contains("api_error"));
    let middle = faulty(At::Deltas(2), Fault::error("x", "y"), true).await;
    assert_eq!(
        (middle.count("content_block_delta"), middle.count("error")),
        (2, 1)
    );
    assert_eq!((middle.count("message_stop"), middle.end), (0, End::Clean));
}

#[tokio::test]
async fn a_cut_is_a_reset_after_exactly_what_came_before() {
    let cut = faulty(At::Start, Fault::Cut, true).await;
    assert_eq!((cut.frames.len(), cut.end), (0, End::Reset));
    let cut = faulty(At::MessageStart, Fault::Cut, true).await;
    assert_eq!(
        (cut.events().0, cut.end),
        (vec!["message_start".to_owned()], End::Reset)
    );
    for deltas in 0..=4 {
        let cut = faulty(At::Deltas(deltas), Fault::Cut, true).await;
        assert_eq!(
            (cut.count("content_block_delta"), &cut.end),
            (deltas, &End::Reset)
        );
    }
    let cut = faulty(At::BeforeStop, Fault::Cut, true).await;
    assert_eq!(
        (cut.count("message_delta"), cut.count("message_stop")),
        (1, 0)
    );
    assert_eq!(cut.end, End::Reset);
}

#[tokio::test]
async fn a_truncated_stream_ends_cleanly_without_message_stop() {
    let ended = faulty(At::Deltas(3), Fault::End, true).await;
    assert_eq!(
        (
            ended.count("content_block_delta"),
            ended.count("message_stop")
        ),
        (3, 0)
    );
    assert_eq!(ended.end, End::Clean);
    let ended = faulty(At::BeforeStop, Fault::End, true).await;
    assert_eq!(
        (ended.count("message_delta"), ended.count("message_stop")),
        (1, 0)
    );
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open_and_silent() {
    let stalled = answer(Reply::stall(), true).await;
    assert_eq!((stalled.status.as_u16(), stalled.frames.len()), (200, 0));
    assert_eq!(stalled.end, End::Silent);
    let stalled = faulty(At::Deltas(2), Fault::Stall, true).await;
    assert_eq!(
        (stalled.count("content_block_delta"), stalled.end),
        (2, End::Silent)
    );
}

#[tokio::test]
async fn a_malformed_event_is_one_event_whose_data_is_not_json() {
    let odd = faulty(At::Deltas(1), Fault::Malformed, true).await;
    let bad = |line: &&str| serde_json::from_str::<Value>(line).is_err();
    let text = odd.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    assert_eq!(data.filter(bad).count(), 1);
    assert_eq!(
        (odd.count("content_block_delta"), odd.count("message_stop")),
        (5, 1)
    );
}

#[tokio::test]
async fn half_an_event_can_be_the_last_that_comes() {
    for (fault, end) in [
        (Fault::Cut, End::Reset),
        (Fault::End, End::Clean),
        (Fault::Stall, End::Silent),
    ] {
        let half = faulty(At::MidDelta(1), fault, true).await;
        let (_, rest) = half.events();
        assert_eq!(half.count("content_block_delta"), 1);
        assert!(
            rest.starts_with("event: content_block_delta\ndata: {"),
            "{rest}"
        );
        assert_eq!(half.end, end);
    }
}

#[tokio::test]
async fn a_stream_can_be_empty_or_of_pings_only() {
    let empty = answer(Reply::empty(), true).await;
    assert_eq!(
        (empty.status.as_u16(), empty.frames.len(), empty.end),
        (200, 0, End::Clean)
    );
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::only_pings(ms(5)))
        .start()
        .await
        .unwrap();
    let mut body = client()
        .request(call(&claude, SONNET, true))
        .await
        .unwrap()
        .into_body();
    for _ in 0..4 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }
}

#[tokio::test]
async fn an_answer_can_come_in_the_form_that_was_not_asked_for() {
    let json = answer(Reply::ok().as_json(), true).await;
    assert_eq!(
        (json.header("content-type"), &json.json()["type"]),
        ("application/json", &"message".into())
    );
    let sse = answer(Reply::ok().as_sse(), false).await;
    assert_eq!(sse.count("message_stop"), 1);
}

// ---- answers of JSON that fail ----

#[tokio::test]
async fn a_json_answer_can_end_stall_or_break_short_of_its_length() {
    let whole = answer(Reply::ok().deltas(4), false).await.text().len();
    for (fault, end) in [
        (Fault::Cut, End::Reset),
        (Fault::End, End::Short),
        (Fault::Stall, End::Silent),
    ] {
        for (at, expected) in [(At::Start, 0), (At::Deltas(2), whole / 2)] {
            let short = faulty(at, fault.clone(), false).await;
            assert_eq!(short.header("content-length"), whole.to_string());
            assert_eq!((short.text().len(), &short.end), (expected, &end));
        }
    }
}

#[tokio::test]
async fn a_200_can_be_an_error_object_or_no_json_at_all() {
    let error = faulty(At::Start, Fault::overloaded(), false).await;
    assert_eq!(
        (error.status.as_u16(), &error.json()["type"]),
        (200, &"error".into())
    );
    let broken = faulty(At::Start, Fault::Malformed, false).await;
    assert_eq!((broken.status.as_u16(), &broken.end), (200, &End::Clean));
    assert!(serde_json::from_str::<Value>(&broken.text()).is_err());
}

#[tokio::test]
async fn an_error_answer_can_be_cut_too() {
    let cut = answer(Reply::overloaded().fail(At::Deltas(1), Fault::Cut), false).await;
    assert_eq!((cut.status.as_u16(), cut.end), (529, End::Reset));
    let cut = answer(
        Reply::status(500)
            .body("x".repeat(10))
            .fail(At::Start, Fault::End),
        false,
    )
    .await;
    assert_eq!((cut.text().len(), cut.end), (0, End::Short));
}

// ---- bytes and time of a stream ----

#[tokio::test]
async fn frames_hold_one_event_all_events_or_single_bytes() {
    let text = |answer: &Answer| answer.text().replace(answer.header("request-id"), "");
    let each = answer(Reply::ok().deltas(3), true).await;
    assert_eq!(each.frames.len(), each.events().0.len());
    let together = answer(Reply::ok().deltas(3).chunks(Chunks::Together), true).await;
    assert_eq!((together.frames.len(), together.end), (1, End::Clean));
    let bytes = answer(Reply::ok().deltas(3).chunks(Chunks::Bytes(1)), true).await;
    assert!(bytes.frames.iter().all(|frame| frame.len() == 1));
    assert_eq!(text(&bytes).len(), text(&each).len());
    let sevens = answer(Reply::ok().deltas(3).chunks(Chunks::Bytes(7)), true).await;
    let (_, most) = sevens.frames.split_last().unwrap();
    assert!(most.iter().all(|frame| frame.len() == 7));
    assert_eq!(sevens.count("message_stop"), 1);
}

#[tokio::test]
async fn lines_can_end_in_crlf() {
    let crlf = answer(Reply::ok().crlf(), true).await;
    assert_eq!(
        crlf.text().matches('\n').count(),
        crlf.text().matches("\r\n").count()
    );
    assert_eq!(crlf.count("message_stop"), 1);
}

#[tokio::test]
async fn pauses_come_before_the_first_event_the_first_delta_and_between_deltas() {
    for (reply, events_before, pause) in [
        (Reply::ok().first_event_after(ms(25)), 0, ms(25)),
        (Reply::ok().first_delta_after(ms(25)), 3, ms(25)),
        (Reply::ok().deltas(2).every(ms(25)), 4, ms(25)),
        (Reply::ok().pings(1).every(ms(25)).deltas(1), 1, ms(25)),
    ] {
        let claude = FakeClaude::builder()
            .default_script(reply)
            .start()
            .await
            .unwrap();
        let sent = Instant::now();
        let mut body = client()
            .request(call(&claude, SONNET, true))
            .await
            .unwrap()
            .into_body();
        for _ in 0..events_before {
            body.frame().await.unwrap().unwrap();
        }
        body.frame().await.unwrap().unwrap();
        assert!(
            Instant::now() - sent >= pause,
            "{events_before} events before the pause"
        );
    }
}

#[tokio::test]
async fn the_head_of_a_stream_does_not_wait_for_its_first_event() {
    let reply = Reply::ok().first_event_after(Duration::from_secs(3600));
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    let response = client().request(call(&claude, SONNET, true)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        timeout(SILENCE, response.into_body().frame())
            .await
            .is_err()
    );
}

// ---- scripts ----

#[tokio::test]
async fn a_script_by_number_changes_the_answer_from_call_to_call() {
    let script = Script::sequence([Reply::overloaded(), Reply::server_error()])
        .calls(2..4, Reply::unavailable())
        .always(Reply::ok());
    let claude = FakeClaude::builder()
        .on(SONNET, script)
        .start()
        .await
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(
            send(call(&claude, SONNET, false))
                .await
                .unwrap()
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [529, 500, 503, 503, 200]);
    assert_eq!(send(call(&claude, HAIKU, false)).await.unwrap().status, 200);
    assert_eq!(
        (
            claude.calls(),
            claude.calls_to(SONNET),
            claude.calls_to(HAIKU)
        ),
        (6, 5, 1)
    );
}

#[tokio::test]
async fn a_script_by_time_changes_the_answer_as_time_goes_by() {
    let script = Script::new().during(..ms(60), Reply::overloaded());
    let claude = FakeClaude::builder()
        .on(SONNET, script)
        .start()
        .await
        .unwrap();
    claude.reset_clock();
    let started = Instant::now();
    let answer = send(call(&claude, SONNET, false)).await.unwrap();
    // On a machine that stood still for 60 ms the first answer says nothing.
    assert!(answer.status == 529 || Instant::now() - started >= ms(60));
    tokio::time::sleep_until(started + ms(61)).await;
    assert_eq!(
        send(call(&claude, SONNET, false)).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn scripts_change_while_the_server_runs() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::overloaded())
        .start()
        .await
        .unwrap();
    let status = async |model| {
        send(call(&claude, model, false))
            .await
            .unwrap()
            .status
            .as_u16()
    };
    assert_eq!((status(SONNET).await, status(HAIKU).await), (529, 200));
    claude.set(SONNET, Reply::ok()).unwrap();
    claude.set_default(Reply::server_error()).unwrap();
    assert_eq!((status(SONNET).await, status(HAIKU).await), (200, 500));
    claude.set_all(Reply::unavailable()).unwrap();
    assert_eq!((status(SONNET).await, status(HAIKU).await), (503, 503));
    let refused: ScriptError = claude.set(HAIKU, Reply::status(1)).unwrap_err();
    assert_eq!((refused.target(), status(HAIKU).await), (Some(HAIKU), 503));
}

#[tokio::test]
async fn a_bad_script_is_refused_at_start() {
    let started = FakeClaude::builder().on("", Reply::ok()).start().await;
    let Err(StartError::Script(error)) = started else {
        panic!("{started:?}")
    };
    assert!(
        error
            .to_string()
            .contains("name of a model or path is empty")
    );
    let script = Reply::ok().deltas(3).fail(At::MidDelta(3), Fault::Cut);
    let started = FakeClaude::builder().default_script(script).start().await;
    let said = started.unwrap_err().to_string();
    assert_eq!(
        said,
        "default script: rule 0: a fault at MidDelta(3) of an answer of 3 deltas"
    );
}

// ---- endpoints, keys and form ----

fn get(claude: &FakeClaude, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("{}{path}", claude.url()))
        .body(Full::default())
        .unwrap()
}

fn post(claude: &FakeClaude, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("{}{path}", claude.url()))
        .body(Full::new(body.into()))
        .unwrap()
}

#[tokio::test]
async fn tokens_are_counted_and_models_are_listed() {
    let claude = FakeClaude::builder()
        .models([SONNET, HAIKU])
        .start()
        .await
        .unwrap();
    let body = json!({"model": SONNET, "messages": []}).to_string();
    let counted = send(post(&claude, "/v1/messages/count_tokens", body))
        .await
        .unwrap()
        .json();
    assert!(counted["input_tokens"].as_u64().unwrap() > 0);
    let list = send(get(&claude, "/v1/models?limit=20"))
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&list["first_id"], &list["last_id"]),
        (&SONNET.into(), &HAIKU.into())
    );
    assert_eq!(list["data"][1]["type"], "model");
    let one = send(get(&claude, "/v1/models/claude-haiku-5-5"))
        .await
        .unwrap()
        .json();
    assert_eq!(one["id"], HAIKU);
    assert_eq!(claude.calls(), 0);
    let seen: Vec<String> = claude.seen().into_iter().map(|seen| seen.path).collect();
    let paths = [
        "/v1/messages/count_tokens",
        "/v1/models?limit=20",
        "/v1/models/claude-haiku-5-5",
    ];
    assert_eq!(seen, paths);
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_404_with_its_name() {
    let claude = FakeClaude::builder()
        .models([SONNET])
        .start()
        .await
        .unwrap();
    for request in [
        call(&claude, HAIKU, true),
        get(&claude, "/v1/models/claude-haiku-5-5"),
    ] {
        let answer = send(request).await.unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["error"]["message"], "model: claude-haiku-5-5");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_the_shape_of_the_api() {
    let claude = FakeClaude::start().await.unwrap();
    for (request, status) in [
        (get(&claude, "/"), 404),
        (post(&claude, "/v1/complete", "{}"), 404),
        (get(&claude, "/v1/models/a/b"), 404),
        (get(&claude, "/v1/messages"), 405),
        (post(&claude, "/v1/messages", "not json"), 400),
        (post(&claude, "/v1/messages", "{}"), 400),
        (post(&claude, "/v1/messages", r#"{"model":1}"#), 400),
    ] {
        let answer = send(request).await.unwrap();
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.json()["type"], "error");
        assert_eq!(answer.json()["request_id"], answer.header("request-id"));
    }
}

#[tokio::test]
async fn a_path_can_have_a_script_of_its_own() {
    let claude = FakeClaude::builder()
        .on("/v1/messages/count_tokens", Reply::overloaded())
        .on(
            "/v1/messages/batches",
            Reply::status(200).json(&json!({"id": "batch"})),
        )
        .start()
        .await
        .unwrap();
    let body = json!({"model": SONNET}).to_string();
    let counted = send(post(&claude, "/v1/messages/count_tokens", body))
        .await
        .unwrap();
    assert_eq!(counted.status, 529);
    let batch = send(post(&claude, "/v1/messages/batches", "{}"))
        .await
        .unwrap();
    assert_eq!(batch.json()["id"], "batch");
    assert_eq!(
        send(call(&claude, SONNET, false)).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn keys_are_asked_for_only_where_one_is_set() {
    let claude = FakeClaude::builder()
        .require_key("good")
        .start()
        .await
        .unwrap();
    for (name, value, status) in [
        ("x-api-key", "good", 200),
        ("authorization", "Bearer good", 200),
        ("api-key", "good", 200),
        ("x-api-key", "bad", 401),
        ("authorization", "good", 401),
        ("x-other", "good", 401),
    ] {
        let mut request = call(&claude, SONNET, false);
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = send(request).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
        if status == 401 {
            assert_eq!(answer.json()["error"]["message"], "invalid x-api-key");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_an_encoded_one_is_not_read() {
    let claude = FakeClaude::builder().max_body(200).start().await.unwrap();
    let answer = send(post(&claude, "/v1/messages", vec![b' '; 201]))
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["type"]),
        (413, &"request_too_large".into())
    );
    let mut encoded = post(&claude, "/v1/messages", &b"\x1f\x8b"[..]);
    encoded
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(encoded).await.unwrap().status, 200);
    assert_eq!(claude.seen()[1].body, &b"\x1f\x8b"[..]);
}

// ---- the record, and the end ----

#[tokio::test]
async fn requests_are_recorded_as_they_arrived() {
    let claude = FakeClaude::start().await.unwrap();
    let before = Instant::now();
    let (client, mut first) = (client(), call(&claude, SONNET, false));
    first
        .headers_mut()
        .insert("anthropic-beta", "a,b".parse().unwrap());
    first
        .headers_mut()
        .insert("x-api-key", "sk-secret".parse().unwrap());
    for request in [first, call(&claude, HAIKU, true)] {
        read(client.request(request).await.unwrap()).await;
    }
    let seen = claude.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (&seen[0].method, seen[0].model.as_deref()),
        (&Method::POST, Some(SONNET))
    );
    assert_eq!(seen[0].header("anthropic-beta"), Some("a,b"));
    assert_eq!(seen[0].header("x-api-key"), Some("sk-secret"));
    assert_eq!(seen[1].json().unwrap()["stream"], true);
    assert!(seen[0].at >= before && seen[1].at >= seen[0].at);
    assert_eq!(
        seen[0].connection, seen[1].connection,
        "the connection was not used again"
    );
    assert!(!format!("{seen:?} {claude:?}").contains("sk-secret"));
    claude.clear_seen();
    assert_eq!(
        (claude.seen().len(), claude.calls(), claude.calls_to(SONNET)),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn gauges_follow_calls_and_connections() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::stall())
        .start()
        .await
        .unwrap();
    let client = client();
    let running = client.request(call(&claude, SONNET, true)).await.unwrap();
    claude.wait_for_calls(1).await;
    assert_eq!((claude.in_flight(), claude.open_connections()), (1, 1));
    drop(running);
    claude.wait_until_idle().await;
    assert_eq!(claude.in_flight(), 0);
}

#[tokio::test]
async fn the_server_ends_with_its_last_handle() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::stall())
        .start()
        .await
        .unwrap();
    let (other, request) = (claude.clone(), call(&claude, HAIKU, false));
    let mut running = client()
        .request(call(&claude, SONNET, true))
        .await
        .unwrap()
        .into_body();
    drop(claude);
    assert_eq!(send(request.clone()).await.unwrap().status, 200);
    drop(other);
    assert!(running.frame().await.is_none_or(|frame| frame.is_err()));
    let refused = send(request).await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
}

#[tokio::test]
async fn a_stopped_server_refuses_connections_and_can_come_back_on_its_port() {
    let claude = FakeClaude::start().await.unwrap();
    let answer = send(call(&claude, SONNET, false)).await.unwrap();
    assert_eq!(answer.status, 200);
    claude.stop().await;
    assert_eq!((claude.open_connections(), claude.calls()), (0, 1));
    assert!(
        send(call(&claude, SONNET, false))
            .await
            .unwrap_err()
            .is_connect()
    );
    claude.stop().await;
    let back = FakeClaude::builder()
        .port(claude.address().port())
        .start()
        .await
        .unwrap();
    assert_eq!(send(call(&back, SONNET, false)).await.unwrap().status, 200);
}
