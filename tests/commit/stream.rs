//! Streams: what holds them, what commits them, what breaks them.

use crate::script::{
    Answer, BLOCK, BLOCK_END, Cut, DELTA, END, ERROR, MANGLED, PING, S, SIZES, START, STOP, Seen,
    Stall, THOUGHT, Trailers, Wait, alone, ask, data, end, failure, plain, read,
};
use http_body::Body;
use http_body_util::BodyExt;
use std::{pin::Pin, task::Poll, time::Duration};
use tokio::time::Instant;
use tower_claude::{FailureKind, Timeouts, classify::Ended, commit::CommitLayer};

#[tokio::test(start_paused = true)]
async fn a_fault_before_the_first_content_of_a_stream_is_a_failure_of_the_attempt() {
    use FailureKind::{Overloaded, ServerError, Timeout, Transport};
    let html = "<html>hi</html>";
    for (name, steps, kind) in [
        ("empty", vec![], Transport),
        (
            "only pings",
            vec![data(PING), data(": note\n\n"), data(PING)],
            Transport,
        ),
        ("no content", vec![data(START), data(STOP)], Transport),
        ("error first", vec![data(ERROR)], Overloaded),
        (
            "error after ping",
            vec![data(PING), data(ERROR)],
            Overloaded,
        ),
        (
            "error after start",
            vec![data(START), data(BLOCK), data(ERROR)],
            Overloaded,
        ),
        (
            "error that is none",
            vec![data("event: error\ndata: oops\n\n")],
            ServerError,
        ),
        ("end after start", vec![data(START), data(BLOCK)], Transport),
        ("cut at once", vec![Cut], Transport),
        ("cut after start", vec![data(START), Cut], Transport),
        (
            "half a delta",
            vec![data(START), data(&DELTA[..DELTA.len() - 1])],
            Transport,
        ),
        (
            "mangled start",
            vec![
                data("event: message_start\ndata: {\"a\":{}\n\n"),
                data(DELTA),
            ],
            Transport,
        ),
        (
            "mangled delta",
            vec![data(START), data(MANGLED), data(DELTA)],
            Transport,
        ),
        (
            "two starts",
            vec![data(START), data(START), data(DELTA)],
            Transport,
        ),
        ("a page of html", vec![data(html)], Transport),
        ("stall at once", vec![Stall], Timeout),
        (
            "only pings, then a stall",
            vec![data(PING), Wait(10 * S), data(PING), Stall],
            Timeout,
        ),
        (
            "half a start, then a stall",
            vec![data(&START[..20]), Stall],
            Timeout,
        ),
    ] {
        for size in SIZES {
            let seen = Seen::default();
            let answer = Answer::sse(steps.clone()).chunked(size);
            let answered = ask(CommitLayer::new(), answer, None, &seen).await;
            let failure = failure(answered);
            assert_eq!(failure.kind, kind, "{name}, {size}");
            assert!(failure.warrants_fallback());
            assert_eq!(seen.open(), 0, "{name}: the connection is let go");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_stream_passes_byte_for_byte_wherever_its_chunks_end() {
    let whole = [
        PING,
        START,
        ": note\r\n\r\n",
        BLOCK,
        PING,
        THOUGHT,
        DELTA,
        "event: new\ndata: x\n\n",
        DELTA,
        BLOCK_END,
        END,
        STOP,
    ]
    .concat();
    for stream in [
        whole.clone(),
        whole.replace("\r\n", "\n").replace('\n', "\r\n"),
        // No delta: a refusal, a `fallback` block.
        [START, END, STOP].concat(),
        [START, BLOCK, BLOCK_END, END, STOP].concat(),
    ] {
        for size in SIZES {
            for call in [None, Some(alone(true))] {
                let seen = Seen::default();
                let answer = Answer::sse([data(&stream)]).chunked(size);
                let response = ask(CommitLayer::new(), answer, call, &seen).await.unwrap();
                let end = end(&response);
                assert_eq!(
                    read(response.into_body()).await,
                    (stream.clone(), None),
                    "{size}"
                );
                assert_eq!(end.get(), Some(Ended::Complete));
                assert_eq!(seen.open(), 0);
            }
        }
    }
}

// Case 50.
#[tokio::test(start_paused = true)]
async fn a_fault_after_the_first_content_ends_a_stream_with_one_error_event() {
    use FailureKind::{Overloaded, Truncated};
    let half = &DELTA[..DELTA.len() - 1];
    for (name, steps, kind, error_type, id) in [
        ("end", vec![], Truncated, "api_error", "req_1"),
        ("cut", vec![Cut], Truncated, "api_error", "req_1"),
        ("trailers", vec![Trailers], Truncated, "api_error", "req_1"),
        (
            "half an event, then the end",
            vec![data(half)],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "half an event, then a cut",
            vec![data(half), Cut],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "half a stop",
            vec![data(&STOP[..STOP.len() - 1])],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "error",
            vec![data(ERROR), data(DELTA), data(STOP)],
            Overloaded,
            "overloaded_error",
            "req_1",
        ),
        (
            "mangled",
            vec![data(MANGLED), data(STOP)],
            Truncated,
            "api_error",
            "req_1",
        ),
        (
            "another start",
            vec![data(START), data(STOP)],
            Truncated,
            "api_error",
            "req_1",
        ),
        ("stall", vec![Stall], Truncated, "timeout_error", "req_1"),
        (
            "half an event, then a stall",
            vec![data(half), Stall],
            Truncated,
            "timeout_error",
            "req_1",
        ),
    ] {
        for size in SIZES {
            let seen = Seen::default();
            let good = [START, BLOCK, DELTA].concat();
            let steps = [vec![data(&good)], steps.clone()].concat();
            let call = Some(alone(true));
            let response = ask(
                CommitLayer::new(),
                Answer::sse(steps).chunked(size),
                call,
                &seen,
            )
            .await
            .unwrap();
            let end = end(&response);
            let (text, error) = read(response.into_body()).await;
            assert!(error.is_none(), "{name}: rendered");
            let event = text.strip_prefix(&good).expect(name);
            let event = event.strip_prefix("event: error\ndata: ").expect(name);
            let event: serde_json::Value =
                serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
            assert_eq!(event["error"]["type"], error_type, "{name}");
            assert_eq!(event["request_id"], id, "{name}");
            assert_eq!(end.get(), Some(Ended::Failed(kind)), "{name}");
            assert_eq!(seen.open(), 0);
            let broke_off = seen
                .events()
                .iter()
                .filter(|event| event.starts_with("broke"))
                .count();
            assert_eq!(broke_off, 1, "{name}");
        }
    }
}

/// An error in one chunk with the first content used to be retried, and one in the next chunk not.
#[tokio::test(start_paused = true)]
async fn a_fault_in_one_chunk_with_the_first_content_comes_after_the_commit_too() {
    let half = &DELTA[..DELTA.len() - 1];
    for (rest, kind) in [
        (ERROR, FailureKind::Overloaded),
        (MANGLED, FailureKind::Truncated),
        (START, FailureKind::Truncated),
        (half, FailureKind::Truncated),
    ] {
        let seen = Seen::default();
        let good = [START, DELTA].concat();
        let answer = Answer::sse([data(&[&good, rest].concat())]);
        let response = ask(CommitLayer::new(), answer, None, &seen).await.unwrap();
        let end = end(&response);
        let (text, _) = read(response.into_body()).await;
        assert!(
            text.starts_with(&[&good, "event: error"].concat()),
            "{text}"
        );
        assert_eq!(text.matches("event: error").count(), 1, "{text}");
        assert_eq!(end.get(), Some(Ended::Failed(kind)));
        assert_eq!(seen.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_back_where_nothing_could_act() {
    let seen = Seen::default();
    let answer = Answer::sse([Wait(14 * S), data(START), Stall]);
    let start = Instant::now();
    let response = ask(CommitLayer::new(), answer, Some(alone(true)), &seen)
        .await
        .unwrap();
    assert_eq!(Instant::now(), start, "committed by its head");
    let mut body = response.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        START
    );
    assert_eq!(Instant::now() - start, 14 * S);

    let answer = Answer::json([data("{\"id\":"), Wait(9 * S), data("1}")]);
    let response = ask(CommitLayer::new(), answer, Some(alone(false)), &seen)
        .await
        .unwrap();
    assert_eq!(Instant::now() - start, 14 * S);
    let whole = ("{\"id\":1}".to_owned(), None);
    assert_eq!(read(response.into_body()).await, whole);
}

#[tokio::test(start_paused = true)]
async fn a_started_stream_is_held_for_15_seconds_at_most() {
    let start = Instant::now();
    let response = plain(Answer::sse([
        Wait(10 * S),
        data(START),
        Wait(20 * S),
        data(DELTA),
        data(STOP),
    ]))
    .await
    .unwrap();
    assert_eq!(Instant::now() - start, 25 * S);
    let (text, error) = read(response.into_body()).await;
    assert_eq!(
        (text, error.is_none()),
        ([START, DELTA, STOP].concat(), true)
    );
    assert_eq!(Instant::now() - start, 30 * S);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_up_to_its_bound_in_bytes() {
    let block = format!(
        "event: content_block_start\ndata: {{\"x\":\"{}\"}}\n\n",
        "y".repeat(40 << 10)
    );
    let answer = Answer::sse([data(START), data(&block), data(&block), Stall]);
    let start = Instant::now();
    let response = plain(answer).await.unwrap();
    assert_eq!(Instant::now(), start);
    let mut body = response.into_body();
    for chunk in [START, &block, &block] {
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            chunk
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_life_unless_they_are_said_not_to_be() {
    let steps = || {
        let mut steps = vec![data(DELTA)];
        for _ in 0..3 {
            steps.extend([Wait(20 * S), data(PING)]);
        }
        steps.extend([Wait(20 * S), data(STOP)]);
        Answer::sse(steps)
    };
    let body = plain(steps()).await.unwrap().into_body();
    assert!(read(body).await.0.ends_with(STOP));

    let timeouts = Timeouts::new().with_pings_as_life(false);
    let layer = CommitLayer::new().with_timeouts(timeouts);
    let start = Instant::now();
    let body = ask(layer, steps(), None, &Seen::default())
        .await
        .unwrap()
        .into_body();
    let text = read(body).await.0;
    assert!(
        text.starts_with(&[DELTA, PING, "event: error"].concat()),
        "{text}"
    );
    assert_eq!(Instant::now() - start, 30 * S);
}

#[tokio::test(start_paused = true)]
async fn a_slow_caller_is_no_stall_of_the_upstream() {
    let steps = [
        data(DELTA),
        Wait(10 * S),
        data(DELTA),
        data(&DELTA[..9]),
        Wait(25 * S),
        data(&DELTA[9..]),
        data(STOP),
    ];
    let mut body = plain(Answer::sse(steps)).await.unwrap().into_body();
    let mut text = Vec::new();
    loop {
        // Polls once, finds nothing, and is away for a minute.
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
        tokio::time::advance(60 * S).await;
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(frame)) => {
                text.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(
        String::from_utf8(text).unwrap(),
        [DELTA, DELTA, DELTA, STOP].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_came_whole_with_its_head_announces_no_length_either() {
    let all = [START, DELTA, STOP, PING].concat();
    let mut answer = Answer::sse([data(&all)]).header("content-length", all.len());
    answer.sure = true;
    let response = plain(answer).await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    let (text, failure) = read(response.into_body()).await;
    assert_eq!((text, failure), ([START, DELTA, STOP].concat(), None));
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_and_a_length_that_may_not_hold_does_not() {
    let answer = Answer::sse([data(DELTA), data(STOP), Trailers]).header("content-length", 999);
    let response = plain(answer).await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    let stream = [DELTA, STOP, "[trailers]"].concat();
    assert_eq!(read(response.into_body()).await, (stream, None));
}

#[tokio::test(start_paused = true)]
async fn after_message_stop_the_answer_is_over_whatever_follows() {
    for (rest, waited) in [
        (vec![], Duration::ZERO),
        (vec![Cut], Duration::ZERO),
        // Only the connection would gain by waiting longer.
        (vec![Stall], S),
        (vec![data(DELTA), data(ERROR)], Duration::ZERO),
        (vec![data("data: [DONE]\n\n")], Duration::ZERO),
        (vec![data(&"x".repeat(65 << 10)), Stall], Duration::ZERO),
    ] {
        let steps = [vec![data(DELTA), data(STOP)], rest].concat();
        let start = Instant::now();
        let response = plain(Answer::sse(steps)).await.unwrap();
        let end = end(&response);
        assert_eq!(
            read(response.into_body()).await,
            ([DELTA, STOP].concat(), None)
        );
        assert_eq!(end.get(), Some(Ended::Complete));
        assert_eq!(Instant::now() - start, waited);
    }
}

/// The line end of an event behind `message_stop`, cut off by a chunk, was taken for that of `message_stop` itself.
#[tokio::test(start_paused = true)]
async fn of_an_event_behind_message_stop_not_even_a_line_end_is_passed_on() {
    let head = [START, BLOCK, DELTA, END, STOP, "event: ping"].concat();
    let answer = Answer::sse([data(&head), data("\ndata: {}\n\n")]);
    let (text, error) = read(plain(answer).await.unwrap().into_body()).await;
    assert_eq!(text, [START, BLOCK, DELTA, END, STOP].concat());
    assert!(error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_after_message_stop_is_complete_and_before_it_has_no_end() {
    for (steps, frames, ended) in [
        ([data(DELTA), data(STOP), Stall], 1, None),
        ([data(DELTA), data(STOP), Stall], 2, Some(Ended::Complete)),
        // Held back whole, for it has no delta, and handed out in two parts.
        ([data(&[START, END].concat()), data(STOP), Stall], 1, None),
        (
            [data(&[START, END].concat()), data(STOP), Stall],
            2,
            Some(Ended::Complete),
        ),
    ] {
        let response = plain(Answer::sse(steps)).await.unwrap();
        let end = end(&response);
        let mut body = response.into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(end.get(), ended);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_past_the_bound_is_not_buffered() {
    let chunk = "x".repeat(64 << 10);
    let answer = Answer::sse(
        [data(DELTA), data("event: content_block_delta\ndata: {\"")]
            .into_iter()
            .chain((0..1024).map(|_| data(&chunk))),
    );
    let response = plain(answer).await.unwrap();
    let (text, _) = read(response.into_body()).await;
    assert!(text.starts_with(&[DELTA, "event: error"].concat()));
    assert!(text.contains("too large"));
}
