//! The machine against a second one that keeps every event and counts anew at each step.

use super::*;
use crate::circuit_breaker::rules::{RunRule, ShareRule};
use crate::event::OpenReason;
use proptest::prelude::*;

const RUN: RunRule = RunRule {
    limit: 3,
    within: Duration::from_secs(10),
    span: Duration::from_secs(1),
};
const TIMEOUTS: RunRule = RunRule {
    limit: 3,
    within: Duration::from_secs(30),
    span: Duration::ZERO,
};

fn rules() -> Rules {
    Rules {
        consecutive: RUN,
        timeouts: TIMEOUTS,
        window: Duration::from_secs(12),
        failure_rate: ShareRule { rate: 0.5, min: 6 },
        cooldown: Duration::from_secs(4),
        max_cooldown: Duration::from_secs(8),
        probes: 2,
        probe_timeout: Duration::from_secs(5),
        ..Rules::default()
    }
}

#[derive(Default)]
struct Reference {
    state: u8, // 0 closed, 1 open, 2 half-open, 3 forced, 4 disabled
    generation: u32,
    until: u64,
    step: u32,
    log: Vec<(u64, usize, Option<Outcome>)>, // time, call, how it ended; `None`: committed
    probes: Vec<(usize, u64)>,               // in flight: call, due
    good: usize,
}

impl Reference {
    fn enter(&mut self, state: u8) {
        self.log.clear();
        self.probes.clear();
        self.good = 0;
        self.state = state;
        self.generation += 1;
    }
    fn open(&mut self, at: u64, probe: bool) {
        self.step = if probe { self.step + 1 } else { 0 };
        self.until = at + [4_000, 6_000, 8_000][self.step.min(2) as usize];
        self.enter(1);
    }
    fn overdue(&mut self, now: u64) {
        if let Some(due) = self
            .probes
            .iter()
            .map(|probe| probe.1)
            .min()
            .filter(|due| *due <= now)
        {
            self.open(due, true);
        }
    }
    /// The generation that the call is admitted in; calls are numbered as they come.
    fn admit(&mut self, id: usize, now: u64) -> Option<u32> {
        self.overdue(now);
        if self.state == 1 && now >= self.until {
            self.enter(2);
        }
        let probe = self.state == 2 && self.probes.len() + self.good < 2;
        if probe {
            self.probes.push((id, now + 5_000));
        }
        (probe || self.state == 0 || self.state == 4).then_some(self.generation)
    }
    fn end(&mut self, id: usize, generation: u32, outcome: Option<Outcome>, now: u64) {
        self.overdue(now);
        if generation != self.generation || self.state == 4 {
            return;
        }
        if self.state == 2 {
            let before = self.probes.len();
            self.probes.retain(|probe| probe.0 != id);
            match outcome {
                Some(Outcome::Neutral) => return,
                Some(Outcome::Failure { .. }) => return self.open(now, true),
                _ => self.good += before - self.probes.len(),
            }
            if self.good == 2 {
                (self.state, self.step) = (0, 0);
                self.log.clear();
            }
            return;
        }
        self.log.push((now, id, outcome));
        if self.opens(now) {
            self.open(now, false);
        }
    }
    /// Whether the log, whose last entry is new, opens.
    fn opens(&self, now: u64) -> bool {
        let Some((_, _, Some(Outcome::Failure { .. }))) = self.log.last() else {
            return false;
        };
        let failed = |entry: &&(u64, usize, Option<Outcome>)| {
            matches!(entry.2, Some(Outcome::Failure { .. }))
        };
        let whole = |entry: &&(u64, usize, Option<Outcome>)| {
            matches!(entry.2, Some(Outcome::Success { .. }))
        };
        let recent: Vec<_> = self
            .log
            .iter()
            .filter(|entry| now / 200 - entry.0 / 200 < 60)
            .collect();
        let bad = recent.iter().copied().filter(failed).count();
        let all = bad + recent.iter().copied().filter(whole).count();
        self.run(now, RUN, 0)
            || self.run(now, RUN, 1)
            || self.run(now, TIMEOUTS, 2)
            || (all >= 6 && bad * 2 >= all)
    }
    /// The row of failures before commit (0), of cuts (1), of timeouts (2), and whether its last made it long enough.
    fn run(&self, now: u64, rule: RunRule, which: u8) -> bool {
        let mut row: Vec<(u64, usize, usize)> = Vec::new(); // time, call, place in the log
        let mut answered = None;
        for (at, (time, call, outcome)) in self.log.iter().enumerate() {
            let (answers, fails) = match outcome {
                None => (which != 1, false),
                Some(Outcome::Success { .. }) => (true, false),
                Some(Outcome::Failure {
                    cut,
                    timeout,
                    in_run,
                    ..
                }) => (false, *in_run && [!*cut, *cut, *timeout][which as usize]),
                Some(Outcome::Neutral) => (false, false),
            };
            if answers {
                answered = answered.max(Some(*call));
            }
            if fails {
                let gap = row.last().map_or(0, |last| time - last.0);
                // A stale one is forgotten below, and starts no row in place of the one there is.
                if answered < Some(*call) && Duration::from_millis(gap) > rule.within {
                    row.clear();
                }
                row.push((*time, *call, at));
            }
            row.retain(|failed| answered < Some(failed.1));
            // What it may remember: the first and the last three.
            if row.len() > 4 {
                row.remove(1);
            }
        }
        let last = self.log.len() - 1;
        row.len() >= 3
            && row[row.len() - 1].2 == last
            && Duration::from_millis(now - row[0].0) >= rule.span
            && Duration::from_millis(now - row[row.len() - 3].0) <= rule.within
    }
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Admit,
    Commit(usize),
    End(usize, Outcome),
    Call(Outcome),
    Operate(u8),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(SUCCESS),
        3 => Just(FAILURE),
        1 => Just(TIMEOUT),
        2 => Just(CUT),
        1 => Just(failure(false, false, false)),
        1 => Just(Outcome::Neutral),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..400).prop_map(Step::Wait),
        2 => (400_u64..6_000).prop_map(Step::Wait),
        1 => (6_000_u64..40_000).prop_map(Step::Wait),
        6 => Just(Step::Admit),
        3 => any::<prop::sample::Index>().prop_map(|index| Step::Commit(index.index(64))),
        6 => (any::<prop::sample::Index>(), outcome())
            .prop_map(|(index, outcome)| Step::End(index.index(64), outcome)),
        6 => outcome().prop_map(Step::Call),
        1 => (0_u8..12).prop_map(Step::Operate),
    ];
    prop::collection::vec(step, 1..250)
}

/// Runs a script on both; what states were seen, to know that scripts reach them.
fn run(script: &[Step]) -> Result<Vec<CircuitState>, TestCaseError> {
    let mut rig = Rig::new(rules());
    let mut reference = Reference::default();
    let (mut millis, mut ids, mut seen) = (0, 0, Vec::new());
    let mut flying: Vec<(usize, Pass, u32, bool)> = Vec::new();
    for step in script {
        rig.now = rig.start + Duration::from_millis(millis);
        match step {
            Step::Wait(more) => millis += more,
            Step::Admit | Step::Call(_) => {
                let mine = reference.admit(ids, millis);
                let theirs = rig.admit();
                prop_assert_eq!(matches!(theirs, Admission::Pass(_)), mine.is_some());
                if let (Admission::Pass(pass), Some(generation)) = (theirs, mine) {
                    if let Step::Call(outcome) = step {
                        rig.end(pass, *outcome);
                        reference.end(ids, generation, Some(*outcome), millis);
                    } else {
                        flying.push((ids, pass, generation, false));
                    }
                }
                ids += 1;
            }
            Step::Commit(index) if !flying.is_empty() => {
                let at = index % flying.len();
                let (id, pass, generation, committed) = &mut flying[at];
                if !*committed {
                    *committed = true;
                    rig.commit(pass);
                    reference.end(*id, *generation, None, millis);
                }
            }
            Step::End(index, outcome) if !flying.is_empty() => {
                let (id, pass, generation, _) = flying.swap_remove(index % flying.len());
                rig.end(pass, *outcome);
                reference.end(id, generation, Some(*outcome), millis);
            }
            Step::Operate(0) => {
                rig.machine.force_open(rig.now);
                if reference.state != 3 {
                    reference.step = 0;
                    reference.enter(3);
                }
            }
            Step::Operate(1) => {
                rig.machine.disable(rig.now);
                if reference.state != 4 {
                    reference.step = 0;
                    reference.enter(4);
                }
            }
            Step::Operate(_) => {
                rig.machine.reset(rig.now);
                reference.step = 0;
                reference.enter(0);
            }
            Step::Commit(_) | Step::End(..) => {}
        }
        let states = [
            CircuitState::Closed,
            CircuitState::Open,
            CircuitState::HalfOpen,
            CircuitState::ForcedOpen,
            CircuitState::Disabled,
        ];
        prop_assert_eq!(rig.state(), states[reference.state as usize]);
        let remaining = rig.machine.read(rig.now).remaining;
        let left = (reference.state == 1)
            .then(|| Duration::from_millis(reference.until.saturating_sub(millis)));
        if !matches!(step, Step::Wait(_)) {
            prop_assert_eq!(remaining, left);
        }
        seen.push(rig.state());
    }
    Ok(seen)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    // Case 79.
    #[test]
    fn the_machine_walks_in_step_with_a_reference_that_recounts_everything(script in steps()) {
        run(&script)?;
    }
}

/// A property that never reaches a state says nothing about it.
#[test]
fn random_scripts_reach_every_state_and_every_reason() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::HashSet::new();
    let mut reasons = std::collections::HashSet::new();
    for _ in 0..200 {
        let script = steps().new_tree(&mut runner).unwrap().current();
        seen.extend(run(&script).unwrap());
        let mut rig = Rig::new(rules());
        for step in &script {
            match step {
                Step::Wait(millis) => rig.now += Duration::from_millis(*millis),
                Step::Call(outcome) => {
                    if let Admission::Pass(pass) = rig.admit() {
                        rig.end(pass, *outcome);
                    }
                }
                _ => {}
            }
        }
        reasons.extend(rig.told.iter().filter_map(|change| match change {
            CircuitChange::Opened { reason, .. } => Some(*reason),
            _ => None,
        }));
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    for reason in [
        OpenReason::Consecutive,
        OpenReason::FailureRate,
        OpenReason::Timeouts,
        OpenReason::Probe,
    ] {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
}
