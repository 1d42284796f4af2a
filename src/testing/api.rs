//! The endpoints: what a request asks for, and which reply it gets.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Method, request};
use serde_json::Value;
use tokio::time::Instant;

use super::message::{Ask, quoted};
use super::reply::Reply;
use super::server::State;

/// The model that answers a call whose body cannot be read for its `Content-Encoding`.
const UNREAD_MODEL: &str = "claude-unread";

/// Keys that are accepted; none: every request is.
#[derive(Default)]
pub(super) struct Keys(pub(super) Vec<String>);

impl Keys {
    fn accept(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = || text(AUTHORIZATION.as_str())?.strip_prefix("Bearer ");
        let key = text("x-api-key")
            .or_else(|| text("api-key"))
            .or_else(bearer);
        self.0.is_empty() || key.is_some_and(|key| self.0.iter().any(|known| known == key))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// What became of reading a request's body.
#[derive(Debug)]
pub(super) enum Upload {
    Whole(Bytes),
    TooLarge,
    Broken,
}

/// Where a request goes, with what its body says.
#[derive(Debug)]
pub(super) enum Endpoint {
    Messages { model: Option<String>, stream: bool },
    CountTokens { model: Option<String> },
    Models,
    Model(String),
    Other,
}

impl Endpoint {
    pub(super) fn model(&self) -> Option<&str> {
        match self {
            Self::Messages { model, .. } | Self::CountTokens { model } => model.as_deref(),
            Self::Model(id) => Some(id),
            Self::Models | Self::Other => None,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self, Self::Messages { .. })
    }

    pub(super) fn ask(&self, number: u64, body: usize) -> Ask {
        Ask {
            model: self.model().unwrap_or(UNREAD_MODEL).to_owned(),
            stream: matches!(self, Self::Messages { stream: true, .. }),
            input_tokens: u64::try_from(body / 4 + 1).unwrap_or(u64::MAX),
            message_id: format!("msg_fake{number:016}"),
            request_id: format!("req_fake{number:016}"),
        }
    }

    /// The body of a successful answer that is no Message.
    pub(super) fn natural(&self, ask: &Ask, state: &State) -> Option<String> {
        match self {
            Self::Messages { .. } | Self::Other => None,
            Self::CountTokens { .. } => Some(format!(r#"{{"input_tokens":{}}}"#, ask.input_tokens)),
            Self::Model(id) => Some(model_info(id)),
            Self::Models => {
                let models = state
                    .models
                    .clone()
                    .unwrap_or_else(|| state.schedule().models());
                let end = |id: Option<&String>| id.map_or("null".into(), |id| quoted(id));
                let (first, last) = (end(models.first()), end(models.last()));
                let infos: Vec<String> = models.iter().map(|id| model_info(id)).collect();
                let data = infos.join(",");
                Some(format!(
                    r#"{{"data":[{data}],"has_more":false,"first_id":{first},"last_id":{last}}}"#
                ))
            }
        }
    }
}

fn model_info(id: &str) -> String {
    let id = quoted(id);
    format!(
        r#"{{"type":"model","id":{id},"display_name":{id},"created_at":"2026-09-28T00:00:00Z","lifecycle":"active","deprecated_at":null,"retires_at":null,"max_input_tokens":1000000,"max_tokens":128000}}"#
    )
}

/// Finds the endpoint of a request and the reply it gets.
pub(super) fn decide(
    state: &State,
    head: &request::Parts,
    upload: &Upload,
    now: Instant,
) -> (Endpoint, Arc<Reply>) {
    let (endpoint, refusal) = route(head, upload);
    if !state.keys.accept(&head.headers) {
        return (endpoint, Arc::new(Reply::unauthorized()));
    }
    if let Some(refusal) = refusal {
        return (endpoint, Arc::new(refusal));
    }
    if let (Some(known), Some(model)) = (&state.models, endpoint.model()) {
        if !known.iter().any(|known| known == model) {
            return (endpoint, Arc::new(Reply::unknown_model()));
        }
    }
    let model = endpoint.model().filter(|_| endpoint.is_call());
    let path = head.uri.path();
    let scripted = state
        .schedule()
        .decide(model, path, endpoint.is_call(), now);
    let reply = scripted.unwrap_or_else(|| match endpoint {
        Endpoint::Other => Arc::new(Reply::error(404, "not_found_error", "Not found")),
        _ => Arc::new(Reply::ok()),
    });
    (endpoint, reply)
}

/// The endpoint, and the API's own refusal of a request that has not its form.
fn route(head: &request::Parts, upload: &Upload) -> (Endpoint, Option<Reply>) {
    let path = head.uri.path();
    let (method, (endpoint, refusal)) = match path {
        "/v1/messages" => (Method::POST, messages(head, upload)),
        "/v1/messages/count_tokens" => {
            let (messages, refusal) = messages(head, upload);
            let model = messages.model().map(ToOwned::to_owned);
            (Method::POST, (Endpoint::CountTokens { model }, refusal))
        }
        "/v1/models" => (Method::GET, (Endpoint::Models, None)),
        _ => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() && !id.contains('/') => {
                (Method::GET, (Endpoint::Model(id.to_owned()), None))
            }
            _ => return (Endpoint::Other, None),
        },
    };
    if head.method == method {
        (endpoint, refusal)
    } else {
        let refusal = Reply::error(405, "invalid_request_error", "Method not allowed");
        (Endpoint::Other, Some(refusal))
    }
}

/// Reads what a Messages body says.
fn messages(head: &request::Parts, upload: &Upload) -> (Endpoint, Option<Reply>) {
    let unread = Endpoint::Messages {
        model: None,
        stream: false,
    };
    let body = match upload {
        Upload::Whole(body) => body,
        Upload::TooLarge => {
            let message = "Request exceeds the maximum size";
            return (
                unread,
                Some(Reply::error(413, "request_too_large", message)),
            );
        }
        Upload::Broken => {
            let refusal = Reply::invalid_request("The request body could not be read");
            return (unread, Some(refusal));
        }
    };
    if head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return (unread, None);
    }
    let json: Value = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(error) => {
            let message = format!("The request body is not valid JSON: {error}");
            return (unread, Some(Reply::invalid_request(message)));
        }
    };
    let refusal = match json.get("model") {
        Some(Value::String(model)) => {
            let stream = json.get("stream").and_then(Value::as_bool).unwrap_or(false);
            return (
                Endpoint::Messages {
                    model: Some(model.clone()),
                    stream,
                },
                None,
            );
        }
        Some(_) => "model: Input should be a valid string",
        None => "model: Field required",
    };
    (unread, Some(Reply::invalid_request(refusal)))
}
