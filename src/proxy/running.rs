//! What follows from the settings, and the way of a call through it.

use super::{
    answering::Way,
    auth::Auth,
    forward,
    limits::Ticket,
    pass::{self, Streamed},
    read::ReadBody,
    refusal::Refusal,
    routes::Route,
    upstream::Upstream,
};
use crate::{
    cache::MemoryCache,
    config::Config,
    degrade::DegradeLayer,
    error::BoxError,
    stack::{Resilience, Resilient},
};
use http::{
    Method, Request,
    header::{CONTENT_LENGTH, EXPECT},
    request,
};
use http_body::Body;
use std::sync::Arc;
use tower_layer::Layer;

/// A call goes by the one it began with, whatever is reloaded meanwhile.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) stack: Resilience,
    pub(super) upstream: Upstream,
    auth: Auth,
    messages: Resilient<Upstream>,
    count_tokens: Resilient<Upstream>,
}

impl Running {
    pub(super) fn new(config: Config, stack: Resilience, auth: Auth, upstream: Upstream) -> Self {
        // Shares all but what could stand in for a number.
        let without_degrade = Resilience {
            degrade: DegradeLayer::off(),
            ..stack.clone()
        };
        Self {
            messages: stack.layer(upstream.clone()),
            count_tokens: without_degrade.layer(upstream.clone()),
            config,
            stack,
            upstream,
            auth,
        }
    }

    /// Whether a request may be answered at all, and by what.
    pub(super) fn admit<B: Body>(
        &self,
        head: &mut request::Parts,
        body: &B,
    ) -> Result<Route, Refusal> {
        let route = Route::of(&head.method, head.uri.path());
        self.auth.admit(route, head)?;
        // A tunnel, or `OPTIONS *`: neither asks for anything that there is.
        if head.method == Method::CONNECT || !head.uri.path().starts_with('/') {
            return Err(Refusal::BadPath);
        }
        let max = self.config.max_body;
        let hint = body.size_hint();
        let length = hint.exact().unwrap_or_else(|| {
            let announced = head.headers.get(CONTENT_LENGTH);
            let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
            announced.unwrap_or(0).max(hint.lower())
        });
        if route != Route::Other && length > max {
            return Err(Refusal::TooLarge(max));
        }
        Ok(route)
    }

    /// What the stack may keep of an answer while its caller reads it.
    fn kept(&self) -> u64 {
        match self.config.cache.max_bytes {
            0 => 0,
            _ => u64::from(MemoryCache::DEFAULT_MAX_ENTRY_BYTES),
        }
    }

    /// Sends a request that was admitted on its way.
    pub(super) fn send<B>(
        &self,
        route: Route,
        mut head: request::Parts,
        body: B,
        ticket: Arc<Ticket>,
    ) -> Way<B>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let target = self.upstream.target();
        head.uri = match target.path(&head.uri) {
            Ok(uri) => uri,
            Err(_) => return Refusal::BadPath.into(),
        };
        let (stack, kept) = match route {
            Route::Messages => (&self.messages, self.kept()),
            Route::CountTokens => (&self.count_tokens, 0),
            Route::Other => {
                let upstream = self.upstream.clone();
                let waits = head.headers.contains_key(EXPECT);
                forward::to_upstream(&mut head, target);
                let body = Streamed { body, waits };
                let passing = pass::pass(upstream, head, body, self.config.deadline);
                return Way::pass(passing, ticket);
            }
        };
        let wishes = forward::wishes(&head.headers, &self.config);
        forward::to_stack(&mut head, target);
        let body = ReadBody::held(body, ticket.clone(), self.config.max_body);
        let request = Request::from_parts(head, body);
        Way::stack(stack.clone().begin(request, wishes), ticket, kept)
    }
}
