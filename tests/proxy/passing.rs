//! What passes through healthy equals a direct call.

use crate::house::*;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower_claude::testing::{At, FakeClaude, Fault, Reply, RetryAfter};

/// Those that every answer has of its own.
const OWN: [&str; 2] = ["date", "request-id"];

/// The headers as a sorted list of pairs, but for our own and those that differ anyway.
fn multiset(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| !name.starts_with("tower-claude-") && !OWN.contains(&name.as_str()))
        .collect();
    all.sort();
    all
}

/// Ids are never used twice.
fn without_ids(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("_fake") {
        let (before, after) = rest.split_at(at + "_fake".len());
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    plain + rest
}

fn full() -> Reply {
    Reply::ok()
        .header("anthropic-ratelimit-requests-remaining", "9")
        .header("anthropic-ratelimit-tokens-limit", "100")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("x-unknown", "passes")
}

#[tokio::test]
async fn an_answer_equals_that_of_a_direct_call() {
    let claude = FakeClaude::builder()
        .on(SONNET, full().deltas(20))
        .on(
            "/v1/files",
            Reply::status(200)
                .json(&json!({"data": []}))
                .header("x-unknown", "passes"),
        )
        .on("claude-refuses", Reply::invalid_request("no"));
    let house = House::new(claude, "").await;
    let upstream = house.claude.address();
    for (path, body) in [
        ("/v1/messages", call(SONNET)),
        ("/v1/messages?beta=true", stream(SONNET)),
        ("/v1/messages", stream("claude-unknown-model")),
        ("/v1/messages", call("claude-refuses")),
        ("/v1/messages", json!({"no": "model"})),
        ("/v1/messages/count_tokens", call(SONNET)),
        ("/v1/files", json!({})),
        ("/v1/nothing", json!({})),
    ] {
        let key = [("x-api-key", "k"), ("accept", "application/json")];
        let direct = house.send(post(upstream, path, &body, &key)).await;
        let passed = house.send(post(house.address, path, &body, &key)).await;
        assert_eq!(passed.status(), direct.status(), "{path} {body}");
        assert_eq!(
            multiset(passed.headers()),
            multiset(direct.headers()),
            "{path} {body}"
        );
        assert!(passed.headers().contains_key("request-id"));
        let (passed, direct) = (bytes_of(passed).await, bytes_of(direct).await);
        assert_eq!(without_ids(&passed), without_ids(&direct), "{path} {body}");
    }
    house.idle().await;
}

#[tokio::test]
async fn an_answer_without_a_body_equals_that_of_a_direct_call() {
    let claude = FakeClaude::builder()
        .on(
            "/v1/files/none",
            Reply::status(204).header("x-unknown", "passes"),
        )
        .on("/v1/files/same", Reply::status(304).header("etag", "\"1\""));
    let house = House::new(claude, "").await;
    let upstream = house.claude.address();
    for (method, path) in [
        ("DELETE", "/v1/files/none"),
        ("GET", "/v1/files/same"),
        ("HEAD", "/v1/models"),
        ("OPTIONS", "/v1/models"),
    ] {
        let ask = |to| {
            let request = Request::builder()
                .method(method)
                .uri(format!("http://{to}{path}"));
            house.send(request.body(Full::default()).unwrap())
        };
        let (direct, passed) = (ask(upstream).await, ask(house.address).await);
        assert_eq!(passed.status(), direct.status(), "{method} {path}");
        let (seen, told) = (multiset(passed.headers()), multiset(direct.headers()));
        assert_eq!(seen, told, "{method} {path}");
        let (passed, direct) = (bytes_of(passed).await, bytes_of(direct).await);
        assert_eq!(without_ids(&passed), without_ids(&direct));
        let seen = house.claude.seen();
        let (by_hand, by_proxy) = (&seen[seen.len() - 2], &seen[seen.len() - 1]);
        assert_eq!(
            by_proxy.header("content-length"),
            by_hand.header("content-length")
        );
        assert_eq!(by_proxy.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn a_length_that_is_not_that_of_the_body_goes_no_further() {
    let house = House::well("").await;
    for path in ["/v1/messages", "/v1/files"] {
        for lengths in [
            "content-length: 4\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 4",
        ] {
            house.claude.clear_seen();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\n{lengths}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
            );
            raw(house.address, request.as_bytes()).await;
            let seen = house.claude.seen();
            assert_eq!(seen.len(), 1, "{path}: {lengths}");
            assert_eq!(seen[0].body, "{}");
            assert!(seen[0].header("content-length").is_none_or(|n| n == "2"));
        }
        house.claude.clear_seen();
        let two = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 4\r\n\r\n{{}}"
        );
        let answer = raw(house.address, two.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(house.claude.seen().len(), 0);
    }
}

#[tokio::test]
async fn upstream_is_asked_as_the_caller_asked() {
    let house = House::well("").await;
    let headers = [
        ("x-api-key", "k"),
        ("authorization", "Bearer k"),
        ("anthropic-beta", "one,two"),
        ("x-stainless-lang", "python"),
        ("x-stainless-timeout", "600"),
        ("user-agent", "Anthropic/Python 2.12.0"),
        ("x-unknown", "passes"),
        ("accept-encoding", "gzip"),
        ("tower-claude-feature", "chat"),
        ("tower-claude-admin", "1"),
        ("connection", "x-hop"),
        ("x-hop", "dropped"),
        ("te", "trailers"),
    ];
    for path in ["/v1/messages", "/v1/messages/count_tokens", "/v1/files"] {
        house.claude.clear_seen();
        let body = call(SONNET);
        bytes_of(house.post(path, &body, &headers).await).await;
        let seen = house.claude.seen().remove(0);
        assert_eq!(seen.path, path);
        assert_eq!(seen.body, body.to_string());
        let host = house.claude.address().to_string();
        assert_eq!(seen.header("host"), Some(host.as_str()));
        for (name, value) in &headers[..7] {
            assert_eq!(seen.header(name), Some(*value), "{path}");
        }
        assert_eq!(seen.header("anthropic-version"), Some("2026-10-21"));
        let stack = path.starts_with("/v1/messages");
        let encoding = seen.header("accept-encoding");
        assert_eq!(
            encoding,
            (!stack).then_some("gzip"),
            "the stack reads answers"
        );
        for dropped in &headers[8..] {
            assert_eq!(seen.header(dropped.0), None, "{path}: {}", dropped.0);
        }
    }
}

#[tokio::test]
async fn what_passes_through_is_tried_once_and_comes_back_as_it_is() {
    let claude = FakeClaude::builder()
        .on("/v1/models", Reply::overloaded())
        .on("/v1/skills", Reply::overloaded())
        .on("/v1/files", Reply::rate_limited(RetryAfter::Seconds(120)))
        .on("/v1/messages/batches", Reply::reset());
    let house = House::new(claude, "").await;
    for (path, status, error_type) in [
        ("/v1/skills", 529, "overloaded_error"),
        ("/v1/files", 429, "rate_limit_error"),
        ("/v1/messages/batches", 502, "api_error"),
    ] {
        house.claude.clear_seen();
        let response = house.post(path, &json!({}), &[]).await;
        let (seen, kind, headers) = error_of(response).await;
        assert_eq!((seen, kind.as_str()), (status, error_type), "{path}");
        assert!(!headers.contains_key("tower-claude-outcome"));
        assert!(
            !headers.contains_key("x-should-retry"),
            "{path}: the caller decides"
        );
        assert_eq!(house.claude.seen().len(), 1, "{path}");
    }
    let (status, _, _) = error_of(house.get("/v1/models").await).await;
    assert_eq!(status, 529);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_and_one_that_hangs_a_504() {
    let house = House::well("deadline = '1s'\n[timeouts]\nfirst_event = '1s'").await;
    house.claude.set("/v1/models", Reply::hang()).unwrap();
    let (status, kind, _) = error_of(house.get("/v1/models").await).await;
    assert_eq!((status, kind.as_str()), (504, "timeout_error"));
    house.claude.stop().await;
    let (status, kind, _) = error_of(house.get("/v1/models").await).await;
    assert_eq!((status, kind.as_str()), (502, "api_error"));
    house.idle().await;
}

#[tokio::test]
async fn an_answer_that_passes_through_and_breaks_off_is_broken_off() {
    let reply = Reply::status(200)
        .json(&json!({"data": "x".repeat(10_000)}))
        .fail(At::Deltas(1), Fault::Cut);
    let house = House::new(FakeClaude::builder().on("/v1/files", reply), "").await;
    let response = house.get("/v1/files").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_path_that_is_none_and_a_tunnel_are_refused() {
    let house = House::well("").await;
    let ask = |line: &str| {
        raw(
            house.address,
            format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n")
                .as_bytes()
                .to_vec()
                .leak(),
        )
    };
    assert!(
        ask("CONNECT example.com:443 HTTP/1.1")
            .await
            .starts_with("HTTP/1.1 400")
    );
    assert!(ask("OPTIONS * HTTP/1.1").await.starts_with("HTTP/1.1 400"));
    assert_eq!(house.claude.seen().len(), 0);
    let empty = Full::<Bytes>::default();
    let request = Request::get(format!("http://{}/v1/models", house.address)).body(empty);
    assert_eq!(house.send(request.unwrap()).await.status(), StatusCode::OK);
}
