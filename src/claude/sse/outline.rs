//! Tells a whole JSON object from a cut one by its braces, eight bytes at a time.

use memchr::memchr2;

/// Follows a JSON text as far as its outline goes: strings, escapes, and the depth of brackets of either shape.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outline {
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
    /// Whether what was pushed is one object, closed, and nothing but white space around it.
    pub(super) fn is_whole(self) -> bool {
        self.stage == Stage::After
    }

    /// Takes the line feed between two lines of one value: white space, but never part of a string.
    pub(super) fn line_feed(&mut self) {
        if self.in_string {
            self.stage = Stage::Broken;
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
            if self.in_string && !self.escaped {
                // Most of an answer is text: look for its end only.
                let Some(at) = memchr2(b'"', b'\\', bytes) else { return };
                let (_, found) = bytes.split_at(at);
                self.step(found.first().copied().unwrap_or_default());
                bytes = found.get(1..).unwrap_or_default();
                continue;
            }
            if !self.skip_word(u64::from_le_bytes(*word)) {
                for &byte in word {
                    self.step(byte);
                }
            }
            bytes = rest;
        }
        for &byte in bytes {
            self.step(byte);
        }
    }

    /// Takes eight bytes at once, where neither an escape nor the end of the object can be among them.
    fn skip_word(&mut self, word: u64) -> bool {
        if self.stage != Stage::Inside || self.in_string || matches(word, b'\\') != 0 {
            return false;
        }
        let quotes = matches(word, b'"');
        // `[` and `]` are `{` and `}` without this bit.
        let folded = word | repeat(0x20);
        let strings = up_to(quotes);
        let opened = (matches(folded, b'{') & !strings).count_ones();
        let closed = (matches(folded, b'}') & !strings).count_ones();
        if closed >= self.depth {
            return false;
        }
        self.depth = (self.depth - closed).saturating_add(opened);
        self.in_string = quotes.count_ones() % 2 == 1;
        true
    }

    fn step(&mut self, byte: u8) {
        match self.stage {
            Stage::Before if byte == b'{' => {
                self.depth = 1;
                self.stage = Stage::Inside;
            }
            Stage::Before | Stage::After if !byte.is_ascii_whitespace() => {
                self.stage = Stage::Broken;
            }
            Stage::Inside => self.step_inside(byte),
            Stage::Before | Stage::After | Stage::Broken => {}
        }
    }

    fn step_inside(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_string,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.stage = if byte == b'}' { Stage::After } else { Stage::Broken };
                }
            }
            _ => {}
        }
    }
}

fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The top bit of each byte that equals `byte`.
fn matches(word: u64, byte: u8) -> u64 {
    let low = repeat(0x7F);
    let differs = word ^ repeat(byte);
    // Exact for every byte, unlike the shorter form that lets a carry reach the next one.
    !(((differs & low) + low) | differs | low)
}

/// For marks in the top bit of each byte: marks every byte with an odd number of them up to and including itself.
fn up_to(marks: u64) -> u64 {
    let marks = marks ^ (marks << 8);
    let marks = marks ^ (marks << 16);
    marks ^ (marks << 32)
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
        for text in ["", "  ", "null", "[]", "\"{}\"", "{}{}", "{} x", "x{}", "{]", "}", "[DONE]", "<p>"] {
            assert!(!whole(text.as_bytes()), "{text}");
        }
        for text in ["{}", "  {} ", "{\"a\":{}}", "{\"}\":\"{\"}"] {
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
        fn words_and_bytes_agree(text in "[{}\\[\\]\"\\\\a ]{0,60}", cut in 0_usize..60) {
            let text = format!("{{{text}");
            let mut bytes = Outline::default();
            for &byte in text.as_bytes() {
                bytes.step(byte);
            }
            let mut words = Outline::default();
            let (a, b) = text.as_bytes().split_at(cut.min(text.len()));
            words.push(a);
            words.push(b);
            prop_assert_eq!(words.is_whole(), bytes.is_whole());
            prop_assert_eq!(words.stage == Stage::Inside, bytes.stage == Stage::Inside);
        }

        #[test]
        fn every_byte_that_matches_is_marked_and_no_other(word: [u8; 8], byte: u8) {
            let marks = matches(u64::from_le_bytes(word), byte).to_le_bytes();
            for (mark, at) in marks.into_iter().zip(word) {
                prop_assert_eq!(mark, if at == byte { 0x80 } else { 0 });
            }
        }
    }
}
