//! Recognises the event that nearly all of a stream consists of, in the form in which the API writes it.

use memchr::memchr3_iter;

const HEAD: &[u8] =
    b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";

/// The length of the whole delta that `chunk` begins with; `None` if it begins with anything else, or with one that is
/// written otherwise: then it must be taken line by line.
pub(super) fn whole_delta(chunk: &[u8]) -> Option<usize> {
    let rest = chunk.strip_prefix(HEAD)?;
    let rest = after_digits(rest).strip_prefix(b",\"delta\":{\"type\":\"")?;
    let text = [
        &b"text_delta\",\"text\":\""[..],
        b"thinking_delta\",\"thinking\":\"",
        b"input_json_delta\",\"partial_json\":\"",
        b"signature_delta\",\"signature\":\"",
    ]
    .into_iter()
    .find_map(|head| rest.strip_prefix(head))?;
    let after = after_string(text)?.strip_prefix(b"}")?;
    let after = after_blanks(after).strip_prefix(b"}")?;
    let after = after_blanks(after).strip_prefix(b"\n\n")?;
    Some(chunk.len() - after.len())
}

/// What follows the string that `text` is the inside of; `None` if the line ends within it. Looks at each byte once.
fn after_string(text: &[u8]) -> Option<&[u8]> {
    for at in memchr3_iter(b'"', b'\n', b'\r', text) {
        let (inside, rest) = text.split_at(at);
        let after = rest.strip_prefix(b"\"")?;
        let escapes = inside.iter().rev().take_while(|byte| **byte == b'\\');
        // An even number of backslashes escape one another.
        if escapes.count() % 2 == 0 {
            return Some(after);
        }
    }
    None
}

fn after_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

fn after_digits(mut text: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', rest @ ..] = text {
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
                assert_eq!(whole_delta(chunk.as_bytes()), Some(event.len()), "{event}");
                for cut in 0..event.len() {
                    assert_eq!(
                        whole_delta(&event.as_bytes()[..cut]),
                        None,
                        "{cut}: {event}"
                    );
                }
            }
        }
    }

    #[test]
    fn whatever_is_written_otherwise_is_left_to_be_read_line_by_line() {
        for text in [
            delta(r#""text_delta","text":"a""#, "}\n\n"),
            delta(r#""text_delta","text":"a\"#, "}}\n\n"),
            delta(r#""text_delta","text":"a\""#, "}}\n\n"),
            delta(r#""text_delta","text":"a","x":1"#, "}}\n\n"),
            delta(r#""text_delta","text":"a""#, "}}}\n\n"),
            delta(r#""text_delta","text":"a""#, "}}\r\n\r\n"),
            delta(r#""text_delta","text":"a""#, "}}\ndata: x\n\n"),
            delta("\"text_delta\",\"text\":\"a\nb\"", "}}\n\n"),
            delta("\"text_delta\",\"text\":\"a\rb\"", "}}\n\n"),
            delta(r#""citations_delta","citation":{}"#, "}}\n\n"),
            format!(" {}", delta(r#""text_delta","text":"a""#, "}}\n\n")),
        ] {
            assert_eq!(whole_delta(text.as_bytes()), None, "{text}");
        }
    }
}
