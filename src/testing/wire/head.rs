//! The headers of an answer.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::testing::fault::RetryAfter;
use crate::testing::message::Ask;
use crate::testing::reply::Reply;

const SSE: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The headers every answer has, with the reply's own in their place.
pub(super) fn head(reply: &Reply, ask: &Ask, content_type: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(&ask.request_id) {
        headers.insert(HeaderName::from_static("request-id"), id);
    }
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if let Some((name, value)) = retry_after(&reply.retry_after) {
        headers.insert(name, value);
    }
    for (name, _) in &reply.headers {
        headers.remove(name);
    }
    for (name, value) in &reply.headers {
        headers.append(name, value.clone());
    }
    headers
}

/// The headers of a stream.
pub(super) fn sse(reply: &Reply, ask: &Ask) -> HeaderMap {
    let mut headers = head(reply, ask, Some(SSE));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    headers
}

fn retry_after(wait: &RetryAfter) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match wait {
        RetryAfter::Unsaid => return None,
        RetryAfter::Seconds(seconds) => (RETRY_AFTER, seconds.to_string()),
        RetryAfter::Fraction(seconds) => (RETRY_AFTER, seconds.to_string()),
        RetryAfter::DateIn(wait) => (RETRY_AFTER, date(|now| now.checked_add(*wait))),
        RetryAfter::DateAgo(past) => (RETRY_AFTER, date(|now| now.checked_sub(*past))),
        RetryAfter::Millis(ms) => (HeaderName::from_static("retry-after-ms"), ms.to_string()),
        RetryAfter::Text(text) => (RETRY_AFTER, text.clone()),
    };
    HeaderValue::from_str(&text).ok().map(|value| (name, value))
}

/// An HTTP date; the present one where the wanted one cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "a date on the wire is one of the wall clock"
)]
fn date(of: impl Fn(std::time::SystemTime) -> Option<std::time::SystemTime>) -> String {
    let now = std::time::SystemTime::now();
    httpdate::HttpDate::from(of(now).unwrap_or(now)).to_string()
}
