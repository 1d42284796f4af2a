use super::*;
use crate::claude::sse::{EventKind, Splitter};
use proptest::prelude::*;

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn kinds(stream: &[u8]) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    let mut splitter = Splitter::new().with_full_parse(true);
    let whole = splitter.push(stream, |event| {
        assert!(event.whole);
        kinds.push(event.kind);
    });
    assert_eq!(whole, Ok(stream.len()));
    kinds
}

const CANNED: Canned<'static> = Canned {
    id: "msg_degraded_1",
    model: "claude-haiku-5-5",
    text: "Service \"degraded\".\n",
    degraded: true,
};

#[test]
fn a_canned_message_has_every_field_the_sdks_ask_for() {
    let expected = json!({
        "id": "msg_degraded_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": "Service \"degraded\".\n"}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 0, "output_tokens": 0}, "_degraded": true,
    });
    assert_eq!(value(&message_json(&CANNED)), expected);
    let unmarked = message_json(&Canned {
        degraded: false,
        ..CANNED
    });
    assert_eq!(value(&unmarked).get("_degraded"), None);
    assert_eq!(mark_degraded(&unmarked), Some(message_json(&CANNED)));
}

#[test]
fn a_canned_stream_has_its_events_in_order_and_both_usages() {
    let stream = message_sse(&CANNED);
    assert_eq!(
        kinds(&stream),
        [
            EventKind::MessageStart,
            EventKind::ContentBlockStart,
            EventKind::ContentBlockDelta,
            EventKind::ContentBlockStop,
            EventKind::MessageDelta,
            EventKind::MessageStop,
        ]
    );
    let text = std::str::from_utf8(&stream).unwrap();
    assert_eq!(text.matches("\"usage\"").count(), 2);
    assert!(text.contains("\"_degraded\":true"));
}

#[test]
fn ids_are_never_the_same_twice() {
    let (one, other) = (degraded_id(), degraded_id());
    assert!(one.starts_with("msg_degraded_"));
    assert_eq!(one.len(), "msg_degraded_".len() + 24);
    assert_ne!(one, other);
}

#[test]
fn an_error_has_the_documented_envelope() {
    let json = value(&error_json(
        "overloaded_error",
        "Over\nloaded",
        Some("req_1"),
    ));
    let expected = json!({
        "type": "error", "error": {"type": "overloaded_error", "message": "Over\nloaded"},
        "request_id": "req_1",
    });
    assert_eq!(json, expected);
    let without = value(&error_json("api_error", "cut", None));
    assert_eq!(without.get("request_id"), None);
    let event = error_event("api_error", "two\nlines", None);
    assert_eq!(kinds(&event), [EventKind::Error]);
}

#[test]
fn a_stream_becomes_the_message_that_the_json_would_have_been() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",",
        "\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"stop_sequence\":null,",
        "\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        ": comment\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: content_block_delta\ndata: {\"index\":0,\ndata: \"delta\":{\"type\":\"text_delta\",\"text\":\"He\"}}\n\n",
        "event: content_block_delta\r\ndata: {\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"llo\"}}\r\n\r\n",
        "event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"n\":1}}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",",
        "\"stop_sequence\":null},\"usage\":{\"output_tokens\":15,\"input_tokens\":null}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n",
    );
    let message = message_from_sse(stream.as_bytes()).unwrap();
    let expected = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hello", "citations": [{"n": 1}]}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 25, "output_tokens": 15},
    });
    assert_eq!(value(&message), expected);
    assert!(cacheable(&message));
    let again = message_from_sse(&sse_from_message(&message).unwrap());
    assert_eq!(again, Some(message));
}

#[test]
fn text_is_read_the_same_in_whatever_form_its_event_comes() {
    let with = |delta: &str| {
        let stream = String::from_utf8(message_sse(&CANNED).to_vec()).unwrap();
        let (before, rest) = stream.split_once("event: content_block_delta\n").unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let event = format!("event: content_block_delta\n{delta}\n\n");
        message_from_sse(format!("{before}{event}{event}{after}").as_bytes())
            .map(|message| value(&message)["content"][0]["text"].clone())
    };
    let usual = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\u00e9\n{\"é"}}"#;
    for form in [
        usual.to_owned(),
        usual.replace("data: ", "data:"),
        usual.replace("}}", "}            }  "),
        usual.replace(':', ": ").replace("data:  ", "data:"),
        usual.replace("0,", "0,\ndata:"),
        usual.replace("}}", ",\"more\":{}},\"x\":1}"),
        usual.replace("\"type\":\"content_block_delta\",", ""),
        usual.replace("\\u00e9", "é"),
    ] {
        assert_eq!(with(&form), Some(json!("aé\n{\"éaé\n{\"é")), "{form}");
    }
    for form in [
        usual.replace(":0", ":1"),
        usual.replace(":0", ":00"),
        usual.replace(":0", ":+0"),
        usual.replace("\\n", "\\x"),
        usual.replace("\\n", "\u{1}"),
        usual.replace("é\"}}", "é\"}"),
        // White space to many, and none in JSON.
        usual.replace("}}", "}\u{c}}"),
        usual.replace("}}", "}}\u{c}"),
        usual.replace("é\"}}", "é}}"),
        usual.replace("é\"}}", "é\"\"}}"),
        usual.replace("text_delta", "thinking_delta"),
        usual.replace("\"text\":\"", "\"text\":7,\"x\":\""),
    ] {
        assert_eq!(with(&form), None, "{form}");
    }
}

#[test]
fn a_stream_that_is_cut_anywhere_before_its_end_is_no_message() {
    let stream = message_sse(&CANNED);
    for cut in 0..stream.len() {
        assert_eq!(message_from_sse(&stream[..cut]), None, "cut at {cut}");
    }
}

#[test]
fn a_stream_with_anything_but_text_is_no_message() {
    let text = String::from_utf8(message_sse(&CANNED).to_vec()).unwrap();
    let tool = text.replace(
        "{\"text\":\"\",\"type\":\"text\"}",
        "{\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}}",
    );
    let thinking = text.replace("text_delta", "thinking_delta");
    let error = text.replacen(
        "event: message_delta",
        "event: error\ndata: {}\n\nevent: message_delta",
        1,
    );
    let unknown = text.replacen(
        "event: message_delta",
        "event: new\ndata: {}\n\nevent: message_delta",
        1,
    );
    let twice = format!("{}{text}", text.split_inclusive("\n\n").next().unwrap());
    let open = text.replace("event: content_block_stop", "event: ping");
    let index = text.replace("\"index\":0", "\"index\":1");
    for stream in [tool, thinking, error, unknown, twice, open, index] {
        assert_ne!(stream, text);
        assert_eq!(message_from_sse(stream.as_bytes()), None, "{stream}");
    }
}

#[test]
fn only_whole_text_answers_that_ended_their_turn_are_cacheable() {
    let good = Canned {
        degraded: false,
        ..CANNED
    };
    let good = String::from_utf8(message_json(&good).to_vec()).unwrap();
    assert!(cacheable(good.as_bytes()));
    let block = "{\"text\":\"Service \\\"degraded\\\".\\n\",\"type\":\"text\"}";
    for as_good in [
        good.replace("end_turn", "max_tokens")
            .replacen('{', "{\"stop_reason\":\"x\",", 1)
            .replace("max_tokens", "end_turn"),
        good.replace("\"text\",", "\"te\\u0078t\","),
        good.replacen('{', "{\"deep\":[{\"type\":1,\"content\":null}],", 1),
    ] {
        assert!(cacheable(as_good.as_bytes()), "{as_good}");
    }
    for broken in [
        "",
        "x",
        "[]",
        "{}",
        "null",
        &good[..good.len() - 1],
        &(good.clone() + "}"),
    ] {
        assert!(!cacheable(broken.as_bytes()), "{broken}");
    }
    for bad in [
        good.replace("end_turn", "max_tokens"),
        good.replace("end_turn", "refusal"),
        good.replace("\"end_turn\"", "null"),
        good.replace("\"end_turn\"", "{\"end_turn\":1}"),
        good.replace("\"Service \\\"degraded\\\".\\n\"", "7"),
        good.replace(block, ""),
        good.replace(
            block,
            "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}",
        ),
        good.replace(
            block,
            &format!("{{\"type\":\"thinking\",\"thinking\":\"\"}},{block}"),
        ),
        good.replace("\"message\"", "\"error\""),
        String::from_utf8(message_json(&CANNED).to_vec()).unwrap(),
        good[..good.len() - 1].to_owned(),
        "[]".to_owned(),
    ] {
        assert_ne!(bad, good);
        assert!(!cacheable(bad.as_bytes()), "{bad}");
    }
}

/// A block of each kind, and what may stand beside the text in one.
fn block() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        Just(r#"","stop_reason":"end_turn"},{"type":"tool_use","#.to_owned()),
        Just(r#"{"_degraded":true,"type":"text"}"#.to_owned()),
    ];
    let location = json!([{"type": "char_location", "cited_text": "x"}]);
    prop_oneof![
        6 => text.prop_map(|text| json!({"type": "text", "text": text})),
        1 => Just(json!({"type": "text", "text": "x", "citations": location})),
        1 => Just(json!({"type": "thinking", "thinking": "x", "signature": "y"})),
        1 => Just(json!({"type": "tool_use", "id": "t", "name": "n", "input": {"type": "text"}})),
    ]
}

proptest! {
    #[test]
    fn what_a_glance_keeps_of_claudes_messages_is_what_may_be_given(
        blocks in prop::collection::vec(block(), 0..4),
        reason in prop::sample::select(&["end_turn", "end_turn", "end_turn", "max_tokens", "tool_use", "refusal"][..]),
        degraded in prop::bool::weighted(0.2),
        last in prop::bool::weighted(0.1),
        pretty in prop::bool::weighted(0.2),
    ) {
        let mut message = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks,
            "stop_reason": reason, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
        });
        if degraded {
            message[DEGRADED_FIELD] = json!(true);
        }
        let mut text = if pretty { format!("{message:#}") } else { message.to_string() };
        if last {
            // As where the fields of an object keep their order.
            text = text.replacen("{\"_degraded\":true,", "{", 1).replacen("1}}", "1},\"_degraded\":true}", 1);
        }
        prop_assert_eq!(worth_keeping(text.as_bytes()), cacheable(text.as_bytes()), "{}", text);
    }
}

#[test]
fn an_error_or_a_message_of_no_block_is_not_worth_keeping() {
    for text in [
        "",
        "\"end_turn\"",
        "{\"stop_reason\":\"end_turn\"}",
        "{\"type\":\"message\",\"content\":[],\"stop_reason\":\"end_turn\"}",
        "{\"type\":\"error\",\"error\":{\"type\":\"text\",\"stop_reason\":\"end_turn\"}}",
    ] {
        assert!(!worth_keeping(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_message_with_other_blocks_does_not_become_a_stream() {
    for content in [
        "[{\"type\":\"tool_use\"}]",
        "[{\"type\":\"thinking\"}]",
        "\"text\"",
        "[1]",
    ] {
        let message =
            format!("{{\"type\":\"message\",\"stop_reason\":\"end_turn\",\"content\":{content}}}");
        assert_eq!(sse_from_message(message.as_bytes()), None, "{content}");
    }
    let error = error_json("api_error", "x", None);
    assert_eq!(sse_from_message(&error), None);
}

#[test]
fn a_long_text_becomes_several_deltas() {
    let text = "é".repeat(20_001);
    let stream = message_sse(&Canned {
        text: &text,
        ..CANNED
    });
    let deltas = kinds(&stream)
        .iter()
        .filter(|kind| **kind == EventKind::ContentBlockDelta)
        .count();
    assert_eq!(deltas, 3);
    let message = value(&message_from_sse(&stream).unwrap());
    assert_eq!(message["content"][0]["text"], text);
}

proptest! {
    #[test]
    fn any_text_survives_the_way_to_a_stream_and_back(text: String, model: String, id: String) {
        let canned = Canned { id: &id, model: &model, text: &text, degraded: true };
        prop_assert_eq!(message_from_sse(&message_sse(&canned)), Some(message_json(&canned)));
    }

    #[test]
    fn no_stream_panics(stream in "((event|data): ?(message_(start|stop)|content_block_(start|delta)|\\{\"(message|delta)\":\\{\\}\\})?\n\n?){0,9}") {
        let _ = message_from_sse(stream.as_bytes());
    }
}
