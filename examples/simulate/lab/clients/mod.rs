//! Those who call Claude: the arms of the comparison.

mod plain;
mod read;
mod reference;
mod stack;

pub(crate) use plain::Plain;
pub(crate) use reference::Reference;
pub(crate) use stack::Stack;

use super::{engine::CALL, scenario::Which, trace::Source};
use bytes::Bytes;
use http::Request;
use std::sync::Arc;
use tower_claude::{Feature, ReplayBody};

/// One call of a user.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) id: u32,
    pub(crate) feature: Feature,
    pub(crate) stream: bool,
    pub(crate) tools: bool,
    pub(crate) question: u64,
}

impl Ask {
    /// It as a Messages request to a model.
    fn request(&self, which: Which) -> Request<ReplayBody> {
        let (model, stream, question) = (which.model(), self.stream, self.question);
        let tools = if self.tools {
            r#""tools":[{"name":"extract","input_schema":{"type":"object"}}],"#
        } else {
            ""
        };
        let body = format!(
            r#"{{"model":"{model}","max_tokens":256,"stream":{stream},{tools}"messages":[{{"role":"user","content":"Question {question} of {}"}}]}}"#,
            self.feature
        );
        let mut request = Request::new(ReplayBody::from(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static("http://claude.test/v1/messages");
        let headers = request.headers_mut();
        headers.insert(
            "content-type",
            http::HeaderValue::from_static("application/json"),
        );
        headers.insert("x-api-key", http::HeaderValue::from_static("sk-test"));
        headers.insert(CALL, self.id.into());
        request.extensions_mut().insert(self.feature.clone());
        request
    }
}

/// A client of one application.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    Plain(Arc<Plain>),
    Reference(Arc<Reference>),
    Stack(Arc<Stack>),
}

impl Client {
    /// Makes a call and reads its answer to the end.
    pub(crate) async fn answer(&self, ask: &Ask) -> Source {
        match self {
            Self::Plain(client) => client.answer(ask).await,
            Self::Reference(client) => client.answer(ask).await,
            Self::Stack(client) => client.answer(ask).await,
        }
    }
}
