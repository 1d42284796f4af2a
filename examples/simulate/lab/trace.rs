//! What happened: every attempt, every call, every turn of a circuit, and a hash over all of it.

use super::scenario::Which;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;
use tower_claude::{
    Event, Observe,
    event::{CircuitChange, OpenReason},
};

/// One attempt, as Claude saw it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) model: Which,
    pub(crate) at: u64,
    /// Sent before the wait was over that the same call was told by the same model.
    pub(crate) early: bool,
    pub(crate) end: AttemptEnd,
    /// US dollars.
    pub(crate) cost: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    /// Still open.
    Open,
    /// Delivered whole.
    Delivered,
    /// Answered with this status.
    Refused(u16),
    /// The answer died on its way.
    Died,
    /// The caller left.
    Abandoned,
}

/// What a user got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Primary,
    Second,
    Cached,
    Canned,
    /// A clean error.
    Error,
    /// Half an answer, and the news that it is one.
    Half,
    /// Half an answer that looks whole.
    False,
    /// Nothing until the laboratory closed.
    Never,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "first model",
            Self::Second => "second model",
            Self::Cached => "cached",
            Self::Canned => "canned",
            Self::Error => "error",
            Self::Half => "half, told",
            Self::False => "half, not told",
            Self::Never => "never",
        }
    }

    /// Whether a model answered.
    pub(crate) const fn by_model(self) -> bool {
        matches!(self, Self::Primary | Self::Second)
    }
}

/// One call, as its user saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) feature: u16,
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) source: Source,
}

/// A circuit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Opened,
    /// By a probe that failed.
    Reopened,
    HalfOpened,
    Closed,
}

/// All that was written down.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) calls: Vec<Call>,
    pub(crate) turns: Vec<(u64, Which, Turn)>,
    pub(crate) open: [u32; 2],
    pub(crate) peak_open: u32,
    /// When the wait ends that a call was told by a model.
    waits: HashMap<(u32, Which), u64>,
    sent: HashMap<(u32, Which), u32>,
    hash: Fnv,
}

impl Book {
    /// Of everything, in order.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    /// Keeps the hash alone.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            hash: std::mem::take(&mut self.hash),
            ..Self::default()
        };
    }
}

/// FNV-1a, 64 bits: the same in every release of every compiler.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, parts: &[u64]) {
        for byte in parts.iter().flat_map(|part| part.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The one who writes.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    start: Instant,
    book: Arc<Mutex<Book>>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            book: Arc::default(),
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Milliseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        let since = Instant::now().duration_since(self.start);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn call(&self, call: u32, feature: u16) {
        let at = self.now();
        let mut book = self.book();
        book.hash.add(&[1, at, call.into(), feature.into()]);
        book.calls.push(Call {
            feature,
            at,
            end: u64::MAX,
            source: Source::Never,
        });
    }

    pub(crate) fn call_ended(&self, call: u32, source: Source) {
        let at = self.now();
        let mut book = self.book();
        book.hash.add(&[2, at, call.into(), source as u64]);
        if let Some(entry) = book.calls.get_mut(call as usize) {
            (entry.end, entry.source) = (at, source);
        }
    }

    /// An attempt came in. Its number in the book, and how many came before it of this call at this model.
    pub(crate) fn attempt(&self, call: u32, model: Which) -> (usize, u32) {
        let at = self.now();
        let mut book = self.book();
        let early = book
            .waits
            .get(&(call, model))
            .is_some_and(|until| at < *until);
        book.hash
            .add(&[3, at, call.into(), model as u64, early.into()]);
        book.attempts.push(Attempt {
            model,
            at,
            early,
            end: AttemptEnd::Open,
            cost: 0.0,
        });
        book.open[model as usize] += 1;
        book.peak_open = book.peak_open.max(book.open.iter().sum());
        let sent = book.sent.entry((call, model)).or_default();
        *sent += 1;
        let before = *sent - 1;
        (book.attempts.len() - 1, before)
    }

    /// A call was told to wait.
    pub(crate) fn told_to_wait(&self, call: u32, model: Which, until: u64) {
        self.book().waits.insert((call, model), until);
    }

    pub(crate) fn attempt_ended(&self, number: usize, end: AttemptEnd, cost: f64) {
        let at = self.now();
        let mut book = self.book();
        let Some(attempt) = book.attempts.get_mut(number) else {
            return;
        };
        (attempt.end, attempt.cost) = (end, cost);
        let model = attempt.model;
        book.open[model as usize] -= 1;
        let code = match end {
            AttemptEnd::Open => 0,
            AttemptEnd::Delivered => 1,
            AttemptEnd::Died => 2,
            AttemptEnd::Abandoned => 3,
            AttemptEnd::Refused(status) => status.into(),
        };
        book.hash.add(&[4, at, number as u64, code, cost.to_bits()]);
    }

    pub(crate) fn turn(&self, model: Which, turn: Turn) {
        let at = self.now();
        let mut book = self.book();
        book.hash.add(&[5, at, model as u64, turn as u64]);
        book.turns.push((at, model, turn));
    }
}

/// Writes down what the circuits of a stack do.
impl Observe for Trace {
    fn on_event(&self, event: &Event<'_>) {
        let Event::CircuitChanged { model, change } = event else {
            return;
        };
        let turn = match change {
            CircuitChange::Opened { reason, .. } if *reason == OpenReason::Probe => Turn::Reopened,
            CircuitChange::Opened { .. } => Turn::Opened,
            CircuitChange::HalfOpened => Turn::HalfOpened,
            CircuitChange::Closed => Turn::Closed,
            _ => return,
        };
        if let Some(model) = Which::of(model) {
            self.turn(model, turn);
        }
    }
}
