//! What Replay does to the heads of request and response.

use super::layer::ReplayLayer;
use crate::{
    call::{Call, Deadline, Facts, Feature, Outcome, Served, Tenant, Wishes},
    classify::{End, Ended, FailureKind, Verdict},
    claude::{
        headers::{self, Found, Opened, X_SHOULD_RETRY},
        request::RequestFacts,
    },
};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
    request,
};
use tokio::time::Instant;

/// What the head of a request says of its call.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) feature: Feature,
    pub(super) deadline: Deadline,
    /// The bytes of the body are not its content.
    pub(super) encoded: bool,
    pub(super) length: Length,
    tenant: Tenant,
    address: Address,
}

/// What the head says of the length of the body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// Nothing.
    Unsaid,
    /// One number, written as we would write it, and nothing else.
    Plain(u64),
    /// Anything else: several, none that can be read, or chunks.
    Odd,
}

/// What the path says of a body that names a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Address {
    /// The Messages API.
    Messages,
    /// The same, but its answer is a number.
    CountTokens,
    /// Another API.
    Other,
    /// A route of an application, or a service that nobody here knows: the body tells.
    Unknown,
}

/// Ends of paths whose bodies look like those of Messages calls and whose answers do not: there the API speaks in the form
/// of another vendor, or in the one before Messages. Their streams know no `message_stop`.
const OTHER_APIS: [&str; 2] = ["/chat/completions", "/complete"];

/// Ends of the paths that count tokens: of the API, and of Google's platform.
const COUNT_TOKENS: [&str; 2] = ["/count_tokens", "/count-tokens:rawPredict"];

/// Takes from the head what is meant for this crate, and hides its secrets from `Debug`.
///
/// What the extensions say stands, but for what the sender wishes: another feature, a shorter deadline.
pub(super) fn open(
    head: &mut request::Parts,
    wishes: Wishes,
    now: Instant,
    layer: &ReplayLayer,
) -> Opening {
    let sent = &mut head.extensions;
    // Most say nothing of their own.
    let (tenant, feature, deadline) = if sent.is_empty() {
        (None, None, None)
    } else {
        (sent.remove(), sent.remove(), sent.remove())
    };
    let feature: Feature = wishes.feature.or(feature).unwrap_or_default();
    let after = |time| now.checked_add(time).map(Deadline::at);
    let deadline = deadline.unwrap_or_else(|| {
        let default = layer.deadline_of(&feature);
        after(default).unwrap_or_else(|| Deadline::after(default))
    });
    let patience = wishes.patience.and_then(after);

    let opened = headers::open(&mut head.headers);
    let (encoded, has_ours) = (opened.encoded, opened.has_ours);
    let length = Length::of(&opened);
    let tenant = match (tenant, opened.credential) {
        (Some(tenant), _) => tenant,
        (None, Found::None) => Tenant::default(),
        (None, Found::One(credential)) => Tenant::new(credential),
        (None, Found::Several) => {
            let credential = headers::credential(&head.headers);
            credential.map(Tenant::new).unwrap_or_default()
        }
    };
    if has_ours {
        headers::strip_ours(&mut head.headers);
    }
    Opening {
        feature,
        deadline: patience.map_or(deadline, |end| end.min(deadline)),
        encoded,
        length,
        tenant,
        address: Address::of(head.uri.path()),
    }
}

impl Address {
    /// By the end of the path, for what comes before it is the platform's, or a gateway's.
    fn of(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        if path.ends_with("/messages") {
            Self::Messages
        } else if COUNT_TOKENS.iter().any(|end| path.ends_with(end)) {
            Self::CountTokens
        } else if OTHER_APIS.iter().any(|end| path.ends_with(end)) {
            Self::Other
        } else {
            Self::Unknown
        }
    }
}

impl Length {
    fn of(opened: &Opened<'_>) -> Self {
        match opened.length {
            _ if opened.is_transfer_encoded => Self::Odd,
            Found::None => Self::Unsaid,
            Found::One(value) => plain(value).map_or(Self::Odd, Self::Plain),
            Found::Several => Self::Odd,
        }
    }
}

/// The number, if it is as we would write it.
fn plain(value: &HeaderValue) -> Option<u64> {
    let number: u64 = value.to_str().ok()?.parse().ok()?;
    let digits = number.checked_ilog10().unwrap_or(0) + 1;
    (value.len() == digits as usize).then_some(number)
}

impl Opening {
    /// The length that is announced, as the first header of it says; 0 where none can be read.
    pub(super) fn announced(&self, headers: &HeaderMap) -> u64 {
        match self.length {
            Length::Unsaid => 0,
            Length::Plain(length) => length,
            Length::Odd => content_length(headers).unwrap_or(0),
        }
    }

    /// Whether its body may be that of a Messages call, and can be read.
    pub(super) fn is_scanned(&self) -> bool {
        !self.encoded && self.address != Address::Other
    }

    /// The call, once its body is there.
    pub(super) fn call(self, facts: Option<RequestFacts>, body_bytes: u64) -> Call {
        // Other services name a model too: agents, sessions, embeddings. They know no messages.
        let facts = facts.filter(|facts| facts.messages || self.address != Address::Unknown);
        let mut facts = facts.map_or_else(Facts::default, |request| {
            let mut facts = Facts::of(request);
            // The same body may count and then ask: a number comes in no stream.
            let counts_tokens = self.address == Address::CountTokens;
            facts.exact_output |= counts_tokens;
            facts.stream &= !counts_tokens;
            facts
        });
        facts.feature = self.feature;
        facts.tenant = self.tenant;
        facts.deadline = Some(self.deadline);
        facts.body_bytes = body_bytes;
        let mut call = Call::from(facts);
        call.set_renders(call.asked_model().is_some());
        call
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Says the length of a body that is known now, where the caller said anything about it.
pub(super) fn seal(headers: &mut HeaderMap, said: Length, body_bytes: u64) {
    match said {
        Length::Unsaid => return,
        Length::Plain(length) if length == body_bytes => return,
        Length::Plain(_) => {}
        Length::Odd => {
            headers.remove(TRANSFER_ENCODING);
        }
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
}

/// Takes back the caller's leave to encode the answer: of an encoded one nothing can be read, neither an error inside a
/// 200 or a 404 nor whether it is whole. Removed and not set, for a client that decodes by itself adds its own.
pub(super) fn ask_plainly(headers: &mut HeaderMap) {
    headers.remove(ACCEPT_ENCODING);
}

/// Writes on an answer what served it, and returns that.
pub(super) fn close<B>(answer: &mut Response<B>, call: &Call, verdict: &Verdict) -> Served {
    let left = answer.extensions().get::<Served>().cloned();
    let served = left.unwrap_or_else(|| {
        let served = served(call, verdict);
        answer.extensions_mut().insert(served.clone());
        served
    });
    served.write_headers(answer.headers_mut());
    // The caller may retry a full bulkhead: nothing was sent.
    let local = |kind| kind == FailureKind::BulkheadFull;
    if verdict
        .failure()
        .is_some_and(|failure| !local(failure.kind))
        && (sdk_retries(answer.status()) || answer.headers().contains_key(X_SHOULD_RETRY))
    {
        let never = HeaderValue::from_static("false");
        answer.headers_mut().insert(X_SHOULD_RETRY, never);
    }
    served
}

/// What the call itself counted.
fn served(call: &Call, verdict: &Verdict) -> Served {
    let model = call.last_model();
    let outcome = match verdict {
        Verdict::Failed(_) => Outcome::Error,
        _ if model.as_ref() != call.asked_model() => Outcome::Fallback,
        _ if call.sent() > 1 => Outcome::Retried,
        _ => Outcome::Direct,
    };
    Served {
        outcome,
        model,
        attempts: call.sent(),
        degraded: None,
        end: match verdict {
            Verdict::Committed(end) => end.clone(),
            Verdict::Complete => End::known(Ended::Complete),
            Verdict::Failed(failure) => End::known(Ended::Failed(failure.kind)),
        },
    }
}

/// The statuses that the official SDKs retry by themselves; any other they retry where upstream says so.
fn sdk_retries(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::Failure,
        claude::headers::{ATTEMPTS, MODEL, OUTCOME},
    };
    use http::Request;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn wishes_name_another_feature_and_shorten_the_deadline_and_never_lengthen_it() {
        let seconds = Duration::from_secs;
        let layer = ReplayLayer::new().with_feature_deadline("jobs", seconds(1800));
        let opened = |set: Option<u64>, feature: Option<&str>, patience: Option<Duration>| {
            let (mut head, ()) = Request::new(()).into_parts();
            if let Some(set) = set {
                head.extensions.insert(Deadline::after(seconds(set)));
                head.extensions.insert(Feature::new("set"));
            }
            let wishes = Wishes {
                feature: feature.map(Feature::new),
                patience,
            };
            let opening = open(&mut head, wishes, Instant::now(), &layer);
            assert!(head.extensions.is_empty());
            let left = opening.deadline.left(Instant::now()).as_secs();
            (opening.feature.as_str().to_owned(), left)
        };
        for (set, feature, patience, named, left) in [
            (None, None, None, "default", 600),
            (None, None, Some(58), "default", 58),
            (None, None, Some(698), "default", 600),
            (None, Some("jobs"), Some(698), "jobs", 698),
            (Some(5), None, Some(58), "set", 5),
            (Some(5), Some("chat"), Some(3), "chat", 3),
            (Some(5), None, Some(u64::MAX), "set", 5),
        ] {
            let opened = opened(set, feature, patience.map(seconds));
            assert_eq!(opened, (named.to_owned(), left));
        }
    }

    fn closed(call: &Call, status: u16, verdict: &Verdict) -> (HeaderMap, Served) {
        let mut answer = Response::builder().status(status).body(()).unwrap();
        let served = close(&mut answer, call, verdict);
        (answer.into_parts().0.headers, served)
    }

    #[test]
    fn the_length_is_said_once_and_as_it_is() {
        for (said, sealed) in [
            (&[][..], &[][..]),
            (&["12"], &["12"]),
            (&["+12"], &["12"]),
            (&["012"], &["12"]),
            (&["+2"], &["12"]),
            (&["13"], &["12"]),
            (&["a"], &["12"]),
            (&["12", "12"], &["12"]),
        ] {
            let mut headers = HeaderMap::new();
            for length in said {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            let said = Length::of(&headers::open(&mut headers));
            seal(&mut headers, said, 12);
            let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, sealed, "{said:?}");
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            let said = Length::of(&headers::open(&mut headers));
            seal(&mut headers, said, 0);
            assert_eq!(headers[CONTENT_LENGTH], "0");
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn the_outcome_is_what_the_call_counted() {
        let mut call = Call::new(Some("sonnet".into()));
        call.count_sent();
        let (headers, served) = closed(&call, 200, &Verdict::Complete);
        assert_eq!(headers[OUTCOME], "direct");
        assert_eq!(served.end.get(), Some(Ended::Complete));

        call.count_sent();
        let (headers, _) = closed(&call, 200, &Verdict::Complete);
        assert_eq!(
            (&headers[OUTCOME], &headers[ATTEMPTS]),
            (&"retried".parse().unwrap(), &2.into())
        );

        call.set_hop(1, &"haiku".into(), 0);
        let (headers, _) = closed(&call, 200, &Verdict::Complete);
        assert_eq!(headers[OUTCOME], "fallback");
        assert_eq!(headers[MODEL], "haiku");
    }

    #[test]
    fn a_final_failure_is_not_for_the_sdk_to_retry_unless_nothing_was_sent() {
        let call = Call::new(Some("sonnet".into()));
        let failed = |kind| Verdict::Failed(Failure::new(kind));
        for (kind, status, marked) in [
            (FailureKind::Overloaded, 529, true),
            (FailureKind::RateLimited, 429, true),
            (FailureKind::Refused, 409, true),
            (FailureKind::Refused, 400, false),
            (FailureKind::BulkheadFull, 429, false),
        ] {
            let (headers, served) = closed(&call, status, &failed(kind));
            assert_eq!(
                headers.contains_key(X_SHOULD_RETRY),
                marked,
                "{kind} {status}"
            );
            assert_eq!(served.outcome, Outcome::Error);
        }
    }

    #[test]
    fn upstreams_wish_for_a_retry_is_not_passed_on_with_a_final_failure() {
        let mut answer = Response::builder()
            .status(400)
            .header(X_SHOULD_RETRY, "true")
            .body(())
            .unwrap();
        let refused = Failure::new(FailureKind::Refused).with_should_retry(Some(true));
        let call = Call::new(Some("sonnet".into()));
        close(&mut answer, &call, &Verdict::Failed(refused));
        assert_eq!(answer.headers()[X_SHOULD_RETRY], "false");
    }

    #[test]
    fn a_model_that_no_header_can_carry_is_left_out() {
        let call = Call::new(Some("a\nb".into()));
        let (headers, served) = closed(&call, 200, &Verdict::Complete);
        assert!(!headers.contains_key(MODEL));
        assert_eq!(served.model.as_deref(), Some("a\nb"));
    }
}
