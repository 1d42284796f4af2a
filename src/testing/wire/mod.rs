//! A reply and a call, turned into the head and the body to send.

mod frames;
mod head;
mod stream;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, StatusCode};

use self::frames::{Frames, GRACE};
use super::body::Step;
use super::fault::{At, Fault};
use super::message::{Ask, Message, quoted};
use super::reply::{Framing, Kind, Pace, Reply};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

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

/// Writes the answer `reply` gives to `ask`. `natural` is the body a successful answer has at an
/// endpoint that is not Messages.
pub(super) fn answer(reply: &Reply, ask: &Ask, natural: Option<String>) -> Answer {
    let after = reply.head_after;
    match &reply.kind {
        Kind::Reset => Answer::Reset { after },
        Kind::Hang => Answer::Hang,
        Kind::Message(message) => match (natural, reply.framing, ask.stream) {
            (Some(json), ..) => whole(reply, ask, StatusCode::OK, Some(JSON), json.into(), after),
            (None, Framing::Sse, _) | (None, Framing::AsAsked, true) => {
                let (headers, body) = (head::sse(reply, ask), stream::steps(reply, ask, message));
                Answer::Respond {
                    after,
                    status: StatusCode::OK,
                    headers,
                    body,
                }
            }
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
            let message = format!("model: {}", ask.model);
            let json = error_json("not_found_error", &message, None, ask);
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
    match &reply.fault {
        Some((_, Fault::Error { kind, message })) => {
            bytes = error_json(kind, message, None, ask).into();
        }
        // Half of a JSON object is no JSON.
        Some((_, Fault::Malformed)) => bytes.truncate(bytes.len() / 2),
        _ => {}
    }
    let mut headers = head::head(reply, ask, content_type);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }

    let mut frames = Frames::new(reply);
    frames.pause(reply.pace.first_event_after);
    let strike = match &reply.fault {
        None | Some((_, Fault::Error { .. } | Fault::Malformed)) => bytes.len(),
        Some((At::Start | At::Ping, _)) => 0,
        Some(_) => bytes.len() / 2,
    };
    let rest = bytes.split_off(strike);
    frames.push(&bytes);
    match &reply.fault {
        None | Some((_, Fault::Error { .. } | Fault::Malformed)) => {}
        Some((_, Fault::Pause(pause))) => {
            frames.pause(*pause);
            frames.push(&rest);
        }
        // hyper drops what it has not sent yet when a body ends short of its length.
        Some((_, Fault::End)) => frames.pause(GRACE),
        Some((_, Fault::Cut)) => frames.cut(),
        Some((_, Fault::Close)) => frames.close(),
        Some((_, Fault::Stall | Fault::OnlyPings { .. })) => frames.step(Step::Stall),
    }
    Answer::Respond {
        after,
        status,
        headers,
        body: frames.end(),
    }
}
