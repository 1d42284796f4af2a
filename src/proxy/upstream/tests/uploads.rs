//! Requests that are streamed: their connections have tasks.

use super::stand::*;
use http_body_util::BodyExt;

/// Answers before it has the whole request, and then reads on.
async fn early(answer: &'static str) -> Stand {
    Stand::new(move |mut conn, _| async move {
        loop {
            if !conn.head().await {
                return;
            }
            conn.write(answer).await;
            if !conn.request().await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_upload_goes_on_after_its_answer_and_its_connection_is_kept() {
    for reads in [true, false] {
        let stand = early(OK).await;
        let upstream = stand.upstream();
        for n in 1..4 {
            let (feed, sending) = stream(&upstream);
            feed.send("first").await.unwrap();
            let response = sending.await.unwrap();
            if reads {
                assert_eq!(text(response).await.unwrap(), "ok");
            } else {
                // What there is of the answer is there, so the upload need not end for it.
                settle().await;
                drop(response);
            }
            for _ in 0..100 {
                feed.send("more").await.unwrap();
            }
            assert_eq!(stand.requests(), n - 1);
            drop(feed);
            until(|| stand.requests() == n).await;
            let more = "4\r\nmore\r\n".repeat(100);
            assert!(
                stand
                    .last()
                    .ends_with(&format!("5\r\nfirst\r\n{more}0\r\n\r\n"))
            );
            settle().await;
        }
        assert_eq!(stand.connections(), 1);
        // And it is one as all others are.
        assert_eq!(ask(&upstream).await.unwrap(), "ok");
        assert_eq!(stand.connections(), 1);
    }
}

#[tokio::test]
async fn an_upload_that_is_answered_at_its_end_keeps_its_connection_too() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    for _ in 0..3 {
        let (feed, sending) = stream(&upstream);
        feed.send("all").await.unwrap();
        drop(feed);
        assert_eq!(text(sending.await.unwrap()).await.unwrap(), "ok");
        settle().await;
        assert_eq!(ask(&upstream).await.unwrap(), "ok");
    }
    assert_eq!((stand.connections(), stand.requests()), (1, 6));
}

#[tokio::test]
async fn an_upload_that_is_dropped_closes_its_connection() {
    let stand = Stand::new(|mut conn, _| async move { while conn.request().await {} }).await;
    let upstream = stand.upstream();
    let (feed, mut sending) = stream(&upstream);
    feed.send("first").await.unwrap();
    tokio::select! {
        _ = &mut sending => panic!("there is no answer"),
        () = until(|| stand.connections() == 1) => settle().await,
    }
    drop(sending);
    stand.until_closed(1).await;
    assert!(feed.is_closed(), "nobody waits for the rest");
}

#[tokio::test]
async fn an_upload_ends_where_its_answer_is_dropped_early() {
    let stand = early("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await;
    let upstream = stand.upstream();
    let (feed, sending) = stream(&upstream);
    feed.send("first").await.unwrap();
    let mut body = sending.await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    settle().await;
    assert_eq!((stand.closed(), feed.is_closed()), (0, false));
    drop(body);
    stand.until_closed(1).await;
    assert!(feed.is_closed());
}

#[tokio::test]
async fn an_upload_whose_sender_breaks_off_is_an_error_and_no_request() {
    let stand = Stand::answering(OK).await;
    let upstream = stand.upstream();
    let sending = break_off(&upstream);
    sending.await.unwrap_err();
    stand.until_closed(1).await;
    assert_eq!(stand.requests(), 0);
}
