//! What happens to the heads of requests and answers on their way through.
//!
//! | header | upstream | back |
//! |---|---|---|
//! | hop-by-hop ([RFC 9110, 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)), also those that `connection` names | dropped | dropped |
//! | `host` | upstream's own | – |
//! | `expect` | dropped: the proxy has said `100 Continue` itself | – |
//! | `accept-encoding` | dropped by the stack, where it must read the answer | – |
//! | `tower-claude-*` | read, then dropped | dropped, and set anew |
//! | all others: `anthropic-version`, `anthropic-beta`, credentials, unknown ones | as they are | as they are |

use super::upstream::Target;
use crate::{
    call::{Deadline, Feature},
    claude::headers,
    config::Config,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
    request, response,
};
use std::time::Duration;
use tokio::time::Instant;

/// What the way back, and a clock that is not ours, may take of it.
const WAY_BACK: Duration = Duration::from_secs(2);

/// The longest name of a feature: a longer one is that of no feature.
const LONGEST_FEATURE: usize = 128;

/// Whether a header is for this connection alone.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Readies the head of a request that passes through for upstream. Its address is another's business.
pub(super) fn to_upstream(head: &mut request::Parts, target: &Target) {
    to_stack(head, target);
    headers::strip_ours(&mut head.headers);
    headers::mark_secrets(&mut head.headers);
}

/// The same for the stack, whose [`Replay`](crate::replay) sees to our own headers and to secrets.
pub(super) fn to_stack(head: &mut request::Parts, target: &Target) {
    // Whatever the caller speaks: the client chooses its own.
    head.version = Version::HTTP_11;
    drop_hop_by_hop(&mut head.headers);
    target.name_in(&mut head.headers);
    // Mostly not there, and a look at each name costs less than a search.
    if head.headers.keys().any(|name| *name == EXPECT) {
        head.headers.remove(EXPECT);
    }
}

/// Readies the head of an answer of upstream for the caller.
pub(super) fn to_caller(head: &mut response::Parts) {
    from_upstream(head);
    headers::strip_ours(&mut head.headers);
}

/// The same for the stack, which writes our own headers in place of any that are there.
pub(super) fn from_upstream(head: &mut response::Parts) {
    head.version = Version::HTTP_11;
    // Of a body in chunks it says nothing, whatever it says (RFC 9112, 6.3).
    if head.headers.keys().any(|name| *name == TRANSFER_ENCODING) {
        head.headers.remove(CONTENT_LENGTH);
    }
    drop_hop_by_hop(&mut head.headers);
}

/// Takes from the head what it says of its call, for the stack, which drops our own headers.
///
/// What whoever embeds the proxy has set stands, but for what the caller says: another feature, a shorter deadline. What
/// nobody says the stack knows by itself.
pub(super) fn open_call(head: &mut request::Parts, config: &Config) {
    let said = Said::by(&head.headers);
    if let Some(named) = said.feature(config) {
        head.extensions.insert(named);
    }
    let Some(patience) = said.patience() else {
        return;
    };
    let feature = head.extensions.get();
    let feature = feature.map_or(Feature::DEFAULT, Feature::as_str);
    let deadline = if let Some(set) = head.extensions.get::<Deadline>() {
        set.left(Instant::now())
    } else {
        let own = config.features.of(feature).deadline;
        own.unwrap_or(config.deadline)
    };
    if patience < deadline {
        head.extensions.insert(Deadline::after(patience));
    }
}

/// What a head says of its call, by the first header of each name.
#[derive(Default)]
struct Said<'a> {
    feature: Option<&'a HeaderValue>,
    /// Seconds that the caller's SDK waits in all. Python's says `NOT_GIVEN` where the timeout was set for the client.
    timeout: Option<&'a HeaderValue>,
    /// Seconds that it waits for the first byte, and between two.
    read_timeout: Option<&'a HeaderValue>,
}

impl<'a> Said<'a> {
    /// A look at each name that is there costs less than a search for each that might be.
    fn by(map: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in map {
            let place = match name.as_str() {
                "tower-claude-feature" => &mut said.feature,
                "x-stainless-timeout" => &mut said.timeout,
                "x-stainless-read-timeout" => &mut said.read_timeout,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        said
    }

    /// The one that is named, if any. A known one costs no allocation, and one that cannot be meant is that of no feature.
    fn feature(&self, config: &Config) -> Option<Feature> {
        let name = self.feature?.to_str().map_or("", str::trim);
        Some(match config.features.named.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None if name.is_empty() || name.len() > LONGEST_FEATURE => Feature::default(),
            None => Feature::new(name),
        })
    }

    /// For how long the caller's SDK will wait, less the way back; of a short wait a half.
    fn patience(&self) -> Option<Duration> {
        let timeouts = [self.timeout, self.read_timeout].into_iter().flatten();
        let whole = timeouts.filter_map(timeout).min()?;
        Some(whole.saturating_sub(WAY_BACK).max(whole / 2))
    }
}

fn timeout(value: &HeaderValue) -> Option<Duration> {
    let seconds: f64 = value.to_str().ok()?.trim().parse().ok()?;
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    // Zero is how some say that they would wait for ever.
    (!timeout.is_zero()).then_some(timeout)
}

/// Drops what is for this connection alone.
pub(super) fn drop_hop_by_hop(map: &mut HeaderMap) {
    if !map.keys().any(is_hop_by_hop) {
        return;
    }
    // Most messages name none but `close` and `keep-alive`, which are no headers of theirs.
    let named: Vec<HeaderName> = map
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| map.contains_key(name))
        .collect();
    // A search for each: there may be thousands, and each header that is there would be compared with all of them.
    for name in named {
        map.remove(name);
    }
    headers::remove_where(map, is_hop_by_hop);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request, Response};

    fn request(headers: &[(&'static str, &'static str)]) -> request::Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        for (name, value) in headers {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        head
    }

    fn target() -> Target {
        Target::new(&"https://upstream".parse().unwrap()).unwrap()
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        map.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn hop_by_hop_headers_are_dropped_and_those_that_connection_names() {
        let mut head = request(&[
            ("connection", "close, X-Hop, host"),
            ("connection", "keep-alive,x-hop-too,, bad name"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("x-hop-too", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "secret"),
            ("host", "proxy"),
            ("expect", "100-continue"),
            ("tower-claude-feature", "chat"),
            ("x-kept", "1"),
        ]);
        to_upstream(&mut head, &target());
        assert_eq!(names(&head.headers), ["x-kept", "host"]);
        assert_eq!(head.headers["host"], "upstream");
    }

    #[test]
    fn what_the_api_reads_passes_unchanged_with_every_value() {
        let all = [
            ("anthropic-version", "2026-10-21"),
            ("anthropic-beta", "a,b"),
            ("anthropic-beta", "c"),
            ("authorization", "Bearer k"),
            ("x-api-key", "k"),
            ("accept-encoding", "gzip"),
            ("x-unknown", "1"),
        ];
        let mut head = request(&all);
        to_upstream(&mut head, &target());
        head.headers.remove("host").unwrap();
        assert_eq!(head.headers, request(&all).headers);
        assert!(!format!("{:?}", head.headers).contains("Bearer"));
    }

    #[test]
    fn an_answer_keeps_all_but_hop_by_hop_headers_and_what_claims_to_be_ours() {
        let (mut head, ()) = Response::new(()).into_parts();
        head.version = Version::HTTP_2;
        for (name, value) in [
            ("connection", "close"),
            ("tower-claude-outcome", "direct"),
            ("request-id", "req_1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ] {
            head.headers.append(name, HeaderValue::from_static(value));
        }
        to_caller(&mut head);
        assert_eq!(head.headers["request-id"], "req_1");
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(head.headers.len(), 3);
        assert_eq!(head.version, Version::HTTP_11);
    }

    #[test]
    fn the_feature_is_what_the_header_says() {
        let config = Config::default();
        let of = |headers: &[(&'static str, &'static str)]| {
            let mut head = request(headers);
            open_call(&mut head, &config);
            let feature = head.extensions.remove::<Feature>().unwrap_or_default();
            feature.as_str().to_owned()
        };
        assert_eq!(of(&[]), "default");
        assert_eq!(of(&[("tower-claude-feature", " chat ")]), "chat");
        assert_eq!(of(&[("tower-claude-feature", "chta")]), "chta");
        assert_eq!(of(&[("tower-claude-feature", "")]), "default");

        for (headers, feature) in [
            (&[][..], "set"),
            (&[("tower-claude-feature", "chat")], "chat"),
        ] {
            let mut head = request(headers);
            head.extensions.insert(Feature::new("set"));
            open_call(&mut head, &config);
            assert_eq!(head.extensions.get(), Some(&Feature::new(feature)));
        }
    }

    #[test]
    fn an_sdk_may_tell_its_timeout_in_either_of_two_headers() {
        let of = |whole: &'static str, read: &'static str| {
            let head = request(&[
                ("x-stainless-timeout", whole),
                ("x-stainless-read-timeout", read),
            ]);
            Said::by(&head.headers).patience()
        };
        // What the Python SDK sends where the timeout was set for the client, and where it was set for the call.
        assert_eq!(of("NOT_GIVEN", "12"), Some(Duration::from_secs(10)));
        assert_eq!(of("12", "12"), Some(Duration::from_secs(10)));
        // Until the answer begins, either ends the call.
        assert_eq!(of("600", "12"), Some(Duration::from_secs(10)));
        assert_eq!(of("12", "600"), Some(Duration::from_secs(10)));
        assert_eq!(of("NOT_GIVEN", "None"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_of_an_sdk_shortens_the_deadline_and_never_lengthens_it() {
        let config = Config::default();
        let left = |timeout: &'static str, feature: &'static str| {
            let mut head = request(&[
                ("x-stainless-timeout", timeout),
                ("tower-claude-feature", feature),
            ]);
            open_call(&mut head, &config);
            assert_eq!(head.headers["x-stainless-timeout"], timeout);
            let deadline = head.extensions.get::<Deadline>();
            deadline.map(|deadline| deadline.left(Instant::now()).as_millis())
        };
        assert_eq!(left("60", "chat"), Some(58_000));
        assert_eq!(left("3.5", "chat"), Some(1_750));
        assert_eq!(left("1", "chat"), Some(500));
        assert_eq!(left("600", "chat"), Some(598_000));
        assert_eq!(left("700", "chat"), None, "the deadline is 10 min");
        assert_eq!(left("700", "background_jobs"), Some(698_000));
        let mut head = request(&[("x-stainless-timeout", "60")]);
        head.extensions
            .insert(Deadline::after(Duration::from_secs(5)));
        open_call(&mut head, &config);
        let set: &Deadline = head.extensions.get().unwrap();
        assert_eq!(set.left(Instant::now()).as_secs(), 5, "set by an embedder");
        for nonsense in ["0", "-1", "soon", "inf", "NaN", "1e300", ""] {
            assert_eq!(left(nonsense, "chat"), None, "{nonsense}");
        }
    }
}
