//! The keys that matter.

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
    /// The field of this key in the object `parent`, at the top level if there is none.
    pub(super) fn named(key: &str, parent: Option<Self>) -> Self {
        match (parent, key) {
            (None, "model") => Self::Model,
            (None, "messages") => Self::Messages,
            (None, "max_tokens") => Self::MaxTokens,
            (None, "stream") => Self::Stream,
            (None, "tools") => Self::Tools,
            (None, "mcp_servers") => Self::McpServers,
            (None, "tool_choice") => Self::ToolChoice,
            (None, "output_config") => Self::OutputConfig,
            (None, "output_format") => Self::OutputFormat,
            (Some(Self::ToolChoice), "type") => Self::ChoiceType,
            (Some(Self::OutputConfig), "format") => Self::ConfigFormat,
            _ => Self::Other,
        }
    }
}
