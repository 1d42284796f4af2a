//! The one line about a call that is told when it is over.

use super::{body::Rendering, head};
use crate::{
    body::{Ending, Guard},
    call::{Call, Feature, Outcome, Served},
    classify::{FailureKind, Verdict},
    clock,
    event::{Event, Observers},
};
use http::Response;
use std::time::Duration;
use tokio::time::Instant;

/// Tells [`Event::CallEnded`] at the end of the call, whichever it is.
#[derive(Debug)]
pub(super) struct Record {
    observers: Observers,
    feature: Feature,
    started: Instant,
    /// Once the request body is there.
    pub(super) call: Option<Call>,
    /// Once the answer has a head: what served it, and after how long.
    head: Option<(Served, Duration)>,
    /// The answer goes on behind its head.
    goes_on: bool,
}

impl Record {
    pub(super) fn new(observers: Observers, feature: Feature, started: Instant) -> Self {
        Self {
            observers,
            feature,
            started,
            call: None,
            head: None,
            goes_on: false,
        }
    }

    /// Marks an answer; gives what its body needs to end well.
    pub(super) fn close<B>(
        &mut self,
        answer: &mut Response<B>,
        verdict: &Verdict,
    ) -> Option<Rendering> {
        let call = self.call.as_ref()?;
        let served = head::close(answer, call, verdict);
        let rendering = Rendering::of(answer.headers_mut(), call, &served);
        self.head = Some((served, self.age()));
        self.goes_on = matches!(verdict, Verdict::Committed(_));
        rendering
    }

    fn age(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }
}

impl Guard for Record {
    fn end(self, ending: Ending) {
        let total = match &self.head {
            Some((_, to_head)) if !self.goes_on => *to_head,
            _ => self.age(),
        };
        let asked = self.call.as_ref().and_then(Call::asked_model);
        let last = self.call.as_ref().and_then(Call::last_model);
        let failure = match ending {
            Ending::Complete => None,
            Ending::Failed(kind) => Some(kind),
            Ending::Dropped => Some(FailureKind::Cancelled),
            // Ours or the client's: for the caller it is an internal error.
            Ending::Panicked => Some(FailureKind::ServerError),
        };
        let event = match &self.head {
            Some((served, to_head)) => Event::CallEnded {
                feature: &self.feature,
                model: served.model.as_deref().unwrap_or_default(),
                asked: asked.map(AsRef::as_ref).unwrap_or_default(),
                outcome: served.outcome,
                failure: served.degraded.or(failure),
                attempts: served.attempts,
                to_head: *to_head,
                total,
            },
            None => Event::CallEnded {
                feature: &self.feature,
                model: last.as_deref().unwrap_or_default(),
                asked: asked.map(AsRef::as_ref).unwrap_or_default(),
                outcome: Outcome::Error,
                failure,
                attempts: self.call.as_ref().map_or(0, Call::sent),
                to_head: total,
                total,
            },
        };
        self.observers.tell(&event);
    }
}
