//! The listener for operators.

use crate::house::*;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use std::net::SocketAddr;
use tower_claude::{
    proxy::{Proxy, StartError},
    testing::{FakeClaude, Reply},
};

async fn ask(
    house: &House,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Incoming> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", house.admin));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house
        .send(request.body(Full::<Bytes>::default()).unwrap())
        .await
}

const MEANT: (&str, &str) = ("tower-claude-admin", "1");

#[tokio::test]
async fn health_readiness_and_status_are_told() {
    let house = House::well("").await;
    assert_eq!(
        text_of(ask(&house, "GET", "/healthz", &[]).await).await,
        "ok\n"
    );
    assert_eq!(
        text_of(ask(&house, "GET", "/readyz", &[]).await).await,
        "ready\n"
    );
    bytes_of(
        house
            .post(
                "/v1/messages",
                &call(SONNET),
                &[("tower-claude-feature", "chat")],
            )
            .await,
    )
    .await;
    let status = house.status().await;
    assert_eq!(status["totals"]["all"]["1h"]["calls"], 1);
    assert_eq!(status["totals"]["features"]["chat"]["1m"]["calls"], 1);
    assert_eq!(status["totals"]["models"][SONNET]["1m"]["attempts"], 1);
    assert_eq!(status["bulkheads"][0]["feature"], "chat");
    assert_eq!(status["bulkheads"][0]["limit"], 20);
    assert_eq!(status["budgets"][0]["feature"], "chat");
    let models: Vec<_> = status["circuits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["model"])
        .collect();
    assert_eq!(models, [HAIKU, SONNET]);
    assert_eq!(status["alerts"].as_array().unwrap().len(), 0);
    assert_eq!(error_of(ask(&house, "GET", "/", &[]).await).await.0, 404);
}

#[tokio::test]
async fn an_alert_that_stands_is_in_the_status() {
    let claude = FakeClaude::builder().default_script(Reply::server_error());
    let house = House::new(
        claude,
        "[backoff]\nattempts = 1\nattempts_with_fallback = 1",
    )
    .await;
    for _ in 0..6 {
        bytes_of(house.ask(&call("claude-alone")).await).await;
    }
    let status = house.status().await;
    let rules: Vec<_> = status["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["rule"])
        .collect();
    assert!(rules.iter().any(|rule| *rule == "all_failed"), "{rules:?}");
}

#[tokio::test]
async fn an_operator_sets_circuits() {
    let house = House::well("").await;
    let set = |action: &str| {
        let (house, path) = (&house, format!("/circuits/{SONNET}/{action}"));
        async move { json_of(ask(house, "POST", &path, &[MEANT]).await).await }
    };
    assert_eq!(set("open").await["state"], "forced_open");
    let response = house.ask(&call(SONNET)).await;
    assert_eq!(response.headers()["tower-claude-model"], HAIKU);
    assert_eq!(house.claude.calls_to(SONNET), 0);
    assert_eq!(set("disable").await["state"], "disabled");
    assert_eq!(set("reset").await["state"], "closed");
    let response = house.ask(&call(SONNET)).await;
    assert_eq!(response.headers()["tower-claude-model"], SONNET);
    let wrong = ask(&house, "POST", "/circuits/m/explode", &[MEANT]).await;
    assert_eq!(wrong.status(), StatusCode::NOT_FOUND);
    let got = ask(&house, "GET", "/circuits/m/open", &[]).await;
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    let encoded = ask(&house, "POST", "/circuits/a%2Fb%20c/open", &[MEANT]).await;
    assert_eq!(json_of(encoded).await["model"], "a/b c");
}

#[tokio::test]
async fn no_web_page_reaches_it() {
    let house = House::well("").await;
    let path = format!("/circuits/{SONNET}/open");
    let unmeant = ask(&house, "POST", &path, &[]).await;
    assert_eq!(unmeant.status(), StatusCode::FORBIDDEN);
    let origin = ask(
        &house,
        "POST",
        &path,
        &[MEANT, ("origin", "http://localhost")],
    )
    .await;
    assert_eq!(origin.status(), StatusCode::FORBIDDEN);
    for path in ["/status.json", "/healthz"] {
        let foreign = ask(&house, "GET", path, &[("host", "attacker.example")]).await;
        assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
        let origin = ask(&house, "GET", path, &[("origin", "null")]).await;
        assert_eq!(origin.status(), StatusCode::FORBIDDEN);
    }
    let circuits = house.status().await["circuits"].clone();
    assert!(
        circuits
            .as_array()
            .unwrap()
            .iter()
            .all(|circuit| circuit["state"] == "closed")
    );
}

#[tokio::test]
async fn callers_do_not_reach_it_and_operators_do_not_reach_claude() {
    let house = House::well("").await;
    house.get("/status.json").await;
    assert_eq!(
        house.claude.seen()[0].path,
        "/status.json",
        "a path like any other"
    );
    let call = ask(&house, "POST", "/v1/messages", &[MEANT]).await;
    assert_eq!(call.status(), StatusCode::NOT_FOUND);
    assert_eq!(house.claude.seen().len(), 1);
}

#[tokio::test]
async fn off_loopback_it_asks_for_a_token_and_does_not_start_without_one() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut config = config("", "http://localhost:1");
    config.admin = everywhere;
    let proxy = Proxy::with_variables(config.clone(), |_| None).unwrap();
    let error = proxy.bind().await.unwrap_err();
    assert!(matches!(error, StartError::NoAdminToken { .. }), "{error}");

    let token =
        |name: &str| (name == "CLAUDE_PROXY_ADMIN_TOKEN").then(|| "token-of-operators".into());
    let server = Proxy::with_variables(config, token)
        .unwrap()
        .bind()
        .await
        .unwrap();
    let admin = SocketAddr::from(([127, 0, 0, 1], server.admin_address().port()));
    let running = tokio::spawn(server.run());
    let get = |path: &str, token: &str| {
        let request = Request::get(format!("http://{admin}{path}")).header("authorization", token);
        client().request(request.body(Full::<Bytes>::default()).unwrap())
    };
    assert_eq!(get("/status.json", "").await.unwrap().status(), 401);
    assert_eq!(get("/readyz", "").await.unwrap().status(), 200);
    let right = get("/status.json", "Bearer token-of-operators")
        .await
        .unwrap();
    assert_eq!(right.status(), 200);
    running.abort();
}
