use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

fn facts(body: &str) -> RequestFacts {
    RequestFacts::of(&[body]).unwrap()
}

fn rewritten(body: &str, model: &str, cap: Option<u64>) -> String {
    let segments = [Bytes::copy_from_slice(body.as_bytes())];
    let out = facts(body).rewrite(&segments, model, cap).unwrap();
    String::from_utf8(out.concat()).unwrap()
}

#[test]
fn only_the_top_level_counts() {
    let read = facts(
        r#"{"messages":[{"model":"a","stream":true,"tools":[1],"content":"\"model\":\"b\""}],
            "metadata":{"model":"c","max_tokens":5,"output_format":1},"model":"d"}"#,
    );
    assert_eq!(read.model.as_deref(), Some("d"));
    assert_eq!(read.max_tokens, None);
    assert!(!read.stream && !read.exact_output() && !read.forced_tool);
}

#[test]
fn keys_and_models_may_be_escaped_and_spaced() {
    let read =
        facts(" \n{ \"mod\\u0065l\"\t:\r\n\"claude\\u002Dx\\/\\\"\" , \"stream\" : true }\n");
    assert_eq!(read.model.as_deref(), Some("claude-x/\""));
    assert!(read.stream);
}

#[test]
fn a_byte_order_mark_is_skipped_and_kept() {
    assert_eq!(
        rewritten("\u{feff}{\"model\":\"a\"}", "b", None),
        "\u{feff}{\"model\":\"b\"}"
    );
    let late = RequestFacts::of(&[" \u{feff}{}"]).unwrap_err();
    assert_eq!(late, NotMessages::Malformed { at: 1 });
}

#[test]
fn the_model_is_found_and_replaced_after_a_message_of_20_mb() {
    let text = Bytes::from("x".repeat(20 << 20));
    let segments = [
        Bytes::from_static(b"{\"messages\":[{\"role\":\"user\",\"content\":\""),
        text.clone(),
        Bytes::from_static(b"\"}],\"model\":\"a\"}"),
    ];
    let read = RequestFacts::of(&segments).unwrap();
    assert_eq!(read.model.as_deref(), Some("a"));
    let out = read.rewrite(&segments, "b", None).unwrap();
    assert_eq!(
        out.iter().map(Bytes::len).sum::<usize>() as u64,
        read.body_bytes
    );
    assert!(
        out.iter().any(|part| part.as_ptr() == text.as_ptr()),
        "the message is shared"
    );
    assert!(out.last().unwrap().ends_with(b"}"));
}

#[test]
fn a_small_body_is_rewritten_into_one_segment() {
    let segments = [
        Bytes::from_static(b"{\"model\":"),
        Bytes::from_static(b"\"a\"}"),
    ];
    let out = RequestFacts::of(&segments)
        .unwrap()
        .rewrite(&segments, "b", None)
        .unwrap();
    assert_eq!(out, [Bytes::from_static(b"{\"model\":\"b\"}")]);
}

#[test]
fn of_a_repeated_key_the_last_counts_and_all_are_replaced() {
    let body = r#"{"model":"a","max_tokens":9,"model":"b","max_tokens":3000}"#;
    let read = facts(body);
    assert_eq!(
        (read.model.as_deref(), read.max_tokens),
        (Some("b"), Some(3000))
    );
    assert_eq!(
        rewritten(body, "c", Some(1000)),
        r#"{"model":"c","max_tokens":9,"model":"c","max_tokens":1000}"#
    );
}

#[test]
fn a_new_model_is_escaped() {
    let name = "a\"b\\c\nd\u{1F600}";
    let out: Value = serde_json::from_str(&rewritten(r#"{"model":"m"}"#, name, None)).unwrap();
    assert_eq!(out, json!({ "model": name }));
}

#[test]
fn a_cap_only_lowers() {
    let body = r#"{"model":"m","max_tokens":1000}"#;
    assert_eq!(rewritten(body, "m", Some(1000)), body);
    assert_eq!(rewritten(body, "m", Some(2000)), body);
    assert_eq!(
        rewritten(body, "m", Some(1)),
        r#"{"model":"m","max_tokens":1}"#
    );
    for odd in ["1e9", "7.0", "-7", "007", "\"7\"", "null"] {
        let body = format!(r#"{{"model":"m","max_tokens":{odd}}}"#);
        assert_eq!(facts(&body).max_tokens, None, "{odd}");
        let out = rewritten(&body, "m", Some(1));
        assert_eq!(out, body, "no whole number: the server's to refuse");
    }
}

#[test]
fn a_model_that_cannot_be_read_is_none_and_not_rewritten() {
    let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(256));
    for body in [
        r#"{"messages":[]}"#,
        r#"{"model":null}"#,
        r#"{"model":7}"#,
        r#"{"model":{"model":"a"}}"#,
        r#"{"model":["a"]}"#,
        r#"{"model":"\ud800"}"#,
        "{\"model\":\"\u{1}\"}",
        r#"{"model":"a","model":false}"#,
        &long,
    ] {
        let read = facts(body);
        assert_eq!(read.model, None, "{body}");
        assert!(!read.is_rewritable(), "{body}");
        assert!(
            read.rewrite(&[Bytes::copy_from_slice(body.as_bytes())], "b", None)
                .is_none()
        );
    }
    let named = format!(r#"{{"model":"{}"}}"#, "x".repeat(255));
    assert_eq!(facts(&named).model.unwrap().len(), 255);
    assert!(facts(r#"{"model":false,"model":"a"}"#).model.is_some());
    assert!(!facts(r#"{"model":false,"model":"a"}"#).is_rewritable());
}

#[test]
fn more_models_than_anybody_means_are_not_rewritten() {
    let body = |times| format!("{{{}}}", vec![r#""model":"a""#; times].join(","));
    assert!(facts(&body(8)).is_rewritable());
    assert!(!facts(&body(9)).is_rewritable());
    assert_eq!(facts(&body(9)).model.as_deref(), Some("a"));
}

#[test]
fn exact_output_is_told_by_tools_and_formats() {
    for (body, expected) in [
        (r#"{"tools":[{"name":"t"}]}"#, true),
        (r#"{"tools":[ ]}"#, false),
        (r#"{"tools":null}"#, false),
        (r#"{"tools":[{}],"tools":[]}"#, false),
        // Older versions of the API take the tools of a server that is named, without a list of them.
        (r#"{"mcp_servers":[{"type":"url"}]}"#, true),
        (r#"{"mcp_servers":[{}],"tools":[]}"#, true),
        (r#"{"mcp_servers":[],"tools":[]}"#, false),
        (r#"{"mcp_servers":null}"#, false),
        (r#"{"output_format":{"type":"json_schema"}}"#, true),
        (r#"{"output_format":null}"#, false),
        (
            r#"{"output_config":{"effort":"low","format":{"type":"json_schema"}}}"#,
            true,
        ),
        (r#"{"output_config":{"form\u0061t":{}}}"#, true),
        (r#"{"output_config":{"format":null}}"#, false),
        (r#"{"output_config":{"effort":{"format":1}}}"#, false),
        (
            r#"{"output_config":{"format":1},"output_config":{}}"#,
            false,
        ),
        (r#"{"output_config":{"output_config":{"format":1}}}"#, false),
        (r#"{"output_config":[{"format":1}]}"#, false),
        (r#"{"format":{}}"#, false),
    ] {
        assert_eq!(facts(body).exact_output(), expected, "{body}");
    }
}

#[test]
fn a_tool_is_forced_by_the_type_of_the_choice() {
    for (body, expected) in [
        (r#"{"tool_choice":{"type":"any"}}"#, true),
        (r#"{"tool_choice":{"name":"type","type":"tool"}}"#, true),
        (r#"{"tool_choice":{"type":"auto"}}"#, false),
        (r#"{"tool_choice":{"type":["any"]}}"#, false),
        (r#"{"tool_choice":"any"}"#, false),
        (
            r#"{"tool_choice":{"type":"any"},"tool_choice":null}"#,
            false,
        ),
        (r#"{"type":"any"}"#, false),
    ] {
        assert_eq!(facts(body).forced_tool, expected, "{body}");
    }
}

#[test]
fn what_is_not_one_whole_object_is_no_messages_request() {
    let why = |body: &str| RequestFacts::of(&[body]).unwrap_err();
    assert_eq!(why(""), NotMessages::Empty);
    assert_eq!(why(" \n"), NotMessages::Empty);
    for (body, at) in [
        ("[1]", 0),
        ("\"model\"", 0),
        ("model=a&stream=true", 0),
        ("\u{1f}\u{8b}\u{8}", 0),
        (r#"{"model":"a",}"#, 13),
        (r#"{"model" "a"}"#, 9),
        (r#"{"model":}"#, 9),
        (r#"{"a":1"b":2}"#, 6),
        (r"{model:1}", 1),
        (r#"{"a":[1]]"#, 8),
    ] {
        assert_eq!(why(body), NotMessages::Malformed { at }, "{body}");
    }
    let whole = r#"{"model":"a","max_tokens":12,"output_config":{"format":{}},"tools":[[]]}"#;
    for end in 1..whole.len() {
        assert_eq!(
            why(&whole[..end]),
            NotMessages::Truncated,
            "{}",
            &whole[..end]
        );
    }
}

#[test]
fn something_after_the_object_forbids_a_rewrite() {
    let read = facts(r#"{"model":"a"} {"model":"b"}"#);
    assert_eq!(read.model.as_deref(), Some("a"));
    assert!(!read.is_rewritable());
    assert_eq!(read.body_bytes, 27);
}

#[test]
fn another_body_than_the_one_scanned_is_not_rewritten() {
    let read = facts(r#"{"model":"a"}"#);
    assert!(
        read.rewrite(&[Bytes::from_static(b"{}")], "b", None)
            .is_none()
    );
}

#[test]
fn what_is_held_stays_small_whatever_is_fed() {
    assert!(size_of::<RequestScan>() <= 1024);
    let mut scan = RequestScan::new();
    scan.feed(b"{");
    for _ in 0..1000 {
        scan.feed(b"\"");
        scan.feed(&[b'k'; 4096]);
        scan.feed(b"\":[[[[{\"");
        scan.feed(&[b'v'; 4096]);
        scan.feed(b"\":1");
        scan.feed(&[b'1'; 512]);
        scan.feed(b"}]]]],");
    }
    scan.feed(b"\"model\":\"a\"}");
    assert_eq!(scan.finish().unwrap().model.as_deref(), Some("a"));
}
