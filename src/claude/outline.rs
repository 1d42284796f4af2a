//! Tells a whole JSON object from a cut one by its strings and braces.

use memchr::{memchr, memchr_iter, memchr2, memrchr};
use std::mem;

/// Follows a JSON text as far as its outline goes: strings, escapes and the depth of braces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outline {
    depth: u32,
    in_string: bool,
    /// The next byte of the string is escaped.
    escaped: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing but white space so far.
    #[default]
    Before,
    /// Inside the object.
    Inside,
    /// After its last brace.
    After,
    /// No object, or something beside it.
    Broken,
}

impl Outline {
    /// Inside a string, within so many open braces. `escaped`: its next byte is.
    pub(crate) fn in_string(depth: u32, escaped: bool) -> Self {
        Self {
            depth,
            in_string: true,
            escaped,
            stage: Stage::Inside,
        }
    }

    /// Whether what was pushed is one object, closed, and nothing but white space around it.
    pub(crate) fn is_whole(self) -> bool {
        self.stage == Stage::After
    }

    /// Takes the line feed between two lines of one value: white space, but never part of a string.
    pub(crate) fn line_feed(&mut self) {
        if self.in_string {
            self.stage = Stage::Broken;
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if self.stage == Stage::Before && is_plainly_whole(bytes) {
            self.stage = Stage::After;
            return;
        }
        while !bytes.is_empty() && self.stage != Stage::Broken {
            let used = match self.stage {
                Stage::Inside => self.inside(bytes),
                _ => self.around(bytes),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Strings and what stands between them, up to the end of the object.
    fn inside(&mut self, bytes: &[u8]) -> usize {
        // Without a backslash quotes come in pairs, so all strings before the next brace are passed at once: it lies outside of
        // them, unless it follows an odd number of quotes.
        let paired = memchr(b'\\', bytes).is_none();
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.in_string {
                let Some(end) = close_of(rest, &mut self.escaped) else {
                    return bytes.len();
                };
                self.in_string = false;
                at += end;
                continue;
            }
            if paired {
                let brace = memchr2(b'{', b'}', rest).unwrap_or(rest.len());
                let (before, _) = rest.split_at(brace);
                self.in_string = has_odd_quotes(before);
                at += brace;
                if self.in_string {
                    continue;
                }
            }
            let Some(byte) = bytes.get(at) else {
                return bytes.len();
            };
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' => self.depth = self.depth.saturating_add(1),
                b'}' if self.depth == 1 => {
                    self.stage = Stage::After;
                    return at;
                }
                b'}' => self.depth -= 1,
                _ => {}
            }
        }
    }

    /// What stands before the object or behind it: white space.
    fn around(&mut self, bytes: &[u8]) -> usize {
        let space = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
        let at = space.count();
        self.stage = match (self.stage, bytes.get(at)) {
            (stage, None) => stage,
            (Stage::Before, Some(b'{')) => {
                self.depth = 1;
                Stage::Inside
            }
            _ => Stage::Broken,
        };
        at + 1
    }
}

/// How many of these bytes belong to a string, its closing quote included; `None` if it goes on. `escaped`: whether its next
/// byte is.
pub(crate) fn close_of(bytes: &[u8], escaped: &mut bool) -> Option<usize> {
    let mut from = usize::from(mem::take(escaped));
    while let Some(tail) = bytes.get(from..) {
        let at = from + quote_or_backslash(tail)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        from = at + 2;
    }
    // The backslash was the last byte.
    *escaped = true;
    None
}

/// Where the first quote or backslash is.
///
/// Most strings of an API are names and short, and are over before a search made for long ones has begun. So the first bytes
/// are looked at as words of eight: subtracting one from each byte borrows only where it is zero, which is where the word
/// had the byte that is looked for, and right of the first such place nothing is wrong.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([1 << 7; 8]);
    const SHORT: usize = 16;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (mut at, mut rest) = (0, bytes);
    while let Some((word, behind)) = rest.split_first_chunk().filter(|_| at < SHORT) {
        let word = u64::from_le_bytes(*word);
        let found =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        (at, rest) = (at + 8, behind);
    }
    memchr2(b'"', b'\\', rest).map(|more| at + more)
}

/// Longer texts are mostly one string, which is skipped faster than it is counted.
const MAX_COUNTED: usize = 512;

/// Whether this is a whole object that needs no second look; most events are.
///
/// Without a backslash, an even number of quotes before a place means that it lies outside of strings. If that is true of
/// the end, and of the one brace that opens behind the first, and the text ends with as many closing braces, then there
/// are no others and all is closed. This is counting only, which compilers turn into vector instructions.
fn is_plainly_whole(text: &[u8]) -> bool {
    if text.first() != Some(&b'{') || text.len() > MAX_COUNTED {
        return false;
    }
    let at_end = text
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b'}' | b' '));
    let closing = at_end.filter(|&&byte| byte == b'}').count();
    let [opened, closed, quotes, escapes] = count(text);
    if opened != closing || closed != closing || quotes % 2 != 0 || escapes != 0 {
        return false;
    }
    match closing {
        1 => true,
        2 => memrchr(b'{', text).is_some_and(|inner| {
            let (before, _) = text.split_at(inner);
            !has_odd_quotes(before)
        }),
        _ => false,
    }
}

/// Whether the number of quotes is odd: then a place behind them lies in a string, where no backslash comes before it.
fn has_odd_quotes(text: &[u8]) -> bool {
    memchr_iter(b'"', text).count() % 2 == 1
}

/// How many `{`, `}`, `"` and `\` there are.
fn count(text: &[u8]) -> [usize; 4] {
    let mut total = [0; 4];
    // Counts of one byte each become lanes of a vector; 255 is as far as they go.
    for block in text.chunks(255) {
        let mut counts = [0_u8; 4];
        for &byte in block {
            for (count, wanted) in counts.iter_mut().zip([b'{', b'}', b'"', b'\\']) {
                *count = count.wrapping_add(u8::from(byte == wanted));
            }
        }
        for (total, count) in total.iter_mut().zip(counts) {
            *total += usize::from(count);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &[u8]) -> bool {
        let mut outline = Outline::default();
        outline.push(text);
        outline.is_whole()
    }

    /// As one would write it down.
    fn whole_byte_by_byte(text: &[u8]) -> bool {
        let (mut depth, mut in_string, mut escaped) = (0, false, false);
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = in_string,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' => depth += 1,
                b'}' if depth == 1 => return text[at + 1..].iter().all(u8::is_ascii_whitespace),
                b'}' => depth -= 1,
                _ => {}
            }
        }
        false
    }

    #[test]
    fn every_cut_of_an_object_is_told_from_the_whole() {
        let text = br#"{"type":"content_block_delta","index":0,"delta":{"a":[1,{"b":2}],"text":"}} \"{[ \\"}}"#;
        assert!(whole(text));
        for cut in 0..text.len() {
            assert!(!whole(&text[..cut]), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_object_or_more_than_one_is_not_whole() {
        for text in [
            "", "  ", "null", "[]", "\"{}\"", "{}{}", "{} x", "x{}", "{", "}", "{\"{\"}}",
            "[DONE]", "<p>",
        ] {
            assert!(!whole(text.as_bytes()), "{text}");
        }
        for text in ["{}", "{\"{\":1}", "  {} ", "{\"a\":{}}", "{\"}\":\"{\"}"] {
            assert!(whole(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_line_feed_breaks_a_string_only() {
        let mut outline = Outline::default();
        outline.push(b"{\"a\":");
        outline.line_feed();
        outline.push(b"1}");
        assert!(outline.is_whole());

        let mut outline = Outline::default();
        outline.push(b"{\"a");
        outline.line_feed();
        outline.push(b"\":1}");
        assert!(!outline.is_whole());
    }

    proptest! {
        #[test]
        fn the_end_of_a_string_is_found_wherever_it_is(text in "[a\"\\\\!#\u{80}\u{a2}\u{dc}]{0,40}") {
            let plain = text.bytes().position(|byte| byte == b'"' || byte == b'\\');
            prop_assert_eq!(quote_or_backslash(text.as_bytes()), plain);
        }

        #[test]
        fn a_glance_never_says_more_than_the_second_look(
            text in "([{}\"\\\\a ]|\"[{}a]{0,3}\"){0,8}",
            cut in 0_usize..40,
        ) {
            let text = format!("{{{text}}}");
            let mut pieces = Outline::default();
            let (a, b) = text.as_bytes().split_at(cut.min(text.len()));
            pieces.push(a);
            pieces.push(b);
            let expected = whole_byte_by_byte(text.as_bytes());
            prop_assert_eq!(pieces.is_whole(), expected);
            prop_assert_eq!(whole(text.as_bytes()), expected);
            // Not to be told at a glance.
            prop_assert_eq!(whole(&[b" ", text.as_bytes()].concat()), expected);
        }
    }
}
