//! Scripts of the fake Claude as JSON, for tests that are not Rust.
//!
//! A script is a list of replies for one call after the other, of which the last stays, or a single one. A reply is a name
//! (`"overloaded"`) or an object of a name and of settings, which are called as the methods of [`Reply`] are:
//!
//! ```json
//! [{"is": "rate_limited", "retry_after": {"seconds": 1}}, {"text": "Hello", "fail": {"after_deltas": 2, "with": "cut"}}]
//! ```

use serde_json::{Map, Value};
use std::time::Duration;
use tower_claude::testing::{At, Fault, Reply, RetryAfter, Script};

pub fn script(script: &Value) -> Result<Script, String> {
    let Value::Array(all) = script else {
        return Ok(reply(script)?.into());
    };
    let mut replies = all.iter().map(reply).collect::<Result<Vec<_>, _>>()?;
    let last = replies.pop().ok_or("a script without a reply")?;
    Ok(Script::sequence(replies).always(last))
}

pub fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{value} is no object"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn number(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("{value} is no whole number"))
}

fn count(value: &Value) -> Result<usize, String> {
    usize::try_from(number(value)?).map_err(|error| error.to_string())
}

fn millis(value: &Value) -> Result<Duration, String> {
    Ok(Duration::from_millis(number(value)?))
}

fn reply(value: &Value) -> Result<Reply, String> {
    if let Value::String(name) = value {
        return named(name);
    }
    let mut settings = object(value)?.clone();
    let mut reply = match (settings.remove("is"), settings.remove("status")) {
        (Some(name), None) => named(text(&name)?)?,
        (None, Some(status)) => with_status(&status, &mut settings)?,
        (None, None) => Reply::ok(),
        (Some(_), Some(_)) => return Err("`is` and `status`: one of them".into()),
    };
    for (key, value) in &settings {
        reply = set(reply, key, value)?;
    }
    Ok(reply)
}

fn named(name: &str) -> Result<Reply, String> {
    Ok(match name {
        "ok" => Reply::ok(),
        "overloaded" => Reply::overloaded(),
        "rate_limited" => Reply::rate_limited(RetryAfter::Unsaid),
        "spend_limit" => Reply::spend_limit(),
        "no_credit" => Reply::no_credit(),
        "unknown_model" => Reply::unknown_model(),
        "unauthorized" => Reply::unauthorized(),
        "server_error" => Reply::server_error(),
        "unavailable" => Reply::unavailable(),
        "timed_out" => Reply::timed_out(),
        "reset" => Reply::reset(),
        "hang" => Reply::hang(),
        _ => return Err(format!("there is no reply {name}")),
    })
}

/// `{"status": 409, "error": "conflict_error"}`, or a body of any kind: `{"status": 200, "json": {…}}`.
fn with_status(status: &Value, settings: &mut Map<String, Value>) -> Result<Reply, String> {
    let code = u16::try_from(number(status)?).map_err(|error| error.to_string())?;
    match settings.remove("error") {
        Some(kind) => Ok(Reply::error(
            code,
            text(&kind)?,
            format!("as scripted: {code}"),
        )),
        None => Ok(Reply::status(code)),
    }
}

fn set(reply: Reply, key: &str, value: &Value) -> Result<Reply, String> {
    Ok(match key {
        "text" => reply.text(text(value)?),
        "tokens" => reply.tokens(count(value)?),
        "deltas" => reply.deltas(count(value)?),
        "thinking" => reply.thinking(text(value)?),
        "tool_use" => reply.tool_use(text(&value["name"])?, value["input"].clone()),
        "pings" => reply.pings(count(value)?),
        "every_ms" => reply.every(millis(value)?),
        "json" => reply.json(value),
        "body" => reply.body(text(value)?.to_owned()),
        "retry_after" => reply.retry_after(retry_after(value)?),
        "should_retry" => reply.should_retry(value == true),
        "headers" => {
            let mut reply = reply;
            for (name, value) in object(value)? {
                reply = reply.header(name, text(value)?);
            }
            reply
        }
        "fail" => reply.fail(at(value)?, fault(&value["with"])?),
        _ => return Err(format!("a reply has no setting {key}")),
    })
}

/// `{"seconds": 1}`, `{"fraction": 0.05}`, `{"millis": 50}`, `{"date_in": 2}`, `{"date_ago": 5}`, `{"text": "soon"}`.
fn retry_after(value: &Value) -> Result<RetryAfter, String> {
    let form = object(value)?.iter().next();
    let (form, value) = form.ok_or("a retry_after without a form")?;
    Ok(match form.as_str() {
        "seconds" => RetryAfter::Seconds(number(value)?),
        "fraction" => RetryAfter::Fraction(value.as_f64().ok_or("a fraction is a number")?),
        "millis" => RetryAfter::Millis(number(value)?),
        "date_in" => RetryAfter::DateIn(Duration::from_secs(number(value)?)),
        "date_ago" => RetryAfter::DateAgo(Duration::from_secs(number(value)?)),
        "text" => RetryAfter::Text(text(value)?.to_owned()),
        _ => return Err(format!("a retry_after has no form {form}")),
    })
}

/// Where in an answer it fails: `{"after_deltas": 2, …}`, else `{"at": "start" | "message_start" | "before_stop", …}`.
fn at(value: &Value) -> Result<At, String> {
    if let Some(deltas) = value.get("after_deltas") {
        return Ok(At::Deltas(count(deltas)?));
    }
    Ok(match text(&value["at"])? {
        "start" => At::Start,
        "message_start" => At::MessageStart,
        "before_stop" => At::BeforeStop,
        place => return Err(format!("an answer has no place {place}")),
    })
}

fn fault(value: &Value) -> Result<Fault, String> {
    Ok(match text(value)? {
        "cut" => Fault::Cut,
        "close" => Fault::Close,
        "end" => Fault::End,
        "stall" => Fault::Stall,
        "overloaded" => Fault::overloaded(),
        "api_error" => Fault::api_error(),
        name => return Err(format!("there is no fault {name}")),
    })
}
