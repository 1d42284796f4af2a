//! Everything a monitor remembers: arithmetic under its lock, and `now` as an argument.

use super::{
    alert::{Alert, Subject},
    circuit::CircuitStatus,
    rows::{Model, Pair, Row},
    rules::Rules,
    snapshot::{FeatureStats, ModelStats, PairStats, Snapshot},
    table::{Id, OTHER, Table},
    tally::Entry,
};
use crate::{classify::FailureKind, event::Event};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Alerts that only time changes are looked at no more often than this, whatever the traffic.
const JUDGED_EVERY: Duration = Duration::from_secs(1);

/// How long a model counts as gone after a 404 that says no more: as long as the breaker keeps calls from it.
const GONE_FOR: Duration = Duration::from_secs(600);

/// A model that is still gone is found out again by the first call after its cool-down: wait that much longer before
/// saying otherwise.
const GONE_SLACK: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Ledger {
    rules: Rules,
    max_keys: usize,
    epoch: Instant,
    all: Row,
    models: Table<Model>,
    features: Table<Row>,
    pairs: BTreeMap<(Id, Id), Pair>,
    /// Since the epoch.
    judged: Duration,
    swept: u64,
}

impl Ledger {
    pub(super) fn new(rules: Rules, max_keys: usize, now: Instant) -> Self {
        Self {
            rules,
            max_keys,
            epoch: now,
            all: Row::new(Subject::All, 0),
            models: Table::new(max_keys, |name| Model::new(name, 0)),
            features: Table::new(max_keys, |name| Row::of_feature(name, 0)),
            pairs: BTreeMap::new(),
            judged: Duration::ZERO,
            swept: 0,
        }
    }

    pub(super) fn pin_model(&mut self, name: Arc<str>) {
        self.models.pin(name, |name| Model::new(name, 0));
    }

    pub(super) fn pin_feature(&mut self, name: Arc<str>) {
        self.features.pin(name, |name| Row::of_feature(name, 0));
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// Counts an event; gives the alerts it raised or cleared.
    pub(super) fn record(&mut self, event: &Event<'_>, now: Instant) -> Vec<Alert> {
        let mut told = Vec::new();
        let age = self.age(now);
        let secs = age.as_secs();
        if let Some(entry) = Entry::of(event) {
            self.add(&entry, secs, now, &mut told);
        }
        self.note_model(event, secs, now, &mut told);
        if age.saturating_sub(self.judged) >= JUDGED_EVERY {
            self.judge(now, &mut told);
        }
        told
    }

    fn add(&mut self, entry: &Entry<'_>, secs: u64, now: Instant, told: &mut Vec<Alert>) {
        self.all.add(entry, secs);
        let model = self
            .models
            .place(entry.model, |name| Model::new(name, secs));
        model.value.row.add(entry, secs);
        let Some(feature) = entry.feature else {
            return;
        };
        let row = self
            .features
            .place(feature, |name| Row::of_feature(name, secs));
        row.value.add(entry, secs);
        if entry.ends_a_call() {
            row.value.judge_calls(&self.rules, now, told);
            self.all.judge_calls(&self.rules, now, told);
        }
        let ids = (model.id, row.id);
        let full = self.pairs.len() >= self.max_keys && !self.pairs.contains_key(&ids);
        let pair = self.pairs.entry(if full { (0, 0) } else { ids });
        pair.or_insert_with(|| Pair::new(secs)).add(entry, secs);
    }

    /// Takes note of what an event says of a model's circuit and existence.
    fn note_model(&mut self, event: &Event<'_>, secs: u64, now: Instant, told: &mut Vec<Alert>) {
        let (name, change, gone_for) = match *event {
            Event::CircuitChanged { model, change } => (model, Some(change), None),
            Event::CoolingDown {
                model,
                wait,
                kind: FailureKind::ModelGone,
                ..
            } => (model, None, Some(wait)),
            Event::AttemptFailed {
                model,
                kind: FailureKind::ModelGone,
                ..
            } => (model, None, Some(GONE_FOR)),
            _ => return,
        };
        let kept = self.models.place(name, |name| Model::new(name, secs));
        let model = &mut kept.value;
        model.row.touch(secs);
        if let Some(gone_for) = gone_for {
            let until = now.checked_add(gone_for.saturating_add(GONE_SLACK));
            model.gone_until = until.max(model.gone_until);
        }
        // The circuits of models that share a place have no common state.
        if kept.id != 0 {
            if let Some(change) = change {
                model.circuit = Some(CircuitStatus::after(model.circuit, change, now));
            }
        }
        model.judge(&self.rules, now, told);
    }

    /// Looks at every alert again, since time alone may have raised or cleared it.
    pub(super) fn judge(&mut self, now: Instant, told: &mut Vec<Alert>) {
        let age = self.age(now);
        let secs = age.as_secs();
        self.judged = self.judged.max(age);
        self.all.advance(secs);
        self.all.judge_calls(&self.rules, now, told);
        for kept in self.features.iter_mut() {
            kept.value.advance(secs);
            kept.value.judge_calls(&self.rules, now, told);
        }
        for kept in self.models.iter_mut() {
            kept.value.judge(&self.rules, now, told);
        }
        if secs.saturating_sub(self.swept) >= 60 {
            self.swept = secs;
            self.models.retain(|model| model.in_use(secs));
            self.features.retain(|row| row.in_use(secs));
            self.pairs.retain(|_, pair| pair.in_use(secs));
        }
    }

    /// Looks at every alert again, then tells all that is known.
    pub(super) fn snapshot(&mut self, now: Instant, told: &mut Vec<Alert>) -> Snapshot {
        self.judge(now, told);
        let secs = self.age(now).as_secs();
        let (rules, mut alerts) = (&self.rules, Vec::new());
        self.all.alerts(rules, now, &mut alerts);
        let mut models = Vec::new();
        let mut model_names = BTreeMap::new();
        for kept in self.models.iter_mut() {
            let name = Arc::clone(&kept.name);
            model_names.insert(kept.id, Arc::clone(&name));
            let model = &mut kept.value;
            model.alerts(rules, now, &mut alerts);
            models.push(ModelStats {
                model: name,
                windows: model.row.windows(secs),
                circuit: model.circuit,
            });
        }
        let mut features = Vec::new();
        let mut feature_names = BTreeMap::new();
        for kept in self.features.iter_mut() {
            let name = Arc::clone(&kept.name);
            feature_names.insert(kept.id, Arc::clone(&name));
            kept.value.alerts(rules, now, &mut alerts);
            features.push(FeatureStats {
                feature: name,
                windows: kept.value.windows(secs),
            });
        }
        let mut pairs = Vec::new();
        for ((model, feature), pair) in &mut self.pairs {
            if let (Some(model), Some(feature)) =
                (model_names.get(model), feature_names.get(feature))
            {
                pairs.push(PairStats {
                    model: Arc::clone(model),
                    feature: Arc::clone(feature),
                    windows: pair.windows(secs),
                });
            }
        }
        models.retain(|stats| &*stats.model != OTHER || !stats.windows.is_empty());
        features.retain(|stats| &*stats.feature != OTHER || !stats.windows.is_empty());
        models.sort_by(|a, b| a.model.cmp(&b.model));
        features.sort_by(|a, b| a.feature.cmp(&b.feature));
        pairs.sort_by(|a, b| (&a.model, &a.feature).cmp(&(&b.model, &b.feature)));
        alerts.sort_by(|a, b| (a.since, a.rule, &a.subject).cmp(&(b.since, b.rule, &b.subject)));
        Snapshot {
            at: now,
            all: self.all.windows(secs),
            models,
            features,
            pairs,
            alerts,
        }
    }
}
