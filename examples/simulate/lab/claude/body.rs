//! The body of an answer: frames at their times, and an end that may be a bad one.

use super::super::trace::{AttemptEnd, Trace};
use bytes::Bytes;
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tower_claude::BoxError;

/// An open attempt. Tells the trace how it ended, once, however that is.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) trace: Trace,
    pub(super) number: usize,
    /// What it ends as when it is dropped now.
    pub(super) end: AttemptEnd,
    /// What it has cost so far, in US dollars.
    pub(super) cost: f64,
    /// What it costs if its caller leaves: all of it, where abandoned work is done.
    pub(super) cost_if_abandoned: Option<f64>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let cost = match (self.end, self.cost_if_abandoned) {
            (AttemptEnd::Abandoned, Some(cost)) => cost,
            _ => self.cost,
        };
        self.trace.attempt_ended(self.number, self.end, cost);
    }
}

/// A piece of an answer.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) after: Duration,
    pub(super) data: Bytes,
    /// US dollars.
    pub(super) cost: f64,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// With all of the answer.
    Whole,
    /// As if whole, but it is not.
    Silent,
    /// By a broken connection.
    Cut,
}

/// See the [module docs](self).
#[derive(Debug)]
pub(crate) struct AnswerBody {
    pub(super) pieces: VecDeque<Piece>,
    pub(super) end: BodyEnd,
    pub(super) sleep: Option<Pin<Box<Sleep>>>,
    pub(super) seat: Option<Seat>,
}

impl AnswerBody {
    fn close(&mut self, end: AttemptEnd) {
        if let Some(seat) = &mut self.seat {
            seat.end = end;
        }
        self.seat = None;
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(piece) = this.pieces.front() else {
            if this.seat.is_none() {
                return Poll::Ready(None);
            }
            return match this.end {
                BodyEnd::Whole => {
                    this.close(AttemptEnd::Delivered);
                    Poll::Ready(None)
                }
                BodyEnd::Silent => {
                    this.close(AttemptEnd::Died);
                    Poll::Ready(None)
                }
                BodyEnd::Cut => {
                    this.close(AttemptEnd::Died);
                    Poll::Ready(Some(Err("connection reset".into())))
                }
            };
        };
        if !piece.after.is_zero() {
            let after = piece.after;
            let wait = this.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
            ready!(wait.as_mut().poll(cx));
            this.sleep = None;
        }
        let piece = this.pieces.pop_front();
        if let (Some(piece), Some(seat)) = (&piece, &mut this.seat) {
            seat.cost += piece.cost;
        }
        // Whoever has the last byte of a whole answer has it, also if he looks no further.
        if this.pieces.is_empty() && this.end == BodyEnd::Whole {
            if let Some(seat) = &mut this.seat {
                seat.end = AttemptEnd::Delivered;
            }
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.data))))
    }
}
