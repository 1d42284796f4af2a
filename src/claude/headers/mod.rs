//! The headers of the Messages API that a resilience layer reads, and those this crate adds.
//!
//! Every function takes the map as it came from the wire and answers `None` for what is absent or
//! makes no sense: a header is outside input, and a wait that nobody can read is no wait.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, RETRY_AFTER,
};

/// The wait in milliseconds; the official SDKs prefer it to `retry-after`.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// The server's own word on whether a retry makes sense, `true` or `false`.
pub const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The id of a call, which support asks for.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// How a call was answered: `direct`, `retried`, `fallback`, `cached`, `similar`, `canned`, `error`.
pub const OUTCOME: HeaderName = HeaderName::from_static("tower-claude-outcome");
/// The model whose answer this is.
pub const MODEL: HeaderName = HeaderName::from_static("tower-claude-model");
/// How many attempts were sent upstream for this call, over all models.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("tower-claude-attempts");
/// Why the answer is degraded; absent when it is not.
pub const DEGRADED: HeaderName = HeaderName::from_static("tower-claude-degraded");
/// The feature of a call, for callers that reach the stack over HTTP; an in-process caller sets
/// [`Feature`](crate::Feature) as an extension instead.
pub const FEATURE: HeaderName = HeaderName::from_static("tower-claude-feature");

/// What the names of this crate's own headers start with.
pub const PREFIX: &str = "tower-claude-";

/// Where Anthropic's first SDKs, and many gateways, put the key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Where Microsoft Foundry accepts the key as well.
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// The request headers whose values are secrets: never logged, never part of a cache key in clear.
pub const SECRETS: [HeaderName; 5] = [
    X_API_KEY,
    AUTHORIZATION,
    API_KEY,
    PROXY_AUTHORIZATION,
    COOKIE,
];

/// The longest wait a header can ask for: 2³¹ − 1 ms, a little under 25 days.
///
/// Longer ones are shortened to it. The number is the largest timer of the TypeScript SDK; what
/// matters is that it is far above any wait a layer would accept and far below an overflow.
pub const MAX_RETRY_AFTER: Duration = Duration::from_millis(0x7fff_ffff);

/// The wait that an answer asks for before the next attempt, if it asks for one.
///
/// `retry-after-ms` is read first, then `retry-after`: as seconds, or as an HTTP date, which is
/// compared with `now`. Numbers are plain decimals and may have a fraction. The first of the two
/// that names a positive wait decides; it is never longer than [`MAX_RETRY_AFTER`]. Of several headers of
/// one name, as a gateway that adds its own leaves them, the longest wait counts: it is a floor.
///
/// `None` means that there is no floor and the caller's own backoff applies. That is so for a
/// missing header and for one that cannot be read, and also for zero, a negative number and a date
/// that has passed: the official SDKs do not retry at once upon them either.
///
/// # Example
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use http::HeaderMap;
/// use tower_claude::claude::headers::retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "1.5".parse().unwrap());
/// assert_eq!(retry_after(&headers, SystemTime::UNIX_EPOCH), Some(Duration::from_millis(1500)));
///
/// headers.insert("retry-after", "soon".parse().unwrap());
/// assert_eq!(retry_after(&headers, SystemTime::UNIX_EPOCH), None);
/// ```
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let longest = |name, read: &dyn Fn(&str) -> Option<Duration>| {
        let values = headers.get_all(name).into_iter();
        values
            .filter_map(|value| read(value.to_str().ok()?.trim()))
            .max()
    };
    let millis = |value: &str| wait(decimal(value)? / 1000.0);
    let seconds_or_date = |value: &str| match decimal(value) {
        Some(seconds) => wait(seconds),
        None => until(value, now),
    };
    longest(RETRY_AFTER_MS, &millis).or_else(|| longest(RETRY_AFTER, &seconds_or_date))
}

/// A number of digits with at most one point; neither sign, exponent, `inf` nor `nan`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    // More than 308 digits become infinity, which `wait` shortens like any other long wait.
    if plain { text.parse().ok() } else { None }
}

fn wait(seconds: f64) -> Option<Duration> {
    positive(Duration::from_secs_f64(
        seconds.clamp(0.0, MAX_RETRY_AFTER.as_secs_f64()),
    ))
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let then = httpdate::parse_http_date(date).ok()?;
    positive(then.duration_since(now).ok()?.min(MAX_RETRY_AFTER))
}

fn positive(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then_some(wait)
}

/// The server's own word on whether to retry: `x-should-retry`, exactly `true` or `false`.
///
/// Anything else is `None`, as the official SDKs read it.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get(X_SHOULD_RETRY)?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// The `request-id` of an answer, where it is there and is plain text.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(REQUEST_ID)?
        .to_str()
        .ok()
        .filter(|id| !id.is_empty())
}

/// Whether the body is declared as server-sent events, `text/event-stream`.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENTS: &str = "text/event-stream";
    let declared = headers.get(CONTENT_TYPE);
    // Most are not, which their length tells, as that of `application/json` does.
    declared.is_some_and(|value| value.len() >= EVENTS.len())
        && media_type(headers).is_some_and(|media| media.eq_ignore_ascii_case(EVENTS))
}

/// Whether the body is declared as JSON: `application/json`, or a type that ends in `+json`.
pub fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media| {
        let suffix = media
            .len()
            .checked_sub("+json".len())
            .and_then(|at| media.get(at..));
        media.eq_ignore_ascii_case("application/json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    })
}

/// Whether the body is compressed or otherwise encoded, so that its bytes are not its content.
///
/// True for any `content-encoding` but `identity` and the empty one.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    // Mostly not there, and a look at each name costs less than a search.
    headers.keys().any(|name| *name == CONTENT_ENCODING)
        && headers.get_all(CONTENT_ENCODING).iter().any(is_coding)
}

fn is_coding(value: &HeaderValue) -> bool {
    let coding = value.as_bytes().trim_ascii();
    !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
}

/// The media type of the body without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// What tells one tenant from another: the values of `x-api-key`, `authorization` and `api-key`.
///
/// Old SDKs send the first, new ones the second, and some gateways the third. Where there are several, all of them count:
/// which one upstream believes is not known here, and one of them may be a placeholder that everybody sends. An empty
/// value counts as absent. This is the secret itself: hash it with a key before it goes anywhere.
pub fn credential(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    static KEYS: [HeaderName; 3] = [X_API_KEY, AUTHORIZATION, API_KEY];
    // One look at each header costs less than three searches.
    let mut sent = headers
        .iter()
        .filter(|(name, value)| !value.is_empty() && KEYS.contains(name))
        .map(|(_, value)| value.as_bytes());
    let first = sent.next()?;
    if sent.next().is_none() {
        return Some(Cow::Borrowed(first));
    }
    // In this order, however they were sent.
    let all = KEYS.iter().flat_map(|name| headers.get_all(name));
    let all: Vec<&[u8]> = all
        .map(HeaderValue::as_bytes)
        .filter(|value| !value.is_empty())
        .collect();
    // No header value holds a line feed.
    Some(Cow::Owned(all.join(&b'\n')))
}

/// What the headers of a request say to whoever opens its call. See [`open`].
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    /// As [`credential`] tells it.
    pub(crate) credential: Found<'a>,
    /// The values of `content-length`.
    pub(crate) length: Found<'a>,
    /// Whether there is a `transfer-encoding`.
    pub(crate) is_transfer_encoded: bool,
    /// As [`is_encoded`] tells it.
    pub(crate) encoded: bool,
    /// Whether there is anything for [`strip_ours`].
    pub(crate) has_ours: bool,
}

/// The values of a kind that were found: one, as is usual, or else so many that they need a look of their own.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    None,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Found<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            _ => Self::Several,
        };
    }
}

/// [Marks secrets](mark_secrets), and finds all else that a call is opened by: in one walk, for each is short.
pub(crate) fn open(headers: &mut HeaderMap) -> Opened<'_> {
    let mut opened = Opened {
        credential: Found::None,
        length: Found::None,
        is_transfer_encoded: false,
        encoded: false,
        has_ours: false,
    };
    for (name, value) in headers.iter_mut() {
        match name.as_str() {
            "x-api-key" | "authorization" | "api-key" => {
                value.set_sensitive(true);
                if !value.is_empty() {
                    opened.credential.add(value);
                }
            }
            "proxy-authorization" | "cookie" => value.set_sensitive(true),
            "content-length" => opened.length.add(value),
            "transfer-encoding" => opened.is_transfer_encoded = true,
            "content-encoding" => opened.encoded |= is_coding(value),
            name => opened.has_ours |= name.starts_with(PREFIX),
        }
    }
    opened
}

/// Mark the values of the [`SECRETS`] as sensitive, so that `Debug` prints none of them.
///
/// HTTP/2 clients also keep sensitive values out of their compression tables.
pub fn mark_secrets(headers: &mut HeaderMap) {
    static NAMES: [HeaderName; 5] = SECRETS;
    for (name, value) in headers.iter_mut() {
        if NAMES.contains(name) {
            value.set_sensitive(true);
        }
    }
}

/// Remove every header whose name starts with [`PREFIX`].
///
/// Those of a caller are ours to read and not upstream's to see, and those from upstream would
/// claim what only this process can know. Nothing is allocated when there are none.
pub fn strip_ours(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.as_str().starts_with(PREFIX));
}

/// Remove every header of such a name, all its values.
///
/// A look at each name that is there costs less than a search for each that might be.
pub(crate) fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
