//! What may stand in for the answer of one call, decided while its request is here.

use super::{
    body::DegradeBody,
    policy::{DegradePolicy, Settings},
    tee::{Form, MAX_BYTES, Tee},
};
use crate::{
    body::ReplayBody,
    cache::{CacheKey, CacheQuery, Lookup},
    call::{Call, Deadline, Feature},
    classify::Verdict,
    claude::headers,
    kept::{Between, Original},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::ACCEPT};
use http_body::Body;
use std::{
    any::Any,
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
    /// What its answers are kept by and looked up by, where they are.
    original: Option<Arc<Original<ReplayBody>>>,
}

impl Plan {
    pub(super) fn of<B: 'static>(settings: Arc<Settings>, request: &mut Request<B>) -> Self {
        let call = request.extensions_mut().get_mut::<Call>().map(|call| {
            // Also where the policy is an error: one with a status is better than a 200 that dies.
            call.set_degrade(true);
            call.clone()
        });
        // What is no Messages call, and what only counts, is answered to a program.
        let no_message = |call: &Call| call.exact_output() || call.model().is_none();
        let exact = call.as_ref().is_some_and(no_message)
            || request.uri().path().ends_with("/count_tokens");
        let stream = match &call {
            Some(call) => call.stream(),
            None => accepts_events(request),
        };
        let mut plan = Self {
            settings,
            call,
            stream,
            exact,
            original: None,
        };
        if plan.call.is_some() && plan.settings.cache.is_some() && plan.policy().cached() {
            let request = (request as &mut dyn Any).downcast_mut();
            plan.original = request.map(|request| Original::of(request, Between::Unknown));
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
        let cache = self.settings.cache.as_ref()?;
        let query = self.query()?;
        caught(|| cache.get(&query))
    }

    /// What to ask a cache for, and to keep an answer by.
    fn query(&self) -> Option<CacheQuery> {
        let (call, original) = (self.call.as_ref()?, self.original.as_ref()?);
        let key = key_of(call, original)?;
        Some(CacheQuery::new(key, call.tenant(), call.feature().clone()))
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
        let tee = self.tee(&response, verdict);
        response.map(|body| DegradeBody::inner(body, tee))
    }

    fn tee<RB: Body>(self, response: &Response<RB>, verdict: Verdict) -> Option<Box<Tee>> {
        // At many calls a second most answers end here, so that comes before a look at them.
        if self.original.is_none() || self.settings.is_sated() || !is_keepable(response) {
            return None;
        }
        let form = Form::of(response.headers())?;
        let cache = self.settings.cache.as_ref()?;
        if caught(|| cache.wants()) != Some(true) {
            return None;
        }
        let query = self.query()?;
        let end = match verdict {
            Verdict::Committed(end) => Some(end),
            _ => None,
        };
        let bytes = usize::try_from(response.body().size_hint().lower());
        Some(Box::new(Tee::new(
            cache.clone(),
            query,
            form,
            end,
            bytes.unwrap_or(MAX_BYTES),
        )))
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
fn key_of(call: &Call, request: &Original<ReplayBody>) -> Option<CacheKey> {
    crate::cache::key_of(call, request.uri(), &request.headers(), request.body())
}

#[cfg(not(feature = "cache"))]
fn key_of(_: &Call, _: &Original<ReplayBody>) -> Option<CacheKey> {
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
