use super::*;

mod properties;

/// What a stream of chunks tells, independent of where the chunks end: kind, whole, error data, absolute end.
type Told = (EventKind, bool, Vec<u8>, usize);

fn tell(mut splitter: Splitter, chunks: &[&[u8]]) -> (Vec<Told>, usize, bool) {
    let mut told = Vec::new();
    let (mut before, mut forwarded) = (0, 0);
    for chunk in chunks {
        let whole = splitter
            .push(chunk, |event| {
                told.push((
                    event.kind,
                    event.whole,
                    event.error.to_vec(),
                    before + event.end,
                ));
            })
            .unwrap();
        if whole > 0 {
            forwarded = before + whole;
        }
        before += chunk.len();
    }
    (told, forwarded, splitter.in_event())
}

fn kinds(stream: &str) -> Vec<(EventKind, bool)> {
    let whole = tell(Splitter::new(), &[stream.as_bytes()]);
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    let (mut split, _, in_event) = tell(Splitter::new(), &bytes);
    // Cut between the CR and the LF of its blank line, an event ends at the CR.
    for (one, all) in split.iter_mut().zip(&whole.0) {
        assert!(one.3 == all.3 || one.3 + 1 == all.3);
        one.3 = all.3;
    }
    assert_eq!(
        (&split, in_event),
        (&whole.0, whole.2),
        "one byte at a time: {stream:?}"
    );
    split.into_iter().map(|told| (told.0, told.1)).collect()
}

#[test]
fn every_event_of_the_api_is_told_by_its_name() {
    for (name, kind) in [
        ("message_start", EventKind::MessageStart),
        ("content_block_start", EventKind::ContentBlockStart),
        ("content_block_delta", EventKind::ContentBlockDelta),
        ("content_block_stop", EventKind::ContentBlockStop),
        ("message_delta", EventKind::MessageDelta),
        ("message_stop", EventKind::MessageStop),
        ("ping", EventKind::Ping),
        ("error", EventKind::Error),
        ("message", EventKind::Other),
        (
            "content_block_delta_with_a_much_longer_name",
            EventKind::Other,
        ),
        ("", EventKind::Other),
    ] {
        for line in [format!("event: {name}"), format!("event:{name}")] {
            assert_eq!(
                kinds(&format!("{line}\ndata: {{}}\n\n")),
                [(kind, true)],
                "{line}"
            );
        }
    }
}

#[test]
fn lines_end_with_lf_crlf_or_a_lone_cr() {
    let stream = "event: ping\ndata: {}\n\nevent: message_stop\ndata: {}\n\n";
    for end in ["\n", "\r\n", "\r"] {
        assert_eq!(
            kinds(&stream.replace('\n', end)),
            [(EventKind::Ping, true), (EventKind::MessageStop, true)],
            "{end:?}"
        );
    }
}

#[test]
fn the_second_half_of_a_crlf_belongs_to_the_event_before_it() {
    let mut splitter = Splitter::new();
    assert_eq!(
        splitter.push(b"event: ping\r\ndata: {}\r\n\r", |_| {}),
        Ok(24)
    );
    assert!(!splitter.in_event());
    assert_eq!(splitter.push(b"", |_| {}), Ok(0));
    assert_eq!(splitter.push(b"\nevent", |_| {}), Ok(1));
    assert!(splitter.in_event());
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(
        kinds("\u{FEFF}event: ping\ndata: {}\n\n"),
        [(EventKind::Ping, true)]
    );
    assert_eq!(
        kinds("\u{FEFF}data: {}\nevent: ping\n\n"),
        [(EventKind::Ping, true)]
    );
    assert_eq!(
        kinds("event: ping\ndata: {}\n\n\u{FEFF}event: ping\ndata: {}\n\n"),
        [(EventKind::Ping, true), (EventKind::Other, true)]
    );
    let delta =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    assert_eq!(
        kinds(&format!(
            "event: content_block_delta\ndata: {delta}\n\n\u{FEFF}event: ping\ndata: {{}}\n\n"
        )),
        [
            (EventKind::ContentBlockDelta, true),
            (EventKind::Other, true)
        ]
    );
}

#[test]
fn comments_and_other_fields_are_no_events_but_may_be_forwarded() {
    let mut splitter = Splitter::new();
    let chunk = b": keep-alive\n\nid: 7\nretry: 10\n\n\n\nevent";
    let whole = splitter.push(chunk, |event| panic!("{event:?}")).unwrap();
    assert_eq!(&chunk[whole..], b"event");
}

#[test]
fn the_order_of_the_fields_does_not_matter_and_the_last_name_counts() {
    assert_eq!(
        kinds("data: {}\n: note\nevent: message_stop\n\n"),
        [(EventKind::MessageStop, true)]
    );
    assert_eq!(
        kinds("event: ping\nevent: error\ndata: {}\n\n"),
        [(EventKind::Error, true)]
    );
    assert_eq!(
        kinds("event: ping\nevent\ndata: {}\n\n"),
        [(EventKind::Other, true)]
    );
}

#[test]
fn an_event_without_a_name_is_other() {
    assert_eq!(
        kinds("data: {\"type\":\"message_stop\"}\n\n"),
        [(EventKind::Other, true)]
    );
    assert_eq!(kinds("data: [DONE]\n\n"), [(EventKind::Other, false)]);
    assert_eq!(kinds("data\n\n"), [(EventKind::Other, false)]);
}

#[test]
fn several_data_lines_are_one_value() {
    assert_eq!(
        kinds("event: ping\ndata: {\"a\":\ndata\ndata:1}\n\n"),
        [(EventKind::Ping, true)]
    );
    assert_eq!(
        kinds("event: ping\ndata: {\"a\ndata: b\":1}\n\n"),
        [(EventKind::Ping, false)]
    );
}

#[test]
fn data_that_is_no_whole_object_is_told() {
    for data in [
        "",
        "{",
        "{\"a\":\"}",
        "{\"a\":{}",
        "\"x\"",
        "{}}",
        "{\"text\":\"}\"",
        "<html>",
    ] {
        assert_eq!(
            kinds(&format!("event: content_block_delta\ndata: {data}\n\n")),
            [(EventKind::ContentBlockDelta, false)],
            "{data}"
        );
    }
    assert_eq!(
        kinds("event: message_stop\n\n"),
        [(EventKind::MessageStop, false)]
    );
    assert_eq!(
        kinds("event: ping\n\n"),
        [(EventKind::Ping, true)],
        "nothing to lose"
    );
}

#[test]
fn a_full_parse_finds_what_the_outline_does_not() {
    let stream = b"event: ping\ndata: {\"a\" 1}\n\n";
    assert!(tell(Splitter::new(), &[stream]).0[0].1);
    assert!(!tell(Splitter::new().with_full_parse(true), &[stream]).0[0].1);
    let stream = b"event: ping\ndata: {\"a\":\ndata: 1}\n\n";
    assert!(tell(Splitter::new().with_full_parse(true), &[stream]).0[0].1);
}

#[test]
fn the_data_of_an_error_is_told_wherever_its_name_stands() {
    for stream in [
        "event: error\ndata: {\"x\":1}\n\n",
        "data:{\"x\":1}\nevent:error\n\n",
    ] {
        let chunks: Vec<&[u8]> = stream.as_bytes().chunks(3).collect();
        assert_eq!(tell(Splitter::new(), &chunks).0[0].2, b"{\"x\":1}");
    }
    let stream = "event: error\ndata: bad\ndata:  luck\n\n";
    assert_eq!(
        tell(Splitter::new(), &[stream.as_bytes()]).0[0].2,
        b"bad\n luck"
    );
}

#[test]
fn the_data_of_an_error_is_bounded() {
    let stream = format!(
        "event: error\ndata: {{\"x\":\"{}\"}}\n\n",
        "y".repeat(2 * MAX_ERROR_DATA)
    );
    for splitter in [Splitter::new(), Splitter::new().with_full_parse(true)] {
        let told = tell(splitter, &[stream.as_bytes()]).0;
        assert_eq!((told[0].1, told[0].2.len()), (true, MAX_ERROR_DATA));
    }
}

#[test]
fn a_64_mib_line_is_refused_at_the_bound_and_not_kept() {
    for splitter in [Splitter::new(), Splitter::new().with_full_parse(true)] {
        for head in ["data: {\"a\":\"", "event: error\ndata: ", ": ", "x"] {
            let mut splitter = splitter.clone();
            splitter.push(head.as_bytes(), |_| {}).unwrap();
            let chunk = vec![b'x'; 64 << 10];
            let pushed = (0..1024)
                .take_while(|_| splitter.push(&chunk, |_| {}).is_ok())
                .count();
            assert_eq!(pushed, 15, "{head}");
            assert_eq!(splitter.copy.capacity(), 0);
            assert!(splitter.push(b"\n\n", |_| {}).is_err(), "and stays refused");
        }
    }
}

#[test]
fn events_before_one_that_is_too_large_are_told() {
    let mut splitter = Splitter::new().with_max_event(NonZeroUsize::new(64).unwrap());
    let chunk = format!("event: ping\ndata: {{}}\n\ndata: {}\n\n", "x".repeat(64));
    let mut ends = Vec::new();
    let pushed = splitter.push(chunk.as_bytes(), |event| ends.push(event.end));
    assert_eq!(pushed.unwrap_err().limit.get(), 64);
    assert_eq!(ends, [22]);
}

/// Found by fuzzing: a delta that came in one piece was held to a bound one byte tighter than one that came in several.
#[test]
fn the_bound_is_the_same_to_the_byte_however_an_event_is_cut() {
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";
    for (bound, passes) in [(delta.len() - 1, true), (delta.len() - 2, false)] {
        for size in [1, 10, delta.len()] {
            let bound = NonZeroUsize::new(bound).unwrap();
            let mut splitter = Splitter::new().with_max_event(bound);
            let mut chunks = delta.as_bytes().chunks(size);
            let passed = chunks.all(|chunk| splitter.push(chunk, |_| {}).is_ok());
            assert_eq!(passed, passes, "{bound} in chunks of {size}");
        }
    }
}

#[test]
fn many_short_events_are_not_mistaken_for_one_long_one() {
    let mut splitter = Splitter::new().with_max_event(NonZeroUsize::new(32).unwrap());
    for _ in 0..1000 {
        splitter.push(b"event: ping\ndata: {}\n\n", |_| {}).unwrap();
    }
}

#[test]
fn no_byte_is_searched_more_than_three_times_whatever_comes() {
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"";
    for part in [
        "e",
        "\n",
        "\r",
        "event: x",
        "event: content_block_delta\ndata: ",
        "event: content_block_delta\ndata: {}\n\n",
        delta,
        &format!("{delta}Hi\"}}}}\n\n"),
        &format!("{delta}Hi\"}}}}}}\n\n"),
        &format!("{delta}Hi\"}}}}\r\n\r\n"),
        &format!("data: {}\n\n", "{".repeat(1000)),
    ] {
        let stream = part.repeat((256 << 10) / part.len());
        for size in [1, 7, 100, 4096, stream.len()] {
            let limit = NonZeroUsize::new(usize::MAX).unwrap();
            let mut splitter = Splitter::new().with_max_event(limit);
            for chunk in stream.as_bytes().chunks(size) {
                splitter.push(chunk, |_| {}).unwrap();
            }
            let searched = splitter.searched;
            assert!(
                searched <= 3 * stream.len(),
                "{searched} in chunks of {size}: {part}"
            );
        }
    }
}
