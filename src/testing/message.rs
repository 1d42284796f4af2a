//! A whole Message, written as JSON or as the events of a stream.
//!
//! Everything is written by hand in the order the API uses, so that what a test reads looks like
//! what it will meet.

use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: String,
}

impl Event {
    fn new(name: &'static str, data: String) -> Self {
        Self { name, data }
    }

    pub(super) fn ping() -> Self {
        Self::new("ping", r#"{"type":"ping"}"#.into())
    }

    pub(super) fn error(kind: &str, message: &str) -> Self {
        let (kind, message) = (quoted(kind), quoted(message));
        let data = format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#);
        Self::new("error", data)
    }

    /// An event whose data stops in the middle of a JSON string.
    pub(super) fn malformed() -> Self {
        let data = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_del"#;
        Self::new("content_block_delta", data.into())
    }

    pub(super) fn is_delta(&self) -> bool {
        self.name == "content_block_delta"
    }

    pub(super) fn text(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.name, self.data)
    }
}

/// What an answer needs to know of its call.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) input_tokens: u64,
    pub(super) message_id: String,
    pub(super) request_id: String,
}

#[derive(Clone, Debug)]
enum Block {
    Thinking(String),
    Text(String),
    ToolUse { name: String, input: Value },
}

/// The content of a successful answer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    blocks: Vec<Block>,
    /// Deltas per text block; `None`: one for each word.
    pub(super) deltas: Option<usize>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) stop_reason: String,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            blocks: vec![Block::Text("Hello from the fake Claude.".into())],
            deltas: None,
            input_tokens: None,
            output_tokens: None,
            stop_reason: "end_turn".into(),
        }
    }
}

impl Message {
    pub(super) fn set_text(&mut self, text: String) {
        for block in &mut self.blocks {
            if let Block::Text(old) = block {
                *old = text;
                return;
            }
        }
    }

    pub(super) fn add_thinking(&mut self, text: String) {
        self.blocks.insert(0, Block::Thinking(text));
    }

    pub(super) fn add_tool_use(&mut self, name: String, input: Value) {
        self.blocks.push(Block::ToolUse { name, input });
        self.stop_reason = "tool_use".into();
    }

    /// How many `content_block_delta` events a stream of this message has.
    pub(super) fn delta_count(&self) -> usize {
        self.blocks
            .iter()
            .map(|block| self.deltas_of(block, 0).len())
            .sum()
    }

    /// The message as the body of an answer that is no stream.
    pub(super) fn json(&self, ask: &Ask) -> String {
        let content: Vec<String> = self
            .blocks
            .iter()
            .enumerate()
            .map(|(i, block)| block.json(ask, i))
            .collect();
        let usage = self.usage(ask, self.output());
        Self::envelope(ask, &content.join(","), &quoted(&self.stop_reason), &usage)
    }

    /// The message as the events of a stream, `message_start` to `message_stop`, with the one ping
    /// the API sends after the first block has begun.
    pub(super) fn events(&self, ask: &Ask) -> Vec<Event> {
        let start = Self::envelope(ask, "", "null", &self.usage(ask, 1));
        let start = format!(r#"{{"type":"message_start","message":{start}}}"#);
        let mut events = vec![Event::new("message_start", start)];
        for (index, block) in self.blocks.iter().enumerate() {
            let empty = block.opening(ask, index);
            let open = format!(
                r#"{{"type":"content_block_start","index":{index},"content_block":{empty}}}"#
            );
            events.push(Event::new("content_block_start", open));
            if index == 0 {
                events.push(Event::ping());
            }
            for delta in self.deltas_of(block, index) {
                events.push(Event::new("content_block_delta", delta));
            }
            let close = format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
            events.push(Event::new("content_block_stop", close));
        }
        let (reason, output) = (quoted(&self.stop_reason), self.output());
        let delta = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":{reason},"stop_sequence":null}},"usage":{{"output_tokens":{output}}}}}"#
        );
        events.push(Event::new("message_delta", delta));
        events.push(Event::new(
            "message_stop",
            r#"{"type":"message_stop"}"#.into(),
        ));
        events
    }

    fn envelope(ask: &Ask, content: &str, stop_reason: &str, usage: &str) -> String {
        let (id, model) = (quoted(&ask.message_id), quoted(&ask.model));
        format!(
            r#"{{"id":{id},"type":"message","role":"assistant","model":{model},"content":[{content}],"stop_reason":{stop_reason},"stop_sequence":null,"usage":{usage}}}"#
        )
    }

    fn usage(&self, ask: &Ask, output: u64) -> String {
        let input = self.input_tokens.unwrap_or(ask.input_tokens);
        format!(
            r#"{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{output}}}"#
        )
    }

    /// Output tokens: as told, or a token for each word and bracket-free piece of JSON.
    fn output(&self) -> u64 {
        let words = |block: &Block| match block {
            Block::Text(text) | Block::Thinking(text) => text.split_whitespace().count(),
            Block::ToolUse { input, .. } => input.to_string().len() / 4 + 1,
        };
        let counted: usize = self.blocks.iter().map(words).sum();
        self.output_tokens
            .unwrap_or_else(|| counted.try_into().unwrap_or(u64::MAX))
    }

    fn deltas_of(&self, block: &Block, index: usize) -> Vec<String> {
        let delta = |fields: String| {
            format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{{fields}}}}}"#)
        };
        let text = |piece: &str| delta(format!(r#""type":"text_delta","text":{}"#, quoted(piece)));
        match block {
            Block::Text(all) => match self.deltas {
                Some(pieces) => split_evenly(all, pieces)
                    .iter()
                    .map(|piece| text(piece))
                    .collect(),
                None if all.is_empty() => vec![text("")],
                None => all.split_inclusive(' ').map(text).collect(),
            },
            Block::Thinking(all) => {
                let thought = quoted(all);
                vec![
                    delta(format!(r#""type":"thinking_delta","thinking":{thought}"#)),
                    delta(r#""type":"signature_delta","signature":"ZmFrZQ==""#.into()),
                ]
            }
            Block::ToolUse { input, .. } => split_evenly(&input.to_string(), 2)
                .iter()
                .map(|piece| {
                    delta(format!(
                        r#""type":"input_json_delta","partial_json":{}"#,
                        quoted(piece)
                    ))
                })
                .collect(),
        }
    }
}

impl Block {
    fn json(&self, ask: &Ask, index: usize) -> String {
        match self {
            Self::Text(text) => format!(r#"{{"type":"text","text":{}}}"#, quoted(text)),
            Self::Thinking(text) => {
                let thought = quoted(text);
                format!(r#"{{"type":"thinking","thinking":{thought},"signature":"ZmFrZQ=="}}"#)
            }
            Self::ToolUse { name, input } => tool_use(ask, index, name, &input.to_string()),
        }
    }

    /// The block as `content_block_start` announces it.
    fn opening(&self, ask: &Ask, index: usize) -> String {
        match self {
            Self::Text(_) => r#"{"type":"text","text":""}"#.into(),
            Self::Thinking(_) => r#"{"type":"thinking","thinking":"","signature":""}"#.into(),
            Self::ToolUse { name, .. } => tool_use(ask, index, name, "{}"),
        }
    }
}

fn tool_use(ask: &Ask, index: usize, name: &str, input: &str) -> String {
    let id = quoted(&format!(
        "{}_{index}",
        ask.message_id.replacen("msg_", "toolu_", 1)
    ));
    let name = quoted(name);
    format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#)
}

/// `text` as a JSON string, with its quotes.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// `text` in exactly `pieces` parts of about the same number of characters; parts are empty where
/// it is too short.
fn split_evenly(text: &str, pieces: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut rest = chars.as_slice();
    let mut parts = Vec::with_capacity(pieces);
    for left in (1..=pieces).rev() {
        let (part, after) = rest.split_at(rest.len().div_ceil(left));
        parts.push(part.iter().collect());
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Ask {
        Ask {
            model: "claude-\"x\"".into(),
            stream: true,
            input_tokens: 25,
            message_id: "msg_1".into(),
            request_id: "req_1".into(),
        }
    }

    #[test]
    fn text_splits_into_exactly_the_asked_number_of_parts_and_joins_again() {
        for pieces in 1..20 {
            let parts = split_evenly("grüße, wörld", pieces);
            assert_eq!(
                (parts.len(), parts.concat()),
                (pieces, "grüße, wörld".into())
            );
        }
    }

    #[test]
    fn every_event_of_a_message_with_all_kinds_of_blocks_is_json_of_its_own_type() {
        let mut message = Message::default();
        message.add_thinking("let \"me\" see\n".into());
        message.add_tool_use("clock".into(), serde_json::json!({"zone": "UTC"}));
        let events = message.events(&ask());
        for event in &events {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            assert_eq!(data["type"], event.name);
        }
        let deltas = events.iter().filter(|event| event.is_delta()).count();
        assert_eq!(deltas, message.delta_count());
        let json: Value = serde_json::from_str(&message.json(&ask())).unwrap();
        assert_eq!(json["model"], "claude-\"x\"");
        assert_eq!(json["content"][2]["input"]["zone"], "UTC");
        assert_eq!(json["stop_reason"], "tool_use");
    }
}
