//! The client of a proxy.
//!
//! Upstream closes kept connections when it likes. A request that finds its connection closed before it was written goes
//! over another one. One that was written, and meets a close before the head of an answer, says nothing of the model: it is
//! sent once more, at once, over a new connection, and costs its call no attempt. Only a connection that has carried an
//! answer before can have been idle: on a new one a reset is a failure like any other.

use super::{
    body::{Outgoing, UpstreamBody},
    error::SendError,
    link::Link,
    pool::{Carrier, Pool, Shared},
    target::Target,
};
use crate::{
    body::ReplayBody,
    classify::TransportKind,
    kept::{Between, Original},
    proxy::{forward, limits::Ticket, shutdown::Stop},
};
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};
use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;
use tower_service::Service;

/// The connections to upstream. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::proxy) struct Upstream {
    pool: Arc<Pool>,
    stop: Stop,
}

impl Upstream {
    /// Connections to this target, each made in so much time.
    pub(in crate::proxy) fn new(target: Target, connect_timeout: Duration, stop: Stop) -> Self {
        Self {
            pool: Arc::new(Pool::new(target, connect_timeout)),
            stop,
        }
    }

    pub(in crate::proxy) fn target(&self) -> &Target {
        self.pool.target()
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Sends a request whose body is read from elsewhere, and so can be sent only once.
    pub(in crate::proxy) fn send_once(&self, request: Request<Outgoing>) -> Sending {
        self.send(request, None, None)
    }

    /// Sends a request whose body is at hand, and keeps it for a second time.
    pub(in crate::proxy) fn send_held(
        &self,
        mut request: Request<ReplayBody>,
        between: Between,
    ) -> Sending {
        let original = Original::of(&mut request, between);
        let request = request.map(|body| Outgoing::Held { body });
        self.send(request, Some(original), Ticket::current())
    }

    fn send(
        &self,
        request: Request<Outgoing>,
        original: Option<Arc<Original<ReplayBody>>>,
        ticket: Option<Arc<Ticket>>,
    ) -> Sending {
        let pool = Arc::clone(&self.pool);
        let course = match pool.take() {
            Some(Carrier::Own(mut link)) if request.body().is_held() => {
                link.send(request);
                Course::Driven { link, original }
            }
            found => Course::Other {
                answer: Box::pin(exchange(Arc::clone(&pool), found, request, original)),
            },
        };
        let stop = self.stop.clone();
        Sending {
            course,
            then: Some(Then { pool, ticket, stop }),
        }
    }
}

/// For the stack, whose innermost layer it serves: the request is what its layers have kept.
impl Service<Request<ReplayBody>> for Upstream {
    type Response = Response<UpstreamBody>;
    type Error = SendError;
    type Future = Sending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody>) -> Sending {
        self.send_held(request, Between::Stack)
    }
}

/// An answer to come.
pub(in crate::proxy) struct Sending {
    course: Course,
    // None: it has its answer.
    then: Option<Then>,
}

/// What the body of the answer gets.
struct Then {
    pool: Arc<Pool>,
    ticket: Option<Arc<Ticket>>,
    stop: Stop,
}

/// How a request goes.
enum Course {
    /// As nearly all do: over a connection that was kept, which this future drives.
    Driven {
        link: Box<Link>,
        original: Option<Arc<Original<ReplayBody>>>,
    },
    /// In any other way. Boxed: it is large, and has no name.
    Other {
        answer: Pin<Box<dyn Future<Output = Result<Answer, SendError>> + Send>>,
    },
    /// It has its answer.
    Over,
}

/// The head of an answer, and the connection that brings the rest, if nobody else drives it.
type Answer = (Response<Incoming>, Option<Box<Link>>);

impl Future for Sending {
    type Output = Result<Response<UpstreamBody>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (response, link) = loop {
            match mem::replace(&mut this.course, Course::Over) {
                Course::Driven { mut link, original } => match link.poll_answer(cx) {
                    Poll::Ready(Ok(response)) => break (response, Some(link)),
                    Poll::Ready(Err(lost)) => {
                        let Some(then) = &this.then else {
                            return Poll::Pending;
                        };
                        let pool = Arc::clone(&then.pool);
                        let is_used = link.is_used();
                        drop(link);
                        let answer = Box::pin(again(pool, is_used, lost.into(), original));
                        this.course = Course::Other { answer };
                    }
                    Poll::Pending => {
                        this.course = Course::Driven { link, original };
                        return Poll::Pending;
                    }
                },
                Course::Other { mut answer } => match answer.poll_unpin(cx) {
                    Poll::Ready(answer) => break answer?,
                    Poll::Pending => {
                        this.course = Course::Other { answer };
                        return Poll::Pending;
                    }
                },
                Course::Over => return Poll::Pending,
            }
        };
        let Some(then) = this.then.take() else {
            return Poll::Pending;
        };
        let (mut head, body) = response.into_parts();
        forward::from_upstream(&mut head);
        let driven = link.map(|link| (link, then.pool));
        let body = UpstreamBody::new(body, driven, then.ticket, then.stop);
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

/// Sends a request over a connection that was found, or else over a new one.
async fn exchange(
    pool: Arc<Pool>,
    mut found: Option<Carrier>,
    mut request: Request<Outgoing>,
    original: Option<Arc<Original<ReplayBody>>>,
) -> Result<Answer, SendError> {
    loop {
        let was_found = found.is_some();
        let carrier = match found {
            Some(carrier) => carrier,
            None => pool.open().await?,
        };
        let is_used = carrier.is_used();
        let lost = match send(&pool, carrier, request).await {
            Ok(answer) => return Ok(answer),
            Err(lost) => lost,
        };
        match lost.unsent {
            // It was closed while nobody used it, and is not found again.
            Some(unsent) if was_found || is_used => request = *unsent,
            _ => return once_more(&pool, is_used, lost.error, original).await,
        }
        found = pool.take();
    }
}

/// Goes on with a request that got no answer over a connection that was kept.
async fn again(
    pool: Arc<Pool>,
    is_used: bool,
    lost: Lost,
    original: Option<Arc<Original<ReplayBody>>>,
) -> Result<Answer, SendError> {
    match lost.unsent {
        Some(unsent) => {
            let found = pool.take();
            exchange(pool, found, *unsent, original).await
        }
        None => once_more(&pool, is_used, lost.error, original).await,
    }
}

/// Sends a request a second time, over a new connection, if the first was merely late for its own.
async fn once_more(
    pool: &Arc<Pool>,
    is_used: bool,
    error: SendError,
    original: Option<Arc<Original<ReplayBody>>>,
) -> Result<Answer, SendError> {
    match original {
        Some(original) if is_used && was_closed(&error) => {
            let carrier = pool.connect().await?;
            let request = original.request();
            let answer = send(pool, carrier, request.map(|body| Outgoing::Held { body })).await;
            answer.map_err(|lost| lost.error)
        }
        _ => Err(error),
    }
}

/// Whether the connection was gone.
fn was_closed(error: &SendError) -> bool {
    let kind = TransportKind::of(error);
    matches!(kind, Some(TransportKind::Stale | TransportKind::Reset))
}

/// A request that got no answer.
struct Lost {
    error: SendError,
    // Back, if nothing of it was sent.
    unsent: Option<Box<Request<Outgoing>>>,
}

impl From<TrySendError<Request<Outgoing>>> for Lost {
    fn from(mut lost: TrySendError<Request<Outgoing>>) -> Self {
        Self {
            unsent: lost.take_message().map(Box::new),
            error: lost.into_error().into(),
        }
    }
}

async fn send(
    pool: &Arc<Pool>,
    carrier: Carrier,
    request: Request<Outgoing>,
) -> Result<Answer, Lost> {
    match carrier {
        Carrier::Own(link) if request.body().is_held() => drive(link, request).await,
        Carrier::Own(link) => carry(Arc::clone(pool), link, request).await,
        Carrier::Shared(shared) => share(pool, shared, request).await,
    }
}

async fn drive(mut link: Box<Link>, request: Request<Outgoing>) -> Result<Answer, Lost> {
    link.send(request);
    let response = poll_fn(|cx| link.poll_answer(cx)).await?;
    Ok((response, Some(link)))
}

/// Leaves the connection to a task: its upload may go on when the answer is there already, or nobody reads it.
async fn carry(
    pool: Arc<Pool>,
    mut link: Box<Link>,
    request: Request<Outgoing>,
) -> Result<Answer, Lost> {
    link.send(request);
    let (mut teller, told) = oneshot::channel();
    tokio::spawn(async move {
        let answer = tokio::select! {
            answer = poll_fn(|cx| link.poll_answer(cx)) => answer,
            () = teller.closed() => return,
        };
        let is_answered = answer.is_ok();
        if teller.send(answer).is_ok() && is_answered && link.carry().await {
            pool.keep(link);
        }
    });
    match told.await {
        Ok(answer) => Ok((answer?, None)),
        Err(_) => Err(Lost {
            error: SendError::Ended,
            unsent: None,
        }),
    }
}

async fn share(
    pool: &Pool,
    mut shared: Shared,
    mut request: Request<Outgoing>,
) -> Result<Answer, Lost> {
    let target = pool.target();
    target.to_http2(&mut request);
    match shared.send(request).await {
        Ok(response) => Ok((response, None)),
        Err(lost) => {
            let mut lost = Lost::from(lost);
            if lost.unsent.is_some() || shared.is_closed() || was_closed(&lost.error) {
                pool.forget(&shared);
            }
            if let Some(unsent) = &mut lost.unsent {
                target.to_http1(unsent);
            }
            Err(lost)
        }
    }
}
