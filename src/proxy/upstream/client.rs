//! The client of a proxy.
//!
//! Upstream closes kept connections when it likes. A request that meets such a close before any byte of an answer says
//! nothing of the model, so it is sent once more, at once, and costs its call no attempt. Only a connection that has
//! carried an answer before can have been idle: on a new one a reset is a failure like any other.

use super::{
    body::{Outgoing, UpstreamBody},
    connector::{Marking, Used},
};
use crate::{
    body::ReplayBody,
    classify::TransportKind,
    client,
    kept::Original,
    proxy::{forward, limits::Ticket, shutdown::Stop},
};
use http::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client, ResponseFuture, connect::HttpConnector};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tower_service::Service;

/// An upstream that did not answer.
pub(in crate::proxy) type SendError = legacy::Error;

type Pool = Client<Marking<HttpsConnector<HttpConnector>>, Outgoing>;

/// The connections to upstream. Clones share them.
///
/// Each layer of the stack keeps a clone for each of its calls, and hyper's client is a large thing to copy so often.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Upstream {
    pool: Arc<Pool>,
    stop: Stop,
}

impl Upstream {
    pub(in crate::proxy) fn new(connect_timeout: Duration, stop: Stop) -> Self {
        let inner = client::connector(connect_timeout);
        Self {
            pool: Arc::new(client::builder().build(Marking::new(inner))),
            stop,
        }
    }

    /// Sends a request whose body is read from elsewhere, and so can be sent only once.
    pub(in crate::proxy) fn send_once(&self, request: Request<Outgoing>) -> Sending {
        Sending {
            answer: self.pool.request(request),
            again: None,
            ticket: None,
            stop: self.stop.clone(),
        }
    }
}

/// For the stack, and for whatever else has its body at hand.
impl Service<Request<ReplayBody>> for Upstream {
    type Response = Response<UpstreamBody>;
    type Error = SendError;
    type Future = Sending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> Sending {
        let again = Again {
            pool: self.pool.clone(),
            original: Original::of(&mut request),
        };
        let request = request.map(|body| Outgoing::Held { body });
        Sending {
            answer: self.pool.request(request),
            again: Some(again),
            ticket: Ticket::current(),
            stop: self.stop.clone(),
        }
    }
}

#[derive(Debug)]
struct Again {
    pool: Arc<Pool>,
    original: Arc<Original<ReplayBody>>,
}

pin_project! {
    /// An answer to come.
    #[derive(Debug)]
    pub(in crate::proxy) struct Sending {
        #[pin]
        answer: ResponseFuture,
        again: Option<Again>,
        ticket: Option<Arc<Ticket>>,
        stop: Stop,
    }
}

impl Future for Sending {
    type Output = Result<Response<UpstreamBody>, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let error = match ready!(this.answer.as_mut().poll(cx)) {
                Ok(response) => {
                    if let Some(used) = response.extensions().get::<Used>() {
                        used.mark();
                    }
                    let (mut head, body) = response.into_parts();
                    forward::from_upstream(&mut head);
                    let body = UpstreamBody::new(body, this.ticket.take(), this.stop.clone());
                    return Poll::Ready(Ok(Response::from_parts(head, body)));
                }
                Err(error) => error,
            };
            match this.again.take() {
                Some(Again { pool, original }) if was_closed_idle(&error) => {
                    let request = original.request();
                    let request = request.map(|body| Outgoing::Held { body });
                    this.answer.set(pool.request(request));
                }
                _ => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Whether a connection that had carried an answer was gone before this one began.
fn was_closed_idle(error: &SendError) -> bool {
    let reset = || {
        let kind = TransportKind::of(error);
        matches!(kind, Some(TransportKind::Stale | TransportKind::Reset))
    };
    error.connect_info().is_some_and(Used::of) && reset()
}
