//! Slow callers, silent upstreams, and what is kept in memory meanwhile.

use crate::{
    common::{DELTA, SONNET, START, request},
    rig::{Rig, ms, with_timeouts, within},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::advance;
use tower::{Layer, service_fn};
use tower_claude::{
    ReplayBody, Resilience, Timeouts,
    testing::{At, Fault, Reply},
};

/// A stream that never ends and is always ready, and counts what was taken of it.
struct Endless {
    taken: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let nth = self.taken.fetch_add(1, Ordering::SeqCst);
        let event = if nth == 0 { START } else { DELTA };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(event.as_bytes())))))
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_ahead_of_a_slow_caller_nor_is_he_taken_for_a_stall() {
    let taken = Arc::new(AtomicUsize::new(0));
    let body = taken.clone();
    let client = service_fn(move |_: Request<ReplayBody>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        let body = Endless {
            taken: body.clone(),
        };
        std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let stack = Resilience::builder().build().unwrap();
    let answer = stack
        .layer(client)
        .send(request(SONNET, true))
        .await
        .unwrap();
    assert_eq!(
        taken.load(Ordering::SeqCst),
        2,
        "as far as the first content"
    );
    let mut body = answer.into_body();
    for read in 1..=100_usize {
        advance(Duration::from_secs(600)).await;
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, if read == 1 { START } else { DELTA });
        assert_eq!(
            taken.load(Ordering::SeqCst),
            read.max(2),
            "a frame is read when it is asked for"
        );
    }
}

#[tokio::test]
async fn pings_keep_a_stream_alive_only_if_they_may() {
    let limit = Duration::from_secs(1);
    let timeouts = Timeouts::new()
        .with_first_event(Duration::from_secs(60))
        .with_idle(limit)
        .with_pings_as_life(false);
    let reply = Reply::ok().fail(At::Deltas(1), Fault::OnlyPings { every: ms(100) });
    let rig = Rig::alone(with_timeouts(limit).timeouts(timeouts), reply.clone()).await;
    let saw = rig.call(true).await;
    assert!(
        saw.bytes.contains("\"type\":\"timeout_error\""),
        "{}",
        saw.bytes
    );
    rig.wait_until_idle().await;

    let rig = Rig::alone(with_timeouts(limit), reply).await;
    let answer = within(rig.claude.send(rig.request(true))).await.unwrap();
    let mut body = answer.into_body();
    // Longer than the limit, by the pings' own measure.
    for _ in 0..20 {
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert!(!frame.into_data().unwrap().starts_with(b"event: error"));
    }
}
