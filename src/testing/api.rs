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
                    .unwrap_or_else(|| state.scripts().models());
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
    let (endpoint, fault) = match route(head, upload) {
        Ok(endpoint) => (endpoint, None),
        Err((endpoint, reply)) => (endpoint, Some(reply)),
    };
    if !state.keys.accept(&head.headers) {
        return (endpoint, Arc::new(Reply::unauthorized()));
    }
    if let Some(fault) = fault {
        return (endpoint, Arc::new(fault));
    }
    if let (Some(known), Some(model)) = (&state.models, endpoint.model()) {
        if !known.iter().any(|known| known == model) {
            return (endpoint, Arc::new(Reply::unknown_model()));
        }
    }
    let model = endpoint.model().filter(|_| endpoint.is_call());
    let path = head.uri.path();
    let scripted = state.scripts().decide(model, path, endpoint.is_call(), now);
    let reply = match (scripted, &endpoint) {
        (Some(reply), _) => reply,
        (None, Endpoint::Other) => Arc::new(Reply::error(404, "not_found_error", "Not found")),
        (None, _) => Arc::new(Reply::ok()),
    };
    (endpoint, reply)
}

type Routed = Result<Endpoint, (Endpoint, Reply)>;

fn route(head: &request::Parts, upload: &Upload) -> Routed {
    let (method, model_id) = match head.uri.path() {
        "/v1/messages" | "/v1/messages/count_tokens" => (Method::POST, None),
        "/v1/models" => (Method::GET, None),
        path => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() && !id.contains('/') => (Method::GET, Some(id)),
            _ => return Ok(Endpoint::Other),
        },
    };
    if head.method != method {
        let reply = Reply::error(405, "invalid_request_error", "Method not allowed");
        return Err((Endpoint::Other, reply));
    }
    match (head.uri.path(), model_id) {
        (_, Some(id)) => Ok(Endpoint::Model(id.to_owned())),
        ("/v1/models", None) => Ok(Endpoint::Models),
        ("/v1/messages", None) => messages(head, upload),
        _ => messages(head, upload)
            .map(count_tokens)
            .map_err(|(at, why)| (count_tokens(at), why)),
    }
}

fn count_tokens(messages: Endpoint) -> Endpoint {
    match messages {
        Endpoint::Messages { model, .. } => Endpoint::CountTokens { model },
        other => other,
    }
}

/// Reads what a Messages body says; an error where the API would refuse it for its form.
fn messages(head: &request::Parts, upload: &Upload) -> Routed {
    let unread = Endpoint::Messages {
        model: None,
        stream: false,
    };
    let body = match upload {
        Upload::Whole(body) => body,
        Upload::TooLarge => {
            let message = "Request exceeds the maximum size";
            return Err((unread, Reply::error(413, "request_too_large", message)));
        }
        Upload::Broken => {
            return Err((
                unread,
                Reply::invalid_request("The request body could not be read"),
            ));
        }
    };
    if head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Ok(unread);
    }
    let json: Value = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(error) => {
            let message = format!("The request body is not valid JSON: {error}");
            return Err((unread, Reply::invalid_request(message)));
        }
    };
    match json.get("model") {
        Some(Value::String(model)) => Ok(Endpoint::Messages {
            model: Some(model.clone()),
            stream: json.get("stream").and_then(Value::as_bool).unwrap_or(false),
        }),
        Some(_) => Err((
            unread,
            Reply::invalid_request("model: Input should be a valid string"),
        )),
        None => Err((unread, Reply::invalid_request("model: Field required"))),
    }
}
