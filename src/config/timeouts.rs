//! `[timeouts]`

use super::{
    checks::{Bound, Checks},
    form::{DURATION, Form},
    reader::Reader,
    units::{self, Time},
};
use crate::timeouts::Timeouts;
use std::{fmt, time::Duration};

/// How long one attempt may take. See [`Timeouts`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeoutSettings {
    /// To a connection upstream. Default 5 s.
    pub connect: Duration,
    /// To the first content of a stream, for an empty request. Default 15 s; at most the deadline.
    pub first_event: Duration,
    /// Between two events of a stream. Default 30 s.
    pub idle: Duration,
    /// To a whole JSON answer; at most the deadline. Default [`AnswerTimeout::Auto`].
    pub answer: AnswerTimeout,
    /// For which a caller may read nothing of its answer. Default 60 s.
    pub slow_reader: Duration,
}

/// The time to a whole JSON answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerTimeout {
    /// `"auto"`: the time to the first event + 1 s per 40 `max_tokens`, at most 10 min.
    Auto,
    /// The same for every request.
    Fixed(Duration),
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_event: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            answer: AnswerTimeout::Auto,
            slow_reader: Duration::from_secs(60),
        }
    }
}

const ANSWER: Form<AnswerTimeout> =
    Form::new(
        "\"auto\" or a duration, such as \"2m\"",
        |value| match value.as_str()? {
            "auto" => Some(AnswerTimeout::Auto),
            text => units::duration(text).map(AnswerTimeout::Fixed),
        },
    );

impl TimeoutSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        reader.read("connect", &mut self.connect, &DURATION);
        reader.read("first_event", &mut self.first_event, &DURATION);
        reader.read("idle", &mut self.idle, &DURATION);
        reader.read("answer", &mut self.answer, &ANSWER);
        reader.read("slow_reader", &mut self.slow_reader, &DURATION);
    }

    /// `deadline` is the one that calls have by default, and its key.
    pub(super) fn check(&self, deadline: (&str, Duration), checks: &mut Checks) {
        checks.time("timeouts.connect", self.connect);
        checks.time("timeouts.first_event", self.first_event);
        checks.time("timeouts.idle", self.idle);
        checks.time("timeouts.slow_reader", self.slow_reader);
        let mut within = |key: &str, timeout: Duration| {
            let deadline = (deadline.0, Time(deadline.1));
            checks.ordered((key, Time(timeout)), Bound::AtMost, deadline);
        };
        within("timeouts.first_event", self.first_event);
        if let AnswerTimeout::Fixed(answer) = self.answer {
            within("timeouts.answer", answer);
            checks.time("timeouts.answer", answer);
        }
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        let timeouts = Timeouts::new()
            .with_first_event(self.first_event)
            .with_idle(self.idle);
        match self.answer {
            AnswerTimeout::Auto => timeouts,
            AnswerTimeout::Fixed(answer) => timeouts.with_answer(answer),
        }
    }
}

/// As in the file.
impl fmt::Display for AnswerTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Fixed(answer) => Time(*answer).fmt(f),
        }
    }
}
