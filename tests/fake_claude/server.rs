//! Endpoints, keys, the record, and the end of the server.

use http::Method;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::Instant;
use tower_claude::testing::{FakeClaude, Reply};

use super::client::{HAIKU, SONNET, call, client, get, post, read, send};

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
async fn a_path_can_have_a_script_of_its_own_and_a_models_is_for_messages_only() {
    let claude = FakeClaude::builder()
        .on(HAIKU, Reply::server_error())
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
    let request = post(
        &claude,
        "/v1/messages/count_tokens",
        json!({"model": HAIKU}).to_string(),
    );
    assert_eq!(send(request).await.unwrap().status, 529);
    let model = send(get(&claude, "/v1/models/claude-haiku-5-5"))
        .await
        .unwrap();
    assert_eq!(model.status, 200);
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
