//! Which paths get what.
//!
//! | request | gets |
//! |---|---|
//! | `POST /v1/messages` | the whole stack |
//! | `POST /v1/messages/count_tokens` | all of it but degrade: there is no stand-in for a number |
//! | anything else | passes through, unbuffered and without circuits |

use http::Method;

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The whole stack.
    Messages,
    /// All but degrade.
    CountTokens,
    /// Passes through.
    Other,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        match path {
            "/v1/messages" if method == Method::POST => Self::Messages,
            "/v1/messages/count_tokens" if method == Method::POST => Self::CountTokens,
            _ => Self::Other,
        }
    }
}

/// Whether a path is `root` or lies below it, in every reading. One that upstream could read as another, with `..` or an
/// encoded slash, lies nowhere.
pub(super) fn is_below(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches('/');
    let Some(rest) = path.strip_prefix(root) else {
        return false;
    };
    (rest.is_empty() || rest.starts_with('/')) && is_plain(path)
}

/// No dot segments, no empty ones, nothing encoded that means something in a path.
fn is_plain(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%25", "%00", "\\", "//", ";"];
    let is_dots = |part: &str| part == "." || part == "..";
    !hidden.iter().any(|hidden| path.contains(hidden)) && !path.split('/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_post_to_exactly_the_path_of_a_call_gets_the_stack() {
        for (method, path, route) in [
            (Method::POST, "/v1/messages", Route::Messages),
            (
                Method::POST,
                "/v1/messages/count_tokens",
                Route::CountTokens,
            ),
            (Method::GET, "/v1/messages", Route::Other),
            (Method::POST, "/v1/messages/", Route::Other),
            (Method::POST, "/v1/messages/batches", Route::Other),
            (Method::GET, "/v1/models", Route::Other),
            (Method::POST, "/v1/files", Route::Other),
            (Method::GET, "/", Route::Other),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn a_path_lies_below_another_only_if_nobody_could_read_it_otherwise() {
        for path in ["/v1/models", "/v1/models/", "/v1/models/claude-haiku-5-5"] {
            assert!(is_below(path, "/v1/models"), "{path}");
            assert!(is_below(path, "/v1/models/"), "{path}");
        }
        for path in [
            "/v1/models2",
            "/v1/files",
            "/v1/models/../files",
            "/v1/models/%2e%2E/files",
            "/v1/models/..%2ffiles",
            "/v1/models/%252e%252e/files",
            "/v1/models//files",
            "/v1/models/.",
            "/v1/models/..\\files",
            "/v1/models/..;/files",
        ] {
            assert!(!is_below(path, "/v1/models"), "{path}");
        }
    }
}
