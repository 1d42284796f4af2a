//! What served a call.

use crate::{
    classify::{End, FailureKind},
    claude::headers,
};
use http::{HeaderMap, HeaderValue};
use std::{fmt, sync::Arc};

/// Where an answer came from. The value of the header `tower-claude-outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// From the model that was asked, at the first attempt.
    Direct,
    /// From the model that was asked, at a later attempt.
    Retried,
    /// From another model of the chain.
    Fallback,
    /// An answer given before to the same request.
    Cached,
    /// An answer given before to a similar request.
    Similar,
    /// The canned message of the feature.
    Canned,
    /// No answer: an error.
    Error,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Direct,
        Self::Retried,
        Self::Fallback,
        Self::Cached,
        Self::Similar,
        Self::Canned,
        Self::Error,
    ];

    /// The value of the header: `direct`, `retried` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Retried => "retried",
            Self::Fallback => "fallback",
            Self::Cached => "cached",
            Self::Similar => "similar",
            Self::Canned => "canned",
            Self::Error => "error",
        }
    }

    /// Whether it stands in for a model's answer.
    pub fn is_degraded(self) -> bool {
        matches!(self, Self::Cached | Self::Similar | Self::Canned)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What served a call: an extension of the response, with the same facts as the `tower-claude-*` headers.
///
/// Live: [`end`](Self::end) tells how the body ended, once it has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Served {
    /// Where the answer came from.
    pub outcome: Outcome,
    /// The model that served it, or that was asked last. `None` where the call was not a Messages call.
    pub model: Option<Arc<str>>,
    /// Attempts that were sent upstream, over all models.
    pub attempts: u32,
    /// Why the answer is a degraded one; `None` where it is not.
    pub degraded: Option<FailureKind>,
    /// How the body ended.
    pub end: End,
}

impl Served {
    /// Writes these facts as the `tower-claude-*` headers of the answer, in place of any that are there. A name that is
    /// no header value (a model is outside input) is left out.
    pub(crate) fn write_headers(&self, map: &mut HeaderMap) {
        headers::strip_ours(map);
        map.insert(
            headers::OUTCOME,
            HeaderValue::from_static(self.outcome.as_str()),
        );
        map.insert(headers::ATTEMPTS, number(self.attempts));
        if let Some(kind) = self.degraded {
            map.insert(headers::DEGRADED, HeaderValue::from_static(kind.as_str()));
        }
        let model = self.model.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(model)) = model {
            map.insert(headers::MODEL, model);
        }
    }
}

/// The usual numbers cost no allocation.
fn number(attempts: u32) -> HeaderValue {
    match attempts {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        2 => HeaderValue::from_static("2"),
        more => more.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_served_is_written_in_place_of_what_upstream_claimed() {
        let mut map = HeaderMap::new();
        map.insert(
            "tower-claude-degraded",
            HeaderValue::from_static("upstream"),
        );
        let mut served = Served {
            outcome: Outcome::Fallback,
            model: Some("haiku\n".into()),
            attempts: 3,
            degraded: None,
            end: End::new(),
        };
        served.write_headers(&mut map);
        assert_eq!(map["tower-claude-outcome"], "fallback");
        assert_eq!(map["tower-claude-attempts"], "3");
        assert_eq!(
            map.len(),
            2,
            "no kind, and no model that is no header value"
        );

        served.model = Some("haiku".into());
        served.degraded = Some(FailureKind::CircuitOpen);
        served.write_headers(&mut map);
        assert_eq!(map["tower-claude-model"], "haiku");
        assert_eq!(map["tower-claude-degraded"], "circuit_open");
    }
}
