//! The part of a request body that decides its answer: all of it but white space between tokens and the top-level
//! `stream`.
//!
//! One pass over the segments as they are; what is kept is handed on as slices of them. The order of keys and the
//! spelling of strings and numbers stay as they are, so two spellings of one request may differ here, but two different
//! requests never agree. That holds for malformed bodies too: white space that parts two numbers or names is kept as one
//! space, and what is no object at the top level has no canonical form.

use bytes::Bytes;
use memchr::memchr2;

/// The key that is left out, after its opening quote.
const STREAM: &[u8] = b"stream\"";

/// Gives the canonical form of a body to `emit`, piece by piece. `None`: it has none.
pub(super) fn canonical(segments: &[Bytes], emit: impl FnMut(&[u8])) -> Option<()> {
    let mut scan = Scan {
        emit,
        at: At::Start,
        depth: 0,
        escaped: false,
        dropped: false,
        last: Last::Other,
    };
    for segment in segments {
        let mut rest: &[u8] = segment;
        while !rest.is_empty() {
            let used = scan.step(rest)?;
            rest = rest.get(used..)?;
        }
    }
    matches!(scan.at, At::End).then_some(())
}

#[derive(Clone, Copy)]
enum At {
    /// Before the object.
    Start,
    /// After `{`.
    FirstKey,
    /// After a top-level comma.
    NextKey,
    /// Within a key that is `stream` so far, for so many bytes.
    MaybeStream(usize),
    /// Within any other key.
    Key,
    /// After a key.
    Colon,
    /// Within a value, at any depth.
    Value,
    /// Within a string of a value.
    Text,
    /// After the object.
    End,
}

struct Scan<F> {
    emit: F,
    at: At,
    /// Open brackets of the value.
    depth: usize,
    /// The next byte of a string is escaped by a backslash.
    escaped: bool,
    /// This member is left out.
    dropped: bool,
    last: Last,
}

/// What came last in a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A byte of a number or a name.
    Scalar,
    /// White space after one.
    ScalarAndSpace,
    Other,
}

impl<F: FnMut(&[u8])> Scan<F> {
    /// Takes the start of `rest`, which is not empty; says how much of it. `None`: malformed.
    fn step(&mut self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self.at {
            At::MaybeStream(_) | At::Key | At::Text => Some(self.string(rest)),
            _ if is_space(first) => {
                if self.last == Last::Scalar {
                    self.last = Last::ScalarAndSpace;
                }
                Some(1)
            }
            At::Value => self.value(rest),
            _ => {
                self.at = match (self.at, first) {
                    (At::Start, b'{') => At::FirstKey,
                    (At::FirstKey, b'}') => At::End,
                    (At::FirstKey | At::NextKey, b'"') => At::MaybeStream(0),
                    (At::Colon, b':') => {
                        self.keep(b":");
                        self.last = Last::Other;
                        At::Value
                    }
                    _ => return None,
                };
                Some(1)
            }
        }
    }

    /// The rest of a string, as far as it is here.
    fn string(&mut self, rest: &[u8]) -> usize {
        let close = close_of(rest, &mut self.escaped);
        let used = close.unwrap_or(rest.len());
        let part = rest.get(..used).unwrap_or_default();
        if let At::MaybeStream(matched) = self.at {
            let (before, wanted) = STREAM.split_at(matched);
            if wanted.starts_with(part) {
                self.dropped = close.is_some();
                self.at = if self.dropped {
                    At::Colon
                } else {
                    At::MaybeStream(matched + used)
                };
                return used;
            }
            self.dropped = false;
            self.keep(b",\"");
            self.keep(before);
            self.at = At::Key;
        }
        self.keep(part);
        if close.is_some() {
            self.at = if matches!(self.at, At::Key) {
                At::Colon
            } else {
                At::Value
            };
        }
        used
    }

    /// A value up to the next white space, quote, or its end.
    fn value(&mut self, rest: &[u8]) -> Option<usize> {
        let scalar = rest.first().copied().is_some_and(is_scalar);
        if scalar && self.last == Last::ScalarAndSpace {
            self.keep(b" ");
        }
        for (at, &byte) in rest.iter().enumerate() {
            let next = match byte {
                _ if is_space(byte) => Some((at, At::Value)),
                b'"' => Some((at + 1, At::Text)),
                b',' if self.depth == 0 => Some((at, At::NextKey)),
                b'}' if self.depth == 0 => Some((at, At::End)),
                b']' if self.depth == 0 => return None,
                b'{' | b'[' => {
                    self.depth += 1;
                    None
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    None
                }
                _ => None,
            };
            let Some((end, next)) = next else {
                self.last = if is_scalar(byte) {
                    Last::Scalar
                } else {
                    Last::Other
                };
                continue;
            };
            self.keep(rest.get(..end)?);
            match next {
                At::Text => self.last = Last::Other,
                // The byte that ends the member is neither part of it nor needed: each member begins with a comma.
                At::NextKey | At::End => {
                    self.at = next;
                    return Some(at + 1);
                }
                _ => {}
            }
            self.at = next;
            return Some(end);
        }
        self.keep(rest);
        Some(rest.len())
    }

    fn keep(&mut self, part: &[u8]) {
        if !self.dropped && !part.is_empty() {
            (self.emit)(part);
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether the byte belongs to a number or a name, so that white space beside it may mean something.
fn is_scalar(byte: u8) -> bool {
    !matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"')
}

/// How many bytes of `rest` belong to a string, its closing quote included; `None` if it goes on.
fn close_of(rest: &[u8], escaped: &mut bool) -> Option<usize> {
    let mut from = usize::from(std::mem::take(escaped));
    while let Some(tail) = rest.get(from..) {
        let at = from + memchr2(b'"', b'\\', tail)?;
        if rest.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        from = at + 2;
    }
    // The backslash was the last byte.
    *escaped = true;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn of(segments: &[Bytes]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        canonical(segments, |part| out.extend_from_slice(part))?;
        Some(out)
    }

    fn of_text(text: &str) -> Option<String> {
        of(&[Bytes::copy_from_slice(text.as_bytes())]).map(|out| String::from_utf8(out).unwrap())
    }

    #[test]
    fn white_space_and_the_top_level_stream_are_left_out_wherever_they_stand() {
        for text in [
            r#"{"model":"m","a":[1,{"b":"c d"}]}"#,
            r#"{"stream":true,"model":"m","a":[1,{"b":"c d"}]}"#,
            r#"{"model":"m","stream":[{"x":"}"}],"a":[1,{"b":"c d"}]}"#,
            r#"{"model":"m","a":[1,{"b":"c d"}],"stream":false}"#,
            "\n{ \"model\" :\t\"m\" ,\r\n\"stream\" : true , \"a\": [ 1 , { \"b\" : \"c d\" } ] } ",
        ] {
            let expected = r#","model":"m","a":[1,{"b":"c d"}]"#;
            assert_eq!(of_text(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(of_text(r#"{"stream":true}"#).as_deref(), Some(""));
        assert_eq!(of_text("{}").as_deref(), Some(""));
    }

    #[test]
    fn only_the_top_level_key_spelled_just_so_is_left_out() {
        for text in [
            r#"{"a":{"stream":true}}"#,
            r#"{"streams":true}"#,
            r#"{"strea":true}"#,
            r#"{"":true}"#,
            r#"{"\u0073tream":true}"#,
            r#"{"stream\"":true}"#,
            r#"{"a":"stream"}"#,
        ] {
            let expected = text.replacen('{', ",", 1);
            assert_eq!(
                of_text(text).as_deref(),
                expected.strip_suffix('}'),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_object_has_no_form() {
        for text in [
            "",
            " ",
            "[]",
            "1",
            "{",
            r#"{"a""#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            "{,}",
            r#"{"a" 1}"#,
            r#"{"a":1]}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{"b":2}"#,
            r#"{a:1}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(of_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn white_space_that_parts_two_numbers_is_not_left_out() {
        let parted = of_text(r#"{"a":[1   2, tr ue]}"#).unwrap();
        assert_eq!(parted, r#","a":[1 2,tr ue]"#);
        assert_ne!(Some(parted), of_text(r#"{"a":[12,true]}"#));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ a-c\"\\\\{}\\[\\],:\n\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c ]{0,3}|stream", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The members of an object, none of them called `stream`.
    fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
        prop::collection::vec(("[a-c \"\\\\]{0,4}|streams|model", value()), 1..5)
    }

    fn compact(members: &[(String, Value)]) -> String {
        let all: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{}:{value}", json!(key)))
            .collect();
        format!("{{{}}}", all.join(","))
    }

    /// Puts white space after every token, of which `spaces` chooses.
    fn spread(text: &str, spaces: &[u8]) -> String {
        let mut spaces = spaces.iter().cycle();
        let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
        for letter in text.chars() {
            out.push(letter);
            if quoted {
                quoted = letter != '"' || escaped;
                escaped = letter == '\\' && !escaped;
            } else if letter == '"' {
                quoted = true;
            }
            if !quoted && !letter.is_ascii_alphanumeric() && letter != '-' {
                let n = usize::from(*spaces.next().unwrap());
                out.push_str(["", " ", "\n", "\t  ", " \r\n "][n]);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn white_space_and_stream_change_nothing(
            mut members in members(),
            streamed in any::<bool>(),
            at in any::<prop::sample::Index>(),
            spaces in prop::collection::vec(0_u8..5, 1..40),
        ) {
            let expected = of_text(&compact(&members)).unwrap();
            members.insert(at.index(members.len() + 1), ("stream".to_owned(), json!(streamed)));
            prop_assert_eq!(of_text(&spread(&compact(&members), &spaces)), Some(expected));
        }

        #[test]
        fn any_other_change_of_a_byte_changes_it(
            members in members(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let text = compact(&members).into_bytes();
            let expected = of(&[Bytes::from(text.clone())]);
            let mut changed = text.clone();
            let at = at.index(text.len());
            changed[at] = byte;
            if changed != text {
                prop_assert_ne!(of(&[Bytes::from(changed)]), expected);
            }
        }

        #[test]
        fn how_the_body_is_cut_never_matters(
            members in members(),
            spaces in prop::collection::vec(0_u8..5, 1..40),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let text = Bytes::from(spread(&compact(&members), &spaces));
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let segments: Vec<_> = cuts.windows(2).map(|cut| text.slice(cut[0]..cut[1])).collect();
            prop_assert_eq!(of(&segments), of(&[text]));
        }
    }
}
