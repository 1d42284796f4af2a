//! What becomes of a call and of its connection, by what upstream answers.

use super::stand::*;
use crate::{body::ReplayBody, classify::TransportKind};
use futures_util::FutureExt;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower_service::Service;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const TRAILERS: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: 1\r\n\r\n";

#[tokio::test]
async fn a_request_goes_to_the_host_of_upstream_with_its_path_alone() {
    let stand = Stand::answering(OK).await;
    let upstream = upstream(&format!("http://{}/claude", stand.address()));
    let request = request(
        &upstream,
        "POST",
        "http://proxy/v1/x?a=b",
        ReplayBody::from("{}"),
    );
    let response = upstream.clone().call(request).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");
    let host = stand.address();
    assert_eq!(
        stand.last(),
        format!("POST /claude/v1/x?a=b HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{{}}")
    );
}

#[tokio::test]
async fn a_connection_whose_answer_was_whole_is_used_again() {
    for (method, answer, body) in [
        ("POST", OK, "ok"),
        ("POST", CHUNKED, "ok"),
        ("POST", TRAILERS, "ok"),
        ("POST", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        ("POST", EMPTY, ""),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n",
            "",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", ""),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "ok",
        ),
        (
            "GET",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
            "ok",
        ),
    ] {
        let stand = Stand::answering(answer).await;
        let upstream = stand.upstream();
        for _ in 0..3 {
            let request = request(&upstream, method, "/v1/models", ReplayBody::default());
            let response = upstream.clone().call(request).await.unwrap();
            let whole = response.into_body().collect().await.unwrap();
            let end = whole.trailers().map(|trailers| trailers["x-end"].clone());
            assert_eq!(end.is_some(), answer == TRAILERS);
            assert_eq!(whole.to_bytes(), body);
        }
        assert_eq!((stand.connections(), stand.requests()), (1, 3), "{answer}");
    }
}

#[tokio::test]
async fn who_reads_up_to_the_last_byte_need_not_ask_for_the_end() {
    // The end of one in chunks is a frame of its own.
    for (answer, frames) in [(EMPTY, 0), (OK, 1), (TRAILERS, 2)] {
        let stand = Stand::answering(answer).await;
        let upstream = stand.upstream();
        for _ in 0..3 {
            let mut body = post(&upstream, "asked").await.unwrap().into_body();
            for _ in 0..frames {
                body.frame().await.unwrap().unwrap();
            }
            assert!(body.is_end_stream() || frames == 2);
        }
        assert_eq!(stand.connections(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_carries_nothing_more_is_closed_after_its_answer() {
    for (answer, ends) in [
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        // Whatever comes behind it would be the answer to somebody else's call.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nok", true),
    ] {
        let stand = Stand::new(move |mut conn, _| async move {
            assert!(conn.request().await);
            conn.write(answer).await;
            if ends {
                conn.shut().await;
            }
            assert!(!conn.request().await);
        })
        .await;
        let upstream = stand.upstream();
        for n in 1..4 {
            assert_eq!(ask(&upstream).await.unwrap(), "ok");
            stand.until_closed(n).await;
        }
        assert_eq!((stand.connections(), stand.requests()), (3, 3), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_dropped_early_takes_its_connection_with_it() {
    for read in [false, true] {
        let stand = Stand::new(|mut conn, _| async move {
            while conn.request().await {
                conn.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
                    .await;
            }
        })
        .await;
        let upstream = stand.upstream();
        for n in 1..3 {
            let mut body = post(&upstream, "asked").await.unwrap().into_body();
            if read {
                body.frame().await.unwrap().unwrap();
                assert!(body.frame().now_or_never().is_none());
            }
            settle().await;
            assert_eq!(stand.closed(), n - 1);
            drop(body);
            stand.until_closed(n).await;
        }
        assert_eq!(stand.connections(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_tells_its_reader_at_once() {
    for (head, resets) in [
        ("content-length: 9\r\n\r\nok", false),
        ("content-length: 9\r\n\r\nok", true),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", false),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", true),
    ] {
        let stand = broken(head, resets).await;
        let upstream = stand.upstream();
        let mut body = post(&upstream, "asked").await.unwrap().into_body();
        let data = body.frame().await.unwrap().unwrap();
        assert_eq!(data.into_data().unwrap(), "ok");
        settle().await;
        // Both were there: what it has read, and that there is no more.
        let error = body.frame().now_or_never().unwrap().unwrap().unwrap_err();
        assert_eq!(TransportKind::of(&*error), Some(TransportKind::Reset));
        drop(body);
        assert_eq!(ask(&upstream).await.unwrap(), "ok");
        assert_eq!((stand.connections(), stand.requests()), (2, 2));
    }
}

/// Breaks off its first answer.
async fn broken(head: &'static str, resets: bool) -> Stand {
    Stand::new(move |mut conn, n| async move {
        assert!(conn.request().await);
        if n > 0 {
            return conn.write(OK).await;
        }
        conn.write(&format!("HTTP/1.1 200 OK\r\n{head}")).await;
        // So that its reader has that much first.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if resets {
            conn.reset();
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_in_chunks_that_are_none_is_an_error_and_closes_the_connection() {
    let stand = Stand::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nnone\r\n",
    )
    .await;
    let upstream = stand.upstream();
    let error = ask(&upstream).await.unwrap_err();
    assert_eq!(TransportKind::of(&*error), None, "{error:?}");
    stand.until_closed(1).await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_written_is_handed_on() {
    for closes in [false, true] {
        let stand = Stand::new(move |mut conn, _| async move {
            assert!(conn.head().await);
            conn.write("HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
                .await;
            if !closes {
                conn.end().await;
            }
        })
        .await;
        let upstream = stand.upstream();
        let response = post(&upstream, large()).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(text(response).await.unwrap(), "large");
        if !closes {
            stand.until_closed(1).await;
        }
        // What is left of the request is not written after it.
        assert_eq!(stand.requests(), 0);
    }
}

#[tokio::test]
async fn a_new_connection_that_breaks_before_the_answer_is_an_error() {
    for resets in [false, true] {
        let stand = Stand::new(move |mut conn, _| async move {
            assert!(conn.request().await);
            if resets {
                conn.reset();
            }
        })
        .await;
        let upstream = stand.upstream();
        for _ in 0..2 {
            let error = post(&upstream, "asked").await.unwrap_err();
            assert!(!error.is_connect());
            assert_eq!(TransportKind::of(&error), Some(TransportKind::Reset));
        }
        assert_eq!((stand.connections(), stand.requests()), (2, 2), "once each");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = upstream(&format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let error = post(&upstream, "asked").await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(TransportKind::of(&error), Some(TransportKind::Connect));
    let (_feed, sending) = stream(&upstream);
    assert!(sending.await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let stand = Stand::new(|mut conn, n| async move {
        // The first call of the second connection is answered, so that the next one finds it kept.
        if n == 1 {
            assert!(conn.request().await);
            conn.write(OK).await;
        }
        while conn.request().await {}
    })
    .await;
    let upstream = stand.upstream();
    let drop_amid = async |n| {
        let mut sending = post(&upstream, "asked");
        tokio::select! {
            _ = &mut sending => panic!("there is no answer"),
            () = until(|| stand.requests() == n) => (),
        }
        drop(sending);
    };
    drop_amid(1).await;
    stand.until_closed(1).await;
    assert_eq!(ask(&upstream).await.unwrap(), "ok");
    drop_amid(3).await;
    stand.until_closed(2).await;
    assert_eq!(stand.connections(), 2);
}
