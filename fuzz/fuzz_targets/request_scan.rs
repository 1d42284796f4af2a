//! A request body, cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_claude::claude::request::{RequestFacts, RequestScan};

fn scan(body: &[u8], length: usize) -> Option<RequestFacts> {
    let mut scan = RequestScan::new();
    for segment in body.chunks(length.max(1)) {
        scan.feed(segment);
    }
    scan.finish().ok()
}

fuzz_target!(|input: &[u8]| {
    let Some((&length, body)) = input.split_first() else {
        return;
    };
    let whole = scan(body, body.len());
    for length in [1, usize::from(length)] {
        assert_eq!(format!("{:?}", scan(body, length)), format!("{whole:?}"));
    }
    let (Some(facts), Ok(Value::Object(json))) = (whole, serde_json::from_slice(body)) else {
        return;
    };
    if !facts.is_rewritable() {
        return;
    }
    assert_eq!(
        facts.model.as_deref(),
        json.get("model").and_then(Value::as_str)
    );
    assert_eq!(facts.stream, json.get("stream") == Some(&Value::Bool(true)));
    let segments: Vec<_> = body
        .chunks(usize::from(length).max(1))
        .map(|part| part.to_vec().into())
        .collect();
    if let Some(rewritten) = facts.rewrite(&segments, "another-model", None) {
        let mut expected = json;
        expected.insert("model".to_owned(), "another-model".into());
        let bytes = rewritten.concat();
        let rewritten: Value = serde_json::from_slice(&bytes).expect("a rewrite stays JSON");
        assert_eq!(rewritten, Value::Object(expected));
    }
});
