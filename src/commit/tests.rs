//! What only the layers above can say to a [`Commit`]: that others wait, and that somebody else renders.

use super::*;
use crate::{
    BoxError, Call, Deadline, Failure, FailureKind, Verdict,
    body::TakeWhole,
    classify::{End, Ended},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

const S: Duration = Duration::from_secs(1);
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n";

type Frames = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>>;

fn body(chunks: &[&'static str]) -> StreamBody<Frames> {
    let frames: Vec<_> = chunks
        .iter()
        .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn call(models_left: u8, attempts_left: u8) -> Call {
    let mut call = Call::new(Some("sonnet".into())).with_stream(true);
    call.set_hop(0, &"sonnet".into(), models_left);
    call.set_attempts_left(attempts_left);
    call
}

fn request(call: Call) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(call);
    request
}

async fn ask(
    call: Call,
    chunks: &'static [&'static str],
) -> Result<Response<CommitBody<StreamBody<Frames>>>, BoxError> {
    let client = service_fn(move |_: Request<()>| async move {
        let response = Response::builder().header("content-type", "text/event-stream");
        Ok::<_, Infallible>(response.body(body(chunks)).unwrap())
    });
    CommitLayer::new()
        .layer(client)
        .oneshot(request(call))
        .await
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_cut_by_its_timeout_its_deadline_or_half_of_it() {
    for (deadline, models_left, after, kind) in [
        (None, 0, 15 * S, FailureKind::Timeout),
        (Some(60 * S), 1, 15 * S, FailureKind::Timeout),
        (Some(10 * S), 1, 5 * S, FailureKind::Timeout),
        (Some(10 * S), 0, 10 * S, FailureKind::DeadlineExceeded),
        (
            Some(Duration::ZERO),
            1,
            Duration::ZERO,
            FailureKind::DeadlineExceeded,
        ),
    ] {
        let client = service_fn(|_: Request<()>| {
            pending::<Result<Response<StreamBody<Frames>>, Infallible>>()
        });
        let start = Instant::now();
        let mut call = Call::new(Some("sonnet".into()))
            .with_stream(true)
            .with_deadline(deadline.map(|after| Deadline::at(start + after)));
        call.set_hop(0, &"sonnet".into(), models_left);
        let answered = CommitLayer::new()
            .layer(client)
            .oneshot(request(call.clone()))
            .await;
        let error = answered.map(|_| ()).unwrap_err();
        assert_eq!(Failure::find(&*error).unwrap().kind, kind, "{deadline:?}");
        assert_eq!(Instant::now() - start, after, "{deadline:?}");
        assert_eq!(call.sent(), u32::from(deadline != Some(Duration::ZERO)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_back_where_an_attempt_a_model_or_degrade_could_act() {
    let mut degrade = call(0, 0);
    degrade.set_degrade(true);
    for (call, held) in [
        (call(1, 0), true),
        (call(0, 1), true),
        (degrade, true),
        (call(0, 0), false),
    ] {
        let answered = ask(call, &[START]).await;
        assert_eq!(answered.is_err(), held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_an_error_where_an_outer_layer_renders() {
    for renders in [true, false] {
        let mut call = call(1, 1);
        call.set_renders(renders);
        let response = ask(call, &[START, DELTA, "event: mess"]).await.unwrap();
        let Some(Verdict::Committed(end)) = response.extensions().get() else {
            panic!("not committed")
        };
        let end: End = end.clone();
        let mut body = response.into_body();
        for chunk in [START, DELTA] {
            assert_eq!(
                body.frame().await.unwrap().unwrap().into_data().unwrap(),
                chunk
            );
        }
        match body.frame().await.unwrap() {
            Err(error) if renders => {
                assert_eq!(Failure::find(&*error).unwrap().kind, FailureKind::Truncated);
            }
            Ok(frame) if !renders => {
                assert!(frame.into_data().unwrap().starts_with(b"event: error\n"));
            }
            other => panic!("{other:?}"),
        }
        assert!(body.frame().await.is_none());
        assert_eq!(end.get(), Some(Ended::Failed(FailureKind::Truncated)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_is_the_callers_mistake_outside_a_chain() {
    let gone = r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#;
    for (call, kind) in [
        (call(0, 0), FailureKind::ModelGone),
        (Call::new(Some("x".into())), FailureKind::Refused),
    ] {
        let client = service_fn(|_: Request<()>| async {
            let response = Response::builder().status(404);
            Ok::<_, Infallible>(response.body(body(&[gone])).unwrap())
        });
        let answered = CommitLayer::new()
            .layer(client)
            .oneshot(request(call))
            .await;
        assert_eq!(Verdict::of(&answered).failure().unwrap().kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_driven_to_readiness_before_each_call() {
    /// Like a client with one connection: a clone is not ready because the original was.
    #[derive(Default)]
    struct Client(Option<Pin<Box<tokio::time::Sleep>>>, bool);
    impl Clone for Client {
        fn clone(&self) -> Self {
            Self::default()
        }
    }
    impl tower::Service<Request<()>> for Client {
        type Response = Response<StreamBody<Frames>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            let sleep = self
                .0
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(S)));
            std::task::ready!(sleep.as_mut().poll(cx));
            self.1 = true;
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(self.1, "called before it was ready");
            std::future::ready(Ok(Response::new(body(&["{}"]))))
        }
    }
    let service = CommitLayer::new().layer(Client::default());
    for _ in 0..2 {
        service.clone().oneshot(Request::new(())).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_is_taken_out_of_its_body_where_it_is_one_frame_and_all_is_here() {
    const JSON: &str = "application/json";
    let data = |text: &'static str| Frame::data(Bytes::from(text));
    let trailers = || Frame::trailers(HeaderMap::new());
    for (kind, frames, taken) in [
        (JSON, vec![data("{}")], Some("{}")),
        (JSON, vec![data("{"), data("}")], None),
        (JSON, vec![data("{}"), trailers()], None),
        ("text/event-stream", vec![data(START), data(DELTA)], None),
    ] {
        let frames: Vec<_> = frames.into_iter().map(Ok).collect();
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let response = Response::builder().header("content-type", kind);
        let response = response.body(body).unwrap();
        let response = Arc::new(Mutex::new(Some(response)));
        let client = service_fn(move |_: Request<()>| {
            let response = response.lock().unwrap().take().unwrap();
            async { Ok::<_, Infallible>(response) }
        });
        // Somebody could act on a failure, so it is held until it is whole.
        let call = call(1, 1).with_stream(kind != JSON);
        let answer = CommitLayer::new().layer(client).oneshot(request(call));
        let mut body: CommitBody<StreamBody<Frames>> = answer.await.unwrap().into_body();
        assert_eq!(body.take_whole().as_deref(), taken.map(str::as_bytes));
    }
}
