//! The service: looks at the head and starts to read.

use super::{
    body::CallBody, future::ReplayFuture, gather::Gather, head, layer::ReplayLayer, record::Record,
};
use crate::{
    body::{ReplayBody, guarded::Watch},
    call::Wishes,
    clock,
    error::{BodyTooLarge, BoxError},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    mem,
    task::{Context, Poll},
};
use tower_service::Service;

/// Reads the request body once, and opens and closes the call. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct Replay<S> {
    inner: S,
    settings: ReplayLayer,
}

impl<S> Replay<S> {
    pub(super) fn new(inner: S, settings: ReplayLayer) -> Self {
        Self { inner, settings }
    }

    /// A service that is ready takes its only call.
    pub(crate) fn into_call<B, RB>(self, request: Request<B>, wishes: Wishes) -> ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody>, Response = Response<RB>>,
        B: Body,
    {
        let Self { inner, settings } = self;
        let (mut parts, body) = request.into_parts();
        let limit = settings.limit;
        let now = clock::now();
        let opening = head::open(&mut parts, wishes, now, &settings);
        let record = Record::new(settings.observers, opening.feature.clone(), now);
        let watch = Watch::new(record);

        let announced = opening.announced(&parts.headers);
        if announced.max(body.size_hint().lower()) > limit {
            return ReplayFuture::refused(watch, BodyTooLarge::new(limit));
        }
        let gather = Gather::new(limit, opening.is_scanned());
        ReplayFuture::reading(watch, inner, parts, opening, gather, body)
    }
}

impl<S, B, RB> Service<Request<B>> for Replay<S>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
    RB: Body<Data = Bytes>,
    RB::Error: Into<BoxError>,
{
    type Response = Response<CallBody<RB>>;
    type Error = BoxError;
    type Future = ReplayFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that is ready goes into the future; its clone has yet to become so.
        let clone = self.clone();
        mem::replace(self, clone).into_call(request, Wishes::default())
    }
}
