use crate::{answer, body::AnswerBody, error::BoxError};
use http::Response;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The answer to come. See the [module docs](super).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AnswerErrorsFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Called { #[pin] call: F },
        // `None` once it was told.
        Unready { error: Option<BoxError> },
    }
}

impl<F> AnswerErrorsFuture<F> {
    pub(super) fn called(call: F) -> Self {
        Self {
            state: State::Called { call },
        }
    }

    pub(super) fn unready(error: BoxError) -> Self {
        Self {
            state: State::Unready { error: Some(error) },
        }
    }
}

impl<F, RB, E> Future for AnswerErrorsFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<AnswerBody<RB>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let error = match self.project().state.project() {
            StateProj::Called { call } => match ready!(call.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response.map(AnswerBody::inner))),
                Err(error) => error.into(),
            },
            StateProj::Unready { error } => match error.take() {
                Some(error) => error,
                // Polled after it was ready.
                None => return Poll::Pending,
            },
        };
        Poll::Ready(Ok(answer::of_error(&*error).map(AnswerBody::own)))
    }
}
