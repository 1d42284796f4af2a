//! Events as `tracing` lines: what an operator must know at `warn`, decisions at `info` and `debug`, the rest at `trace`.

use super::Event;

pub(super) fn log(event: &Event<'_>) {
    tracing::trace!(target: "tower_claude", ?event);
}
