//! The proxy holds the key: callers present tokens.

use crate::house::*;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tower_claude::{
    config::Config,
    proxy::{Proxy, StartError},
    testing::{FakeClaude, Reply},
};

#[tokio::test]
async fn a_call_with_a_token_goes_out_with_the_key_of_the_proxy() {
    let claude = FakeClaude::builder().require_key("sk-ant-own-key");
    let house = House::new(claude, "[auth]").await;
    let bearer = format!("Bearer {TOKEN}");
    for headers in [[("x-api-key", TOKEN)], [("authorization", bearer.as_str())]] {
        let headers = [
            &headers[..],
            &[("anthropic-workspace-id", "w"), ("cookie", "c")],
        ]
        .concat();
        let response = house.post("/v1/messages", &call(SONNET), &headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        let seen = house.claude.seen().pop().unwrap();
        assert_eq!(seen.header("x-api-key"), Some("sk-ant-own-key"));
        for gone in ["authorization", "anthropic-workspace-id", "cookie"] {
            assert_eq!(seen.header(gone), None);
        }
        assert!(!format!("{:?}", seen.headers).contains("tenant-one"));
    }
}

#[tokio::test]
async fn without_a_token_nothing_goes_out() {
    let house = House::well("[auth]").await;
    for headers in [
        &[][..],
        &[("x-api-key", "sk-ant-own-key")],
        &[("x-api-key", "wrong")],
    ] {
        for path in ["/v1/messages", "/v1/models", "/v1/files"] {
            let response = house.post(path, &call(SONNET), headers).await;
            let (status, kind, _) = error_of(response).await;
            assert_eq!((status, kind.as_str()), (401, "authentication_error"));
        }
    }
    assert_eq!(house.claude.seen().len(), 0);
}

#[tokio::test]
async fn a_token_opens_messages_and_models_and_what_is_listed() {
    let key = [("x-api-key", TOKEN)];
    for (toml, files) in [("[auth]", 403), ("[auth]\nalso = ['/v1/files']", 200)] {
        let claude = FakeClaude::builder().on("/v1/files", Reply::status(200).json(&json!({})));
        let house = House::new(claude, toml).await;
        for (path, status) in [
            ("/v1/messages", 200),
            ("/v1/messages/count_tokens", 200),
            ("/v1/messages/batches", 403),
            ("/v1/organizations/me", 403),
            ("/v1/files", files),
        ] {
            let response = house.post(path, &call(SONNET), &key).await;
            assert_eq!(response.status(), status, "{path}");
        }
        let models = Request::get(format!("http://{}/v1/models", house.address));
        let models = models.header("x-api-key", TOKEN).body(Full::default());
        assert_eq!(house.send(models.unwrap()).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn one_tenants_answers_are_never_anothers() {
    let house = House::well("[auth]").await;
    let ask = |token| {
        let house = &house;
        async move {
            let headers = [("x-api-key", token)];
            house.post("/v1/messages", &call(SONNET), &headers).await
        }
    };
    bytes_of(ask(TOKEN).await).await;
    house.claude.set_all(Reply::overloaded()).unwrap();
    let own = ask(TOKEN).await;
    assert_eq!(own.headers()["tower-claude-outcome"], "cached");
    let other = ask("token-of-tenant-two").await;
    assert_eq!(other.headers()["tower-claude-outcome"], "canned");
}

#[test]
fn a_proxy_that_holds_a_key_does_not_start_without_tokens() {
    let config = || Config::from_toml("[auth]", "f").unwrap();
    let no_tokens = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "k".into());
    let error = Proxy::with_variables(config(), no_tokens).unwrap_err();
    assert!(matches!(error, StartError::NoTokens { .. }));
    assert!(error.to_string().contains("CLAUDE_PROXY_TOKENS"));
    let error = Proxy::with_variables(config(), |_| None).unwrap_err();
    assert!(matches!(error, StartError::NoKey { .. }));
}
