//! Replay over a service in memory: what goes in, what comes out, and the one line about it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answer;
#[path = "../common/mod.rs"]
mod common;
mod record;
mod request;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_claude::{BoxError, Call, ReplayBody, replay::ReplayLayer};
use tower_service::Service;

/// What the inner service was given.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Request<ReplayBody>>>>);

impl Seen {
    pub(crate) fn service(
        &self,
    ) -> impl Service<
        Request<ReplayBody>,
        Response = Response<Full<Bytes>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + use<> {
        let seen = self.clone();
        service_fn(move |request| {
            seen.0.lock().unwrap().push(request);
            async { Ok(Response::new(Full::new(Bytes::from_static(b"{}")))) }
        })
    }

    pub(crate) fn only(&self) -> Request<ReplayBody> {
        let mut all = self.0.lock().unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// Sends a request through Replay alone, and gives what the inner service was given.
pub(crate) async fn through<B>(layer: ReplayLayer, request: Request<B>) -> Request<ReplayBody>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let seen = Seen::default();
    layer.layer(seen.service()).oneshot(request).await.unwrap();
    seen.only()
}

pub(crate) fn call_of<B>(request: &Request<B>) -> &Call {
    request.extensions().get().unwrap()
}

pub(crate) fn full(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

pub(crate) fn frames(
    parts: &[&'static str],
) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + use<>> {
    let frames: Vec<_> = parts
        .iter()
        .map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes()))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

/// Bodies of one type, for tests that send several kinds.
mod common_body {
    use super::*;

    pub(crate) type Any = http_body_util::combinators::BoxBody<Bytes, BoxError>;

    pub(crate) fn of<B>(body: B) -> Any
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        body.map_err(Into::into).boxed()
    }

    pub(crate) fn never() -> Any {
        of(StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, BoxError>,
        >()))
    }
}
