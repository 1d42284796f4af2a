//! The built stack: one nameable service for every configuration.

use crate::{
    body::{AnswerBody, GuardedBody, ReplayBody, TakeWhole},
    builder::Code,
    bulkhead::{Bulkhead, BulkheadLayer, Bulkheads, Permit},
    call::Wishes,
    circuit_breaker::{AttemptGuard, CircuitBreaker, CircuitBreakerLayer, CircuitHandle},
    commit::{Commit, CommitBody, CommitLayer},
    degrade::{Degrade, DegradeBody, DegradeLayer},
    error::BoxError,
    jitter_backoff::{BudgetSnapshot, JitterBackoff, JitterBackoffLayer},
    model_fallback::{ModelFallback, ModelFallbackLayer},
    replay::{CallBody, Replay, ReplayLayer},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower::util::BoxCloneSyncService;
use tower_layer::Layer;
use tower_service::Service;

/// The stack, as a layer. Built by [`Resilience::builder`]; see the [builder](crate::builder).
#[derive(Debug, Clone)]
pub struct Resilience {
    pub(crate) replay: ReplayLayer,
    pub(crate) degrade: DegradeLayer,
    pub(crate) fallback: ModelFallbackLayer,
    pub(crate) backoff: JitterBackoffLayer,
    pub(crate) bulkhead: BulkheadLayer,
    pub(crate) breaker: CircuitBreakerLayer,
    pub(crate) commit: CommitLayer,
    pub(crate) code: Code,
}

impl Resilience {
    /// The operator's view of the circuits, and the hand on them.
    pub fn circuits(&self) -> CircuitHandle {
        self.breaker.handle()
    }

    /// The operator's view of the compartments, and the hand on them.
    pub fn bulkheads(&self) -> Bulkheads {
        self.bulkhead.handle()
    }

    /// The retry budgets that calls have used so far, by feature and model.
    pub fn budgets(&self) -> Vec<BudgetSnapshot> {
        self.backoff.budgets()
    }
}

type Inner<S> = Replay<Degrade<ModelFallback<JitterBackoff<Bulkhead<CircuitBreaker<Commit<S>>>>>>>;
type InnerBody<RB> =
    CallBody<DegradeBody<GuardedBody<GuardedBody<CommitBody<RB>, AttemptGuard>, Permit>>>;

impl<S: Clone> Layer<S> for Resilience {
    type Service = Resilient<S>;

    fn layer(&self, client: S) -> Resilient<S> {
        let attempt = self.breaker.layer(self.commit.layer(client));
        let retried = self.backoff.layer(self.bulkhead.layer(attempt));
        let answered = self.degrade.layer(self.fallback.layer(retried));
        Resilient {
            inner: self.replay.layer(answered),
        }
    }
}

/// A client inside the stack.
///
/// Opaque: a layer added later changes no type of yours.
#[derive(Debug, Clone)]
pub struct Resilient<S> {
    inner: Inner<S>,
}

impl<S> Resilient<S> {
    /// Sends a request: waits for readiness, then calls. Needs neither `&mut` nor `ready()`, whose body type cannot be
    /// inferred.
    ///
    /// # Errors
    ///
    /// With degradation on (the default), only [`BodyTooLarge`](crate::BodyTooLarge) and a failed request body: all
    /// else is an answer.
    pub fn send<B>(&self, request: Request<B>) -> Send<S, B>
    where
        Self: Service<Request<B>> + Clone,
    {
        Send {
            state: State::Ready {
                service_and_request: Some((self.clone(), request)),
            },
        }
    }

    /// Calls at once: the stack is always ready, and waits for its client within an attempt.
    pub(crate) fn begin<B, RB>(self, request: Request<B>, wishes: Wishes) -> ResilientFuture<S, B>
    where
        S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
        RB: Body<Data = Bytes> + Unpin,
        RB::Error: Into<BoxError>,
    {
        ResilientFuture {
            inner: self.inner.into_call(request, wishes),
        }
    }

    /// Erases the client and the response body, so that the stack has a short name. Boxes each call once.
    pub fn boxed<B, RB>(self) -> BoxResilient<B>
    where
        S: Service<Request<ReplayBody>, Response = Response<RB>>
            + Clone
            + std::marker::Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: std::marker::Send + 'static,
        B: Body + std::marker::Send + 'static,
        B::Data: std::marker::Send,
        B::Error: Into<BoxError>,
        RB: Body<Data = Bytes> + Unpin + std::marker::Send + 'static,
        RB::Error: Into<BoxError>,
    {
        let erased = tower::ServiceExt::<Request<B>>::map_response(
            self,
            |response: Response<ResilientBody<RB>>| response.map(BodyExt::boxed_unsync),
        );
        BoxResilient {
            inner: BoxCloneSyncService::new(erased),
        }
    }
}

impl<S, B, RB> Service<Request<B>> for Resilient<S>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Response = Response<ResilientBody<RB>>;
    type Error = BoxError;
    type Future = ResilientFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResilientFuture {
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// A call on its way through the stack.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResilientFuture<S, B>
    where
        Inner<S>: Service<Request<B>>,
    {
        #[pin]
        inner: <Inner<S> as Service<Request<B>>>::Future,
    }
}

impl<S, B> fmt::Debug for ResilientFuture<S, B>
where
    Inner<S>: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilientFuture").finish_non_exhaustive()
    }
}

impl<S, B, RB> Future for ResilientFuture<S, B>
where
    Inner<S>: Service<Request<B>, Response = Response<InnerBody<RB>>, Error = BoxError>,
    S: Service<Request<ReplayBody>, Response = Response<RB>>,
{
    type Output = Result<Response<ResilientBody<RB>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.project().inner.poll(cx));
        Poll::Ready(answer.map(|response| response.map(ResilientBody::new)))
    }
}

/// The body of an answer of the stack: as upstream sent it, or a degraded one.
///
/// `Unpin`, so that `body.frame().await` works.
pub struct ResilientBody<RB> {
    // Boxed, for it is large, and a body goes through many hands. Bytes in its place are all of an answer with which no body
    // of the stack has anything more to do.
    inner: AnswerBody<Pin<Box<InnerBody<RB>>>>,
}

impl<RB> ResilientBody<RB> {
    fn new(mut body: InnerBody<RB>) -> Self {
        let inner = match body.take_whole() {
            Some(bytes) => AnswerBody::own(bytes),
            None => AnswerBody::inner(Box::pin(body)),
        };
        Self { inner }
    }
}

impl<RB> fmt::Debug for ResilientBody<RB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResilientBody").finish_non_exhaustive()
    }
}

impl<RB> Body for ResilientBody<RB>
where
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pin_project! {
    /// The future of [`Resilient::send`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Send<S, B>
    where
        Resilient<S>: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, <Resilient<S> as Service<Request<B>>>::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Ready { service_and_request: Option<(Resilient<S>, Request<B>)> },
        Calling { #[pin] future: F },
    }
}

impl<S, B> fmt::Debug for Send<S, B>
where
    Resilient<S>: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").finish_non_exhaustive()
    }
}

impl<S, B, RB> Future for Send<S, B>
where
    S: Service<Request<ReplayBody>, Response = Response<RB>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
    RB: Body<Data = Bytes> + Unpin,
    RB::Error: Into<BoxError>,
{
    type Output = Result<Response<ResilientBody<RB>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let ready = match state.as_mut().project() {
                StateProj::Calling { future } => return future.poll(cx),
                StateProj::Ready {
                    service_and_request,
                } => {
                    if let Some((service, _)) = service_and_request {
                        ready!(Service::<Request<B>>::poll_ready(service, cx))?;
                    }
                    service_and_request.take()
                }
            };
            let Some((service, request)) = ready else {
                return Poll::Pending;
            };
            let future = service.begin(request, Wishes::default());
            state.set(State::Calling { future });
        }
    }
}

/// The stack around any client, by a short name. From [`Resilient::boxed`].
pub struct BoxResilient<B> {
    inner: BoxCloneSyncService<Request<B>, Response<BoxBody>, BoxError>,
}

/// The body of an answer of a [`BoxResilient`].
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

impl<B> BoxResilient<B> {
    /// Sends a request, as [`Resilient::send`].
    ///
    /// # Errors
    ///
    /// As [`Resilient::send`].
    pub async fn send(&self, request: Request<B>) -> Result<Response<BoxBody>, BoxError> {
        let mut service = self.inner.clone();
        std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    }
}

/// Not derived: a clone needs no `B: Clone`.
impl<B> Clone for BoxResilient<B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<B> fmt::Debug for BoxResilient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxResilient").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for BoxResilient<B> {
    type Response = Response<BoxBody>;
    type Error = BoxError;
    type Future = <BoxCloneSyncService<Request<B>, Response<BoxBody>, BoxError> as Service<
        Request<B>,
    >>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request)
    }
}
