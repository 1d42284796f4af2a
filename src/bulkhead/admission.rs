//! Lets a call in, lines it up, or turns it away, and tells what it did.

use crate::{
    call::Call,
    classify::{Failure, FailureKind},
    event::{Event, Observers},
};
use tokio::time::Instant;

use super::{
    queue::{LineUp, Place, Seat},
    rooms::Rooms,
    settings::{Patience, failure},
};

/// What the services of a layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rooms: Rooms,
    observers: Observers,
}

pub(super) enum Admission {
    In(Seat),
    /// Until `until`; then it has failed as `then`.
    Line {
        place: Place,
        until: Instant,
        then: FailureKind,
    },
    Out(Failure),
}

impl Shared {
    pub(super) fn new(rooms: Rooms, observers: Observers) -> Self {
        Self { rooms, observers }
    }

    pub(super) fn admit(&self, call: Option<&Call>) -> Admission {
        let (feature, model) = self.rooms.names(call);
        let room = self.rooms.room(feature, model);
        if !room.known {
            self.observers.tell(&Event::UnknownFeature { feature });
        }
        if let Some(seat) = room.queue.try_seat() {
            return Admission::In(seat);
        }
        // The clock is read only by calls that find no seat.
        let now = Instant::now();
        let Patience { wait, then } = Patience::of(room.wait(), call, now);
        if wait.is_zero() {
            return Admission::Out(self.turn_away(call, then, false));
        }
        match room.queue.line_up() {
            LineUp::Seat(seat) => Admission::In(seat),
            LineUp::Place(place) => {
                self.observers.tell(&Event::Queued { feature, model });
                Admission::Line {
                    place,
                    until: now + wait,
                    then,
                }
            }
            LineUp::Full => Admission::Out(self.turn_away(call, FailureKind::BulkheadFull, false)),
        }
    }

    /// The failure of a call that got no seat; told, unless it is only the call's own deadline.
    pub(super) fn turn_away(
        &self,
        call: Option<&Call>,
        kind: FailureKind,
        waited: bool,
    ) -> Failure {
        if kind == FailureKind::BulkheadFull {
            let (feature, model) = self.rooms.names(call);
            self.observers.tell(&Event::BulkheadFull {
                feature,
                model,
                waited,
            });
        }
        failure(kind, waited)
    }
}
