//! Who may ask the listener for operators.
//!
//! A browser on the same machine can reach a loopback port, and a web page can point a name of its own at it. So on loopback
//! the `Host` must be one of loopback; at any other address, by whose names nobody knows which are its own, every request
//! needs a token, but for the two that orchestrators ask. Nowhere may a request have an `Origin`, and a change needs a
//! header that no page can set without being asked.

use super::{error::StartError, tokens::Tokens};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    request,
    uri::Authority,
};
use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
};

/// Holds the token of operators.
const TOKEN_VARIABLE: &str = "CLAUDE_PROXY_ADMIN_TOKEN";

/// Shows that a request comes from no web page.
const ADMIN: HeaderName = HeaderName::from_static("tower-claude-admin");

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Gate {
    /// Only requests to a host of loopback.
    loopback: bool,
    /// Only requests with one of these; `None` on loopback alone.
    tokens: Option<Tokens>,
}

/// Why a request was not let in: the status, the `error.type` and the words.
pub(super) type Shut = (StatusCode, &'static str, &'static str);

impl Gate {
    /// For a listener at this address. Where there is a token it is asked for, on loopback too.
    pub(super) fn new(
        address: SocketAddr,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, StartError> {
        let loopback = address.ip().is_loopback();
        let no_token = StartError::NoAdminToken {
            variable: TOKEN_VARIABLE,
            address,
        };
        let tokens = match variable(TOKEN_VARIABLE).filter(|token| !token.is_empty()) {
            Some(token) => Some(token.to_str().and_then(Tokens::read).ok_or(no_token)?),
            None if loopback => None,
            None => return Err(no_token),
        };
        Ok(Self { loopback, tokens })
    }

    pub(super) fn admit(&self, head: &request::Parts) -> Result<(), Shut> {
        if head.headers.contains_key(ORIGIN) {
            return Err(forbidden("Operators are served, web pages are not"));
        }
        if self.loopback && !is_loopback(&head.headers, &head.uri) {
            return Err(forbidden("The host of the request is not this listener's"));
        }
        let tokens = self.tokens.as_ref().filter(|_| !is_probe(&head.uri));
        if tokens.is_some_and(|tokens| !has_token(&head.headers, tokens)) {
            return Err((
                StatusCode::UNAUTHORIZED,
                "authentication_error",
                "Operators need the token of this listener, as authorization: Bearer",
            ));
        }
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let means_it = head.headers.get(ADMIN).is_some_and(|value| value == "1");
        if reads || means_it {
            Ok(())
        } else {
            Err(forbidden("A change needs the header tower-claude-admin: 1"))
        }
    }
}

fn forbidden(message: &'static str) -> Shut {
    (StatusCode::FORBIDDEN, "permission_error", message)
}

/// What orchestrators ask, who have no token, and which says nothing.
fn is_probe(uri: &Uri) -> bool {
    matches!(uri.path(), "/healthz" | "/readyz")
}

/// Whether all that a request says of its host is of loopback. The port does not matter: it may have been forwarded.
fn is_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| host.parse().ok());
    let named = host.is_some_and(|host: Authority| {
        !host.as_str().contains('@') && is_loopback_name(host.host())
    });
    named && uri.host().is_none_or(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

fn has_token(headers: &HeaderMap, tokens: &Tokens) -> bool {
    let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let token = value.and_then(|value| value.strip_prefix(b"Bearer "));
    token.is_some_and(|token| tokens.have(token.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const TOKEN: &str = "token-of-operators";

    fn admitted(gate: &Gate, method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        gate.admit(&head)
            .map_or_else(|shut| shut.0.as_u16(), |()| 200)
    }

    fn gate(address: &str, token: &str) -> Result<Gate, StartError> {
        Gate::new(address.parse().unwrap(), |name| {
            assert_eq!(name, TOKEN_VARIABLE);
            Some(token.into())
        })
    }

    #[test]
    fn on_loopback_only_its_own_names_are_hosts() {
        let gate = gate("127.0.0.1:1", "").unwrap();
        let get = |headers: &[(&str, &str)]| admitted(&gate, Method::GET, "/status.json", headers);
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8788",
            "127.8.8.8",
            "[::1]:8788",
        ] {
            assert_eq!(get(&[("host", host)]), 200, "{host}");
        }
        let guarded = self::gate("127.0.0.1:1", TOKEN).unwrap();
        let foreign = [("host", "example.com")];
        let probed = admitted(&guarded, Method::GET, "/healthz", &foreign);
        assert_eq!(probed, 403, "with a token too");
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "example.com@127.0.0.1",
            "10.0.0.1",
            "0.0.0.0",
            "",
        ] {
            assert_eq!(get(&[("host", host)]), 403, "{host}");
        }
        assert_eq!(get(&[]), 403);
        let two = [("host", "localhost"), ("host", "example.com")];
        assert_eq!(get(&two), 403);
    }

    #[test]
    fn no_web_page_is_served_and_a_change_must_be_meant() {
        let gate = gate("[::1]:1", "").unwrap();
        let ask = |method, more: &[(&str, &str)]| {
            let headers = [&[("host", "localhost")], more].concat();
            admitted(&gate, method, "/circuits/m/open", &headers)
        };
        let mark = ("tower-claude-admin", "1");
        assert_eq!(ask(Method::POST, &[mark]), 200);
        assert_eq!(ask(Method::POST, &[]), 403);
        assert_eq!(ask(Method::POST, &[("tower-claude-admin", "0")]), 403);
        assert_eq!(ask(Method::DELETE, &[]), 403);
        for origin in ["http://localhost:8788", "null", ""] {
            assert_eq!(ask(Method::POST, &[mark, ("origin", origin)]), 403);
            assert_eq!(ask(Method::GET, &[("origin", origin)]), 403);
        }
    }

    #[test]
    fn off_loopback_a_token_is_needed_but_for_probes() {
        let gate = gate("0.0.0.0:1", TOKEN).unwrap();
        let get = |path, headers: &[(&str, &str)]| admitted(&gate, Method::GET, path, headers);
        let right = format!("Bearer {TOKEN}");
        assert_eq!(get("/status.json", &[("authorization", &right)]), 200);
        assert_eq!(get("/status.json", &[]), 401);
        assert_eq!(get("/status.json", &[("authorization", TOKEN)]), 401);
        assert_eq!(get("/status.json", &[("authorization", "Bearer no")]), 401);
        assert_eq!(get("/healthz", &[]), 200);
        assert_eq!(get("/readyz", &[]), 200);
        let marked = [
            ("authorization", right.as_str()),
            ("tower-claude-admin", "1"),
        ];
        let open = "/circuits/m/open";
        assert_eq!(admitted(&gate, Method::POST, open, &marked), 200);
        assert_eq!(admitted(&gate, Method::POST, open, &marked[..1]), 403);
    }

    #[test]
    fn off_loopback_nothing_starts_without_a_token_and_nowhere_with_a_short_one() {
        for (address, token) in [
            ("0.0.0.0:1", ""),
            ("10.0.0.1:1", "short"),
            ("127.0.0.1:1", "short"),
        ] {
            let error = gate(address, token).unwrap_err();
            assert!(matches!(error, StartError::NoAdminToken { .. }), "{error}");
            assert!(!error.to_string().contains("short"));
        }
    }
}
