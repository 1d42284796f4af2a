//! Any mixture of what can happen to calls, against a reference that only counts.

use super::house::{Answer, House, Reply, call, settle};
use http_body_util::BodyExt;
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest},
    test_runner::RngSeed,
};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower::ServiceExt;
use tower_claude::bulkhead::Compartment;

const QUEUE: usize = 3;
const WAIT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
enum Step {
    Start,
    /// Upstream replies to one of those in flight.
    Reply(usize, Kind),
    /// One of the bodies is read to its end, or dropped half-way.
    End(usize, bool),
    /// One of the callers leaves: in the line, in flight or half-way through the body.
    Cancel(usize),
    Wait(u64),
    Resize(usize),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Json,
    Stream,
    Failed,
    Error,
    Panic,
}

impl Kind {
    fn reply(self) -> Reply {
        match self {
            Self::Json => Reply::Json,
            Self::Stream => Reply::Stream(&["message_start", "ping", "message_stop"]),
            Self::Failed => Reply::Status(529),
            Self::Error => Reply::Error,
            Self::Panic => Reply::Panic,
        }
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Json | Self::Stream)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(Kind::Json),
        Just(Kind::Stream),
        Just(Kind::Failed),
        Just(Kind::Error),
        Just(Kind::Panic),
    ];
    prop_oneof![
        6 => Just(Step::Start),
        3 => (any::<usize>(), kind).prop_map(|(which, kind)| Step::Reply(which, kind)),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, whole)| Step::End(which, whole)),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (0..150_u64).prop_map(Step::Wait),
        1 => (0..5_usize).prop_map(Step::Resize),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting { until: Instant },
    InFlight,
    Body,
    Over,
}

/// A call, and where the reference believes it to be.
struct Caller {
    task: JoinHandle<()>,
    /// Tells the task to read its body to the end, or to drop it.
    end: Option<oneshot::Sender<bool>>,
    state: State,
}

struct Reference {
    limit: usize,
    callers: Vec<Caller>,
}

impl Reference {
    fn all(&self, is: impl Fn(State) -> bool) -> Vec<usize> {
        let callers = self.callers.iter().enumerate();
        callers
            .filter(|(_, caller)| is(caller.state))
            .map(|(id, _)| id)
            .collect()
    }

    fn seated(&self) -> usize {
        self.all(|state| matches!(state, State::InFlight | State::Body))
            .len()
    }

    fn waiting(&self) -> Vec<usize> {
        self.all(|state| matches!(state, State::Waiting { .. }))
    }

    /// What a newcomer finds.
    fn arrive(&self, now: Instant) -> State {
        let waiting = self.waiting().len();
        if self.seated() < self.limit && waiting == 0 {
            State::InFlight
        } else if self.limit > 0 && waiting < QUEUE {
            State::Waiting { until: now + WAIT }
        } else {
            State::Over
        }
    }

    /// Those whose wait is over leave, then the line moves up.
    fn settle(&mut self, now: Instant) {
        for id in self.waiting() {
            let caller = &mut self.callers[id];
            let over = matches!(caller.state, State::Waiting { until } if until <= now);
            if over || self.limit == 0 {
                caller.state = State::Over;
            }
        }
        for id in self.waiting() {
            if self.seated() < self.limit {
                self.callers[id].state = State::InFlight;
            }
        }
    }
}

fn pick(from: &[usize], which: usize) -> Option<usize> {
    (!from.is_empty()).then(|| from[which % from.len()])
}

/// Makes a call, then holds its body until told what to do with it.
fn start(house: &mut House) -> (JoinHandle<()>, oneshot::Sender<bool>) {
    let mut request = http::Request::new(house.next);
    house.next += 1;
    request.extensions_mut().insert(call("chat", "sonnet"));
    let answer = house.service.clone().oneshot(request);
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(async move {
        let answer: Answer = answer.await;
        let Ok(response) = answer else { return };
        if !response.status().is_success() {
            // A failed answer may be kept as long as anybody likes.
            return std::mem::forget(response);
        }
        let mut body = response.into_body();
        if ended.await == Ok(true) {
            let _ = body.collect().await;
        } else {
            let _ = body.frame().await;
        }
    });
    (task, end)
}

async fn run(script: Vec<Step>) {
    let limit = 2;
    let chat = Compartment::new(limit).with_queue(QUEUE).with_wait(WAIT);
    let mut house = House::new(chat);
    let mut reference = Reference {
        limit,
        callers: Vec::new(),
    };
    for step in script {
        match step.clone() {
            Step::Start => {
                let state = reference.arrive(Instant::now());
                let (task, end) = start(&mut house);
                reference.callers.push(Caller {
                    task,
                    end: Some(end),
                    state,
                });
            }
            Step::Reply(which, kind) => {
                let Some(id) = pick(&reference.all(|state| state == State::InFlight), which) else {
                    continue;
                };
                house
                    .upstream
                    .reply_to(u32::try_from(id).unwrap(), kind.reply());
                reference.callers[id].state = if kind.has_body() {
                    State::Body
                } else {
                    State::Over
                };
            }
            Step::End(which, whole) => {
                let Some(id) = pick(&reference.all(|state| state == State::Body), which) else {
                    continue;
                };
                let _ = reference.callers[id].end.take().unwrap().send(whole);
                reference.callers[id].state = State::Over;
            }
            Step::Cancel(which) => {
                let Some(id) = pick(&reference.all(|state| state != State::Over), which) else {
                    continue;
                };
                reference.callers[id].task.abort();
                reference.callers[id].state = State::Over;
            }
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Resize(limit) => {
                house.bulkheads.resize("chat", limit);
                reference.limit = limit;
            }
        }
        settle().await;
        reference.settle(Instant::now());
        let seen = house.bulkheads.snapshot();
        let seen = seen
            .first()
            .map_or((0, 0), |room| (room.in_flight, room.queued));
        let expected = (reference.seated(), reference.waiting().len());
        assert_eq!(seen, expected, "in flight and queued after {step:?}");
    }
    // Everybody leaves, each in the way that is open.
    for caller in &reference.callers {
        caller.task.abort();
    }
    settle().await;
    for room in house.bulkheads.snapshot() {
        assert_eq!(
            (room.in_flight, room.queued),
            (0, 0),
            "all permits are back"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(0x5EA7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_permits_are_back_after_any_mixture_of_ends(
        script in proptest::collection::vec(step(), 1..80)
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(script));
    }
}
