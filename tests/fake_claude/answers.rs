//! Whole answers, errors, and no answer at all.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tower_claude::testing::{FakeClaude, Reply, RetryAfter};

use super::client::{End, SILENCE, SONNET, answer, call, client, is_reset, ms, send};

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
    let own = Reply::ok()
        .header("content-type", "text/plain")
        .header("request-id", "mine");
    let own = answer(own, false).await;
    for (name, value) in [("content-type", "text/plain"), ("request-id", "mine")] {
        assert!(own.headers.get_all(name).iter().eq([value]));
    }
    for status in [204, 304, 302, 520] {
        let empty = answer(Reply::status(status), false).await;
        assert_eq!((empty.status.as_u16(), empty.end), (status, End::Clean));
    }
    let by_hand = answer(Reply::status(200).sse("event: odd\ndata: 1\n\n"), true).await;
    assert_eq!(by_hand.events().0, ["odd"]);
}

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
    let mut waiting = tokio::spawn(client().request(call(&claude, SONNET, true)));
    claude.wait_for_calls(1).await;
    assert!(timeout(SILENCE, &mut waiting).await.is_err());
    waiting.abort();
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
