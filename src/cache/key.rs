//! What makes two requests the same.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// The identity of a request: its tenant, and a keyed hash of all else that decides its answer.
///
/// The hash covers the feature, the host (of the address, or else of the header `host`), path and query, the headers `anthropic-version`, `anthropic-beta`,
/// `anthropic-user-profile-id` and `anthropic-workspace-id`, and the body without white space between tokens and without
/// its top-level `stream`. The order of keys and the spelling of values are kept: two spellings of one request may have
/// two keys, two requests never have one.
///
/// # Why two requests never have one
///
/// The first 16 bytes are the [`Tenant`](crate::Tenant)'s, so no answer crosses tenants whatever the others are. Those are
/// a SipHash-1-3 of 128 bits under a secret that is drawn at random by every process and never leaves it. By chance two
/// requests agree once in 2¹²⁸; to make them agree one would have to know the secret, or see what it makes of chosen
/// requests, and callers see neither it nor a key. For the same reason a key means nothing to another process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    #[cfg(feature = "cache")]
    fn of(tenant: [u8; 16], hash: [u8; 16]) -> Self {
        let mut bytes = [0; 32];
        let (first, second) = bytes.split_at_mut(16);
        first.copy_from_slice(&tenant);
        second.copy_from_slice(&hash);
        Self(bytes)
    }

    /// The key of these bytes; for tests of a store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The end of it: as good a hash of the key as any, since it is a hash.
    pub(super) fn digest(&self) -> u64 {
        let end = self.0.last_chunk().copied();
        end.map_or(0, u64::from_le_bytes)
    }
}

/// Maps keyed by it need not hash all of it again.
impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest());
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

#[cfg(feature = "cache")]
pub(crate) use of_request::key_of;

#[cfg(feature = "cache")]
mod of_request {
    use super::{super::canonical::canonical, CacheKey};
    use crate::{body::replay::ReplayBody, call::Call};
    use http::{HeaderName, Uri};
    use siphasher::sip128::{Hasher128, SipHasher13};
    use std::{
        hash::{BuildHasher, Hasher, RandomState},
        sync::LazyLock,
    };

    /// The largest body that is hashed: 1 MiB, a quarter of a millisecond. Larger conversations hardly come twice.
    const MAX_BODY: u64 = 1 << 20;

    /// The headers that change what Claude answers, and whom it answers.
    const HEADERS: [HeaderName; 4] = [
        HeaderName::from_static("anthropic-version"),
        HeaderName::from_static("anthropic-beta"),
        HeaderName::from_static("anthropic-user-profile-id"),
        HeaderName::from_static("anthropic-workspace-id"),
    ];

    /// The key of a request with these headers, by name and value. `None`: it has none, because its body is too large or no
    /// JSON object.
    pub(crate) fn key_of<'a>(
        call: &Call,
        uri: &Uri,
        headers: &(impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone),
        body: &ReplayBody,
    ) -> Option<CacheKey> {
        if body.len() > MAX_BODY {
            return None;
        }
        let mut hash = Hash::new();
        hash.part(call.feature().as_str().as_bytes());
        // Of a request that names no host in its address, the one in its headers (RFC 9110, 7.1).
        let named = || headers.clone().find(|(name, _)| *name == b"host");
        let host = match uri.authority() {
            Some(host) => host.as_str().as_bytes(),
            None => named().map_or(b"".as_slice(), |(_, host)| host),
        };
        hash.part(host);
        hash.part(uri.path().as_bytes());
        hash.part(uri.query().unwrap_or_default().as_bytes());
        for name in HEADERS {
            for (_, value) in headers
                .clone()
                .filter(|(is, _)| *is == name.as_str().as_bytes())
            {
                hash.part(value);
            }
            hash.list_end();
        }
        canonical(body.segments(), |part| hash.0.write(part))?;
        Some(CacheKey::of(
            call.tenant().as_bytes(),
            hash.0.finish128().as_bytes(),
        ))
    }

    /// Parts with their lengths, so that none runs into the next.
    struct Hash(SipHasher13);

    impl Hash {
        fn new() -> Self {
            static KEYED: LazyLock<SipHasher13> = LazyLock::new(|| {
                let secret = || RandomState::new().hash_one(0);
                SipHasher13::new_with_keys(secret(), secret())
            });
            Self(*KEYED)
        }

        fn part(&mut self, part: &[u8]) {
            self.0.write_u64(part.len() as u64);
            self.0.write(part);
        }

        /// Not the length of any part.
        fn list_end(&mut self) {
            self.0.write_u64(u64::MAX);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::call::{Feature, Tenant};
        use bytes::Bytes;
        use http::{HeaderValue, Request, header::HOST};

        fn request() -> Request<ReplayBody> {
            Request::post("https://api.anthropic.com/v1/messages?beta=true")
                .header("anthropic-version", "2023-06-01")
                .header("anthropic-beta", "a")
                .header("x-api-key", "sk-1")
                .body(r#"{"model":"m","messages":[]}"#.into())
                .unwrap()
        }

        fn call() -> Call {
            Call::new(Some("m".into()))
                .with_tenant(Tenant::new("t"))
                .with_feature(Feature::new("chat"))
        }

        fn key<'a>(call: &Call, request: &'a Request<ReplayBody>) -> Option<CacheKey> {
            let pair = |(name, value): (&'a HeaderName, &'a HeaderValue)| {
                (name.as_str().as_bytes(), value.as_bytes())
            };
            let headers: Vec<_> = request.headers().iter().map(pair).collect();
            let headers = headers.iter().copied();
            key_of(call, request.uri(), &headers, request.body())
        }

        #[test]
        fn the_same_request_has_the_same_key_whatever_else_its_head_says() {
            let one = key(&call(), &request()).unwrap();
            let mut other = request();
            other
                .headers_mut()
                .insert("user-agent", "x".parse().unwrap());
            other
                .headers_mut()
                .insert("x-api-key", "sk-2".parse().unwrap());
            *other.body_mut() = vec![
                Bytes::from(r#"{ "stream": true, "model":"#),
                Bytes::from(r#""m","messages":[]}"#),
            ]
            .into();
            assert_eq!(key(&call(), &other), Some(one));
        }

        #[test]
        fn tenant_feature_address_headers_and_body_make_different_keys() {
            let one = key(&call(), &request()).unwrap();
            let mut keys = vec![one];
            keys.extend(key(&call().with_tenant(Tenant::new("u")), &request()));
            keys.extend(key(&call().with_feature(Feature::new("chatt")), &request()));
            let changes: [fn(&mut Request<ReplayBody>); 6] = [
                |request| {
                    *request.uri_mut() = Uri::from_static("https://api.anthropic.com/v1/messages");
                },
                |request| {
                    *request.uri_mut() =
                        Uri::from_static("https://other.test/v1/messages?beta=true");
                },
                |request| {
                    let headers = request.headers_mut();
                    headers.insert("anthropic-version", "2026-10-21".parse().unwrap());
                },
                |request| {
                    request
                        .headers_mut()
                        .append("anthropic-beta", "b".parse().unwrap());
                },
                |request| {
                    // The same value under another name.
                    request.headers_mut().remove("anthropic-beta");
                    let headers = request.headers_mut();
                    headers.insert("anthropic-user-profile-id", "a".parse().unwrap());
                },
                |request| *request.body_mut() = r#"{"model":"n","messages":[]}"#.into(),
            ];
            for change in changes {
                let mut request = request();
                change(&mut request);
                keys.extend(key(&call(), &request));
            }
            assert_eq!(keys.len(), 9);
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 9);
        }

        #[test]
        fn a_request_that_names_no_host_in_its_address_is_for_the_one_in_its_headers() {
            let to = |host: Option<&'static str>| {
                let mut request = request();
                *request.uri_mut() = Uri::from_static("/v1/messages?beta=true");
                let host = host.map(HeaderValue::from_static);
                request.headers_mut().extend(host.map(|host| (HOST, host)));
                key(&call(), &request).unwrap()
            };
            assert_eq!(to(Some("a")), to(Some("a")));
            assert_ne!(to(Some("a")), to(Some("b")));
            assert_ne!(to(Some("a")), to(None));
        }

        #[test]
        fn a_key_begins_with_its_tenant_so_that_no_two_tenants_share_one() {
            let [one, other] = ["t", "u"].map(Tenant::new).map(|tenant| {
                let key = key(&call().with_tenant(tenant), &request()).unwrap();
                assert_eq!(key.as_bytes()[..16], tenant.as_bytes());
                key
            });
            assert_eq!(one.as_bytes()[16..], other.as_bytes()[16..]);
            assert_ne!(one, other);
        }

        #[test]
        fn a_body_over_a_mebibyte_or_no_object_has_no_key() {
            let body = |text: String| {
                let mut request = request();
                *request.body_mut() = text.into();
                request
            };
            let large = |size: usize| body(format!(r#"{{"model":"{}"}}"#, "m".repeat(size - 12)));
            assert!(key(&call(), &large(1 << 20)).is_some());
            assert!(key(&call(), &large((1 << 20) + 1)).is_none());
            assert!(key(&call(), &body("[]".into())).is_none());
        }

        #[test]
        fn debug_shows_the_start_of_it_only() {
            let key = CacheKey::from_bytes([0xab; 32]);
            assert_eq!(format!("{key:?}"), "CacheKey(abababab…)");
        }
    }
}
