//! What may stand in for the answer of one call, decided while its request is here.

use super::{
    body::DegradeBody,
    policy::{DegradePolicy, Settings},
    tee::{Form, MAX_BYTES, Tee},
};
use crate::{
    cache::{CacheQuery, Lookup},
    call::{Call, Deadline, Feature},
    classify::{End, Verdict},
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
    pub(super) policy: DegradePolicy,
    pub(super) call: Option<Call>,
    pub(super) stream: bool,
    /// The request to a cache, if this call has one.
    query: Option<CacheQuery>,
}

impl Plan {
    pub(super) fn of<B: 'static>(settings: Arc<Settings>, request: &Request<B>) -> Self {
        let call = request.extensions().get::<Call>();
        // What is no Messages call, and what only counts, is answered to a program.
        let exact = call.is_some_and(|call| call.exact_output() || call.model().is_none())
            || request.uri().path().ends_with("/count_tokens");
        let feature = call.map_or(Feature::DEFAULT, |call| call.feature().as_str());
        let policy = settings.policy(feature, exact);
        let query = match call {
            Some(call) if policy.cached() && settings.cache.is_some() => query_of(call, request),
            _ => None,
        };
        let stream = call.map_or_else(|| accepts_events(request), Call::stream);
        Self {
            policy,
            stream,
            query,
            call: call.cloned(),
            settings,
        }
    }

    /// What the cache says; `None` if this call has none. A store that panics has nothing.
    pub(super) fn look_up(&self) -> Option<Lookup> {
        let (cache, query) = self.settings.cache.as_ref().zip(self.query.as_ref())?;
        caught(|| cache.get(query))
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
        let tee = match (&self.settings.cache, self.query) {
            (Some(cache), Some(query)) if is_keepable(&response) => {
                let end = match verdict {
                    Verdict::Committed(end) => end,
                    // Whole by its verdict; how far the caller read it is told by the body alone.
                    _ => End::new(),
                };
                Form::of(response.headers()).map(|form| Tee::new(form, end, cache.clone(), query))
            }
            _ => None,
        };
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
fn query_of<B: 'static>(call: &Call, request: &Request<B>) -> Option<CacheQuery> {
    let body = (request.body() as &dyn std::any::Any).downcast_ref()?;
    let key = crate::cache::key_of(call, request.uri(), request.headers(), body)?;
    Some(CacheQuery::new(key, call.tenant(), call.feature().clone()))
}

#[cfg(not(feature = "cache"))]
fn query_of<B>(_: &Call, _: &Request<B>) -> Option<CacheQuery> {
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
