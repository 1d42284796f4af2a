//! Ours: the real layers, as an application builds them.

use super::{
    super::{claude::Claude, trace::Source},
    Ask, Which,
    read::{Read, read},
};
use std::time::Duration;
use tower_claude::{Outcome, Resilient, Served};

/// A built stack around the Claude in memory.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) claude: Resilient<Claude>,
}

/// The stack's own idle limit is far shorter; this only keeps the reader's type the same.
const PATIENCE: Duration = Duration::from_secs(600);

impl Stack {
    pub(crate) async fn answer(&self, ask: &Ask) -> Source {
        let Ok(response) = self.claude.send(ask.request(Which::Primary)).await else {
            return Source::Error;
        };
        let outcome = response
            .extensions()
            .get::<Served>()
            .map(|served| served.outcome);
        let good = response.status().is_success();
        match read(response, ask.stream && good, PATIENCE).await {
            _ if !good => Source::Error,
            Read::Half => Source::Half,
            Read::False => Source::False,
            Read::Whole => match outcome {
                Some(Outcome::Direct | Outcome::Retried) => Source::Primary,
                Some(Outcome::Fallback) => Source::Second,
                Some(Outcome::Cached | Outcome::Similar) => Source::Cached,
                Some(Outcome::Canned) => Source::Canned,
                _ => Source::Error,
            },
        }
    }
}
