//! The answers of this layer's own making, marked for what they are.

use super::{body::DegradeBody, plan::Plan};
use crate::{
    answer,
    cache::CachedAnswer,
    call::{Call, Outcome, Served},
    classify::{End, Ended, Failure, Verdict},
    claude::{headers, reply},
    error::BoxError,
    event::Event,
};
use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{AGE, CONTENT_TYPE},
};
use serde_json::Value;
use std::sync::Arc;

/// The model of an answer to a call that names none.
const NO_MODEL: &str = "unknown";

/// A cached answer. `None` if it is none that may be given, which a store that others write to may hold.
pub(super) fn cached<RB>(
    plan: &Plan,
    failure: &Failure,
    found: &CachedAnswer,
) -> Option<Response<DegradeBody<RB>>> {
    if !reply::cacheable(&found.body) {
        return None;
    }
    let message: Value = serde_json::from_slice(&found.body).ok()?;
    let model = message.get("model").and_then(Value::as_str).map(Arc::from);
    let mut body = found.body.clone();
    if plan.settings.body_mark {
        body = reply::mark_degraded(&body)?;
    }
    if plan.stream {
        body = reply::sse_from_message(&body)?;
    }
    let outcome = match found.similarity {
        Some(_) => Outcome::Similar,
        None => Outcome::Cached,
    };
    let mut response = ok(plan, body);
    let age = HeaderValue::from(found.age.as_secs());
    response.headers_mut().insert(AGE, age);
    answer::write_wait(response.headers_mut(), failure);
    Some(degraded(plan, failure, outcome, model, response))
}

/// The canned message of the feature.
pub(super) fn canned<RB>(plan: &Plan, failure: &Failure, text: &str) -> Response<DegradeBody<RB>> {
    let asked = plan.call.as_ref().and_then(Call::asked_model);
    let canned = reply::Canned {
        id: &reply::degraded_id(),
        model: asked.map_or(NO_MODEL, |model| model),
        text,
        degraded: plan.settings.body_mark,
    };
    let body = if plan.stream {
        reply::message_sse(&canned)
    } else {
        reply::message_json(&canned)
    };
    let mut response = ok(plan, body);
    answer::write_wait(response.headers_mut(), failure);
    degraded(plan, failure, Outcome::Canned, None, response)
}

/// A clean error: upstream's own, if it has the form of Claude's.
pub(super) fn error<RB>(
    plan: &Plan,
    failure: &Failure,
    result: Result<Response<RB>, BoxError>,
) -> Response<DegradeBody<RB>> {
    let response = match result {
        Ok(mut response) if is_clean(&response, failure) => {
            answer::write_wait(response.headers_mut(), failure);
            answer::write_final(response.headers_mut(), failure);
            response.map(|body| DegradeBody::inner(body, None))
        }
        _ => answer::of_failure(failure).map(DegradeBody::own),
    };
    degraded(plan, failure, Outcome::Error, None, response)
}

/// The answer to a failure that degrades nothing, where there is no other: a full bulkhead.
pub(super) fn refusal<RB>(plan: &Plan, failure: &Failure) -> Response<DegradeBody<RB>> {
    let mut response = answer::of_failure(failure).map(DegradeBody::own);
    mark(plan, failure, Outcome::Error, None, &mut response);
    response
}

/// Whether a failed answer is an error of Claude's, by the word of whoever read its body, or else by its head.
fn is_clean<RB>(response: &Response<RB>, failure: &Failure) -> bool {
    let was_read = response.extensions().get::<Verdict>().is_some();
    !response.status().is_success()
        && headers::is_json(response.headers())
        && (failure.error_type.is_some() || !was_read)
}

fn ok<RB>(plan: &Plan, body: Bytes) -> Response<DegradeBody<RB>> {
    let mut response = Response::new(DegradeBody::own(body));
    let kind = if plan.stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Marks an answer and tells of it.
fn degraded<RB>(
    plan: &Plan,
    failure: &Failure,
    outcome: Outcome,
    model: Option<Arc<str>>,
    mut response: Response<DegradeBody<RB>>,
) -> Response<DegradeBody<RB>> {
    mark(plan, failure, outcome, model, &mut response);
    let call = plan.call.as_ref();
    let feature = call.map(|call| call.feature().clone());
    let asked = call.and_then(Call::asked_model);
    plan.settings.observers.tell(&Event::Degraded {
        feature: &feature.unwrap_or_default(),
        model: asked.map_or("", |model| model),
        outcome,
        kind: failure.kind,
    });
    response
}

fn mark<RB>(
    plan: &Plan,
    failure: &Failure,
    outcome: Outcome,
    model: Option<Arc<str>>,
    response: &mut Response<DegradeBody<RB>>,
) {
    let (verdict, ended) = if outcome.is_degraded() {
        (Verdict::Complete, Ended::Complete)
    } else {
        (
            Verdict::Failed(failure.clone()),
            Ended::Failed(failure.kind),
        )
    };
    let call = plan.call.as_ref();
    let served = Served {
        outcome,
        model: model.or_else(|| call.and_then(Call::last_model)),
        attempts: call.map_or(0, Call::sent),
        degraded: failure.warrants_degrade().then_some(failure.kind),
        end: End::known(ended),
    };
    served.write_headers(response.headers_mut());
    response.extensions_mut().insert(served);
    response.extensions_mut().insert(verdict);
}
