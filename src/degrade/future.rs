use super::{
    body::DegradeBody,
    plan::{Plan, caught},
    stand_in,
};
use crate::{
    answer,
    cache::{CachedAnswer, Lookup, LookupFuture},
    classify::{Failure, FailureKind, Verdict},
    error::BoxError,
};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Sleep, sleep_until};

pin_project! {
    /// The answer to come. See the [module docs](super).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct DegradeFuture<F, RB> {
        #[pin]
        state: State<F, RB>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, RB> {
        Called { #[pin] call: F, plan: Option<Plan> },
        // The call has failed, and a cache is asked that is not in this process. Boxed, all that is known of it: a call that
        // has failed can afford it, and the others are smaller to move.
        Asking { asked: Asked, failed: Option<Box<Failed<RB>>> },
    }
}

/// A lookup under way.
struct Asked {
    lookup: LookupFuture,
    until: Pin<Box<Sleep>>,
}

/// A call that failed for good.
#[derive(Debug)]
struct Failed<RB> {
    plan: Plan,
    failure: Failure,
    result: Result<Response<RB>, BoxError>,
}

type Answered<RB> = Result<Response<DegradeBody<RB>>, BoxError>;

impl<F, RB> DegradeFuture<F, RB> {
    pub(super) fn new(call: F, plan: Option<Plan>) -> Self {
        Self {
            state: State::Called { call, plan },
        }
    }
}

impl<F, RB, E> Future for DegradeFuture<F, RB>
where
    F: Future<Output = Result<Response<RB>, E>>,
    E: Into<BoxError>,
    RB: Body<Data = Bytes>,
{
    type Output = Answered<RB>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called { call, plan } => {
                    let result = ready!(call.poll(cx));
                    let Some(plan) = plan.take() else {
                        return Poll::Ready(untouched(result.map_err(Into::into)));
                    };
                    let failed = match result {
                        // Judged where it lies: answers are large to move about.
                        Ok(response) => match Verdict::of_answer(&response) {
                            Verdict::Failed(failure) => Failed::new(plan, failure, Ok(response)),
                            verdict => return Poll::Ready(Ok(plan.keep(response, verdict))),
                        },
                        Err(error) => {
                            let error = error.into();
                            // Ours, but no failure of a call: the caller sent too much.
                            if answer::body_too_large(&*error).is_some() {
                                return Poll::Ready(Err(error));
                            }
                            Failed::new(plan, Verdict::of_error(&error), Err(error))
                        }
                    };
                    if !failed.failure.warrants_degrade() {
                        return Poll::Ready(failed.itself());
                    }
                    let asked = match failed.plan.look_up() {
                        None => return Poll::Ready(Ok(failed.without_cache())),
                        Some(Lookup::Ready(found)) => {
                            return Poll::Ready(Ok(failed.with(found.as_ref())));
                        }
                        Some(Lookup::Pending(lookup)) => {
                            let until = Box::pin(sleep_until(failed.plan.look_up_until()));
                            Asked { lookup, until }
                        }
                    };
                    let failed = Some(Box::new(failed));
                    state.set(State::Asking { asked, failed });
                }
                StateProj::Asking { asked, failed } => {
                    let found = ready!(asked.poll(cx));
                    return match failed.take() {
                        Some(failed) => Poll::Ready(Ok(failed.with(found.as_ref()))),
                        // Polled after it was ready.
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}

fn untouched<RB>(result: Result<Response<RB>, BoxError>) -> Answered<RB> {
    result.map(|response| response.map(|body| DegradeBody::inner(body, None)))
}

impl<RB> Failed<RB> {
    fn new(plan: Plan, failure: Failure, result: Result<Response<RB>, BoxError>) -> Self {
        Self {
            plan,
            failure,
            result,
        }
    }

    /// What nothing may stand in for: the answer there is, or one that says what there is none for.
    fn itself(self) -> Answered<RB> {
        match self.result {
            Err(_) if self.failure.kind != FailureKind::Cancelled => {
                Ok(stand_in::refusal(&self.plan, &self.failure))
            }
            result => untouched(result),
        }
    }

    /// The answer, with what the cache has said.
    fn with(self, found: Option<&CachedAnswer>) -> Response<DegradeBody<RB>> {
        let cached = found.and_then(|found| stand_in::cached(&self.plan, &self.failure, found));
        cached.unwrap_or_else(|| self.without_cache())
    }

    fn without_cache(self) -> Response<DegradeBody<RB>> {
        match self.plan.policy().message() {
            Some(text) => stand_in::canned(&self.plan, &self.failure, text),
            None => stand_in::error(&self.plan, &self.failure, self.result),
        }
    }
}

impl Asked {
    /// What the cache has: nothing, if it fails, panics, or is late.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<CachedAnswer>> {
        match caught(|| self.lookup.as_mut().poll(cx)) {
            Some(Poll::Ready(found)) => Poll::Ready(found.ok().flatten()),
            Some(Poll::Pending) => self.until.as_mut().poll(cx).map(|()| None),
            None => Poll::Ready(None),
        }
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}
