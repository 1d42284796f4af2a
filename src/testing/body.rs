//! A response body that is played from a list of steps.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::gauge::Held;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    Pause(Duration),
    /// Frames of the same data for ever, each followed by a pause.
    Repeat {
        data: Bytes,
        every: Duration,
    },
    /// Tells the connection to reset itself.
    Reset,
    /// Ends the connection where it is.
    Close,
    /// Nothing more, and no end either.
    Stall,
}

/// What makes hyper close the connection without an end of the body.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed as the script says")
    }
}

impl Error for Closed {}

/// Plays the steps and ends after the last; it counts as a running answer until it is dropped.
#[derive(Debug)]
pub(super) struct ScriptedBody {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    hang_up: Arc<Notify>,
    _running: Held,
}

impl ScriptedBody {
    pub(super) fn new(steps: Vec<Step>, hang_up: Arc<Notify>, running: Held) -> Self {
        Self {
            steps: steps.into(),
            pause: None,
            hang_up,
            _running: running,
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.pause = Some(Box::pin(tokio::time::sleep(pause)));
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Close) => return Poll::Ready(Some(Err(Closed))),
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Pause(pause)) => self.pause(pause),
                Some(Step::Repeat { data, every }) => {
                    self.steps.push_front(Step::Repeat {
                        data: data.clone(),
                        every,
                    });
                    self.pause(every);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // Pending without a waker is right: what ends this wait is the connection, which is
                // polled by its socket.
                Some(Step::Reset) => {
                    self.hang_up.notify_one();
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
            }
        }
    }
}
