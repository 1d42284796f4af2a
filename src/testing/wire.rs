//! A reply and a call, turned into the head and the body to send.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::Step;
use super::fault::{At, Chunks, Fault, RetryAfter};
use super::message::{Ask, Event, Message, quoted};
use super::reply::{Framing, Kind, Pace, Reply};

/// How long bytes get to leave and to arrive before their connection breaks; see [`Fault::Cut`].
const GRACE: Duration = Duration::from_millis(5);

/// What the connection has to do for a call.
#[derive(Debug)]
pub(super) enum Answer {
    Respond {
        after: Duration,
        status: StatusCode,
        headers: HeaderMap,
        body: Vec<Step>,
    },
    Reset {
        after: Duration,
    },
    Hang,
}

/// Writes the answer `reply` gives to `ask`. `natural` is the body a successful answer has at an endpoint that is not
/// Messages.
pub(super) fn answer(reply: &Reply, ask: &Ask, natural: Option<String>) -> Answer {
    let after = reply.head_after;
    match &reply.kind {
        Kind::Reset => Answer::Reset { after },
        Kind::Hang => Answer::Hang,
        Kind::Message(message) => match (natural, reply.framing, ask.stream) {
            (Some(json), ..) => whole(reply, ask, StatusCode::OK, Some(JSON), json.into(), after),
            (None, Framing::Sse, _) | (None, Framing::AsAsked, true) => stream(reply, ask, message),
            (None, Framing::Json, _) | (None, Framing::AsAsked, false) => {
                let after = after.saturating_add(generation(message, reply.pace));
                whole(
                    reply,
                    ask,
                    StatusCode::OK,
                    Some(JSON),
                    message.json(ask).into(),
                    after,
                )
            }
        },
        Kind::OnlyPings { every } => {
            let mut frames = Frames::new(reply);
            frames.pause(reply.pace.first_event_after);
            let (ping, every) = (frames.encode(&Event::ping().text()), *every);
            let body = frames.end(&[Step::Repeat {
                data: ping.into(),
                every,
            }]);
            Answer::Respond {
                after,
                status: StatusCode::OK,
                headers: sse_head(reply, ask),
                body,
            }
        }
        Kind::Error {
            status,
            kind,
            message,
            code,
        } => {
            let json = error_json(kind, message, code.as_deref(), ask);
            whole(reply, ask, *status, Some(JSON), json.into(), after)
        }
        Kind::UnknownModel => {
            let json = error_json(
                "not_found_error",
                &format!("model: {}", ask.model),
                None,
                ask,
            );
            whole(
                reply,
                ask,
                StatusCode::NOT_FOUND,
                Some(JSON),
                json.into(),
                after,
            )
        }
        Kind::Raw { status, body } => whole(reply, ask, *status, None, body.clone(), after),
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const SSE: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// An error body in the API's shape.
fn error_json(kind: &str, message: &str, code: Option<&str>, ask: &Ask) -> String {
    let (kind, message, id) = (quoted(kind), quoted(message), quoted(&ask.request_id));
    let details = code
        .map(|code| format!(r#","details":{{"error_code":{}}}"#, quoted(code)))
        .unwrap_or_default();
    format!(
        r#"{{"type":"error","error":{{"type":{kind},"message":{message}{details}}},"request_id":{id}}}"#
    )
}

/// How long a model takes for an answer that is sent when it is done.
fn generation(message: &Message, pace: Pace) -> Duration {
    let pauses = u32::try_from(message.delta_count().saturating_sub(1)).unwrap_or(u32::MAX);
    pace.first_delta_after
        .saturating_add(pace.every.saturating_mul(pauses))
}

/// An answer with a `content-length`.
fn whole(
    reply: &Reply,
    ask: &Ask,
    status: StatusCode,
    content_type: Option<HeaderValue>,
    mut bytes: Bytes,
    after: Duration,
) -> Answer {
    let mut frames = Frames::new(reply);
    frames.pause(reply.pace.first_event_after);
    let mut last = None;
    let mut length = bytes.len();
    if let Some((at, fault)) = &reply.fault {
        let half = match at {
            At::Start | At::Ping => 0,
            _ => bytes.len() / 2,
        };
        match fault {
            Fault::Cut | Fault::End | Fault::Stall => {
                bytes.truncate(half);
                last = Some(fault);
            }
            Fault::Error { kind, message } => {
                bytes = error_json(kind, message, None, ask).into();
                length = bytes.len();
            }
            // Half of a JSON object is no JSON, and neither is what half of one character leaves.
            Fault::Malformed => {
                bytes.truncate(bytes.len() / 2);
                length = bytes.len();
            }
        }
    }
    frames.push(&bytes);
    let body = match last {
        // hyper drops what it has not sent yet when a body ends short of its length.
        Some(Fault::End) => frames.end(&[Step::Pause(GRACE)]),
        Some(fault) => frames.end(last_steps(fault)),
        None => frames.end(&[]),
    };
    let mut headers = head(reply, ask, content_type);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Answer::Respond {
        after,
        status,
        headers,
        body,
    }
}

/// An answer of events.
fn stream(reply: &Reply, ask: &Ask, message: &Message) -> Answer {
    let mut events: Vec<Event> = (0..reply.pings).map(|_| Event::ping()).collect();
    if matches!(reply.fault, Some((At::Ping, _))) && events.is_empty() {
        events.push(Event::ping());
    }
    let pings = events.len();
    events.extend(message.events(ask));
    let strike = reply
        .fault
        .as_ref()
        .map(|(at, fault)| (place(&events, pings, *at), fault));

    let mut frames = Frames::new(reply);
    frames.pause(reply.pace.first_event_after);
    let mut deltas = 0;
    for (index, event) in events.iter().enumerate() {
        if event.is_delta() {
            let first = deltas == 0;
            frames.pause(if first {
                reply.pace.first_delta_after
            } else {
                reply.pace.every
            });
            deltas += 1;
        }
        if let Some((place, fault)) = strike {
            if place.index == index {
                if place.torn {
                    let text = event.text();
                    frames.push(text.as_bytes().get(..text.len() / 2).unwrap_or_default());
                }
                match fault {
                    Fault::Malformed => frames.event(&Event::malformed()),
                    Fault::Error { kind, message } => {
                        frames.event(&Event::error(kind, message));
                        return respond_sse(reply, ask, frames.end(&[]));
                    }
                    _ => return respond_sse(reply, ask, frames.end(last_steps(fault))),
                }
            }
        }
        frames.event(event);
        if index < pings {
            frames.pause(reply.pace.every);
        }
    }
    respond_sse(reply, ask, frames.end(&[]))
}

/// The event a fault strikes before, or in the middle of.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    torn: bool,
}

fn place(events: &[Event], pings: usize, at: At) -> Place {
    let delta = |number: usize| {
        let mut deltas = events
            .iter()
            .enumerate()
            .filter(|(_, event)| event.is_delta());
        deltas.nth(number).map_or(events.len(), |(index, _)| index)
    };
    let before = |index| Place { index, torn: false };
    match at {
        At::Start => before(0),
        At::Ping => before(pings),
        At::MessageStart => before(pings + 1),
        At::Deltas(0) => before(delta(0)),
        At::Deltas(after) => before(delta(after - 1) + 1),
        At::MidDelta(after) => Place {
            index: delta(after),
            torn: true,
        },
        At::BeforeStop => before(events.len() - 1),
    }
}

/// The end of a body that a fault ends.
fn last_steps(fault: &Fault) -> &'static [Step] {
    match fault {
        Fault::Cut => &[Step::Pause(GRACE), Step::Reset],
        Fault::Stall => &[Step::Stall],
        Fault::End | Fault::Error { .. } | Fault::Malformed => &[],
    }
}

fn respond_sse(reply: &Reply, ask: &Ask, body: Vec<Step>) -> Answer {
    let (after, headers) = (reply.head_after, sse_head(reply, ask));
    Answer::Respond {
        after,
        status: StatusCode::OK,
        headers,
        body,
    }
}

fn sse_head(reply: &Reply, ask: &Ask) -> HeaderMap {
    let mut headers = head(reply, ask, Some(SSE));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    headers
}

/// The headers every answer has, with the reply's own in their place.
fn head(reply: &Reply, ask: &Ask, content_type: Option<HeaderValue>) -> HeaderMap {
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

/// Gathers events and pauses into frames of the wanted size.
struct Frames {
    chunks: Chunks,
    crlf: bool,
    held: Vec<u8>,
    steps: Vec<Step>,
}

impl Frames {
    fn new(reply: &Reply) -> Self {
        Self {
            chunks: reply.chunks,
            crlf: reply.crlf,
            held: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn encode(&self, text: &str) -> String {
        if self.crlf {
            text.replace('\n', "\r\n")
        } else {
            text.to_owned()
        }
    }

    fn event(&mut self, event: &Event) {
        let text = self.encode(&event.text());
        self.push(text.as_bytes());
    }

    fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.chunks == Chunks::PerEvent {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let held = Bytes::from(std::mem::take(&mut self.held));
        let size = match self.chunks {
            Chunks::Bytes(size) => size.max(1),
            Chunks::PerEvent | Chunks::Together => held.len().max(1),
        };
        self.steps.extend(
            held.chunks(size)
                .map(|part| Step::Data(held.slice_ref(part))),
        );
    }

    fn pause(&mut self, pause: Duration) {
        if !pause.is_zero() {
            self.flush();
            self.steps.push(Step::Pause(pause));
        }
    }

    fn end(mut self, last: &[Step]) -> Vec<Step> {
        self.flush();
        self.steps.extend_from_slice(last);
        self.steps
    }
}
