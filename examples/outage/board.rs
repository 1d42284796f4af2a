//! The table on the terminal.

use crate::{
    HAIKU, SONNET,
    load::{Ended, Load},
    watch::Watch,
};
use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::{Mutex, OnceLock, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;
use tower_claude::{Outcome, Resilience, testing::FakeClaude};

/// Prints a row a second, and notes in between.
pub(crate) struct Board {
    colour: bool,
    start: OnceLock<Instant>,
    last: Mutex<Last>,
}

/// What was already shown.
#[derive(Default)]
struct Last {
    ended: usize,
    sonnet: usize,
    haiku: usize,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal(),
            start: OnceLock::new(),
            last: Mutex::default(),
        }
    }

    pub(crate) fn start(&self, start: Instant) {
        let _ = self.start.set(start);
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn head(&self) {
        println!(
            "An application calls Claude 45 times a second: chat (streams), summary, extraction (tools), background jobs."
        );
        println!(
            "The stack: fallback sonnet -> haiku, circuit breaker, backoff, bulkhead, degrade. Haiku answers twice as fast."
        );
        println!(
            "Times are scaled down: a circuit opens for 60 s by default, here for about a second. Counts are per second;"
        );
        println!("calls still under way show in the next row.\n");
        println!(
            "{}",
            self.paint(
                "1",
                "  time | answered by    | degraded       | clean  | circuits              | reached upstream | time to answer\n       | sonnet   haiku | cached  canned | errors | sonnet     haiku      | sonnet    haiku  |    p50     p99"
            )
        );
    }

    pub(crate) fn phase(&self, what: &str) {
        println!("{}", self.paint("7", &format!(" Claude: {what} ")));
    }

    pub(crate) fn note(&self, what: &str) {
        let at = self.start.get().map_or(Duration::ZERO, |start| {
            Instant::now().duration_since(*start)
        });
        println!(
            "{}",
            self.paint("33", &format!("{:5.1} s   > {what}", at.as_secs_f64()))
        );
    }

    pub(crate) fn row(
        &self,
        at: Duration,
        load: &Load,
        fake: &FakeClaude,
        stack: &Resilience,
        _: &Watch,
    ) {
        let tally = load.tally();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let new = tally.ended.get(last.ended..).unwrap_or_default();
        let sum = Sum::of(new);
        let (sonnet, haiku) = (fake.calls_to(SONNET), fake.calls_to(HAIKU));
        let circuit = |model: &str| {
            let text = format!("{:<10}", stack.circuits().state(model).as_str());
            self.paint(
                if text.starts_with("closed") {
                    "32"
                } else {
                    "31"
                },
                &text,
            )
        };
        println!(
            "{:4} s | {:6}  {:6} | {:6}  {:6} | {:6} | {} {} | {:6}   {:6}  | {:>6}  {:>6}",
            at.as_secs(),
            sum.first,
            sum.fallback,
            sum.cached,
            sum.canned,
            sum.errors,
            circuit(SONNET),
            circuit(HAIKU),
            sonnet - last.sonnet,
            haiku - last.haiku,
            millis(sum.p50),
            millis(sum.p99),
        );
        *last = Last {
            ended: tally.ended.len(),
            sonnet,
            haiku,
        };
    }

    pub(crate) fn summary(&self, load: &Load, fake: &FakeClaude, watch: &Watch) -> ExitCode {
        let tally = load.tally();
        let sum = Sum::of(&tally.ended);
        let calls = tally.ended.len() + tally.neither.len();
        let answered = sum.first + sum.fallback;
        println!("\n{}", self.paint("1", "Summary"));
        println!("  calls                     {calls:6}");
        println!(
            "  answered by a model       {answered:6}   sonnet {}, haiku {}",
            sum.first, sum.fallback
        );
        println!(
            "  degraded answers          {:6}   cached {}, canned {}",
            sum.cached + sum.canned,
            sum.cached,
            sum.canned
        );
        println!(
            "  clean errors              {:6}   calls with tools and background jobs: an apology would be taken for a result",
            sum.errors
        );
        println!(
            "  neither                   {:6}   must be 0",
            tally.neither.len()
        );
        println!(
            "  retries                   {:6}   attempts repeated at the same model",
            watch.retries.load(Relaxed)
        );
        println!(
            "  fallbacks                 {:6}",
            watch.fallbacks.load(Relaxed)
        );
        println!(
            "  circuit transitions       {:6}",
            watch.transitions.load(Relaxed)
        );
        println!(
            "  compartments full         {:6}   times the next model was asked instead",
            watch.full.load(Relaxed)
        );
        println!(
            "  upstream saw              {:6}   sonnet {}, haiku {}",
            fake.calls_to(SONNET) + fake.calls_to(HAIKU),
            fake.calls_to(SONNET),
            fake.calls_to(HAIKU)
        );
        println!(
            "  upstream was spared       {:6}   attempts at a model whose circuit was open",
            watch.spared.load(Relaxed)
        );
        println!(
            "  time to answer            p50 {}, p99 {}",
            millis(sum.p50),
            millis(sum.p99)
        );
        for neither in tally.neither.iter().take(10) {
            println!(
                "  {}",
                self.paint("31", &format!("neither answer nor clean error: {neither}"))
            );
        }
        if tally.neither.is_empty() && calls > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// Some calls, summed up.
struct Sum {
    first: usize,
    fallback: usize,
    cached: usize,
    canned: usize,
    errors: usize,
    p50: Duration,
    p99: Duration,
}

impl Sum {
    fn of(ended: &[Ended]) -> Self {
        let count = |wanted: &[Outcome]| {
            ended
                .iter()
                .filter(|call| wanted.contains(&call.outcome))
                .count()
        };
        let mut times: Vec<_> = ended.iter().map(|call| call.to_answer).collect();
        times.sort_unstable();
        let quantile = |percent: usize| {
            times
                .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        Self {
            first: count(&[Outcome::Direct, Outcome::Retried]),
            fallback: count(&[Outcome::Fallback]),
            cached: count(&[Outcome::Cached, Outcome::Similar]),
            canned: count(&[Outcome::Canned]),
            errors: count(&[Outcome::Error]),
            p50: quantile(50),
            p99: quantile(99),
        }
    }
}
