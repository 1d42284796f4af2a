//! What holds of any stream, cut anywhere.

use super::*;
use proptest::{collection::vec, prelude::*};

/// Lines that a stream may hold, and some that it should not.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "event: ?(ping|error|message_(start|delta|stop)|content_block_(start|delta|stop)|other)",
        "data: ?\\{(\"[a-z{}\\\\\"]{0,12}\":[0-9{}]{0,3})?\\}?",
        "data: ?[a-z]{0,40}",
        "event: content_block_delta\ndata: \\{\"type\":\"content_block_delta\",\"index\":1,\"delta\":\\{\"type\":\"(text_delta\",\"text|thinking_delta\",\"thinking)\":\"[a{}\\\\]{0,9}\"\\} ?\\}?",
        "(:|id|retry|data|event)[ -~]{0,40}",
        "\u{FEFF}?[ -~]{0,8}",
        Just(String::new()),
        Just(String::new()),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")];
    vec((line(), end), 0..24).prop_map(|lines| {
        lines
            .into_iter()
            .map(|(line, end)| line + end)
            .collect::<String>()
            .into()
    })
}

/// The whole of it, by splitting lines first and reading fields second.
fn reference(stream: &[u8]) -> Vec<(EventKind, Vec<u8>, bool)> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    let text = text
        .strip_prefix('\u{FEFF}')
        .unwrap_or(&text)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let (mut events, mut kind, mut data) = (Vec::new(), None, None::<String>);
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        if line.is_empty() {
            if kind.is_some() || data.is_some() {
                let has_data = data.is_some();
                let data = data.take().unwrap_or_default().into_bytes();
                events.push((kind.take().unwrap_or(EventKind::Other), data, has_data));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = Some(EventKind::of(value.as_bytes())),
            "data" => match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    events
}

proptest! {
    #[test]
    fn the_splitter_agrees_with_a_simple_reader_of_the_whole(stream in stream()) {
        let told = tell(Splitter::new().with_full_parse(true), &[&stream]).0;
        let expected = reference(&stream);
        prop_assert_eq!(told.len(), expected.len());
        for (told, (kind, data, has_data)) in told.iter().zip(expected) {
            prop_assert_eq!(told.0, kind);
            if kind == EventKind::Error {
                prop_assert_eq!(&told.2, &data);
            }
            if kind.is_known() {
                let object = serde_json::from_slice::<serde_json::Map<_, _>>(&data).is_ok();
                prop_assert_eq!(told.1, object || (kind == EventKind::Ping && !has_data));
            }
        }
    }

    #[test]
    fn chunk_boundaries_change_nothing(
        stream in stream(),
        sizes in vec(0_usize..40, 1..200),
        full_parse: bool,
    ) {
        let splitter = Splitter::new().with_full_parse(full_parse);
        let mut chunks = Vec::new();
        let mut rest = &stream[..];
        for size in sizes {
            let (chunk, left) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = left;
        }
        chunks.push(rest);
        let (mut split, forwarded, in_event) = tell(splitter.clone(), &chunks);
        let (whole, forwarded_whole, in_event_whole) = tell(splitter, &[&stream]);
        for (one, all) in split.iter_mut().zip(&whole) {
            prop_assert!(one.3 == all.3 || (one.3 + 1 == all.3 && stream[one.3] == b'\n'));
            one.3 = all.3;
        }
        prop_assert_eq!(split, whole);
        prop_assert_eq!((forwarded, in_event), (forwarded_whole, in_event_whole));
    }

    #[test]
    fn garbage_never_panics_nor_grows_past_the_bound(
        chunks in vec(vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b'{')], 0..80), 0..40),
        full_parse: bool,
    ) {
        let limit = NonZeroUsize::new(128).unwrap();
        let mut splitter = Splitter::new().with_max_event(limit).with_full_parse(full_parse);
        for chunk in &chunks {
            let pushed = splitter.push(chunk, |event| assert!(event.end <= chunk.len()));
            prop_assert!(pushed.is_err() || pushed.unwrap() <= chunk.len());
            prop_assert!(splitter.copy.len() <= limit.get());
        }
    }
}
