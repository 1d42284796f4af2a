//! Connections between calls, and what becomes of a call that finds its own closed.

use super::stand::*;
use crate::{
    classify::TransportKind,
    proxy::upstream::{SendError, Upstream},
};
use http::Response;
use std::time::Duration;
use tokio::{
    runtime,
    sync::{oneshot, watch},
    time::{advance, pause, resume},
};

/// Lets the time go on as it does, in small steps.
async fn pass(seconds: u64) {
    for _ in 0..10 * seconds {
        advance(Duration::from_millis(100)).await;
    }
    settle().await;
}

/// Answers the first request of each of the first connections, and ends them when it is told to; counts what comes all the
/// same.
async fn ending(first: usize) -> (watch::Sender<bool>, Stand) {
    let (end, ends) = watch::channel(false);
    let stand = Stand::new(move |mut conn, n| {
        let mut ends = ends.clone();
        async move {
            while conn.request().await {
                conn.write(OK).await;
                if n < first {
                    ends.wait_for(|ends| *ends).await.unwrap();
                    conn.shut().await;
                }
            }
        }
    })
    .await;
    (end, stand)
}

/// Answers the first request of each of the first connections, and ends them at the next one.
async fn late(first: usize, answers_then: bool) -> Stand {
    Stand::new(move |mut conn, n| async move {
        for asked in 0.. {
            if !conn.request().await || n < first && asked > 0 || n >= first && !answers_then {
                return;
            }
            conn.write(OK).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_found_so_and_costs_nothing() {
    for streams in [false, true] {
        let (end, stand) = ending(3).await;
        let upstream = stand.upstream();
        keep(&upstream, 3).await;
        end.send(true).unwrap();
        settle().await;
        if streams {
            let (feed, sending) = stream(&upstream);
            feed.send("asked").await.unwrap();
            drop(feed);
            assert_eq!(text(sending.await.unwrap()).await.unwrap(), "ok");
            assert!(stand.last().ends_with("5\r\nasked\r\n0\r\n\r\n"));
        } else {
            assert_eq!(ask(&upstream).await.unwrap(), "ok");
            assert!(stand.last().ends_with("\r\n\r\nasked"));
        }
        assert_eq!((stand.connections(), stand.requests()), (4, 4));
        stand.until_closed(3).await;
        ask(&upstream).await.unwrap();
        assert_eq!((stand.connections(), stand.requests()), (4, 5), "kept");
    }
}

#[tokio::test]
async fn an_answer_that_nobody_has_asked_for_is_never_one_to_the_next_call() {
    let stand = Stand::new(|mut conn, n| async move {
        while conn.request().await {
            conn.write(OK).await;
            if n == 0 {
                settle().await;
                conn.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
                    .await;
            }
        }
    })
    .await;
    let upstream = stand.upstream();
    assert_eq!(ask(&upstream).await.unwrap(), "ok");
    settle().await;
    settle().await;
    assert_eq!(ask(&upstream).await.unwrap(), "ok");
    assert_eq!((stand.connections(), stand.requests()), (2, 2));
}

#[tokio::test]
async fn one_that_closes_when_it_has_the_request_sends_it_once_more_over_a_new_one() {
    // The other ones that are kept would do the same.
    let stand = late(3, true).await;
    let upstream = stand.upstream();
    keep(&upstream, 3).await;
    assert_eq!((stand.connections(), stand.requests()), (3, 3));
    assert_eq!(ask(&upstream).await.unwrap(), "ok");
    assert_eq!((stand.connections(), stand.requests()), (4, 5));
    assert!(stand.last().ends_with("\r\n\r\nasked"), "whole");
}

#[tokio::test]
async fn it_is_sent_once_more_and_not_twice() {
    let stand = late(2, false).await;
    let upstream = stand.upstream();
    keep(&upstream, 2).await;
    let error = post(&upstream, "asked").await.unwrap_err();
    assert_eq!(TransportKind::of(&error), Some(TransportKind::Reset));
    assert_eq!((stand.connections(), stand.requests()), (3, 2 + 2));
}

#[tokio::test]
async fn what_is_streamed_is_not_sent_once_more() {
    let stand = late(1, true).await;
    let upstream = stand.upstream();
    keep(&upstream, 1).await;
    let (feed, sending) = stream(&upstream);
    drop(feed);
    let sent: Result<Response<_>, SendError> = sending.await;
    let kind = TransportKind::of(&sent.unwrap_err());
    assert_eq!(kind, Some(TransportKind::Reset));
    assert_eq!((stand.connections(), stand.requests()), (1, 2));
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_once_more() {
    for answer in ["HTTP/1.1 200 O", "what is this?\r\n\r\n"] {
        let stand = Stand::new(move |mut conn, _| async move {
            assert!(conn.request().await);
            conn.write(OK).await;
            assert!(conn.request().await);
            conn.write(answer).await;
        })
        .await;
        let upstream = stand.upstream();
        keep(&upstream, 1).await;
        let sent = post(&upstream, "asked").await;
        // The half of a head cannot be told from none of it, and both are harmless to ask for again.
        let again = usize::from(answer.starts_with("HTTP"));
        assert_eq!(sent.is_ok(), again == 1);
        assert_eq!(stand.requests(), 2 + again);
    }
}

#[tokio::test]
async fn no_more_than_a_hundred_are_kept() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    keep(&upstream, 103).await;
    assert_eq!(stand.connections(), 103);
    stand.until_closed(3).await;
    settle().await;
    assert_eq!(stand.closed(), 3);
    keep(&upstream, 100).await;
    assert_eq!(stand.connections(), 103);
}

#[tokio::test]
async fn what_nobody_uses_is_kept_for_a_minute_and_a_half_and_not_much_longer() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    for (n, meanwhile) in [0, 29, 31, 45].into_iter().enumerate() {
        keep(&upstream, 1).await;
        pause();
        pass(meanwhile).await;
        resume();
        keep(&upstream, 1).await;
        pause();
        pass(89).await;
        assert_eq!((stand.connections(), stand.closed()), (n + 1, n));
        pass(32).await;
        assert_eq!(stand.closed(), n + 1);
        resume();
    }
}

#[tokio::test]
async fn those_that_upstream_has_closed_are_let_go_of_within_half_a_minute() {
    let (end, stand) = ending(100).await;
    let upstream = stand.upstream();
    keep(&upstream, 100).await;
    end.send(true).unwrap();
    settle().await;
    assert_eq!((stand.connections(), stand.closed()), (100, 0));
    pause();
    pass(31).await;
    assert_eq!(stand.closed(), 100);
}

#[tokio::test]
async fn where_no_connection_can_be_had_one_that_came_back_meanwhile_is_taken() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    let first = post(&upstream, "asked").await.unwrap();
    // Finds none, and has yet to ask for one.
    let second = post(&upstream, "asked");
    text(first).await.unwrap();
    stand.refuse().await;
    assert_eq!(text(second.await.unwrap()).await.unwrap(), "ok");
    assert_eq!((stand.connections(), stand.requests()), (1, 2));
}

#[tokio::test]
async fn with_the_client_go_those_that_are_kept() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    keep(&upstream, 3).await;
    drop(upstream);
    stand.until_closed(3).await;
}

#[test]
fn a_client_outlives_the_runtime_of_its_connections() {
    let runtime = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let server = runtime();
    let stand = server.block_on(Stand::answering(OK));
    let upstream = stand.upstream();
    let (over, is_over) = oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || server.block_on(is_over));
        // Dropped, whatever comes.
        let _over = over;
        for n in 1..3 {
            runtime().block_on(call_twice(&upstream));
            assert_eq!((stand.connections(), stand.requests()), (n, 2 * n));
        }
        // It is looked after in the last one too.
        runtime().block_on(async {
            call_twice(&upstream).await;
            pause();
            pass(121).await;
            until(|| stand.closed() == 3).await;
        });
    });
}

async fn call_twice(upstream: &Upstream) {
    for _ in 0..2 {
        ask(upstream).await.unwrap();
    }
}
