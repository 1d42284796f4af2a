//! A stream of events, cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::num::NonZeroUsize;
use tower_claude::claude::sse::{EventKind, Splitter};

/// Low enough that the fuzzer meets it.
const MAX_EVENT: NonZeroUsize = NonZeroUsize::new(256).unwrap();

type Told = Vec<(EventKind, bool, Vec<u8>, usize)>;

/// What is told of a stream, up to where it may be forwarded, and whether an event was too large.
fn tell<'a>(chunks: impl Iterator<Item = &'a [u8]>, full_parse: bool) -> (Told, bool) {
    let mut splitter = Splitter::new()
        .with_max_event(MAX_EVENT)
        .with_full_parse(full_parse);
    let (mut told, mut before) = (Vec::new(), 0);
    for chunk in chunks {
        let mut last = 0;
        let pushed = splitter.push(chunk, |event| {
            assert!(event.end > last && event.end <= chunk.len());
            last = event.end;
            told.push((
                event.kind,
                event.whole,
                event.error.to_vec(),
                before + event.end,
            ));
        });
        match pushed {
            Ok(whole) => assert!(whole >= last && whole <= chunk.len()),
            Err(_) => return (told, true),
        }
        before += chunk.len();
    }
    (told, false)
}

/// Pieces whose lengths the first bytes of the input say.
fn cut<'a>(mut stream: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = usize::from(*lengths.next()?).max(1).min(stream.len());
        let (chunk, rest) = stream.split_at(length);
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((lengths, stream)) = input.split_at_checked(4) else {
        return;
    };
    for full_parse in [false, true] {
        let (whole, too_large) = tell(std::iter::once(stream), full_parse);
        for told in [
            tell(cut(stream, lengths), full_parse),
            tell(cut(stream, &[1]), full_parse),
        ] {
            // A CRLF that is cut ends its event with the CR; the LF comes after.
            let same = |a: &Told, b: &Told| {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| {
                        (a.0, a.1, &a.2) == (b.0, b.1, &b.2) && a.3.abs_diff(b.3) <= 1
                    })
            };
            assert!(same(&told.0, &whole), "{:?} is not {whole:?}", told.0);
            assert_eq!(told.1, too_large);
        }
    }
});
