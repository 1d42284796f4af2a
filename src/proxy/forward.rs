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
    call::{Feature, Wishes},
    claude::headers,
    config::Config,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
    request, response,
};
use std::time::Duration;

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
    drop_and_named(&mut head.headers, |name| {
        is_hop_by_hop(name) || *name == EXPECT
    });
    target.name_in(&mut head.headers);
}

/// Readies the head of an answer of upstream for the caller.
pub(super) fn to_caller(head: &mut response::Parts) {
    from_upstream(head);
    headers::strip_ours(&mut head.headers);
}

/// The same for the stack, which writes our own headers in place of any that are there.
pub(super) fn from_upstream(head: &mut response::Parts) {
    head.version = Version::HTTP_11;
    let map = &mut head.headers;
    // Mostly there is nothing to do, which one walk tells.
    if map.keys().any(is_hop_by_hop) {
        // Of a body in chunks it says nothing, whatever it says (RFC 9112, 6.3).
        if map.contains_key(TRANSFER_ENCODING) {
            map.remove(CONTENT_LENGTH);
        }
        drop_hop_by_hop(map);
    }
}

/// What the headers say of their call, for the stack, which drops our own.
///
/// What whoever embeds the proxy has set stands, but for this: another feature, a shorter deadline. What nobody says the
/// stack knows by itself.
pub(super) fn wishes(map: &HeaderMap, config: &Config) -> Wishes {
    let said = Said::by(map);
    Wishes {
        feature: said.feature(config),
        patience: said.patience(),
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
    let text = value.to_str().ok()?.trim();
    // Mostly whole seconds, which are read sooner.
    let timeout = match text.parse() {
        Ok(seconds) => Duration::from_secs(u32::into(seconds)),
        Err(_) => Duration::try_from_secs_f64(text.parse().ok()?).ok()?,
    };
    // Zero is how some say that they would wait for ever.
    (!timeout.is_zero()).then_some(timeout)
}

/// Drops what is for this connection alone.
pub(super) fn drop_hop_by_hop(map: &mut HeaderMap) {
    drop_and_named(map, is_hop_by_hop);
}

/// Drops headers of such a name, and those that `connection` names, which is such a name.
fn drop_and_named(map: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    if !map.keys().any(&goes) {
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
    headers::remove_where(map, goes);
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
            let feature = wishes(&request(headers).headers, &config).feature;
            feature.map(|feature| feature.as_str().to_owned())
        };
        assert_eq!(of(&[]), None);
        for (said, feature) in [(" chat ", "chat"), ("chta", "chta"), ("", "default")] {
            let of = of(&[("tower-claude-feature", said)]);
            assert_eq!(of.as_deref(), Some(feature));
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

    #[test]
    fn the_timeout_of_an_sdk_leaves_time_for_the_way_back() {
        let config = Config::default();
        let patience = |timeout: &'static str| {
            let head = request(&[("x-stainless-timeout", timeout)]);
            let patience = wishes(&head.headers, &config).patience;
            patience.map(|patience| patience.as_millis())
        };
        assert_eq!(patience("60"), Some(58_000));
        assert_eq!(patience("3.5"), Some(1_750));
        assert_eq!(patience("1"), Some(500));
        for nonsense in ["0", "-1", "soon", "inf", "NaN", "1e300", ""] {
            assert_eq!(patience(nonsense), None, "{nonsense}");
        }
    }
}
