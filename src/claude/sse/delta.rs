//! Recognises the event that nearly all of a stream consists of, in the form in which the API writes it.

use memchr::memchr3;

/// What a chunk begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delta {
    /// A whole delta of this length.
    Whole(usize),
    /// One whose text goes on in the next chunk. `escaping`: it ends with a backslash that escapes what comes there.
    Begun { escaping: bool },
}

/// Takes one delta after the other from a chunk.
#[derive(Debug)]
pub(super) struct Deltas<'a> {
    /// How the last one began, up to its text: so does the next, nearly always.
    head: &'a [u8],
}

impl<'a> Deltas<'a> {
    pub(super) fn new() -> Self {
        let head =
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"";
        Self { head }
    }

    /// The delta that `chunk` begins with; `None` if it begins with anything else, or with one that is written otherwise or
    /// whose head is cut: then it must be taken line by line.
    pub(super) fn take(&mut self, chunk: &'a [u8]) -> Option<Delta> {
        let text = if let Some(text) = chunk.strip_prefix(self.head) {
            text
        } else {
            let text = after_head(chunk)?;
            self.head = chunk.get(..chunk.len() - text.len())?;
            text
        };
        match after_string(text) {
            Ok(after) => Some(Delta::Whole(chunk.len() - after_end(after)?.len())),
            Err(Unended::Chunk { escaping }) => Some(Delta::Begun { escaping }),
            Err(Unended::Line) => None,
        }
    }
}

/// What follows the head of a delta, from its text on.
fn after_head(chunk: &[u8]) -> Option<&[u8]> {
    let index = chunk.strip_prefix(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    )?;
    let digits = index
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let kind = index
        .get(digits..)?
        .strip_prefix(b",\"delta\":{\"type\":\"")?;
    [
        &b"text_delta\",\"text\":\""[..],
        b"thinking_delta\",\"thinking\":\"",
        b"input_json_delta\",\"partial_json\":\"",
        b"signature_delta\",\"signature\":\"",
    ]
    .into_iter()
    .find_map(|head| kind.strip_prefix(head))
}

/// What follows the string that `text` is the inside of. Looks at each byte once.
fn after_string(text: &[u8]) -> Result<&[u8], Unended> {
    let mut from = 0;
    while let Some(at) = memchr3(b'"', b'\n', b'\r', text.get(from..).unwrap_or_default()) {
        let (inside, rest) = text.split_at(from + at);
        let after = rest.strip_prefix(b"\"").ok_or(Unended::Line)?;
        if !ends_escaping(inside) {
            return Ok(after);
        }
        from += at + 1;
    }
    Err(Unended::Chunk {
        escaping: ends_escaping(text),
    })
}

/// What ends before the string does.
enum Unended {
    Line,
    Chunk { escaping: bool },
}

/// Whether the next byte is escaped: an even number of backslashes escape one another.
fn ends_escaping(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// What follows a delta of which no more than its end is left. The API pads some with blanks between the braces.
fn after_end(text: &[u8]) -> Option<&[u8]> {
    if let Some(after) = text.strip_prefix(b"}}\n\n") {
        return Some(after);
    }
    let after = text.strip_prefix(b"}")?;
    let after = after_blanks(after).strip_prefix(b"}")?;
    after_blanks(after).strip_prefix(b"\n\n")
}

fn after_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(text: &str, end: &str) -> String {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":12,\"delta\":{{\"type\":{text}{end}"
        )
    }

    fn take(chunk: &str) -> Option<Delta> {
        Deltas::new().take(chunk.as_bytes())
    }

    #[test]
    fn every_delta_that_is_one_string_is_recognised() {
        for text in [
            r#""text_delta","text":"""#,
            r#""text_delta","text":"a \"quote\", \\ and {braces""#,
            r#""text_delta","text":"a backslash at the end \\""#,
            r#""text_delta","text":"\\\"""#,
            r#""thinking_delta","thinking":"hm""#,
            r#""input_json_delta","partial_json":"{\"a""#,
            r#""signature_delta","signature":"Eq==""#,
        ] {
            for end in ["}}\n\n", "}    }\n\n", "} } \n\n"] {
                let event = delta(text, end);
                let chunk = event.clone() + "event: ping";
                assert_eq!(take(&chunk), Some(Delta::Whole(event.len())), "{event}");
                for cut in 0..event.len() {
                    let taken = take(&event[..cut]);
                    assert!(!matches!(taken, Some(Delta::Whole(_))), "{cut}: {event}");
                }
            }
        }
    }

    #[test]
    fn a_delta_that_is_cut_in_its_text_is_told_from_one_cut_elsewhere() {
        let head = r#""text_delta","text":""#;
        for (text, escaping) in [
            ("", false),
            ("a", false),
            (r"a\n", false),
            (r"a\", true),
            (r#"a\""#, false),
            (r"a\\", false),
            (r"a\\\", true),
        ] {
            let begun = Some(Delta::Begun { escaping });
            assert_eq!(take(&delta(head, text)), begun, "{text}");
        }
        for cut in [r#"""#, r#""}"#, r#""}}"#, "\"}}\n", "\n", "a\r"] {
            assert_eq!(take(&delta(head, cut)), None, "{cut}");
        }
        assert_eq!(take(&delta(&head[..head.len() - 1], "")), None);
    }

    #[test]
    fn deltas_of_one_chunk_are_recognised_however_the_one_before_them_began() {
        let texts = [
            r#""thinking_delta","thinking":"hm""#,
            r#""thinking_delta","thinking":"hm, hm""#,
            r#""text_delta","text":"a""#,
            r#""text_delta","text":"thinking_delta""#,
            r#""input_json_delta","partial_json":"{\"a""#,
        ];
        let events = texts.map(|text| delta(text, "}}\n\n"));
        let events = events.map(|event| event.replace("12", "3") + &event);
        let chunk = events.concat();
        let mut deltas = Deltas::new();
        let (mut rest, mut count) = (chunk.as_bytes(), 0);
        while let Some(Delta::Whole(length)) = deltas.take(rest) {
            rest = &rest[length..];
            count += 1;
        }
        assert_eq!((rest, count), (&b""[..], 10));
    }

    #[test]
    fn whatever_is_written_otherwise_is_left_to_be_read_line_by_line() {
        for text in [
            delta(r#""text_delta","text":"a""#, "}\n\n"),
            delta(r#""text_delta","text":"a","x":1"#, "}}\n\n"),
            delta(r#""text_delta","text":"a""#, "}}}\n\n"),
            delta(r#""text_delta","text":"a""#, "}}\r\n\r\n"),
            delta(r#""text_delta","text":"a""#, "}}\ndata: x\n\n"),
            delta("\"text_delta\",\"text\":\"a\nb\"", "}}\n\n"),
            delta("\"text_delta\",\"text\":\"a\rb\"", "}}\n\n"),
            delta(r#""citations_delta","citation":{}"#, "}}\n\n"),
            format!(" {}", delta(r#""text_delta","text":"a""#, "}}\n\n")),
        ] {
            assert_eq!(take(&text), None, "{text}");
        }
    }
}
