//! Turn what is still an error into an Anthropic-shaped answer.
