//! The reference design as published, flaws included: what an asyncio application of that design does.
//!
//! A semaphore per feature around everything, sleeps too, with no bound on the wait for it. In it, model after model: a
//! breaker of 5 failures in a row, asked before each attempt, which lets everybody through once its 60 s are over; 5
//! attempts with 1 s · 2ⁿ, at most 30 s, ± 25 %, the same spread on a `retry-after`, so that half of the retries come too
//! early. No timeout but the SDK's 10 minutes, no deadline. Then the answer to the same question if there was one, then
//! a canned sentence, for programs too. A stream counts as a success at its head.
//!
//! Where the published text leaves a choice, it is the kinder one: attempts are counted and not whole calls, and an open
//! breaker ends the attempts at its model.

use super::{
    super::{
        chance::Chance,
        claude::Claude,
        scenario::Which,
        trace::{Source, Trace, Turn},
    },
    Ask,
    plain::served_by,
    read::{Attempt, Read, attempt, read},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tower_claude::Timeouts;

const ATTEMPTS: u32 = 5;
const FAILURES: u32 = 5;
const COOLDOWN: Duration = Duration::from_secs(60);
const BASE: f64 = 1.0;
const CAP: f64 = 30.0;

/// See the [module docs](self).
#[derive(Debug)]
pub(crate) struct Reference {
    claude: Claude,
    trace: Trace,
    /// `Some`: our timeouts in place of none.
    timeouts: Option<Timeouts>,
    patience: Duration,
    semaphores: HashMap<String, Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: Chance,
    breakers: [Breaker; 2],
    cache: HashSet<(String, u64)>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    last_failure: Option<Instant>,
    state: Circuit,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

impl Breaker {
    fn can_execute(&mut self, now: Instant) -> bool {
        let over = self
            .last_failure
            .is_none_or(|last| now.duration_since(last) > COOLDOWN);
        if self.state == Circuit::Open && over {
            self.state = Circuit::HalfOpen;
        }
        self.state != Circuit::Open
    }

    fn record_success(&mut self) {
        self.failures = 0;
        self.state = Circuit::Closed;
    }

    fn record_failure(&mut self, now: Instant) {
        self.failures += 1;
        self.last_failure = Some(now);
        if self.failures >= FAILURES || self.state == Circuit::HalfOpen {
            self.state = Circuit::Open;
        }
    }
}

impl Reference {
    pub(crate) fn new(
        claude: Claude,
        trace: Trace,
        timeouts: Option<Timeouts>,
        patience: Duration,
        places: impl IntoIterator<Item = (String, usize)>,
        chance: Chance,
    ) -> Self {
        let semaphores = places
            .into_iter()
            .map(|(feature, places)| (feature, Semaphore::new(places)))
            .collect();
        Self {
            claude,
            trace,
            timeouts,
            patience,
            semaphores,
            state: Mutex::new(State {
                chance,
                breakers: Default::default(),
                cache: HashSet::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn answer(&self, ask: &Ask) -> Source {
        let _place = match self.semaphores.get(ask.feature.as_str()) {
            Some(semaphore) => semaphore.acquire().await.ok(),
            None => None,
        };
        for which in Which::BOTH {
            if let Some(source) = self.ask(ask, which).await {
                return source;
            }
        }
        let key = (ask.feature.to_string(), ask.question);
        if self.state().cache.contains(&key) {
            return Source::Cached;
        }
        Source::Canned
    }

    async fn ask(&self, ask: &Ask, which: Which) -> Option<Source> {
        let patience = self.timeouts.map_or(self.patience, |timeouts| {
            timeouts.to_commit(ask.stream, 0, Some(256))
        });
        for nth in 0..ATTEMPTS {
            if !self.may(which) {
                return None;
            }
            let (again, retry_after) = match attempt(&self.claude, ask, which, patience).await {
                Attempt::Answered(response) => {
                    self.succeeded(which);
                    return Some(match read(response, ask.stream, patience).await {
                        Read::Whole => {
                            let key = (ask.feature.to_string(), ask.question);
                            self.state().cache.insert(key);
                            served_by(which)
                        }
                        Read::Half => Source::Half,
                        Read::False => Source::False,
                    });
                }
                Attempt::Refused {
                    status,
                    retry_after,
                } => (matches!(status, 429 | 500..), retry_after),
                Attempt::Broken => (true, None),
            };
            self.failed(which);
            if !again || nth + 1 == ATTEMPTS {
                return None;
            }
            sleep(self.delay(nth, retry_after)).await;
        }
        None
    }

    fn delay(&self, nth: u32, retry_after: Option<Duration>) -> Duration {
        let own = BASE * f64::from(1_u32 << nth);
        let base = retry_after.map_or(own, |wait| wait.as_secs_f64()).min(CAP);
        let spread = 0.75 + 0.5 * self.state().chance.unit();
        Duration::from_secs_f64(base * spread)
    }

    fn may(&self, which: Which) -> bool {
        self.turn(which, |breaker| breaker.can_execute(Instant::now()))
    }

    fn succeeded(&self, which: Which) {
        self.turn(which, Breaker::record_success);
    }

    fn failed(&self, which: Which) {
        self.turn(which, |breaker| breaker.record_failure(Instant::now()));
    }

    /// Changes a breaker, and writes down how it turned.
    fn turn<T>(&self, which: Which, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut state = self.state();
        let breaker = &mut state.breakers[which as usize];
        let before = breaker.state;
        let result = change(breaker);
        let turn = match (before, breaker.state) {
            (Circuit::Closed, Circuit::Open) => Some(Turn::Opened),
            (Circuit::HalfOpen, Circuit::Open) => Some(Turn::Reopened),
            (Circuit::Open, Circuit::HalfOpen) => Some(Turn::HalfOpened),
            (Circuit::HalfOpen | Circuit::Open, Circuit::Closed) => Some(Turn::Closed),
            _ => None,
        };
        drop(state);
        if let Some(turn) = turn {
            self.trace.turn(which, turn);
        }
        result
    }
}
