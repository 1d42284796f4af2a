//! The call of the proxy, from the head of its request to the head of its answer.
//!
//! Named and made in one piece, for it is moved into the connection it belongs to: what is large and rare is on the heap,
//! and what is on the way of each call is nowhere copied from one future into the next.

use super::{
    body::ProxyBody,
    limits::{Scoped, Ticket},
    pass::PassBody,
    read::{self, ReadBody},
    refusal::{self, Refusal},
    shutdown::Stop,
    upstream::Upstream,
};
use crate::{error::BoxError, stack::ResilientFuture};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

pin_project! {
    /// See the [module docs](self).
    #[must_use = "futures do nothing unless polled"]
    pub(super) struct Answering<'a, B>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        #[pin]
        way: Way<B>,
        stop: &'a Stop,
    }
}

pin_project! {
    /// What becomes of a request.
    #[project = WayProj]
    pub(super) enum Way<B>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        // Goes through the stack.
        Stack {
            #[pin]
            sending: Scoped<ResilientFuture<Upstream, ReadBody<B>>>,
            // What the stack may keep of the answer while its caller reads it.
            kept: u64,
        },
        // Passes through.
        Pass {
            passing: Passing,
            // None: it is over.
            ticket: Option<Arc<Ticket>>,
        },
        // Is refused.
        Refused {
            refusal: Refusal,
            // What is left of its body is read before.
            rest: Option<Rest>,
        },
    }
}

type Passing = Pin<Box<dyn Future<Output = Result<Response<PassBody>, Refusal>> + Send>>;
type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<'a, B> Answering<'a, B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    /// By this way, unless the proxy stops before.
    pub(super) fn new(way: Way<B>, stop: &'a Stop) -> Self {
        Self { way, stop }
    }
}

impl<B> Way<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn stack(
        sending: ResilientFuture<Upstream, ReadBody<B>>,
        ticket: Arc<Ticket>,
        kept: u64,
    ) -> Self {
        Self::Stack {
            sending: ticket.scope(sending),
            kept,
        }
    }

    pub(super) fn pass(
        passing: impl Future<Output = Result<Response<PassBody>, Refusal>> + Send + 'static,
        ticket: Arc<Ticket>,
    ) -> Self {
        Self::Pass {
            passing: Box::pin(passing),
            ticket: Some(ticket),
        }
    }

    /// Refused once what is left of its body was read, so that its sender gets to read why.
    pub(super) fn refused(refusal: Refusal, body: B) -> Self
    where
        B: Send + 'static,
    {
        Self::Refused {
            refusal,
            rest: Some(Box::pin(read::discard(body))),
        }
    }
}

impl<B> From<Refusal> for Way<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            refusal,
            rest: None,
        }
    }
}

impl<B> Future for Answering<'_, B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Response<ProxyBody>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<ProxyBody>> {
        let this = self.project();
        let answer = match this.way.project() {
            WayProj::Refused { refusal, rest } => {
                if let Some(rest) = rest {
                    ready!(rest.as_mut().poll(cx));
                }
                own(*refusal)
            }
            _ if this.stop.is_now() => own(Refusal::Stopping),
            WayProj::Stack { mut sending, kept } => {
                let answer = ready!(sending.as_mut().poll(cx));
                let ticket = sending.take_value();
                if let Some(ticket) = &ticket {
                    ticket.commit();
                }
                match answer {
                    Ok(response) => response.map(|body| ProxyBody::stack(body, ticket, *kept)),
                    Err(error) => refusal::of_error(&*error).map(ProxyBody::own),
                }
            }
            WayProj::Pass { passing, ticket } => match ready!(passing.as_mut().poll(cx)) {
                Ok(response) => response.map(|body| ProxyBody::pass(body, ticket.take())),
                Err(refusal) => own(refusal),
            },
        };
        Poll::Ready(answer)
    }
}

fn own(refusal: Refusal) -> Response<ProxyBody> {
    refusal.answer().map(ProxyBody::own)
}
