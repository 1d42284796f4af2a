//! The `anthropic-ratelimit-*` headers of an answer: how much of each bucket is left.
//!
//! These are facts to show and to plan with, not a reason to hold a call back: token counts are
//! rounded, other processes share the buckets, and platforms other than the Claude API send none.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// What an answer says about the four rate limits; see the [module docs](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Requests per minute.
    pub requests: RateLimit,
    /// Tokens per minute: the most restrictive limit that applies at the moment.
    pub tokens: RateLimit,
    /// Input tokens per minute.
    pub input_tokens: RateLimit,
    /// Output tokens per minute.
    pub output_tokens: RateLimit,
}

/// One bucket; a field is `None` where its header is absent or unreadable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The size of the bucket.
    pub limit: Option<u64>,
    /// What is left of it; tokens are rounded to thousands.
    pub remaining: Option<u64>,
    /// When it will be full again.
    pub reset: Option<SystemTime>,
}

impl RateLimits {
    /// Read the headers of an answer.
    ///
    /// # Example
    ///
    /// ```
    /// use http::HeaderMap;
    /// use tower_claude::claude::rate_limits::RateLimits;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("anthropic-ratelimit-requests-remaining", "49".parse().unwrap());
    /// assert_eq!(RateLimits::of(&headers).requests.remaining, Some(49));
    /// ```
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok();
        let bucket = |limit, remaining, reset| RateLimit {
            limit: text(limit).and_then(|value| value.parse().ok()),
            remaining: text(remaining).and_then(|value| value.parse().ok()),
            reset: text(reset).and_then(rfc3339),
        };
        Self {
            requests: bucket(
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
            ),
            tokens: bucket(
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
            ),
            input_tokens: bucket(
                "anthropic-ratelimit-input-tokens-limit",
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-input-tokens-reset",
            ),
            output_tokens: bucket(
                "anthropic-ratelimit-output-tokens-limit",
                "anthropic-ratelimit-output-tokens-remaining",
                "anthropic-ratelimit-output-tokens-reset",
            ),
        }
    }

    /// Whether the answer said nothing about rate limits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A time of RFC 3339 from 1970 on, `2026-11-23T12:00:00Z`; a fraction of a second is dropped.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let (time, offset) = rest.split_at_checked("00:00:00".len())?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let days = days_since_epoch(year, month, day)?;
    // A leap second is the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = ((days * 24 + hour) * 60 + minute) * 60 + second;

    let offset = match offset.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            (offset.len() < fraction.len()).then_some(offset)?
        }
        None => offset,
    };
    let utc = match (offset.get(..1)?, offset.get(1..)?) {
        ("Z" | "z", "") => local,
        ("+", ahead) => local.checked_sub(offset_seconds(ahead)?)?,
        ("-", behind) => local.checked_add(offset_seconds(behind)?)?,
        _ => return None,
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(utc))
}

fn offset_seconds(text: &str) -> Option<u64> {
    let [hours, minutes] = numbers(text, ':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then_some((hours * 60 + minutes) * 60)
}

/// Exactly `N` numbers between separators, each with its fixed count of digits.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut all = [0; N];
    for (number, width) in all.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar that is not before it.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    // Day of the year before each month, of a year that is not a leap year.
    const BEFORE: [u64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let (before, after) = (*BEFORE.get(index)?, *BEFORE.get(index + 1)?);
    let leap_day = u64::from(leap && month == 2);
    if year < 1970 || day == 0 || day > after - before + leap_day {
        return None;
    }
    let leaps_until = |year: u64| year / 4 - year / 100 + year / 400;
    let leaps = leaps_until(year - 1) - leaps_until(1969);
    Some((year - 1970) * 365 + leaps + before + u64::from(leap && month > 2) + day - 1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        rfc3339(text).map(|time| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
        })
    }

    #[test]
    fn all_four_buckets_are_read() {
        let mut headers = HeaderMap::new();
        for (at, bucket) in ["requests", "tokens", "input-tokens", "output-tokens"]
            .iter()
            .enumerate()
        {
            for (field, value) in [
                ("limit", format!("{}", at * 10 + 9)),
                ("remaining", format!("{at}")),
                ("reset", format!("1970-01-01T00:00:0{at}Z")),
            ] {
                let name = format!("anthropic-ratelimit-{bucket}-{field}");
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
        }
        let limits = RateLimits::of(&headers);
        let read = [
            limits.requests,
            limits.tokens,
            limits.input_tokens,
            limits.output_tokens,
        ];
        for (at, bucket) in (0..).zip(read) {
            assert_eq!(bucket.limit, Some(at * 10 + 9));
            assert_eq!(bucket.remaining, Some(at));
            assert_eq!(
                bucket.reset,
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
            );
        }
        assert!(!limits.is_empty());
    }

    #[test]
    fn an_unreadable_field_is_none_and_leaves_the_others_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "anthropic-ratelimit-tokens-limit",
            HeaderValue::from_static("many"),
        );
        headers.insert(
            "anthropic-ratelimit-tokens-remaining",
            HeaderValue::from_static("7000"),
        );
        headers.insert(
            "anthropic-ratelimit-tokens-reset",
            HeaderValue::from_static("tomorrow"),
        );
        let tokens = RateLimits::of(&headers).tokens;
        assert_eq!(
            tokens,
            RateLimit {
                remaining: Some(7000),
                ..RateLimit::default()
            }
        );
        assert!(RateLimits::of(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn times_are_read_with_fractions_offsets_and_leap_days() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2024-12-31T23:59:60Z", 1_735_689_600),
            ("2026-11-23T12:34:56.789Z", 1_795_437_296),
            ("2026-11-23t14:34:56+02:00", 1_795_437_296),
            ("2026-11-23T07:04:56-05:30", 1_795_437_296),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "T",
            "2026-11-23",
            "2026-11-23T12:00:00",
            "2026-11-23T12:00:00.Z",
            "2026-11-23T12:00:00Zulu",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "+026-11-23T12:00:00Z",
            "2026-11-23T12:00:00+2:00",
            "2026-11-23T12:00:0éZ",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9TtZz:.+-]{0,32}") {
            let _ = rfc3339(&text);
        }

        /// `httpdate` is an independent calendar.
        #[test]
        fn days_agree_with_another_calendar(at in 0_u64..250_000_000_000) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            let date = httpdate::fmt_http_date(time);
            let parts: Vec<&str> = date.split(' ').collect();
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = names.iter().position(|name| *name == parts[2]).unwrap() + 1;
            let text = format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4]);
            prop_assert_eq!(rfc3339(&text), Some(time));
        }
    }
}
