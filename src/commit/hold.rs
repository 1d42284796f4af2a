//! When a stream is committed, and when it is over: decided event by event, without a clock or a body.

use crate::claude::sse::EventKind;

/// How far a stream has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// `message_start` came.
    started: bool,
    /// Something came that makes an answer, though perhaps an empty one: a refusal has no delta.
    answered: bool,
    committed: bool,
}

/// What ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// `message_stop`: it is complete.
    Stop,
    /// An `error` event.
    Error,
    /// The data of an event is not whole: a lost delta is a wrong answer.
    Mangled,
    /// A second `message_start`.
    Twice,
    /// `message_stop`, and nothing before it that answers.
    Empty,
}

impl Hold {
    /// Takes the next event.
    pub(super) fn on_event(&mut self, kind: EventKind, whole: bool) -> Option<Over> {
        match kind {
            EventKind::Error => return Some(Over::Error),
            kind if kind.is_known() && !whole => return Some(Over::Mangled),
            EventKind::MessageStart if self.started => return Some(Over::Twice),
            EventKind::MessageStart => self.started = true,
            EventKind::ContentBlockDelta => {
                self.answered = true;
                self.commit();
            }
            EventKind::ContentBlockStart | EventKind::MessageDelta => self.answered = true,
            // Not so by its commit alone, which may have had another reason than content.
            EventKind::MessageStop if self.answered => {
                self.commit();
                return Some(Over::Stop);
            }
            EventKind::MessageStop => return Some(Over::Empty),
            _ => {}
        }
        None
    }

    /// Commits for another reason than an event: bytes, time, or nobody who could act on a failure.
    pub(super) fn commit(&mut self) {
        self.committed = true;
    }

    pub(super) fn is_committed(self) -> bool {
        self.committed
    }

    pub(super) fn has_started(self) -> bool {
        self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind as K;

    /// Whether the stream was committed, and how it ended.
    fn run(events: &[EventKind]) -> (bool, Option<Over>) {
        let mut hold = Hold::default();
        for &kind in events {
            if let Some(over) = hold.on_event(kind, true) {
                return (hold.is_committed(), Some(over));
            }
        }
        (hold.is_committed(), None)
    }

    #[test]
    fn a_stream_is_committed_by_its_first_delta_or_its_complete_end() {
        for (events, outcome) in [
            (&[][..], (false, None)),
            (&[K::Ping, K::Other], (false, None)),
            (
                &[K::MessageStart, K::ContentBlockStart, K::Ping],
                (false, None),
            ),
            (
                &[K::MessageStart, K::ContentBlockStart, K::ContentBlockDelta],
                (true, None),
            ),
            // A `fallback` block has no delta.
            (
                &[K::MessageStart, K::ContentBlockStart, K::ContentBlockStop],
                (false, None),
            ),
            (
                &[K::MessageStart, K::ContentBlockStart, K::MessageStop],
                (true, Some(Over::Stop)),
            ),
            // A refusal has no block.
            (
                &[K::MessageStart, K::MessageDelta, K::MessageStop],
                (true, Some(Over::Stop)),
            ),
            (
                &[K::MessageStart, K::MessageStop],
                (false, Some(Over::Empty)),
            ),
            (&[K::Ping, K::MessageStop], (false, Some(Over::Empty))),
            (&[K::MessageStart, K::Error], (false, Some(Over::Error))),
            (&[K::ContentBlockDelta, K::Error], (true, Some(Over::Error))),
            (
                &[K::MessageStart, K::MessageStart],
                (false, Some(Over::Twice)),
            ),
            (
                &[K::ContentBlockDelta, K::MessageStop],
                (true, Some(Over::Stop)),
            ),
        ] {
            assert_eq!(run(events), outcome, "{events:?}");
        }
    }

    #[test]
    fn a_stream_committed_for_another_reason_than_content_is_not_complete_without_any() {
        for (events, over) in [
            (&[K::MessageStart, K::MessageStop][..], Over::Empty),
            (&[K::Ping, K::MessageStop], Over::Empty),
            (
                &[K::MessageStart, K::MessageDelta, K::MessageStop],
                Over::Stop,
            ),
        ] {
            let mut hold = Hold::default();
            hold.commit();
            let ended = events.iter().find_map(|&kind| hold.on_event(kind, true));
            assert_eq!(ended, Some(over), "{events:?}");
        }
    }

    #[test]
    fn a_known_event_that_is_not_whole_ends_a_stream_and_an_unknown_one_does_not() {
        for kind in [
            K::MessageStart,
            K::ContentBlockDelta,
            K::MessageStop,
            K::Ping,
        ] {
            assert_eq!(Hold::default().on_event(kind, false), Some(Over::Mangled));
        }
        assert_eq!(Hold::default().on_event(K::Other, false), None);
        assert_eq!(Hold::default().on_event(K::Error, false), Some(Over::Error));
    }
}
