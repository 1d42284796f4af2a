use super::{super::*, log};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing::Level;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that these events write at a level, as an operator reads them.
fn lines(level: Level, events: &[Event<'_>]) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || events.iter().for_each(log));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_string()).collect()
}

fn ended(feature: &Feature, outcome: Outcome, failure: Option<FailureKind>) -> Event<'_> {
    Event::CallEnded {
        feature,
        model: "haiku",
        asked: "sonnet",
        outcome,
        failure,
        attempts: 3,
        to_head: Duration::from_millis(1250),
        total: Duration::from_secs(4),
    }
}

/// One of each, as a call and its model go through an outage.
fn all(chat: &Feature) -> Vec<Event<'_>> {
    let (feature, model, kind) = (chat, "sonnet", FailureKind::Overloaded);
    let wait = Duration::from_millis(1100);
    let circuit = |change| Event::CircuitChanged { model, change };
    let cools = |kind| Event::CoolingDown {
        model,
        tenant: Tenant::new("sk-ant-secret"),
        wait,
        kind,
    };
    let alert = |raised| Event::Alert {
        rule: "failure_share",
        subject: "feature chat",
        raised,
        value: 0.25,
        threshold: 0.05,
    };
    let degraded = |outcome| Event::Degraded {
        feature,
        model,
        outcome,
        kind,
    };
    vec![
        Event::Queued { feature, model },
        Event::UnknownFeature { feature },
        Event::BulkheadFull {
            feature,
            model,
            waited: true,
        },
        Event::AttemptFailed {
            feature,
            model,
            kind,
            after: wait,
        },
        Event::Retrying {
            feature,
            model,
            attempt: 2,
            wait,
            kind,
        },
        Event::NotRetried {
            feature,
            model,
            kind,
            reason: NotRetried::Budget,
        },
        circuit(CircuitChange::Opened {
            reason: OpenReason::FailureRate,
            open_for: wait,
        }),
        Event::KeptAway {
            feature,
            model,
            reason: KeptAway::Open,
        },
        Event::FellBack {
            feature,
            from: model,
            to: "haiku",
            kind,
        },
        Event::AttemptCommitted {
            feature,
            model: "haiku",
            after: wait,
        },
        Event::StreamFailed {
            feature,
            model: "haiku",
            kind: FailureKind::Truncated,
        },
        degraded(Outcome::Canned),
        degraded(Outcome::Error),
        ended(chat, Outcome::Fallback, None),
        ended(chat, Outcome::Error, Some(kind)),
        ended(chat, Outcome::Error, Some(FailureKind::Refused)),
        cools(FailureKind::RateLimited),
        cools(FailureKind::ModelGone),
        circuit(CircuitChange::HalfOpened),
        circuit(CircuitChange::Closed),
        circuit(CircuitChange::Operator { state: "disabled" }),
        alert(true),
        alert(false),
    ]
}

#[test]
fn an_operator_reads_what_changed_and_each_failed_call_once() {
    let chat = "chat".into();
    let told = lines(Level::INFO, &all(&chat));
    let tenant = format!("{:?}", Tenant::new("sk-ant-secret"));
    assert_eq!(
        told,
        [
            r#"WARN tower_claude: circuit opened model="sonnet" reason="failure_rate" open_for_ms=1100"#,
            r#"WARN tower_claude::call: answer broke off half-way feature="chat" model="haiku" kind="truncated""#,
            r#"WARN tower_claude::call: answered in place of the model feature="chat" model="sonnet" outcome="canned" kind="overloaded""#,
            r#"WARN tower_claude::call: call failed feature="chat" model="haiku" asked="sonnet" outcome="error" kind="overloaded" attempts=3 to_head_ms=1250 total_ms=4000"#,
            &format!(
                r#"INFO tower_claude: model cools down for this tenant model="sonnet" tenant={tenant} wait_ms=1100 kind="rate_limited""#
            ),
            &format!(
                r#"ERROR tower_claude: model is gone for this tenant model="sonnet" tenant={tenant} wait_ms=1100"#
            ),
            r#"INFO tower_claude: circuit half-open, probing model="sonnet""#,
            r#"INFO tower_claude: circuit closed model="sonnet""#,
            r#"INFO tower_claude: circuit set by an operator model="sonnet" state="disabled""#,
            r#"WARN tower_claude: alert raised rule="failure_share" subject="feature chat" value=0.25 threshold=0.05"#,
            r#"INFO tower_claude: alert cleared rule="failure_share" subject="feature chat" value=0.25 threshold=0.05"#,
        ]
    );
}

#[test]
fn every_event_is_one_line_and_none_holds_a_secret() {
    let chat = "chat".into();
    let events = all(&chat);
    let told = lines(Level::TRACE, &events);
    assert_eq!(told.len(), events.len(), "{told:#?}");
    assert!(told.iter().all(|line| line.contains("tower_claude")));
    assert!(
        !told.iter().any(|line| line.contains("secret")),
        "{told:#?}"
    );
}

#[test]
fn an_outage_of_many_calls_is_silent_at_info_while_fallbacks_serve_them() {
    let chat = "chat".into();
    let (feature, model, kind) = (&chat, "sonnet", FailureKind::Overloaded);
    let call = [
        Event::KeptAway {
            feature,
            model,
            reason: KeptAway::Open,
        },
        Event::NotRetried {
            feature,
            model,
            kind,
            reason: NotRetried::CircuitOpen,
        },
        Event::FellBack {
            feature,
            from: model,
            to: "haiku",
            kind,
        },
        ended(&chat, Outcome::Fallback, None),
    ];
    assert_eq!(lines(Level::INFO, &call.repeat(100)), [""; 0]);
    assert_eq!(lines(Level::DEBUG, &call.repeat(100)).len(), 400);
}

#[test]
fn a_name_from_outside_can_neither_break_a_line_nor_fill_the_log() {
    let feature = Feature::new("chat\nERROR forged");
    let model = "é".repeat(100_000);
    let event = Event::Queued {
        feature: &feature,
        model: &model,
    };
    let told = lines(Level::TRACE, &[event]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r"chat\nERROR forged"));
    assert!(told[0].len() < 300);
}
