//! One call along its chain: the request of each hop.

use super::{chain::Route, layer::Shared};
use crate::{
    body::ReplayBody,
    call::Call,
    classify::{Failure, FailureKind},
    event::Event,
    kept::KeptRequest,
};
use http::{HeaderValue, Request, header::CONTENT_LENGTH};
use std::sync::Arc;
use tokio::time::Instant;

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Hops {
    kept: KeptRequest<ReplayBody>,
    route: Route,
    shared: Arc<Shared>,
}

impl Hops {
    pub(super) fn new(kept: KeptRequest<ReplayBody>, route: Route, shared: Arc<Shared>) -> Self {
        Self {
            kept,
            route,
            shared,
        }
    }

    /// The request for the next model, if this failure is a reason to ask one, there is one and there is time.
    pub(super) fn next(&mut self, failure: &Failure, now: Instant) -> Option<Request<ReplayBody>> {
        let deadline = self.kept.call().and_then(Call::deadline);
        let has_time = deadline.is_none_or(|deadline| !deadline.left(now).is_zero());
        if !failure.warrants_fallback() || self.route.models_left() == 0 || !has_time {
            return None;
        }
        let request = self.rewritten()?;
        self.tell(failure.kind);
        Some(request)
    }

    /// Goes on to the next model: the original request with nothing changed but the model, a `max_tokens` above what that
    /// model allows, and the length.
    fn rewritten(&mut self) -> Option<Request<ReplayBody>> {
        self.route.advance();
        let model = self.route.model()?;
        let original = self.kept.body();
        let facts = self.kept.call()?.request()?;
        let segments = facts.rewrite(original.segments(), &model.name, model.max_tokens)?;
        let body = ReplayBody::from(segments);
        let length = HeaderValue::from(body.len());
        let (hop, models_left) = (self.route.hop(), self.route.models_left());
        let change = |call: &mut Call| call.set_hop(hop, Arc::clone(&model.name), models_left);
        let mut request = self.kept.again(change);
        *request.body_mut() = body;
        if let Some(value) = request.headers_mut().get_mut(CONTENT_LENGTH) {
            *value = length;
        }
        Some(request)
    }

    fn tell(&self, kind: FailureKind) {
        let (from, to) = (self.route.model_before(), self.route.model());
        if let (Some(call), Some(from), Some(to)) = (self.kept.call(), from, to) {
            self.shared.observers.tell(&Event::FellBack {
                feature: call.feature(),
                from: &from.name,
                to: &to.name,
                kind,
            });
        }
    }
}
