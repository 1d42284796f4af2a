//! A service that holds its calls until a test replies, behind a bulkhead.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use std::{
    collections::VecDeque,
    convert::Infallible,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    BoxError, Call, Event, Failure, Feature, Observe,
    body::GuardedBody,
    bulkhead::{Bulkhead, BulkheadLayer, Bulkheads, Compartment, CompartmentSnapshot, Permit},
};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Result<Response<GuardedBody<Body, Permit>>, BoxError>;

/// What the service behind the bulkhead does with a call.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    Json,
    /// A stream of one event per chunk, whole if the last is `message_stop`.
    Stream(&'static [&'static str]),
    Status(u16),
    Error,
    Panic,
}

pub(crate) fn answer(reply: Reply) -> Result<Response<Body>, BoxError> {
    let json = |status: u16| {
        let body = Full::new(Bytes::from_static(b"{}"));
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    };
    match reply {
        Reply::Json => Ok(json(200)),
        Reply::Status(status) => Ok(json(status)),
        Reply::Error => Err("connection reset".into()),
        // Not `panic!`: its message would clutter the output.
        Reply::Panic => resume_unwind(Box::new("boom")),
        Reply::Stream(events) => {
            let frames: Vec<_> = events
                .iter()
                .map(|event| {
                    let event = format!("event: {event}\ndata: {{\"type\":\"{event}\"}}\n\n");
                    Ok::<_, Infallible>(Frame::data(Bytes::from(event)))
                })
                .collect();
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut response = Response::new(body.boxed_unsync());
            let kind = "text/event-stream".parse().unwrap();
            response.headers_mut().insert("content-type", kind);
            Ok(response)
        }
    }
}

type Held = VecDeque<(u32, oneshot::Sender<Reply>)>;

/// Holds every call until the test replies, and tells which it saw.
#[derive(Clone, Default)]
pub(crate) struct Upstream {
    calls: Arc<Mutex<Held>>,
    seen: Arc<AtomicUsize>,
}

impl Upstream {
    /// Replies to the call that came first; says which it was.
    pub(crate) fn reply(&self, reply: Reply) -> u32 {
        let (id, call) = self.calls.lock().unwrap().pop_front().expect("a call");
        let _ = call.send(reply);
        id
    }

    pub(crate) fn reply_to(&self, id: u32, reply: Reply) {
        let mut calls = self.calls.lock().unwrap();
        let at = calls.iter().position(|(call, _)| *call == id);
        let _ = calls.remove(at.expect("a call")).unwrap().1.send(reply);
    }

    /// Calls so far.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(SeqCst)
    }
}

impl Service<Request<u32>> for Upstream {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<u32>) -> Self::Future {
        let (reply, replied) = oneshot::channel();
        self.seen.fetch_add(1, SeqCst);
        let mut calls = self.calls.lock().unwrap();
        calls.push_back((*request.body(), reply));
        Box::pin(async move { answer(replied.await.unwrap_or(Reply::Error)) })
    }
}

/// A bulkhead whose feature `chat` has the compartment under test.
pub(crate) struct House {
    pub(crate) service: Bulkhead<Upstream>,
    pub(crate) upstream: Upstream,
    pub(crate) bulkheads: Bulkheads,
    /// The id of the next call.
    pub(crate) next: u32,
}

impl House {
    pub(crate) fn new(chat: Compartment) -> Self {
        Self::of(&BulkheadLayer::new().with_feature("chat", chat))
    }

    pub(crate) fn of(layer: &BulkheadLayer) -> Self {
        let upstream = Upstream::default();
        Self {
            service: layer.layer(upstream.clone()),
            bulkheads: layer.handle(),
            upstream,
            next: 0,
        }
    }

    fn request(&mut self, call: Option<Call>) -> Request<u32> {
        let mut request = Request::new(self.next);
        self.next += 1;
        if let Some(call) = call {
            request.extensions_mut().insert(call);
        }
        request
    }

    /// Sends a call and lets it get as far as it can.
    pub(crate) async fn start(&mut self, call: Option<Call>) -> JoinHandle<Answer> {
        let request = self.request(call);
        let task = tokio::spawn(self.service.clone().oneshot(request));
        settle().await;
        task
    }

    /// Sends a call to the compartment under test.
    pub(crate) async fn chat(&mut self) -> JoinHandle<Answer> {
        self.start(Some(call("chat", "sonnet"))).await
    }

    /// A call to the compartment under test that only runs when it is polled.
    pub(crate) fn unpolled(&mut self) -> Unpolled {
        let request = self.request(Some(call("chat", "sonnet")));
        Unpolled(Box::pin(self.service.clone().oneshot(request)))
    }

    pub(crate) fn find(&self, feature: &str, model: &str) -> CompartmentSnapshot {
        let all = self.bulkheads.snapshot();
        all.into_iter()
            .find(|room| room.feature.as_str() == feature && &*room.model == model)
            .unwrap_or_else(|| panic!("no compartment {feature}/{model}"))
    }

    /// In flight and queued in the compartment under test.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let chat = self.find("chat", "sonnet");
        (chat.in_flight, chat.queued)
    }
}

pub(crate) struct Unpolled(Pin<Box<dyn Future<Output = Answer>>>);

impl Unpolled {
    pub(crate) fn poll(&mut self) -> Poll<Answer> {
        let mut cx = Context::from_waker(Waker::noop());
        self.0.as_mut().poll(&mut cx)
    }
}

pub(crate) fn call(feature: &str, model: &str) -> Call {
    Call::new(Some(model.into())).with_feature(Feature::new(feature))
}

/// A compartment of one seat.
pub(crate) fn one() -> Compartment {
    Compartment::new(1)
}

/// Lets every task run until it waits for something.
pub(crate) async fn settle() {
    for _ in 0..16 {
        yield_now().await;
    }
}

#[track_caller]
pub(crate) fn failure<B>(answer: Result<Response<B>, BoxError>) -> Failure {
    let error = answer.map(|_| ()).unwrap_err();
    Failure::find(&*error).expect("a failure").clone()
}

/// The events of the layer, in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Observe for Log {
    fn on_event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(match event {
            Event::Queued { feature, model } => format!("queued {feature} {model}"),
            Event::BulkheadFull {
                feature,
                model,
                waited,
            } => format!("full {feature} {model} waited={waited}"),
            Event::UnknownFeature { feature } => format!("unknown {feature}"),
            other => format!("{other:?}"),
        });
    }
}

impl Log {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
