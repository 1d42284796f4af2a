//! Answers of JSON that fail.

use serde_json::Value;
use tower_claude::testing::{At, Fault, Reply};

use super::client::{End, answer, faulty, ms, silent_after};

#[tokio::test]
async fn a_json_answer_can_end_stall_or_break_short_of_its_length() {
    let whole = answer(Reply::ok().deltas(4), false).await.text().len();
    for (fault, end) in [
        (Fault::Cut, End::Reset),
        (Fault::Close, End::Short),
        (Fault::End, End::Short),
    ] {
        for (at, expected) in [(At::Start, 0), (At::Deltas(2), whole / 2)] {
            let short = faulty(at, fault.clone(), false).await;
            assert_eq!(short.header("content-length"), whole.to_string());
            assert_eq!((short.text().len(), &short.end), (expected, &end));
        }
    }
    for (at, frames, expected) in [(At::Start, 0, 0), (At::Deltas(2), 1, whole / 2)] {
        let reply = Reply::ok().deltas(4).fail(at, Fault::Stall);
        assert_eq!(
            silent_after(frames, reply, false).await.text().len(),
            expected
        );
    }
}

#[tokio::test]
async fn a_200_can_be_an_error_object_or_no_json_at_all() {
    let error = faulty(At::Start, Fault::overloaded(), false).await;
    assert_eq!(
        (error.status.as_u16(), &error.json()["type"]),
        (200, &"error".into())
    );
    let broken = faulty(At::Start, Fault::Malformed, false).await;
    assert_eq!((broken.status.as_u16(), &broken.end), (200, &End::Clean));
    assert!(serde_json::from_str::<Value>(&broken.text()).is_err());
}

#[tokio::test]
async fn an_error_answer_can_be_cut_too() {
    let cut = answer(Reply::overloaded().fail(At::Deltas(1), Fault::Cut), false).await;
    assert_eq!((cut.status.as_u16(), cut.end), (529, End::Reset));
    let cut = answer(
        Reply::status(500)
            .body("x".repeat(10))
            .fail(At::Start, Fault::End),
        false,
    )
    .await;
    assert_eq!((cut.text().len(), cut.end), (0, End::Short));
}

#[tokio::test]
async fn a_body_can_pause_half_way_and_go_on() {
    let whole = answer(
        Reply::ok()
            .deltas(4)
            .fail(At::Deltas(1), Fault::Pause(ms(5))),
        false,
    )
    .await;
    assert_eq!(
        (whole.frames.len(), &whole.json()["type"]),
        (2, &"message".into())
    );
}
