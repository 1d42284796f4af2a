//! What kind of answer a call asks for, and what kind it got.

use crate::{call::Call, claude::headers};
use http::{HeaderMap, Method, Request, header};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A stream.
    Stream,
    /// A JSON object.
    Json,
    /// Nobody scanned the request, or nobody could, because its body is encoded: the answer says what it is.
    Unknown,
    /// Not a Messages call: anything.
    Other,
    /// A head only.
    Nothing,
}

/// How an answer of success is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// As a stream of events.
    Events,
    /// As one JSON value, held whole as far as the bound goes. `object`: it must be a whole object.
    Json { object: bool },
    /// Not at all: passed on.
    Opaque,
    /// Not what was asked for.
    Wrong,
}

impl Ask {
    pub(super) fn of<B>(request: &Request<B>, call: Option<&Call>) -> Self {
        match call {
            _ if request.method() == Method::HEAD => Self::Nothing,
            None => Self::Unknown,
            Some(call) if call.model().is_none() => {
                if headers::is_encoded(request.headers()) {
                    Self::Unknown
                } else {
                    Self::Other
                }
            }
            Some(call) if call.stream() => Self::Stream,
            Some(_) => Self::Json,
        }
    }

    /// How to read an answer with this head.
    pub(super) fn answered_by(self, headers: &HeaderMap) -> Answer {
        let is_sse = headers::is_event_stream(headers);
        // Nothing inside of it can be read without decoding it.
        let encoded = headers::is_encoded(headers);
        match self {
            // Other streams have events and ends of their own.
            Self::Nothing | Self::Other => Answer::Opaque,
            Self::Stream if !is_sse => Answer::Wrong,
            Self::Json if is_sse => Answer::Wrong,
            Self::Json => Answer::Json { object: !encoded },
            _ if encoded => Answer::Opaque,
            _ if is_sse => Answer::Events,
            Self::Unknown if headers::is_json(headers) => Answer::Json { object: false },
            Self::Stream | Self::Unknown => Answer::Opaque,
        }
    }
}

/// The length the head announces, where a shorter body is a cut one.
pub(super) fn announced_length(ask: Ask, headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    length.parse().ok().filter(|_| ask != Ask::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const SSE: &str = "text/event-stream; charset=utf-8";
    const JSON: &str = "application/json";

    fn answer(ask: Ask, content_type: &'static str, coding: Option<&'static str>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        if let Some(coding) = coding {
            headers.insert("content-encoding", HeaderValue::from_static(coding));
        }
        ask.answered_by(&headers)
    }

    #[test]
    fn an_answer_is_read_as_what_was_asked_for_and_what_it_says_it_is() {
        use Answer::{Events, Json, Opaque, Wrong};
        for (ask, sse, json, html) in [
            (Ask::Stream, Events, Wrong, Wrong),
            (
                Ask::Json,
                Wrong,
                Json { object: true },
                Json { object: true },
            ),
            (Ask::Unknown, Events, Json { object: false }, Opaque),
            (Ask::Other, Opaque, Opaque, Opaque),
            (Ask::Nothing, Opaque, Opaque, Opaque),
        ] {
            assert_eq!(answer(ask, SSE, None), sse, "{ask:?}");
            assert_eq!(answer(ask, SSE, Some("identity")), sse, "{ask:?}");
            assert_eq!(answer(ask, JSON, None), json, "{ask:?}");
            assert_eq!(answer(ask, "text/html", None), html, "{ask:?}");
        }
        assert_eq!(answer(Ask::Stream, "Text/Event-Stream", None), Events);
        assert_eq!(answer(Ask::Stream, SSE, Some("gzip")), Opaque);
        assert_eq!(
            answer(Ask::Json, JSON, Some("gzip")),
            Json { object: false }
        );
    }

    #[test]
    fn a_call_without_a_model_asks_for_anything() {
        let mut request = Request::new(());
        let stream = Call::new(Some("sonnet".into())).with_stream(true);
        let json = Call::new(Some("sonnet".into()));
        assert_eq!(Ask::of(&request, None), Ask::Unknown);
        assert_eq!(Ask::of(&request, Some(&stream)), Ask::Stream);
        assert_eq!(Ask::of(&request, Some(&json)), Ask::Json);
        assert_eq!(Ask::of(&request, Some(&Call::new(None))), Ask::Other);
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert("content-encoding", gzip);
        assert_eq!(Ask::of(&request, Some(&Call::new(None))), Ask::Unknown);
        *request.method_mut() = Method::HEAD;
        assert_eq!(Ask::of(&request, Some(&stream)), Ask::Nothing);
    }
}
