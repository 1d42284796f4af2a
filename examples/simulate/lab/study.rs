//! Many runs: each arm of a scenario with each seed, on several threads.

use super::{
    arms::Arm,
    engine,
    figure::Figure,
    figures::{Figures, Spread},
    scenario::Scenario,
    trace::Book,
};
use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tower_claude::BoxError;

/// An arm and what became of it.
#[derive(Debug)]
pub(crate) struct Studied {
    pub(crate) arm: Arm,
    /// One per seed.
    pub(crate) figures: Vec<Figures>,
    pub(crate) hashes: Vec<u64>,
    /// Of the first seed, for the pictures.
    pub(crate) book: Book,
}

impl Studied {
    pub(crate) fn spread(&self, figure: Figure) -> Spread {
        Spread::of(&self.figures, figure)
    }
}

/// As many threads as the machine runs at once.
pub(crate) fn all_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs all arms with the seeds 1, 2, 3 …; `done` is told after each run. How many threads share the runs changes only
/// how long it takes.
pub(crate) fn study(
    scenario: &Scenario,
    arms: &[Arm],
    seeds: u64,
    threads: NonZeroUsize,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Studied>, BoxError> {
    let jobs: Vec<(usize, u64)> = (0..arms.len())
        .flat_map(|arm| (1..=seeds).map(move |seed| (arm, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let slots: Mutex<Vec<Option<(Figures, Book)>>> = Mutex::new(vec![]);
    let lock = || slots.lock().unwrap_or_else(PoisonError::into_inner);
    lock().resize_with(jobs.len(), || None);
    let work = || -> Result<(), BoxError> {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some((arm, seed)) = jobs.get(nth) else {
                return Ok(());
            };
            let mut book = engine::run(scenario, &arms[*arm], *seed)?;
            let figures = Figures::of(scenario, &book);
            if *seed > 1 {
                book.forget();
            }
            lock()[nth] = Some((figures, book));
            done();
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(_) => Err("a run panicked".into()),
            })
    })?;
    let mut runs = slots
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .flatten();
    let results = arms.iter().map(|arm| {
        let (figures, mut books): (Vec<_>, Vec<_>) = runs.by_ref().take(seeds as usize).unzip();
        Studied {
            arm: arm.clone(),
            figures,
            hashes: books.iter().map(Book::hash).collect(),
            book: books.swap_remove(0),
        }
    });
    Ok(results.collect())
}
