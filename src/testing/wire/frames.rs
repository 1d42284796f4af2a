//! How bytes and pauses become the frames of a body.

use std::time::Duration;

use bytes::Bytes;

use crate::testing::body::Step;
use crate::testing::fault::Chunks;
use crate::testing::message::Event;
use crate::testing::reply::Reply;

/// How long bytes get to leave and to arrive before their connection breaks; see
/// [`Fault::Cut`](crate::testing::Fault::Cut).
pub(super) const GRACE: Duration = Duration::from_millis(5);

/// Gathers events and pauses into frames of the wanted size.
pub(super) struct Frames {
    chunks: Chunks,
    crlf: bool,
    held: Vec<u8>,
    steps: Vec<Step>,
}

impl Frames {
    pub(super) fn new(reply: &Reply) -> Self {
        Self {
            chunks: reply.chunks,
            crlf: reply.crlf,
            held: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The event with the line ends of this reply.
    pub(super) fn encode(&self, event: &Event) -> String {
        let text = event.text();
        if self.crlf {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let text = self.encode(event);
        self.push(text.as_bytes());
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.chunks == Chunks::PerEvent {
            self.flush();
        }
    }

    pub(super) fn pause(&mut self, pause: Duration) {
        if !pause.is_zero() {
            self.step(Step::Pause(pause));
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        self.flush();
        self.steps.push(step);
    }

    pub(super) fn cut(&mut self) {
        self.pause(GRACE);
        self.step(Step::Reset);
    }

    /// hyper drops what it has not sent yet when a body fails; what it has sent arrives.
    pub(super) fn close(&mut self) {
        self.pause(GRACE);
        self.step(Step::Close);
    }

    pub(super) fn end(mut self) -> Vec<Step> {
        self.flush();
        self.steps
    }

    fn flush(&mut self) {
        let held = Bytes::from(std::mem::take(&mut self.held));
        let size = match self.chunks {
            Chunks::Bytes(size) => size.max(1),
            Chunks::PerEvent | Chunks::Together => held.len().max(1),
        };
        self.steps.extend(
            held.chunks(size)
                .map(|part| Step::Data(held.slice_ref(part))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: Chunks) -> Vec<Step> {
        let mut frames = Frames::new(&Reply::ok().chunks(chunks));
        frames.push(b"abc");
        frames.push(b"de");
        frames.pause(Duration::ZERO);
        frames.push(b"f");
        frames.pause(Duration::from_secs(1));
        frames.push(b"g");
        frames.step(Step::Stall);
        frames.end()
    }

    fn data(bytes: &'static str) -> Step {
        Step::Data(Bytes::from_static(bytes.as_bytes()))
    }

    #[test]
    fn frames_end_at_pauses_and_where_their_size_says() {
        let pause = || Step::Pause(Duration::from_secs(1));
        let each = [
            data("abc"),
            data("de"),
            data("f"),
            pause(),
            data("g"),
            Step::Stall,
        ];
        assert_eq!(frames(Chunks::PerEvent), each);
        assert_eq!(
            frames(Chunks::Together),
            [data("abcdef"), pause(), data("g"), Step::Stall]
        );
        let fours = [data("abcd"), data("ef"), pause(), data("g"), Step::Stall];
        assert_eq!(frames(Chunks::Bytes(4)), fours);
    }
}
