//! Upstream's address, and what it makes of the address of a request.

use crate::error::BuildError;
use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::HOST,
    uri::{Authority, InvalidUri, Parts, PathAndQuery},
};

/// Where calls go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) struct Target {
    /// Without a path.
    address: Uri,
    host: HeaderValue,
    /// Without a slash at its end; mostly empty.
    prefix: String,
}

impl Target {
    /// # Errors
    ///
    /// The address has no scheme or no host, which no checked configuration has.
    pub(in crate::proxy) fn new(upstream: &Uri) -> Result<Self, BuildError> {
        let unusable = || BuildError::new("upstream", upstream, "an http or https address");
        let (Some(scheme), Some(authority)) = (upstream.scheme(), upstream.authority()) else {
            return Err(unusable());
        };
        // A name and a password are no part of a host.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let mut parts = Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(host.parse().map_err(|_| unusable())?);
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Ok(Self {
            address: Uri::from_parts(parts).map_err(|_| unusable())?,
            host: host_header(scheme.as_str(), host).ok_or_else(unusable)?,
            prefix: upstream.path().trim_end_matches('/').to_owned(),
        })
    }

    /// What to connect to.
    pub(super) fn address(&self) -> &Uri {
        &self.address
    }

    /// The path of what was asked for, whatever host it was asked at. The path and the query stay as they are.
    ///
    /// # Errors
    ///
    /// Together they are longer than an address can be.
    pub(in crate::proxy) fn path(&self, asked: &Uri) -> Result<Uri, InvalidUri> {
        let path = match asked.path_and_query() {
            // As most requests ask for it.
            Some(_) if self.prefix.is_empty() && asked.authority().is_none() => {
                return Ok(asked.clone());
            }
            Some(path) if self.prefix.is_empty() => path.clone(),
            Some(path) => self.prefixed(path.as_str())?,
            None => self.prefixed("/")?,
        };
        Ok(path.into())
    }

    /// Names upstream in the headers, in place of the host that was asked.
    pub(in crate::proxy) fn name_in(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.host.clone());
    }

    /// Makes a request for HTTP/1.1 one for HTTP/2, whose address names the host.
    pub(super) fn to_http2<B>(&self, request: &mut Request<B>) {
        let mut parts = self.address.clone().into_parts();
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
            request.headers_mut().remove(HOST);
        }
    }

    /// The way back.
    pub(super) fn to_http1<B>(&self, request: &mut Request<B>) {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
        self.name_in(request.headers_mut());
    }

    fn prefixed(&self, path: &str) -> Result<PathAndQuery, InvalidUri> {
        format!("{}{path}", self.prefix).parse()
    }
}

/// Without the port that the scheme has anyway (RFC 9110, 7.2).
fn host_header(scheme: &str, host: &str) -> Option<HeaderValue> {
    let authority: Authority = host.parse().ok()?;
    let is_usual = matches!(
        (scheme, authority.port_u16()),
        ("http", Some(80)) | ("https", Some(443))
    );
    let name = if is_usual { authority.host() } else { host };
    HeaderValue::from_str(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(upstream: &str) -> Target {
        Target::new(&upstream.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_path_and_the_query_of_a_request_go_behind_those_of_upstream() {
        for (upstream, asked, path) in [
            (
                "https://a",
                "/v1/messages?beta=true",
                "/v1/messages?beta=true",
            ),
            ("https://a/", "http://proxy:1/v1/x%2Fy//z?", "/v1/x%2Fy//z?"),
            ("http://b:9/claude/", "/v1/messages", "/claude/v1/messages"),
            ("http://b:9/claude", "/", "/claude/"),
        ] {
            let joined = target(upstream).path(&asked.parse().unwrap()).unwrap();
            assert_eq!(joined.to_string(), path);
        }
        assert!(Target::new(&"/v1".parse().unwrap()).is_err());
    }

    #[test]
    fn its_host_is_named_without_what_goes_without_saying() {
        for (upstream, address, host) in [
            ("https://a", "https://a/", "a"),
            ("https://a:443/x", "https://a:443/", "a"),
            ("http://a:443", "http://a:443/", "a:443"),
            ("http://me:pass@[::1]:80", "http://[::1]:80/", "[::1]"),
        ] {
            let target = target(upstream);
            assert_eq!(
                (&*target.address.to_string(), &target.host),
                (address, &HeaderValue::from_static(host))
            );
        }
    }

    #[test]
    fn a_request_goes_to_http_2_and_back() {
        let target = target("https://a:9/x");
        let mut request = Request::get("/x/v1?a=b")
            .header(HOST, "a:9")
            .body(())
            .unwrap();
        target.to_http2(&mut request);
        assert_eq!(request.uri(), "https://a:9/x/v1?a=b");
        assert!(request.headers().is_empty());
        target.to_http1(&mut request);
        assert_eq!(request.uri(), "/x/v1?a=b");
        assert_eq!(request.headers()[HOST], "a:9");
    }
}
