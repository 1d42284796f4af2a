//! The service: finds the chain of a call and asks its first model.

use super::{chain::Route, future::ModelFallbackFuture, hops::Hops, layer::Shared};
use crate::{body::ReplayBody, call::Call, error::BoxError, kept::KeptRequest};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// A service whose failed calls are sent to the next model of a chain. See the [module docs](super).
#[derive(Debug, Clone)]
pub struct ModelFallback<S> {
    inner: S,
    shared: Arc<Shared<S>>,
}

impl<S> ModelFallback<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared<S>>) -> Self {
        Self { inner, shared }
    }

    /// The way of this call, if its model is in a chain and can be replaced. The call is told of it.
    fn route(&self, request: &mut Request<ReplayBody>) -> Option<Route> {
        let body_bytes = request.body().len();
        let call = request.extensions_mut().get_mut::<Call>()?;
        let facts = call.request()?;
        if !facts.is_rewritable() || facts.body_bytes != body_bytes {
            return None;
        }
        let chains = &self.shared.settings.chains;
        let route = chains.route(call.feature(), call.model()?)?;
        call.set_hop(0, &route.model()?.name, route.models_left());
        Some(route)
    }
}

impl<S, RB> Service<Request<ReplayBody>> for ModelFallback<S>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<RB>;
    type Error = BoxError;
    type Future = ModelFallbackFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> Self::Future {
        let route = self.route(&mut request);
        let Some(route) = route.filter(|route| route.models_left() > 0) else {
            return ModelFallbackFuture::once(self.inner.call(request));
        };
        let kept = KeptRequest::of(&mut request, self.shared.settings.between);
        let hops = Hops::new(kept, route, Arc::clone(&self.shared));
        ModelFallbackFuture::many(self.inner.call(request), hops)
    }
}
