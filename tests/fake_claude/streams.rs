//! Streams that fail, and their bytes and pauses.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;
use tower_claude::testing::{At, Chunks, FakeClaude, Fault, Reply};

use super::client::{Answer, End, SONNET, answer, call, client, faulty, ms, silent_after};

#[tokio::test]
async fn an_error_event_can_come_first_after_a_ping_or_in_the_middle() {
    let first = faulty(At::Start, Fault::overloaded(), true).await;
    assert_eq!(
        (first.status.as_u16(), first.events().0),
        (200, vec!["error".to_owned()])
    );
    assert!(first.text().contains(
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#
    ));
    let after_ping = faulty(At::Ping, Fault::api_error(), true).await;
    assert_eq!(after_ping.events().0, ["ping", "error"]);
    assert!(after_ping.text().contains("api_error"));
    let middle = faulty(At::Deltas(2), Fault::error("x", "y"), true).await;
    assert_eq!(
        (middle.count("content_block_delta"), middle.count("error")),
        (2, 1)
    );
    assert_eq!((middle.count("message_stop"), middle.end), (0, End::Clean));
}

#[tokio::test]
async fn a_cut_is_a_reset_after_exactly_what_came_before() {
    let cut = faulty(At::Start, Fault::Cut, true).await;
    assert_eq!((cut.frames.len(), cut.end), (0, End::Reset));
    let cut = faulty(At::MessageStart, Fault::Cut, true).await;
    assert_eq!(
        (cut.events().0, cut.end),
        (vec!["message_start".to_owned()], End::Reset)
    );
    for deltas in 0..=4 {
        let cut = faulty(At::Deltas(deltas), Fault::Cut, true).await;
        assert_eq!(
            (cut.count("content_block_delta"), &cut.end),
            (deltas, &End::Reset)
        );
    }
    let cut = faulty(At::BeforeStop, Fault::Cut, true).await;
    assert_eq!(
        (cut.count("message_delta"), cut.count("message_stop")),
        (1, 0)
    );
    assert_eq!(cut.end, End::Reset);
}

#[tokio::test]
async fn a_truncated_stream_ends_cleanly_without_message_stop() {
    let ended = faulty(At::Deltas(3), Fault::End, true).await;
    assert_eq!(
        (
            ended.count("content_block_delta"),
            ended.count("message_stop")
        ),
        (3, 0)
    );
    assert_eq!(ended.end, End::Clean);
    let ended = faulty(At::BeforeStop, Fault::End, true).await;
    assert_eq!(
        (ended.count("message_delta"), ended.count("message_stop")),
        (1, 0)
    );
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open_and_silent() {
    assert_eq!(silent_after(0, Reply::stall(), true).await.status, 200);
    let reply = Reply::ok().deltas(4).fail(At::Deltas(2), Fault::Stall);
    let stalled = silent_after(3 + 2, reply, true).await;
    assert_eq!(stalled.count("content_block_delta"), 2);
    let reply = Reply::ok().deltas(4).fail(At::MidDelta(0), Fault::Stall);
    let stalled = silent_after(3 + 1, reply, true).await;
    assert!(stalled.events().1.starts_with("event: content_block_delta"));
}

#[tokio::test]
async fn a_malformed_event_is_one_event_whose_data_is_not_json() {
    let odd = faulty(At::Deltas(1), Fault::Malformed, true).await;
    let bad = |line: &&str| serde_json::from_str::<Value>(line).is_err();
    let text = odd.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    assert_eq!(data.filter(bad).count(), 1);
    assert_eq!(
        (odd.count("content_block_delta"), odd.count("message_stop")),
        (5, 1)
    );
}

#[tokio::test]
async fn half_an_event_can_be_the_last_that_comes() {
    for (fault, end) in [
        (Fault::Cut, End::Reset),
        (Fault::Close, End::Short),
        (Fault::End, End::Clean),
    ] {
        let half = faulty(At::MidDelta(1), fault, true).await;
        let (_, rest) = half.events();
        assert_eq!(half.count("content_block_delta"), 1);
        assert!(
            rest.starts_with("event: content_block_delta\ndata: {"),
            "{rest}"
        );
        assert_eq!(half.end, end);
    }
}

#[tokio::test]
async fn a_stream_can_be_empty_or_of_pings_only() {
    let empty = answer(Reply::empty(), true).await;
    assert_eq!(
        (empty.status.as_u16(), empty.frames.len(), empty.end),
        (200, 0, End::Clean)
    );
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::only_pings(ms(5)))
        .start()
        .await
        .unwrap();
    let mut body = client()
        .request(call(&claude, SONNET, true))
        .await
        .unwrap()
        .into_body();
    for _ in 0..4 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    }
}

#[tokio::test]
async fn an_answer_can_come_in_the_form_that_was_not_asked_for() {
    let json = answer(Reply::ok().as_json(), true).await;
    assert_eq!(
        (json.header("content-type"), &json.json()["type"]),
        ("application/json", &"message".into())
    );
    let sse = answer(Reply::ok().as_sse(), false).await;
    assert_eq!(sse.count("message_stop"), 1);
}

#[tokio::test]
async fn frames_hold_one_event_all_events_or_single_bytes() {
    let text = |answer: &Answer| answer.text().replace(answer.header("request-id"), "");
    let each = answer(Reply::ok().deltas(3), true).await;
    assert_eq!(each.frames.len(), each.events().0.len());
    let together = answer(Reply::ok().deltas(3).chunks(Chunks::Together), true).await;
    assert_eq!((together.frames.len(), together.end), (1, End::Clean));
    let bytes = answer(Reply::ok().deltas(3).chunks(Chunks::Bytes(1)), true).await;
    assert!(bytes.frames.iter().all(|frame| frame.len() == 1));
    assert_eq!(text(&bytes).len(), text(&each).len());
    let sevens = answer(Reply::ok().deltas(3).chunks(Chunks::Bytes(7)), true).await;
    let (_, most) = sevens.frames.split_last().unwrap();
    assert!(most.iter().all(|frame| frame.len() == 7));
    assert_eq!(sevens.count("message_stop"), 1);
}

#[tokio::test]
async fn lines_can_end_in_crlf() {
    let crlf = answer(Reply::ok().crlf(), true).await;
    assert_eq!(
        crlf.text().matches('\n').count(),
        crlf.text().matches("\r\n").count()
    );
    assert_eq!(crlf.count("message_stop"), 1);
}

#[tokio::test]
async fn pauses_come_before_the_first_event_the_first_delta_and_between_deltas() {
    let hour = Duration::from_secs(3600);
    for (reply, frames) in [
        (Reply::ok().first_event_after(hour), 0),
        (Reply::ok().pings(2).every(hour), 1),
        (Reply::ok().first_delta_after(hour), 3),
        (Reply::ok().deltas(2).every(hour), 3 + 1),
        (Reply::ok().fail(At::Deltas(2), Fault::Pause(hour)), 3 + 2),
    ] {
        silent_after(frames, reply, true).await;
    }
}

#[tokio::test]
async fn a_stream_can_pause_anywhere_and_go_on() {
    for at in [
        At::Start,
        At::Ping,
        At::MessageStart,
        At::MidDelta(1),
        At::BeforeStop,
    ] {
        let sent = Instant::now();
        let paused = faulty(at, Fault::Pause(ms(25)), true).await;
        assert!(Instant::now() - sent >= ms(25));
        assert_eq!(paused.count("content_block_delta"), 4);
        assert_eq!((paused.count("message_stop"), paused.end), (1, End::Clean));
    }
}

#[tokio::test]
async fn a_stream_can_fall_back_to_pings_after_it_has_begun() {
    let reply = Reply::ok().fail(At::MessageStart, Fault::OnlyPings { every: ms(5) });
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    let mut body = client()
        .request(call(&claude, SONNET, true))
        .await
        .unwrap()
        .into_body();
    let mut text = String::new();
    for _ in 0..4 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&frame).unwrap());
    }
    assert!(text.starts_with("event: message_start\n"));
    assert_eq!(text.matches("event: ping\n").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn on_a_paused_clock_hours_pass_at_once() {
    let (started, hour) = (Instant::now(), Duration::from_secs(3600));
    let reply = Reply::ok().deltas(3).every(hour);
    let claude = FakeClaude::builder()
        .default_script(reply)
        .start()
        .await
        .unwrap();
    // Without a timeout of its own: on such a clock one may fire before the bytes are here.
    let body = client()
        .request(call(&claude, SONNET, true))
        .await
        .unwrap()
        .into_body();
    let text = body.collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"{\"type\":\"message_stop\"}\n\n"));
    assert!(Instant::now() - started >= 2 * hour);
}
