//! What one attempt is allowed, and what is told of it.

use super::{expect::Ask, layer::Settings, limits::Limits};
use crate::{
    call::Call,
    classify::{Failure, FailureKind},
    claude::headers,
    clock,
    error::BoxError,
    event::Event,
};
use http::{HeaderMap, Method, Request};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) settings: Arc<Settings>,
    pub(super) call: Option<Call>,
    pub(super) ask: Ask,
    pub(super) limits: Limits,
    started: Instant,
}

impl Attempt {
    pub(super) fn new<B>(request: &Request<B>, settings: Arc<Settings>) -> Self {
        let call = request.extensions().get::<Call>().cloned();
        let ask = Ask::of(request, call.as_ref());
        let started = clock::now();
        let allowed = settings.timeouts.to_commit(
            ask == Ask::Stream,
            call.as_ref().map_or(0, Call::body_bytes),
            match &call {
                // Nobody knows what an encoded request allows, nor what another service makes of its time: as much as any.
                Some(_) if ask == Ask::Unknown => Some(u64::MAX),
                Some(_) if ask == Ask::Other && request.method() == Method::POST => Some(u64::MAX),
                Some(call) => call.max_tokens(),
                None => None,
            },
        );
        Self {
            limits: Limits::new(started, allowed, call.as_ref()),
            settings,
            call,
            ask,
            started,
        }
    }

    /// Whether its deadline had passed before it began.
    pub(super) fn is_too_late(&self) -> bool {
        self.limits.is_past(self.started)
    }

    /// Whether anything could act on a failure. Without a [`Call`] nobody knows.
    pub(super) fn can_act(&self) -> bool {
        self.call.as_ref().is_none_or(Call::can_act)
    }

    /// The longest silence of an answer with this head.
    pub(super) fn idle(&self, headers: &HeaderMap) -> Duration {
        let timeouts = &self.settings.timeouts;
        let idle = timeouts.idle();
        // The events of another service come when something happens, and nobody says that it pings meanwhile.
        if self.ask == Ask::Other && headers::is_event_stream(headers) {
            return idle.max(timeouts.answer(0, Some(u64::MAX)));
        }
        idle
    }

    /// Counts it as sent.
    pub(super) fn sent(&self) {
        if let Some(call) = &self.call {
            call.count_sent();
        }
    }

    /// Tells that it was committed.
    pub(super) fn committed(&self) {
        self.tell(|call, model| Event::AttemptCommitted {
            feature: call.feature(),
            model,
            after: clock::now() - self.started,
        });
    }

    /// Tells that it failed, and gives the failure its final form.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        let failure = match &self.call {
            Some(call) if call.in_chain() => failure,
            _ => failure.outside_a_chain(),
        };
        self.tell(|call, model| Event::AttemptFailed {
            feature: call.feature(),
            model,
            kind: failure.kind,
            after: clock::now() - self.started,
        });
        failure
    }

    /// The time was up: its own, or what the deadline left it.
    pub(super) fn timed_out(&self, kind: FailureKind) -> BoxError {
        let mut failure = Failure::new(kind).with_detail("no answer in time");
        // By the clock of the timer, which has just run out.
        if self.limits.is_past(Instant::now()) {
            failure.mark_cut_short();
        }
        self.failed(failure).into()
    }

    /// The deadline had passed before anything was sent.
    pub(super) fn too_late() -> BoxError {
        let failure = Failure::new(FailureKind::DeadlineExceeded);
        failure.with_detail("not sent: no time left").into()
    }

    /// The client failed. Its error stays what it is, or becomes the source of the failure.
    pub(super) fn client_failed(&self, error: BoxError) -> BoxError {
        let failure = self.failed(self.settings.classify.error(&*error));
        match Failure::find(&*error) {
            Some(found) if found.kind == failure.kind => error,
            _ => failure.with_source(error).into(),
        }
    }

    fn tell<'a>(&'a self, event: impl FnOnce(&'a Call, &'a str) -> Event<'a>) {
        let Some(call) = &self.call else { return };
        if let Some(model) = call.model() {
            self.settings.observers.tell(&event(call, model));
        }
    }
}
