//! A text-only message from JSON to a stream and back.

use super::no_usage;
use crate::claude::sse::{EventKind, Splitter};
use bytes::Bytes;
use memchr::{memchr, memchr2_iter};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, fmt::Write};

/// The most text in one delta, so that no event of ours comes near the bound of a splitter, escapes included.
const MAX_DELTA: usize = 16 << 10;

/// A complete message as the stream that would have brought it, in one piece.
///
/// Text and citations become deltas, `stop_reason`, `stop_sequence` and the final usage the `message_delta`; all other
/// fields, also unknown ones, stay in `message_start`. `None` if it is no message or has blocks other than text.
pub fn sse_from_message(message: &[u8]) -> Option<Bytes> {
    to_sse(serde_json::from_slice(message).ok()?)
}

pub(super) fn to_sse(mut message: Map<String, Value>) -> Option<Bytes> {
    if message.get("type")?.as_str()? != "message" {
        return None;
    }
    let Value::Array(blocks) = message.insert("content".to_owned(), json!([]))? else {
        return None;
    };
    let reason = message.insert("stop_reason".to_owned(), Value::Null)?;
    let sequence = message.insert("stop_sequence".to_owned(), Value::Null);
    // Both events need one.
    let usage = message
        .entry("usage")
        .or_insert_with(no_usage)
        .get("output_tokens")
        .map_or(json!({}), |tokens| json!({"output_tokens": tokens}));

    let mut out = String::new();
    event(
        &mut out,
        &json!({"type": "message_start", "message": message}),
    );
    for (index, block) in blocks.into_iter().enumerate() {
        write_block(&mut out, index, block)?;
    }
    let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
    event(
        &mut out,
        &json!({"type": "message_delta", "delta": delta, "usage": usage}),
    );
    event(&mut out, &json!({"type": "message_stop"}));
    Some(out.into())
}

fn write_block(out: &mut String, index: usize, mut block: Value) -> Option<()> {
    let fields = block.as_object_mut()?;
    if fields.get("type")?.as_str()? != "text" {
        return None;
    }
    let Value::String(text) = fields.insert("text".to_owned(), json!(""))? else {
        return None;
    };
    let citations = match fields.get_mut("citations") {
        Some(Value::Array(citations)) => std::mem::take(citations),
        _ => Vec::new(),
    };
    event(
        out,
        &json!({"type": "content_block_start", "index": index, "content_block": block}),
    );
    let texts = pieces(&text).map(|text| json!({"type": "text_delta", "text": text}));
    let citations = citations
        .into_iter()
        .map(|citation| json!({"type": "citations_delta", "citation": citation}));
    for delta in texts.chain(citations) {
        event(
            out,
            &json!({"type": "content_block_delta", "index": index, "delta": delta}),
        );
    }
    event(out, &json!({"type": "content_block_stop", "index": index}));
    Some(())
}

/// The text in pieces of at most [`MAX_DELTA`] bytes; one piece, if it is empty.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut at = text.len().min(MAX_DELTA);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (piece, left) = text.split_at(at);
        rest = Some(left).filter(|left| !left.is_empty());
        Some(piece)
    })
}

fn event(out: &mut String, data: &Value) {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    // A string takes everything.
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
}

/// A complete recorded stream as the message it brought.
///
/// `None` unless it is text only, every event of it is in order and parses, and it ended with `message_stop`: a stream
/// that is cut, holds an `error`, a tool call, thinking, or an event that is not known does not become a message.
pub fn message_from_sse(stream: &[u8]) -> Option<Bytes> {
    let mut reader = Reader::default();
    let mut start = 0;
    let mut bad = false;
    let mut splitter = Splitter::new();
    let _ = splitter.push(stream, |event| {
        let block = stream.get(start..event.end).unwrap_or_default();
        start = event.end;
        bad = bad || (!reader.stopped && reader.take(event.kind, block).is_none());
    });
    if bad || !reader.stopped {
        return None;
    }
    let mut message = reader.message?;
    message.insert("content".to_owned(), Value::Array(reader.blocks));
    Some(Value::Object(message).to_string().into())
}

/// A message as far as its stream has brought it.
#[derive(Default)]
struct Reader {
    message: Option<Map<String, Value>>,
    blocks: Vec<Value>,
    in_block: bool,
    stopped: bool,
}

impl Reader {
    /// Takes the next event; `None` if it does not belong there.
    fn take(&mut self, kind: EventKind, block: &[u8]) -> Option<()> {
        if kind == EventKind::Ping {
            return Some(());
        }
        let data = data_of(block);
        if kind == EventKind::ContentBlockDelta && self.in_block && self.text(&data).is_some() {
            return Some(());
        }
        let mut data: Value = serde_json::from_slice(&data).ok()?;
        match kind {
            EventKind::MessageStart if self.message.is_none() => {
                let Value::Object(message) = data.get_mut("message")?.take() else {
                    return None;
                };
                self.message = Some(message);
            }
            EventKind::ContentBlockStart if self.message.is_some() && !self.in_block => {
                let block = data.get_mut("content_block")?.take();
                if !super::is_text(&block) || !is_at(&data, self.blocks.len()) {
                    return None;
                }
                self.blocks.push(block);
                self.in_block = true;
            }
            EventKind::ContentBlockDelta if self.in_block => self.delta(&mut data)?,
            EventKind::ContentBlockStop if self.in_block => self.in_block = false,
            EventKind::MessageDelta if !self.in_block => self.message_delta(&data)?,
            EventKind::MessageStop if !self.in_block && self.message.is_some() => {
                self.stopped = true;
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes a piece of text in the form in which Claude sends it, as are nearly all events of a stream, without reading
    /// all of it. `None`: it is of another form, and nothing was taken.
    fn text(&mut self, data: &[u8]) -> Option<()> {
        let index = self.blocks.len().checked_sub(1)?;
        let Some(Value::String(text)) = self.blocks.last_mut()?.get_mut("text") else {
            return None;
        };
        let data = data.strip_prefix(b"{\"type\":\"content_block_delta\",\"index\":")?;
        let (said, data) = data.split_at(memchr(b',', data)?);
        let data = data.strip_prefix(b",\"delta\":{\"type\":\"text_delta\",\"text\":")?;
        // Claude puts spaces between the last two, so that lengths tell less.
        let data = trim_end(trim_end(data).strip_suffix(b"}")?).strip_suffix(b"}")?;
        if serde_json::from_slice(said).ok() != Some(index) {
            return None;
        }
        text.push_str(&string(data)?);
        Some(())
    }

    fn delta(&mut self, data: &mut Value) -> Option<()> {
        if !is_at(data, self.blocks.len().checked_sub(1)?) {
            return None;
        }
        let block = self.blocks.last_mut()?.as_object_mut()?;
        let delta = data.get_mut("delta")?;
        match delta.get("type")?.as_str()? {
            "text_delta" => {
                let Some(Value::String(text)) = block.get_mut("text") else {
                    return None;
                };
                text.push_str(delta.get("text")?.as_str()?);
            }
            "citations_delta" => {
                let citation = delta.get_mut("citation")?.take();
                match block.get_mut("citations") {
                    Some(Value::Array(citations)) => citations.push(citation),
                    _ => {
                        block.insert("citations".to_owned(), json!([citation]));
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn message_delta(&mut self, data: &Value) -> Option<()> {
        let message = self.message.as_mut()?;
        for (key, value) in data.get("delta")?.as_object()? {
            message.insert(key.clone(), value.clone());
        }
        let Some(Value::Object(usage)) = data.get("usage") else {
            return Some(());
        };
        // Cumulative: what it says replaces what was said before.
        if let Value::Object(total) = message.entry("usage").or_insert_with(no_usage) {
            let said = usage.iter().filter(|(_, value)| !value.is_null());
            total.extend(said.map(|(key, value)| (key.clone(), value.clone())));
        }
        Some(())
    }
}

fn is_at(data: &Value, index: usize) -> bool {
    data.get("index").and_then(Value::as_u64) == u64::try_from(index).ok()
}

/// Without the white space at the end of a line, as JSON knows it: a form feed is none.
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    line.get(..end.map_or(0, |end| end + 1)).unwrap_or_default()
}

/// A JSON string.
fn string(json: &[u8]) -> Option<Cow<'_, str>> {
    // Without escapes there is nothing to build.
    let plain: Option<&str> = serde_json::from_slice(json).ok();
    match plain {
        Some(plain) => Some(Cow::Borrowed(plain)),
        None => serde_json::from_slice(json).ok().map(Cow::Owned),
    }
}

/// The value of the `data` lines of one event.
fn data_of(block: &[u8]) -> Cow<'_, [u8]> {
    let mut start = 0;
    let ends = memchr2_iter(b'\n', b'\r', block).chain([block.len()]);
    let mut values = ends.filter_map(|end| {
        let line = block.get(start..end)?;
        start = end + 1;
        let value = line.strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    let mut data = Cow::Borrowed(values.next().unwrap_or_default());
    for value in values {
        let data = data.to_mut();
        data.push(b'\n');
        data.extend_from_slice(value);
    }
    data
}
