//! Which reply a call gets: rules by number of call or by time.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::reply::Reply;

/// A list of rules; the first that matches a call says how it is answered.
///
/// A call that no rule matches is answered with [`Reply::ok`]. A single [`Reply`] is a script too: always that.
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

    /// Answers calls by their number, counted from 0 over all calls this script has decided since it was set.
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

    fn reply(&self, number: u64, time: Duration) -> Option<&Arc<Reply>> {
        let matches = |rule: &&Rule| match &rule.when {
            When::Always => true,
            When::Calls(span) => span.holds(number),
            When::During(span) => span.holds(time),
        };
        self.rules.iter().find(matches).map(|rule| &rule.reply)
    }

    fn check(&self) -> Result<(), String> {
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

/// A script and the number of calls it has decided.
#[derive(Debug, Default)]
struct Playing {
    script: Script,
    calls: u64,
}

impl Playing {
    fn next(&mut self, time: Duration) -> Option<Arc<Reply>> {
        let number = self.calls;
        self.calls = self.calls.saturating_add(1);
        self.script.reply(number, time).cloned()
    }
}

/// All scripts of a server and their clock.
#[derive(Debug)]
pub(super) struct Scripts {
    zero: Instant,
    default: Playing,
    by_target: HashMap<String, Playing>,
}

impl Scripts {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            zero: now,
            default: Playing::default(),
            by_target: HashMap::new(),
        }
    }

    pub(super) fn reset_clock(&mut self, now: Instant) {
        self.zero = now;
    }

    pub(super) fn set(&mut self, target: &str, script: Script) -> Result<(), ScriptError> {
        let error = |problem: String| ScriptError {
            target: Some(target.to_owned()),
            problem,
        };
        if target.is_empty() {
            return Err(error("the name of a model or path is empty".into()));
        }
        script.check().map_err(error)?;
        self.by_target
            .insert(target.to_owned(), Playing { script, calls: 0 });
        Ok(())
    }

    pub(super) fn set_default(&mut self, script: Script) -> Result<(), ScriptError> {
        let error = |problem| ScriptError {
            target: None,
            problem,
        };
        script.check().map_err(error)?;
        self.default = Playing { script, calls: 0 };
        Ok(())
    }

    pub(super) fn set_all(&mut self, script: Script) -> Result<(), ScriptError> {
        self.set_default(script)?;
        self.by_target.clear();
        Ok(())
    }

    /// The models that have scripts, in order of their names.
    pub(super) fn models(&self) -> Vec<String> {
        let models = self
            .by_target
            .keys()
            .filter(|target| !target.starts_with('/'));
        let mut models: Vec<String> = models.cloned().collect();
        models.sort_unstable();
        models
    }

    /// The reply to a request, or `None` where no rule has a word: its model's script goes before its path's, and the default
    /// script decides the calls (requests to Messages) that have neither.
    pub(super) fn decide(
        &mut self,
        model: Option<&str>,
        path: &str,
        is_call: bool,
        now: Instant,
    ) -> Option<Arc<Reply>> {
        let time = now.saturating_duration_since(self.zero);
        if let Some(playing) = model.and_then(|model| self.by_target.get_mut(model)) {
            return playing.next(time);
        }
        if let Some(playing) = self.by_target.get_mut(path) {
            return playing.next(time);
        }
        if is_call {
            self.default.next(time)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Option<&str> = Some("a");
    const PATH: &str = "/v1/messages";

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn texts(scripts: &mut Scripts, now: Instant, times: &[u64]) -> Vec<String> {
        let decide =
            |time: &u64| format!("{:?}", scripts.decide(MODEL, PATH, true, now + ms(*time)));
        times.iter().map(decide).collect()
    }

    #[test]
    fn rules_by_number_take_calls_in_order_and_leave_the_rest_to_later_rules() {
        let now = Instant::now();
        let mut scripts = Scripts::new(now);
        let script = Script::new()
            .calls(1..=2, Reply::reset())
            .always(Reply::hang());
        scripts.set("a", script).unwrap();
        let seen = texts(&mut scripts, now, &[0, 0, 0, 0]);
        let resets: Vec<bool> = seen.iter().map(|reply| reply.contains("Reset")).collect();
        assert_eq!(resets, [false, true, true, false]);
    }

    #[test]
    fn rules_by_time_start_at_their_start_and_stop_before_their_end() {
        let now = Instant::now();
        let mut scripts = Scripts::new(now);
        scripts
            .set_default(Script::new().during(ms(10)..ms(20), Reply::reset()))
            .unwrap();
        let seen = texts(&mut scripts, now, &[9, 10, 19, 20]);
        let resets: Vec<bool> = seen.iter().map(|reply| reply.contains("Reset")).collect();
        assert_eq!(resets, [false, true, true, false]);
        scripts.reset_clock(now + ms(100));
        assert!(texts(&mut scripts, now, &[111])[0].contains("Reset"));
    }

    #[test]
    fn a_models_script_goes_before_its_paths_and_the_default() {
        let now = Instant::now();
        let mut scripts = Scripts::new(now);
        scripts.set_default(Reply::hang().into()).unwrap();
        assert!(texts(&mut scripts, now, &[0])[0].contains("Hang"));
        scripts.set(PATH, Reply::reset().into()).unwrap();
        assert!(texts(&mut scripts, now, &[0])[0].contains("Reset"));
        scripts.set("a", Script::new()).unwrap();
        assert_eq!(texts(&mut scripts, now, &[0]), ["None"]);
        assert!(scripts.decide(None, "/v1/models", now).is_none());
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused_with_its_place() {
        let mut scripts = Scripts::new(Instant::now());
        let mut said =
            |target: &str, script: Script| scripts.set(target, script).unwrap_err().to_string();
        assert_eq!(
            said("", Script::new()),
            "script for ``: the name of a model or path is empty"
        );
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let empty = Script::new().calls(3..2, Reply::ok());
        assert_eq!(
            said("a", empty),
            "script for `a`: rule 0: calls 3..2 is an empty range"
        );
        let empty = Script::new()
            .always(Reply::ok())
            .during(ms(5)..ms(5), Reply::ok());
        assert_eq!(
            said("a", empty),
            "script for `a`: rule 1: the time 5ms..5ms is an empty range"
        );
        for (reply, word) in [
            (Reply::status(99), "99 is no final status"),
            (Reply::status(101), "101 is no final status"),
            (Reply::ok().header("a b", "c"), "`a b: c` is no header"),
            (Reply::ok().deltas(0), "one delta or more"),
            (
                Reply::overloaded().text("x"),
                "a text belongs to a successful answer",
            ),
            (Reply::ok().code("x"), "a code belongs to an error"),
            (Reply::ok().body("x"), "a body of bytes belongs to"),
            (Reply::only_pings(Duration::ZERO), "pings need a pause"),
            (
                Reply::ok().chunks(super::super::Chunks::Bytes(0)),
                "frames of no bytes",
            ),
        ] {
            let said = said("a", reply.into());
            assert!(said.contains(word), "{said}");
        }
    }
}
