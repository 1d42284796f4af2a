//! A response body that is played from a list of steps.

use std::collections::VecDeque;
use std::convert::Infallible;
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
    /// Nothing more, and no end either.
    Stall,
}

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
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
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
