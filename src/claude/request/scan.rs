//! The incremental scan: a state machine over bytes that never looks back.

use std::sync::Arc;

use super::field::Field;
use super::held::{self, Held};
use super::splice::{Patch, Patches, Slot};
use super::{NotMessages, RequestFacts};
use crate::claude::outline::close_of;

/// The scan of a request body, fed segment by segment; see the [module docs](super).
///
/// It holds a few hundred bytes, allocates nothing but the name of the model, and gives the same
/// result however the body is cut into segments.
#[derive(Debug)]
pub struct RequestScan {
    state: State,
    /// Bytes of the body before the one looked at.
    seen: usize,
    /// The watched object the scan is in, if it is not at the top level.
    parent: Option<Field>,
    /// What the current key means.
    field: Field,
    /// Where the current value starts.
    start: usize,
    /// The key or value being read, as it is written.
    held: Held,
    /// The next byte of a string is escaped by a backslash.
    escaped: bool,
    /// Open brackets of a value that is skipped.
    depth: usize,
    /// Within a string of a value that is skipped.
    quoted: bool,
    found: Found,
}

/// What was found so far; of a repeated key, the last.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not a state"
)]
struct Found {
    model: Option<Arc<str>>,
    max_tokens: Option<u64>,
    messages: bool,
    stream: bool,
    tools: bool,
    mcp_servers: bool,
    forced_tool: bool,
    format_in_config: bool,
    output_format: bool,
    patches: Patches,
    fixed: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before the object.
    Start,
    /// Within the byte order mark.
    Mark,
    /// After `{`.
    FirstKey,
    /// After a comma.
    NextKey,
    InKey,
    Colon,
    Value,
    InText,
    /// Within a number, `true`, `false` or `null`.
    InScalar,
    /// After the `[` of `tools` or `mcp_servers`.
    FirstTool,
    /// Within an object or array that is skipped.
    Nested,
    AfterValue,
    Closed,
    /// Something follows the object.
    Trailing,
    Broken {
        at: usize,
    },
}

impl Default for RequestScan {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestScan {
    /// A scan that has seen nothing yet.
    pub fn new() -> Self {
        Self {
            state: State::Start,
            seen: 0,
            parent: None,
            field: Field::Other,
            start: 0,
            held: Held::default(),
            escaped: false,
            depth: 0,
            quoted: false,
            found: Found::default(),
        }
    }

    /// Look at the next segment of the body; it may be empty.
    pub fn feed(&mut self, segment: &[u8]) {
        let mut rest = segment;
        while !rest.is_empty() {
            let used = match self.state {
                State::InKey | State::InText => self.text(rest),
                State::InScalar => self.scalar(rest),
                State::Nested => self.nested(rest),
                State::Trailing | State::Broken { .. } => rest.len(),
                _ => self.token(rest),
            };
            self.seen += used;
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// The facts, once the body has ended.
    ///
    /// # Errors
    ///
    /// [`NotMessages`] if the body was not one whole JSON object. What follows the object is no
    /// error, but makes the request one that cannot be rewritten.
    pub fn finish(self) -> Result<RequestFacts, NotMessages> {
        let trailing = match self.state {
            State::Closed => false,
            State::Trailing => true,
            State::Start => return Err(NotMessages::Empty),
            State::Broken { at } => return Err(NotMessages::Malformed { at: at as u64 }),
            _ => return Err(NotMessages::Truncated),
        };
        let found = self.found;
        Ok(RequestFacts {
            model: found.model,
            messages: found.messages,
            max_tokens: found.max_tokens,
            stream: found.stream,
            tools: found.tools || found.mcp_servers,
            forced_tool: found.forced_tool,
            structured_output: found.format_in_config || found.output_format,
            body_bytes: self.seen as u64,
            patches: found.patches,
            fixed: found.fixed || trailing,
        })
    }

    /// White space, and at most one byte of structure after it.
    fn token(&mut self, rest: &[u8]) -> usize {
        let space = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .count();
        let Some(&byte) = rest.get(space) else {
            return space;
        };
        let at = self.seen + space;
        self.state = match (self.state, byte) {
            (State::Start, b'{') => State::FirstKey,
            // The byte order mark, EF BB BF, at the very start.
            (State::Start, 0xEF) if at == 0 => State::Mark,
            (State::Mark, 0xBB) if at == 1 => State::Mark,
            (State::Mark, 0xBF) if at == 2 => State::Start,
            (State::FirstKey | State::NextKey, b'"') => {
                self.held.clear();
                State::InKey
            }
            (State::Colon, b':') => State::Value,
            (State::Value, byte) => self.value(byte, at),
            (State::FirstTool, b']') => State::AfterValue,
            (State::FirstTool, _) => {
                match self.field {
                    Field::McpServers => self.found.mcp_servers = true,
                    _ => self.found.tools = true,
                }
                self.state = self.skip();
                // The byte belongs to what is skipped.
                return space;
            }
            (State::AfterValue, b',') => State::NextKey,
            (State::FirstKey | State::AfterValue, b'}') => match self.parent.take() {
                Some(_) => State::AfterValue,
                None => State::Closed,
            },
            (State::Closed, _) => State::Trailing,
            _ => State::Broken { at },
        };
        // The first byte of a scalar is read with the rest of it.
        space + usize::from(!matches!(self.state, State::InScalar))
    }

    /// The first byte of a value: what a repeated key said before is forgotten here.
    fn value(&mut self, byte: u8, at: usize) -> State {
        self.start = at;
        let found = &mut self.found;
        match self.field {
            Field::Model => {
                found.model = None;
                found.fixed |= byte != b'"';
            }
            Field::Messages => found.messages = byte == b'[',
            Field::MaxTokens => found.max_tokens = None,
            Field::Stream => found.stream = false,
            Field::Tools => found.tools = false,
            Field::McpServers => found.mcp_servers = false,
            Field::ToolChoice | Field::ChoiceType => found.forced_tool = false,
            Field::OutputConfig => found.format_in_config = false,
            // `null` is as good as absent.
            Field::ConfigFormat => found.format_in_config = byte != b'n',
            Field::OutputFormat => found.output_format = byte != b'n',
            Field::Other => {}
        }
        match (self.field, byte) {
            (_, b'"') => {
                self.held.clear();
                State::InText
            }
            (Field::Tools | Field::McpServers, b'[') => State::FirstTool,
            // These fields exist at the top level only, so the scan is never deeper than one.
            (Field::ToolChoice | Field::OutputConfig, b'{') => {
                self.parent = Some(self.field);
                State::FirstKey
            }
            (_, b'{' | b'[') => self.skip(),
            (_, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.held.clear();
                State::InScalar
            }
            _ => State::Broken { at },
        }
    }

    /// Skip the object or array whose bracket has just been read.
    fn skip(&mut self) -> State {
        self.depth = 1;
        self.quoted = false;
        State::Nested
    }

    fn nested(&mut self, rest: &[u8]) -> usize {
        let mut at = 0;
        loop {
            if self.quoted {
                let tail = rest.get(at..).unwrap_or_default();
                let Some(close) = close_of(tail, &mut self.escaped) else {
                    return rest.len();
                };
                self.quoted = false;
                at += close;
            }
            let Some(byte) = rest.get(at) else {
                return rest.len();
            };
            at += 1;
            match byte {
                b'"' => self.quoted = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.state = State::AfterValue;
                        return at;
                    }
                }
                _ => {}
            }
        }
    }

    fn text(&mut self, rest: &[u8]) -> usize {
        let close = close_of(rest, &mut self.escaped);
        let used = close.unwrap_or(rest.len());
        let part = rest.get(..used).unwrap_or_default();
        let key = matches!(self.state, State::InKey);
        let is_read = key || matches!(self.field, Field::Model | Field::ChoiceType);
        if close.is_none() {
            if is_read {
                self.held.push(part);
            }
            return used;
        }
        if key {
            let raw = self.held.with(part);
            self.field = raw.map_or(Field::Other, |raw| Field::of(raw, self.parent));
            self.state = State::Colon;
            return used;
        }
        self.state = State::AfterValue;
        if !is_read {
            return used;
        }
        let text = self.held.with(part).and_then(held::text);
        let found = &mut self.found;
        if self.field == Field::Model {
            found.model = text.map(Arc::from);
            let patch = Patch {
                start: self.start,
                end: self.seen + used,
                slot: Slot::Model,
            };
            found.fixed |= found.model.is_none() || !found.patches.push(patch);
        } else {
            found.forced_tool = matches!(text.as_deref(), Some("any" | "tool"));
        }
        used
    }

    fn scalar(&mut self, rest: &[u8]) -> usize {
        let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let used = rest.iter().take_while(part).count();
        let part = rest.get(..used).unwrap_or_default();
        if used == rest.len() {
            self.held.push(part);
            return used;
        }
        self.state = State::AfterValue;
        let found = &mut self.found;
        match self.field {
            Field::MaxTokens => {
                found.max_tokens = self.held.with(part).and_then(held::number);
                if let Some(tokens) = found.max_tokens {
                    let (start, end) = (self.start, self.seen + used);
                    let patch = Patch {
                        start,
                        end,
                        slot: Slot::MaxTokens(tokens),
                    };
                    found.fixed |= !found.patches.push(patch);
                }
            }
            Field::Stream => found.stream = self.held.with(part) == Some(b"true"),
            _ => {}
        }
        used
    }
}
