//! Collects a body within its bound, and scans it: as it comes, or at once where it comes in one piece.

use crate::{
    body::ReplayBody,
    claude::request::{RequestFacts, RequestScan},
    error::BodyTooLarge,
};
use bytes::{Bytes, BytesMut};
use std::mem;

/// Segments that are kept as they come, however small.
const FREE: usize = 64;

/// After so many, segments shorter than this are put together into ones of at least its length. A body of single bytes
/// would otherwise cost thirty times its size.
const SMALL: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Gather {
    limit: u64,
    len: u64,
    /// Whether the body is scanned.
    scans: bool,
    /// The latest segment. Of a body that has only one, which most have, there is nothing else.
    last: Bytes,
    more: Option<Box<More>>,
}

/// What a body of several segments needs.
#[derive(Debug, Default)]
struct More {
    /// Those before the latest.
    segments: Vec<Bytes>,
    small: BytesMut,
    /// Has seen all segments.
    scan: Option<RequestScan>,
}

impl Gather {
    pub(super) fn new(limit: u64, scans: bool) -> Self {
        Self {
            limit,
            len: 0,
            scans,
            last: Bytes::new(),
            more: None,
        }
    }

    /// The next segment, unless it passes the bound.
    pub(super) fn push(&mut self, segment: Bytes) -> Result<(), BodyTooLarge> {
        self.len = self.len.saturating_add(segment.len() as u64);
        if self.len > self.limit {
            return Err(BodyTooLarge::new(self.limit));
        }
        if segment.is_empty() {
            return Ok(());
        }
        if self.last.is_empty() {
            self.last = segment;
            return Ok(());
        }
        let first = &self.last;
        let more = self.more.get_or_insert_with(|| {
            let mut scan = self.scans.then(RequestScan::new);
            if let Some(scan) = &mut scan {
                scan.feed(first);
            }
            Box::new(More {
                scan,
                ..More::default()
            })
        });
        more.push(&mut self.last, segment);
        Ok(())
    }

    /// The whole body, and what it says if it is that of a Messages call.
    pub(super) fn finish(self) -> (ReplayBody, Option<RequestFacts>) {
        let Some(mut more) = self.more else {
            let facts = self.scans.then(|| RequestFacts::of(&[&self.last]).ok());
            return (self.last.into(), facts.flatten());
        };
        let mut last = self.last;
        more.flush(&mut last);
        let facts = more.scan.and_then(|scan| scan.finish().ok());
        let mut segments = more.segments;
        segments.push(last);
        (segments.into(), facts)
    }
}

impl More {
    fn push(&mut self, last: &mut Bytes, segment: Bytes) {
        if let Some(scan) = &mut self.scan {
            scan.feed(&segment);
        }
        if self.segments.len() < FREE || segment.len() >= SMALL {
            self.flush(last);
            self.keep(last, segment);
        } else {
            self.small.extend_from_slice(&segment);
            if self.small.len() >= SMALL {
                self.flush(last);
            }
        }
    }

    fn flush(&mut self, last: &mut Bytes) {
        if !self.small.is_empty() {
            let small = self.small.split().freeze();
            self.keep(last, small);
        }
    }

    fn keep(&mut self, last: &mut Bytes, segment: Bytes) {
        self.segments.push(mem::replace(last, segment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_body_is_kept_as_it_came() {
        let parts = [
            Bytes::from("{\"model\""),
            Bytes::new(),
            Bytes::from(":\"m\"}"),
        ];
        let mut gather = Gather::new(100, true);
        for part in &parts {
            gather.push(part.clone()).unwrap();
        }
        let (body, facts) = gather.finish();
        assert_eq!(facts.unwrap().model.as_deref(), Some("m"));
        let kept: Vec<_> = body.segments().iter().map(|part| part.as_ptr()).collect();
        assert_eq!(kept, [parts[0].as_ptr(), parts[2].as_ptr()]);
    }

    #[test]
    fn a_body_of_single_bytes_is_held_in_few_segments() {
        let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let mut gather = Gather::new(1 << 20, true);
        for byte in &text {
            gather.push(Bytes::copy_from_slice(&[*byte])).unwrap();
        }
        let (body, facts) = gather.finish();
        assert!(facts.is_none());
        assert!(body.segments().len() <= FREE + 2 + text.len() / SMALL);
        assert_eq!(body.to_bytes(), text);
    }

    #[test]
    fn small_and_large_segments_keep_their_order() {
        let mut gather = Gather::new(1 << 20, false);
        let mut expected = Vec::new();
        for n in 0..200_u8 {
            let part = vec![n; if n % 3 == 0 { SMALL } else { 7 }];
            expected.extend_from_slice(&part);
            gather.push(part.into()).unwrap();
        }
        assert_eq!(gather.finish().0.to_bytes(), expected);
    }

    #[test]
    fn the_bound_is_inclusive() {
        let mut gather = Gather::new(3, false);
        gather.push(Bytes::from("abc")).unwrap();
        assert_eq!(gather.push(Bytes::from("d")).unwrap_err().limit, 3);
    }
}
