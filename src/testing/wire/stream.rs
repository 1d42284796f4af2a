//! The body of a stream: its events, their pauses, and the fault among them.

use crate::testing::body::Step;
use crate::testing::fault::{At, Fault};
use crate::testing::message::{Ask, Event, Message};
use crate::testing::reply::Reply;

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
    let mut pause = reply.pace.first_delta_after;
    for (index, event) in events.iter().enumerate() {
        let strike = strike.filter(|(place, _)| place.index == index);
        if let Some((Place { torn: false, .. }, fault)) = strike {
            if !apply(fault, &mut frames) {
                return frames.end();
            }
        }
        if event.is_delta() {
            frames.pause(std::mem::replace(&mut pause, reply.pace.every));
        }
        let text = frames.encode(event);
        if let Some((Place { torn: true, .. }, fault)) = strike {
            let (start, rest) = text.as_bytes().split_at(text.len() / 2);
            frames.push(start);
            if !apply(fault, &mut frames) {
                return frames.end();
            }
            frames.push(rest);
        } else {
            frames.push(text.as_bytes());
        }
        if index < pings {
            frames.pause(reply.pace.every);
        }
    }
    frames.end()
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

/// Lets a fault strike here; false if nothing comes after it.
fn apply(fault: &Fault, frames: &mut Frames) -> bool {
    match fault {
        Fault::Pause(pause) => {
            frames.pause(*pause);
            return true;
        }
        Fault::Malformed => {
            frames.event(&Event::malformed());
            return true;
        }
        Fault::Error { kind, message } => frames.event(&Event::error(kind, message)),
        Fault::OnlyPings { every } => {
            let data = frames.encode(&Event::ping()).into();
            frames.step(Step::Repeat {
                data,
                every: *every,
            });
        }
        Fault::Cut => frames.cut(),
        Fault::Close => frames.close(),
        Fault::Stall => frames.step(Step::Stall),
        Fault::End => {}
    }
    false
}
