use proptest::prelude::*;

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn wait_of(pairs: &[(&'static str, &str)]) -> Option<Duration> {
    retry_after(&map(pairs), now())
}

fn date(offset: i64) -> String {
    let distance = Duration::from_secs(offset.unsigned_abs());
    httpdate::fmt_http_date(if offset < 0 {
        now() - distance
    } else {
        now() + distance
    })
}

#[test]
fn a_wait_is_read_in_seconds_fractions_milliseconds_and_dates() {
    let millis = |n| Some(Duration::from_millis(n));
    for (value, expected) in [
        ("20", millis(20_000)),
        ("60", millis(60_000)),
        ("61", millis(61_000)),
        ("0.25", millis(250)),
        (" 2 ", millis(2_000)),
        (".5", millis(500)),
    ] {
        assert_eq!(wait_of(&[("retry-after", value)]), expected, "{value}");
    }
    assert_eq!(wait_of(&[("retry-after-ms", "300")]), millis(300));
    assert_eq!(
        wait_of(&[("retry-after-ms", "1.5")]),
        Some(Duration::from_micros(1500))
    );
    assert_eq!(wait_of(&[("retry-after", &date(60))]), millis(60_000));
    assert_eq!(wait_of(&[("retry-after", &date(61))]), millis(61_000));
}

#[test]
fn milliseconds_are_preferred_unless_they_name_no_wait() {
    let both = |ms: &'static str| wait_of(&[("retry-after-ms", ms), ("retry-after", "5")]);
    assert_eq!(both("300"), Some(Duration::from_millis(300)));
    for unusable in ["soon", "0", "-1", "nan"] {
        assert_eq!(both(unusable), Some(Duration::from_secs(5)), "{unusable}");
    }
}

#[test]
fn of_several_waits_the_longest_counts() {
    for name in ["retry-after", "retry-after-ms"] {
        let mut headers = HeaderMap::new();
        let mut longest = None;
        for (value, seconds) in [("soon", None), ("1000", Some(1000)), ("3000", Some(3000))] {
            headers.append(name, HeaderValue::from_static(value));
            let unit = if name == "retry-after" { 1000 } else { 1 };
            longest = seconds.map(|seconds| Duration::from_millis(seconds * unit));
            assert_eq!(retry_after(&headers, now()), longest);
        }
        headers.append(name, HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers, now()), longest);
    }
}

#[test]
fn zero_the_past_and_garbage_are_no_wait() {
    let past = date(-1);
    let present = date(0);
    for value in [
        "",
        "0",
        "0.0",
        "-10",
        "-0",
        "soon",
        "nan",
        "inf",
        "-inf",
        "infinity",
        "1e3",
        "+5",
        "1,5",
        "5 seconds",
        ".",
        "1.2.3",
        "٣",
        "Zun, 29 Sep 2015 12:26:57 GMT",
        "Wed, 31 Feb 2027 00:00:00 GMT",
        &past,
        &present,
    ] {
        assert_eq!(wait_of(&[("retry-after", value)]), None, "{value:?}");
    }
    assert_eq!(wait_of(&[]), None);
}

// Case 45.
#[test]
fn a_huge_wait_is_shortened_and_never_overflows() {
    let endless = "9".repeat(400);
    for value in [
        "1000000000000000000",
        "99999999999999999999999999999999999",
        &endless,
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        assert_eq!(
            wait_of(&[("retry-after", value)]),
            Some(MAX_RETRY_AFTER),
            "{value}"
        );
    }
    assert_eq!(
        wait_of(&[("retry-after-ms", "2147483648")]),
        Some(MAX_RETRY_AFTER)
    );
    assert_eq!(
        wait_of(&[("retry-after-ms", "2147483646")])
            .unwrap()
            .as_millis(),
        2_147_483_646
    );
}

#[test]
fn should_retry_is_exactly_true_or_false() {
    for (value, expected) in [
        ("true", Some(true)),
        ("false", Some(false)),
        ("True", None),
        ("1", None),
        ("", None),
    ] {
        assert_eq!(
            should_retry(&map(&[("x-should-retry", value)])),
            expected,
            "{value:?}"
        );
    }
    assert_eq!(should_retry(&HeaderMap::new()), None);
}

#[test]
fn media_types_are_compared_without_case_and_parameters() {
    let typed = |value| map(&[("content-type", value)]);
    assert!(is_event_stream(&typed("text/event-stream; charset=utf-8")));
    assert!(is_event_stream(&typed("Text/Event-Stream")));
    assert!(!is_event_stream(&typed("text/event-streams")));
    assert!(!is_event_stream(&HeaderMap::new()));
    assert!(is_json(&typed("application/json;charset=UTF-8")));
    assert!(is_json(&typed("application/problem+JSON")));
    assert!(!is_json(&typed("text/html")));
    assert!(!is_json(&typed("json")));
}

#[test]
fn identity_is_no_encoding() {
    assert!(is_encoded(&map(&[("content-encoding", "gzip")])));
    assert!(!is_encoded(&map(&[("content-encoding", "Identity")])));
    assert!(!is_encoded(&HeaderMap::new()));
}

#[test]
fn the_tenant_is_told_by_all_credentials_that_are_there() {
    let of = |pairs: &[_]| credential(&map(pairs)).map(Cow::into_owned);
    let all = [
        ("x-api-key", "k"),
        ("authorization", "Bearer b"),
        ("api-key", "f"),
    ];
    assert_eq!(of(&all).unwrap(), b"k\nBearer b\nf");
    let [key, bearer, other] = all;
    assert_eq!(
        of(&[other, bearer, key]),
        of(&all),
        "in whatever order they came"
    );
    assert_eq!(of(&all[1..]).unwrap(), b"Bearer b\nf");
    assert_eq!(of(&all[2..]).unwrap(), b"f");
    assert_eq!(
        of(&[("x-api-key", ""), ("api-key", "f")]).unwrap(),
        b"f",
        "an empty value is no credential"
    );
    assert_eq!(of(&[]), None);
}

/// One walk finds what each function of its own finds.
#[test]
fn a_request_is_opened_as_by_one_function_after_another() {
    let one = [
        ("x-api-key", "k"),
        ("authorization", "Bearer b"),
        ("api-key", "f"),
        ("x-api-key", ""),
        ("proxy-authorization", "p"),
        ("cookie", "c"),
        ("content-encoding", "gzip"),
        ("content-encoding", "identity"),
        ("tower-claude-feature", "chat"),
        ("accept", "a"),
    ];
    // The walk has their names of its own.
    for secret in SECRETS {
        assert!(one.iter().any(|(name, _)| *name == secret), "{secret}");
    }
    for first in one {
        for second in one {
            let mut headers = map(&[first]);
            headers.append(second.0, HeaderValue::from_static(second.1));
            let mut marked = headers.clone();
            mark_secrets(&mut marked);
            let mut stripped = headers.clone();
            strip_ours(&mut stripped);

            let credential = credential(&marked).map(Cow::into_owned);
            let Opened {
                credential: found,
                encoded,
                has_ours,
                ..
            } = open(&mut headers);
            match found {
                Found::None => assert_eq!(credential, None),
                Found::One(value) => assert_eq!(Some(value.as_bytes()), credential.as_deref()),
                Found::Several => assert!(credential.unwrap().contains(&b'\n')),
            }
            assert_eq!(encoded, is_encoded(&marked));
            assert_eq!(has_ours, stripped.len() < marked.len());
            assert_eq!(format!("{headers:?}"), format!("{marked:?}"));
        }
    }
}

#[test]
fn marked_secrets_are_not_printed() {
    let mut headers = map(&[
        ("x-api-key", "s3cret"),
        ("authorization", "Bearer s3cret"),
        ("api-key", "s3cret"),
        ("proxy-authorization", "s3cret"),
        ("cookie", "s3cret"),
        ("accept", "seen"),
    ]);
    headers.append("cookie", HeaderValue::from_static("second s3cret"));
    mark_secrets(&mut headers);
    let printed = format!("{headers:?}");
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("seen"), "{printed}");
}

#[test]
fn our_own_headers_are_stripped_and_no_others() {
    let mut headers = map(&[
        ("tower-claude-outcome", "direct"),
        ("tower-claude-invented", "1"),
        ("x-tower-claude-x", "kept"),
        ("accept", "kept"),
    ]);
    headers.append("tower-claude-invented", HeaderValue::from_static("2"));
    strip_ours(&mut headers);
    assert_eq!(headers.len(), 2);
    assert!(headers.values().all(|value| value == "kept"));
}

#[test]
fn a_request_id_is_text_and_not_empty() {
    assert_eq!(request_id(&map(&[("request-id", "req_1")])), Some("req_1"));
    assert_eq!(request_id(&map(&[("request-id", "")])), None);
}

proptest! {
    #[test]
    fn no_value_panics_or_asks_for_more_than_the_longest_wait(
        value in prop::collection::vec(any::<u8>(), 0..48),
        text in "[0-9.]{0,40}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    ) {
        for bytes in [value.as_slice(), text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
            for name in [RETRY_AFTER, RETRY_AFTER_MS] {
                let headers = HeaderMap::from_iter([(name, value.clone())]);
                if let Some(wait) = retry_after(&headers, now()) {
                    prop_assert!(!wait.is_zero() && wait <= MAX_RETRY_AFTER);
                }
            }
        }
    }
}
