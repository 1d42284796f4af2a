//! One call at one model, over all its attempts: what a future of it holds.

use super::{
    budget::Token,
    layer::Shared,
    policy::{Decision, Room},
    progress::Progress,
};
use crate::{
    call::{Call, Deadline, Feature},
    classify::{Failure, FailureKind},
    event::{Event, NotRetried},
    kept::KeptRequest,
};
use http::Request;
use std::sync::Arc;
use tokio::time::Instant;

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Session<S, B> {
    kept: KeptRequest<B>,
    progress: Progress,
    /// What the call had sent before the attempt that is under way.
    sent_before: u32,
    /// Whether the call has earned its share of a retry.
    earned: bool,
    /// Of the attempt that is under way or waited for.
    token: Option<Token>,
    shared: Arc<Shared<S>>,
}

impl<S, B> Session<S, B> {
    pub(super) fn new(kept: KeptRequest<B>, progress: Progress, shared: Arc<Shared<S>>) -> Self {
        Self {
            sent_before: kept.call().map_or(0, Call::sent),
            kept,
            progress,
            earned: false,
            token: None,
            shared,
        }
    }

    fn feature(&self) -> &Feature {
        Feature::of(self.kept.call())
    }

    fn model(&self) -> Option<&Arc<str>> {
        self.kept.call().and_then(Call::model)
    }

    /// Empty: no Messages call.
    fn model_name(&self) -> &str {
        self.model().map(AsRef::as_ref).unwrap_or_default()
    }

    fn deadline(&self) -> Option<Deadline> {
        self.kept.call().and_then(Call::deadline)
    }

    /// An attempt has ended, with this failure or without. The instant of the next one, if there is one.
    pub(super) fn attempt_ended(
        &mut self,
        failure: Option<&Failure>,
        now: Instant,
    ) -> Option<Instant> {
        self.settle(failure, now);
        let failure = failure?;
        let room = Room {
            models_left: self.kept.call().map_or(0, Call::models_left),
            time_left: self.deadline().map(|deadline| deadline.left(now)),
        };
        let shared = &self.shared;
        let decision = shared
            .policy
            .decide(&mut self.progress, failure, room, || shared.rng.unit());
        match decision {
            Decision::HandUp(reason) => {
                self.token = None;
                if let Some(reason) = reason {
                    self.tell_not_retried(failure.kind, reason);
                }
                None
            }
            Decision::CoolDown(wait) => {
                self.progress.after_cool_down();
                now.checked_add(wait)
            }
            Decision::Retry(wait) => {
                // Paid already where the attempt before never reached the model.
                if let (Some(accounts), None) = (&shared.accounts, &self.token) {
                    let account = accounts.of(self.feature(), self.model(), now);
                    self.token = account.take(now);
                    if self.token.is_none() {
                        self.tell_not_retried(failure.kind, NotRetried::Budget);
                        return None;
                    }
                }
                self.progress.next_attempt();
                shared.observers.tell(&Event::Retrying {
                    feature: self.feature(),
                    model: self.model_name(),
                    attempt: u32::from(self.progress.attempt()),
                    wait,
                    kind: failure.kind,
                });
                now.checked_add(wait)
            }
        }
    }

    /// Settles with the budget: the call earns once, when it has reached the model; the retry costs only if it did.
    fn settle(&mut self, failure: Option<&Failure>, now: Instant) {
        let sent = failure.is_none_or(|failure| self.was_sent(failure.kind));
        let Some(accounts) = &self.shared.accounts else {
            return;
        };
        if sent && !self.earned {
            self.earned = true;
            accounts.earn(self.feature(), self.model(), now);
        }
        match &mut self.token {
            // Kept for the attempt after this one; given back if there is none.
            Some(token) if !sent => token.unspend(),
            token => *token = None,
        }
    }

    /// Whether the attempt that failed so reached the model. A deadline may have passed in a line or at the model, and a
    /// model be gone by its word or by that of before: those the call has counted.
    fn was_sent(&self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::CoolingDown | FailureKind::CircuitOpen | FailureKind::BulkheadFull => {
                false
            }
            FailureKind::DeadlineExceeded | FailureKind::ModelGone => {
                let call = self.kept.call();
                call.is_none_or(|call| call.sent() > self.sent_before)
            }
            _ => true,
        }
    }

    fn tell_not_retried(&self, kind: FailureKind, reason: NotRetried) {
        self.shared.observers.tell(&Event::NotRetried {
            feature: self.feature(),
            model: self.model_name(),
            kind,
            reason,
        });
    }

    /// The service of an attempt after the first.
    pub(super) fn service(&self) -> S
    where
        S: Clone,
    {
        self.shared.spare.fresh()
    }

    /// The request of the attempt that begins now.
    pub(super) fn request(&mut self) -> Request<B>
    where
        B: Clone + 'static,
    {
        if let Some(token) = &mut self.token {
            token.spend();
        }
        self.sent_before = self.kept.call().map_or(0, Call::sent);
        let attempts_left = self.progress.attempts_left();
        self.kept
            .again(|call| call.set_attempts_left(attempts_left))
    }
}
