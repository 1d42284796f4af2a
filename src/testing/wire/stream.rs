//! The body of a stream: its events, their pauses, and the fault among them.

use crate::testing::body::Step;
use crate::testing::fault::{At, Fault};
use crate::testing::message::{Ask, Event, Message};
use crate::testing::reply::Reply;

use super::GRACE;
use super::frames::Frames;

pub(super) fn steps(reply: &Reply, ask: &Ask, message: &Message) -> Vec<Step> {
    let mut events: Vec<Event> = (0..reply.pings).map(|_| Event::ping()).collect();
    if matches!(reply.fault, Some((At::Ping, _))) && events.is_empty() {
        events.push(Event::ping());
    }
    let pings = events.len();
    events.extend(message.events(ask));
    let strike = reply
        .fault
        .as_ref()
        .map(|(at, fault)| (place(&events, pings, *at), fault));

    let mut frames = Frames::new(reply);
    frames.pause(reply.pace.first_event_after);
    let mut deltas = 0;
    for (index, event) in events.iter().enumerate() {
        if event.is_delta() {
            let first = deltas == 0;
            frames.pause(if first {
                reply.pace.first_delta_after
            } else {
                reply.pace.every
            });
            deltas += 1;
        }
        let mut text = frames.encode(event);
        if let Some((place, fault)) = strike.filter(|(place, _)| place.index == index) {
            if place.torn {
                let rest = text.split_off(text.len() / 2);
                frames.push(text.as_bytes());
                text = rest;
            }
            match fault {
                Fault::Pause(pause) => frames.pause(*pause),
                Fault::Malformed => frames.event(&Event::malformed()),
                Fault::Error { kind, message } => {
                    frames.event(&Event::error(kind, message));
                    return frames.end(&[]);
                }
                Fault::OnlyPings { every } => {
                    let ping = frames.encode(&Event::ping());
                    return frames.end(&[Step::Repeat {
                        data: ping.into(),
                        every: *every,
                    }]);
                }
                fault => return frames.end(last(fault)),
            }
        }
        frames.push(text.as_bytes());
        if index < pings {
            frames.pause(reply.pace.every);
        }
    }
    frames.end(&[])
}

/// The event a fault strikes before, or in the middle of.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    torn: bool,
}

fn place(events: &[Event], pings: usize, at: At) -> Place {
    let delta = |number: usize| {
        let mut deltas = events
            .iter()
            .enumerate()
            .filter(|(_, event)| event.is_delta());
        deltas.nth(number).map_or(events.len(), |(index, _)| index)
    };
    let before = |index| Place { index, torn: false };
    match at {
        At::Start => before(0),
        At::Ping => before(pings),
        At::MessageStart => before(pings + 1),
        At::Deltas(0) => before(delta(0)),
        At::Deltas(after) => before(delta(after - 1) + 1),
        At::MidDelta(after) => Place {
            index: delta(after),
            torn: true,
        },
        At::BeforeStop => before(events.len() - 1),
    }
}

/// The last steps of a body that a fault ends; none for the faults that are bytes.
pub(super) fn last(fault: &Fault) -> &'static [Step] {
    match fault {
        Fault::Cut => &[Step::Pause(GRACE), Step::Reset],
        Fault::Stall => &[Step::Stall],
        _ => &[],
    }
}
