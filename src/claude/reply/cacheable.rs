//! Whether an answer may be given again: read closely where it is given, and at a glance where it is kept.

use super::DEGRADED_FIELD;
use memchr::memmem::Finder;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::{fmt, sync::LazyLock};

/// Whether a JSON answer is worth keeping for the day it may be given again: [`cacheable`], but for what no message of
/// Claude's is, such as malformed, or with a key twice.
///
/// This runs at the end of every good answer, and `cacheable` before one is given again. What ended otherwise than with
/// `end_turn`, as a call of tools does, is told by that; a message as Claude writes it by its keys; all others are read.
pub(crate) fn worth_keeping(message: &[u8]) -> bool {
    ended_turn(message).is_some_and(|at| {
        let (before, _) = message.split_at(at);
        before.ends_with(b"\"stop_reason\":") && is_plain(message) || cacheable(message)
    })
}

/// Where an answer, be it a message or a stream, says that it ended with `end_turn`.
pub(crate) fn ended_turn(answer: &[u8]) -> Option<usize> {
    MARKS.end_turn.find(answer)
}

/// Whether the only things in it that have a type are the message and blocks of text.
///
/// Within a string each quote has a backslash before it, so that no mark is ever found in what somebody said.
fn is_plain(message: &[u8]) -> bool {
    let mut texts = 0;
    let typed = MARKS.typed.find_iter(message).all(|at| {
        let (_, typed) = message.split_at(at + MARKS.typed.needle().len());
        let is_text = typed.starts_with(b"text\"");
        texts += usize::from(is_text);
        is_text || typed.starts_with(b"message\"")
    });
    // This crate writes its own mark before all other fields, or behind them.
    let degraded =
        message.starts_with(b"{\"_degraded\":") || message.ends_with(b",\"_degraded\":true}");
    typed && texts > 0 && !degraded
}

/// Made once, for they allocate.
static MARKS: LazyLock<Marks> = LazyLock::new(|| Marks {
    end_turn: Finder::new(b"\"end_turn\""),
    typed: Finder::new(b"\"type\":\""),
});

struct Marks {
    end_turn: Finder<'static>,
    typed: Finder<'static>,
}

/// Whether a JSON answer may be given again to the same question: a whole message that ended with `end_turn`, of text
/// blocks only and at least one, and not itself a degraded answer.
pub fn cacheable(message: &[u8]) -> bool {
    serde_json::from_slice::<Message>(message).is_ok_and(|message| {
        message.typed && message.ended_turn && message.is_text && !message.is_degraded
    })
}

/// What counts of a message. Whatever is of another type than it should be is an error, and no message.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a message"
)]
struct Message {
    typed: bool,
    ended_turn: bool,
    is_text: bool,
    is_degraded: bool,
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Message;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message, A::Error> {
                let mut message = Message::default();
                while let Some(name) = map.next_key_seed(OneOf(&FIELDS))? {
                    match name {
                        Some("type") => message.typed = is(&mut map, "message")?,
                        Some("stop_reason") => message.ended_turn = is(&mut map, "end_turn")?,
                        Some("content") => message.is_text = map.next_value::<Content>()?.0,
                        name => {
                            message.is_degraded |= name == Some(DEGRADED_FIELD);
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }

        from.deserialize_map(Fields)
    }
}

const FIELDS: [&str; 4] = ["type", "stop_reason", "content", DEGRADED_FIELD];

/// Whether these are text blocks, and at least one.
struct Content(bool);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Blocks;

        impl<'de> Visitor<'de> for Blocks {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("content blocks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut all = None;
                while let Some(Block(is_text)) = seq.next_element()? {
                    all = Some(all.unwrap_or(true) && is_text);
                }
                Ok(Content(all.unwrap_or(false)))
            }
        }

        from.deserialize_seq(Blocks)
    }
}

/// Whether this is a block of text.
struct Block(bool);

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Block;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content block")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Block, A::Error> {
                let (mut is_text, mut has_text) = (false, false);
                while let Some(name) = map.next_key_seed(OneOf(&["type", "text"]))? {
                    match name {
                        Some("type") => is_text = is(&mut map, "text")?,
                        // Any string.
                        Some("text") => {
                            map.next_value_seed(OneOf(&[]))?;
                            has_text = true;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Block(is_text && has_text))
            }
        }

        from.deserialize_map(Fields)
    }
}

fn is<'de, A: MapAccess<'de>>(map: &mut A, wanted: &'static str) -> Result<bool, A::Error> {
    Ok(map.next_value_seed(OneOf(&[wanted]))?.is_some())
}

/// A string, if it is one of these; `None` if it is another one.
struct OneOf<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for OneOf<'_> {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for OneOf<'_> {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().copied().find(|wanted| *wanted == text))
    }
}
