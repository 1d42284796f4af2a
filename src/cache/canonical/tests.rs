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
        let expected = r#""model":"m","a":[1,{"b":"c d"}],"#;
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
        let members = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        assert_eq!(of_text(text), Some(format!("{members},")), "{text}");
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
        r"{a:1}",
        "\u{feff}{}",
    ] {
        assert_eq!(of_text(text), None, "{text:?}");
    }
}

#[test]
fn white_space_that_parts_two_numbers_is_not_left_out() {
    let parted = of_text(r#"{"a":[1   2, tr ue]}"#).unwrap();
    assert_eq!(parted, r#""a":[1 2,tr ue],"#);
    assert_ne!(Some(parted), of_text(r#"{"a":[12,true]}"#));
}

#[test]
fn what_needs_no_change_is_handed_on_in_one_piece() {
    let pieces = |text: &'static str| {
        let mut pieces = Vec::new();
        let text = Bytes::from_static(text.as_bytes());
        canonical(&[text], |part| pieces.push(part.len())).unwrap();
        pieces
    };
    assert_eq!(pieces(r#"{"model":"m","a":[1,{"b":"c d"}]}"#), [31, 1]);
    assert_eq!(
        pieces(r#"{"model":"m","stream":true,"a":[1,{"b":"c d"}]}"#),
        [12, 19, 1]
    );
    assert_eq!(pieces(r#"{"model":"m","stream":true}"#), [12]);
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
