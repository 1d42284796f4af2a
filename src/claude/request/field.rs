//! The keys that matter.

use super::held::text;

/// A key that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Messages,
    MaxTokens,
    Stream,
    Tools,
    McpServers,
    ToolChoice,
    OutputConfig,
    OutputFormat,
    /// `type` in `tool_choice`.
    ChoiceType,
    /// `format` in `output_config`.
    ConfigFormat,
    Other,
}

impl Field {
    /// The field of a key as it is written, with its closing quote.
    pub(super) fn of(raw: &[u8], parent: Option<Self>) -> Self {
        let plain = raw.strip_suffix(b"\"").unwrap_or(raw);
        match Self::named(plain, parent) {
            // Any name can be written with escapes.
            Self::Other if plain.contains(&b'\\') => {
                text(raw).map_or(Self::Other, |key| Self::named(key.as_bytes(), parent))
            }
            field => field,
        }
    }

    /// The field of this key in the object `parent`, at the top level if there is none.
    fn named(key: &[u8], parent: Option<Self>) -> Self {
        match (parent, key) {
            (None, b"model") => Self::Model,
            (None, b"messages") => Self::Messages,
            (None, b"max_tokens") => Self::MaxTokens,
            (None, b"stream") => Self::Stream,
            (None, b"tools") => Self::Tools,
            (None, b"mcp_servers") => Self::McpServers,
            (None, b"tool_choice") => Self::ToolChoice,
            (None, b"output_config") => Self::OutputConfig,
            (None, b"output_format") => Self::OutputFormat,
            (Some(Self::ToolChoice), b"type") => Self::ChoiceType,
            (Some(Self::OutputConfig), b"format") => Self::ConfigFormat,
            _ => Self::Other,
        }
    }
}
