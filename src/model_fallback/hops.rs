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
pub(super) struct Hops<S> {
    kept: KeptRequest<ReplayBody>,
    route: Route,
    /// Where a model was spared that would have been asked if there were no other one.
    diverted: Option<Route>,
    is_back: bool,
    shared: Arc<Shared<S>>,
}

impl<S> Hops<S> {
    pub(super) fn new(kept: KeptRequest<ReplayBody>, route: Route, shared: Arc<Shared<S>>) -> Self {
        Self {
            kept,
            route,
            diverted: None,
            is_back: false,
            shared,
        }
    }

    /// The request for the next model, if this failure is a reason to ask one, there is one and there is time.
    pub(super) fn next(&mut self, failure: &Failure, now: Instant) -> Option<Request<ReplayBody>> {
        let deadline = self.kept.call().and_then(Call::deadline);
        let has_time = deadline.is_none_or(|deadline| !deadline.left(now).is_zero());
        if !has_time || self.is_back {
            return None;
        }
        if failure.is_diverted() && self.diverted.is_none() {
            self.diverted = Some(self.route.clone());
        }
        let mut to = self.route.clone();
        let models_left = if failure.warrants_fallback() && to.models_left() > 0 {
            to.advance();
            to.models_left()
        } else {
            to = self.way_back(failure)?;
            0
        };
        let request = self.request(&to, models_left)?;
        self.tell(&to, failure.kind);
        self.route = to;
        Some(request)
    }

    /// The service for that request.
    pub(super) fn service(&self) -> S
    where
        S: Clone,
    {
        self.shared.spare.fresh()
    }

    /// Whether the model that is asked is asked because no other one answered.
    pub(super) fn is_back(&self) -> bool {
        self.is_back
    }

    /// Back to the first model that was only spared, once. Also from one that refused the call: that model may differ in
    /// what it takes, and a caller's mistake is its own to say.
    fn way_back(&mut self, failure: &Failure) -> Option<Route> {
        if !failure.warrants_fallback() && failure.kind != FailureKind::Refused {
            return None;
        }
        let route = self.diverted.take()?;
        self.is_back = true;
        Some(route)
    }

    /// The original request with nothing changed but the model, a `max_tokens` above what that model allows, and the
    /// length; the caller's own bytes for the model that was addressed.
    fn request(&self, to: &Route, models_left: u8) -> Option<Request<ReplayBody>> {
        let model = to.model()?;
        let change = |call: &mut Call| call.set_hop(to.hop(), &model.name, models_left);
        if to.hop() == 0 {
            return Some(self.kept.again(change));
        }
        let original = self.kept.body();
        let facts = self.kept.call()?.request()?;
        let segments = facts.rewrite(original.segments(), &model.name, model.max_tokens)?;
        let body = ReplayBody::from(segments);
        let length = HeaderValue::from(body.len());
        let mut request = self.kept.again(change);
        *request.body_mut() = body;
        if let Some(value) = request.headers_mut().get_mut(CONTENT_LENGTH) {
            *value = length;
        }
        Some(request)
    }

    fn tell(&self, to: &Route, kind: FailureKind) {
        let (from, to) = (self.route.model(), to.model());
        if let (Some(call), Some(from), Some(to)) = (self.kept.call(), from, to) {
            self.shared.settings.observers.tell(&Event::FellBack {
                feature: call.feature(),
                from: &from.name,
                to: &to.name,
                kind,
            });
        }
    }
}
