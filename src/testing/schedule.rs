//! All scripts of a server and the clock they are played by.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::reply::Reply;
use super::script::{Script, ScriptError};

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

/// See the [module docs](self).
#[derive(Debug)]
pub(super) struct Schedule {
    zero: Instant,
    default: Playing,
    by_target: HashMap<String, Playing>,
}

impl Schedule {
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
        let error = |problem| ScriptError::new(Some(target), problem);
        if target.is_empty() {
            return Err(error("the name of a model or path is empty".into()));
        }
        script.check().map_err(error)?;
        self.by_target
            .insert(target.to_owned(), Playing { script, calls: 0 });
        Ok(())
    }

    pub(super) fn set_default(&mut self, script: Script) -> Result<(), ScriptError> {
        script
            .check()
            .map_err(|problem| ScriptError::new(None, problem))?;
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

    /// The reply to a request, or `None` where no rule has a word: its model's script goes before
    /// its path's, and the default script decides the calls (requests to Messages) that have
    /// neither.
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

    fn texts(schedule: &mut Schedule, now: Instant, times: &[u64]) -> Vec<String> {
        let decide =
            |time: &u64| format!("{:?}", schedule.decide(MODEL, PATH, true, now + ms(*time)));
        times.iter().map(decide).collect()
    }

    #[test]
    fn rules_by_number_take_calls_in_order_and_leave_the_rest_to_later_rules() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        let script = Script::new()
            .calls(1..=2, Reply::reset())
            .always(Reply::hang());
        schedule.set("a", script).unwrap();
        let seen = texts(&mut schedule, now, &[0, 0, 0, 0]);
        let resets: Vec<bool> = seen.iter().map(|reply| reply.contains("Reset")).collect();
        assert_eq!(resets, [false, true, true, false]);
    }

    #[test]
    fn rules_by_time_start_at_their_start_and_stop_before_their_end() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule
            .set_default(Script::new().during(ms(10)..ms(20), Reply::reset()))
            .unwrap();
        let seen = texts(&mut schedule, now, &[9, 10, 19, 20]);
        let resets: Vec<bool> = seen.iter().map(|reply| reply.contains("Reset")).collect();
        assert_eq!(resets, [false, true, true, false]);
        schedule.reset_clock(now + ms(100));
        assert!(texts(&mut schedule, now, &[111])[0].contains("Reset"));
    }

    #[test]
    fn a_models_script_goes_before_its_paths_and_the_default() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.set_default(Reply::hang().into()).unwrap();
        assert!(texts(&mut schedule, now, &[0])[0].contains("Hang"));
        schedule.set(PATH, Reply::reset().into()).unwrap();
        assert!(texts(&mut schedule, now, &[0])[0].contains("Reset"));
        schedule.set("a", Script::new()).unwrap();
        assert_eq!(texts(&mut schedule, now, &[0]), ["None"]);
        assert!(schedule.decide(None, "/v1/models", false, now).is_none());
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused_with_its_place() {
        let mut schedule = Schedule::new(Instant::now());
        let mut said =
            |target: &str, script: Script| schedule.set(target, script).unwrap_err().to_string();
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
