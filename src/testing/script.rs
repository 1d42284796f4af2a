//! Which reply a call gets: rules by number of call or by time.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use super::reply::Reply;

/// A list of rules; the first that matches a call says how it is answered.
///
/// A call that no rule matches is answered with [`Reply::ok`]. A single [`Reply`] is a script too:
/// always that.
///
/// ```
/// use std::time::Duration;
/// use tower_claude::testing::{Reply, Script};
///
/// let script = Script::new()
///     .calls(..2, Reply::reset())
///     .during(Duration::from_millis(50)..Duration::from_millis(90), Reply::overloaded())
///     .always(Reply::ok().text("back again"));
/// # let _ = script;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a script does nothing until the fake Claude has it"]
pub struct Script {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    when: When,
    reply: Arc<Reply>,
}

#[derive(Clone, Debug)]
enum When {
    Always,
    Calls(Span<u64>),
    During(Span<Duration>),
}

/// From `start` to just before `end`, or for ever.
#[derive(Clone, Debug)]
struct Span<T> {
    start: T,
    end: Option<T>,
}

impl<T: Copy + PartialOrd> Span<T> {
    fn new(range: &impl RangeBounds<T>, zero: T, after: impl Fn(T) -> T) -> Self {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => after(*start),
            Bound::Unbounded => zero,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => Some(after(*end)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        Self { start, end }
    }

    fn holds(&self, value: T) -> bool {
        value >= self.start && self.end.is_none_or(|end| value < end)
    }

    fn is_empty(&self) -> bool {
        self.end.is_some_and(|end| end <= self.start)
    }
}

impl Script {
    /// A script without a rule: every call is answered with [`Reply::ok`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A reply for each call in turn; later calls go on to the rules that follow.
    pub fn sequence(replies: impl IntoIterator<Item = Reply>) -> Self {
        (0..)
            .zip(replies)
            .fold(Self::new(), |script, (n, reply)| script.calls(n..=n, reply))
    }

    /// Answers calls by their number, counted from 0 over all calls this script has decided since
    /// it was set.
    pub fn calls(self, numbers: impl RangeBounds<u64>, reply: Reply) -> Self {
        let after = |number: u64| number.saturating_add(1);
        self.rule(When::Calls(Span::new(&numbers, 0, after)), reply)
    }

    /// Answers calls that arrive within a span of time since the start of the fake Claude, or since
    /// [`reset_clock`](super::FakeClaude::reset_clock).
    pub fn during(self, time: impl RangeBounds<Duration>, reply: Reply) -> Self {
        let after = |time: Duration| time.saturating_add(Duration::from_nanos(1));
        self.rule(When::During(Span::new(&time, Duration::ZERO, after)), reply)
    }

    /// Answers every call that no rule before has answered.
    pub fn always(self, reply: Reply) -> Self {
        self.rule(When::Always, reply)
    }

    fn rule(mut self, when: When, reply: Reply) -> Self {
        self.rules.push(Rule {
            when,
            reply: Arc::new(reply),
        });
        self
    }

    /// What the first rule that matches says.
    pub(super) fn reply(&self, number: u64, time: Duration) -> Option<&Arc<Reply>> {
        let matches = |rule: &&Rule| match &rule.when {
            When::Always => true,
            When::Calls(span) => span.holds(number),
            When::During(span) => span.holds(time),
        };
        self.rules.iter().find(matches).map(|rule| &rule.reply)
    }

    /// What makes this script impossible to play.
    pub(super) fn check(&self) -> Result<(), String> {
        for (index, rule) in self.rules.iter().enumerate() {
            let empty = match &rule.when {
                When::Always => None,
                When::Calls(span) => span.is_empty().then(|| format!("calls {span}")),
                When::During(span) => span.is_empty().then(|| format!("the time {span}")),
            };
            match empty {
                Some(empty) => return Err(format!("rule {index}: {empty} is an empty range")),
                None => rule
                    .reply
                    .check()
                    .map_err(|why| format!("rule {index}: {why}"))?,
            }
        }
        Ok(())
    }
}

impl<T: fmt::Debug> fmt::Display for Span<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Some(end) => write!(f, "{:?}..{end:?}", self.start),
            None => write!(f, "{:?}..", self.start),
        }
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Self::new().always(reply)
    }
}

/// A script that cannot be played: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    target: Option<String>,
    problem: String,
}

impl ScriptError {
    pub(super) fn new(target: Option<&str>, problem: String) -> Self {
        Self {
            target: target.map(ToOwned::to_owned),
            problem,
        }
    }

    /// The model or path the script is for; `None` for the default script.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "script for `{target}`: {}", self.problem),
            None => write!(f, "default script: {}", self.problem),
        }
    }
}

impl std::error::Error for ScriptError {}
