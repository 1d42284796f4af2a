//! A bare client, an official SDK, and an SDK with two lines of `try`/`except`.

use super::{
    super::{chance::Chance, claude::Claude, trace::Source},
    Ask, Which,
    read::{Attempt, Read, attempt, read},
};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// No resilience but what an official SDK brings: so many retries after 0.5 s · 2ⁿ, at most 8 s, less up to a quarter by
/// chance; `retry-after` to the letter where it is at most 60 s. A stream that breaks is not retried.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) claude: Claude,
    pub(crate) retries: u32,
    /// `except: ask the second model`.
    pub(crate) then_second: bool,
    pub(crate) patience: Duration,
    pub(crate) chance: Mutex<Chance>,
}

impl Plain {
    pub(crate) async fn answer(&self, ask: &Ask) -> Source {
        match self.ask(ask, Which::Primary).await {
            Some(source) => source,
            None if self.then_second => {
                let second = self.ask(ask, Which::Second).await;
                second.unwrap_or(Source::Error)
            }
            None => Source::Error,
        }
    }

    /// One model, with retries. `None`: an exception before an answer.
    async fn ask(&self, ask: &Ask, which: Which) -> Option<Source> {
        for retry in 0.. {
            let (again, retry_after) = match attempt(&self.claude, ask, which, self.patience).await
            {
                Attempt::Answered(response) => {
                    return Some(match read(response, ask.stream, self.patience).await {
                        Read::Whole => served_by(which),
                        // A whole JSON answer either comes or is an exception.
                        Read::Half if !ask.stream => return None,
                        Read::Half => Source::Half,
                        Read::False => Source::False,
                    });
                }
                Attempt::Refused {
                    status,
                    retry_after,
                } => (
                    matches!(status, 408 | 409 | 429 | 500..),
                    retry_after.filter(|wait| *wait <= Duration::from_secs(60)),
                ),
                Attempt::Broken => (true, None),
            };
            if !again || retry == self.retries {
                return None;
            }
            sleep(retry_after.unwrap_or_else(|| self.delay(retry))).await;
        }
        None
    }

    fn delay(&self, retry: u32) -> Duration {
        let seconds = (0.5 * f64::from(1_u32 << retry.min(16))).min(8.0);
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_secs_f64(seconds * (1.0 - 0.25 * chance.unit()))
    }
}

pub(super) fn served_by(which: Which) -> Source {
    match which {
        Which::Primary => Source::Primary,
        Which::Second => Source::Second,
    }
}
