//! The address of upstream, joined with the path of a request.

use crate::error::BuildError;
use http::{
    Uri,
    uri::{Authority, InvalidUri, Parts, PathAndQuery, Scheme},
};

/// Where calls go.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Target {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end; mostly empty.
    prefix: String,
}

impl Target {
    /// # Errors
    ///
    /// The address has no scheme or no host, which no checked configuration has.
    pub(in crate::proxy) fn new(upstream: &Uri) -> Result<Self, BuildError> {
        let (Some(scheme), Some(authority)) = (upstream.scheme(), upstream.authority()) else {
            let bound = "an http or https address";
            return Err(BuildError::new("upstream", upstream, bound));
        };
        Ok(Self {
            scheme: scheme.clone(),
            authority: authority.clone(),
            prefix: upstream.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The address of what was asked for, whatever host it was asked at. The path and the query stay as they are.
    ///
    /// # Errors
    ///
    /// Together they are longer than an address can be.
    pub(in crate::proxy) fn join(&self, asked: &Uri) -> Result<Uri, http::Error> {
        let path = match asked.path_and_query() {
            Some(path) if self.prefix.is_empty() => path.clone(),
            Some(path) => self.prefixed(path.as_str())?,
            None => self.prefixed("/")?,
        };
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
    }

    fn prefixed(&self, path: &str) -> Result<PathAndQuery, InvalidUri> {
        format!("{}{path}", self.prefix).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_and_the_query_of_a_request_go_behind_those_of_upstream() {
        for (upstream, asked, joined) in [
            (
                "https://a",
                "/v1/messages?beta=true",
                "https://a/v1/messages?beta=true",
            ),
            (
                "https://a/",
                "http://proxy:1/v1/x%2Fy//z?",
                "https://a/v1/x%2Fy//z?",
            ),
            (
                "http://b:9/claude/",
                "/v1/messages",
                "http://b:9/claude/v1/messages",
            ),
            ("http://b:9/claude", "/", "http://b:9/claude/"),
        ] {
            let target = Target::new(&upstream.parse().unwrap()).unwrap();
            let uri = target.join(&asked.parse().unwrap()).unwrap();
            assert_eq!(uri.to_string(), joined);
        }
        assert!(Target::new(&"/v1".parse().unwrap()).is_err());
    }
}
