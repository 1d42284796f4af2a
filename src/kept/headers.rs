//! The headers of a request kept for another attempt, written into one buffer.
//!
//! A clone of a `HeaderMap` allocates its tables and counts a reference for every value, and mostly all of that is only
//! dropped again. As text, headers are kept by one allocation and compared at a glance; a map is made of them where the
//! request is really sent again.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::iter;

/// Room for a header: most are shorter, and where they are not, the buffer grows.
const USUAL: usize = 64;

/// Headers in their order. Without `Debug`: it holds credentials.
#[derive(Clone)]
pub(super) struct KeptHeaders {
    /// Of each header: its [mark](mark), its name, its value.
    text: Vec<u8>,
    /// How many names there are.
    names: usize,
}

impl KeptHeaders {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut text = Vec::with_capacity(headers.len() * USUAL);
        for (name, value) in headers {
            let name = name.as_str().as_bytes();
            text.extend_from_slice(&mark(name, value));
            text.extend_from_slice(name);
            text.extend_from_slice(value.as_bytes());
        }
        Self {
            text,
            names: headers.keys_len(),
        }
    }

    /// Whether a map says the same in the same order, and hides the same.
    pub(super) fn are(&self, headers: &HeaderMap) -> bool {
        let mut rest = &*self.text;
        for (name, value) in headers {
            let name = name.as_str().as_bytes();
            let after = behind(rest, mark(name, value))
                .and_then(|rest| rest.strip_prefix(name))
                .and_then(|rest| rest.strip_prefix(value.as_bytes()));
            match after {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// The map that was kept.
    pub(super) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::try_with_capacity(self.names).unwrap_or_default();
        for kept in self.all() {
            let name = HeaderName::from_bytes(kept.name);
            let value = HeaderValue::from_bytes(kept.value);
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(kept.sensitive);
                // As many as were in one map find room in another.
                let _ = map.try_append(name, value);
            }
        }
        map
    }

    /// Names and values.
    #[cfg(feature = "cache")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.all().map(|kept| (kept.name, kept.value))
    }

    fn all(&self) -> impl Iterator<Item = Kept<'_>> + Clone {
        let mut rest = &*self.text;
        iter::from_fn(move || {
            let (kept, behind) = Kept::first(rest)?;
            rest = behind;
            Some(kept)
        })
    }
}

/// What follows a mark, if that stands at the start.
fn behind(text: &[u8], mark: [u8; 8]) -> Option<&[u8]> {
    let (start, rest) = text.split_first_chunk()?;
    (*start == mark).then_some(rest)
}

/// A header of a text.
struct Kept<'a> {
    name: &'a [u8],
    value: &'a [u8],
    sensitive: bool,
}

impl<'a> Kept<'a> {
    /// The first of a text, and what is behind it.
    fn first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (mark, rest) = text.split_first_chunk()?;
        let mark = u64::from_le_bytes(*mark);
        let (name, rest) = rest.split_at_checked(usize::try_from(mark >> 48).ok()?)?;
        let (value, rest) = rest.split_at_checked(usize::try_from(mark << 16 >> 17).ok()?)?;
        let kept = Self {
            name,
            value,
            sensitive: mark & 1 == 1,
        };
        Some((kept, rest))
    }
}

/// How long name and value are, and whether the value is to be hidden. A name is no longer than 2¹⁶ bytes, and no value as
/// long as 2⁴⁷.
fn mark(name: &[u8], value: &HeaderValue) -> [u8; 8] {
    let (name, len) = (name.len() as u64, value.len() as u64);
    (name << 48 | len << 1 | u64::from(value.is_sensitive())).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE};

    /// Of all kinds: known and unknown names, repeated and hidden, empty, and no UTF-8.
    fn headers() -> HeaderMap {
        let mut map = HeaderMap::new();
        let mut secret = HeaderValue::from_static("sk-ant-1");
        secret.set_sensitive(true);
        map.append("x-api-key", secret);
        map.append(ACCEPT, HeaderValue::from_static("a"));
        map.append("x-two", HeaderValue::from_bytes(b"\xff\x80 1").unwrap());
        map.append(COOKIE, HeaderValue::from_static(""));
        map.append(ACCEPT, HeaderValue::from_static("b"));
        map.append("x-two", HeaderValue::from_static("2"));
        map
    }

    /// As `Debug` prints them: in their order, and those that are hidden without their text.
    fn shown(map: &HeaderMap) -> Vec<String> {
        let shown = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {value:?}");
        map.iter().map(shown).collect()
    }

    #[test]
    fn the_map_comes_back_in_its_order_with_repeats_and_secrets() {
        let map = headers();
        let kept = KeptHeaders::of(&map);
        let again = kept.to_map();
        assert_eq!(again, map);
        assert_eq!(shown(&again), shown(&map));
        assert!(again["x-api-key"].is_sensitive() && !again["accept"].is_sensitive());
        assert!(kept.are(&again));
        assert!(KeptHeaders::of(&HeaderMap::new()).to_map().is_empty());
    }

    #[test]
    fn every_change_of_a_map_is_seen() {
        let changes: [fn(&mut HeaderMap); 8] = [
            |map| {
                map.remove("cookie");
            },
            |map| {
                map.remove("x-two");
            },
            |map| {
                map.insert("cookie", HeaderValue::from_static("a=b"));
            },
            |map| {
                map.append("cookie", HeaderValue::from_static(""));
            },
            |map| {
                map.append("x-new", HeaderValue::from_static(""));
            },
            |map| map.get_mut("x-api-key").unwrap().set_sensitive(false),
            |map| map.get_mut("cookie").unwrap().set_sensitive(true),
            |map| map.clear(),
        ];
        let kept = KeptHeaders::of(&headers());
        assert!(kept.are(&headers()));
        for (n, change) in changes.into_iter().enumerate() {
            let mut map = headers();
            change(&mut map);
            assert!(!kept.are(&map), "change {n}");
            assert!(KeptHeaders::of(&map).are(&map), "change {n}");
        }
    }

    /// What ends one part and what begins the next must not be taken for each other.
    #[test]
    fn the_same_text_cut_elsewhere_is_another() {
        let of = |name: &'static str, value: &'static str| {
            let mut map = HeaderMap::new();
            map.insert(name, HeaderValue::from_static(value));
            map
        };
        assert!(!KeptHeaders::of(&of("x-ab", "c")).are(&of("x-a", "bc")));
    }

    #[test]
    fn as_many_as_a_map_takes_are_kept() {
        let mut map = HeaderMap::new();
        for n in 0.. {
            let name = HeaderName::try_from(format!("x-{n}")).unwrap();
            if map.try_append(name, HeaderValue::from(n)).is_err() {
                break;
            }
        }
        assert!(map.len() > 20_000);
        let mut repeated = HeaderMap::new();
        for n in 0..30_000 {
            repeated.append("x-many", HeaderValue::from(n));
        }
        for map in [map, repeated] {
            let again = KeptHeaders::of(&map).to_map();
            assert_eq!(again.len(), map.len());
            assert!(again.iter().eq(&map));
        }
    }

    /// A value of 64 KiB, and a name of nearly as much.
    #[test]
    fn long_ones_come_back() {
        let mut map = HeaderMap::new();
        let name = HeaderName::try_from("n".repeat(60_000)).unwrap();
        map.insert(name, HeaderValue::try_from("v".repeat(1 << 16)).unwrap());
        assert_eq!(KeptHeaders::of(&map).to_map(), map);
    }
}
