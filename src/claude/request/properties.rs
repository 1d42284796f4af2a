//! The scan and the rewrite against a whole parser, over random bodies cut at random places.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::*;

/// White space, as JSON knows it.
fn space() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\n", "\r\n\t "])
}

/// A key or text with some of its letters written as escapes.
fn spelled(text: String) -> impl Strategy<Value = String> {
    any::<u32>().prop_map(move |mask| {
        let letter = |(at, letter): (usize, char)| {
            if mask & (1 << (at % 32)) != 0 && mask % 3 == 0 {
                format!("\\u{:04x}", u32::from(letter))
            } else {
                letter.to_string()
            }
        };
        format!(
            "\"{}\"",
            text.chars().enumerate().map(letter).collect::<String>()
        )
    })
}

fn text() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a",
        "é",
        "\u{1F600}",
        "\\\"",
        "\\\\",
        "\\n",
        "{",
        "}",
        "[",
        ",",
        ":",
    ]);
    let any = prop::collection::vec(piece, 0..8).prop_map(|all| format!("\"{}\"", all.concat()));
    let word = select(vec!["model", "any", "tool", "auto", "claude-x", "true"]);
    prop_oneof![any, word.prop_flat_map(|word| spelled(word.to_owned()))]
}

fn scalar() -> impl Strategy<Value = String> {
    let fixed = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-7",
        "1.5",
        "1e3",
        "1024",
        "18446744073709551615",
        "18446744073709551616",
    ];
    prop_oneof![text(), select(fixed.to_vec()).prop_map(str::to_owned)]
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "model",
        "model",
        "max_tokens",
        "stream",
        "tools",
        "mcp_servers",
        "tool_choice",
        "output_config",
        "output_format",
        "format",
        "type",
        "messages",
        "",
    ];
    select(known.to_vec()).prop_flat_map(|key| spelled(key.to_owned()))
}

fn object(value: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let member = (space(), key(), space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
    (prop::collection::vec(member, 0..6), space())
        .prop_map(|(members, inner)| format!("{{{}{inner}}}", members.join(",")))
}

fn value() -> BoxedStrategy<String> {
    scalar()
        .prop_recursive(3, 24, 4, |inner| {
            let list = (prop::collection::vec(inner.clone(), 0..3), space())
                .prop_map(|(all, inner)| format!("[{inner}{}]", all.join(&format!("{inner},"))));
            prop_oneof![list, object(inner.boxed())]
        })
        .boxed()
}

/// A body, and the places at which it is cut.
fn body() -> impl Strategy<Value = (String, Vec<Index>)> {
    let whole =
        (space(), object(value()), space()).prop_map(|(a, body, b)| format!("{a}{body}{b}"));
    (whole, prop::collection::vec(any::<Index>(), 0..12))
}

fn segments(body: &[u8], cuts: &[Index]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let whole = Bytes::copy_from_slice(body);
    cuts.windows(2)
        .map(|pair| whole.slice(pair[0]..pair[1]))
        .collect()
}

fn debug(result: &Result<RequestFacts, NotMessages>) -> String {
    format!("{result:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_scan_agrees_with_a_whole_parser_however_the_body_is_cut((body, cuts) in body()) {
        let read = RequestFacts::of(&segments(body.as_bytes(), &cuts)).unwrap();
        let whole: Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(read.model.as_deref(), whole["model"].as_str());
        prop_assert_eq!(read.messages, whole["messages"].is_array());
        prop_assert_eq!(read.max_tokens, whole["max_tokens"].as_u64());
        prop_assert_eq!(read.stream, whole["stream"] == json!(true));
        let offers = |key: &str| whole[key].as_array().is_some_and(|all| !all.is_empty());
        prop_assert_eq!(read.tools, offers("tools") || offers("mcp_servers"));
        let choice = whole["tool_choice"].get("type").and_then(Value::as_str);
        prop_assert_eq!(read.forced_tool, matches!(choice, Some("any" | "tool")));
        let config = whole["output_config"].get("format").is_some_and(|format| !format.is_null());
        prop_assert_eq!(read.structured_output, config || !whole["output_format"].is_null());
        prop_assert_eq!(read.body_bytes, body.len() as u64);
    }

    #[test]
    fn a_rewrite_changes_the_model_and_no_other_byte(
        (body, cuts) in body(),
        name in "[a-z\"\\\\é\n-]{0,12}",
        cap in prop::option::of(select(vec![0, 7, 1024, u64::MAX])),
    ) {
        let parts = segments(body.as_bytes(), &cuts);
        let read = RequestFacts::of(&parts).unwrap();
        let Some(out) = read.rewrite(&parts, &name, cap) else {
            prop_assert!(!read.is_rewritable());
            return Ok(());
        };
        let out = String::from_utf8(out.concat()).unwrap();

        let mut expected: Value = serde_json::from_str(&body).unwrap();
        expected["model"] = json!(name);
        if let (Some(asked), Some(cap)) = (expected["max_tokens"].as_u64(), cap) {
            expected["max_tokens"] = json!(asked.min(cap));
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);

        // The gaps between the values that may change are the same in both.
        let gaps = |text: &str, read: &RequestFacts| {
            let mut from = 0;
            let mut gaps = Vec::new();
            for patch in read.patches.iter() {
                gaps.push(text[from..patch.start].to_owned());
                from = patch.end;
            }
            gaps.push(text[from..].to_owned());
            gaps
        };
        prop_assert_eq!(gaps(&out, &RequestFacts::of(&[&out]).unwrap()), gaps(&body, &read));
    }

    #[test]
    fn no_bytes_panic_and_cuts_never_matter(
        (body, cuts) in body(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut damaged = body.into_bytes();
        for (at, byte) in damage {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        for body in [damaged, noise] {
            let whole = RequestFacts::of(&[&body]);
            let bytewise = RequestFacts::of(&body.chunks(1).collect::<Vec<_>>());
            let cut = RequestFacts::of(&segments(&body, &cuts));
            prop_assert_eq!(debug(&whole), debug(&bytewise));
            prop_assert_eq!(debug(&whole), debug(&cut));
        }
    }
}
