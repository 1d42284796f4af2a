//! Whose call it is, and with which key it goes upstream.
//!
//! Without `[auth]` the caller's own credentials pass through, and tell one tenant from another. With it the proxy holds
//! the key: callers present one of its tokens, where an SDK puts a key, and the token is the tenant. That also holds on
//! loopback, which any web page in a browser can reach. What such a caller may use is short: messages, `count_tokens` and
//! models, and what `also` lists.

use super::{
    error::StartError,
    forward,
    refusal::Refusal,
    routes::{Route, is_below},
    tokens::Tokens,
};
use crate::{
    call::Tenant,
    claude::headers::{API_KEY, SECRETS, X_API_KEY},
    config::AuthSettings,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION, request};
use std::{ffi::OsString, fmt};

/// With the key of the proxy, its workspace is that of the key.
const WORKSPACE: HeaderName = HeaderName::from_static("anthropic-workspace-id");

/// What every caller with a token may read.
const MODELS: &str = "/v1/models";

/// Who may call, and how calls go upstream.
pub(super) enum Auth {
    /// The caller's credentials pass through.
    Pass,
    /// The proxy holds the key.
    Own {
        key: HeaderValue,
        tokens: Tokens,
        also: Vec<String>,
    },
}

impl Auth {
    /// Reads the secrets from where the settings say.
    pub(super) fn new(
        settings: Option<&AuthSettings>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, StartError> {
        let Some(settings) = settings else {
            return Ok(Self::Pass);
        };
        let secret = |name: &str| {
            let text = variable(name)?.into_string().ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let key = secret(&settings.api_key_env).and_then(|key| HeaderValue::try_from(key).ok());
        let Some(mut key) = key else {
            return Err(StartError::NoKey {
                variable: settings.api_key_env.clone(),
            });
        };
        key.set_sensitive(true);
        let tokens = secret(&settings.tokens_env).and_then(|tokens| Tokens::read(&tokens));
        let Some(tokens) = tokens else {
            return Err(StartError::NoTokens {
                variable: settings.tokens_env.clone(),
            });
        };
        Ok(Self::Own {
            key,
            tokens,
            also: settings.also.clone(),
        })
    }

    /// Lets a request in and puts the credentials on it that upstream is to see.
    pub(super) fn admit(&self, route: Route, head: &mut request::Parts) -> Result<(), Refusal> {
        let Self::Own { key, tokens, also } = self else {
            return Ok(());
        };
        let token = presented(&head.headers).filter(|token| tokens.have(token));
        let Some(tenant) = token.map(Tenant::new) else {
            return Err(Refusal::NotAuthenticated);
        };
        let path = head.uri.path();
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let served = route != Route::Other
            || (reads && is_below(path, MODELS))
            || also.iter().any(|also| is_below(path, also));
        if !served {
            return Err(Refusal::NotServed);
        }
        head.extensions.insert(tenant);
        // First, so that `connection` cannot name the key that is put on.
        forward::drop_hop_by_hop(&mut head.headers);
        for name in SECRETS.iter().chain([&WORKSPACE]) {
            head.headers.remove(name);
        }
        head.headers.insert(X_API_KEY, key.clone());
        Ok(())
    }
}

/// Where an SDK puts a key.
fn presented(map: &HeaderMap) -> Option<&[u8]> {
    let value = |name: &HeaderName| map.get(name).map(HeaderValue::as_bytes);
    let bearer = || {
        let (scheme, token) = value(&AUTHORIZATION)?.split_at_checked("bearer ".len())?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
        is_bearer.then(|| token.trim_ascii())
    };
    value(&X_API_KEY)
        .or_else(bearer)
        .or_else(|| value(&API_KEY))
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("Pass"),
            Self::Own { tokens, also, .. } => f
                .debug_struct("Own")
                .field("tokens", tokens)
                .field("also", also)
                .finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const ONE: &str = "token-of-tenant-one";
    const OTHER: &str = "token-of-tenant-two";

    fn auth(also: &[&str]) -> Auth {
        let settings = AuthSettings {
            also: also.iter().map(|&path| path.to_owned()).collect(),
            ..AuthSettings::default()
        };
        let variable = |name: &str| match name {
            "ANTHROPIC_API_KEY" => Some("sk-own\n".into()),
            "CLAUDE_PROXY_TOKENS" => Some(format!("{ONE}, {OTHER},").into()),
            _ => None,
        };
        Auth::new(Some(&settings), variable).unwrap()
    }

    fn head(method: Method, path: &str, headers: &[(&'static str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn admitted(auth: &Auth, mut head: request::Parts) -> Result<request::Parts, Refusal> {
        let route = Route::of(&head.method, head.uri.path());
        auth.admit(route, &mut head).map(|()| head)
    }

    #[test]
    fn the_callers_credentials_are_replaced_and_the_token_is_the_tenant() {
        let auth = auth(&[]);
        for (name, value) in [
            ("x-api-key", ONE.to_owned()),
            ("authorization", format!("Bearer {ONE}")),
            ("authorization", format!("bearer  {ONE}")),
            ("api-key", ONE.to_owned()),
        ] {
            let all = [
                (name, value.as_str()),
                ("cookie", "c"),
                ("connection", "x-api-key, authorization"),
                ("anthropic-workspace-id", "w"),
                ("anthropic-version", "v"),
            ];
            let head = admitted(&auth, head(Method::POST, "/v1/messages", &all)).unwrap();
            assert_eq!(head.headers.len(), 2, "{:?}", head.headers);
            assert_eq!(head.headers["x-api-key"], "sk-own");
            assert_eq!(head.extensions.get(), Some(&Tenant::new(ONE)));
            assert!(!format!("{:?} {auth:?}", head.headers).contains("sk-own"));
        }
    }

    #[test]
    fn a_caller_without_one_of_the_tokens_is_refused() {
        let auth = auth(&[]);
        for headers in [
            &[][..],
            &[("x-api-key", "token-of-tenant-on")],
            &[("x-api-key", "token-of-tenant-one,token-of-tenant-two")],
            &[("x-api-key", "")],
            &[("x-api-key", "sk-own")],
            &[("authorization", ONE)],
            &[("authorization", "Basic token-of-tenant-one")],
            // The first that is there counts, whatever the others say.
            &[("x-api-key", "wrong"), ("api-key", ONE)],
        ] {
            let refused = admitted(&auth, head(Method::POST, "/v1/messages", headers));
            assert_eq!(refused.unwrap_err(), Refusal::NotAuthenticated);
        }
        let other = head(Method::POST, "/v1/messages", &[("x-api-key", OTHER)]);
        assert!(admitted(&auth, other).is_ok());
    }

    #[test]
    fn only_messages_and_models_are_served_and_what_is_listed() {
        let (short, long) = (auth(&[]), auth(&["/v1/files"]));
        for (method, path, by_short, by_long) in [
            (Method::POST, "/v1/messages", true, true),
            (Method::POST, "/v1/messages/count_tokens", true, true),
            (Method::GET, "/v1/models?limit=1", true, true),
            (Method::GET, "/v1/models/claude-haiku-5-5", true, true),
            (Method::POST, "/v1/models", false, false),
            (Method::POST, "/v1/messages/batches", false, false),
            (Method::GET, "/v1/messages", false, false),
            (Method::GET, "/v1/models/../files", false, false),
            (Method::POST, "/v1/files", false, true),
            (Method::DELETE, "/v1/files/file_1", false, true),
            (Method::GET, "/v1/files/../organizations", false, false),
        ] {
            for (auth, served) in [(&short, by_short), (&long, by_long)] {
                let head = head(method.clone(), path, &[("x-api-key", ONE)]);
                assert_eq!(admitted(auth, head).is_ok(), served, "{method} {path}");
            }
        }
    }

    #[test]
    fn without_settings_everything_passes_as_it_is() {
        let auth = Auth::new(None, |_| None).unwrap();
        let all = [("x-api-key", "k"), ("anthropic-workspace-id", "w")];
        let head = admitted(&auth, head(Method::POST, "/v1/files", &all)).unwrap();
        assert_eq!(head.headers.len(), 2);
        assert!(head.extensions.is_empty());
    }

    #[test]
    fn a_key_without_tokens_and_tokens_without_a_key_are_refused() {
        let settings = AuthSettings::default();
        let start = |key: Option<&str>, tokens: Option<&str>| {
            let variable = |name: &str| match name {
                "ANTHROPIC_API_KEY" => key.map(Into::into),
                _ => tokens.map(Into::into),
            };
            Auth::new(Some(&settings), variable).map(|_| ())
        };
        assert!(start(Some("k"), Some(ONE)).is_ok());
        for tokens in [None, Some(""), Some(" , "), Some("short")] {
            let error = start(Some("k"), tokens).unwrap_err();
            assert!(matches!(error, StartError::NoTokens { .. }), "{error}");
        }
        for key in [None, Some(""), Some("a\nb")] {
            let error = start(key, Some(ONE)).unwrap_err();
            assert!(matches!(error, StartError::NoKey { .. }), "{error}");
        }
    }
}
