//! What may stand in for the answer of one call, decided while its request is here.

use super::{
    body::DegradeBody,
    policy::{DegradePolicy, Settings},
    tee::{Form, MAX_BYTES, Tee},
};
use crate::{
    cache::{CacheKey, CacheQuery, CachedAnswer, Lookup, ResponseCache},
    call::{Call, Deadline, Feature},
    classify::Verdict,
    claude::headers,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::ACCEPT};
use http_body::Body;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Arc<Settings>,
    pub(super) call: Option<Call>,
    pub(super) stream: bool,
    /// A program reads the answer.
    exact: bool,
    /// What answers to this call are kept by, if they are.
    key: Option<CacheKey>,
}

impl Plan {
    pub(super) fn of<B: 'static>(settings: Arc<Settings>, request: &Request<B>) -> Self {
        let call = request.extensions().get::<Call>();
        // What is no Messages call, and what only counts, is answered to a program.
        let exact = call.is_some_and(|call| call.exact_output() || call.model().is_none())
            || request.uri().path().ends_with("/count_tokens");
        let stream = call.map_or_else(|| accepts_events(request), Call::stream);
        let mut plan = Self {
            settings,
            call: call.cloned(),
            stream,
            exact,
            key: None,
        };
        if plan.settings.cache.is_some() && plan.policy().cached() {
            plan.key = call.and_then(|call| key_of(call, request));
        }
        plan
    }

    pub(super) fn policy(&self) -> &DegradePolicy {
        let feature = self.call.as_ref().map(|call| call.feature().as_str());
        let feature = feature.unwrap_or(Feature::DEFAULT);
        self.settings.policy(feature, self.exact)
    }

    /// What the cache says; `None` if this call has none. A store that panics has nothing.
    pub(super) fn look_up(&self) -> Option<Lookup> {
        let (cache, query) = self.query()?;
        caught(|| cache.get(&query))
    }

    /// Puts an answer to this call into its cache. A store that panics must not take the caller's answer with it.
    pub(super) fn put(&self, message: Bytes) {
        if let Some((cache, query)) = self.query() {
            let _ = caught(|| cache.put(&query, CachedAnswer::new(message)));
        }
    }

    fn query(&self) -> Option<(&dyn ResponseCache, CacheQuery)> {
        let cache = self.settings.cache.as_deref()?;
        let call = self.call.as_ref()?;
        let query = CacheQuery::new(self.key?, call.tenant(), call.feature().clone());
        Some((cache, query))
    }

    /// Until when a lookup may take.
    pub(super) fn look_up_until(&self) -> Instant {
        let until = Deadline::after(self.settings.lookup_timeout);
        let deadline = self.call.as_ref().and_then(Call::deadline);
        deadline
            .map_or(until, |deadline| deadline.min(until))
            .instant()
    }

    /// A good answer on its way, and a copy for the cache if it may be kept.
    pub(super) fn keep<RB>(
        self,
        response: Response<RB>,
        verdict: Verdict,
    ) -> Response<DegradeBody<RB>>
    where
        RB: Body<Data = Bytes>,
    {
        let keepable = self.key.is_some() && is_keepable(&response);
        let form = keepable.then(|| Form::of(response.headers())).flatten();
        let tee = form.map(|form| {
            let end = match verdict {
                Verdict::Committed(end) => Some(end),
                _ => None,
            };
            let bytes = usize::try_from(response.body().size_hint().lower());
            Tee::new(self, form, end, bytes.unwrap_or(MAX_BYTES))
        });
        response.map(|body| DegradeBody::inner(body, tee))
    }
}

/// Whether the head speaks for an answer that may be given again. The body has its say when it is whole.
fn is_keepable<RB: Body>(response: &Response<RB>) -> bool {
    response.status() == StatusCode::OK
        && !headers::is_encoded(response.headers())
        && !response.headers().contains_key(headers::DEGRADED)
        && response.body().size_hint().lower() <= MAX_BYTES as u64
}

#[cfg(feature = "cache")]
fn key_of<B: 'static>(call: &Call, request: &Request<B>) -> Option<CacheKey> {
    let body = (request.body() as &dyn std::any::Any).downcast_ref()?;
    crate::cache::key_of(call, request.uri(), request.headers(), body)
}

#[cfg(not(feature = "cache"))]
fn key_of<B>(_: &Call, _: &Request<B>) -> Option<CacheKey> {
    None
}

fn accepts_events<B>(request: &Request<B>) -> bool {
    let accept = request.headers().get(ACCEPT);
    accept.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Runs what is not ours. `None` if it panics.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
