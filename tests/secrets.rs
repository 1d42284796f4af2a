//! No key, prompt or answer in any log at any level, event, error or `Debug`.

mod common;

use common::{Act, BodyEnd, DELTA, HAIKU, SONNET, START, Upstream, read, request};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::Layer;
use tower_claude::{Event, Monitor, Observe, Resilience, Served, Tenant};
use tracing_subscriber::fmt::MakeWriter;

const KEYS: [(&str, &str); 4] = [
    ("x-api-key", "sk-MARKED-one"),
    ("authorization", "Bearer MARKED-two"),
    ("api-key", "MARKED-three"),
    ("cookie", "session=MARKED-four"),
];

/// Everything that was written anywhere.
#[derive(Clone, Default)]
struct Heap(Arc<Mutex<Vec<u8>>>);

impl Heap {
    fn add(&self, what: impl std::fmt::Debug) {
        self.0
            .lock()
            .unwrap()
            .extend_from_slice(format!("{what:?}\n").as_bytes());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Heap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Heap {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Observe for Heap {
    fn on_event(&self, event: &Event<'_>) {
        self.add(event);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_written_anywhere_holds_a_key_or_a_prompt() {
    let heap = Heap::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(heap.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);

    let acts = [
        Act::ok(),
        Act::overloaded(),
        Act::rate_limited("1"),
        Act::refused(),
        Act::Break(Duration::ZERO),
        Act::Hang,
        Act::sse(&[START, DELTA], BodyEnd::Cut),
        Act::sse(&[common::ERROR], BodyEnd::Eof),
        Act::stream(),
    ];
    let upstream = Upstream::new(move |_, nth| acts[nth % acts.len()].clone());
    let monitor = Monitor::new();
    let builder = Resilience::builder()
        .chain([SONNET, HAIKU])
        .observe(Arc::new(heap.clone()))
        .observe(Arc::new(monitor.clone()));
    heap.add(&builder);
    let stack = builder.build().unwrap();
    let claude = stack.layer(upstream.clone());
    for nth in 0..60 {
        let mut call = request(SONNET, nth % 2 == 0).map(|_| {
            let body = r#"{"model":"claude-sonnet-5-5","max_tokens":9,"messages":"MARKED-prompt"}"#;
            http_body_util::Full::new(bytes::Bytes::from(body))
        });
        for (name, value) in KEYS {
            call.headers_mut().insert(name, value.parse().unwrap());
        }
        heap.add(Tenant::new(KEYS[0].1));
        match claude.send(call).await {
            Ok(answer) => {
                heap.add(answer.extensions().get::<Served>());
                heap.add(answer.headers());
                let _ = read(answer.into_body()).await;
            }
            Err(error) => heap.add(error),
        }
        tokio::time::sleep(Duration::from_secs(nth % 7)).await;
    }
    heap.add(stack.circuits().snapshot());
    heap.add(stack.bulkheads().snapshot());
    heap.add(monitor.snapshot());
    heap.add(&stack);

    let text = heap.text();
    assert!(
        text.contains("tower_claude") && text.contains("CallEnded"),
        "something was written"
    );
    let at = text
        .find("MARKED")
        .map(|at| &text[at.saturating_sub(200)..at + 20]);
    assert_eq!(at, None);
    // What is sent upstream is whole.
    let seen = upstream.seen();
    assert!(
        KEYS.iter()
            .all(|(name, value)| seen[0].headers[*name] == *value)
    );
}
