//! The body of a failed answer, as far as it can be read.
//!
//! The Claude API answers a failure with an envelope of its own; the platforms that host Claude and
//! the gateways before it have others, and the edge answers with HTML or nothing at all. All of
//! them are read into one [`ErrorBody`], whose questions are the ones that decide what a failure
//! means: does it name a model that is gone, is the money spent, is the service overloaded.
//!
//! Read are, in this order of likelihood:
//!
//! * Anthropic's `{"type":"error","error":{"type":…,"message":…,"details":…},"request_id":…}`;
//! * Google's `{"error":{"code":429,"message":…,"status":"RESOURCE_EXHAUSTED"}}`, also as the first
//!   element of an array;
//! * Amazon's `{"message":…}`, and a bare `{"error":"…"}`.
//!
//! # Example
//!
//! ```
//! use tower_claude::claude::error::{ErrorBody, ErrorType};
//!
//! let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
//! let error = ErrorBody::parse(body).unwrap();
//! assert_eq!(error.error_type, Some(ErrorType::Overloaded));
//! assert!(!error.is_spend_limit());
//!
//! assert_eq!(ErrorBody::parse(b"<html>502 Bad Gateway</html>"), None);
//! ```

use std::fmt;

use serde_json::{Map, Value};

/// The longest body that is parsed, in bytes: 64 KiB. A longer one is no error body.
pub const MAX_BODY: usize = 64 * 1024;

/// The most that is kept of a message, in bytes: 1 KiB, cut between two characters.
pub const MAX_MESSAGE: usize = 1024;

/// The most that is kept of a type, a code or an id, in bytes.
const MAX_WORD: usize = 128;

/// What the body of a failed answer says; see the [module docs](self).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorBody {
    /// The type of the error, where one is named.
    pub error_type: Option<ErrorType>,
    /// The text for people, empty where there is none, at most [`MAX_MESSAGE`] bytes.
    pub message: String,
    /// The machine-readable code, `error.details.error_code`. Prefer it to the message.
    pub error_code: Option<String>,
    /// The id of the call, the same as the `request-id` header.
    pub request_id: Option<String>,
    documented: bool,
}

impl ErrorBody {
    /// Read a whole body; `None` if it is no error body, is cut, or is longer than [`MAX_BODY`].
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BODY {
            return None;
        }
        let parsed = match serde_json::from_slice(body).ok()? {
            Value::Array(elements) => elements.into_iter().next()?,
            value => value,
        };
        let Value::Object(top) = parsed else {
            return None;
        };
        let documented = text(&top, "type") == Some("error");
        let request_id = text(&top, "request_id").map(word);
        let plain = |message: &str| Self {
            error_type: None,
            message: cut(message, MAX_MESSAGE).to_owned(),
            error_code: None,
            request_id: request_id.clone(),
            documented: false,
        };
        match top.get("error") {
            Some(Value::Object(error)) => {
                let name = text(error, "type").or_else(|| text(error, "status"));
                let message = text(error, "message");
                if name.is_none() && message.is_none() {
                    return None;
                }
                let details = error.get("details").and_then(Value::as_object);
                Some(Self {
                    error_type: name.map(ErrorType::from),
                    error_code: details.and_then(|all| text(all, "error_code")).map(word),
                    documented,
                    ..plain(message.unwrap_or_default())
                })
            }
            Some(Value::String(message)) => Some(plain(message)),
            // Some services of Amazon write the key with a capital.
            _ => text(&top, "message")
                .or_else(|| text(&top, "Message"))
                .map(plain),
        }
    }

    /// Whether this is the envelope that Anthropic documents, `"type":"error"` with an object.
    ///
    /// The only one to believe under a status of success, where the other forms may be an answer.
    pub fn is_documented(&self) -> bool {
        self.documented
    }

    /// Whether the message starts with `model:`, as a 404 does for an unknown or retired model.
    pub fn names_model(&self) -> bool {
        self.message.starts_with("model:")
    }

    /// Whether the account has no money or allowance left: no wait of ours and no other model helps.
    ///
    /// True for `billing_error`, for the codes that end in `_spend_limit_reached` (`enforced_`,
    /// `contract_`, `linked_organization_` …), and for the three messages that the API writes
    /// without a code: the credit balance, and the usage limits that an organization or a workspace
    /// has set for itself.
    pub fn is_spend_limit(&self) -> bool {
        const MESSAGES: [&str; 3] = [
            "credit balance is too low",
            "specified API usage limits",
            "workspace API usage limits",
        ];
        self.error_type == Some(ErrorType::Billing)
            || self
                .error_code
                .as_deref()
                .is_some_and(|code| code.ends_with("_spend_limit_reached"))
            || MESSAGES.iter().any(|part| self.message.contains(part))
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

fn word(text: &str) -> String {
    cut(text, MAX_WORD).to_owned()
}

/// The start of a text, at most `max` bytes, cut between two characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The `type` of an error; Google's `status` words are read as their counterparts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorType {
    /// `invalid_request_error`: the request is wrong, or another 4xx.
    InvalidRequest,
    /// `authentication_error`: the key is wrong, revoked or expired.
    Authentication,
    /// `billing_error`: a payment is missing.
    Billing,
    /// `permission_error`: the key may not use what it asks for.
    Permission,
    /// `not_found_error`: no such path, or no such model.
    NotFound,
    /// `conflict_error`: another call holds what this one needs.
    Conflict,
    /// `request_too_large`: more than the 32 MB the API takes.
    RequestTooLarge,
    /// `rate_limit_error`: the limit of this account, not the capacity of the service.
    RateLimit,
    /// `timeout_error`: the service took too long.
    Timeout,
    /// `api_error`: the service failed.
    Api,
    /// `overloaded_error`: the service has no capacity, for anybody.
    Overloaded,
    /// Any other type, at most 128 bytes of it.
    Other(Box<str>),
}

impl ErrorType {
    /// The word the API uses for this type.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Billing => "billing_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::Conflict => "conflict_error",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Timeout => "timeout_error",
            Self::Api => "api_error",
            Self::Overloaded => "overloaded_error",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for ErrorType {
    fn from(word: &str) -> Self {
        match word {
            "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => {
                Self::InvalidRequest
            }
            "authentication_error" | "UNAUTHENTICATED" => Self::Authentication,
            "billing_error" => Self::Billing,
            "permission_error" | "PERMISSION_DENIED" => Self::Permission,
            "not_found_error" | "NOT_FOUND" => Self::NotFound,
            "conflict_error" | "ABORTED" => Self::Conflict,
            "request_too_large" => Self::RequestTooLarge,
            "rate_limit_error" | "RESOURCE_EXHAUSTED" => Self::RateLimit,
            "timeout_error" | "DEADLINE_EXCEEDED" => Self::Timeout,
            "api_error" | "INTERNAL" => Self::Api,
            "overloaded_error" | "UNAVAILABLE" => Self::Overloaded,
            other => Self::Other(cut(other, MAX_WORD).into()),
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> ErrorBody {
        ErrorBody::parse(body.as_bytes()).unwrap()
    }

    fn with_message(message: &str) -> ErrorBody {
        let error = serde_json::json!({"type": "invalid_request_error", "message": message});
        parse(&serde_json::json!({"type": "error", "error": error}).to_string())
    }

    #[test]
    fn the_documented_envelope_is_read_whole() {
        let error = parse(
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow down",
                "details":{"error_code":"ramp_limit_exceeded"}},"request_id":"req_1"}"#,
        );
        assert_eq!(error.error_type, Some(ErrorType::RateLimit));
        assert_eq!(error.message, "Slow down");
        assert_eq!(error.error_code.as_deref(), Some("ramp_limit_exceeded"));
        assert_eq!(error.request_id.as_deref(), Some("req_1"));
        assert!(error.is_documented());
        assert!(!error.is_spend_limit());
    }

    #[test]
    fn details_may_be_null() {
        let error = parse(
            r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"}}"#,
        );
        assert_eq!(error.error_type, Some(ErrorType::Overloaded));
        assert_eq!((error.error_code, error.request_id), (None, None));
    }

    #[test]
    fn googles_envelope_is_read_bare_and_in_an_array() {
        let bare =
            r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}"#;
        for body in [bare.to_owned(), format!("[{bare}]")] {
            let error = parse(&body);
            assert_eq!(error.error_type, Some(ErrorType::RateLimit), "{body}");
            assert_eq!(error.message, "Quota exceeded");
            assert!(!error.is_documented());
        }
    }

    #[test]
    fn amazons_message_is_read() {
        let error = parse(r#"{"message":"Too many requests"}"#);
        assert_eq!(
            (error.error_type, error.message.as_str()),
            (None, "Too many requests")
        );
        assert_eq!(parse(r#"{"Message":"denied"}"#).message, "denied");
        assert_eq!(parse(r#"{"error":"denied"}"#).message, "denied");
    }

    #[test]
    fn what_is_no_error_body_is_none() {
        for body in [
            "",
            "null",
            "[]",
            "[1]",
            "{}",
            r#"{"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"error":{"message":7}}"#,
            r#"{"type":"error","error":{"type":"api_error","mess"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[]}"#,
            r#"{"type":"message_start","message":{"id":"msg_1"}}"#,
            "<html><h1>502 Bad Gateway</h1></html>",
        ] {
            assert_eq!(ErrorBody::parse(body.as_bytes()), None, "{body}");
        }
        assert_eq!(
            ErrorBody::parse(&[b'['; 10_000]),
            None,
            "nesting is bounded"
        );
        let padded = format!("{}{}", r#"{"message":"m"}"#, " ".repeat(MAX_BODY));
        assert_eq!(
            ErrorBody::parse(padded.as_bytes()),
            None,
            "the length is bounded"
        );
    }

    #[test]
    fn a_retired_model_is_told_by_the_start_of_the_message() {
        assert!(with_message("model: claude-3-5-haiku-20241022").names_model());
        assert!(!with_message("no such model: x").names_model());
    }

    #[test]
    fn a_spend_limit_is_told_by_code_type_or_message() {
        for code in [
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "linked_organization_spend_limit_reached",
        ] {
            let error = parse(&format!(
                r#"{{"type":"error","error":{{"type":"rate_limit_error","message":"","details":{{"error_code":"{code}"}}}}}}"#
            ));
            assert!(error.is_spend_limit(), "{code}");
        }
        for message in [
            "Your credit balance is too low to access the Anthropic API.",
            "You have reached your specified API usage limits. You will regain access on …",
            "You have reached your specified workspace API usage limits.",
        ] {
            assert!(with_message(message).is_spend_limit(), "{message}");
        }
        assert!(parse(r#"{"error":{"type":"billing_error"}}"#).is_spend_limit());
        assert!(!with_message("prompt is too long").is_spend_limit());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let error = with_message(&"é".repeat(MAX_MESSAGE));
        assert_eq!(error.message.len(), MAX_MESSAGE);
        let odd = with_message(&format!("x{}", "é".repeat(MAX_MESSAGE)));
        assert_eq!(odd.message.len(), MAX_MESSAGE - 1);
        let unknown = ErrorType::from("x".repeat(5000).as_str());
        assert_eq!(unknown.as_str().len(), MAX_WORD);
    }

    #[test]
    fn every_type_is_read_back_from_its_own_word() {
        for known in [
            ErrorType::InvalidRequest,
            ErrorType::Authentication,
            ErrorType::Billing,
            ErrorType::Permission,
            ErrorType::NotFound,
            ErrorType::Conflict,
            ErrorType::RequestTooLarge,
            ErrorType::RateLimit,
            ErrorType::Timeout,
            ErrorType::Api,
            ErrorType::Overloaded,
            ErrorType::Other("memory_path_error".into()),
        ] {
            assert_eq!(ErrorType::from(known.to_string().as_str()), known);
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ErrorBody::parse(&body);
        }

        #[test]
        fn no_cut_body_is_read(at in 0_usize..82) {
            let whole = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded, sorry"}}"#;
            prop_assert_eq!(ErrorBody::parse(&whole[..at]), None);
        }
    }
}
