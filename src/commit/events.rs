//! A stream of events on its way: whole events are let through, half of one is kept back.

use super::{
    frames::Frames,
    hold::{Hold, Over},
};
use crate::claude::sse::{EventKind, Splitter};
use bytes::Bytes;

/// Cuts chunks at the ends of events. Knows no clock and no body.
#[derive(Debug)]
pub(super) struct Events {
    splitter: Splitter,
    pings_are_life: bool,
    pub(super) hold: Hold,
    /// Whole events.
    pub(super) out: Frames,
    /// The start of one.
    tail: Frames,
}

/// What a chunk brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// A sign of life: an event ended.
    pub(super) alive: bool,
    /// The stream is over; nothing that came behind it is let through.
    pub(super) over: Option<Ended>,
    /// Bytes of the chunk that came behind its end.
    pub(super) behind: usize,
}

/// How a stream ended by what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// By an event.
    By(Over),
    /// By an `error` event with this data.
    Error(Vec<u8>),
    /// By an event longer than the bound.
    TooLarge,
}

impl Ended {
    /// Once in a stream.
    #[cold]
    fn of(over: Over, error: &[u8]) -> Self {
        match over {
            Over::Error => Self::Error(error.to_vec()),
            over => Self::By(over),
        }
    }
}

impl Events {
    pub(super) fn new(splitter: Splitter, pings_are_life: bool) -> Self {
        Self {
            splitter,
            pings_are_life,
            hold: Hold::default(),
            out: Frames::default(),
            tail: Frames::default(),
        }
    }

    /// Takes the next chunk and sorts it into what may go out and what may not yet.
    pub(super) fn take(&mut self, mut chunk: Bytes) -> Taken {
        let Self {
            splitter,
            pings_are_life,
            hold,
            ..
        } = self;
        let mut taken = Taken::default();
        let mut good = 0;
        let pushed = splitter.push(&chunk, |event| {
            if taken.over.is_some() {
                return;
            }
            taken.alive |= *pings_are_life || event.kind != EventKind::Ping;
            let over = hold.on_event(event.kind, event.whole);
            if matches!(over, None | Some(Over::Stop)) {
                good = event.end;
            }
            if let Some(over) = over {
                taken.over = Some(Ended::of(over, event.error));
            }
        });
        match pushed {
            Ok(whole) if taken.over.is_none() => {
                // Comments are pings by another name.
                taken.alive |= *pings_are_life && whole > 0;
                good = whole;
            }
            Err(_) if taken.over.is_none() => taken.over = Some(Ended::TooLarge),
            _ => {}
        }
        if good > 0 {
            self.out.append(&mut self.tail);
            self.out.push(chunk.split_to(good));
        }
        if taken.over.is_some() {
            taken.behind = chunk.len();
            self.tail.clear();
        } else {
            self.tail.push(chunk);
        }
        taken
    }

    /// Lets through the rest of a line end that the chunks have split, and nothing else.
    pub(super) fn take_line_end(&mut self, mut chunk: Bytes) {
        if chunk.first() == Some(&b'\n') && self.splitter.push(b"\n", |_| {}).is_ok() {
            self.out.push(chunk.split_to(1));
        }
    }

    /// Memory that is held.
    pub(super) fn weight(&self) -> usize {
        self.out.weight() + self.tail.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    const START: &str = "event: message_start\ndata: {\"message\":{}}\n\n";
    const PING: &str = "event: ping\ndata: {}\n\n";
    const DELTA: &str = "event: content_block_delta\ndata: {\"delta\":{}}\n\n";
    const STOP: &str = "event: message_stop\ndata: {}\n\n";
    const ERROR: &str = "event: error\ndata: {\"type\":\"error\"}\n\n";
    const MANGLED: &str = "event: content_block_delta\ndata: {\"delta\":{}\n\n";

    /// What was let through, and how it ended.
    fn run(stream: &str, size: usize) -> (String, Option<Ended>) {
        let mut events = Events::new(Splitter::new(), true);
        let mut text = Vec::new();
        for chunk in stream.as_bytes().chunks(size) {
            let taken = events.take(Bytes::copy_from_slice(chunk));
            while let Some(chunk) = events.out.pop() {
                text.extend_from_slice(&chunk);
            }
            if taken.over.is_some() {
                return (String::from_utf8(text).unwrap(), taken.over);
            }
        }
        (String::from_utf8(text).unwrap(), None)
    }

    #[test]
    fn only_good_whole_events_are_let_through_wherever_chunks_end() {
        let error = Ended::Error(b"{\"type\":\"error\"}".to_vec());
        for (good, rest, over) in [
            (&[START, ": note\r\n\r\n", PING, DELTA][..], "", None),
            (&[START, DELTA], "event: pi", None),
            (&[START], "event: message_stop\ndata: {}\n", None),
            (
                &[START],
                &[STOP, DELTA].concat(),
                Some(Ended::By(Over::Empty)),
            ),
            (
                &[START, DELTA, STOP],
                &[PING, "rest"].concat(),
                Some(Ended::By(Over::Stop)),
            ),
            (
                &[START, DELTA],
                &[ERROR, DELTA].concat(),
                Some(error.clone()),
            ),
            (&[], &[ERROR, DELTA].concat(), Some(error)),
            (
                &[START, DELTA],
                &[MANGLED, DELTA].concat(),
                Some(Ended::By(Over::Mangled)),
            ),
            (
                &[START, DELTA],
                &[START, DELTA].concat(),
                Some(Ended::By(Over::Twice)),
            ),
        ] {
            let stream = good.concat() + rest;
            for size in [1, 2, 3, 7, 64, 4096] {
                assert_eq!(
                    run(&stream, size),
                    (good.concat(), over.clone()),
                    "{size}: {stream}"
                );
            }
        }
    }

    #[test]
    fn what_came_in_one_chunk_behind_the_end_is_counted() {
        let mut events = Events::new(Splitter::new(), true);
        let taken = events.take([DELTA, STOP, "event: pi"].concat().into());
        assert_eq!(taken.over, Some(Ended::By(Over::Stop)));
        assert_eq!(taken.behind, "event: pi".len());
    }

    #[test]
    fn an_event_past_the_bound_ends_the_stream_and_is_let_go() {
        let splitter = Splitter::new().with_max_event(NonZeroUsize::new(128).unwrap());
        let mut events = Events::new(splitter, true);
        for _ in 0..2 {
            assert_eq!(events.take(vec![b'x'; 64].into()).over, None);
        }
        assert_eq!(events.weight(), 128 + size_of::<Bytes>());
        assert_eq!(
            events.take(vec![b'x'; 64].into()).over,
            Some(Ended::TooLarge)
        );
        assert_eq!(events.weight(), 0);
    }

    #[test]
    fn pings_and_comments_are_life_only_where_pings_are() {
        for pings_are_life in [true, false] {
            let mut events = Events::new(Splitter::new(), pings_are_life);
            let mut alive =
                |chunk: &'static str| events.take(Bytes::from_static(chunk.as_bytes())).alive;
            assert!(alive(DELTA));
            assert_eq!(alive(PING), pings_are_life);
            assert_eq!(alive(": note\n\n"), pings_are_life);
            assert!(!alive("event: content"), "half an event is none");
        }
    }
}
