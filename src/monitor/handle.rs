//! The handle: takes events, tells alerts, gives snapshots.

use super::{
    alert::Alert,
    builder::{MonitorBuilder, OnAlert},
    ledger::Ledger,
    snapshot::Snapshot,
};
use crate::{
    clock,
    event::{Event, Observe, Observers},
    sync::{Mutex, lock},
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Watching without a pause would be a busy loop.
const SHORTEST_WATCH: Duration = Duration::from_millis(10);

/// Rolling totals and alerts. See the [module docs](super).
///
/// # Clone
///
/// A clone is a handle to the same monitor.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Mutex<Ledger>,
    on_alert: Vec<OnAlert>,
    observers: Observers,
}

impl Monitor {
    /// A monitor with the default rules, whose alerts are only logged and seen in its snapshots.
    pub fn new() -> Self {
        MonitorBuilder::default().unchecked()
    }

    /// A monitor with other settings.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    pub(super) fn from_parts(ledger: Ledger, on_alert: Vec<OnAlert>, observers: Observers) -> Self {
        Self {
            shared: Arc::new(Shared {
                ledger: Mutex::new(ledger),
                on_alert,
                observers,
            }),
        }
    }

    /// All that is known now. Looks at every alert first, as [`check`](Self::check) does.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut told = Vec::new();
        let snapshot = lock(&self.shared.ledger).snapshot(now, &mut told);
        self.shared.tell(&told);
        snapshot
    }

    /// Raises and clears what time alone has changed.
    ///
    /// Every event does this too, at most once a second. Where calls may stop coming, have it called by a timer:
    /// [`watch`](Self::watch) is one.
    pub fn check(&self) {
        self.shared.check();
    }

    /// Calls [`check`](Self::check) every so often (at least 10 ms apart) until the last handle to this monitor is dropped;
    /// holds none itself. Nothing runs until you spawn it, on a tokio runtime with its timer enabled.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let monitor = tower_claude::monitor::Monitor::new();
    /// tokio::spawn(monitor.watch(Duration::from_secs(15)));
    /// # }
    /// ```
    pub fn watch(&self, every: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::downgrade(&self.shared);
        async move {
            loop {
                tokio::time::sleep(every.max(SHORTEST_WATCH)).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                shared.check();
            }
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Monitor")
    }
}

impl Observe for Monitor {
    fn on_event(&self, event: &Event<'_>) {
        // A monitor may be among the observers of an alert, its own included.
        if matches!(event, Event::Alert { .. }) {
            return;
        }
        let told = lock(&self.shared.ledger).record(event, clock::now());
        self.shared.tell(&told);
    }
}

impl Shared {
    fn check(&self) {
        let now = Instant::now();
        let mut told = Vec::new();
        lock(&self.ledger).judge(now, &mut told);
        self.tell(&told);
    }

    /// Never called with the lock held: whoever hears of an alert may ask for a snapshot.
    fn tell(&self, alerts: &[Alert]) {
        for alert in alerts {
            let subject = alert.subject.to_string();
            self.observers.tell(&Event::Alert {
                rule: alert.rule.as_str(),
                subject: &subject,
                raised: alert.raised,
                value: alert.value,
                threshold: alert.threshold,
            });
            for on_alert in &self.on_alert {
                // The call that happens to raise an alert must not fail by it.
                let _ = catch_unwind(AssertUnwindSafe(|| on_alert(alert)));
            }
        }
    }
}
